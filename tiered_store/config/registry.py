"""
Which class a ``type:`` word stands for; nothing is imported before it is named.

A package adds types by entry points, which are as lazy:

.. code-block:: toml

   [project.entry-points."tiered_store.stores"]
   gcs = "acme_storage:GCSStore"

The groups are ``tiered_store.stores``, ``tiered_store.journals``,
``tiered_store.tiers`` and ``tiered_store.controls``.
"""

from __future__ import annotations

import contextlib
import functools
import importlib

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from tiered_store.errors import ConfigError
from tiered_store.wording import unknown


Constructor = Callable[..., Any]
Types = Mapping[str, str | Constructor]

OURS = "tiered-store"

STORES: Types = {
    "memory": "tiered_store.backends.memory:MemoryStore",
    "filesystem": "tiered_store.backends.filesystem:FileSystemStore",
    "s3": "tiered_store.backends.s3:S3Store",
    "redis": "tiered_store.backends.redis:RedisStore",
    "cached": "tiered_store.wrappers.cached:CachedStore",
    "replicated": "tiered_store.wrappers.replicated:ReplicatedStore",
    "fallback": "tiered_store.wrappers.fallback:FallbackStore",
    "retry": "tiered_store.wrappers.retry:RetryStore",
    "breaker": "tiered_store.wrappers.breaker:BreakerStore",
    "timeout": "tiered_store.wrappers.timeout:TimeoutStore",
    "hedged": "tiered_store.wrappers.hedged:HedgedStore",
    "limit": "tiered_store.wrappers.limit:LimitStore",
    "readonly": "tiered_store.wrappers.readonly:ReadOnlyStore",
    "prefixed": "tiered_store.wrappers.prefixed:PrefixedStore",
    "verified": "tiered_store.wrappers.verified:VerifiedStore",
    "overlay": "tiered_store.wrappers.overlay:OverlayStore",
    "routed": "tiered_store.wrappers.routed:RoutedStore",
    "sharded": "tiered_store.wrappers.sharded:ShardedStore",
    "compressed": "tiered_store.wrappers.compressed:CompressedStore",
    "encrypted": "tiered_store.wrappers.encrypted:EncryptedStore",
    "migrating": "tiered_store.wrappers.migrating:MigratingStore",
    "shadow": "tiered_store.wrappers.shadow:ShadowStore",
    "served": "tiered_store.wrappers.served:ServedStore",
    "fault": "tiered_store.testing.faults:FaultStore",
}
JOURNALS: Types = {
    "sqlite": "tiered_store.journals.sqlite:SQLiteJournal",
    "redis": "tiered_store.journals.redis:RedisJournal",
    "sql": "tiered_store.journals.sql:SQLJournal",
    "memory": "tiered_store.journals.memory:MemoryJournal",
}
TIERS: Types = {
    "memory": "tiered_store.tiers.memory:MemoryTier",
    "redis": "tiered_store.tiers.redis:RedisTier",
    "store": "tiered_store.tiers.store:StoreTier",  # around any store
}

CONTROLS: Types = {
    "file": "tiered_store.control.file:FileControl",
    "redis": "tiered_store.control.redis:RedisControl",
    "s3": "tiered_store.backends.s3.control:S3Control",
}


