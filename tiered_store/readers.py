"""
Files that read a body in pieces, such as from a stream that resumes.
"""

from __future__ import annotations

import io
import os
import time

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from tiered_store import deadlines
from tiered_store.errors import StoreError, UnavailableError


Failure = Callable[[str | OSError], StoreError]
_RESUMES = 2  # in a row, without a byte in between
_AT_ONCE = 0.25  # seconds; what breaks sooner did not hang
_WINDOW = 5.0  # seconds of waiting
_SLOWEST = 8 * 1024  # bytes a second

_hasty: ContextVar[bool] = ContextVar("tiered_store_hasty", default=False)


@contextmanager
def hasty(is_so: bool) -> Iterator[None]:
    """Do not wait again for a store that hung, since there is another one."""
    token = _hasty.set(is_so)
    try:
        yield
    finally:
        _hasty.reset(token)


class Floor:
    """
    The least that must come of a body: 8 KiB a second, over 5 s of waiting for it.

    A server that sends a byte now and then never runs into the timeout of a socket.
    """

    __slots__ = ("_came", "_waited")

    def __init__(self) -> None:
        self._waited = 0.0
        self._came = 0

    def check(self, seconds: float, size: int) -> None:
        """
        Note that *size* bytes came after *seconds*.

        Raises:
            UnavailableError: It is too slow to be waited for.
        """
        self._waited += seconds
        self._came += size
        if self._waited < _WINDOW:
            return
        waited, came = self._waited, self._came
        self._waited, self._came = 0.0, 0
        if came < waited * _SLOWEST:
            raise UnavailableError(
                f"the body stalled: {came} bytes in {waited:.1f} s"
            ).final()


class Source(Protocol):
    """Bytes on their way; raises store errors only."""

    def read(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


class Descriptor:
    """An open file descriptor, closed with the last reference to it."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        try:  # noqa: SIM105 - for each file that is read, and a block costs 1 us
            os.close(self.number)
        except OSError:  # there is no caller to tell
            pass


class SeekableReader(io.RawIOBase):
    """
    A reader of *size* bytes that stands at *position*; a subclass fetches pieces.

    After a read that failed it reads no more until it is moved: a buffer around it
    has dropped bytes by then, and whoever tried again would get a hole.
    """

    def __init__(self, size: int, position: int) -> None:
        self._size = size
        self._position = position
        self._adrift = False

    def _piece(self, wanted: int) -> bytes:
        """Return 1 to *wanted* bytes from the position on, which the caller moves."""
        raise NotImplementedError

    def _next_piece(self, wanted: int) -> bytes:
        if self._adrift:
            raise UnavailableError("an earlier read failed; seek to go on").final()
        try:
            piece = self._piece(wanted)
        except BaseException:
            self._adrift = True
            raise
        self._position += len(piece)
        return piece

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        wanted = self._wanted(len(view))
        if not wanted:
            return 0
        piece = self._next_piece(wanted)
        view[: len(piece)] = piece
        return len(piece)

    def readall(self) -> bytes:
        whole = io.BytesIO()  # joining pieces would need twice the room
        while wanted := self._wanted(self._size):
            piece = self._next_piece(wanted)
            if not whole.tell():
                if len(piece) == wanted:
                    return piece
                whole.seek(wanted - 1)
                whole.write(b"\0")  # all the room at once: growing is dear
                whole.seek(0)
            whole.write(piece)
        return whole.getvalue()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence not in (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END):
            raise ValueError(f"cannot seek from {whence!r}")
        base = (0, self._position, self._size)[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._position = base + offset
        self._adrift = False
        return self._position

    def _wanted(self, size: int) -> int:
        return max(0, min(size, self._size - self._position))


class _Resuming(SeekableReader):
    """Goes on at the same offset of the same version when the stream breaks."""

    def __init__(
        self,
        ask: Callable[[int], Source],
        size: int,
        position: int,
        first: Source | None,
    ) -> None:
        super().__init__(size, position)
        self._ask = ask
        self._source = first
        self._at = 0  # where the source stands
        self._floor = Floor()

    def _piece(self, wanted: int) -> bytes:
        began = time.monotonic()
        piece = self._next(wanted)
        self._at = self._position + len(piece)
        self._floor.check(time.monotonic() - began, len(piece))
        if self._at == self._size:
            self._drop()
        return piece

    def _next(self, wanted: int) -> bytes:
        for resumes_left in range(_RESUMES, -1, -1):
            deadlines.check()
            began = time.monotonic()
            try:
                if self._source is None or self._at != self._position:
                    self._drop()
                    self._source = self._ask(self._position)
                    self._at = self._position
                if piece := self._source.read(wanted):
                    return piece
                raise UnavailableError(
                    f"the body ended after {self._position} of {self._size} bytes"
                )
            except StoreError as error:
                self._drop()
                hung = _hasty.get() and time.monotonic() - began > _AT_ONCE
                if hung or not (error.retryable and resumes_left):
                    raise
        raise AssertionError("unreachable")

    def _drop(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.close()

    def close(self) -> None:
        if not self.closed:
            self._drop()
        super().close()


def stream_reader(
    ask: Callable[[int], Source], size: int, offset: int, first: Source | None
) -> io.BufferedReader:
    """Return a reader of what *ask* answers, *size* bytes, standing at *offset*."""
    return io.BufferedReader(_Resuming(ask, size, offset, first), 64 * 1024)
