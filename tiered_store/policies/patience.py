"""
Waiting for work no longer than one has patience for.

A thread cannot be stopped.  Work that takes too long is left behind in its thread,
counted until it comes back, and no more is begun while too much of it is lost.
"""

from __future__ import annotations

import threading

from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future
from typing import Any, TypeVar

from tiered_store import deadlines, lifecycle
from tiered_store.errors import ConfigError, DeadlineError, UnavailableError
from tiered_store.workers import Workers


Result = TypeVar("Result")
_NO_LIMIT = 1 << 31  # each caller waits for one thread, so they bound each other


class Patience:
    """
    Wait at most *seconds* for each piece of work.

    Args:
        abandoned: Pieces of work left behind, from which on nothing is begun.
            Those under way at that moment may still be added to them.

    Attributes:
        lost: Pieces of work left behind that have not come back yet.
    """

    def __init__(self, seconds: float, abandoned: int) -> None:
        if seconds <= 0:
            raise ConfigError(f"seconds: must be positive, not {seconds!r}")
        if abandoned < 1:
            raise ConfigError(f"abandoned: must be at least 1, not {abandoned!r}")
        self.seconds = seconds
        self.abandoned = abandoned
        self._workers = Workers("timeout", _NO_LIMIT)
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Count anew: what was left behind stayed in the parent."""
        self._lock = threading.Lock()
        self.lost = 0

    def wait_for(
        self,
        work: Callable[[], Result],
        *,
        changes: bool = False,
        left_behind: Callable[[Future[Result]], object] = id,
    ) -> Result:
        """
        Return what *work* does, which runs in a thread under a deadline.

        Args:
            changes: Whether work that was left behind may have changed something.
            left_behind: Called with work that is, before this raises.

        Raises:
            UnavailableError: It took too long, or too much was left behind already.
            DeadlineError: The caller's own time was shorter, and is up.
        """
        if self.lost >= self.abandoned:
            raise UnavailableError(
                f"not asked: {self.lost} earlier calls have not come back"
            )
        left = deadlines.remaining()
        ours = left is None or self.seconds < left
        with deadlines.deadline(self.seconds):
            future = self._workers.start(work)
        cause = None
        try:
            if self._comes_back(future, self.seconds if ours else left):
                return future.result()
            left_behind(future)
        except DeadlineError as error:
            if not ours:
                raise
            cause = error
        finally:
            del future  # its error has this frame in its traceback
        if ours:
            message = f"no answer within {self.seconds:g} s"
            raise UnavailableError(message, ambiguous=changes) from cause
        raise DeadlineError("the caller's time is up", ambiguous=changes)

    def close(self) -> None:
        """Let the threads go that wait for work."""
        self._workers.close()

    def _comes_back(self, future: Future[Any], seconds: float | None) -> bool:
        """Say whether *future* was done in time; else count it until it is."""
        done = False
        try:
            done = bool(futures.wait((future,), seconds).done)
        finally:  # also when the caller is interrupted
            if not done:
                self._count(future)
        return done

    def _count(self, future: Future[Any]) -> None:
        lock = self._lock  # a fork replaces it
        with lock:
            self.lost += 1

        def come_back(_: Future[Any]) -> None:
            with lock:
                if lock is self._lock:
                    self.lost -= 1

        future.add_done_callback(come_back)
