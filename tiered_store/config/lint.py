"""
What is allowed and will hurt.

Each rule has an identifier that stays.  A rule is a function of what was built; to
add one, write it and name it in ``_RULES``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tiered_store.config.builder import Builder
from tiered_store.config.node import Node
from tiered_store.config.outline import Outline
from tiered_store.config.problems import Place
from tiered_store.store import Store, kind_of
from tiered_store.tiers.shared import SharedTier
from tiered_store.tree import walk


_NEED_TTL = ("stale_while_revalidate", "stale_if_error", "early_refresh")
_SILENT = {"filesystem", "redis"}  # stores that do not tell what can be computed again


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that will hurt."""

    rule: str
    place: Place | None
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.place} {self.path}" if self.place else self.path
        return f"{where}: {self.message} [{self.rule}]"


Found = Iterator[tuple[Node, str]]


def findings(builder: Builder, outline: Outline) -> list[Finding]:
    """Return what will hurt, in the order of the file."""
    found = [
        Finding(rule, node.start, node.path, message)
        for rule, look in _RULES.items()
        for node, message in look(builder, outline)
    ]
    return sorted(found, key=lambda finding: finding.place or Place(""))


def _retry_above_retry(builder: Builder, outline: Outline) -> Found:
    """Only the outermost retry on a path retries."""
    inert: dict[int, str] = {}
    for store, node in builder.stores():
        if kind_of(type(store)) == "retry":
            for other in walk(store):
                if other is not store and kind_of(type(other)) == "retry":
                    inert.setdefault(id(other), node.path)
    for store, node in builder.stores():
        if id(store) in inert:
            yield node, f"never retries below {inert[id(store)]}; remove one of them"


def _fallback_without_timeout(builder: Builder, outline: Outline) -> Found:
    """A store that hangs is no outage until somebody stops waiting for it."""
    for store, node in builder.stores():
        if kind_of(type(store)) == "fallback":
            for role, child in store.children().items():
                if not any(_is_bounded(below) for below in walk(child)):
                    yield (
                        node,
                        f"{role} has no timeout: while it hangs, so does every "
                        "reader; say timeout: 5s there",
                    )


def _is_bounded(store: Store) -> bool:
    kind = kind_of(type(store))
    has_timeout = getattr(store, "timeout", None) is not None
    return kind in {"timeout", "memory"} or has_timeout


def _journal_in_memory(builder: Builder, outline: Outline) -> Found:
    """What a replica missed, or a tier, must outlive the process that knows it."""
    of_caches = {id(cache.journal) for cache, _ in _caches(builder)}
    for thing, node in builder.made:
        if type(thing).__name__ != "MemoryJournal":
            continue
        if id(thing) in of_caches:
            yield (
                node,
                "a cache has one without being told; what a tier could not drop is "
                "forgotten when this process ends; use type: sqlite, or leave it out",
            )
        else:
            yield (
                node,
                "what a replica missed is forgotten when this process ends, and no "
                "other process knows it; use type: sqlite",
            )


def _cached_without_ttl(builder: Builder, outline: Outline) -> Found:
    """Without a shared tier only the ttl bounds what others change unseen."""
    for cache, tier, node in _tiers(builder):
        if tier.ttl is None and _shared(cache) is None:
            yield (
                node,
                "has no ttl: what another process changes is not seen while the copy "
                "is kept; say ttl: 60s, or share a tier of type redis",
            )


def _cluster_without_ttl(builder: Builder, outline: Outline) -> Found:
    """In a Cluster not every failover is noticed."""
    for cache, tier, node in _tiers(builder):
        in_cluster = getattr(tier, "mode", None) == "cluster"
        if tier is _shared(cache) and in_cluster and tier.ttl is None:
            yield (
                node,
                "has no ttl: after a node's failover an old copy may be back, for "
                "good; say ttl: 1d",
            )


