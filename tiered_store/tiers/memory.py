"""
Copies in this process's memory, bounded in bytes.

A hit takes no lock and asks nobody, so whatever is here may be served.  What is not to
be served any more must be dropped, and must not be put again: that is what *allowed* is
asked for, in one step with the change.  Who goes when there is no room is told by
:mod:`tiered_store.tiers.eviction`.
"""

from __future__ import annotations

import threading

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from tiered_store import lifecycle
from tiered_store.body import Body, BytesBody
from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import ConfigError
from tiered_store.key import Key
from tiered_store.tiers.eviction import FREQUENT, Queues
from tiered_store.tiers.tier import WHOLE, Entry, Record, Tier, always
from tiered_store.units import MIB, Duration, Size


BOOKKEEPING = 1000  # bytes that a copy takes besides its content
_SURELY = 10  # times the mean: once in 20,000 times, chance wants more
_JUMP = 0.1  # seconds that clocks may come apart, by being asked one after the other

_Result = TypeVar("_Result")


class Copy:
    """
    What is in memory of one object.

    Attributes:
        content: The bytes; None once it is dropped, or if the object is absent.
        look_at: Until then, by the monotonic clock, *content* can be served as it is;
            from then on by :meth:`MemoryTier.get`, whose record tells whether it can.
        hits: Counted by whoever serves *content*, up to 3.
        ends: When it is no longer fresh, by the monotonic clock.
        size: Bytes, bookkeeping included.
    """

    __slots__ = (
        *("content", "look_at", "hits"),
        *("record", "ends", "provisional", "reproducible", "size"),
    )

    content: bytes | None

    def __init__(
        self, record: Record, body: BytesBody | None, ends: float, look_at: float
    ) -> None:
        self.content = None
        self.provisional = False
        self.reproducible: bool | None = None
        if body is not None:
            self.content = body.read()
            self.provisional = body.provisional
            self.reproducible = body.reproducible
        self.look_at = look_at
        self.hits = 0
        self.record = record
        self.ends = ends
        self.size = BOOKKEEPING + len(self.content or b"")


