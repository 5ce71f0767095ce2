"""Objects too large for memory: streamed, kept on disk, fetched once, never spliced."""

from __future__ import annotations

import functools
import random
import threading
import tracemalloc

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.fleets import KEY
from tests.servers.redis import RedisServer
from tests.waiting import PATIENT, until
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.body import Body, StreamBody
from tiered_store.errors import (
    ConflictError,
    CorruptError,
    NotFoundError,
    StoreError,
    UnavailableError,
    UnsupportedError,
)
from tiered_store.events import CacheHit, TierBypassed
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.testing.recording import Recorder
from tiered_store.tiers.memory import MemoryTier
from tiered_store.tiers.redis import RedisTier
from tiered_store.tiers.store import StoreTier
from tiered_store.tree import observe
from tiered_store.units import KIB, MIB
from tiered_store.wrappers.cached import CachedStore


OLD = random.Random(1).randbytes(9 * MIB + 17)
NEW = random.Random(2).randbytes(9 * MIB + 17)  # of the same size, to be mixed up
HUGE = random.Random(3).randbytes(24 * MIB)


class Streaming(Store):
    """
    An origin that hands out bytes as they are asked for, each version pinned.

    Attributes:
        free: Bytes of each body that pass while the *gate* is closed.
        asked: For each object, from which offsets.
    """

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.free = 0
        self.versions: Counter[Key] = Counter()
        self.pinned = True
        self.broken = False
        self.asked: list[int] = []
        self.contents: dict[Key, bytes] = {}

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        self.change(key, body.read())

    def change(self, key: Key, content: bytes) -> None:
        """Write without the cache knowing."""
        self.contents[key] = content
        self.versions[key] += 1

    def _get(self, key: Key) -> Body:
        if self.broken:
            raise UnavailableError("refused")
        if key not in self.contents:
            raise NotFoundError("no such object")
        content, number = self.contents[key], self.versions[key]

        def ask(offset: int) -> Trickle:
            self.asked.append(offset)
            if self.versions[key] != number:
                raise ConflictError("another version is there now")
            return Trickle(self, content, offset)

        version = f"v{number}" if self.pinned else None
        return StreamBody(ask, len(content), version=version)

    def _delete(self, key: Key) -> None:
        self.contents.pop(key, None)
        self.versions[key] += 1

    def _url(self, key: Key) -> str:
        raise UnsupportedError("no URLs")


class Trickle:
    """Bytes on their way."""

    def __init__(self, origin: Streaming, content: bytes, position: int) -> None:
        self._origin = origin
        self._content = content
        self._position = position

    def read(self, size: int, /) -> bytes:
        if self._position >= self._origin.free:
            assert self._origin.gate.wait(30)
        piece = self._content[self._position : self._position + size]
        self._position += len(piece)
        return piece

    def close(self) -> None: ...


class Host:
    """A process with memory, and a directory of its own unless told otherwise."""

    def __init__(self, origin: Streaming, *tiers: Any) -> None:
        self.origin = origin
        self.memory = MemoryTier()
        self.store = CachedStore(origin, [self.memory, *tiers])
        self.recorder = Recorder()
        observe(self.store, self.recorder)

    def put(self, content: bytes, key: Key = KEY) -> None:
        self.store.put(key, Body.of(content))

    def get(self, key: Key = KEY) -> bytes:
        with self.store.get_file(*key) as file:
            return b"".join(iter(functools.partial(file.read, 256 * KIB), b""))

    def kept(self, content: bytes, key: Key = KEY) -> None:
        """Assert that soon it is served from here, nothing being on its way."""

        def served() -> bool:
            asked = len(self.origin.asked)
            assert self.get(key) == content
            return len(self.origin.asked) == asked

        until(served)
        fills = self.store._keeper.filler._workers
        until(lambda: fills._idle == fills._threads)


def directory(path: Path, **options: Any) -> StoreTier:
    return StoreTier(FileSystemStore(str(path), create=True), **options)


