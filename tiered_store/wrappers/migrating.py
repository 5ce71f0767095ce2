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

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from tiered_store.body import Body, Stat
from tiered_store.errors import NotFoundError, StoreError
from tiered_store.events import Verb
from tiered_store.foreign import as_store
from tiered_store.key import Key
from tiered_store.store import Store, union


Result = TypeVar("Result")


class MigratingStore(Store):
    """
    *new* where it has the object, else *old*.

    Nothing is put into *old*.  Only the word of *new* that it has no object leads to
    *old*: in an outage of *new* it may have a later one, so that is told.  When *old*
    has none either, *new* is asked once more: whoever copies may have moved the object
    between the two questions.  A delete goes to *old* first, so that one which fails
    half way never uncovers an old object.

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
        """What either can do; puts as *new* can, deletes and listings as both can."""
        able = union(iter((self.old, self.new)))
        both = self.old.capabilities() & self.new.capabilities()
        return able - ({"put"} - self.new.capabilities()) - ({"delete", "keys"} - both)

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        self.new.put(key, body, reproducible)

    def _get(self, key: Key) -> Body:
        return self._wherever(lambda store: store.get(key))

    def _stat(self, key: Key) -> Stat:
        return self._wherever(lambda store: store.stat(key))

    def _wherever(self, ask: Callable[[Store], Result]) -> Result:
        for store in (self.new, self.old):
            try:
                return ask(store)
            except NotFoundError:
                continue
        return ask(self.new)  # where it is, if it was moved meanwhile

    def _delete(self, key: Key) -> None:
        self.old.delete(key)
        try:
            self.new.delete(key)
        except StoreError as error:
            error.ambiguous = True  # it may have been in the old store alone
            raise

    def _url(self, key: Key) -> str:
        new = "url" in self.new.capabilities()
        if new and self.look:
            try:
                self.new.stat(key)
            except NotFoundError:
                new = False
        return (self.new if new else self.old).url(key)

    def _keys(self, prefix: str) -> Iterator[Key]:
        left = set()  # the old store first, or what is moved meanwhile is in neither
        for key in self.old.keys(prefix):
            left.add(key)
            yield key
        for key in self.new.keys(prefix):
            if key not in left:
                yield key
