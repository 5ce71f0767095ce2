"""
One holder a key: in this process, and on this machine.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
import weakref

from collections.abc import Callable

from tiered_store import lifecycle
from tiered_store.journals.emptiness import Emptiness
from tiered_store.journals.identity import number_of
from tiered_store.key import Key
from tiered_store.readers import Descriptor


_FIRST_POLL = 0.0005
_LAST_POLL = 0.02


class Lease:
    """The right to be the only one; as a context manager it ends with the block."""

    __slots__ = ("_end",)

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end

    def release(self) -> None:
        """Let the next one have it; once, from any thread."""
        self._end()

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._end()


class _Held:
    __slots__ = ("lock", "users")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0


class KeyLocks:
    """A lock for each key in use, among the threads of this process."""

    def __init__(self) -> None:
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Forget who held what: those threads are not here."""
        self._lock = threading.Lock()
        self._held: dict[Key, _Held] = {}

    def lease(self, key: Key, seconds: float) -> Lease | None:
        """Return the lease on *key*, None if it was not to be had in *seconds*."""
        with self._lock:
            held = self._held.setdefault(key, _Held())
            held.users += 1
        if held.lock.acquire(timeout=max(0.0, seconds)):
            return Lease(lambda: self._release(key, held))
        self._leave(key, held)
        return None

    def beyond(
        self,
        key: Key,
        seconds: float,
        take: Callable[[], bool],
        drop: Callable[[], None],
    ) -> Lease | None:
        """
        Return a lease on *key* that holds beyond this process, by *take* and *drop*.

        Threads of this process wait for each other, so that one of them polls.
        """
        ends = time.monotonic() + seconds
        ours = self.lease(key, seconds)
        if ours is None:
            return None

        def release() -> None:
            try:
                drop()
            finally:
                ours.release()

        try:
            if poll(take, ends):
                return Lease(release)
        except BaseException:
            ours.release()
            raise
        ours.release()
        return None

    def _release(self, key: Key, held: _Held) -> None:
        held.lock.release()
        self._leave(key, held)

    def _leave(self, key: Key, held: _Held) -> None:
        with self._lock:
            held.users -= 1
            if not held.users and self._held.get(key) is held:
                del self._held[key]


class FileLocks:
    """
    A lock for each key in use, among all processes that open the same file.

    They are record locks of the operating system, one byte a key.  They cost two
    system calls and end with the process that holds them, killed or not, so there is
    no time after which somebody who is merely slow is taken for dead.

    Such locks do not exclude threads of one process, and closing the file anywhere
    in the process ends them all.  So a process has each file open once, which is what
    :func:`file_locks` is for, with a :class:`KeyLocks` before it.
    """

    def __init__(self, descriptor: Descriptor) -> None:
        self.emptiness = Emptiness(descriptor)
        self._descriptor = descriptor
        self._file = identity_of(os.fstat(descriptor.number))
        self._threads = KeyLocks()

    def is_at(self, path: str) -> bool:
        """Tell whether *path* is still this file, which others would open there."""
        try:
            return identity_of(os.stat(path)) == self._file
        except OSError:
            return False

    def lease(self, key: Key, seconds: float) -> Lease | None:
        """Return the lease on *key*, None if it was not to be had in *seconds*."""
        place = _place(key)
        return self._threads.beyond(
            key, seconds, lambda: self._lock(place), lambda: self._unlock(place)
        )

    def _lock(self, place: int) -> bool:
        try:
            fcntl.lockf(
                self._descriptor.number, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place
            )
        except (BlockingIOError, PermissionError):  # POSIX allows either
            return False
        return True

    def _unlock(self, place: int) -> None:
        fcntl.lockf(self._descriptor.number, fcntl.LOCK_UN, 1, place)


def poll(attempt: Callable[[], bool], ends: float) -> bool:
    """Return whether *attempt* succeeded, at once or before the monotonic *ends*."""
    pause = _FIRST_POLL
    while not attempt():
        left = ends - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LAST_POLL)
    return True


class _Files:
    """The files that this process has open, each once."""

    def __init__(self) -> None:
        self._open: weakref.WeakValueDictionary[tuple[int, int], FileLocks] = (
            weakref.WeakValueDictionary()
        )
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Take a lock of one's own; the files stay open, what they lock does not."""
        self._lock = threading.Lock()

    def at(self, path: str) -> FileLocks:
        with self._lock:
            known = self._known(path)
            if known is not None:
                return known
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            descriptor = Descriptor(os.open(path, flags, 0o666))
            locks = FileLocks(descriptor)
            self._open[identity_of(os.fstat(descriptor.number))] = locks
            return locks

    def _known(self, path: str) -> FileLocks | None:
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return None
        return self._open.get(identity_of(found))


_files = _Files()


def file_locks(path: str) -> FileLocks:
    """Return the locks of the file *path*, which is made if it is missing."""
    return _files.at(path)


def identity_of(found: os.stat_result) -> tuple[int, int]:
    """Return what no two files have, as long as both are there."""
    return found.st_dev, found.st_ino


def _place(key: Key) -> int:
    return number_of(repr(tuple(key))) >> 2  # an offset, so it must stay positive
