"""A body is a value, whatever file it came from and wherever its bytes are."""

from __future__ import annotations

import contextlib
import functools
import gc
import gzip
import io
import os
import resource
import socket
import tempfile
import threading
import tracemalloc
import warnings

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import pytest

from tiered_store.body import Body, BytesBody, FileBody, Stat, StreamBody
from tiered_store.deadlines import deadline
from tiered_store.errors import (
    ConflictError,
    CorruptError,
    DeadlineError,
    FullError,
    InvalidError,
    MisconfiguredError,
    NotFoundError,
    ThrottledError,
    UnavailableError,
)
from tiered_store.readers import Descriptor


CONTENT = bytes(range(256)) * 40
KIB = 1024


def descriptors() -> set[tuple[str, str]]:
    """Return what this process has open, each with its number."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
    return found


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    """Every test here gives back what it opened."""
    before = descriptors()
    yield
    if descriptors() - before:  # an error that was caught refers to its reader
        gc.collect()
    left = descriptors() - before  # what earlier tests left may go at any time
    assert not left


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of CONTENT."""
    (tmp_path / "file").write_bytes(CONTENT)
    return tmp_path / "file"


# -- taking a file -------------------------------------------------------------


@pytest.mark.parametrize("mode", ["rb", "r+b", "a+b"])
@pytest.mark.parametrize("buffering", [-1, 0])
@pytest.mark.parametrize("start", [0, 1, 5000, len(CONTENT), len(CONTENT) + 7])
def test_a_regular_file_counts_from_where_it_stands(
    path: Path, mode: str, buffering: int, start: int
) -> None:
    """As any reader would: what was read is read, and afterwards it is at its end."""
    with path.open(mode, buffering) as file:
        file.seek(start)
        body = Body.take(file)

        assert (body.size, body.read()) == (len(CONTENT[start:]), CONTENT[start:])
        assert file.read() == b""
        assert not file.closed


def test_buffered_reading_does_not_blur_the_position(path: Path) -> None:
    """The descriptor is ahead of what the caller has seen."""
    with path.open("rb") as file:
        assert file.readline() == CONTENT[:11]
        assert file.peek(1)

        assert Body.take(file).read() == CONTENT[11:]


def test_what_was_written_and_not_flushed_is_part_of_it(path: Path) -> None:
    """The caller's file says so, whatever the kernel has seen of it."""
    with path.open("r+b") as file:
        file.read(1)
        file.write(b"new")
        file.seek(0)
        assert path.read_bytes() == CONTENT  # still in the buffer

        assert Body.take(file).read() == CONTENT[:1] + b"new" + CONTENT[4:]


def test_a_regular_file_is_not_copied(path: Path) -> None:
    """A gigabyte on disk costs a descriptor, not a gigabyte."""
    os.truncate(path, 1 << 40)
    tracemalloc.start()
    try:
        with path.open("rb") as file:
            body = Body.take(file)
        with body.open((1 << 40) - 5) as reader:
            assert reader.read() == b"\0" * 5
        assert tracemalloc.get_traced_memory()[1] < 256 * KIB
    finally:
        tracemalloc.stop()
    del reader


def test_it_is_read_after_its_file_was_closed(path: Path) -> None:
    """Who closes their file does not pull it from under a replica."""
    with path.open("rb") as file:
        body = Body.take(file)

    assert body.read() == body.read() == CONTENT


def test_a_file_that_shrinks_meanwhile_fails_loudly(path: Path) -> None:
    """Half an object must not be stored as if it were whole; nobody else helps."""
    with path.open("rb") as file:
        body = Body.take(file)
    os.truncate(path, 100)

    with pytest.raises(
        InvalidError, match="the file ends after 100 of 10240 bytes"
    ) as caught:
        body.read()
    assert not caught.value.failover
    with pytest.raises(InvalidError, match="ends after 100"):
        list(body.chunks(30))


def test_a_file_that_grows_meanwhile_is_what_it_was(path: Path) -> None:
    """Its size was told to a server already."""
    with path.open("rb") as file:
        body = Body.take(file)
    with path.open("ab") as file:
        file.write(b"more")

    assert body.read() == CONTENT


def test_a_file_that_does_not_tell_its_size_is_read() -> None:
    """Those of /proc are regular files of no bytes, and have some."""
    with open("/proc/self/status", "rb") as file:
        assert os.fstat(file.fileno()).st_size == 0

        assert Body.take(file).read().startswith(b"Name:")


