"""
A file whose reads are awaited.
"""

from __future__ import annotations

import io
import os

from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from tiered_store.asynchronous.threads import Threads


Result = TypeVar("Result")
_CHUNK = 256 * 1024


class AsyncFile:
    """
    The bytes of one object, as an asynchronous context manager.

    Iterating gives pieces of up to 256 KiB, not lines: it is there to be sent on.  A
    read that is cancelled closes the file, since nobody knows how far it came.
    """

    def __init__(self, file: io.BufferedIOBase, size: int, threads: Threads) -> None:
        self._file = file
        self._threads = threads
        self.size = size

    async def read(self, size: int = -1) -> bytes:
        """Return up to *size* bytes, all of them if it is negative, none at the end."""
        return await self._call(lambda: self._file.read(size))

    async def readline(self) -> bytes:
        """Return a line, its end included."""
        return await self._call(self._file.readline)

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Stand at *offset*; return where that is from the start."""
        return await self._call(lambda: self._file.seek(offset, whence))

    def tell(self) -> int:
        """Return where it stands."""
        return self._file.tell()

    async def aclose(self) -> None:
        """Free everything behind it, also when cancelled."""
        await self._threads.always(self._file.close)

    def close_now(self) -> None:
        """Free everything behind it, from a thread or where no loop runs."""
        self._file.close()

    @property
    def closed(self) -> bool:
        """Tell whether it is closed."""
        return self._file.closed

    async def __aenter__(self) -> AsyncFile:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if piece := await self.read(_CHUNK):
            return piece
        raise StopAsyncIteration

    async def _call(self, work: Callable[[], Result]) -> Result:
        return await self._threads.call(work, lambda result: self._file.close())
