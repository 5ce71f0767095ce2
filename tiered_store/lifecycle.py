"""
Forks survived and exits drained.

Whoever holds what does not survive a fork (threads, connections, a database
handle) or must finish at exit (queued work) registers here, weakly.  Nothing
is started on import.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import sys
import threading
import time
import weakref

from collections.abc import Iterator
from types import FrameType
from typing import Protocol


EXIT_SECONDS = 10.0  # all of them together
_LONGEST_IMPORT = 60.0  # seconds; then something else is wrong, and a fork goes on

_log = logging.getLogger("tiered_store")


class Forkable(Protocol):
    """Has something that a child process must not share with its parent."""

    def after_fork(self) -> None:
        """Forget it, in the child, without waiting for any lock."""


class Resting(Protocol):
    """Has something that must not be under way at the moment of a fork."""

    def before_fork(self) -> None:
        """Wait until nothing is, and let nothing begin."""

    def after_fork_in_parent(self) -> None:
        """Go on."""


class Drainable(Protocol):
    """Has work that should be finished before the process ends."""

    def drain(self, seconds: float) -> str | None:
        """Finish within *seconds*; return what is left as a phrase, None if nothing."""


_forkable: weakref.WeakSet[Forkable] = weakref.WeakSet()
_resting: weakref.WeakSet[Resting] = weakref.WeakSet()
_drainable: weakref.WeakSet[Drainable] = weakref.WeakSet()


def survive_fork(thing: Forkable) -> None:
    """Call ``thing.after_fork()`` in every child process."""
    _forkable.add(thing)


def rest_at_fork(thing: Resting) -> None:
    """Call the two methods of *thing* before and after every fork."""
    _resting.add(thing)


def drain_at_exit(thing: Drainable) -> None:
    """Call ``thing.drain()`` when the interpreter ends."""
    _drainable.add(thing)


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """
    Let no other thread fork while the block imports something.

    A module that is being imported is locked, in a child for ever: whoever asked for it
    there would hang.  SDKs take a third of a second, often in a thread of ours.
    """
    with _imports.lock:
        yield


class _Imports:
    def __init__(self) -> None:
        self._held = False
        self.after_fork()

    def before_fork(self) -> None:
        self._held = self.lock.acquire(timeout=_LONGEST_IMPORT)

    def after_fork_in_parent(self) -> None:
        if self._held:
            self.lock.release()

    def after_fork(self) -> None:
        self.lock = threading.RLock()


_imports = _Imports()
survive_fork(_imports)
rest_at_fork(_imports)


def end_at_sigterm() -> None:
    """
    Have SIGTERM end the process as ``sys.exit`` does, so that it drains.

    By itself Python is killed by it.  Servers of the web have done so already; call it
    in the main thread of whatever has not.  A handler that is there stays.
    """
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _before() -> None:
    for thing in list(_resting):
        thing.before_fork()


def _in_parent() -> None:
    for thing in list(_resting):
        thing.after_fork_in_parent()


def _in_child() -> None:
    for thing in list(_forkable):
        try:
            thing.after_fork()
        except Exception:  # noqa: BLE001 - the others must forget all the same
            _log.exception("%r did not survive a fork", thing)


def _at_exit() -> None:
    ends = time.monotonic() + EXIT_SECONDS
    for thing in list(_drainable):
        try:
            left = thing.drain(max(0.0, ends - time.monotonic()))
        except Exception:  # noqa: BLE001 - the others must finish all the same
            _log.exception("%r could not be drained", thing)
        else:
            if left is not None:
                _log.error("exiting with work left: %s", left)


os.register_at_fork(
    before=_before, after_in_parent=_in_parent, after_in_child=_in_child
)
atexit.register(_at_exit)