def copies(path: Path) -> list[Path]:
    return [file for file in path.rglob("*.png") if not file.name.startswith(".")]


Make = Callable[..., Host]


@pytest.fixture
def origin() -> Iterator[Streaming]:
    made = Streaming()
    yield made
    made.gate.set()


@pytest.fixture
def hosts(origin: Streaming) -> Iterator[Callable[..., Host]]:
    made: list[Host] = []

    def make(*tiers: Any) -> Host:
        host = Host(origin, *tiers)
        made.append(host)
        host.store.delete(KEY._replace(object_id=99))
        until(lambda: all(getattr(tier, "online", True) for tier in tiers))
        return host

    yield make
    origin.gate.set()
    for host in made:
        host.store._keeper.close()


@pytest.fixture(
    params=["directory", pytest.param("shared", marks=pytest.mark.servers)],
)
def make(request: pytest.FixtureRequest, hosts: Any, tmp_path: Path) -> Make:
    """Make hosts, each with a directory of the name it is given."""

    def make(name: str = "cache") -> Host:
        tiers: list[Any] = [directory(tmp_path / name)]
        if request.param == "shared":
            url = request.getfixturevalue("redis_server").url
            tiers.append(RedisTier(url, prefix=f"{tmp_path.name}:", **PATIENT))
        return hosts(*tiers)  # type: ignore[no-any-return]

    return make


@pytest.fixture
def shared(redis_server: RedisServer, tmp_path: Path) -> Callable[[], RedisTier]:
    def make() -> RedisTier:
        return RedisTier(
            redis_server.url, prefix=f"{tmp_path.name}:", max_object=MIB, **PATIENT
        )

    return make


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


# -- streamed and kept ---------------------------------------------------------------