def test_a_decompressor_is_not_read_through_its_descriptor(tmp_path: Path) -> None:
    """It has a fileno(), of other bytes."""
    packed = tmp_path / "packed.gz"
    packed.write_bytes(gzip.compress(CONTENT))

    with gzip.open(packed) as file:
        file.read(3)
        assert Body.take(file).read() == CONTENT[3:]
    with gzip.open(packed) as file, io.BufferedReader(file) as buffered:
        assert Body.take(buffered).read() == CONTENT


class Upper(io.FileIO):
    """A file that is not what its descriptor says."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(-1 if size is None else size).upper()


def test_a_kind_of_file_is_asked_itself(tmp_path: Path) -> None:
    """A subclass may read differently, so only exact classes are read in place."""
    (tmp_path / "file").write_bytes(b"abc")

    with Upper(tmp_path / "file") as file:
        assert Body.take(file).read() == b"ABC"


@pytest.mark.parametrize(
    "make",
    [
        tempfile.NamedTemporaryFile,
        tempfile.TemporaryFile,
        tempfile.SpooledTemporaryFile,
        functools.partial(tempfile.SpooledTemporaryFile, max_size=10),
    ],
)
def test_temporary_files_are_files(make: Callable[[], IO[bytes]]) -> None:
    """Wrapped, unnamed, in memory or rolled over."""
    with make() as file:
        file.write(CONTENT)
        file.seek(1)
        body = Body.take(file)
        assert file.read() == b""
        assert not file.closed

    assert body.read() == CONTENT[1:]


def test_pipes_and_sockets_are_read_to_their_end() -> None:
    """They give what they have, and an end only when the other side closes."""
    pieces = [CONTENT[:1], CONTENT[1:5000], CONTENT[5000:]]

    def send(write: Callable[[bytes], Any], close: Callable[[], None]) -> None:
        for piece in pieces:
            write(piece)
        close()

    read, write = os.pipe()
    here, there = socket.socketpair()
    with ThreadPoolExecutor() as threads, here:
        threads.submit(
            send, lambda piece: os.write(write, piece), lambda: os.close(write)
        )
        threads.submit(send, there.sendall, there.close)
        with os.fdopen(read, "rb", buffering=0) as pipe:
            assert Body.take(pipe).read() == CONTENT
        with here.makefile("rb") as stream:
            assert Body.take(stream).read() == CONTENT


class Source:
    """Anything with read(): gives *pieces* one by one, whatever is asked for."""

    def __init__(self, *pieces: Any) -> None:
        self.pieces = list(pieces)

    def read(self, size: int = -1, /) -> Any:
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, BaseException):
            raise piece
        return piece


def test_only_an_empty_read_is_the_end() -> None:
    """Short ones are not, nor are ones that are longer than asked for."""
    source = Source(b"a", b"bc", CONTENT, bytearray(b"d"), memoryview(b"e"), b"", b"f")

    assert Body.take(source).read() == b"abc" + CONTENT + b"de"
    assert source.pieces == [b"f"]


def test_a_buffer_that_its_owner_uses_again_is_copied() -> None:
    """As readers that save allocations do."""
    buffer = bytearray(4)

    class Reusing:
        left = 3

        def read(self, size: int = -1, /) -> bytearray:
            buffer[:] = b"%04d" % self.left
            self.left -= 1
            return buffer if self.left >= 0 else bytearray()

    assert Body.take(Reusing()).read() == b"000300020001"


@pytest.mark.parametrize("limit", [2, 100])
@pytest.mark.parametrize("error", [ConnectionResetError("gone"), ValueError("bad")])
def test_what_a_source_raises_passes_through(limit: int, error: Exception) -> None:
    """It is the caller's, neither an outage of a store nor absence."""
    with pytest.raises(type(error)) as caught:
        Body.take(Source(b"abc", b"def", error), limit)

    assert caught.value is error


@pytest.mark.parametrize("limit", [2, 100])
def test_a_source_that_does_not_block_is_refused(limit: int) -> None:
    """None means "not now", and must not be taken for the end."""
    with pytest.raises(InvalidError, match="non-blocking"):
        Body.take(Source(b"abc", None), limit)

    read, write = os.pipe()
    os.set_blocking(read, False)
    with (
        os.fdopen(read, "rb", buffering=0) as file,
        pytest.raises(InvalidError, match="non-blocking"),
    ):
        Body.take(file)
    os.close(write)


