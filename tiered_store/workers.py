"""
Threads that do a store's parallel work.

A pool never queues: work that finds no idle thread and no room for another is
done by whoever brought it.  So nested stacks cannot wait for each other in a
circle, and there are never more threads than asked for.  Threads are daemons,
started when first needed: a hung server cannot keep a process from ending.
"""

from __future__ import annotations

import contextvars
import queue
import threading

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from tiered_store import lifecycle
from tiered_store.errors import ConfigError


Result = TypeVar("Result")
_IDLE_SECONDS = 30.0


class Workers:
    """
    At most *limit* threads named *name*.

    The work sees the context variables (such as the deadline) of its caller.

    Raises:
        ConfigError: *limit* is negative; with 0 all work is done by who brings it.
    """

    def __init__(self, name: str, limit: int) -> None:
        if limit < 0:
            raise ConfigError(f"workers: must not be negative, is {limit}")
        self.name = name
        self.limit = limit
        self._closed = False
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Start anew: the child has none of its parent's threads."""
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = 0
        self._idle = 0

    def start(self, work: Callable[[], Result]) -> Future[Result]:
        """
        Return the future of *work*, already done if no thread was free for it.

        It cannot be cancelled once it has begun.
        """
        future, run = _promised(work)
        if not self._hand_over(run):
            run()
        return future

    def begin(self, work: Callable[[], Result]) -> Future[Result] | None:
        """Return the future of *work*, or None, undone, if no thread is free for it."""
        future, run = _promised(work)
        return future if self._hand_over(run) else None

    def offer(self, work: Callable[[], None]) -> bool:
        """Have *work* done in a thread, or return False if none is free for it."""
        context = contextvars.copy_context()
        return self._hand_over(lambda: context.run(work))

    def _hand_over(self, work: Callable[[], None]) -> bool:
        with self._lock:
            if self._closed:
                return False
            if self._idle:
                self._idle -= 1
                self._work.put(work)  # with the lock, so that close() comes after it
                return True
            if self._threads >= self.limit:
                return False
            self._threads += 1
            number = self._threads
        first = [work]  # taken out, as a thread keeps its arguments
        thread = threading.Thread(
            target=self._serve, args=(first,), name=f"{self.name}-{number}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # no more threads to be had, or the interpreter ends
            with self._lock:
                self._threads -= 1
            return False
        return True

    def _serve(self, first: list[Callable[[], None]]) -> None:
        work: Callable[[], None] | None = first.pop()
        while work is not None:
            work()
            work = None  # a waiting thread must not keep a body open
            work = self._next()

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            self._idle += 1
        while True:
            try:
                return self._work.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if self._idle:  # else claimed this very moment
                        self._idle -= 1
                        self._threads -= 1
                        return None

    def close(self) -> None:
        """Let the idle threads go; what is running finishes, new work runs inline."""
        with self._lock:
            self._closed = True
            threads = self._threads
        for _ in range(threads):
            self._work.put(None)


def _promised(work: Callable[[], Result]) -> tuple[Future[Result], Callable[[], None]]:
    """Return the future of *work*, and what does it in the context of now."""
    future: Future[Result] = Future()
    context = contextvars.copy_context()

    promised = [future]  # taken out: the error has the frame in its traceback

    def run() -> None:
        if not promised[0].set_running_or_notify_cancel():
            return
        try:
            result = context.run(work)
        except BaseException as error:  # noqa: BLE001 - the future carries it
            promised.pop().set_exception(error)
        else:
            promised.pop().set_result(result)

    return future, run