class MemoryTier(Tier):
    """
    Copies in a dictionary.

    Ages are told by the monotonic clock, so setting the machine's clock changes none.

    Args:
        capacity: Bytes, the bookkeeping of each copy included.
        ttl: Seconds that a copy is believed.
        jitter: Share of *ttl* that is left to chance.
        max_object: Bytes of the largest object; by default an eighth of *capacity*,
            at most 8 MiB.

    Attributes:
        copies: For who cannot wait for :meth:`get`, to be looked up without a lock by
            a key or a tuple equal to one.  It is the same dictionary for good.
        early: How eagerly copies are refreshed before they end.  Every request draws
            by chance whether it is the one who does (Vattani et al., *Optimal
            Probabilistic Cache Stampede Prevention*, VLDB 2015): the more that ask, the
            earlier one of them does, and the surer it has ended when the copy ends.
            A time drawn once for each copy would leave the fetch too little time in
            two of three cases, however many ask.  So a copy's ``look_at`` is only the
            earliest time that such a draw has a chance: before, a hit draws nothing.
    """

    private = True
    early: float = 0.0

    def __init__(
        self,
        *,
        capacity: Size = 256 * MIB,
        ttl: Duration | None = None,
        jitter: float = 0.1,
        max_object: Size | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        if capacity <= 0:
            raise ConfigError(f"capacity: must be positive, not {capacity}")
        if not 0 <= jitter <= 1:
            raise ConfigError(f"jitter: must be between 0 and 1, not {jitter}")
        if max_object is not None and not 0 < max_object <= WHOLE:
            raise ConfigError(
                f"max_object: must be more than zero and at most 8MiB, not {max_object}"
            )
        self.capacity = capacity
        self.ttl = ttl
        self.jitter = jitter
        self.given_max_object = max_object
        self.max_object = (
            min(WHOLE, capacity // 8) if max_object is None else max_object
        )
        self.copies: dict[Key, Copy] = {}
        self._clock = clock
        self._queues = Queues(capacity)
        self._lock = threading.Lock()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Take a lock of one's own; the copies are the child's."""
        if self._lock.locked():  # a change is under way that nobody will finish
            self._begin_anew()
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Return the bytes in use, never more than *capacity*."""
        return self._queues.size

    def get(self, key: Key) -> Entry | None:
        """Return the copy of *key*, without a lock."""
        copy = self.copies.get(key)
        if copy is None:
            return None
        content = copy.content  # once: another thread may drop it at any time
        if content is None and not copy.record.absent:
            copy = self.copies.get(key)  # it was dropped just now, and perhaps replaced
            content = None if copy is None else copy.content
            if copy is None or (content is None and not copy.record.absent):
                return None
        left = copy.ends - self._clock.monotonic()
        if left + self.grace <= 0:
            self._alone(partial(self._expire, key, copy))
            return None
        if copy.hits < FREQUENT:
            copy.hits += 1
        return Entry(self._told_now(copy.record, left), _body(copy, content))

    def put(self, key: Key, entry: Entry, allowed: Callable[[], bool] = always) -> bool:
        """Keep *entry*, evicting others as needed, if *allowed* under the lock."""
        try:
            copy = self._copy(entry)
        except BaseException:
            self.delete(key)
            raise
        return self._alone(partial(self._replace, key, copy, allowed))

    def delete(self, key: Key) -> None:
        """Drop the copy of *key*."""
        self._alone(partial(self._remove, key))

    def clear(self) -> None:
        """Drop everything."""
        self._alone(self._begin_anew)

    def _copy(self, entry: Entry) -> Copy | None:
        """Return what to keep of *entry*, None if it is not to be kept."""
        body = entry.body
        if not entry.whole or (body is not None and body.size > self.max_object):
            return None
        whole = None if body is None else body.in_memory()
        now = self._clock.time()
        until = self.until(entry, now)
        ends = self._clock.monotonic() + (until - now)
        look_at = ends - _SURELY * self.early * entry.record.cost
        copy = Copy(entry.record.until(until), whole, ends, look_at)
        over = until + self.grace <= now
        return None if over or copy.size > self.capacity else copy

    def _told_now(self, record: Record, left: float) -> Record:
        """Return *record* with *left* seconds to go, although the clock was set."""
        until = self._clock.time() + left
        if until == record.fresh_until or abs(until - record.fresh_until) < _JUMP:
            return record
        return record.until(until)

    # -- changes -------------------------------------------------------------

    def _alone(self, change: Callable[[], _Result]) -> _Result:
        with self._lock:
            try:
                return change()
            except BaseException:  # such as a signal's: what is here may not add up
                self._begin_anew()
                raise

    def _replace(
        self, key: Key, copy: Copy | None, allowed: Callable[[], bool]
    ) -> bool:
        if copy is None or not allowed():
            self._remove(key)
            return False
        old = self.copies.get(key)
        if old is not None:
            self._queues.remove(key)
        while self._queues.size + copy.size > self.capacity:
            self._forget(self._queues.evict())
        self._queues.add(key, copy)
        self.copies[key] = copy  # at once: who looks meanwhile finds the old or the new
        if old is not None:
            old.content = None
        return True

    def _expire(self, key: Key, copy: Copy) -> None:
        if self.copies.get(key) is copy:
            self._remove(key)

    def _remove(self, key: Key) -> None:
        if key in self.copies:
            self._forget(key)
            self._queues.remove(key)

    def _forget(self, key: Key) -> None:
        self.copies.pop(key).content = None  # somebody may be about to look at it

    def _begin_anew(self) -> None:
        self.copies.clear()
        self._queues = Queues(self.capacity)


def _body(copy: Copy, content: bytes | None) -> Body | None:
    """Return a body of its own, since whoever gets it may mark it as provisional."""
    if content is None:
        return None
    body = copy.record.body(content)
    body.provisional = copy.provisional
    body.reproducible = copy.reproducible
    return body