def most_held(work: Callable[[], object]) -> int:
    """Return how many bytes were in use at once at most, for *work*."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def read_through(host: Host) -> None:
    place = 0
    with host.store.get_file(*KEY) as file:
        while piece := file.read(256 * KIB):
            assert piece == HUGE[place : place + len(piece)]
            place += len(piece)
    assert place == len(HUGE)


def test_it_is_never_in_memory(make: Make, origin: Streaming) -> None:
    """Neither when it is fetched nor when it is kept nor when it is served."""
    host = make()
    origin.change(KEY, HUGE)

    assert most_held(lambda: read_through(host)) < 6 * MIB
    host.kept(HUGE)
    assert most_held(lambda: read_through(host)) < 6 * MIB

    assert not host.memory.copies


def test_with_memory_alone_it_streams_past(hosts: Any, origin: Streaming) -> None:
    """Each reader gets it from the origin, and nothing is kept."""
    host = hosts()
    origin.change(KEY, HUGE)

    assert most_held(lambda: read_through(host)) < 3 * MIB
    read_through(host)

    assert len(origin.asked) == 2
    assert not host.memory.copies


def test_it_is_kept_on_disk(make: Make, origin: Streaming, tmp_path: Path) -> None:
    """And served from there, wherever its reader begins."""
    host = make()
    host.put(OLD)

    host.kept(OLD)

    asked = len(origin.asked)
    with host.store.get_file(*KEY) as file:
        file.seek(-1000, 2)
        assert file.read() == OLD[-1000:]
        file.seek(5 * MIB)
        assert file.read(1000) == OLD[5 * MIB :][:1000]
    assert len(origin.asked) == asked
    until(lambda: copies(tmp_path / "cache"))
    (copy,) = copies(tmp_path / "cache")
    assert copy.stat().st_size > len(OLD)


def test_many_readers_are_one_fetch(
    make: Make, origin: Streaming, threads: ThreadPoolExecutor
) -> None:
    """Those who come while it is on its way get its first bytes at once, too."""
    host = make()
    origin.change(KEY, OLD)
    origin.free = MIB
    origin.gate.clear()
    with host.store.get_file(*KEY) as file:
        assert file.read(1000) == OLD[:1000]
        late = [host.store.get_file(*KEY) for _ in range(4)]
        assert {one.read(1000) for one in late} == {OLD[:1000]}
        readers = [threads.submit(host.get) for _ in range(8)]
        origin.gate.set()
        assert {reader.result(30) for reader in readers} == {OLD}
        assert file.read() == OLD[1000:]
        for one in late:
            assert one.read() == OLD[1000:]
            one.close()

    host.kept(OLD)
    assert origin.asked == [0]


def test_a_reader_who_leaves_does_not_end_it(make: Make, origin: Streaming) -> None:
    """It was worth keeping when it was asked for."""
    host = make()
    origin.change(KEY, OLD)
    origin.free = MIB
    origin.gate.clear()
    with host.store.get_file(*KEY) as file:
        file.read(10)

    origin.gate.set()

    host.kept(OLD)
    assert origin.asked == [0]


@pytest.mark.servers
def test_the_server_has_the_record_alone(
    hosts: Any, shared: Any, tmp_path: Path, redis_server: RedisServer
) -> None:
    """It says which copy is current, whoever has the bytes."""
    host = hosts(directory(tmp_path / "cache"), tier := shared())
    host.put(OLD)
    host.kept(OLD)

    entry = tier.look(KEY).entry
    assert entry is not None
    assert entry.record.size == len(OLD)
    assert not entry.whole
    (name,) = redis_server.client().keys(f"{tmp_path.name}:{{*")
    assert redis_server.client().hkeys(name) == [b"h"]


@pytest.mark.servers
def test_each_machine_fetches_it_once(
    hosts: Any, shared: Any, tmp_path: Path, origin: Streaming
) -> None:
    """Into a directory of its own, of which the server knows nothing."""
    first = hosts(directory(tmp_path / "first"), shared())
    second = hosts(directory(tmp_path / "second"), shared())
    first.put(OLD)
    first.kept(OLD)
    second.kept(OLD)
    assert origin.asked == [0, 0]

    first.put(NEW)

    second.kept(NEW)
    first.kept(NEW)
    assert origin.asked == [0] * 4


@pytest.mark.parametrize(
    "which", ["alone", pytest.param("shared", marks=pytest.mark.servers)]
)
def test_a_far_copy_fills_the_nearer_directory(
    request: pytest.FixtureRequest,
    hosts: Any,
    origin: Streaming,
    tmp_path: Path,
    which: str,
) -> None:
    """As a small one does; it is read once for all who wait."""
    rest = [request.getfixturevalue("shared")()] if which == "shared" else []
    near, far = tmp_path / "near", tmp_path / "far"
    host = hosts(directory(near), directory(far), *rest)
    host.put(OLD)
    host.kept(OLD)
    until(lambda: copies(near) and copies(far))
    for copy in copies(near):
        copy.unlink()

    host.recorder.clear()
    assert host.get() == OLD
    assert [event.tier for event in host.recorder.of(CacheHit)] == ["tiers.2"]
    until(lambda: copies(near))
    host.kept(OLD)

    assert host.recorder.of(CacheHit)[-1].tier == "tiers.1"
    assert origin.asked == [0]


def test_a_store_that_is_closed_leaves_a_fetch_alone(
    make: Make, origin: Streaming
) -> None:
    """Whoever reads goes on; what should have been kept is not, without a word."""
    host = make()
    origin.change(KEY, OLD)
    origin.free = MIB
    origin.gate.clear()
    file = host.store.get_file(*KEY)
    file.read(10)

    host.store.close()
    origin.gate.set()

    assert file.read() == OLD[10:]
    file.close()
    until(lambda: not [one for one in threading.enumerate() if one.name == "download"])


@pytest.mark.parametrize("change", [None, "put"])
def test_a_store_that_is_closed_between_two_tiers(
    hosts: Any, origin: Streaming, tmp_path: Path, change: str | None
) -> None:
    """The one that is offered what has arrived is closed by then, which is no fault."""
    near, far = tmp_path / "near", tmp_path / "far"
    host = hosts(directory(near), directory(far))
    origin.change(KEY, OLD)
    origin.free = MIB
    origin.gate.clear()
    before = set(threading.enumerate())
    file = host.store.get_file(*KEY)
    file.read(10)
    until(lambda: list(far.rglob(".*")))  # it is being offered to this one
    started = set(threading.enumerate()) - before

    if change is not None:
        host.put(NEW)
    host.store.close()
    origin.gate.set()

    assert file.read() == OLD[10:]
    file.close()
    for thread in started:
        thread.join(60)
    assert not copies(near)


# -- overtaken -----------------------------------------------------------------------


@pytest.mark.parametrize("change", ["put", "delete"])
def test_a_write_that_overtakes_a_fetch(
    make: Make, origin: Streaming, change: str
) -> None:
    """Its reader gets what it began with; nobody else ever gets any of it."""
    host = make()
    overtake(host, host, origin, change)


@pytest.mark.servers
@pytest.mark.parametrize("change", ["put", "delete"])
@pytest.mark.parametrize("room", ["cache", "other"])
def test_another_processs_write_that_overtakes_a_fetch(
    hosts: Any, shared: Any, tmp_path: Path, origin: Streaming, change: str, room: str
) -> None:
    """The same, whether they share the directory or not."""
    reader = hosts(directory(tmp_path / "cache"), shared())
    writer = hosts(directory(tmp_path / room), shared())
    overtake(reader, writer, origin, change)


def overtake(reader: Host, writer: Host, origin: Streaming, change: str) -> None:
    origin.change(KEY, OLD)
    origin.free = 4 * MIB
    origin.gate.clear()
    with reader.store.get_file(*KEY) as file:
        assert file.read(MIB) == OLD[:MIB]
        writer.put(NEW) if change == "put" else writer.store.delete(KEY)
        during = attempt(reader) if change == "delete" else None
        origin.gate.set()
        assert file.read() == OLD[MIB:]

    assert during is None
    if change == "delete":
        for host in (writer, reader, writer, reader):
            until(lambda h=host: attempt(h) is None)
        return
    until(lambda: reader.get() == NEW)
    for _ in range(2):
        for host in (writer, reader):
            assert host.get() == NEW
    reader.kept(NEW)
    writer.kept(NEW)


def attempt(host: Host) -> bytes | None:
    try:
        return host.get()
    except NotFoundError:
        return None


# -- damaged half way ----------------------------------------------------------------


def damage(copy: Path, place: int) -> None:
    """Flip a bit in what is opened already, or will be."""
    with copy.open("r+b") as file:
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 4]))


def spoiled(host: Host, folder: Path) -> None:
    """Let *host* have a copy whose second half has a wrong bit."""
    host.put(OLD)
    host.kept(OLD)
    until(lambda: copies(folder))
    damage(copies(folder)[0], 6 * MIB)
    host.origin.asked.clear()
    host.recorder.clear()


def test_a_damaged_copy_is_left_half_way(
    make: Make, origin: Streaming, tmp_path: Path
) -> None:
    """Its reader goes on from the origin, which has that version; then it heals."""
    host = make()
    spoiled(host, tmp_path / "cache")

    assert host.get() == OLD

    (offset,) = origin.asked
    assert 5 * MIB < offset <= 6 * MIB
    (bypassed,) = host.recorder.of(TierBypassed)
    assert isinstance(bypassed.error, CorruptError)
    host.kept(OLD)
    assert origin.asked == [offset, 0]


def test_a_copy_that_is_cut_off_while_it_is_read(
    make: Make, origin: Streaming, tmp_path: Path
) -> None:
    """Under the reader's hands, by whoever wants the room."""
    host = make()
    host.put(OLD)
    host.kept(OLD)
    until(lambda: copies(tmp_path / "cache"))
    (copy,) = copies(tmp_path / "cache")

    with host.store.get_file(*KEY) as file:
        assert file.read(MIB) == OLD[:MIB]
        with copy.open("r+b") as cut:
            cut.truncate(3 * MIB)
        assert file.read() == OLD[MIB:]

    host.kept(OLD)