@pytest.mark.parametrize("limit", [2, 100])
@pytest.mark.parametrize(
    "source",
    [
        Source(b"abc", 5),
        Source(b"abc", ["d"]),
        Source(b"abc", "text"),
        Source("text"),
        Source(""),
        io.StringIO("text"),
        io.TextIOWrapper(io.BytesIO(b"text")),
        object(),
        b"bytes",
        None,
    ],
    ids=lambda source: repr(getattr(source, "pieces", source))[:12],
)
def test_what_is_no_file_of_bytes_is_a_bug(source: Any, limit: int) -> None:
    """Five is not five zeros; each is told in the caller's words."""
    if isinstance(source, Source):
        source = Source(*source.pieces)
    with pytest.raises(TypeError, match=r"file must|bytes-like"):
        Body.take(source, limit)


def test_a_text_file_is_told_as_one(path: Path) -> None:
    """Open it with "rb"."""
    with path.open("r") as file, pytest.raises(TypeError, match="binary mode"):
        Body.take(file)
    with path.open("wb") as file, pytest.raises(io.UnsupportedOperation):
        Body.take(file)


# -- spooling ------------------------------------------------------------------


def test_small_ones_stay_in_memory_and_large_ones_go_to_disk(tmp_path: Path) -> None:
    """The limit is the last size that is kept in memory."""
    before = descriptors()
    small = Body.take(Source(CONTENT), len(CONTENT))
    assert not descriptors() - before

    large = Body.take(Source(CONTENT, b"!"), len(CONTENT))
    assert len(descriptors() - before) == 1
    assert (small.read(), large.read()) == (CONTENT, CONTENT + b"!")
    assert large.size == len(CONTENT) + 1
    assert large.read() == large.read()
    with large.open(5) as file:
        assert file.read(3) == CONTENT[5:8]


@pytest.fixture
def spool_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_spooled_upload_has_no_name_and_is_gone_with_its_body(
    spool_folder: Path,
) -> None:
    """A crash leaves nothing to clean up."""
    before = descriptors()
    body = Body.take(Source(CONTENT), 10)

    assert list(spool_folder.iterdir()) == []
    assert len(descriptors() - before) == 1
    del body
    assert not descriptors() - before


@pytest.mark.parametrize("piece", [7, 64 * KIB, 300_000])
def test_memory_is_bounded_whatever_the_size_of_pieces(piece: int) -> None:
    """Also for one who sends a few bytes at a time: each alone costs forty more."""
    limit, total = 300_000, 700_000

    class Endless:
        left = total

        def read(self, size: int = -1, /) -> bytes:
            given = min(piece, self.left)
            self.left -= given
            return b"x" * given

    tracemalloc.start()
    try:
        body = Body.take(Endless(), limit)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert body.size == total
    assert peak < 2 * limit + 2 * max(piece, 256 * KIB)


