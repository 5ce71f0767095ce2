"""Many read what is fetched once, each at a pace of its own, and nobody gets half."""

from __future__ import annotations

import gc
import hashlib
import io
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import traceback
import tracemalloc
import warnings
import zlib

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tiered_store import deadlines
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body, BytesBody, Stat, StreamBody
from tiered_store.caching.download import Download
from tiered_store.deadlines import deadline
from tiered_store.errors import (
    ConflictError,
    DeadlineError,
    DeniedError,
    FullError,
    UnavailableError,
)
from tiered_store.key import Key
from tiered_store.testing import FaultStore


KIB = 1024
MIB = 1024 * KIB
CHUNK = 256 * KIB
CONTENT = random.Random(5).randbytes(4 * CHUNK + 17)
HALF = 2 * CHUNK
KEY = Key("testing", 1, 2, 3, "image/png")


def digest(content: bytes) -> str:
    """Return what megabytes are compared by."""
    return hashlib.sha256(content).hexdigest()


def waiting(download: Download, count: int) -> None:
    """Return once *count* threads wait for what is to come."""
    for _ in range(10_000):
        if len(download._arrival._changed._waiters) == count:  # type: ignore[attr-defined]
            return
        threading.Event().wait(0.001)
    raise AssertionError(f"there are never {count} that wait")


WHOLE = digest(CONTENT)
REST = digest(CONTENT[HALF:])


def descriptors() -> int:
    """Return how many files this process has open."""
    return len(os.listdir("/proc/self/fd"))


def fetching() -> list[threading.Thread]:
    """Return the threads of downloads."""
    return [thread for thread in threading.enumerate() if thread.name == "download"]


