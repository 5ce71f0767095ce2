"""
The bytes of an object, as a value.

A file is consumed once, at the outer edge, and becomes a :class:`Body`; inside
there are only bodies.  A body can be opened again and again, each time a fresh
reader with its own position, so retrying, replicating and caching need no
rewinding.  Nobody closes a body: what is behind it goes with its last reference,
readers included.
"""

from __future__ import annotations

import io
import os
import stat

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from tiered_store.errors import CorruptError, FullError, InvalidError, StoreError
from tiered_store.positioned import PositionedReader
from tiered_store.readers import Descriptor, Failure, Source, stream_reader
from tiered_store.translation import system


SPOOL_LIMIT = 8 * 1024 * 1024
_CHUNK = 256 * 1024


class Readable(Protocol):
    """Whatever can be stored: an object with ``read(size)`` that returns bytes."""

    def read(self, size: int = ..., /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Stat:
    """
    What a store can tell of an object without reading it.

    Attributes:
        size: Bytes.
        etag: An opaque name of this version, if the store has such a thing.
        modified: Seconds since the epoch, if the store knows.
    """

    size: int
    etag: str | None = None
    modified: float | None = None


class Body(ABC):
    """
    The bytes of one object at one version.

    Attributes:
        size: Bytes.
        version: An opaque name; two bodies of one key and one store that carry the
            same version have the same bytes.
        modified: Seconds since the epoch when the store got it, where that is known
            without asking what is underneath; :meth:`stat` tells in any case.
        provisional: It may not be the last word: it comes from a store that is asked
            only in an outage, or from a write that has not ended.  A cache does not
            keep it for longer than a ttl says.
        reproducible: Whether it can be computed again; None if the store that it
            comes from does not tell.
    """

    size: int
    version: str | None = None
    modified: float | None = None
    provisional: bool = False
    reproducible: bool | None = None

    @abstractmethod
    def open(self, offset: int = 0) -> io.BufferedIOBase:
        """
        Return a new seekable reader that stands at *offset*.

        Closing it frees everything that was opened for it.
        """

    def read(self) -> bytes:
        """Return all of it."""
        with self.open() as file:
            return file.read()

    def in_three(self, first: int, last: int) -> tuple[bytes, bytes, bytes]:
        """Return all of it: the *first* bytes, what is in between, the *last* bytes."""
        whole = self.read()
        end = max(first, len(whole) - last)
        return whole[:first], whole[first:end], whole[end:]

    def chunks(self, size: int = _CHUNK) -> Iterator[bytes]:
        """Yield all of it in pieces of at most *size* bytes."""
        with self.open() as file:
            while piece := file.read(size):
                yield piece

    def stat(self) -> Stat:
        """Return what is known without reading."""
        return Stat(self.size, self.version, self.modified)

    def in_memory(self) -> BytesBody:
        """Return the same in memory: all of it is read, unless it is there."""
        whole = BytesBody(self.read(), self.version, self.stat().modified)
        whole.say_as(self)
        return whole

    def say_as(self, other: Body) -> None:
        """Say of the object what *other* does, which is made differently of it."""
        self.provisional = other.provisional
        self.reproducible = other.reproducible

    @staticmethod
    def of(content: bytes, version: str | None = None) -> Body:
        """Return a body of *content*, which is shared and not copied."""
        return BytesBody(content, version)

    @staticmethod
    def take(file: Readable, spool_limit: int = SPOOL_LIMIT) -> Body:
        """
        Consume *file* from its current position to its end, without closing it.

        A regular file is not copied but read in place, so it must not change until
        the call that stores it returns.  Anything else is read until an empty read,
        into memory up to *spool_limit* bytes and into an unnamed temporary file
        beyond.  What *file* raises passes through, and nothing has been stored.

        Raises:
            TypeError: *file* cannot be read, or yields text.
            InvalidError: It is non-blocking and had nothing to read.
            FullError: There is no room for the temporary file.
        """
        return _regular(file) or Body.copy(file, spool_limit)

    @staticmethod
    def copy(file: Readable, spool_limit: int = SPOOL_LIMIT) -> Body:
        """Do as :meth:`take` does, never in place: its owner may change *file*."""
        if not callable(getattr(file, "read", None)):
            raise TypeError(f"file must have a read() method: {file!r} has none")
        if isinstance(file, io.TextIOBase):
            raise TypeError("file must be opened in binary mode, not as text")
        if type(file) is io.BytesIO:
            return BytesBody(file.read())
        return _spooled(file, spool_limit)


class BytesBody(Body):
    """A body in memory."""

    __slots__ = ("_content", "modified", "size", "version")

    def __init__(
        self,
        content: bytes,
        version: str | None = None,
        modified: float | None = None,
    ) -> None:
        self._content = content
        self.size = len(content)
        self.version = version
        self.modified = modified

    def open(self, offset: int = 0) -> io.BytesIO:
        file = io.BytesIO(self._content)  # shares the bytes
        if offset:
            file.seek(offset)
        return file

    def read(self) -> bytes:
        return self._content

    def in_memory(self) -> BytesBody:
        return self


def stored_failure(why: str | OSError) -> StoreError:
    """Return what it means that a file of our own cannot be read."""
    return CorruptError(why) if isinstance(why, str) else system.translate(why)


class FileBody(Body):
    """
    A body in an open file, read by position, so that readers do not disturb each other.

    Replacing the file by renaming leaves the body what it was.

    Args:
        fail: Makes the error to raise when it cannot be read, from why.
    """

    __slots__ = ("_descriptor", "_fail", "_start", "modified", "size", "version")

    def __init__(
        self,
        descriptor: Descriptor,
        size: int,
        *,
        start: int = 0,
        version: str | None = None,
        modified: float | None = None,
        fail: Failure = stored_failure,
    ) -> None:
        self._descriptor = descriptor
        self._start = start
        self._fail = fail
        self.size = size
        self.version = version
        self.modified = modified

    def open(self, offset: int = 0) -> PositionedReader:
        return PositionedReader(
            self._descriptor, self._start, self.size, offset, self._fail
        )

    def read(self) -> bytes:
        try:
            content = os.pread(self._descriptor.number, self.size, self._start)
        except OSError:
            content = b""
        if len(content) == self.size:
            return content
        return super().read()  # which goes on, or says why it cannot

    def in_three(self, first: int, last: int) -> tuple[bytes, bytes, bytes]:
        # to read three times is cheaper than to copy what is in between
        number, start, end = self._descriptor.number, self._start, self.size - last
        if end > first:
            try:
                head = os.pread(number, first, start)
                between = os.pread(number, end - first, start + first)
                tail = os.pread(number, last, start + end)
            except OSError:
                head = between = tail = b""
            if len(head) + len(between) + len(tail) == self.size:
                return head, between, tail
        return super().in_three(first, last)


class StreamBody(Body):
    """
    A body that is somewhere else, read by asking for it.

    Args:
        ask: Returns the bytes from an offset on, pinned to *version*, as something
            with ``read(size)`` and ``close()``; raises store errors only.
        first: What was already answered from offset 0, used by the first reader.
    """

    def __init__(
        self,
        ask: Callable[[int], Source],
        size: int,
        *,
        version: str | None = None,
        modified: float | None = None,
        first: Source | None = None,
    ) -> None:
        self._ask = ask
        self._first = [] if first is None else [first]
        self.size = size
        self.version = version
        self.modified = modified

    def open(self, offset: int = 0) -> io.BufferedReader:
        try:
            first = self._first.pop() if offset == 0 else None
        except IndexError:  # somebody has it, maybe another thread
            first = None
        return stream_reader(self._ask, self.size, offset, first)

    def __del__(self) -> None:
        for first in getattr(self, "_first", ()):
            first.close()


def _upload_failure(why: str | OSError) -> StoreError:
    if isinstance(why, OSError):
        why = f"cannot be read: {why.strerror}"
    return InvalidError(f"the file {why}")


def _regular(file: Any) -> Body | None:
    """Return a body that reads *file* in place, or None if that cannot be."""
    if type(file) not in (io.FileIO, io.BufferedReader, io.BufferedRandom):
        return None  # a decompressor has a fileno() too, of other bytes
    raw = file if type(file) is io.FileIO else file.raw
    if type(raw) is not io.FileIO or not raw.readable():
        return None
    if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
        return None
    file.flush()
    start = file.tell()
    size = os.fstat(raw.fileno()).st_size - start
    if size <= 0:  # perhaps a file of /proc, which does not tell
        return None
    try:
        descriptor = Descriptor(os.dup(raw.fileno()))
    except OSError:  # there are too many
        return None
    file.seek(start + size)  # consumed, as any other source would be
    return FileBody(descriptor, size, start=start, fail=_upload_failure)


def _spooled(file: Readable, limit: int) -> Body:
    content = io.BytesIO()  # thousands of small pieces would cost many times their size
    for piece in _pieces(file):
        content.write(piece)
        if content.tell() > limit:
            return _rolled(content, file)
    return BytesBody(content.getvalue())


def _pieces(file: Readable) -> Iterator[bytes]:
    while True:
        piece = file.read(_CHUNK)  # a short read is not the end
        if isinstance(piece, str):
            raise TypeError("file must be opened in binary mode: it returned text")
        if piece is None:
            raise InvalidError("the file is non-blocking and had nothing to read")
        if not piece:
            return
        yield piece


def _rolled(start: io.BytesIO, file: Readable) -> Body:
    import tempfile

    with spooling():
        spool = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed below
    with spool:
        _write(spool, start.getvalue())
        start.close()
        for piece in _pieces(file):
            _write(spool, piece)
        with spooling():
            size = spool.tell()
            return FileBody(Descriptor(os.dup(spool.fileno())), size)


def _write(spool: Any, piece: bytes) -> None:
    view = memoryview(piece).cast("B")
    with spooling():
        while view:
            view = view[spool.write(view) :]


@contextmanager
def spooling() -> Iterator[None]:
    """Say what it means that the temporary file of an upload cannot be written."""
    import tempfile  # most programs never come here

    try:
        yield
    except OSError as error:
        where, why = tempfile.tempdir or "no directory", error.strerror or error
        full = FullError(f"an upload cannot be spooled to {where}: {why}")
        full.failover, full.local = False, True
        raise full from error