def test_no_room_to_spool_is_told_and_is_ours(spool_folder: Path) -> None:
    """Not the store's fault, so nobody fails over, and nothing was stored."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        with pytest.raises(FullError, match=f"spooled to {spool_folder}") as caught:
            Body.take(Source(CONTENT), 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert (caught.value.local, caught.value.failover) == (True, False)
    assert not caught.value.retryable


def test_no_place_to_spool_is_not_absence(spool_folder: Path) -> None:
    """A temporary directory that is not there raises FileNotFoundError by itself."""
    spool_folder.rmdir()

    with pytest.raises(FullError, match="cannot be spooled"):
        Body.take(Source(CONTENT), 10)


def test_without_descriptors_a_file_is_copied(path: Path) -> None:
    """Better memory than failure, as long as it is small."""
    with path.open("rb") as file:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (file.fileno() + 1, hard))
        try:
            body = Body.take(file)
            file.seek(0)
            with pytest.raises(FullError, match="Too many open files"):
                Body.take(file, 10)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert body.read() == CONTENT
        assert not file.closed


def test_copy_never_reads_in_place(path: Path) -> None:
    """For a file that somebody else may write to while it is read."""
    with path.open("rb") as file:
        file.seek(1)
        body = Body.copy(file)
    path.write_bytes(b"y" * len(CONTENT))

    assert body.read() == CONTENT[1:]


# -- values --------------------------------------------------------------------


def test_bytes_are_shared_and_not_copied() -> None:
    """A hit in memory costs the same at any size."""
    content = b"x" * 1000

    assert Body.of(content, "v1").read() is content
    assert Body.take(io.BytesIO(content)).read() is content
    assert Body.of(content, "v1").stat() == Stat(1000, "v1")


def kinds_of_body(path: Path) -> dict[str, Body]:
    """Return a body of CONTENT of every kind."""
    with path.open("rb") as file:
        regular = Body.take(file)
    stored = Descriptor(os.open(path, os.O_RDONLY))
    return {
        "bytes": BytesBody(CONTENT),
        "regular": regular,
        "stored": FileBody(stored, len(CONTENT)),
        "spooled": Body.take(Source(CONTENT), 10),
        "stream": StreamBody(Server(CONTENT).ask, len(CONTENT)),
        "answered": StreamBody(
            Server(CONTENT).ask, len(CONTENT), first=Server(CONTENT).ask(0)
        ),
    }


class Answer:
    """An answer on its way; dies or stalls where it is told to."""

    def __init__(self, server: Server, offset: int, dies_at: int | None) -> None:
        self.server, self.position, self.dies_at = server, offset, dies_at
        self.closed = 0

    def read(self, size: int, /) -> bytes:
        assert not self.closed
        end = min(self.position + min(size, self.server.step), self.server.end)
        if self.dies_at is not None:
            if self.position >= self.dies_at:
                raise self.server.error
            end = min(end, self.dies_at)
        piece = self.server.content[self.position : end]
        self.position = end
        return piece

    def close(self) -> None:
        self.closed += 1


class Server:
    """
    Something far away that is asked for bytes from an offset on.

    Args:
        deaths: For each answer in turn, how many bytes after its beginning it dies;
            None lives.  The last one goes for all that follow.
        end: Where every answer ends, as if that were all.
    """

    def __init__(
        self,
        content: bytes,
        *deaths: int | None,
        step: int = 100,
        end: int | None = None,
        error: Exception | None = None,
    ) -> None:
        self.content, self.deaths, self.step = content, list(deaths or [None]), step
        self.end = len(content) if end is None else end
        self.error = error or UnavailableError("connection reset")
        self.asked: list[int] = []
        self.answers: list[Answer] = []

    def ask(self, offset: int) -> Answer:
        self.asked.append(offset)
        death = self.deaths[min(len(self.asked), len(self.deaths)) - 1]
        answer = Answer(self, offset, None if death is None else offset + death)
        self.answers.append(answer)
        return answer

    def body(self, **facts: Any) -> StreamBody:
        return StreamBody(self.ask, len(self.content), **facts)

    def all_closed(self) -> bool:
        return all(answer.closed for answer in self.answers)


KINDS = ["bytes", "regular", "stored", "spooled", "stream", "answered"]


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    """What holds for a body wherever its bytes are."""

    def test_it_opens_again_and_anywhere(self, path: Path, kind: str) -> None:
        """Each reader has its own position."""
        body = kinds_of_body(path)[kind]

        with body.open() as one, body.open(300) as other:
            assert one.read(10) == CONTENT[:10]
            assert other.read(10) == CONTENT[300:310]
            assert one.read() == CONTENT[10:]
            assert other.read() == CONTENT[310:]
        assert body.read() == CONTENT
        assert b"".join(body.chunks(77)) == CONTENT
        assert max(map(len, body.chunks(77))) <= 77
        assert body.stat().size == body.size == len(CONTENT)

    def test_it_seeks_as_files_do(self, path: Path, kind: str) -> None:
        """Forwards, backwards, from the end, beyond it."""
        with kinds_of_body(path)[kind].open() as file:
            assert file.seekable()
            assert file.readable()
            assert file.seek(9000) == 9000
            assert file.read(3) == CONTENT[9000:9003]
            assert file.seek(-4, os.SEEK_CUR) == 8999
            assert file.read(1) == CONTENT[8999:9000]
            assert file.seek(-2, os.SEEK_END) == len(CONTENT) - 2
            assert file.read() == CONTENT[-2:]
            assert file.seek(len(CONTENT) + 5) == len(CONTENT) + 5
            assert file.read() == file.read(5) == b""
            assert file.seek(0) == 0
            assert file.tell() == 0
            assert file.readline() == CONTENT[:11]
            assert file.read1(5) == CONTENT[11:16]
            assert file.readinto(memoryview(bytearray(7))) == 7
            assert file.tell() == 23
            with pytest.raises(ValueError, match=r"negative|-1"):
                file.seek(-1)
            assert file.tell() == 23

    @pytest.mark.parametrize("whence", [-1, 3, 4, 5])
    def test_it_seeks_from_nowhere_else(
        self, path: Path, kind: str, whence: int
    ) -> None:
        """Holes are for disks; an IndexError would be nobody's."""
        with (
            kinds_of_body(path)[kind].open() as file,
            pytest.raises(ValueError, match=r"whence|seek from"),
        ):
            file.seek(0, whence)

    def test_a_closed_reader_reads_no_more(self, path: Path, kind: str) -> None:
        """Closing twice is fine."""
        file = kinds_of_body(path)[kind].open()
        file.close()
        file.close()

        with pytest.raises(ValueError, match="closed"):
            file.read(1)

    def test_closing_the_reader_frees_everything(self, path: Path, kind: str) -> None:
        """Nobody closes a body, so what it held goes with its last reader."""
        before = descriptors()
        file = kinds_of_body(path)[kind].open()

        file.close()

        assert not descriptors() - before

    def test_two_threads_read_it_at_once(self, path: Path, kind: str) -> None:
        """As a mirrored put does."""
        body = kinds_of_body(path)[kind]

        with ThreadPoolExecutor(8) as threads:
            reads = [threads.submit(body.read) for _ in range(16)]
            assert all(read.result() == CONTENT for read in reads)


