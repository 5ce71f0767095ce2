"""
Copies in any store: a directory, a Redis server, a bucket nearby.

Each copy carries a header (format, time, length, checksum, name), so that one that
is torn, foreign or of another format is a miss and never served.
"""

from __future__ import annotations

import struct
import threading

from collections import OrderedDict
from collections.abc import Mapping

import xxhash

from tiered_store import lifecycle
from tiered_store.body import Body, BytesBody
from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import (
    ConfigError,
    CorruptError,
    NotFoundError,
    UnsupportedError,
)
from tiered_store.foreign import as_store
from tiered_store.key import Key
from tiered_store.layout import object_name
from tiered_store.policies.breaker import BreakerPolicy
from tiered_store.policies.guard import guard
from tiered_store.store import Store
from tiered_store.tiers.tier import Entry, Tier, lifetime
from tiered_store.units import MIB, Duration, Size


_MAGIC = b"tsc1"
_HEADER = struct.Struct(">4sddQQQ")  # magic, since, ends, length, checksum, name
_NEVER = float("inf")


class StoreTier(Tier):
    """
    Copies in *store*, behind a breaker of its own.

    The store must be this tier's alone: whatever it holds may be dropped.

    Args:
        ttl: Seconds that a copy is believed.
        jitter: Share of *ttl* that is left to chance.
        capacity: Bytes of all copies this process knows of, the oldest go first;
            needs a store that can list what it kept from before.
        max_object: Bytes of the largest object it takes.
        breaker: When to stop asking a store that fails; None for never.
    """

    def __init__(
        self,
        store: Store,
        *,
        ttl: Duration | None = None,
        jitter: float = 0.1,
        capacity: Size | None = None,
        max_object: Size = 8 * MIB,
        breaker: BreakerPolicy | None = BreakerPolicy(),  # noqa: B008 - frozen
        clock: Clock = SYSTEM,
    ) -> None:
        if not 0 <= jitter <= 1:
            raise ConfigError(f"jitter: must be between 0 and 1, not {jitter}")
        self.store = guard(as_store(store), breaker)
        self.ttl = ttl
        self.jitter = jitter
        self.capacity = capacity
        self.max_object = max_object
        self.breaker = breaker
        self._clock = clock
        self._sizes: OrderedDict[Key, int] | None = None
        self._size = 0
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Take locks of one's own."""
        self._lock = threading.Lock()
        self._learning = threading.Lock()

    def children(self) -> Mapping[str, Store]:
        """Return the store."""
        return {"store": self.store}

    def get(self, key: Key) -> Entry | None:
        """Return the copy of *key* if it is whole, its own and not too old."""
        try:
            body = self.store.get(key)
            if body.size > self.max_object + _HEADER.size:
                return None
            entry, ends = _unpack(key, body.read())
        except (NotFoundError, CorruptError):
            return None
        return entry if self._clock.time() < ends else None

    def put(self, key: Key, content: bytes, since: float) -> bool:
        """Keep *content* in one piece, or drop what was there."""
        if len(content) > self.max_object:
            self.delete(key)
            return False
        seconds = lifetime(self.ttl, self.jitter)
        ends = _NEVER if seconds is None else self._clock.time() + seconds
        packed = _pack(key, content, since, ends)
        if self.capacity is not None and not self._admit(key, len(packed)):
            self.delete(key)
            return False
        self.store.put(key, Body.of(packed), reproducible=True)
        return True

    def delete(self, key: Key) -> None:
        """Drop the copy of *key*."""
        self.store.delete(key)
        with self._lock:
            if self._sizes is not None:
                self._size -= self._sizes.pop(key, 0)

    def _admit(self, key: Key, size: int) -> bool:
        """Count *key* in, drop the oldest copies that no longer fit."""
        assert self.capacity is not None
        if size > self.capacity:
            return False
        if self._sizes is None and not self._learn():
            return False
        with self._lock:
            assert self._sizes is not None
            self._size += size - self._sizes.pop(key, 0)
            self._sizes[key] = size
        while self._size > self.capacity and (oldest := self._oldest()) is not None:
            self.delete(oldest)  # only what is really gone counts as gone
        return True

    def _oldest(self) -> Key | None:
        with self._lock:
            assert self._sizes is not None
            return next(iter(self._sizes), None)

    def _learn(self) -> bool:
        """Find out what an earlier process left; nobody waits while one reader does."""
        if not self._learning.acquire(blocking=False):
            return False
        try:
            self._count_all()
        finally:
            self._learning.release()
        return True

    def _count_all(self) -> None:
        found: list[tuple[float, Key, int]] = []
        try:
            for key in self.store.keys(""):
                try:
                    kept = self.store.stat(key)
                except NotFoundError:
                    continue
                found.append((kept.modified or 0.0, key, kept.size))
        except UnsupportedError:
            pass  # it cannot list: only what this process put is counted
        with self._lock:
            if self._sizes is None:
                self._sizes = OrderedDict((key, size) for _, key, size in sorted(found))
                self._size = sum(self._sizes.values())


def _pack(key: Key, content: bytes, since: float, ends: float) -> bytes:
    checksum = xxhash.xxh3_64_intdigest(content)
    name = _name_digest(key)
    return _HEADER.pack(_MAGIC, since, ends, len(content), checksum, name) + content


def _unpack(key: Key, packed: bytes) -> tuple[Entry, float]:
    try:
        magic, since, ends, length, checksum, name = _HEADER.unpack_from(packed)
    except struct.error:
        raise CorruptError("a cached copy lacks its header") from None
    content = packed[_HEADER.size :]
    if (
        magic != _MAGIC
        or length != len(content)
        or name != _name_digest(key)
        or checksum != xxhash.xxh3_64_intdigest(content)
    ):
        raise CorruptError("a cached copy is torn or foreign")
    return Entry(BytesBody(content), since), ends


def _name_digest(key: Key) -> int:
    return xxhash.xxh3_64_intdigest(object_name(key).encode())
