"""
Bodies that die, stall or lie, and the points where a test holds a call back.
"""

from __future__ import annotations

import io
import os
import threading

from collections.abc import Callable
from typing import Any

from tiered_store.body import Body, Stat


class Pause:
    """
    A point where calls stop until they are released.

    As a context manager it is released at the end of the block, whatever happens.
    """

    def __init__(self) -> None:
        self._error: Callable[[], Exception] | None = None
        self._reached = threading.Event()
        self._released = threading.Event()

    def wait(self, seconds: float = 60.0) -> None:
        """
        Return once a call stands here.

        Raises:
            AssertionError: None came within *seconds*.
        """
        if not self._reached.wait(seconds):
            raise AssertionError(f"no call came here within {seconds} s")

    def release(self, error: Callable[[], Exception] | None = None) -> None:
        """Let every call go on, now and later; with *error*, into what it returns."""
        self._error = error
        self._released.set()

    def stand(self) -> None:
        """Stop here; for the call that is held back."""
        self._reached.set()
        self._released.wait()
        if self._error is not None:
            raise self._error()

    def __enter__(self) -> Pause:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()


class FaultyBody(Body):
    """
    *inner*, with something happening at byte *at* of every reader.

    Args:
        opened: Told +1 for each reader that opens and -1 for each that closes.
        strike: Called when a reader comes to byte *at*; it raises, or waits.  Without
            it that byte is inverted, silently.
    """

    def __init__(
        self,
        inner: Body,
        opened: Callable[[int], object] = int,
        *,
        at: int | None = None,
        strike: Callable[[], None] | None = None,
    ) -> None:
        self.size = inner.size
        self.version = inner.version
        self.say_as(inner)
        self._inner = inner
        self._opened = opened
        self._at = at
        self._strike = strike

    def open(self, offset: int = 0) -> io.BufferedReader:
        file = self._inner.open(offset)
        return io.BufferedReader(
            _FaultyReader(file, self._opened, self._at, self._strike)
        )

    def stat(self) -> Stat:
        return self._inner.stat()


class _FaultyReader(io.RawIOBase):
    def __init__(
        self,
        file: io.BufferedIOBase,
        opened: Callable[[int], object],
        at: int | None,
        strike: Callable[[], None] | None,
    ) -> None:
        self._file = file
        self._opened = opened
        self._at = at
        self._strike = strike
        opened(1)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        position, wanted, at = self._file.tell(), len(view), self._at
        if at is not None and self._strike is not None:
            if position < at:
                wanted = min(wanted, at - position)
            else:
                self._strike()
        piece = bytearray(self._file.read(wanted))
        silent = self._strike is None
        if silent and at is not None and position <= at < position + len(piece):
            piece[at - position] ^= 0xFF
        view[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
            self._opened(-1)
        super().close()