# -- streams -------------------------------------------------------------------


def test_a_stream_is_asked_for_when_it_is_read() -> None:
    """Opening costs nothing, and bytes come as they are asked for."""
    server = Server(CONTENT)
    body = server.body(version="v1", modified=5.0)

    with body.open() as file:
        assert server.asked == []
        assert file.read(1) == CONTENT[:1]
        assert server.asked == [0]
    assert server.all_closed()
    assert body.stat() == Stat(len(CONTENT), "v1", 5.0)


def test_the_first_answer_is_used_once() -> None:
    """A get has asked already; the second reader asks for itself."""
    server = Server(CONTENT)
    body = server.body(first=server.ask(0))

    assert body.read() == CONTENT
    assert server.asked == [0]
    assert body.read() == CONTENT
    assert server.asked == [0, 0]
    assert server.all_closed()


def test_a_reader_elsewhere_does_not_take_the_first_answer() -> None:
    """It begins at the beginning."""
    server = Server(CONTENT)
    body = server.body(first=server.ask(0))

    with body.open(50) as file:
        assert file.read(5) == CONTENT[50:55]
    assert server.asked == [0, 50]
    assert body.read() == CONTENT
    assert server.asked == [0, 50]


def test_an_abandoned_body_closes_what_it_never_read() -> None:
    """Or its connection would never go back to the pool."""
    server = Server(CONTENT)
    body = server.body(first=server.ask(0))

    del body

    assert server.all_closed()


def test_a_reader_that_is_dropped_closes_its_answer() -> None:
    """Whoever forgets to close is forgiven."""
    server = Server(CONTENT)
    file = server.body(first=server.ask(0)).open()
    file.read(5)

    del file

    assert server.all_closed()


def test_two_threads_never_share_the_first_answer() -> None:
    """Each would get half of the bytes."""
    for _ in range(200):
        server = Server(b"x")
        body = server.body(first=server.ask(0))
        start = threading.Barrier(2)

        def opened(
            body: StreamBody = body, start: threading.Barrier = start
        ) -> io.BufferedReader:
            start.wait()
            return body.open()

        with ThreadPoolExecutor(2) as threads:
            files = [file.result() for file in [threads.submit(opened) for _ in "ab"]]
        assert [file.read() for file in files] == [b"x", b"x"]
        assert len(server.asked) == 2
        for file in files:
            file.close()


def test_the_answer_is_given_back_at_the_last_byte() -> None:
    """A connection is not held while the caller looks at what it read."""
    server = Server(CONTENT)

    with server.body().open() as file:
        file.read(len(CONTENT))
        assert server.all_closed()


def test_an_empty_stream_needs_no_answer() -> None:
    """There is nothing to ask for."""
    server = Server(b"")

    assert server.body().read() == b""
    assert server.asked == []
    body = server.body(first=server.ask(0))
    assert body.read() == b""
    assert server.all_closed()


