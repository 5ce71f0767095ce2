"""
What two stores of one configuration must not share.
"""

from __future__ import annotations

from collections.abc import Iterator

from tiered_store.config.builder import Builder
from tiered_store.config.node import Node


def shared_journals(builder: Builder) -> Iterator[tuple[Node, str]]:
    """
    Yield each store whose journal is another store's already, and what to say of it.

    Rows know replicas by name: two mirrors with one journal would repair, and delete,
    each other's objects.
    """
    owners: dict[object, Node] = {}
    for store, node in builder.stores():
        journal = getattr(store, "journal", None)
        if journal is None or not hasattr(store, "replicas"):
            continue
        owner = owners.setdefault(journal.place or id(journal), node)
        if owner is not node:
            yield node, f"its journal is that of {owner.path} already; give it its own"
