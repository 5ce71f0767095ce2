"""
A body on its way into a temporary file.
"""

from __future__ import annotations

import contextvars
import errno
import os
import threading

from collections.abc import Iterator
from contextlib import contextmanager

from tiered_store import deadlines, lifecycle
from tiered_store.body import Body
from tiered_store.caching.meeting import Spool
from tiered_store.errors import FullError, StoreError, UnavailableError
from tiered_store.readers import Descriptor
from tiered_store.units import KIB


_CHUNK = 256 * KIB


class Arrival:
    """
    What has arrived of *body*, and the thread that fetches it.

    The thread refers to this alone, so it does not keep the download wanted.

    Args:
        given: Where to put it, for others to follow; else a file of its own.

    Attributes:
        arrived: Bytes that are in the file.
        ended: There will not be more of them.
        spool: The file; None before it begins and after it ended early.
    """

    def __init__(self, body: Body, given: Spool | None = None) -> None:
        self.arrived = 0
        self.ended = False
        self.completed = False
        self.failure: StoreError | None = None
        self.spool: Descriptor | None = None
        self._body = body
        self._given = given
        self._begun = False
        self._writing: Descriptor | None = None  # the thread's own
        self._changed = threading.Condition()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Let the child's readers go on alone: its parent's thread is not here."""
        self._changed = threading.Condition()
        self._given = None
        if self._begun and not self.completed:
            self.ended = True
            self.spool = self._writing = None

    # -- for those who want it -----------------------------------------------

    def begin(self) -> None:
        """Start the thread unless it was started; if it cannot be, end."""
        if self.spool is not None or self.ended:
            return
        with self._changed:
            if self._begun or self.ended:
                return
            self._begun = True
            # in a context of its own: the first reader's deadline is not the others'
            work = contextvars.Context().run
            thread = threading.Thread(
                target=work, args=(self._run,), name="download", daemon=True
            )
            try:
                self.spool = self._writing = self._file()
                thread.start()
            except StoreError as error:
                self.end(_without_frames(error))
            except RuntimeError as error:  # no more threads, or the interpreter ends
                self._writing = None
                self.end(UnavailableError(str(error), local=True))

    def wait_for_byte(self, position: int) -> None:
        """Return once the byte at *position* has arrived, or never will."""
        if self.arrived > position or self.ended:
            return
        with self._changed:
            while self.arrived <= position and not self.ended:
                deadlines.check()
                self._changed.wait(deadlines.remaining())

    def wait(self, seconds: float) -> bool:
        """Wait for *seconds* at most until it has ended; say if it is complete."""
        with self._changed:
            longest = min(seconds, threading.TIMEOUT_MAX)
            self._changed.wait_for(lambda: self.ended, longest)
        return self.completed

    def end(self, failure: StoreError | None) -> None:
        """Let nothing more arrive, because of *failure* if something is missing."""
        with self._changed:
            if not self.ended:
                whole = self.arrived == self._body.size
                self.completed = whole and self.spool is not None
                if not self.completed:
                    self.failure, self.spool = failure, None
                    self._leave()
                self.ended = True
            self._changed.notify_all()

    def forget(self) -> None:
        """End when nobody is left; takes no lock, as it may run at any moment."""
        self.ended = True
        self.spool = None
        self._leave()

    def _leave(self) -> None:
        given, self._given = self._given, None
        if given is not None:
            given.leave()

    def _file(self) -> Descriptor:
        given = None if self._given is None else self._given.descriptor
        return _with_room(given or _temporary(), self._body.size)

    # -- the thread ----------------------------------------------------------

    def _run(self) -> None:
        failure = None
        try:
            self._fetch()
        except StoreError as error:
            failure = _without_frames(error)
        finally:
            self._writing = None
            self.end(failure)

    def _fetch(self) -> None:
        size = self._body.size
        with self._body.open() as file:
            while not self.ended and self.arrived < size:
                piece = file.read1(min(_CHUNK, size - self.arrived))
                if not piece:
                    raise UnavailableError(
                        f"the body ended after {self.arrived} of {size} bytes"
                    )
                self._write(piece)
                with self._changed:
                    self.arrived += len(piece)
                    self._changed.notify_all()

    def _write(self, piece: bytes) -> None:
        assert self._writing is not None
        view = memoryview(piece)
        with _keeping():
            while view:
                # no name for the file: in a forked child this frame is there for ever
                view = view[os.write(self._writing.number, view) :]


def _temporary() -> Descriptor:
    """Return a new file without a name."""
    import tempfile  # most programs never come here

    with _keeping(), tempfile.TemporaryFile(buffering=0) as file:
        return Descriptor(os.dup(file.fileno()))


def _with_room(file: Descriptor, size: int) -> Descriptor:
    """Return *file* if there seems to be room for *size* bytes."""
    with _keeping():
        room = os.fstatvfs(file.number)
        if room.f_blocks and room.f_bavail * room.f_frsize < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return file


@contextmanager
def _keeping() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        why = f"a download cannot be kept: {why}"
        raise FullError(why, local=True, failover=False) from error


def _without_frames(error: StoreError) -> StoreError:
    """Return a copy of *error* that keeps nothing alive of where it was raised."""
    twin = error.copy()
    link, seen = twin.__cause__, set()
    while link is not None and link not in seen:
        seen.add(link)
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return twin
