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


Result = TypeVar("Result")
_IDLE_SECONDS = 30.0


class Workers:
    """
    At most *limit* threads named *name*.

    The work sees the context variables (such as the deadline) of its caller.
    """

    def __init__(self, name: str, limit: int) -> None:
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
        """Return the future of *work*, already done if no thread was free for it."""
        future: Future[Result] = Future()
        context = contextvars.copy_context()

        def run() -> None:
            try:
                future.set_result(context.run(work))
            except BaseException as error:  # noqa: BLE001 - the future carries it
                future.set_exception(error)

        if self._claim_thread():
            self._work.put(run)
        else:
            run()
        return future

    def _claim_thread(self) -> bool:
        with self._lock:
            if self._closed:
                return False
            if self._idle:
                self._idle -= 1
                return True
            if self._threads >= self.limit:
                return False
            self._threads += 1
            number = self._threads
        thread = threading.Thread(
            target=self._serve, name=f"{self.name}-{number}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # no more threads to be had, or the interpreter ends
            with self._lock:
                self._threads -= 1
            return False
        return True

    def _serve(self) -> None:
        while True:
            try:
                work = self._work.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if not self._idle:  # claimed this very moment
                        continue
                    self._idle -= 1
                    self._threads -= 1
                return
            if work is None:
                return
            work()
            del work  # a waiting thread must not keep a body open
            with self._lock:
                self._idle += 1

    def close(self) -> None:
        """Let the idle threads go; what is running finishes, new work runs inline."""
        with self._lock:
            self._closed = True
            threads = self._threads
        for _ in range(threads):
            self._work.put(None)