def test_a_reader_may_begin_and_seek_where_it_likes(
    make: Make, origin: Streaming, tmp_path: Path
) -> None:
    """Before and behind the place that is damaged."""
    host = make()
    spoiled(host, tmp_path / "cache")

    with host.store.get_file(*KEY) as file:
        file.seek(6 * MIB - 100)
        assert file.read(200) == OLD[6 * MIB - 100 :][:200]
        file.seek(0)
        assert file.read() == OLD


def test_two_versions_are_never_spliced(
    make: Make, origin: Streaming, tmp_path: Path
) -> None:
    """Somebody wrote behind our backs: the reader hears that the copy is damaged."""
    host = make()
    spoiled(host, tmp_path / "cache")
    origin.change(KEY, NEW)

    with host.store.get_file(*KEY) as file:
        assert file.read(5 * MIB) == OLD[: 5 * MIB]
        with pytest.raises(CorruptError):
            file.read()

    assert host.get() == NEW


def test_what_has_no_version_is_not_gone_on_with(
    make: Make, origin: Streaming, tmp_path: Path
) -> None:
    """It may be the same, and nobody can tell."""
    origin.pinned = False
    host = make()
    spoiled(host, tmp_path / "cache")

    with pytest.raises(CorruptError):
        host.get()

    assert host.get() == OLD
    host.kept(OLD)