class Origin(Body):
    """
    A body far away, whose bytes come to a download as they are let.

    Args:
        let: Bytes that the download is given before it has to wait.
        fails_at: The byte where the download's reader meets *error*, if there is one,
            and else the end.  Nobody else does.

    Attributes:
        asked: From which offset, for every reader there was.
        open_readers: How many are not closed yet.
        left: The seconds that the download had left, by its context.
    """

    def __init__(
        self,
        content: bytes = CONTENT,
        *,
        let: int | None = None,
        fails_at: int | None = None,
        error: Callable[[], Exception] | None = None,
    ) -> None:
        self.content = content
        self.size = len(content)
        self.version = "v1"
        self.fails_at = self.size if fails_at is None else fails_at
        self.error = error
        self.asked: list[int] = []
        self.left: list[float | None] = []
        self.open_readers = 0
        self.read_elsewhere: Callable[[], None] = bool
        self._let = self.size if let is None else let
        self._stands: int | None = None
        self._changed = threading.Condition()

    def open(self, offset: int = 0) -> io.BufferedReader:
        own = threading.current_thread().name == "download"
        self.asked.append(offset)
        if own:
            self.left.append(deadlines.remaining())
        return io.BufferedReader(_Far(self, offset, own=own))

    def stat(self) -> Stat:
        return Stat(self.size, self.version, 5.0)

    def let(self, count: int) -> None:
        """Give the download *count* bytes, all told."""
        with self._changed:
            self._let = count
            self._changed.notify_all()

    def stands_at(self, position: int) -> None:
        """Return once the download has all before *position* and waits for more."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._stands == position, 10)

    def limit(self, position: int) -> int:
        """Wait until the download is given something at *position*; return its end."""
        with self._changed:
            self._stands = position
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._let > position)
            self._stands = None
            if position >= self.fails_at and self.error is not None:
                raise self.error()
            return min(self._let, self.fails_at)


class _Far(io.RawIOBase):
    def __init__(self, origin: Origin, position: int, *, own: bool) -> None:
        self.origin, self.position, self.own = origin, position, own
        origin.open_readers += 1

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        assert whence == os.SEEK_SET
        self.position = offset
        return offset

    def readinto(self, buffer: Any) -> int:
        if self.own:
            end = self.origin.limit(self.position)
        else:
            self.origin.read_elsewhere()
            end = self.origin.size
        piece = self.origin.content[self.position : end][: len(buffer)]
        buffer[: len(piece)] = piece
        self.position += len(piece)
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            self.origin.open_readers -= 1
        super().close()


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """Every test here gives back what it opened, and its threads end."""
    before = descriptors()
    yield
    for thread in fetching():
        thread.join(60)
        assert not thread.is_alive(), "a download goes on that nobody wants"
    if descriptors() > before:  # an error that was caught refers to its reader
        gc.collect()
    assert descriptors() <= before  # what other tests left may go meanwhile


@pytest.fixture
def far() -> Iterator[Callable[..., Origin]]:
    """Origins, all of which let everything go in the end."""
    made: list[Origin] = []

    def make(*args: Any, **options: Any) -> Origin:
        made.append(Origin(*args, **options))
        return made[-1]

    yield make
    for origin in made:
        origin.let(origin.size + 1)


# -- one fetch ---------------------------------------------------------------------


def test_many_read_what_is_fetched_once(far: Callable[..., Origin]) -> None:
    """Each has all of it, from one read of the origin."""
    origin = far()
    download = Download(origin)

    with ThreadPoolExecutor(16) as threads:
        reads = [threads.submit(download.body.read) for _ in range(50)]
        assert {digest(read.result(30)) for read in reads} == {WHOLE}
    assert origin.asked == [0]
    assert download.wait(60)
    assert origin.open_readers == 0


def test_it_begins_once_whoever_comes_first(far: Callable[..., Origin]) -> None:
    """Also when several come first."""
    together = threading.Barrier(4)

    def read(body: Body) -> bytes:
        together.wait(60)
        return body.read()

    with ThreadPoolExecutor(4) as threads:
        for _ in range(100):
            origin = far(b"abc")
            download = Download(origin)
            reads = [threads.submit(read, download.body) for _ in range(4)]
            assert [read.result(60) for read in reads] == [b"abc"] * 4
            assert origin.asked == [0]


def test_it_is_the_body_that_it_was(far: Callable[..., Origin]) -> None:
    """A tier keeps what the origin says of it."""
    origin = far()
    origin.provisional = origin.reproducible = True

    body = Download(origin).body

    assert (body.size, body.version) == (len(CONTENT), "v1")
    assert (body.provisional, body.reproducible) == (True, True)
    assert body.stat() == Stat(len(CONTENT), "v1", 5.0)
    plain = Download(BytesBody(b"x")).body
    assert (plain.version, plain.provisional, plain.reproducible) == (None, False, None)


def test_nothing_happens_before_somebody_reads(far: Callable[..., Origin]) -> None:
    """One that is not needed after all has cost nothing."""
    before = descriptors()
    origin = far()
    download = Download(origin)

    assert (descriptors(), fetching(), origin.asked) == (before, [], [])
    assert not download.completed
    assert download.failure is None


def test_the_first_byte_does_not_wait_for_the_last(far: Callable[..., Origin]) -> None:
    """What has arrived is there to be read, however long the rest takes."""
    origin = far(let=100)
    download = Download(origin)

    with download.body.open() as file:
        assert file.read(100) == CONTENT[:100]
        assert not download.completed
        origin.let(1000)
        assert file.read(900) == CONTENT[100:1000]
        origin.let(origin.size)
        assert digest(file.read()) == digest(CONTENT[1000:])
    assert origin.asked == [0]


def test_a_slow_reader_stalls_nobody(far: Callable[..., Origin]) -> None:
    """Neither the download nor who reads faster; it gets its bytes when it likes."""
    origin = far()
    download = Download(origin)

    with download.body.open() as slow:
        assert slow.read(10) == CONTENT[:10]
        assert digest(download.body.read()) == WHOLE
        assert download.wait(60)
        assert origin.open_readers == 0
        assert digest(slow.read()) == digest(CONTENT[10:])
    assert origin.asked == [0]


def test_a_late_reader_begins_at_the_beginning(far: Callable[..., Origin]) -> None:
    """Half way, and after the end, however often."""
    origin = far(let=HALF)
    download = Download(origin)
    with download.body.open() as first:
        first.read(HALF)
        with download.body.open() as second, download.body.open(CHUNK) as third:
            assert digest(second.read(HALF)) == digest(CONTENT[:HALF])
            assert digest(third.read(CHUNK)) == digest(CONTENT[CHUNK:HALF])

    origin.let(origin.size)
    assert download.wait(60)
    assert digest(download.body.read()) == digest(download.body.read()) == WHOLE
    assert b"".join(download.body.chunks(999_999)) == CONTENT
    assert origin.asked == [0]


@pytest.mark.parametrize("let", [5000, len(CONTENT)])
def test_it_seeks_as_files_do(far: Callable[..., Origin], let: int) -> None:
    """During the download and afterwards."""
    origin = far(let=let)
    download = Download(origin)

    with download.body.open(300) as file:
        origin.let(let)
        assert file.read(3) == CONTENT[300:303]
        assert (file.seekable(), file.readable(), file.tell()) == (True, True, 303)
        assert file.seek(-3, os.SEEK_CUR) == 300
        assert file.read1(2) == CONTENT[300:302]
        assert file.seek(5) == 5
        line = CONTENT[5 : CONTENT.index(b"\n", 5) + 1]
        assert file.readline() == line
        assert file.seek(-2, os.SEEK_END) == len(CONTENT) - 2
        assert file.seek(len(CONTENT) + 5) == len(CONTENT) + 5
        assert file.read() == file.read(5) == b""
        assert file.seek(0) == 0
        assert digest(file.read(5000)) == digest(CONTENT[:5000])
        with pytest.raises(ValueError, match="negative"):
            file.seek(-1)
    with pytest.raises(ValueError, match="closed"):
        file.read(1)


def test_an_empty_one_is_complete_at_once(far: Callable[..., Origin]) -> None:
    """There is nothing to wait for."""
    download = Download(far(b""))

    assert download.wait(60)
    assert download.body.read() == b""


def test_a_tier_reads_it_like_anybody(tmp_path: Path) -> None:
    """It puts the body, while others read the same bytes."""
    origin = FaultStore(MemoryStore())
    origin.put(KEY, Body.of(CONTENT))
    tier = FileSystemStore(str(tmp_path))
    body = StreamBody(origin.get(KEY).open, len(CONTENT))
    download = Download(body)

    with download.body.open() as file:
        file.read(1)
        tier.put(KEY, download.body)
        assert digest(file.read()) == digest(CONTENT[1:])
    assert digest(tier.get(KEY).read()) == WHOLE
    assert origin.calls["get"] == 1
    assert origin.open_readers == 0


# -- waiting -----------------------------------------------------------------------


def test_a_reader_waits_no_longer_than_its_deadline(far: Callable[..., Origin]) -> None:
    """The download goes on, and so can the reader."""
    origin = far(let=100)
    download = Download(origin)

    with download.body.open() as file:
        assert file.read(100) == CONTENT[:100]
        with deadline(0.05), pytest.raises(DeadlineError):
            file.read(1)
        origin.let(origin.size)
        file.seek(100)
        assert digest(file.read()) == digest(CONTENT[100:])
    assert origin.asked == [0]


def test_what_is_there_is_read_without_any_time_left(
    far: Callable[..., Origin],
) -> None:
    """A deadline bounds waiting, and there is none to do."""
    download = Download(far())
    assert download.wait(60)

    with deadline(0), download.body.open() as file:
        assert file.read(100) == CONTENT[:100]


def test_the_download_has_no_deadline(far: Callable[..., Origin]) -> None:
    """That of who happens to read first is not that of the others."""
    origin = far()
    download = Download(origin)

    with deadline(60):
        assert digest(download.body.read()) == WHOLE
    assert origin.left == [None]


def test_waiting_for_the_end_is_bounded(far: Callable[..., Origin]) -> None:
    """By the seconds that are given and by the deadline, whichever is first."""
    origin = far(let=100)
    download = Download(origin)

    assert not download.wait(0.01)
    with deadline(0.01):
        assert not download.wait(float("inf"))
    origin.let(origin.size)
    assert download.wait(float("inf"))
    assert download.completed


def test_a_thousand_readers_and_two_slow_ones(far: Callable[..., Origin]) -> None:
    """All wake up for every chunk; the origin is read once, at its own speed."""
    origin = far(let=0)
    download = Download(origin)
    ready = threading.Barrier(1001, timeout=60)
    go_on = threading.Event()
    found: list[int] = []

    def read(number: int) -> None:
        checksum = 0
        with download.body.open() as file:
            ready.wait()
            while piece := file.read1(CHUNK):
                checksum = zlib.crc32(piece, checksum)
                if number < 2:
                    go_on.wait(60)
        found.append(checksum)

    before = threading.stack_size(256 * KIB)
    try:
        threads = [
            threading.Thread(target=read, args=(number,), daemon=True)
            for number in range(1000)
        ]
        for thread in threads:
            thread.start()
    finally:
        threading.stack_size(before)
    ready.wait()
    for chunk in range(5):
        origin.stands_at(chunk * CHUNK)  # it did not wait for anybody
        origin.let((chunk + 1) * CHUNK)
    for thread in threads[2:]:
        thread.join(60)
    assert len(found) == 998
    go_on.set()
    for thread in threads[:2]:
        thread.join(60)

    assert found == [zlib.crc32(CONTENT)] * 1000
    assert origin.asked == [0]


# -- far ahead ---------------------------------------------------------------------


def test_who_seeks_far_ahead_asks_the_origin(far: Callable[..., Origin]) -> None:
    """The end of an archive is read first; it must not wait for all that is before."""
    origin = far(let=100)
    download = Download(origin, ahead=1000)

    with download.body.open() as file:
        assert file.read(100) == CONTENT[:100]
        file.seek(-10, os.SEEK_END)
        assert file.read() == CONTENT[-10:]
        assert origin.asked == [0, len(CONTENT) - 10]
        assert file.seek(0) == 0
        assert file.read(100) == CONTENT[:100]
        assert origin.open_readers == 1  # the download's
    assert origin.asked == [0, len(CONTENT) - 10]


def test_who_seeks_a_little_ahead_waits(far: Callable[..., Origin]) -> None:
    """It comes soon, and a request of one's own costs more."""
    origin = far(let=100)
    download = Download(origin, ahead=1000)

    with download.body.open() as file, ThreadPoolExecutor() as threads:
        origin.stands_at(100)
        file.seek(1100)
        read = threads.submit(file.read, 10)
        waiting(download, 1)
        origin.let(500)
        origin.stands_at(500)
        waiting(download, 1)
        origin.let(origin.size)
        assert read.result(60) == CONTENT[1100:1110]
    assert origin.asked == [0]


