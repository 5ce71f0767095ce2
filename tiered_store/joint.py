"""
Work that all who need it wait for together, each for as long as it can.

What cannot be interrupted, such as an SDK that looks for credentials, is done in a
thread when somebody with a deadline needs it.  Whose time is up leaves it there, and
whoever comes next joins in.
"""

from __future__ import annotations

import contextvars
import threading

from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Generic, TypeVar

from tiered_store import deadlines
from tiered_store.errors import DeadlineError


Result = TypeVar("Result")


class Joint(Generic[Result]):
    """
    *work*, done again when it is needed again, but never twice at once.

    It runs without anybody's deadline.  A fork leaves it to the parent: its owner makes
    another one in the child.

    Args:
        name: Of the thread.
        doing: What the work is, for those who cannot wait for its end.
    """

    def __init__(self, name: str, doing: str, work: Callable[[], Result]) -> None:
        self._name = name
        self._doing = doing
        self._work = work
        self._lock = threading.Lock()
        self._under_way: Future[Result] | None = None

    def result(self) -> Result:
        """
        Return what it comes to.

        Raises:
            DeadlineError: The caller's time is up; it goes on.
        """
        left = deadlines.remaining()
        future = self._begun(threaded=left is not None)
        wait((future,), left)
        if not future.done():
            raise DeadlineError(f"the caller's time is up while {self._doing}")
        return future.result()

    def begin(self) -> None:
        """See to it that somebody does it, and wait for nothing."""
        self._begun(threaded=True)

    def _begun(self, *, threaded: bool) -> Future[Result]:
        with self._lock:
            if self._under_way is not None:
                return self._under_way
            future = self._under_way = Future[Result]()
        if not (threaded and self._started(future)):
            contextvars.Context().run(self._do, future)
        return future

    def _started(self, future: Future[Result]) -> bool:
        thread = threading.Thread(
            target=contextvars.Context().run,
            args=(self._do, future),
            name=self._name,
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError:  # no more threads to be had, or the process ends
            return False
        return True

    def _do(self, future: Future[Result]) -> None:
        try:
            result = self._work()
        except BaseException as error:  # noqa: BLE001 - who waits gets it
            self._under_way = None
            future.set_exception(error)
        else:
            self._under_way = None
            future.set_result(result)