def _redis_store_as_tier(builder: Builder, outline: Outline) -> Found:
    """A Redis store tells nobody what is written."""
    for cache, tier, node in _tiers(builder):
        kinds = {
            kind_of(type(store))
            for top in tier.children().values()
            for store in walk(top)
        }
        if "redis" in kinds and _shared(cache) is None:
            yield (
                node,
                "is a store like any other, by which no process hears of another's "
                "writes; write {type: redis, ...} in its place",
            )


def _memory_not_first(builder: Builder, outline: Outline) -> Found:
    """Only the nearest tier is looked at before everything else."""
    for cache, tier, node in _tiers(builder):
        if tier.private and tier is not cache.tiers[0]:
            yield (
                node,
                "is in memory and not the first, so its hits take the long way; put "
                "it first",
            )


def _tier_never_read(builder: Builder, outline: Outline) -> Found:
    """Behind the shared tier are read only objects that are too large for it."""
    for cache, tier, node in _tiers(builder):
        shared = _shared(cache)
        if shared is None or tier.private or tier is shared:
            continue
        behind = cache.tiers.index(tier) > cache.tiers.index(shared)
        if behind and tier.max_object <= shared.max_object:
            yield (
                node,
                "is never read: what is small enough for it is read from the shared "
                "tier before it; change places, or raise its capacity or max_object",
            )


def _policy_without_ttl(builder: Builder, outline: Outline) -> Found:
    """What is never too old is neither refreshed nor served all the same."""
    for cache, node in _caches(builder):
        given = [name for name in _NEED_TTL if getattr(cache, name)]
        if given and all(tier.ttl is None for tier in cache.tiers):
            yield (
                node,
                f"{' and '.join(given)} without effect: no tier has a ttl, so no copy "
                "is ever too old; say ttl: 1h there",
            )


def _reproducible_untold(builder: Builder, outline: Outline) -> Found:
    """Most stores do not remember what their objects were put as."""
    for cache, node in _caches(builder):
        leaves = {
            kind_of(type(store)) for store in walk(cache.origin) if not store.children()
        }
        if cache.cache == "reproducible" and leaves <= _SILENT:
            yield (
                node,
                f"cache: reproducible keeps only what this process puts: a "
                f"{' or '.join(sorted(leaves))} store does not tell what it has",
            )


def _caches(builder: Builder) -> Iterator[tuple[Any, Node]]:
    for store, node in builder.stores():
        if kind_of(type(store)) == "cached":
            yield store, node


def _tiers(builder: Builder) -> Iterator[tuple[Any, Any, Node]]:
    """Yield every tier after its cache, and the node it was made of."""
    nodes = {id(thing): node for thing, node in builder.made}
    for cache, _ in _caches(builder):
        for tier in cache.tiers:
            yield cache, tier, nodes[id(tier)]


def _shared(cache: Any) -> Any:
    return next((tier for tier in cache.tiers if isinstance(tier, SharedTier)), None)


def _never_used(builder: Builder, outline: Outline) -> Found:
    """What nobody refers to is a mistake, or is loaded by name."""
    for noun, named in outline.definitions.items():
        for name, node in named.items():
            is_default = noun == "store" and name == outline.default
            if not is_default and (noun, name) not in builder.used:
                hint = " or load it by name" if noun == "store" else ""
                yield node, f"never used by any store; remove it{hint}"


_RULES: dict[str, Callable[[Builder, Outline], Found]] = {
    "retry-above-retry": _retry_above_retry,
    "fallback-without-timeout": _fallback_without_timeout,
    "journal-in-memory": _journal_in_memory,
    "cached-without-ttl": _cached_without_ttl,
    "cluster-without-ttl": _cluster_without_ttl,
    "redis-store-as-tier": _redis_store_as_tier,
    "memory-not-first": _memory_not_first,
    "tier-never-read": _tier_never_read,
    "policy-without-ttl": _policy_without_ttl,
    "reproducible-untold": _reproducible_untold,
    "never-used": _never_used,
}