def test_who_is_ahead_goes_on_there_until_the_download_has_caught_up(
    far: Callable[..., Origin],
) -> None:
    """One request of its own, however many reads; then none."""
    origin = far(let=100)
    download = Download(origin, ahead=1000)

    with download.body.open(HALF) as file:
        for piece in range(4):
            start = HALF + piece * 70 * KIB
            assert digest(file.read(70 * KIB)) == digest(
                CONTENT[start : start + 70 * KIB]
            )
        assert sorted(origin.asked) == [0, HALF]
        origin.let(origin.size)
        assert download.wait(60)
        start = file.tell()
        assert digest(file.read()) == digest(CONTENT[start:])
        assert origin.open_readers == 0
    assert sorted(origin.asked) == [0, HALF]


def test_who_is_ahead_does_not_wait_for_who_comes_near(
    far: Callable[..., Origin],
) -> None:
    """The answer is there already, so why drop it."""
    origin = far(let=100)
    download = Download(origin, ahead=CHUNK)

    with download.body.open(HALF) as file:
        assert file.read(10) == CONTENT[HALF : HALF + 10]
        origin.let(HALF - 1)
        origin.stands_at(HALF - 1)
        assert digest(file.read()) == digest(CONTENT[HALF + 10 :])
    assert sorted(origin.asked) == [0, HALF]


