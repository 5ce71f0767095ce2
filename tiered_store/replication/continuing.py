"""
Bodies that go on elsewhere when the store they come from dies in the middle.

What must not happen is a splice: the beginning of one version and the end of another.
So another store's object is gone on with only if it is shown to be the same.  Either
both carry the digest that S3 makes of what was put, or the object there is read from
its start and is, byte for byte, what has been handed out so far.  In the second case it
may be another version all the same, that begins alike; then what is read in the end is
that version, whole.  If neither can be shown, the first store's error is raised.
"""

from __future__ import annotations

import io
import re
import threading
import time

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

import xxhash

from tiered_store import deadlines, readers
from tiered_store.body import Body, BytesBody, Stat
from tiered_store.errors import (
    CorruptError,
    DeadlineError,
    InvalidError,
    StoreError,
    UnavailableError,
)
from tiered_store.key import Key
from tiered_store.lent import InnerReader
from tiered_store.replication.health import answers_of
from tiered_store.store import Store


Elsewhere = Callable[[Collection[str]], Iterator[tuple[str, Body]]]
Ended = Callable[[str, StoreError | None], None]

_PIECE = 256 * 1024
_MOST = 64  # stretches that are compared; a reader who jumps about makes many
_DIGEST = re.compile(r"[0-9a-f]{32}(-[0-9]+)?")  # MD5 of the bytes, or of their parts


def continued(
    name: str, body: Body, stores: int, elsewhere: Elsewhere, ended: Ended
) -> Body:
    """
    Return *body*, which is from the store *name*, as one that goes on elsewhere.

    Args:
        stores: How many there are, each of which may use its share of a deadline.
        elsewhere: Asks other stores than those named for the object, in turn.
        ended: Told from which store a body broke, and why, or was read to its end.
    """
    if isinstance(body, BytesBody) or stores < 2:
        return body
    return _ContinuedBody(name, body, stores, elsewhere, ended)


def others(
    key: Key,
    stores: Mapping[str, Store],
    believed: Iterable[str],
    tried: Collection[str],
) -> Iterator[tuple[str, Body]]:
    """Yield what those *believed* of *stores* have, but for those already *tried*."""
    names = [name for name in believed if name not in tried]
    for name, answer in answers_of(names, lambda name: stores[name].get(key), None):
        if isinstance(answer, Body):  # the error that is told is why they are asked
            yield name, answer


class _Stretch:
    """Bytes that were handed out, from *start* to *end*."""

    __slots__ = ("digest", "end", "start")

    def __init__(self, start: int) -> None:
        self.start = self.end = start
        self.digest = xxhash.xxh3_128()

    def add(self, piece: bytes) -> None:
        self.digest.update(piece)
        self.end += len(piece)

    def is_of(self, body: Body) -> bool:
        digest = xxhash.xxh3_128()
        left = self.end - self.start
        with body.open(self.start) as file:
            while left and (piece := file.read(min(left, _PIECE))):
                digest.update(piece)
                left -= len(piece)
        return not left and digest.digest() == self.digest.digest()


