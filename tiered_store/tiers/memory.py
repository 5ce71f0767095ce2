"""
Copies in this process's memory, bounded in bytes.

Evicts by S3-FIFO (Yang et al., *FIFO queues are all you need for cache eviction*,
SOSP 2023), weighted by bytes: a newcomer waits in a small queue and only moves to
the main one if it is asked for again, so a scan cannot flush what is popular.  A
hit takes no lock.
"""

from __future__ import annotations

import threading

from collections import OrderedDict, deque

from tiered_store import lifecycle
from tiered_store.body import BytesBody
from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import ConfigError
from tiered_store.key import Key
from tiered_store.tiers.tier import Entry, Tier, lifetime
from tiered_store.units import MIB, Duration, Size


_OVERHEAD = 200  # bytes that a copy costs besides its content
_SMALL_SHARE = 0.1
_FREQUENT = 3
_PLACES = 64


class _Copy:
    __slots__ = ("content", "ends", "hits", "key", "since", "size", "small")

    content: bytes | None  # None once it is dropped

    def __init__(
        self, key: Key, content: bytes, since: float, ends: float | None
    ) -> None:
        self.key = key
        self.content = content
        self.since = since
        self.ends = ends
        self.size = len(content) + _OVERHEAD
        self.hits = 0
        self.small = False


class MemoryTier(Tier):
    """
    Copies in a dictionary.

    Args:
        capacity: Bytes, the bookkeeping of each copy included.
        ttl: Seconds that a copy is believed.
        jitter: Share of *ttl* that is left to chance.
        max_object: Bytes of the largest object; by default an eighth of *capacity*,
            at most 8 MiB.
    """

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
        self.capacity = capacity
        self.ttl = ttl
        self.jitter = jitter
        self.max_object = (
            min(8 * MIB, capacity // 8) if max_object is None else max_object
        )
        self._clock = clock
        self._copies: dict[Key, _Copy] = {}
        self._small: deque[_Copy] = deque()
        self._main: deque[_Copy] = deque()
        self._small_size = 0
        self._size = 0
        self._ghosts: OrderedDict[Key, int] = OrderedDict()
        self._ghosts_size = 0
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Take a lock of one's own; the copies are the child's."""
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Return the bytes in use."""
        return self._size

    def get(self, key: Key) -> Entry | None:
        """Return the copy of *key*, without a lock."""
        copy = self._copies.get(key)
        if copy is None:
            return None
        content = copy.content  # once: another thread may drop it at any time
        if content is None:
            return None
        if copy.ends is not None and self._clock.monotonic() >= copy.ends:
            self._expire(copy)
            return None
        if copy.hits < _FREQUENT:
            copy.hits += 1
        return Entry(BytesBody(content), copy.since)

    def put(self, key: Key, content: bytes, since: float) -> bool:
        """Keep *content*, evicting others as needed."""
        seconds = lifetime(self.ttl, self.jitter)
        ends = None if seconds is None else self._clock.monotonic() + seconds
        copy = _Copy(key, content, since, ends)
        with self._lock:
            self._remove(self._copies.get(key))
            if len(content) > self.max_object or copy.size > self.capacity:
                return False
            self._make_room(copy.size)
            self._copies[key] = copy
            self._size += copy.size
            if key in self._ghosts:
                self._ghosts_size -= self._ghosts.pop(key)
                self._main.append(copy)
            else:
                copy.small = True
                self._small.append(copy)
                self._small_size += copy.size
            self._sweep()
        return True

    def delete(self, key: Key) -> None:
        """Drop the copy of *key*."""
        with self._lock:
            self._remove(self._copies.get(key))

    def _expire(self, copy: _Copy) -> None:
        with self._lock:
            if self._copies.get(copy.key) is copy:
                self._remove(copy)

    def _remove(self, copy: _Copy | None) -> None:
        """Forget *copy*; its place in a queue is passed over when its turn comes."""
        if copy is None:
            return
        del self._copies[copy.key]
        self._size -= copy.size
        if copy.small:
            self._small_size -= copy.size
        copy.content = None

    def _sweep(self) -> None:
        """Take forgotten places out of the queues before they outnumber the copies."""
        if len(self._small) + len(self._main) > 2 * len(self._copies) + _PLACES:
            self._small = _alive(self._small)
            self._main = _alive(self._main)

    def _make_room(self, size: int) -> None:
        while self._size + size > self.capacity:
            crowded = self._small_size > self.capacity * _SMALL_SHARE
            if self._small and (crowded or not self._main):
                self._evict_small()
            else:
                self._evict_main()

    def _evict_small(self) -> None:
        copy = self._small.popleft()
        if copy.content is None:
            return
        if copy.hits:
            copy.hits = 0
            copy.small = False
            self._small_size -= copy.size
            self._main.append(copy)
        else:
            self._remove(copy)
            self._remember(copy)

    def _evict_main(self) -> None:
        copy = self._main.popleft()
        if copy.content is None:
            return
        if copy.hits:
            copy.hits -= 1
            self._main.append(copy)
        else:
            self._remove(copy)

    def _remember(self, copy: _Copy) -> None:
        self._ghosts[copy.key] = copy.size
        self._ghosts_size += copy.size
        while self._ghosts_size > self.capacity:
            _, size = self._ghosts.popitem(last=False)
            self._ghosts_size -= size


def _alive(queue: deque[_Copy]) -> deque[_Copy]:
    return deque(copy for copy in queue if copy.content is not None)