def test_a_seek_asks_from_there() -> None:
    """Not for what is passed over; within the buffer nothing is asked."""
    content = bytes(range(256)) * 4096
    server = Server(content, step=1 << 16)

    with server.body().open() as file:
        assert file.read(10) == content[:10]
        assert file.seek(500_000) == 500_000
        assert file.read(10) == content[500_000:500_010]
        file.seek(500_000)
        assert file.read(1) == content[500_000:500_001]
        file.seek(20)
        assert file.read(5) == content[20:25]
    assert server.asked == [0, 500_000, 20]
    assert server.all_closed()


@pytest.mark.parametrize("read", [io.BufferedReader.read, lambda file: b"".join(file)])
def test_a_stream_that_dies_goes_on_where_it_stopped(
    read: Callable[[io.BufferedReader], bytes],
) -> None:
    """Each byte once, in order; what came from an answer is never asked for again."""
    server = Server(CONTENT, 150, 150, None)

    with server.body().open() as file:
        assert read(file) == CONTENT
    assert server.asked == [0, 150, 300]
    assert server.all_closed()


def test_an_answer_that_ends_early_is_one_that_died() -> None:
    """A server that closes the connection in the middle says nothing about it."""
    server = Server(CONTENT, end=150)

    with pytest.raises(UnavailableError, match="ended after 150 of 10240 bytes"):
        server.body().read()
    assert server.asked == [0, 150, 150]
    assert server.all_closed()


def test_two_resumes_without_a_byte_are_enough() -> None:
    """The third failure in a row is the caller's."""
    server = Server(CONTENT, 150, 0)

    with server.body().open() as file:
        assert file.raw.read(1000)
        with pytest.raises(UnavailableError, match="connection reset"):
            file.raw.readall()
    assert server.asked == [0, 150, 150]
    assert server.all_closed()


def test_progress_forgives_what_failed_before() -> None:
    """A connection that breaks often, and gives a little each time, gets there."""
    deaths = [1, 0] * 40

    assert Server(CONTENT[:40], *deaths).body().read() == CONTENT[:40]


@pytest.mark.parametrize(
    "error", [ConflictError("changed"), CorruptError("torn"), NotFoundError("gone")]
)
def test_what_no_attempt_can_mend_is_raised_at_once(error: Exception) -> None:
    """Another version must never be spliced to this one."""
    server = Server(CONTENT, 150, error=error)

    with pytest.raises(type(error)) as caught:
        server.body().read()
    assert caught.value is error
    assert server.asked == [0]
    assert server.all_closed()


def test_asking_again_may_fail_as_well() -> None:
    """Which counts as a failure without a byte."""
    server = Server(CONTENT, 150)
    offsets = []

    def ask(offset: int) -> Answer:
        offsets.append(offset)
        if offset:
            raise (
                ConflictError("another version")
                if len(offsets) == 3
                else (ThrottledError("later"))
            )
        return server.ask(offset)

    with pytest.raises(ConflictError, match="another version"):
        StreamBody(ask, len(CONTENT)).read()
    assert offsets == [0, 150, 150]
    assert server.all_closed()


def test_what_is_no_store_error_passes_through() -> None:
    """A bug is not an outage."""
    server = Server(CONTENT, 150, error=ZeroDivisionError("bug"))

    with server.body().open() as file, pytest.raises(ZeroDivisionError):
        file.read()
    assert server.asked == [0]
    assert server.all_closed()


def test_the_deadline_is_looked_at_between_pieces() -> None:
    """A trickle of bytes is no way around it."""
    server = Server(CONTENT)
    body = server.body(first=server.ask(0))
    file = body.open()
    with deadline(60):
        assert file.read(10) == CONTENT[:10]

    with deadline(0):
        assert file.read(50) == CONTENT[10:60]  # is there already
        with pytest.raises(DeadlineError):
            file.read()
    assert server.asked == [0]
    file.close()
    assert server.all_closed()


