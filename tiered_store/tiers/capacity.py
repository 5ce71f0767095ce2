"""
A bound on the bytes in a store that several processes may fill.

Each process counts what it puts, and lists the store now and then, in a thread of
its own, for what it cannot know: what earlier processes left, what others put and
dropped.  Whose turn it is to go, :mod:`tiered_store.tiers.eviction` says.
"""

from __future__ import annotations

import contextlib
import threading

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tiered_store import lifecycle
from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import RefusedError, StoreError, UnsupportedError
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.tiers.census import Census, listed
from tiered_store.tiers.eviction import FREQUENT, Queues


_UNSEEN = 10  # the part of the limit, one tenth, that is left for what is not counted
_BUSIEST = 16  # times as much as we, if others write that much
_REGAINED = 16  # the part of the room that is tried again after the store was full
_CORRECTED = 1000  # keys between which the lock is free
_STUBBORN = 3  # copies in a row that cannot be dropped
_FINAL = (RefusedError, UnsupportedError)  # another time it would be no better


@dataclass(slots=True)
class _Held:
    size: int
    hits: int = 0


class Capacity:
    """
    Keeps the objects of *store* within *limit* bytes.

    A tenth of it is left for what other processes put unseen: if they write more than
    that while this one rests between two counts, they exceed it until the next.

    Args:
        store: What is counted.
        drops: The same, to delete from.
    """

    def __init__(
        self, limit: int, store: Store, drops: Store, *, clock: Clock = SYSTEM
    ) -> None:
        self.limit = limit
        self._store = store
        self._drops = drops
        self._allowance = limit // _UNSEEN
        self._most = limit - self._allowance
        self._census = Census("tier-count", self._counted, self._due, clock=clock)
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Know nothing: the parent may have been in the middle of a change."""
        self._lock = threading.Lock()
        self._learned = False
        self._held: dict[Key, _Held] = {}
        self._going: set[Key] = set()  # being dropped to make room
        self._queues = Queues(self.limit)
        self._coming = 0  # bytes on their way
        self._changed: set[Key] | None = None  # since a count under way began
        self._room = self._most
        self._written = 0  # since the last count
        self._interval = self._allowance // _BUSIEST

    @property
    def size(self) -> int:
        """Return the bytes that are known to be there, or on their way."""
        return self._queues.size + self._coming

    def asked(self, key: Key) -> None:
        """Remember that *key* was asked for; without a lock."""
        held = self._held.get(key)
        if held is not None and held.hits < FREQUENT:
            held.hits += 1

    @contextlib.contextmanager
    def room(self, key: Key, size: int) -> Iterator[bool]:
        """
        Make room for a copy of *size* bytes, which is there at the end of the block.

        Yields whether there is any; until the store has been listed once, a tenth is
        all there is.  While an older copy is being dropped there is none: nobody could
        say which of the two the store did last.

        Raises:
            StoreError: What should go cannot be dropped.
        """
        reserved = self._reserve(key, size)
        self._census.check()
        if not reserved:
            yield False
            return
        try:
            self._make_room()
            yield True
        except BaseException:
            with self._lock:
                self._coming -= size
            raise
        with self._lock:
            self._coming -= size
            self._note(key)
            self._add(key, size)

    def release(self, key: Key) -> None:
        """Count *key* out, which was dropped."""
        with self._lock:
            self._note(key)
            self._remove(key)

    def overflowed(self) -> None:
        """
        Make do with what is there: the store is full.

        Later counts try little by little whether that has changed.
        """
        with self._lock:
            self._room = min(self._room, self.size)

    def settle(self, seconds: float) -> bool:
        """Wait for a count that is due or under way, and say whether it is over."""
        return self._census.settle(seconds)

    def close(self) -> None:
        """Count no more."""
        self._census.close()

    def _reserve(self, key: Key, size: int) -> bool:
        with self._lock:
            if key in self._going:
                return False
            self._written += size
            held = self._held.get(key)
            others = self.size - (held.size if held is not None else 0)
            if self._learned:
                if size > self._room:
                    return False
            elif others + size > min(self._room, self._allowance):
                return False
            self._remove(key)
            self._coming += size
            return True

    def _make_room(self) -> None:
        failures = 0
        while (victim := self._victim()) is not None:
            key, size = victim
            try:
                self._drops.delete(key)
            except StoreError:
                with self._lock:  # it still counts, behind those that may be dropped
                    self._add(key, size)
                failures += 1
                if failures == _STUBBORN:
                    raise
            finally:
                with self._lock:
                    self._going.discard(key)

    def _victim(self) -> tuple[Key, int] | None:
        with self._lock:
            if self.size <= self._room or not self._held:
                return None
            key = self._queues.evict()
            self._going.add(key)
            return key, self._held.pop(key).size

    # -- with the lock -------------------------------------------------------

    def _add(self, key: Key, size: int) -> None:
        self._remove(key)
        held = self._held[key] = _Held(max(size, 1))
        self._queues.add(key, held)

    def _remove(self, key: Key) -> None:
        if self._held.pop(key, None) is not None:
            self._queues.remove(key)

    def _note(self, key: Key) -> None:
        """Tell a count that is under way that it is wrong on *key*."""
        if self._changed is not None:
            self._changed.add(key)

    # -- counting, in a thread of its own ------------------------------------

    def _due(self) -> bool:
        return not self._learned or self._written >= self._interval

    def _counted(self) -> bool:
        """Count what is there, and make room; say whether it is to be believed."""
        try:
            believed = self._learn()
            with contextlib.suppress(StoreError):
                self._make_room()
        except ValueError:
            if not self._store.closed:  # meanwhile
                raise
            return False
        return believed

    def _learn(self) -> bool:
        """Correct what is known by what is there; say whether it is to be believed."""
        with self._lock:
            known = self._held.copy()
            changed = self._changed = set()
            written, self._written = self._written, 0
        found, failure = listed(self._store, self._census.breathe)
        theirs = self._correct([item for item in found.items() if item[0] not in known])
        wrong: list[tuple[Key, int | None]] = []
        for key, held in known.items():
            size = found.get(key)
            # what a failure has hidden may be there all the same
            if size != held.size and not (size is None and failure):
                wrong.append((key, size))
        self._correct(wrong)
        believed = failure is None or isinstance(failure, _FINAL)
        with self._lock:
            self._changed = None
            if self._learned:
                busier = min(max(theirs / max(written, 1), 1), _BUSIEST)
                self._interval = int(self._allowance / busier)
                more = max(self._room, self._allowance) // _REGAINED
                self._room = min(self._most, self._room + more)
            elif believed:
                self._come_last([*known, *changed])
                if self._room < self._most:  # it was full already
                    self._room = min(self._most, self.size)
                self._learned = True
        return believed

    def _correct(self, sizes: Sequence[tuple[Key, int | None]]) -> int:
        """
        Believe *sizes*, None for what is gone, unless we have changed it since.

        Returns the bytes that were believed.
        """
        believed = 0
        for start in range(0, len(sizes), _CORRECTED):
            with self._lock:
                for key, size in sizes[start : start + _CORRECTED]:
                    if self._changed is not None and key in self._changed:
                        continue
                    if size is None:
                        self._remove(key)
                    else:
                        self._add(key, size)
                        believed += size
        return believed

    def _come_last(self, keys: Iterable[Key]) -> None:
        """Let what we have put until now go after what was there before us."""
        for key in keys:
            held = self._held.get(key)
            if held is not None:
                self._add(key, held.size)
