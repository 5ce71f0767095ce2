"""
What can be stored by an ``AsyncStore``: files of both kinds, and streams.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import tempfile
import threading

from collections.abc import AsyncGenerator, AsyncIterable
from typing import Any, Protocol

from tiered_store.asynchronous.threads import Threads
from tiered_store.body import SPOOL_LIMIT, Body, Readable, Stat, spooling
from tiered_store.errors import InvalidError


_CHUNK = 256 * 1024


class AsyncReadable(Protocol):
    """A file whose ``read(size)`` is awaited, as Starlette's ``UploadFile``."""

    async def read(self, size: int = ..., /) -> bytes: ...


Source = Readable | AsyncReadable | AsyncIterable[bytes]


async def body_of(source: Source, threads: Threads) -> Body:
    """
    Consume *source*: into memory up to 8 MiB, into an unnamed temporary file beyond.

    Raises:
        TypeError: It is nothing that can be read.
    """
    read = getattr(source, "read", None)
    if read is not None and not inspect.iscoroutinefunction(read):
        return await threads.finish(lambda: Body.take(source))  # type: ignore[arg-type]
    if read is None and not hasattr(source, "__aiter__"):
        raise TypeError(f"neither a file nor a stream: {source!r}")
    with contextlib.closing(_Spool()) as spool:
        async with contextlib.aclosing(_pieces(source)) as pieces:
            async for piece in pieces:
                if spool.has_room(len(piece)):
                    spool.write(piece)
                else:
                    await threads.finish(functools.partial(spool.roll_and_write, piece))
        return spool.body()


class _Spool:
    """Bytes in memory until they are too many."""

    def __init__(self) -> None:
        self._memory = io.BytesIO()
        self._disk: Any = None

    def has_room(self, size: int) -> bool:
        """Tell whether *size* more can be kept in memory."""
        return self._disk is None and self._memory.tell() + size <= SPOOL_LIMIT

    def write(self, piece: bytes) -> None:
        """Keep *piece* in memory."""
        self._memory.write(piece)

    def roll_and_write(self, piece: bytes) -> None:
        """Keep *piece* on disk, with all there was before."""
        with spooling():
            if self._disk is None:
                self._disk = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
                self._disk.write(self._memory.getvalue())
                self._memory.close()
            self._disk.write(piece)

    def body(self) -> Body:
        """Return all of it, which needs the spool no more."""
        if self._disk is None:
            return Body.of(self._memory.getvalue())
        with spooling():
            self._disk.seek(0)
            return Body.take(self._disk)  # read in place, through another descriptor

    def close(self) -> None:
        """Let go of the file."""
        if self._disk is not None:
            self._disk.close()


async def _pieces(source: Any) -> AsyncGenerator[bytes, None]:
    if hasattr(source, "read"):
        while piece := await source.read(_CHUNK):
            yield piece
        return
    stream = aiter(source)
    try:
        async for piece in stream:
            yield piece
    finally:
        if inspect.isasyncgen(stream):  # nobody can go on where it was left
            await stream.aclose()


class Interruptible(Body):
    """*inner*, whose readers fail once :meth:`interrupt` was called."""

    def __init__(self, inner: Body) -> None:
        self._inner: Body | None = inner
        self._stopped = threading.Event()
        self.size = inner.size
        self.version = inner.version
        self.say_as(inner)

    def interrupt(self) -> None:
        """
        Let nobody read on, and let go of *inner*.

        The traceback of a cancellation holds this until garbage is next collected, and
        would hold a temporary file of any size with it.
        """
        self._stopped.set()
        self._inner = None

    def open(self, offset: int = 0) -> io.BufferedIOBase:
        return _Reader(self._whole().open(offset), self._stopped)

    def read(self) -> bytes:
        return self._whole().read()

    def stat(self) -> Stat:
        return self._whole().stat()

    def _whole(self) -> Body:
        inner = self._inner
        if inner is None:
            raise _gone()
        return inner


def _gone() -> InvalidError:
    return InvalidError("whoever was storing it has been cancelled")


def _check(stopped: threading.Event) -> None:
    if stopped.is_set():
        raise _gone()


class _Reader(io.BufferedIOBase):
    def __init__(self, inner: io.BufferedIOBase, stopped: threading.Event) -> None:
        self._inner = inner
        self._stopped = stopped

    def read(self, size: int | None = -1, /) -> bytes:
        _check(self._stopped)
        return self._inner.read(size)

    read1 = read

    def readinto(self, buffer: Any, /) -> int:
        _check(self._stopped)
        return self._inner.readinto(buffer)

    readinto1 = readinto

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._inner.seek(offset, whence)

    def tell(self) -> int:
        return self._inner.tell()

    def close(self) -> None:
        self._inner.close()
        super().close()