def test_who_is_ahead_and_comes_near_waits_again(far: Callable[..., Origin]) -> None:
    """Its request was for a place where it no longer is."""
    origin = far(let=100)
    download = Download(origin, ahead=1000)

    with download.body.open(HALF) as file, ThreadPoolExecutor() as threads:
        assert file.read(10) == CONTENT[HALF : HALF + 10]
        origin.stands_at(100)
        file.seek(600)
        read = threads.submit(file.read, 10)
        waiting(download, 1)
        origin.let(origin.size)
        assert read.result(60) == CONTENT[600:610]
    assert sorted(origin.asked) == [0, HALF]


# -- a fetch that fails ------------------------------------------------------------


def outage() -> Exception:
    """An error that another attempt may not meet."""
    return UnavailableError("connection reset")


def refusal() -> Exception:
    """An error that every attempt meets."""
    return DeniedError("not any more").at("images.origin", "get", KEY)


@pytest.mark.parametrize("error", [outage, None], ids=["raises", "ends"])
def test_half_way_readers_go_on_alone_where_they_are(
    far: Callable[..., Origin], error: Callable[[], Exception] | None
) -> None:
    """What has arrived is read from the disk, the rest is asked for once by each."""
    origin = far(let=CHUNK, fails_at=HALF, error=error)
    download = Download(origin)
    with download.body.open() as near, download.body.open() as lagging:
        assert digest(near.read(CHUNK)) == digest(CONTENT[:CHUNK])
        assert lagging.read(10) == CONTENT[:10]
        origin.let(origin.size)
        assert not download.wait(60)
        assert not download.completed
        assert type(download.failure) is UnavailableError

        assert digest(near.read()) == digest(CONTENT[CHUNK:])
        assert origin.asked == [0, HALF]
        assert digest(lagging.read(HALF - 10)) == digest(CONTENT[10:HALF])
        assert origin.asked == [0, HALF]
        assert digest(lagging.read()) == REST
        assert origin.asked == [0, HALF, HALF]
    assert origin.open_readers == 0


def test_who_waits_is_told_of_the_failure(far: Callable[..., Origin]) -> None:
    """At once; nobody waits for bytes that will never come."""
    origin = far(let=HALF, fails_at=HALF, error=outage)
    download = Download(origin)

    with ThreadPoolExecutor(8) as threads:
        reads = [threads.submit(download.body.read) for _ in range(8)]
        waiting(download, 8)
        origin.let(origin.size)
        assert {digest(read.result(60)) for read in reads} == {WHOLE}


