"""
Move from one store to another while both are in use.

.. code-block:: yaml

   type: migrating
   old: {type: memory}
   new: {type: memory}

New objects go to the new store, old ones are read where they are until they have been
copied.  When nothing is left in the old store that the new one lacks, put the new
store in this one's place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tiered_store.body import Body, Stat
from tiered_store.errors import NotFoundError
from tiered_store.events import Verb
from tiered_store.foreign import as_store
from tiered_store.key import Key
from tiered_store.store import Store, union


class MigratingStore(Store):
    """
    *new* where it has the object, else *old*.

    Nothing is put into *old*.  Only the word of *new* that it has no object leads to
    *old*: in an outage of *new* it may have a later one, so that is told.  A delete
    goes to *old* first, so that one which fails half way never uncovers an old object.

    Args:
        look: Ask *new* which URL to give, one request each.  Without it URLs cost
            nothing and name the object in *new*, whether it has been copied or not.
    """

    def __init__(self, old: Store, new: Store, *, look: bool = False) -> None:
        self.old = as_store(old)
        self.new = as_store(new)
        self.look = look

    def children(self) -> Mapping[str, Store]:
        return {"old": self.old, "new": self.new}

    def capabilities(self) -> frozenset[Verb]:
        """What either can do, puts only as *new* can make them."""
        able = union(iter((self.old, self.new)))
        return able - ({"put"} - self.new.capabilities())

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        self.new.put(key, body, reproducible)

    def _get(self, key: Key) -> Body:
        try:
            return self.new.get(key)
        except NotFoundError:
            return self.old.get(key)

    def _stat(self, key: Key) -> Stat:
        try:
            return self.new.stat(key)
        except NotFoundError:
            return self.old.stat(key)

    def _delete(self, key: Key) -> None:
        self.old.delete(key)
        self.new.delete(key)

    def _url(self, key: Key) -> str:
        new = "url" in self.new.capabilities()
        if new and self.look:
            try:
                self.new.stat(key)
            except NotFoundError:
                new = False
        return (self.new if new else self.old).url(key)

    def _keys(self, prefix: str) -> Iterator[Key]:
        moved = set()
        for key in self.new.keys(prefix):
            moved.add(key)
            yield key
        for key in self.old.keys(prefix):
            if key not in moved:
                yield key