def test_an_origin_that_is_away_then_is_told(
    make: Make, origin: Streaming, tmp_path: Path
) -> None:
    """It is what failed the reader; a tier never is."""
    host = make()
    spoiled(host, tmp_path / "cache")
    origin.broken = True

    with pytest.raises(UnavailableError):
        host.get()

    origin.broken = False
    assert host.get() == OLD


def test_an_origin_that_fails_twice_is_not_asked_for_ever(
    make: Make, origin: Streaming, tmp_path: Path
) -> None:
    """The origin's reader has its own patience; nobody begins anew around it."""
    host = make()
    spoiled(host, tmp_path / "cache")
    get = origin._get

    def dying(key: Key) -> Body:
        body = get(key)
        return StreamBody(failing, body.size, version=body.version)

    def failing(offset: int) -> Any:
        origin.asked.append(offset)
        raise UnavailableError("broke off")

    origin._get = dying  # type: ignore[method-assign]
    with pytest.raises(StoreError):
        host.get()

    assert len(origin.asked) <= 3


# -- in between ----------------------------------------------------------------------


MIDDLE = random.Random(4).randbytes(6 * MIB)  # more than the server takes


@pytest.mark.servers
def test_what_is_too_large_for_the_server_is_elsewhere(
    hosts: Any, shared: Any, tmp_path: Path, origin: Streaming
) -> None:
    """In memory and in the directory, under the name that the server knows."""
    first = hosts(directory(tmp_path / "cache"), shared())
    second = hosts(directory(tmp_path / "cache"), shared())
    first.put(MIDDLE)

    for host in (first, second):
        host.kept(MIDDLE)

    assert origin.asked == [0]  # the second had it from the directory
    assert first.memory.get(KEY) is not None
    second.put(b"small")
    until(lambda: first.get() == b"small")
    second.put(MIDDLE[::-1])
    until(lambda: first.get() == MIDDLE[::-1])
    first.kept(MIDDLE[::-1])
    second.kept(MIDDLE[::-1])


@pytest.mark.servers
def test_without_a_directory_each_process_fetches_it_itself(
    hosts: Any, shared: Any, origin: Streaming
) -> None:
    """And keeps it in memory, where it is dropped when somebody writes."""
    first, second = hosts(shared()), hosts(shared())
    first.put(MIDDLE)
    first.kept(MIDDLE)
    second.kept(MIDDLE)
    assert origin.asked == [0, 0]

    second.put(MIDDLE[::-1])

    until(lambda: first.get() == MIDDLE[::-1])
    first.kept(MIDDLE[::-1])