@pytest.mark.parametrize("read", [io.BufferedReader.read, lambda file: file.read(9000)])
def test_after_a_failure_there_is_no_reading_on(
    read: Callable[[io.BufferedReader], bytes],
) -> None:
    """What was read and not handed out is gone: trying again would leave a hole."""
    server = Server(CONTENT, 150, 0, 0, None)

    with server.body().open() as file:
        assert file.read(10) == CONTENT[:10]
        with pytest.raises(UnavailableError):
            read(file)
        for _ in range(2):
            with pytest.raises(UnavailableError, match="earlier read") as caught:
                read(file)
            assert not caught.value.retryable
        file.seek(10)
        assert file.read() == CONTENT[10:]
    assert server.all_closed()


def test_a_deadline_ends_the_resuming() -> None:
    """There is no time for another attempt."""
    server = Server(CONTENT, 0)
    asked = server.ask

    def ask(offset: int) -> Answer:
        with deadline(0):
            pass
        return asked(offset)

    with deadline(0), pytest.raises(DeadlineError):
        StreamBody(ask, 10).read()
    assert server.asked == []


# -- files that stores keep ------------------------------------------------------


def test_a_stored_file_that_is_shorter_than_it_says_is_corrupt(path: Path) -> None:
    """Loudly, and elsewhere it may be whole."""
    body = FileBody(Descriptor(os.open(path, os.O_RDONLY)), len(CONTENT) + 1)

    with pytest.raises(CorruptError, match="ends after 10240 of 10241") as caught:
        body.read()
    assert caught.value.failover


@pytest.mark.parametrize(
    ("first", "last"),
    [(0, 0), (3, 2), (0, 10_240), (10_240, 0), (10_239, 1), (9, 10_240)],
)
def test_a_body_is_cut_in_three_wherever_it_is(
    path: Path, first: int, last: int
) -> None:
    """Nothing twice and nothing lost, also where the pieces would overlap."""
    path.write_bytes(b"before" + CONTENT)
    file = FileBody(Descriptor(os.open(path, os.O_RDONLY)), len(CONTENT), start=6)
    end = max(first, len(CONTENT) - last)

    for body in (Body.of(CONTENT), file):
        pieces = body.in_three(first, last)
        assert pieces == (CONTENT[:first], CONTENT[first:end], CONTENT[end:])


def test_a_stored_file_that_shrinks_is_not_cut_in_three(path: Path) -> None:
    """What is not there is no piece of it."""
    body = FileBody(Descriptor(os.open(path, os.O_RDONLY)), len(CONTENT))
    os.truncate(path, len(CONTENT) - 1)

    with pytest.raises(CorruptError, match="ends after 10239 of 10240"):
        body.in_three(3, 2)


def test_what_the_kernel_says_of_a_stored_file_is_translated(tmp_path: Path) -> None:
    """As any other error of its store; it is never absence."""
    body = FileBody(Descriptor(os.open(tmp_path, os.O_RDONLY)), 5)

    with pytest.raises(MisconfiguredError, match="Is a directory") as caught:
        body.read()
    assert isinstance(caught.value.__cause__, IsADirectoryError)


def test_what_the_kernel_says_of_an_upload_is_the_uploads(path: Path) -> None:
    """No store is to blame for it, and none can help."""
    with path.open("rb") as file:
        body = Body.take(file)
    assert isinstance(body, FileBody)
    folder = os.open(path.parent, os.O_RDONLY)
    os.dup2(folder, body._descriptor.number)
    os.close(folder)

    with pytest.raises(InvalidError, match="the file cannot be read: Is a directory"):
        body.read()


def test_replacing_the_file_leaves_the_body_what_it_was(path: Path) -> None:
    """A reader that was overtaken sees one version, whole."""
    body = FileBody(
        Descriptor(os.open(path, os.O_RDONLY)), len(CONTENT), version="v", modified=1.5
    )
    (path.parent / "new").write_bytes(b"new")
    (path.parent / "new").rename(path)

    assert body.read() == CONTENT
    assert body.stat() == Stat(len(CONTENT), "v", 1.5)


def test_nobody_inherits_our_descriptors(path: Path) -> None:
    """A program that is started must not keep a deleted object on the disk."""
    with path.open("rb") as file:
        kept = [Body.take(file), Body.take(Source(CONTENT), 10)]

    for body in kept:
        assert isinstance(body, FileBody)
        assert not os.get_inheritable(body._descriptor.number)


def test_leaving_a_reader_open_is_no_warning(path: Path) -> None:
    """The interpreter warns of its own files; ours go with their last reference."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        body = FileBody(Descriptor(os.open(path, os.O_RDONLY)), 5)
        body.open().read(1)
