"""
A bar while something large is on its way.
"""

from __future__ import annotations

import io

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tiered_store.body import Body
from tiered_store.units import MIB


_LARGE = 8 * MIB


@contextmanager
def bar(title: str, size: int) -> Iterator[Callable[[int], None]]:
    """
    Show a bar on standard error if that is a terminal and *size* is large.

    What it yields is told how many bytes are done.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if size < _LARGE or not console.is_terminal:
        yield lambda done: None
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TransferSpeedColumn,
    )

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn())
    text = TextColumn("{task.description}", markup=False)
    with Progress(text, *columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=size)
        yield lambda done: progress.update(task, completed=done)


class WatchedBody(Body):
    """
    *body*, telling how far its farthest reader has come.

    It may be read by several replicas at once, and again by another attempt.
    """

    def __init__(self, body: Body, told: Callable[[int], None]) -> None:
        self.size = body.size
        self.version = body.version
        self._body = body
        self._told = told
        self._farthest = 0

    def open(self, offset: int = 0) -> io.BufferedReader:
        """Return a reader that stands at *offset*."""
        return io.BufferedReader(_WatchedReader(self._body.open(offset), self._seen))

    def _seen(self, position: int) -> None:
        if position > self._farthest:
            self._farthest = position
            self._told(position)


class _WatchedReader(io.RawIOBase):
    def __init__(self, file: io.BufferedIOBase, seen: Callable[[int], None]) -> None:
        self._file = file
        self._seen = seen

    def readinto(self, buffer: Any) -> int:
        count = self._file.readinto(buffer)
        self._seen(self._file.tell())
        return count

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()