def test_bytes_that_end_early_are_never_the_whole(far: Callable[..., Origin]) -> None:
    """An origin that has fewer for everybody is corrupt or gone, not short."""
    origin = far(CONTENT[:HALF])
    origin.size = origin.fails_at = len(CONTENT)
    origin.let(origin.size)
    download = Download(origin)

    with pytest.raises(UnavailableError, match=f"ended after {HALF} of {len(CONTENT)}"):
        download.body.read()
    assert not download.wait(60)
    assert "ended after" in str(download.failure)


def test_nobody_asks_again_what_is_refused(far: Callable[..., Origin]) -> None:
    """Each gets what has arrived, then an error of its own that says who refused."""
    origin = far(let=HALF, fails_at=HALF, error=refusal)
    download = Download(origin)
    caught = []
    with download.body.open() as near, download.body.open() as lagging:
        assert digest(near.read(HALF)) == digest(CONTENT[:HALF])
        origin.let(origin.size)
        assert digest(lagging.read(HALF)) == digest(CONTENT[:HALF])
        for file in (near, lagging):
            with pytest.raises(DeniedError, match=r"images\.origin: get") as error:
                file.read(1)
            caught.append(error.value)

    assert caught[0] is not caught[1]
    assert download.failure not in caught
    assert origin.asked == [0]


def test_stacked_retries_do_not_multiply(far: Callable[..., Origin]) -> None:
    """Whoever retried below has given up for all readers."""
    origin = far(fails_at=HALF, error=lambda: UnavailableError("down").final())
    download = Download(origin)

    with download.body.open() as one, download.body.open() as other:
        for file in (one, other):
            with pytest.raises(UnavailableError, match="down"):
                file.read()
    assert origin.asked == [0]


def test_a_failure_is_not_inherited_by_who_comes_later(
    far: Callable[..., Origin],
) -> None:
    """They ask for themselves, from the beginning: it may be back."""
    origin = far(fails_at=HALF, error=refusal)
    download = Download(origin)
    assert not download.wait(60)

    assert digest(download.body.read()) == WHOLE
    assert origin.asked == [0, 0]


def test_a_reader_whose_own_attempt_fails_says_so(far: Callable[..., Origin]) -> None:
    """Once; it does not go round in circles, and goes on when it is told to."""
    origin = far(fails_at=HALF, error=outage)
    download = Download(origin)
    with download.body.open() as file:
        assert not download.wait(60)

        def fail() -> None:
            raise UnavailableError("still down")

        origin.read_elsewhere = fail
        with pytest.raises(UnavailableError, match="still down"):
            file.read()
        assert origin.asked == [0, HALF]
        origin.read_elsewhere = bool
        with pytest.raises(UnavailableError, match="seek to go on"):
            file.read()
        file.seek(HALF)
        assert digest(file.read()) == REST


def test_who_reads_elsewhere_already_goes_on(far: Callable[..., Origin]) -> None:
    """A reader far ahead has an answer of its own, which is well."""
    origin = far(let=100, fails_at=100, error=refusal)
    download = Download(origin, ahead=1000)
    with download.body.open(HALF) as file:
        assert file.read(10) == CONTENT[HALF : HALF + 10]
        origin.let(origin.size)
        assert not download.wait(60)

        assert digest(file.read()) == digest(CONTENT[HALF + 10 :])


class Versions:
    """A server whose object is replaced while it is read; requests are pinned."""

    def __init__(self) -> None:
        self.current = "v1"
        self.asked: list[int] = []
        self.half_way = threading.Event()
        self.replaced = threading.Event()

    def ask(self, offset: int) -> io.BufferedReader:
        self.asked.append(offset)
        if self.current != "v1":
            raise ConflictError("replaced by another version")
        return io.BufferedReader(_Dying(self, offset))


class _Dying(io.RawIOBase):
    def __init__(self, server: Versions, position: int) -> None:
        self.server, self.position = server, position

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.position >= HALF:
            self.server.half_way.set()
            self.server.replaced.wait(60)
            raise UnavailableError("connection reset")
        piece = CONTENT[self.position : HALF][: len(buffer)]
        buffer[: len(piece)] = piece
        self.position += len(piece)
        return len(piece)


def test_two_versions_are_never_spliced() -> None:
    """What is left of the old one cannot be had any more: that is an error."""
    server = Versions()
    body = StreamBody(server.ask, len(CONTENT), version="v1")
    download = Download(body)
    with download.body.open() as file:
        assert digest(file.read(HALF)) == digest(CONTENT[:HALF])
        assert server.half_way.wait(60)
        server.current = "v2"
        server.replaced.set()

        with pytest.raises(ConflictError, match="replaced by another version"):
            file.read(1)
    assert server.asked == [0, HALF]
    assert not download.completed


