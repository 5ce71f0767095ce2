"""
One fetch of a large object, shared by everyone who reads it meanwhile.

A thread pulls the bytes into an unnamed temporary file as fast as they come, and
each reader follows the growing file at a pace of its own: a slow one stalls nobody,
the first byte does not wait for the last one, and none of it is held in memory.
"""

from __future__ import annotations

import io
import os

from tiered_store import deadlines
from tiered_store.body import Body, Stat
from tiered_store.caching.arrival import Arrival
from tiered_store.caching.meeting import Spool
from tiered_store.errors import StoreError
from tiered_store.lent import InnerReader
from tiered_store.readers import Descriptor
from tiered_store.units import KIB, MIB


_BUFFER = 64 * KIB


class Download:
    """
    The bytes of *body* on their way, asked for once.

    It begins when its body is first opened or waited for, and goes on when nobody
    reads, until it is abandoned or the last reference to it and its body is gone.

    A reader whose bytes will never arrive (the fetch failed, the disk is full, the
    process is the child of a fork) goes on by itself: it asks *body* from its offset
    on, pinned to the version.  If the fetch failed with an error that another attempt
    does not change, it raises a copy of that instead.

    Args:
        ahead: Bytes beyond those that have arrived that a reader waits for.  One that
            seeks farther asks *body* itself, until the download has caught up.
        spool: Where to put them, for other processes to follow.

    Attributes:
        body: What is read, during the download and afterwards; size, version and the
            like are those of the original.
    """

    def __init__(
        self, body: Body, *, ahead: int = 8 * MIB, spool: Spool | None = None
    ) -> None:
        self.ahead = ahead
        self._arrival = Arrival(body, spool)
        self.body: Body = _ArrivingBody(body, self._arrival, ahead)

    @property
    def completed(self) -> bool:
        """Whether every byte has arrived."""
        return self._arrival.completed

    @property
    def failure(self) -> StoreError | None:
        """What ended it early, if that was the origin's error or a lack of room."""
        return self._arrival.failure

    def wait(self, seconds: float) -> bool:
        """
        Wait until it has ended, and say whether it is complete.

        Args:
            seconds: At most; no longer than the caller's deadline either.
        """
        self._arrival.begin()
        return self._arrival.wait(deadlines.bounded(seconds))

    def abandon(self) -> None:
        """
        Stop soon, unless it has ended.

        Whoever is reading gets what has arrived, then goes on alone; the file goes
        with the last of them.
        """
        self._arrival.end(None)


class _ArrivingBody(Body):
    """Whatever reads it refers to it; so when it goes, nobody wants the bytes."""

    def __init__(self, origin: Body, arrival: Arrival, ahead: int) -> None:
        self.arrival = arrival
        self.origin = origin
        self.ahead = ahead
        self.size = origin.size
        self.version = origin.version
        self.provisional = origin.provisional
        self.reproducible = origin.reproducible

    def open(self, offset: int = 0) -> io.BufferedIOBase:
        self.arrival.begin()
        spool = self.arrival.spool
        if spool is None:  # it ended early
            return self.origin.open(offset)
        return io.BufferedReader(_Follower(self, spool, offset), _BUFFER)

    def stat(self) -> Stat:
        return self.origin.stat()

    def __del__(self) -> None:
        self.arrival.forget()


class _Follower(InnerReader):
    """Reads what has arrived; from the origin what is far ahead or never will."""

    def __init__(self, body: _ArrivingBody, spool: Descriptor, position: int) -> None:
        super().__init__(body.origin, position)
        self._shared: _ArrivingBody | None = body  # which is wanted while this is open
        self._arrival = body.arrival
        self._ahead = body.ahead
        self._spool: Descriptor | None = spool

    def _piece(self, wanted: int) -> bytes:
        if not self._is_apart():
            self._arrival.wait_for_byte(self._position)
            if piece := self._arrived(wanted):
                self._release()
                return piece
        failure = self._arrival.failure
        if self._file is None and failure is not None and _is_final(failure):
            raise failure.copy()
        return self._fetch(wanted)

    def _is_apart(self) -> bool:
        """Say whether the origin is asked although the byte may still arrive."""
        missing = self._position - self._arrival.arrived
        there = self._file is not None and self._file.tell() == self._position
        return missing >= 0 and (there or missing > self._ahead)

    def _arrived(self, wanted: int) -> bytes:
        """Return what the file has from the position on, nothing if it has not."""
        count = min(wanted, self._arrival.arrived - self._position)
        if self._spool is None or count <= 0:
            return b""
        try:
            return os.pread(self._spool.number, count, self._position)
        except OSError:  # the disk fails, which is no reason for the reader to
            return b""

    def close(self) -> None:
        self._shared = self._spool = None
        super().close()


def _is_final(failure: StoreError) -> bool:
    return not (failure.retryable or failure.local)
