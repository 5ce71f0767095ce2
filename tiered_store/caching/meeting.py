"""
Where processes of one host meet that want the bytes of one large copy.

Whoever fetches them writes what arrives into a file that is named after the copy, and
the others read it while it grows, each at a pace of its own.  A lock of the operating
system says that somebody sees to it.  It ends with the process that has it, however
that dies; then one of the others fetches anew, into another file.
"""

from __future__ import annotations

import fcntl
import io
import os
import stat
import threading
import time

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tiered_store import deadlines, lifecycle
from tiered_store.body import Body
from tiered_store.errors import ConflictError
from tiered_store.lent import InnerReader
from tiered_store.readers import Descriptor
from tiered_store.tiers.tier import Record
from tiered_store.units import KIB


_BUFFER = 64 * KIB
_SOONEST, _LATEST = 0.001, 0.02  # seconds between two looks at what has arrived
_OLD = 60.0  # seconds after which what the dead have left is removed


class Meeting:
    """
    The files, in the directory for temporary ones: of one user, and for nobody else.

    Processes that have another such directory, as in another container, do not meet.
    """

    def join(self, identity: int) -> Spool | Descriptor | None:
        """
        Return what to fill, or else the file that somebody else fills.

        None says that there can be no such file: everybody is alone.
        """
        try:
            folder = _folder()
            name = os.path.join(folder, f"{identity:016x}")
            while (joined := _joined(name)) is None:
                pass
        except OSError:
            return None
        if isinstance(joined, Spool):
            _sweep(folder, name)
        return joined


class Spool:
    """
    A file to be filled, by whoever holds it; gone when nobody does any more.

    Attributes:
        descriptor: None when nothing more will come.
    """

    def __init__(self, name: str, descriptor: Descriptor) -> None:
        self.descriptor: Descriptor | None = descriptor
        self._name = name
        self._holders = 0
        self._lock = threading.Lock()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Leave it to the parent, whose lock must end with the parent."""
        self.descriptor = None
        self._lock = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let others wait for what comes, until the last such block ends."""
        with self._lock:
            self._holders += 1
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                held = self._holders
            if not held:
                self.leave()

    def write(self, content: bytes) -> None:
        """Fill it at once; if that cannot be, nobody waits for it."""
        if self.descriptor is None:
            return
        view = memoryview(content)
        try:
            while view:
                view = view[os.write(self.descriptor.number, view) :]
        except OSError:
            self.leave()

    def leave(self) -> None:
        """Let nobody wait for what is not here yet; takes no lock."""
        descriptor, self.descriptor = self.descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                os.unlink(self._name)
            with suppress(OSError):  # readers here may have it open for long
                fcntl.flock(descriptor.number, fcntl.LOCK_UN)


class FollowedBody(Body):
    """
    The bytes of a copy, in a file that another process fills.

    Args:
        again: Returns the same from elsewhere, as nobody fills the file any more; or,
            if it is given True, as whoever does is stuck.
        patience: Seconds without another byte, after which that is so.
    """

    def __init__(
        self,
        record: Record,
        spool: Descriptor,
        again: Callable[[bool], Body],
        patience: float,
    ) -> None:
        assert record.size is not None
        self.size = record.size
        self.version = record.version
        self.modified = record.modified
        self.spool = spool
        self.patience = patience
        self._again = again

    def open(self, offset: int = 0) -> io.BufferedReader:
        return io.BufferedReader(_Following(self, offset), _BUFFER)

    def elsewhere(self, position: int, *, stuck: bool) -> Body:
        """
        Return who has the rest, from *position* on.

        Raises:
            StoreError: The origin's, or a conflict: it is not known to be the same.
        """
        body = self._again(stuck)
        unknown = self.version is None and position > 0
        if unknown or (body.size, body.version) != (self.size, self.version):
            raise ConflictError(
                "who fetched it has gone, and what is there now may be another version"
            )
        return body


class _Following(InnerReader):
    def __init__(self, body: FollowedBody, position: int) -> None:
        super().__init__(body, position)
        self._followed = body
        self._spool: Descriptor | None = body.spool

    def _piece(self, wanted: int) -> bytes:
        if self._spool is not None:
            stuck = self._wait(self._spool.number)
            with suppress(OSError):  # the disk fails, which is no reason to
                if piece := os.pread(self._spool.number, wanted, self._position):
                    return piece
            self._spool = None
            self._body = self._followed.elsewhere(self._position, stuck=stuck)
        return self._fetch(wanted)

    def _wait(self, number: int) -> bool:
        """Return when the next byte is there or will never be; say if it may yet."""
        known, since, pause = -1, time.monotonic(), _SOONEST
        while (arrived := os.fstat(number).st_size) <= self._position:
            deadlines.check()
            now = time.monotonic()
            if arrived != known:
                known, since, pause = arrived, now, _SOONEST
            elif now - since > self._followed.patience:
                return True
            elif pause >= _LATEST and not _is_held(number):
                return False
            time.sleep(deadlines.bounded(pause))
            pause = min(2 * pause, _LATEST)
        return False

    def close(self) -> None:
        self._spool = None
        super().close()


def _folder() -> str:
    """Return the directory of the files, made if there is none."""
    import tempfile  # most programs never come here

    user = os.geteuid()
    folder = os.path.join(tempfile.gettempdir(), f"tiered-store-{user}")
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is somebody else's, or open to others")
    return folder


def _joined(name: str) -> Spool | Descriptor | None:
    """Return what :meth:`Meeting.join` does; None if it is to be tried again."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = Descriptor(os.open(name, flags, 0o600))
    try:
        fcntl.flock(descriptor.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return descriptor
    ours = os.fstat(descriptor.number)
    try:
        there = os.stat(name, follow_symlinks=False)
    except FileNotFoundError:
        return None  # who had it has just left
    if not os.path.samestat(ours, there):
        return None
    if ours.st_size:  # somebody died, and perhaps the machine with them
        os.unlink(name)
        return None
    return Spool(name, descriptor)


def _is_held(number: int) -> bool:
    """Say whether somebody sees to the file."""
    try:
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(number, fcntl.LOCK_UN)
    return False


def _sweep(folder: str, but: str) -> None:
    """Remove what the dead have left, unless it is new."""
    entries: list[os.DirEntry[str]] = []
    with suppress(OSError):
        entries = list(os.scandir(folder))
    for entry in entries:
        with suppress(OSError):  # somebody holds it, or has removed it meanwhile
            age = time.time() - entry.stat(follow_symlinks=False).st_mtime
            if entry.path == but or age < _OLD:
                continue
            descriptor = Descriptor(os.open(entry.path, os.O_RDWR | os.O_NOFOLLOW))
            fcntl.flock(descriptor.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(entry.path)
