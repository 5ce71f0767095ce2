"""
Other processes that take part in a measurement.
"""

from __future__ import annotations

import multiprocessing

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any


SPAWN = multiprocessing.get_context("spawn")  # nothing of ours is inherited


class Other:
    """A process that answers; what it raises is raised here."""

    def __init__(self, process: Any, pipe: Connection) -> None:
        self._process = process
        self._pipe = pipe

    def tell(self, word: Any) -> None:
        """Send *word*."""
        self._pipe.send(word)

    def hear(self, seconds: float = 60.0) -> Any:
        """
        Return what it says.

        Raises:
            TimeoutError: It says nothing for *seconds*.
            RuntimeError: It failed.
        """
        if not self._pipe.poll(seconds):
            raise TimeoutError(f"nothing for {seconds:g} s")
        answer = self._pipe.recv()
        if isinstance(answer, Failure):
            raise RuntimeError(str(answer))
        return answer

    def ask(self, word: Any) -> Any:
        """Send *word*, return the answer."""
        self.tell(word)
        return self.hear()


class Failure(str):
    """What a process died of."""

    __slots__ = ()


@contextmanager
def other(work: Callable[..., Any], *arguments: Any) -> Iterator[Other]:
    """Run *work*, a function of a module, with a pipe and *arguments* elsewhere."""
    mine, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=_run, args=(work, theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Other(process, mine)
    finally:
        process.kill()
        process.join()
        mine.close()


def _run(work: Callable[..., Any], pipe: Connection, *arguments: Any) -> None:
    try:
        work(pipe, *arguments)
    except Exception as error:  # noqa: BLE001 - told to who waits
        pipe.send(Failure(f"{type(error).__name__}: {error}"))
