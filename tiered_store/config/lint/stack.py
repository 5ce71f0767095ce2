"""
What was built, as rules ask for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiered_store.config.builder import Builder
from tiered_store.config.node import Node
from tiered_store.config.outline import Outline
from tiered_store.node import kind_of
from tiered_store.store import Store
from tiered_store.tiers.shared import SharedTier
from tiered_store.tree import walk


class Stack:
    """
    Everything that a file defines, and the node that each thing was made of.

    Stores are of any class, plug-ins included, so that a rule asks for attributes and
    finds ``Any``.

    Attributes:
        complete: Nothing is wrong, so that all that the file defines was made.
    """

    def __init__(
        self, builder: Builder, outline: Outline, *, complete: bool = True
    ) -> None:
        self.builder = builder
        self.outline = outline
        self.complete = complete
        self._nodes = {id(thing): node for thing, node in builder.made}

    def things(self) -> Iterator[tuple[Any, Node]]:
        """Yield all that was made, parts first."""
        yield from self.builder.made

    def stores(self, *kinds: str) -> Iterator[tuple[Any, Node]]:
        """Yield every store of one of *kinds*, or every store."""
        for store, node in self.builder.stores():
            if not kinds or kind_of(type(store)) in kinds:
                yield store, node

    def tiers(self) -> Iterator[tuple[Any, Any, Node]]:
        """Yield every tier after its cache, and the node it was made of."""
        for cache, _ in self.stores("cached"):
            for tier in cache.tiers:
                yield cache, tier, self._nodes[id(tier)]

    def node_of(self, thing: object, otherwise: Node) -> Node:
        """Return the node that *thing* was made of, if it was."""
        return self._nodes.get(id(thing), otherwise)


def kind(store: Store) -> str:
    """Return the word for the type of *store*."""
    return kind_of(type(store))


def kinds_below(store: Store) -> set[str]:
    """Return the types of *store* and of everything underneath."""
    return {kind(each) for each in walk(store)}


def leaves(store: Store) -> Iterator[Any]:
    """Yield the stores underneath that have none themselves."""
    for each in walk(store):
        if not each.children():
            yield each


def shared_tier(cache: Any) -> Any:
    """Return the tier of *cache* that processes share, if it has one."""
    return next((tier for tier in cache.tiers if isinstance(tier, SharedTier)), None)


def is_bounded(store: Store) -> bool:
    """Whether somebody stops waiting for *store* itself."""
    has_timeout = getattr(store, "timeout", None) is not None
    return kind(store) in {"timeout", "memory"} or has_timeout
