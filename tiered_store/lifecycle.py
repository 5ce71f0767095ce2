"""
Forks survived and exits drained.

Whoever holds what does not survive a fork (threads, connections, a database
handle) or must finish at exit (queued work) registers here, weakly.  Nothing
is started on import.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 - hears of a fork's begin and its end
import importlib
import logging
import os
import signal
import sys
import threading
import time
import weakref

from collections.abc import Iterable
from types import FrameType
from typing import Any, Protocol, TypeVar


EXIT_SECONDS = 10.0  # all of them together
_LONGEST_IMPORT = 30.0  # seconds; then something else is wrong, and a fork goes on
_LONGEST_WORK = 60.0  # the same

_log = logging.getLogger("tiered_store")


_Thing = TypeVar("_Thing")


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


class Undisturbed:
    """
    Work that a fork waits for, a block of ``with`` each; it may be any thread's.

    For libraries in C that have locks for the whole process, which nobody could let go
    in a child: SQLite takes one whenever it wants memory.
    """

    def __init__(self) -> None:
        self._under_way: list[int] = []
        self._held = False
        self.after_fork()
        survive_fork(self)
        rest_at_fork(self)

    def __enter__(self) -> None:
        me = threading.get_ident()
        if me in self._under_way:  # a fork waits for it already
            self._under_way.append(me)
            return
        with self._gate:
            self._under_way.append(me)

    def __exit__(self, *exc_info: object) -> None:
        self._under_way.remove(threading.get_ident())

    def before_fork(self) -> None:
        """Let no other thread begin, and wait for those that have."""
        ends = time.monotonic() + _LONGEST_WORK
        self._held = self._gate.acquire(timeout=_LONGEST_WORK)
        me = threading.get_ident()
        while any(thread != me for thread in list(self._under_way)):
            if time.monotonic() > ends:
                _log.warning("a fork in the midst of work that did not end")
                return
            time.sleep(0.0002)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._held:
            self._held = False
            self._gate.release()

    def after_fork(self) -> None:
        """Begin anew: of those at work only who forked is in the child."""
        me = threading.get_ident()
        self._under_way = [thread for thread in self._under_way if thread == me]
        self._gate = threading.RLock()


class _Imports:
    """
    What other threads are importing, which a fork waits for.

    A module that is being imported is locked, in a child for ever: whoever asks for it
    there hangs.  SDKs import in our threads, at their first connection and later too.
    Python tells nobody; its own locks, which exist only meanwhile, do.
    """

    def __init__(self) -> None:
        # of CPython from 3.3 on; tests fail where it is gone
        self._locks: dict[str, weakref.ref[Any]] = getattr(
            importlib._bootstrap, "_module_locks", {}
        )
        # a program that runs while it is imported, or in a child what its parent did
        self._endless: weakref.WeakSet[Any] = weakref.WeakSet()

    def rest(self) -> None:
        """Wait until nothing is imported, for each import once and not for ever."""
        ends = time.monotonic() + _LONGEST_IMPORT
        while under_way := self._under_way():
            if time.monotonic() > ends:
                names = ", ".join(sorted(lock.name for lock in under_way))
                _log.warning("a fork while another thread imports %s", names)
                self._endless.update(under_way)
            under_way = []  # a reference keeps it
            time.sleep(0.001)

    def after_fork(self) -> None:
        self._endless.update(self._under_way())

    def _under_way(self) -> list[Any]:
        me = threading.get_ident()
        locks = [reference() for reference in list(self._locks.values())]
        return [
            lock
            for lock in locks
            if lock is not None
            and lock.owner not in (None, me)
            and lock not in self._endless
        ]


_imports = _Imports()
survive_fork(_imports)


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


def _those_of(things: Iterable[_Thing]) -> list[_Thing]:
    """Return *things*, whose number another thread may be changing."""
    while True:
        try:
            return list(things)
        except RuntimeError:  # it has, so once more
            continue


def _before() -> None:
    for thing in _those_of(_resting):
        thing.before_fork()
    _imports.rest()


def _in_parent() -> None:
    for thing in _those_of(_resting):
        thing.after_fork_in_parent()


def _in_child() -> None:
    for thing in _those_of(_forkable):
        try:
            thing.after_fork()
        except Exception:  # noqa: BLE001 - the others must forget all the same
            _log.exception("%r did not survive a fork", thing)


def _at_exit() -> None:
    ends = time.monotonic() + EXIT_SECONDS
    for thing in _those_of(_drainable):
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
