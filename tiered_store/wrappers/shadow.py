"""
Try a store out on real traffic, with nothing depending on it.

.. code-block:: yaml

   type: shadow
   child: {type: memory}
   shadow: {type: memory}
   sample: 0.1

Everything is answered by *child*.  Behind the callers' backs, what is written there
is copied to *shadow*, and reads are compared; listeners hear how that went.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest

from tiered_store.body import Body
from tiered_store.chance import CHANCE
from tiered_store.errors import ConfigError, NotFoundError, StoreError
from tiered_store.events import Shadowed, ShadowOutcome
from tiered_store.foreign import as_store
from tiered_store.key import Key
from tiered_store.policies.errands import Errands
from tiered_store.store import Store
from tiered_store.wrapper import Wrapper


_CLOSE_SECONDS = 5.0


class ShadowStore(Wrapper):
    """
    *child*, and a *shadow* that is kept alike and compared in the background.

    Nothing that *shadow* does or fails to do changes a result or keeps a caller
    waiting.  A copy is made from *child* once a put or delete has ended, whichever
    way, so *child* is read once more for each; a comparison reads both, and is made
    only if somebody listens.  An object that several processes write at the same
    time may be copied in the wrong order, which a comparison shows.

    Every result is a :class:`~tiered_store.events.Shadowed`.  What finds no room is
    dropped, and told; what waits when the store closes has five seconds.

    Args:
        sample: The share of reads that are compared, 0 to 1.
        threads: That copy and compare, at most.
        waiting: Objects that wait for them, at most.
    """

    def __init__(
        self,
        child: Store,
        shadow: Store,
        *,
        sample: float = 1.0,
        threads: int = 4,
        waiting: int = 1000,
    ) -> None:
        super().__init__(child)
        self.shadow = as_store(shadow)
        self.sample = sample
        self.threads = threads
        self.waiting = waiting
        if not 0 <= sample <= 1:
            raise ConfigError(f"sample: must be a share from 0 to 1, not {sample!r}")
        self._errands = Errands("shadow copies", threads, waiting)

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        try:
            self.child.put(key, body, reproducible)
        finally:
            self._later(key, lambda: self._copy(key, reproducible), replace=True)

    def _delete(self, key: Key) -> None:
        try:
            self.child.delete(key)
        finally:
            self._later(key, lambda: self._copy(key, False), replace=True)

    def _get(self, key: Key) -> Body:
        wanted = self.listeners and CHANCE.random() < self.sample
        try:
            body = self.child.get(key)
        except NotFoundError:
            if wanted:
                self._later(key, lambda: self._compare(key), replace=False)
            raise
        if wanted:
            self._later(key, lambda: self._compare(key), replace=False)
        return body

    def children(self) -> Mapping[str, Store]:
        return {"child": self.child, "shadow": self.shadow}

    def underneath(self, key: Key) -> Iterator[tuple[Store, Key]]:
        yield self.child, key  # nothing that is read comes from the other

    def _close(self) -> None:
        for key in self._errands.close(_CLOSE_SECONDS):
            self._tell(key, "dropped")

    def _later(
        self, key: Key, work: Callable[[], ShadowOutcome | None], *, replace: bool
    ) -> None:
        def errand() -> None:
            try:
                self._tell(key, work())
            except StoreError as error:
                self._tell(key, "failed", error)

        if not self._errands.add(key, errand, replace=replace):
            self._tell(key, "dropped")

    def _tell(
        self, key: Key, outcome: ShadowOutcome | None, error: StoreError | None = None
    ) -> None:
        if outcome is not None:
            event = Shadowed(store=str(self), key=key, outcome=outcome, error=error)
            self.emit(event)

    def _copy(self, key: Key, reproducible: bool) -> ShadowOutcome:
        body = _body(self.child, key)
        if body is None:
            self.shadow.delete(key)
            return "deleted"
        self.shadow.put(key, body, reproducible)
        return "copied"

    def _compare(self, key: Key) -> ShadowOutcome | None:
        ours, theirs = _body(self.child, key), _body(self.shadow, key)
        outcome = _compared(ours, theirs)
        if self._errands.waits(key):
            return None  # it was written meanwhile, and is about to be copied
        return outcome


def _body(store: Store, key: Key) -> Body | None:
    try:
        return store.get(key)
    except NotFoundError:
        return None


def _compared(ours: Body | None, theirs: Body | None) -> ShadowOutcome:
    if ours is None or theirs is None:
        if ours is theirs:
            return "same"
        return "missing" if theirs is None else "surplus"
    if ours.size != theirs.size:
        return "different"
    pairs = zip_longest(ours.chunks(), theirs.chunks())
    return "same" if all(one == other for one, other in pairs) else "different"
