"""
A store around another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tiered_store.body import Body, Stat
from tiered_store.events import Verb
from tiered_store.foreign import as_store
from tiered_store.key import Key
from tiered_store.store import Store


class Wrapper(Store):
    """
    Delegate everything to *child*; a subclass costs what it changes.

    *child* may be any object with the four methods of the contract.
    """

    def __init__(self, child: Store) -> None:
        self.child = as_store(child)

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        self.child.put(key, body, reproducible)

    def _get(self, key: Key) -> Body:
        return self.child.get(key)

    def _url(self, key: Key) -> str:
        return self.child.url(key)

    def _delete(self, key: Key) -> None:
        self.child.delete(key)

    def _stat(self, key: Key) -> Stat:
        return self.child.stat(key)

    def _keys(self, prefix: str) -> Iterator[Key]:
        return self.child.keys(prefix)

    def children(self) -> Mapping[str, Store]:
        return {"child": self.child}

    def capabilities(self) -> frozenset[Verb]:
        return self.child.capabilities()