class _ContinuedBody(Body):
    """
    A body from one store, then from another; the same one for all its readers.

    Attributes:
        source: What is read now.
        generation: How many sources there have been before.
    """

    def __init__(
        self,
        name: str,
        body: Body,
        stores: int,
        elsewhere: Elsewhere,
        ended: Ended,
    ) -> None:
        self.size = body.size
        self.version = body.version
        self.say_as(body)
        self.source = body
        self.generation = 0
        self._name = name
        self._stores = stores
        self._tried = {name}
        self._elsewhere = elsewhere
        self._ended = ended
        self._lock = threading.Lock()
        self._stretches: list[_Stretch] = []
        self._scattered = False

    def open(self, offset: int = 0) -> io.BufferedReader:
        return io.BufferedReader(_ContinuedReader(self, offset), _PIECE)

    def read(self) -> bytes:
        source, generation = self.source, self.generation
        try:
            with self.attempt():
                content = source.read()
            if self.note(generation, None, 0, content) is not None:
                return content
        except StoreError as error:
            self.go_on(generation, error)
        return super().read()

    def stat(self) -> Stat:
        return self.source.stat()

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Leave time and patience for the stores that have not been tried."""
        deadlines.check()
        with readers.hasty(self.left > 0), deadlines.share(self.left + 1):
            yield

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other readers out, one of whom may be asking other stores just now."""
        if not self._lock.acquire(timeout=deadlines.bounded(threading.TIMEOUT_MAX)):
            raise DeadlineError("the caller's time is up")
        try:
            yield
        finally:
            self._lock.release()

    @property
    def left(self) -> int:
        """How many stores have not been tried."""
        return self._stores - len(self._tried)

    def note(
        self, generation: int, stretch: _Stretch | None, at: int, piece: bytes
    ) -> _Stretch | None:
        """
        Note that *piece* is handed out; None if it must not be, as it is outdated.

        Returns:
            The stretch that the reader's next piece may belong to.
        """
        with self._alone():
            if generation != self.generation:
                return None
            if stretch is None or stretch.end != at:
                stretch = _Stretch(at)
                self._scattered = self._scattered or len(self._stretches) >= _MOST
                if not self._scattered:
                    self._stretches.append(stretch)
            stretch.add(piece)
            if stretch.end == self.size:
                self._ended(self._name, None)
            return stretch

    def go_on(self, generation: int, error: StoreError) -> None:
        """
        Take another source than that of *generation*, which failed with *error*.

        Raises:
            StoreError: *error*, if there is none that is shown to be the same.
        """
        if isinstance(error, DeadlineError | InvalidError) or error.local:
            raise error
        with self._alone():
            if generation != self.generation:
                return  # another reader was quicker
            self._ended(self._name, error)
            for name, body in self._elsewhere(self._tried):
                self._tried.add(name)
                if self._is_same(body, error):
                    self._name, self.source = name, body
                    self.generation += 1
                    return
            deadlines.check()
            raise error

    def _is_same(self, body: Body, error: StoreError) -> bool:
        if body.size != self.size:
            return False
        digest = self.version if self.version == body.version else None
        is_told = digest is not None and _DIGEST.fullmatch(digest) is not None
        if is_told and not isinstance(error, CorruptError):  # else what came may be bad
            body.open().close()  # what was answered from the start on is not wanted
            return True
        if self._scattered:
            return False
        try:
            return all(stretch.is_of(body) for stretch in self._stretches)
        except DeadlineError:
            raise
        except StoreError:
            return False


class _Haste:
    """
    Whether one source is too slow for the caller's deadline.

    Attributes:
        came: Bytes.
    """

    def __init__(self) -> None:
        self.came = 0
        self._ends: float | None = None
        self._began = self._share = 0.0

    def is_lost(self, missing: int, others: int) -> bool:
        """
        Say that *missing* bytes will not come in time, while there is some for others.

        It is said once its share of the time is over, and of one deadline at a time.
        """
        ends = deadlines.ends()
        if ends is None or not others:
            return False
        now = time.monotonic()
        if ends != self._ends:
            self._ends, self._began, self.came = ends, now, 0
            self._share = (ends - now) / (others + 1)
        spent = now - self._began
        return spent > self._share and self.came * (ends - now) < missing * spent


class _ContinuedReader(InnerReader):
    def __init__(self, body: _ContinuedBody, position: int) -> None:
        super().__init__(body.source, position)
        self._owner = body
        self._generation = body.generation
        self._stretch: _Stretch | None = None
        self._haste = _Haste()

    def _piece(self, wanted: int) -> bytes:
        while True:
            if self._haste.is_lost(self._size - self._position, self._owner.left):
                slow = UnavailableError("too slow for the caller's time")
                with suppress(StoreError):  # then it is slow, and all there is
                    self._owner.go_on(self._generation, slow)
            if self._generation != self._owner.generation:
                self._release()
                self._generation = self._owner.generation
                self._body = self._owner.source
                self._haste = _Haste()
            try:
                with self._owner.attempt():
                    piece = self._fetch(wanted)
            except StoreError as error:
                self._release()
                self._owner.go_on(self._generation, error)
                continue
            noted = self._owner.note(
                self._generation, self._stretch, self._position, piece
            )
            if noted is not None:
                self._stretch = noted
                self._haste.came += len(piece)
                return piece
