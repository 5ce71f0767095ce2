"""
Files that are read by position, and have a buffer only when one is of use.

Most are read at once and closed, for which a buffer is of none, and its making costs
as much as opening the file.
"""

from __future__ import annotations

import io
import os

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

from tiered_store.errors import StoreError
from tiered_store.readers import Descriptor, Failure, SeekableReader


class _LateBuffer(io.BufferedIOBase):
    """A reader of *size* bytes at *offset*, until it has a buffer, which goes on."""

    __slots__ = (
        *("_size", "_offset", "_made"),
        "closed",  # a property would be asked three times for each file
    )
    closed: bool  # whether it is, and holds nothing open
    _size: int
    _offset: int
    _made: io.BufferedReader | None

    @abstractmethod
    def _raw(self) -> io.RawIOBase:
        """Return what the buffer is to be filled from."""

    def _buffered(self) -> io.BufferedReader:
        if self._made is None:
            if self.closed:
                raise ValueError("read of a closed file")
            self._made = io.BufferedReader(self._raw())
        return self._made

    def read1(self, size: int = -1, /) -> bytes:
        return self._buffered().read1(size)

    def readinto(self, buffer: Any, /) -> int:
        return self._buffered().readinto(buffer)

    def readinto1(self, buffer: Any, /) -> int:
        return self._buffered().readinto1(buffer)

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._buffered().readline(-1 if size is None else size)

    def peek(self, size: int = 0, /) -> bytes:
        """Return bytes without moving."""
        return self._buffered().peek(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._buffered().seek(offset, whence)

    def tell(self) -> int:
        if self._made is None and not self.closed:
            return self._offset
        return self._buffered().tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True
        if self._made is not None:
            self._made.close()


class PositionedReader(_LateBuffer):
    """
    A reader of the *size* bytes after *start*, standing at *offset*.

    Others may read the same descriptor, which lasts as long as one of them does.
    """

    __slots__ = ("_descriptor", "_fail", "_start")

    def __init__(
        self,
        descriptor: Descriptor,
        start: int,
        size: int,
        offset: int,
        fail: Failure,
    ) -> None:
        self.closed = False
        self._descriptor: Descriptor | None = descriptor
        self._start = start
        self._size = size
        self._offset = offset
        self._fail = fail
        self._made = None

    def read(self, size: int | None = -1, /) -> bytes:
        descriptor = self._descriptor  # held, so that nobody closes it meanwhile
        if (
            (size == -1 or size is None)
            and descriptor is not None
            and self._made is None
        ):
            offset = self._offset
            left = self._size - offset
            try:
                content = os.pread(descriptor.number, left, self._start + offset)
            except OSError:  # as for less than nothing, beyond the end
                content = b""
            if len(content) == left:
                self._offset = self._size
                return content
        return self._buffered().read(size)  # which goes on, or says why it cannot

    def _raw(self) -> _Raw:
        descriptor = self._descriptor
        if descriptor is None:
            raise ValueError("read of a closed file")

        def pread(size: int, position: int) -> bytes:
            return os.pread(descriptor.number, size, position)

        return _Raw(pread, self._start, self._size, self._offset, self._fail)

    def close(self) -> None:
        self._descriptor = None
        super().close()


class FileReader(_LateBuffer):
    """
    A reader of an open file of its own, of *size* bytes from its beginning.

    Args:
        what: What it is, for :meth:`_failure`, which a subclass writes.
    """

    __slots__ = ("_held", "_what")

    def __init__(self, number: int, size: int, what: Any) -> None:
        self.closed = False
        self._held = [number]  # taken out by the one who closes it
        self._size = size
        self._offset = 0
        self._what = what
        self._made = None

    @staticmethod  # or a file that is dropped would wait for the collector
    @abstractmethod
    def _failure(what: Any, why: str | OSError) -> StoreError:
        """Return the error to raise when *what* cannot be read, from why."""

    def read(self, size: int | None = -1, /) -> bytes:
        held = self._held
        if (size == -1 or size is None) and held and self._made is None:
            offset = self._offset
            left = self._size - offset
            try:
                content = os.pread(held[0], left, offset)
            except (OSError, IndexError):
                content = b""
            # if somebody closed it meanwhile, it may have been another file by then
            if len(content) == left and held:
                self._offset = self._size
                return content
        return self._buffered().read(size)  # which goes on, or says why it cannot

    def _raw(self) -> _Raw:
        held = self._held

        def pread(size: int, position: int) -> bytes:
            try:
                piece = os.pread(held[0], size, position)
            except (OSError, IndexError):
                if held:
                    raise
            else:
                if held:
                    return piece
            raise ValueError("read of a closed file")

        fail = partial(self._failure, self._what)
        return _Raw(pread, 0, self._size, self._offset, fail)

    def close(self) -> None:
        self.closed = True
        try:  # noqa: SIM105 - for each file that is read, and a block costs 1 us
            os.close(self._held.pop())
        except (IndexError, OSError):  # it is, and nothing was to be written
            pass
        if self._made is not None:
            self._made.close()


class _Raw(SeekableReader):
    def __init__(
        self,
        pread: Callable[[int, int], bytes],
        start: int,
        size: int,
        position: int,
        fail: Failure,
    ) -> None:
        super().__init__(size, position)
        self._pread: Callable[[int, int], bytes] | None = pread
        self._start = start
        self._fail = fail

    def _piece(self, wanted: int) -> bytes:
        if self._pread is None:
            raise ValueError("read of a closed file")
        try:
            piece = self._pread(wanted, self._start + self._position)
        except OSError as error:
            raise self._fail(error) from error
        if not piece:
            raise self._fail(f"ends after {self._position} of {self._size} bytes")
        return piece

    def close(self) -> None:
        self._pread = None
        super().close()
