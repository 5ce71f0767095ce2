"""
A thread that looks at something now and then, so that those who use it need not.
"""

from __future__ import annotations

import contextvars
import threading
import time
import weakref

from typing import Protocol

from tiered_store import deadlines, lifecycle


_FIRST_SECONDS = 1.0  # that the first callers of a process wait


class Watched(Protocol):
    """Knows what it saw last."""

    def refresh(self) -> None:
        """Look once, whatever that may meet."""


class Lookout:
    """
    Looks at *what* from the first use on, until nobody uses it any more.

    No thread is started before :meth:`begin`; a forked child starts its own, and goes
    on from what its parent had seen.

    Args:
        what: Held weakly: whoever forgets it need not close it.
        every: Seconds between two looks, or longer if one takes long.
        share: Of the thread's time that looking takes at most.

    Attributes:
        begun: Somebody looks.
        seen: Somebody has, or had the time to; nobody waits any more.
    """

    def __init__(
        self, what: Watched, name: str, every: float, *, share: float = 1.0
    ) -> None:
        self._what = weakref.ref(what)
        self._name = name
        self._every = every
        self._share = share
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Have no thread: the parent's goes on in the parent."""
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._looked = threading.Event()
        self._waits_until = 0.0
        self.thread: threading.Thread | None = None
        self.begun = False
        self.seen = False

    def begin(self) -> None:
        """
        See to it that somebody looks.

        Whoever calls in the first second waits for the first look, as long as that
        second lasts and a deadline allows.
        """
        with self._lock:
            if not (self.begun or self._ended.is_set()):
                self._waits_until = time.monotonic() + _FIRST_SECONDS
                if not self._start():
                    return
        if threading.current_thread() is self.thread:
            return  # it is looking, and whoever hears of it asks
        left = self._waits_until - time.monotonic()
        if left > 0:
            self._looked.wait(deadlines.bounded(left))
            left = self._waits_until - time.monotonic()
        self.seen = left <= 0 or self._looked.is_set()

    def end(self) -> None:
        """Look no more."""
        self._ended.set()
        self._looked.set()
        self.seen = True

    def _start(self) -> bool:
        given = self._what, self._ended, self._looked, self._every, self._share
        # a context of its own: not within the caller's deadline
        thread = threading.Thread(
            target=contextvars.Context().run,
            args=(_look, *given),
            name=self._name,
            daemon=True,
        )
        self.thread = thread
        try:
            thread.start()
        except RuntimeError:  # no more threads to be had, or the process ends
            self.thread = None
            return False
        self.begun = True
        return True


def _look(
    what: weakref.ref[Watched],
    ended: threading.Event,
    looked: threading.Event,
    every: float,
    share: float,
) -> None:
    while not ended.is_set() and (watched := what()) is not None:
        began = time.monotonic()
        watched.refresh()
        looked.set()
        del watched  # or this thread would be who uses it
        took = time.monotonic() - began
        if ended.wait(max(every, took / share)):
            return
