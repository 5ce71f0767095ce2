"""
Copies in any store: a directory, a bucket nearby, a Redis server.

.. code-block:: yaml

   type: cached
   tiers:
     - {type: filesystem, path: /var/cache/images, create: true, capacity: 10GiB}
   origin: {type: memory}

An object of any size is kept and read without holding it in memory.  What is torn,
flipped, foreign, mixed from two copies or of another format is a miss that heals.
"""

from __future__ import annotations

import contextlib

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial

from tiered_store.body import Body
from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import (
    ClosedError,
    ConfigError,
    CorruptError,
    FullError,
    InvalidError,
    NotFoundError,
    StoreError,
    TooLargeError,
)
from tiered_store.foreign import as_store
from tiered_store.key import Key
from tiered_store.layout import object_name
from tiered_store.policies.breaker import BreakerPolicy
from tiered_store.policies.guard import guard
from tiered_store.store import Store
from tiered_store.tiers.capacity import Capacity
from tiered_store.tiers.copies import SourceError, opened, packed
from tiered_store.tiers.tier import Entry, Tier, always
from tiered_store.units import GIB, Duration, Size


_ANY = 1024 * GIB


class StoreTier(Tier):
    """
    Copies in *store*, behind breakers of its own.

    The store must be this tier's alone: whatever it holds may be dropped.  Several
    processes may share it.  Copies of up to 8 MiB are checked before they are a hit,
    larger ones while they are read: a reader that comes to a piece that does not pass
    raises ``CorruptError`` and the copy is dropped.

    Args:
        ttl: Seconds that a copy is believed.
        jitter: Share of *ttl* that is left to chance.
        capacity: Bytes of all copies, those of other processes and of earlier ones
            included; needs a store that can list.  What nobody asks for goes first.
        max_object: Bytes of the largest object it takes; by default an eighth of
            *capacity*, and without one whatever the store takes, up to 1 TiB.
        breaker: When to stop asking a store that fails; None for never.
    """

    def __init__(
        self,
        store: Store,
        *,
        ttl: Duration | None = None,
        jitter: float = 0.1,
        capacity: Size | None = None,
        max_object: Size | None = None,
        breaker: BreakerPolicy | None = BreakerPolicy(),  # noqa: B008 - frozen
        clock: Clock = SYSTEM,
    ) -> None:
        if not 0 <= jitter <= 1:
            raise ConfigError(f"jitter: must be between 0 and 1, not {jitter}")
        if capacity is not None and capacity <= 0:
            raise ConfigError(f"capacity: must be positive, not {capacity}")
        self.given_max_object = max_object
        if max_object is None:
            max_object = _ANY if capacity is None else capacity // 8
        self._bare = as_store(store)
        self.store = guard(self._bare, breaker, clock)
        # a store that is full refuses what is put, and still drops
        self._drops = guard(self._bare, breaker, clock)
        self.ttl = ttl
        self.jitter = jitter
        self.capacity = capacity
        self.max_object = max_object
        self.breaker = breaker
        self._clock = clock
        self._bound = (
            None
            if capacity is None
            else Capacity(capacity, self._bare, self._drops, clock=clock)
        )

    def children(self) -> Mapping[str, Store]:
        """Return the store."""
        return {"store": self.store}

    def close(self) -> None:
        """Count no more what is there."""
        if self._bound is not None:
            self._bound.close()

    def get(self, key: Key) -> Entry | None:
        """Return the copy of *key* if it is its own and not too old."""
        try:
            entry = self._found(key, partial(self._heal, key))
        except CorruptError:
            self._heal(key)
            return None
        if entry is not None and self._bound is not None:
            self._bound.asked(key)
        return entry

    def examine(self, key: Key) -> Entry | None:
        return self._found(key, lambda: None)

    def put(self, key: Key, entry: Entry, allowed: Callable[[], bool] = always) -> bool:
        """
        Keep *entry*, read piece by piece, or drop what was there.

        An error of its body is raised as it is.
        """
        copy = self._packed(key, entry)
        if copy is not None and self._stored(key, copy, allowed) and allowed():
            return True
        self.delete(key)
        return False

    def delete(self, key: Key) -> None:
        """Drop the copy of *key*."""
        self._delete(key, self._drops)

    def clear(self) -> None:
        """
        Drop everything that can be listed.

        Raises:
            StoreError: Not all of it could be dropped; the rest was.
        """
        failure: StoreError | None = None
        for key in self.store.keys():
            try:
                self.delete(key)
            except StoreError as error:
                failure = error
        if failure is not None:
            raise failure

    def _found(self, key: Key, drop: Callable[[], None]) -> Entry | None:
        try:
            entry = opened(object_name(key), self.store.get(key), drop)
        except NotFoundError:
            return None
        fresh = entry.record.fresh(self._clock.time() - self.grace)
        return entry if fresh else None

    def _packed(self, key: Key, entry: Entry) -> Body | None:
        """Return what is to be stored of *entry*, or None if it is not to be kept."""
        body, until = entry.body, self.until(entry, self._clock.time())
        record = entry.record.until(until)
        if not record.absent and (body is None or body.size > self.max_object):
            return None
        return packed(object_name(key), record, body)

    def _stored(self, key: Key, copy: Body, allowed: Callable[[], bool]) -> bool:
        """Store *copy* if there is room for it; if that fails, leave nothing behind."""
        try:
            with self._room(key, copy.size) as room:
                if not room or not allowed():
                    return False
                self.store.put(key, copy, reproducible=True)
        except TooLargeError:
            return False
        except StoreError as error:
            with contextlib.suppress(StoreError):
                self.delete(key)
            if isinstance(error, FullError) and self._bound is not None:
                self._bound.overflowed()
            if isinstance(error, SourceError):
                raise error.why from error.why.__cause__
            raise
        return True

    def _room(self, key: Key, size: int) -> AbstractContextManager[bool]:
        if self._bound is None:
            return contextlib.nullcontext(True)
        return self._bound.room(key, size)

    def _heal(self, key: Key) -> None:
        """Drop what does not pass; where that fails, it does not pass next time."""
        # without a breaker: one copy that stays is no reason to drop no other
        with contextlib.suppress(StoreError, ClosedError):  # or closed meanwhile
            self._delete(key, self._bare)

    def _delete(self, key: Key, store: Store) -> None:
        with contextlib.suppress(
            InvalidError
        ):  # it has nothing of a name it cannot have
            store.delete(key)
        if self._bound is not None:
            self._bound.release(key)
