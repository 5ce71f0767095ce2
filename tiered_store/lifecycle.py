"""
Forks survived and exits drained.

Whoever holds what does not survive a fork (threads, connections, a database
handle) or must finish at exit (queued work) registers here, weakly.  Nothing
is started on import.
"""

from __future__ import annotations

import atexit
import logging
import os
import time
import weakref

from typing import Protocol


EXIT_SECONDS = 10.0  # all of them together

_log = logging.getLogger("tiered_store")


class Forkable(Protocol):
    """Has something that a child process must not share with its parent."""

    def after_fork(self) -> None:
        """Forget it, in the child, without waiting for any lock."""


class Drainable(Protocol):
    """Has work that should be finished before the process ends."""

    def drain(self, seconds: float) -> str | None:
        """Finish within *seconds*; return what is left as a phrase, None if nothing."""


_forkable: weakref.WeakSet[Forkable] = weakref.WeakSet()
_drainable: weakref.WeakSet[Drainable] = weakref.WeakSet()


def survive_fork(thing: Forkable) -> None:
    """Call ``thing.after_fork()`` in every child process."""
    _forkable.add(thing)


def drain_at_exit(thing: Drainable) -> None:
    """Call ``thing.drain()`` when the interpreter ends."""
    _drainable.add(thing)


def _in_child() -> None:
    for thing in list(_forkable):
        thing.after_fork()


def _at_exit() -> None:
    ends = time.monotonic() + EXIT_SECONDS
    for thing in list(_drainable):
        left = thing.drain(max(0.0, ends - time.monotonic()))
        if left is not None:
            _log.error("exiting with work left: %s", left)


os.register_at_fork(after_in_child=_in_child)
atexit.register(_at_exit)
