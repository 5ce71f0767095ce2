"""
What two stores of one configuration must not share.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

from tiered_store.config.builder import Builder
from tiered_store.config.node import Node
from tiered_store.config.places import is_cache, places_of, places_of_tier
from tiered_store.journals.journal import Journal
from tiered_store.tree import walk


def conflicts(builder: Builder) -> Iterator[tuple[Node, str]]:
    """Yield what has something that is another's already, and what to say of it."""
    yield from _shared_journals(builder)
    yield from _shared_tiers(builder)


def _shared_journals(builder: Builder) -> Iterator[tuple[Node, str]]:
    """
    Yield each store whose journal is another store's.

    Rows know replicas by name: two mirrors with one journal would repair, and delete,
    each other's objects; and a cache takes every row for one of its own.
    """
    owners: dict[Hashable, Node] = {}
    for store, node in builder.stores():
        journal = getattr(store, "journal", None)
        if not isinstance(journal, Journal):
            continue
        place = id(journal) if journal.place is None else journal.place
        owner = owners.setdefault(place, node)
        if owner is not node:
            yield node, f"its journal is that of {owner.path} already; give it its own"


def _shared_tiers(builder: Builder) -> Iterator[tuple[Node, str]]:
    """
    Yield each tier that lies where objects are kept, or another cache's copies.

    Copies have the names of the objects.  A tier overwrites and drops whatever has
    one, and two caches over different origins would serve each other's objects.
    """
    nodes = {id(thing): node for thing, node in builder.made}
    kept = set(_kept(builder))
    owners: dict[Hashable, tuple[Node, list[Hashable]]] = {}
    for cache, _ in builder.stores():
        if not is_cache(cache):
            continue
        options: Any = cache
        origin = list(places_of(options.origin))
        for tier in options.tiers:
            for place in places_of_tier(tier):
                node = nodes[id(tier)]
                first, other = owners.setdefault(place, (node, origin))
                if place in kept:
                    yield node, "objects are kept there, and it drops what it finds"
                elif other != origin:
                    yield (
                        node,
                        f"{first.path} keeps copies of another origin there, under the "
                        "same names; give it a place or a prefix of its own",
                    )


def _kept(builder: Builder) -> Iterator[Hashable]:
    """Yield every place where objects are kept, copies left out."""
    stores = [store for store, _ in builder.stores()]
    inside = {
        id(below) for store in stores for below in walk(store) if below is not store
    }
    for store in stores:
        if id(store) not in inside:
            yield from places_of(store)