def test_an_outage_that_a_stream_survives_is_not_noticed() -> None:
    """It resumes by itself; the download goes on."""
    origin = FaultStore(MemoryStore())
    origin.put(KEY, Body.of(CONTENT))
    whole = origin.get(KEY)
    origin.tear(0.5)
    torn = origin.get(KEY)
    asked: list[int] = []

    def ask(offset: int) -> io.BufferedIOBase:
        asked.append(offset)
        return (torn if len(asked) == 1 else whole).open(offset)

    download = Download(StreamBody(ask, len(CONTENT)))

    assert digest(download.body.read()) == WHOLE
    assert download.wait(60)
    assert asked[0] == 0
    assert len(asked) == 2
    assert origin.open_readers == 0


@pytest.mark.parametrize("error", [TypeError("bug"), SystemExit("bug")])
def test_a_bug_is_met_by_who_reads(
    far: Callable[..., Origin],
    error: BaseException,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is neither swallowed nor an outage, and nobody waits for ever."""
    seen: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args[0]))

    def fail() -> Any:
        raise error

    origin = far(fails_at=HALF, error=fail)
    origin.read_elsewhere = fail
    download = Download(origin)

    with download.body.open() as file:
        assert file.read(10) == CONTENT[:10]
        with pytest.raises(type(error), match="bug"):
            file.read()
    assert not download.wait(60)
    assert download.failure is None
    for thread in fetching():
        thread.join(60)
    assert seen == [type(error)]


def test_an_error_keeps_nothing_alive() -> None:
    """Its frames know the download, which knows the error: a circle without end."""

    class Failing(Origin):
        def limit(self, position: int) -> int:
            try:
                raise OSError("the cause")
            except OSError as cause:
                raise UnavailableError("down") from cause

    gc.collect()
    gc.disable()
    try:
        origin = Failing()
        before = sys.getrefcount(origin)
        download = Download(origin)
        assert not download.wait(60)
        for thread in fetching():
            thread.join(60)
        assert isinstance(download.failure, UnavailableError)
        assert str(download.failure.__cause__) == "the cause"
        del download
        assert sys.getrefcount(origin) == before
    finally:
        gc.enable()


# -- no room -----------------------------------------------------------------------


@contextmanager
def limited(what: int, soft: int) -> Iterator[None]:
    """Let this process have no more than that."""
    before = resource.getrlimit(what)
    resource.setrlimit(what, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


def test_a_full_disk_half_way_is_not_the_readers_trouble(
    far: Callable[..., Origin],
) -> None:
    """It is not kept; who reads has what was, and asks for the rest."""
    origin = far(let=0)
    download = Download(origin)
    with (
        download.body.open() as one,
        download.body.open() as other,
        limited(resource.RLIMIT_FSIZE, HALF + 5),
    ):
        origin.let(origin.size)
        assert not download.wait(60)
        assert isinstance(download.failure, FullError)
        assert download.failure.local
        assert digest(one.read()) == WHOLE
        assert digest(other.read()) == WHOLE
    assert not download.completed
    assert origin.asked[0] == 0
    assert len(origin.asked) == 3
    assert all(0 < offset <= HALF + 5 for offset in origin.asked[1:])


class Endless(Body):
    """More bytes than any disk has."""

    size = 1 << 60

    def __init__(self) -> None:
        self.asked: list[int] = []

    def open(self, offset: int = 0) -> io.BytesIO:
        self.asked.append(offset)
        return io.BytesIO(b"abc")


def test_what_cannot_fit_is_not_begun() -> None:
    """Others need the disk too; the origin's own reader is handed out."""
    origin = Endless()
    download = Download(origin)

    with download.body.open(7) as file:
        assert file.read(3) == b"abc"
    assert origin.asked == [7]
    assert fetching() == []
    assert not download.wait(60)
    assert isinstance(download.failure, FullError)
    assert "No space left" in str(download.failure)


def test_no_place_for_a_file_is_not_the_readers_trouble(
    far: Callable[..., Origin], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a temporary directory that is gone, nor too many open files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    origin = far()
    download = Download(origin)
    assert digest(download.body.read()) == WHOLE
    assert isinstance(download.failure, FullError)
    assert origin.asked == [0]

    monkeypatch.undo()
    crowded = Download(origin)
    with limited(resource.RLIMIT_NOFILE, 3):
        file = crowded.body.open()
    with file:
        assert digest(file.read()) == WHOLE
    assert "Too many open files" in str(crowded.failure)


def test_the_file_has_no_name(
    far: Callable[..., Origin], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash leaves nothing to clean up."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    download = Download(far())

    assert download.wait(60)
    assert list(tmp_path.iterdir()) == []


def truncated(spool: int) -> None:
    os.truncate(f"/proc/self/fd/{spool}", HALF)


def unreadable(spool: int) -> None:
    folder = os.open("/", os.O_RDONLY)
    os.dup2(folder, spool)
    os.close(folder)


@pytest.mark.parametrize(("damage", "left"), [(truncated, HALF), (unreadable, 0)])
def test_a_disk_that_loses_bytes_is_not_the_readers_trouble(
    far: Callable[..., Origin], damage: Callable[[int], None], left: int
) -> None:
    """They are asked for again; half of them is never all."""
    origin = far()
    download = Download(origin)
    with download.body.open() as file:
        assert download.wait(60)
        (spool,) = filter(_is_spool, map(int, os.listdir("/proc/self/fd")))
        damage(spool)

        assert digest(file.read()) == WHOLE
    assert origin.asked == [0, left]


def _is_spool(number: int) -> bool:
    try:
        return os.fstat(number).st_size == len(CONTENT)
    except OSError:
        return False


def test_without_a_thread_everybody_reads_alone(far: Callable[..., Origin]) -> None:
    """There may be no more to be had."""
    opened = descriptors()
    origin = far()
    download = Download(origin)
    before = threading.stack_size(1 << 46)  # more than there is
    try:
        file = download.body.open()
    finally:
        threading.stack_size(before)

    with file:
        assert digest(file.read()) == WHOLE
    assert descriptors() == opened
    assert not download.wait(60)
    assert download.failure is not None
    assert download.failure.local
    assert origin.asked == [0]


# -- until nobody wants it ---------------------------------------------------------


def test_it_goes_on_when_nobody_reads(far: Callable[..., Origin]) -> None:
    """The copy is still wanted."""
    origin = far(let=100)
    download = Download(origin)
    with download.body.open() as file:
        file.read(10)
    origin.let(origin.size)

    assert download.wait(60)
    assert digest(download.body.read()) == WHOLE
    assert origin.asked == [0]


def test_abandoned_it_stops_and_readers_go_on(far: Callable[..., Origin]) -> None:
    """They have what had arrived; who waits is woken, who comes later asks alone."""
    before = descriptors()
    origin = far(let=HALF)
    download = Download(origin)
    with download.body.open() as near, download.body.open() as lagging:
        assert digest(near.read(HALF)) == digest(CONTENT[:HALF])
        with ThreadPoolExecutor() as threads:
            read = threads.submit(near.read)
            waiting(download, 1)
            download.abandon()
            assert digest(read.result(60)) == REST
        assert not download.wait(60)
        assert digest(lagging.read()) == WHOLE
        assert digest(download.body.read()) == WHOLE
        assert origin.asked == [0, HALF, HALF, 0]
        origin.let(HALF + 1)
        for thread in fetching():
            thread.join(60)
        assert origin.open_readers == 2  # theirs
    assert descriptors() == before
    assert not download.completed
    assert download.failure is None


def test_abandoned_before_it_began_it_never_does(far: Callable[..., Origin]) -> None:
    """The body is the origin's."""
    origin = far()
    download = Download(origin)
    download.abandon()

    assert fetching() == []
    assert digest(download.body.read()) == WHOLE
    assert not download.wait(60)
    assert fetching() == []


def test_abandoned_after_its_end_it_stays(far: Callable[..., Origin]) -> None:
    """There is nothing left to stop."""
    origin = far()
    download = Download(origin)
    assert download.wait(60)
    download.abandon()

    assert download.completed
    assert digest(download.body.read()) == WHOLE
    assert origin.asked == [0]


@pytest.mark.parametrize("holder", ["download", "body", "reader"])
def test_the_last_reference_ends_it(far: Callable[..., Origin], holder: str) -> None:
    """Whichever it is; descriptor and thread go without waiting for the rest."""
    before = descriptors()
    origin = far(let=100)
    download = Download(origin)
    file = download.body.open()
    assert file.read(100) == CONTENT[:100]
    held = {"download": download, "body": download.body, "reader": file}
    kept = held[holder]
    if holder != "reader":
        file.close()
    del download, file, held
    origin.let(200)
    origin.stands_at(200)
    assert descriptors() == before + 1

    del kept
    origin.let(300)
    for thread in fetching():
        thread.join(60)
    assert descriptors() == before
    assert origin.open_readers == 0


def test_a_closed_reader_does_not_want_it(far: Callable[..., Origin]) -> None:
    """Although somebody still has a name for it."""
    before = descriptors()
    origin = far(let=100)
    download = Download(origin)
    file = download.body.open()
    file.close()
    del download
    origin.let(200)
    for thread in fetching():
        thread.join(60)

    assert descriptors() == before
    assert file.closed


def test_a_finished_one_holds_a_descriptor_and_no_thread(
    far: Callable[..., Origin],
) -> None:
    """Until its body and readers are gone."""
    before = descriptors()
    download = Download(far())
    assert download.wait(60)
    for thread in fetching():
        thread.join(60)
    assert descriptors() == before + 1
    file = download.body.open()
    del download
    assert digest(file.read()) == WHOLE

    file.close()
    assert descriptors() == before


class Generated(Body):
    """Bytes that are made as they are read."""

    pattern = random.Random(7).randbytes(MIB)

    def __init__(self, size: int) -> None:
        self.size = size

    def open(self, offset: int = 0) -> io.BufferedReader:
        assert offset == 0
        return io.BufferedReader(_Generating(self.size), CHUNK)


class _Generating(io.RawIOBase):
    def __init__(self, size: int) -> None:
        self.left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self.left, MIB)
        buffer[:count] = Generated.pattern[:count]
        self.left -= count
        return count


def test_memory_is_bounded_whatever_the_size() -> None:
    """A quarter of a gigabyte costs a few chunks a reader, for slow ones as well."""
    tracemalloc.start()
    try:
        download = Download(Generated(256 * MIB))
        with download.body.open() as slow:
            slow.read(10)

            def read() -> int:
                checksum = 0
                for piece in download.body.chunks():
                    checksum = zlib.crc32(piece, checksum)
                return checksum

            with ThreadPoolExecutor(3) as threads:
                reads = [threads.submit(read) for _ in range(3)]
                found = {read.result(60) for read in reads}
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    expected = 0
    for _ in range(256 * MIB // CHUNK):
        expected = zlib.crc32(Generated.pattern[:CHUNK], expected)
    assert found == {expected}
    assert download.completed
    assert peak < 5 * MIB


# -- forks and exits ---------------------------------------------------------------


def in_a_child(work: Callable[[], None]) -> None:
    """Do *work* in a forked process; it must end well, and soon."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads
        child = os.fork()
    if child == 0:
        signal.alarm(20)
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_child_reads_on_without_the_thread(far: Callable[..., Origin]) -> None:
    """It is the parent's; the child has what had arrived, and asks for the rest."""
    before = descriptors()
    origin = far(let=HALF)
    held = {"download": Download(origin)}
    held["file"] = file = held["download"].body.open()
    assert digest(file.read(CHUNK)) == digest(CONTENT[:CHUNK])
    origin.stands_at(HALF)
    del file

    def work() -> None:
        file = held["file"]
        assert digest(file.read(CHUNK)) == digest(CONTENT[CHUNK:HALF])
        assert origin.asked == [0]
        assert digest(file.read()) == REST
        assert origin.asked == [0, HALF]
        assert not held["download"].wait(60)
        assert digest(held["download"].body.read()) == WHOLE
        file.close()
        del file
        held.clear()
        assert descriptors() == before

    in_a_child(work)
    origin.let(origin.size)
    with held["file"] as file:
        assert digest(file.read()) == digest(CONTENT[CHUNK:])
    assert origin.asked == [0]


def test_a_child_begins_what_its_parent_has_not(far: Callable[..., Origin]) -> None:
    """And it reads what its parent has finished, from the same file."""
    origin, finished = far(), Download(far())
    download = Download(origin)
    assert finished.wait(60)

    def work() -> None:
        assert digest(download.body.read()) == WHOLE
        assert download.wait(60)
        assert origin.asked == [0]
        assert finished.completed
        assert digest(finished.body.read()) == WHOLE

    in_a_child(work)
    assert digest(download.body.read()) == WHOLE
    assert origin.asked == [0]


def test_a_child_waits_for_no_lock_of_its_parent(far: Callable[..., Origin]) -> None:
    """Whoever holds one at the fork is not there to let it go."""
    origin = far(let=100)
    download = Download(origin)
    taken, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with download._arrival._changed:
            taken.set()
            let_go.wait(60)

    with download.body.open() as file:
        assert file.read(100) == CONTENT[:100]
        holder = threading.Thread(target=hold)
        holder.start()
        assert taken.wait(60)

        def work() -> None:
            assert digest(file.read()) == digest(CONTENT[100:])
            assert not download.wait(60)
            download.abandon()

        in_a_child(work)
        let_go.set()
        holder.join()


def test_an_exit_waits_for_no_download() -> None:
    """Its thread is a daemon; who reads in a daemon of their own holds nothing up."""
    program = """
        import io, threading
        from tiered_store.body import Body
        from tiered_store.caching.download import Download
        begun = threading.Event()
        class Hung(io.RawIOBase):
            def readable(self): return True
            def readinto(self, buffer):
                begun.set()
                threading.Event().wait()
        class Far(Body):
            size = 100
            def open(self, offset=0): return io.BufferedReader(Hung())
        download = Download(Far())
        threading.Thread(target=download.body.read, daemon=True).start()
        begun.wait()
        print("done")
    """

    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")