class Family:
    """
    Things of one kind, told apart by their ``type:``.

    Attributes:
        noun: What one of them is called.
        base: The annotation of a parameter that takes one, ``module:Class``.
    """

    def __init__(self, noun: str, base: str, types: Types) -> None:
        self.noun = noun
        self.base = base
        self._types = types

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and (word in self._types or word in self._plugins)

    def words(self) -> list[str]:
        """Return every word that is known, our own first."""
        return list(dict.fromkeys((*self._types, *self._plugins)))

    def find(self, word: str) -> Constructor:
        """
        Return what *word* stands for; our own words are never anybody else's.

        Raises:
            ConfigError: No such word, or what it stands for cannot be imported.
        """
        known = self._types.get(word)
        if known is None:
            return self._plugin(word)
        return known if callable(known) else _imported(word, known, OURS)

    def package(self, word: str) -> str:
        """Return the distribution, or distributions, that say what *word* is."""
        if word in self._types:
            return OURS
        return " and ".join(sorted(self._plugins.get(word, {}).values()))

    def word_of(self, made: type) -> str | None:
        """Return the word that stands for the class *made*, if there is one."""
        for word in self.words():
            known = self._types.get(word) or next(iter(self._plugins[word]))
            if known is made:
                return word
            # nothing is imported that is called otherwise
            if isinstance(known, str) and known.rpartition(":")[2] == made.__qualname__:
                with contextlib.suppress(ConfigError):
                    if self.find(word) is made:
                        return word
        return None

    def _plugin(self, word: str) -> Constructor:
        claims = self._plugins.get(word, {})
        if not claims:
            raise ConfigError(unknown(f"{self.noun} type", word, self.words()))
        if len(claims) > 1:
            claimants = " and ".join(sorted(claims.values()))
            raise ConfigError(
                f"{self.noun} type {word!r} is claimed by {claimants}; uninstall one"
            )
        ((target, distribution),) = claims.items()
        return _imported(word, target, distribution)

    @functools.cached_property
    def _plugins(self) -> dict[str, dict[str, str]]:
        """By word, what is claimed to be it, and the distributions that claim so."""
        found: dict[str, dict[str, str]] = {}
        for point in entry_points(group=f"tiered_store.{self.noun}s"):
            found.setdefault(point.name, {})[point.value] = _distribution(point)
        return found


class Registry:
    """
    Every type there is.

    Args:
        stores: More of them, or others under the same words: a class or its
            ``module:Class``.  The same for *journals*, *tiers* and *controls*.
    """

    def __init__(
        self,
        *,
        stores: Types | None = None,
        journals: Types | None = None,
        tiers: Types | None = None,
        controls: Types | None = None,
    ) -> None:
        self.stores = Family(
            "store", "tiered_store.store:Store", {**STORES, **(stores or {})}
        )
        self.journals = Family(
            "journal",
            "tiered_store.journals.journal:Journal",
            {**JOURNALS, **(journals or {})},
        )
        self.tiers = Family(
            "tier", "tiered_store.tiers.tier:Tier", {**TIERS, **(tiers or {})}
        )
        self.controls = Family(
            "control",
            "tiered_store.control.control:Control",
            {**CONTROLS, **(controls or {})},
        )
        self._words: dict[type, tuple[Family, str] | None] = {}
        self.families = (self.stores, self.journals, self.tiers, self.controls)

    def family_and_word(self, made: type) -> tuple[Family, str] | None:
        """Return what the class *made* is one of, and the word for it, if any."""
        if made not in self._words:
            found = ((family, family.word_of(made)) for family in self.families)
            named = ((family, word) for family, word in found if word is not None)
            self._words[made] = next(named, None)
        return self._words[made]

    def family_of(self, annotation: object) -> Family | None:
        """Return the family whose members a parameter with *annotation* takes."""
        if not isinstance(annotation, type):
            return None
        name = f"{annotation.__module__}:{annotation.__qualname__}"
        return next((known for known in self.families if known.base == name), None)


INSTALLED = Registry()  # packages are looked through once, when that is needed


def _imported(word: str, target: str, distribution: str) -> Constructor:
    module, _, name = target.partition(":")
    try:
        found: object = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # whatever a stranger's module does
        raise ConfigError(
            f"type {word!r} of {distribution} cannot be loaded: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not callable(found):
        raise ConfigError(f"type {word!r} of {distribution} is no class: {target}")
    lacking = sorted(getattr(found, "__abstractmethods__", ()))
    if lacking:
        raise ConfigError(
            f"type {word!r} of {distribution} is unfinished: "
            f"{target} lacks {', '.join(lacking)}"
        )
    return found


def _distribution(point: EntryPoint) -> str:
    return point.value if point.dist is None else point.dist.name
