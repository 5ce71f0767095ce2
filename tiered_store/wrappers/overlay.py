"""
Write above, read through to below: a sandbox over production.

.. code-block:: yaml

   type: overlay
   above: {type: memory}                   # yours
   below: {type: memory}                   # production: read, never written

The original library's sandbox, over any two stores.  What is put goes above.  What
is deleted gets a mark above, so that it is gone although it is still below.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from tiered_store.body import Body, Stat
from tiered_store.errors import (
    InvalidError,
    NotFoundError,
    StoreError,
    UnsupportedError,
)
from tiered_store.events import Verb
from tiered_store.findings import Finding
from tiered_store.foreign import as_store
from tiered_store.key import Key
from tiered_store.store import Store, union


Result = TypeVar("Result")
_MARK = "application/x-deleted+"
_KNOWN = 10_000


class OverlayStore(Store):
    """
    *above* where it says something, else *below*.

    A deletion's mark is written before the object above goes, and stays: an object
    above outranks it.  So neither a crash nor a concurrent put lets the object below
    come back.  An outage above is told as one and never reads through.

    Args:
        look: Ask *above* which URL to give, one request each.  Without it URLs cost
            nothing and follow what this process has put or seen above; of anything
            else they name the object below.
    """

    def __init__(self, above: Store, below: Store, *, look: bool = False) -> None:
        self.above = as_store(above)
        self.below = as_store(below)
        self.look = look
        self._known: OrderedDict[Key, None] = OrderedDict()

    def children(self) -> Mapping[str, Store]:
        return {"above": self.above, "below": self.below}

    def capabilities(self) -> frozenset[Verb]:
        """What either can do; changes as *above* can, listings as both can."""
        able = union(iter((self.above, self.below)))
        above = self.above.capabilities()
        changes: set[Verb] = {"put", "delete"} if "put" in above else set()
        both = above & self.below.capabilities()
        return able - ({"put", "delete"} - (above & changes)) - ({"keys"} - both)

    def findings(self, key: Key) -> Iterator[Finding]:
        try:
            self.above.stat(key)
        except NotFoundError:
            if self._is_marked(key):
                facts = {"deleted": "here, whatever is below"}
                yield Finding(place=str(self), state="absent", facts=facts)

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        _mark(key)  # which is refused where the key itself looks like one
        self.above.put(key, body, reproducible)
        self._know(key)

    def _delete(self, key: Key) -> None:
        self.above.put(_mark(key), Body.of(b""), reproducible=False)
        try:
            self.above.delete(key)
        except StoreError as error:
            error.ambiguous = True  # the mark says so already of what is only below
            raise
        self._known.pop(key, None)

    def _get(self, key: Key) -> Body:
        return self._first(key, lambda store: store.get(key))

    def _stat(self, key: Key) -> Stat:
        return self._first(key, lambda store: store.stat(key))

    def _first(self, key: Key, ask: Callable[[Store], Result]) -> Result:
        try:
            found = ask(self.above)
        except NotFoundError:
            if self._is_marked(key):
                raise
            return ask(self.below)
        self._know(key)
        return found

    def _is_marked(self, key: Key) -> bool:
        try:
            self.above.stat(_mark(key))
        except NotFoundError:
            return False
        return True

    def _url(self, key: Key) -> str:
        ranked = [self.below, self.above]
        if key in self._known or (self.look and self._is_above(key)):
            ranked.reverse()
        try:
            return ranked[0].url(key)
        except UnsupportedError:
            return ranked[1].url(key)

    def _is_above(self, key: Key) -> bool:
        try:
            self.above.stat(key)
        except NotFoundError:
            return self._is_marked(key)
        return True

    def _keys(self, prefix: str) -> Iterator[Key]:
        hidden = set()  # as many as the sandbox has objects
        for key in self.above.keys(prefix):
            if key.mimetype.startswith(_MARK):
                hidden.add(key._replace(mimetype=key.mimetype.removeprefix(_MARK)))
            else:
                hidden.add(key)
                yield key
        for key in self.below.keys(prefix):
            if key not in hidden:
                yield key

    def _know(self, key: Key) -> None:
        self._known[key] = None
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)


def _mark(key: Key) -> Key:
    if key.mimetype.startswith(_MARK):
        raise InvalidError(f"mimetypes that begin with {_MARK!r} are for marks")
    return key._replace(mimetype=_MARK + key.mimetype)
