"""
Whose turn it is to go when there is no room.

The order is that of S3-FIFO (Yang et al., *FIFO queues are all you need for cache
eviction*, SOSP 2023), weighted by bytes.  A newcomer waits in a small queue.  If nobody
asks for it there, it goes, so a scan cannot flush what is popular, but it is
remembered; else, or if it is soon asked for again, it moves to the main queue.  Whose
turn it is there is spared if it was asked for since its last turn; one that takes the
room of two average ones, twice; of three or more, three times.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from tiered_store.key import Key


FREQUENT = 3  # more hits than that are not counted
_SMALL = 10  # the part of the room, one tenth, that newcomers may take
_SPARED = 100  # in a row; then somebody goes although asked for


class Queued(Protocol):
    """
    Takes room.

    Attributes:
        size: Bytes, at least one.
        hits: How often it was asked for, up to ``FREQUENT``.  Whoever asks counts,
            without a lock: one that is lost does no harm.
    """

    size: int
    hits: int


class Queues:
    """
    The order in which to go, of what takes at most *capacity* bytes.

    Whoever uses it sees to it that one thread does at a time.  Every method takes the
    same time however many there are, in the long run.

    Attributes:
        size: The bytes of all.
    """

    def __init__(self, capacity: int) -> None:
        self.size = 0
        self._newcomers = capacity // _SMALL
        self._small: OrderedDict[Key, Queued] = OrderedDict()
        self._small_size = 0
        self._main: OrderedDict[Key, Queued] = OrderedDict()
        self._remembered: OrderedDict[int, None] = OrderedDict()  # hashes

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    def add(self, key: Key, queued: Queued) -> None:
        """Take *queued* in, which is not there yet."""
        if hash(key) in self._remembered:
            del self._remembered[hash(key)]
            self._main[key] = queued
        else:
            self._small[key] = queued
            self._small_size += queued.size
        self.size += queued.size

    def remove(self, key: Key) -> None:
        """Take out what is there, to remember it in case that it comes back."""
        queued = self._main.pop(key) if key in self._main else self._pop_small(key)
        self.size -= queued.size
        self._remember(key)
        self._forget_some()

    def evict(self) -> Key:
        """Take out whose turn it is, and return its key."""
        for _ in range(_SPARED):
            if self._newcomer_goes():
                key, queued = next(iter(self._small.items()))
                if not queued.hits:
                    break
                self._pop_small(key)
                queued.hits = 0
                self._main[key] = queued
            else:
                key, queued = next(iter(self._main.items()))
                if not self._spares(queued):
                    break
                queued.hits -= 1
                self._main.move_to_end(key)
        return self._evict()

    def _newcomer_goes(self) -> bool:
        return self._small_size > self._newcomers or not self._main

    def _spares(self, queued: Queued) -> bool:
        averages = round(queued.size * len(self) / self.size)
        return queued.hits >= min(max(1, averages), FREQUENT)

    def _evict(self) -> Key:
        if self._newcomer_goes():
            key = next(iter(self._small))
            queued = self._pop_small(key)
            self._remember(key)
        else:
            key, queued = self._main.popitem(last=False)
        self.size -= queued.size
        self._forget_some()
        return key

    def _pop_small(self, key: Key) -> Queued:
        queued = self._small.pop(key)
        self._small_size -= queued.size
        return queued

    def _remember(self, key: Key) -> None:
        self._remembered[hash(key)] = None

    def _forget_some(self) -> None:
        most = len(self._small) + len(self._main)
        while len(self._remembered) > most:
            self._remembered.popitem(last=False)
