"""
The user's own topology, with every leaf replaced by one that may fail.

The options are read, and the wrappers stacked, as they always are.  What keeps objects
is a scratch store in memory, or the real one below a prefix of the drill's own; what
keeps a journal or decisions is a scratch file in any case.
"""

from __future__ import annotations

import contextlib
import inspect
import os

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tiered_store.backends.memory import MemoryStore
from tiered_store.config import Registry, load
from tiered_store.config.registry import Constructor, Family
from tiered_store.config.schema import hints_of
from tiered_store.control.file import FileControl
from tiered_store.drill.leaf import Leaf
from tiered_store.errors import StoreError
from tiered_store.foreign import as_store
from tiered_store.journals.memory import MemoryJournal
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.key import Key
from tiered_store.policies.guard import Guard
from tiered_store.store import Store
from tiered_store.tiers.memory import MemoryTier
from tiered_store.tiers.store import StoreTier
from tiered_store.tiers.tier import Tier
from tiered_store.tree import walk
from tiered_store.units import GIB
from tiered_store.wrappers.prefixed import PrefixedStore


class Stage:
    """
    A stack that a drill may harm, built as often as it likes over the same places.

    Args:
        folder: For journals and decisions; it must exist.
        live: What the names of objects in the real stores begin with; None for
            scratch stores.
    """

    def __init__(
        self,
        config: Path,
        name: str | None,
        folder: Path,
        *,
        live: str | None = None,
        seed: int = 0,
    ) -> None:
        self._config = config
        self._name = name
        self._folder = folder
        self._live = live
        self._seed = seed
        self._kept: list[Store] = []
        self._number = 0
        self._files = 0

    def built(self) -> Store:
        """
        Return the stack, as another process would have it.

        Raises:
            ConfigError: Something is wrong with the configuration.
        """
        self._number = self._files = 0
        registry = Registry()
        registry.stores = _Swapping(registry.stores, self._store)
        registry.journals = _Swapping(registry.journals, self._journal)
        registry.tiers = _Swapping(registry.tiers, self._tier)
        registry.controls = _Swapping(registry.controls, self._control)
        registry.families = (
            registry.stores,
            registry.journals,
            registry.tiers,
            registry.controls,
        )
        return load(self._config, self._name, registry=registry)

    def clean(self, stack: Store, keys: Iterable[Key]) -> list[str]:
        """Delete *keys*, and whatever else is there; return what was left, in words."""
        left = []
        for leaf in leaves(stack):
            leaf.heal()
            if "delete" not in leaf.real.capabilities():
                continue
            names = set(keys)
            with contextlib.suppress(StoreError):
                names.update(leaf.child.keys())
            for key in names:
                try:
                    leaf.child.delete(key)
                except StoreError as error:
                    left.append(str(error))
        return left

    def _store(self, made: Any) -> Any:
        store = as_store(made)
        if store.children():
            return store
        number, self._number = self._number, self._number + 1
        if self._live is not None:
            return Leaf(PrefixedStore(store, self._live), store, seed=self._seed)
        if number == len(self._kept):
            self._kept.append(MemoryStore(capacity=GIB))
        return Leaf(_Shared(self._kept[number]), store, seed=self._seed + number)

    def _journal(self, made: Any) -> Any:
        # nothing that times out on this stage takes effect later
        if isinstance(made, MemoryJournal):  # which no other process has
            return MemoryJournal(capacity=made.capacity)
        return SQLiteJournal(self._scratch("journal"), quarantine=0.0)

    def _control(self, made: Any) -> Any:
        return FileControl(self._scratch("decisions"), poll=made.poll)

    def _tier(self, made: Any) -> Any:
        if isinstance(made, MemoryTier | StoreTier) or not isinstance(made, Tier):
            return made
        store = self._store(_Elsewhere(made))
        return StoreTier(store, ttl=made.ttl, max_object=made.max_object)

    def _scratch(self, kind: str) -> str:
        self._files += 1
        return os.fspath(self._folder / f"{kind}-{self._files}")


def leaves(stack: Store) -> list[Leaf]:
    """Return the places at the bottom of *stack*."""
    return [store for store in walk(stack) if isinstance(store, Leaf)]


def is_called(place: str, names: Iterable[str]) -> bool:
    """Tell whether the path *place* ends as one of *names* says."""
    return any(f".{place}".endswith(f".{name}") for name in names)


def bare(store: Store) -> Store:
    """Return *store* without the breaker around it."""
    return store.child if isinstance(store, Guard) else store


class _Shared(PrefixedStore):
    """A store that outlives the stack that it is a part of."""

    def __init__(self, child: Store) -> None:
        super().__init__(child, "")

    def children(self) -> dict[str, Store]:
        return {}


class _Elsewhere(MemoryStore):
    """What a tier keeps its copies in, as far as a drill is concerned."""

    def __init__(self, tier: Any) -> None:
        super().__init__()
        self.timeout = getattr(tier, "timeout", None)


class _Swapping(Family):
    """*family*, whose things are handed to *swap* when they have been made."""

    def __init__(self, family: Family, swap: Callable[[Any], Any]) -> None:
        super().__init__(family.noun, family.base, {})
        self._family = family
        self._swap = swap

    def __contains__(self, word: object) -> bool:
        return word in self._family

    def words(self) -> list[str]:
        return self._family.words()

    def find(self, word: str) -> Constructor:
        constructor = self._family.find(word)

        def make(*values: Any, **options: Any) -> Any:
            return self._swap(constructor(*values, **options))

        made: Any = make  # which takes what the constructor takes
        made.__signature__ = inspect.signature(constructor)
        made.__annotations__ = hints_of(constructor)
        return make


def stores_with(stack: Store, method: str) -> Iterator[Any]:
    """Yield the stores in *stack* that have *method*, such as ``repair``."""
    for store in walk(stack):
        if callable(getattr(store, method, None)):
            yield store
