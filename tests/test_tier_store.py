"""Copies in a store: whole, their own and in time, or none; large ones stream."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import tracemalloc

from pathlib import Path

import pytest
import xxhash

from tests import sharers
from tests.test_filesystem import as_nobody
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body, BytesBody
from tiered_store.digests import Digests
from tiered_store.errors import (
    ConfigError,
    CorruptError,
    DeadlineError,
    DeniedError,
    FullError,
    MisconfiguredError,
    ReadOnlyError,
    StoreError,
    TooLargeError,
    UnavailableError,
    UnsupportedError,
)
from tiered_store.framing import PIECE, TAG, sealed
from tiered_store.key import Key
from tiered_store.layout import object_name
from tiered_store.policies.breaker import BreakerPolicy, CircuitOpenError
from tiered_store.store import Store
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.faults import FaultStore
from tiered_store.tiers.header import HEADER_SIZE, Header, pack
from tiered_store.tiers.store import StoreTier
from tiered_store.tiers.tier import FOREVER, Entry, Record
from tiered_store.units import MIB


KEY = Key("testing", 1234, 405, 640, "image/jpeg")
OTHER = KEY._replace(object_id=5)
NAME = "testing/234/1/1234.405x640.jpe"
CONTENT = random.Random(1).randbytes(100)
PIECES = random.Random(2).randbytes(2 * PIECE + 17)
LARGE = random.Random(3).randbytes(9 * MIB)


def entry_of(content: bytes | Body, **facts) -> Entry:
    """Return an entry of *content*."""
    body = content if isinstance(content, Body) else Body.of(content)
    facts = {"since": 1_700_000_000.0, **facts}
    return Entry(Record(size=body.size, **facts), body)


def absence(**facts) -> Entry:
    """Return an entry that says that there is nothing."""
    return Entry(Record(since=1_700_000_000.0, size=None, **facts), None)


def content_of(entry: Entry | None) -> bytes | None:
    """Return the bytes of *entry*."""
    if entry is None:
        return None
    assert entry.body is not None
    return entry.body.read()


@pytest.fixture
def place() -> FaultStore:
    """Where the copies are."""
    return FaultStore(MemoryStore())


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def tier(place: FaultStore, clock: FakeClock) -> StoreTier:
    """A tier of it, which tells every failure."""
    return StoreTier(place, breaker=None, clock=clock)


def stored(place: Store, key: Key = KEY) -> bytes:
    """Return what lies in *place*, header and all."""
    return place.get(key).read()


def is_there(place: Store, key: Key = KEY) -> bool:
    return key in set(place.keys())


# -- what is kept --------------------------------------------------------------


@pytest.mark.parametrize(
    "size",
    [
        0,
        1,
        PIECE - 1,
        PIECE,
        PIECE + 1,
        2 * PIECE,
        2 * MIB,
        2 * MIB + 1,
        8 * MIB,
        9 * MIB,
    ],
)
def test_what_was_put_is_got(tier: StoreTier, size: int) -> None:
    """Bytes and everything that is known of them, by another process as well."""
    content = LARGE[:size]
    entry = entry_of(content, version="v1", cost=0.25, fresh_until=1_800_000_000.0)
    assert tier.put(KEY, entry)

    found = StoreTier(tier.store).get(KEY)

    assert found is not None
    assert found.record == entry.record
    assert found.body is not None
    assert (found.body.size, found.body.version) == (size, "v1")
    assert found.body.read() == found.body.read() == content


def test_absence_is_kept(tier: StoreTier, place: FaultStore) -> None:
    """As a header and nothing else."""
    entry = absence(fresh_until=1_800_000_000.0)
    assert tier.put(KEY, entry)

    assert tier.get(KEY) == entry
    assert len(stored(place)) == HEADER_SIZE


def test_there_is_no_copy_of_what_was_not_put(tier: StoreTier) -> None:
    """Which is no failure."""
    assert tier.get(KEY) is None
    tier.delete(KEY)


def test_a_record_without_its_bytes_is_not_kept(tier: StoreTier) -> None:
    """It would be of no use here, and what was there is not it."""
    tier.put(KEY, entry_of(b"old"))

    assert not tier.put(KEY, Entry(Record(since=0.0, size=3), None))
    assert tier.get(KEY) is None


class Counting(BytesBody):
    """Counts the bytes that are read of it."""

    count = 0

    def open(self, offset: int = 0) -> io.BytesIO:
        told = self

        class File(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                piece = super().read(size)
                told.count += len(piece)
                return piece

        file = File(self._content)
        file.seek(offset)
        return file

    def read(self) -> bytes:
        with self.open() as file:
            return file.read()


def test_a_large_object_streams_through(tmp_path: Path) -> None:
    """Neither putting nor reading it holds more than some pieces of it in memory."""
    tier = StoreTier(FileSystemStore(str(tmp_path)))
    source = Counting(LARGE)
    tracemalloc.start()
    try:
        assert tier.put(KEY, entry_of(source))
        found = tier.get(KEY)
        assert found is not None
        assert found.body is not None
        assert sum(map(len, found.body.chunks())) == len(LARGE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert source.count == len(LARGE)
    assert peak < 4 * MIB
    assert content_of(tier.get(KEY)) == LARGE


class CountedStore(MemoryStore):
    """Hands out one body, which counts."""

    body: Counting

    def _get(self, key: Key) -> Body:
        self.body = Counting(super()._get(key).read())
        return self.body


def test_a_large_copy_is_opened_by_its_header() -> None:
    """And read from anywhere by the piece that is there."""
    place = CountedStore()
    tier = StoreTier(place)
    tier.put(KEY, entry_of(LARGE))

    entry = tier.get(KEY)

    assert place.body.count == HEADER_SIZE
    assert entry is not None
    assert entry.body is not None
    with entry.body.open(5 * MIB) as file:
        assert file.read(10) == LARGE[5 * MIB : 5 * MIB + 10]
    assert place.body.count == HEADER_SIZE + PIECE + TAG


def test_what_was_opened_is_read_to_its_end(tmp_path: Path) -> None:
    """Although a new copy replaces it, or it is dropped, meanwhile."""
    tier = StoreTier(FileSystemStore(str(tmp_path)))
    tier.put(KEY, entry_of(LARGE))
    first = tier.get(KEY)
    tier.put(KEY, entry_of(LARGE[::-1]))
    second = tier.get(KEY)
    tier.delete(KEY)

    assert content_of(first) == LARGE
    assert content_of(second) == LARGE[::-1]


# -- what is not believed ------------------------------------------------------


def healed(tier: StoreTier, place: Store, bad: bytes, key: Key = KEY) -> None:
    """Assert that *bad* is a miss, is dropped, and that a new copy takes its place."""
    place.put(key, Body.of(bad))
    assert tier.get(key) is None
    assert not is_there(place, key)
    tier.put(key, entry_of(b"new"))
    assert content_of(tier.get(key)) == b"new"


def flipped(whole: bytes, at: int) -> bytes:
    """Return *whole* with one bit of byte *at* the other way round."""
    return whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :]


@pytest.mark.parametrize("entry", [entry_of(CONTENT), absence()], ids=["bytes", "none"])
def test_every_flipped_byte_is_noticed(
    tier: StoreTier, place: FaultStore, entry: Entry
) -> None:
    """Header, content or tag: a miss that heals."""
    tier.put(KEY, entry)
    whole = stored(place)

    for at in range(len(whole)):
        healed(tier, place, flipped(whole, at))


@pytest.mark.parametrize("entry", [entry_of(CONTENT), absence()], ids=["bytes", "none"])
def test_every_other_length_is_noticed(
    tier: StoreTier, place: FaultStore, entry: Entry
) -> None:
    """Cut off anywhere, or with something behind it."""
    tier.put(KEY, entry)
    whole = stored(place)

    for length in range(len(whole)):
        healed(tier, place, whole[:length])
    healed(tier, place, whole + b"x")
    healed(tier, place, whole + bytes(TAG))


@pytest.mark.parametrize("content", [PIECES, LARGE[: 3 * MIB]], ids=len)
def test_every_piece_is_checked_before_a_small_copy_is_a_hit(
    tier: StoreTier, place: FaultStore, content: bytes
) -> None:
    """Wherever the flip is, nobody has read a byte of it yet."""
    tier.put(KEY, entry_of(content))
    whole = stored(place)
    at = [HEADER_SIZE, HEADER_SIZE + PIECE, HEADER_SIZE + PIECE + TAG + 5, -1]

    for number in at:
        healed(tier, place, flipped(whole, number % len(whole)))
    for length in (HEADER_SIZE + PIECE + TAG, HEADER_SIZE + 2 * (PIECE + TAG)):
        healed(tier, place, whole[:length])


@pytest.mark.parametrize(
    "garbage",
    [b"", b"x", b"<html>", bytes(5_000), b"TSc1" + bytes(200), b"TSc3" + bytes(200)],
)
def test_what_is_foreign_is_no_copy(
    tier: StoreTier, place: FaultStore, garbage: bytes
) -> None:
    """Nor is one of another format."""
    healed(tier, place, garbage)


@pytest.mark.parametrize("entry", [entry_of(CONTENT), absence()], ids=["bytes", "none"])
def test_a_copy_of_another_object_is_no_copy(
    tier: StoreTier, place: FaultStore, entry: Entry
) -> None:
    """As after files were moved by hand."""
    tier.put(OTHER, entry)

    healed(tier, place, stored(place, OTHER))


@pytest.mark.parametrize("content", [CONTENT, PIECES, LARGE[: 3 * MIB]], ids=len)
@pytest.mark.parametrize("more", [-1, 1, None])
def test_a_copy_is_as_long_as_its_header_says(
    tier: StoreTier, place: FaultStore, content: bytes, more: int | None
) -> None:
    """Although its digests are right, as a program that is not ours might leave it."""
    name = object_name(KEY)
    size = None if more is None else len(content) + more
    header = pack(name, Header(Record(since=1.0, size=size)))
    digests = Digests(header, len(content), xxhash.xxh3_128(header + name.encode()))

    healed(tier, place, sealed(Body.of(content), digests).read())


def test_pieces_of_two_copies_never_mix(tier: StoreTier, place: FaultStore) -> None:
    """Not even of copies of one object, of one size, that share a header's place."""
    tier.put(KEY, entry_of(PIECES))
    one = stored(place)
    tier.put(KEY, entry_of(PIECES[::-1]))
    two = stored(place)
    border = HEADER_SIZE + PIECE + TAG

    for at in (HEADER_SIZE, border, border + PIECE + TAG):
        healed(tier, place, one[:at] + two[at:])


def test_a_large_file_of_something_else_is_no_copy(
    tier: StoreTier, place: FaultStore
) -> None:
    """Found by its beginning."""
    healed(tier, place, LARGE)
    tier.put(KEY, absence())
    healed(tier, place, stored(place) + LARGE)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: flipped(whole, 3 * MIB),
        lambda whole: flipped(whole, len(whole) - 1),
        lambda whole: whole[: 3 * MIB],
        lambda whole: whole[: HEADER_SIZE + 12 * (PIECE + TAG)],
    ],
    ids=["content", "tag", "cut", "cut at a border"],
)
def test_a_reader_hears_of_a_piece_that_does_not_pass(tmp_path: Path, spoil) -> None:
    """Not one byte of it; what came before is right, and the copy is gone by then."""
    place = FileSystemStore(str(tmp_path))
    tier = StoreTier(place)
    tier.put(KEY, entry_of(LARGE))
    whole = (tmp_path / NAME).read_bytes()
    entry = tier.get(KEY)
    assert entry is not None
    assert entry.body is not None
    (tmp_path / NAME).write_bytes(spoil(whole))  # in place: it is the same file

    passed: list[bytes] = []
    with pytest.raises(CorruptError, match=r"bytes .* digest|too early|ends after"):
        passed.extend(entry.body.chunks(10_000))

    assert not is_there(place)
    assert tier.get(KEY) is None
    assert LARGE.startswith(b"".join(passed))
    assert sum(map(len, passed)) > 2 * MIB


def test_a_large_copy_that_is_cut_off_is_no_hit(tmp_path: Path) -> None:
    """Its header says how long it is."""
    place = FileSystemStore(str(tmp_path))
    tier = StoreTier(place)
    tier.put(KEY, entry_of(LARGE))
    os.truncate(tmp_path / NAME, 9 * MIB - 1)

    assert tier.get(KEY) is None
    assert not is_there(place)


def test_what_dies_while_it_is_read_is_corrupt(
    tier: StoreTier, place: FaultStore
) -> None:
    """The disk says that it cannot read it: a miss, and gone."""
    tier.put(KEY, entry_of(CONTENT))
    place.tear(0.5, CorruptError)

    assert tier.get(KEY) is None
    assert not is_there(place)


def test_what_cannot_be_dropped_is_a_miss_all_the_same(
    tier: StoreTier, place: FaultStore
) -> None:
    """Each time."""
    place.put(KEY, Body.of(b"garbage"))
    place.fail("delete", DeniedError, times=None)

    assert tier.get(KEY) is None
    assert tier.get(KEY) is None
    assert is_there(place)


def test_an_outage_is_told(tier: StoreTier, place: FaultStore) -> None:
    """Whoever asks goes on without this tier, and knows why."""
    tier.put(KEY, entry_of(CONTENT))
    place.fail("get")
    with pytest.raises(UnavailableError):
        tier.get(KEY)
    place.tear(0.5)
    with pytest.raises(UnavailableError):
        tier.get(KEY)

    assert content_of(tier.get(KEY)) == CONTENT


# -- time ----------------------------------------------------------------------


def test_a_copy_ends_by_the_wall_clock(place: FaultStore, clock: FakeClock) -> None:
    """It outlives the process, so its age does too."""
    StoreTier(place, ttl=60, jitter=0, clock=clock).put(KEY, entry_of(b"x"))
    again = StoreTier(place, clock=clock)

    clock.advance(59.9)
    found = again.get(KEY)
    assert found is not None
    assert found.record.fresh_until == pytest.approx(clock.time() + 0.1)
    clock.advance(0.1)
    assert again.get(KEY) is None


def test_grace_keeps_what_is_no_longer_fresh(
    place: FaultStore, clock: FakeClock
) -> None:
    """It says itself that it is stale."""
    tier = StoreTier(place, ttl=60, jitter=0, clock=clock)
    tier.put(KEY, entry_of(b"x"))
    tier.grace = 30.0
    clock.advance(89)

    found = tier.get(KEY)
    assert found is not None
    assert not found.record.fresh(clock.time())
    clock.advance(1)
    assert tier.get(KEY) is None


def test_a_copy_ends_when_its_bytes_did(place: FaultStore, clock: FakeClock) -> None:
    """A tier makes what it is given no younger."""
    tier = StoreTier(place, ttl=60, jitter=0, clock=clock)
    tier.put(KEY, entry_of(b"x", fresh_until=clock.time() + 10))
    tier.put(OTHER, absence(fresh_until=clock.time() + 10))

    clock.advance(10)
    assert tier.get(KEY) is None
    assert tier.get(OTHER) is None


def test_without_a_ttl_a_copy_does_not_end(tier: StoreTier, clock: FakeClock) -> None:
    """It is kept until it is dropped."""
    tier.put(KEY, entry_of(b"x"))
    clock.advance(10 * 365 * 86_400)

    found = tier.get(KEY)
    assert found is not None
    assert found.record.fresh_until == FOREVER


def test_copies_put_together_do_not_all_end_together(
    place: FaultStore, clock: FakeClock
) -> None:
    """Or the origin would be asked for all of them at once."""
    tier = StoreTier(place, ttl=100, jitter=0.5, clock=clock)
    keys = [KEY._replace(object_id=number) for number in range(100)]
    for key in keys:
        tier.put(key, entry_of(b"x"))

    def alive() -> int:
        return sum(tier.get(key) is not None for key in keys)

    clock.advance(49)
    assert alive() == 100
    clock.advance(25)
    assert 0 < alive() < 100
    clock.advance(26)
    assert alive() == 0


# -- what is not kept ----------------------------------------------------------


def test_what_is_too_large_leaves_nothing_behind(place: FaultStore) -> None:
    """Or the old copy would be served for the new object."""
    tier = StoreTier(place, max_object=10)
    assert tier.put(KEY, entry_of(b"x" * 10))

    assert not tier.put(KEY, entry_of(b"x" * 11))
    assert not is_there(place)


def test_what_the_store_finds_too_large_is_not_kept(
    tier: StoreTier, place: FaultStore
) -> None:
    """A limit of the store is no failure of it."""
    tier.put(KEY, entry_of(b"old"))
    place.fail("put", TooLargeError)

    assert not tier.put(KEY, entry_of(b"new"))
    assert not is_there(place)


@pytest.mark.parametrize(
    ("options", "largest"),
    [
        ({"capacity": 80 * MIB}, 10 * MIB),
        ({"capacity": 80 * MIB, "max_object": 20 * MIB}, 20 * MIB),
        ({"max_object": 0}, 0),
        ({}, 1 << 40),
    ],
)
def test_the_largest_object_follows_the_capacity(options, largest: int) -> None:
    """Where there is no bound, large objects are kept too."""
    assert StoreTier(MemoryStore(), **options).max_object == largest


def test_what_was_overtaken_is_not_stored(tier: StoreTier, place: FaultStore) -> None:
    """Nor is the old copy left."""
    tier.put(KEY, entry_of(b"old"))

    assert not tier.put(KEY, entry_of(b"late"), lambda: False)
    assert place.calls["put"] == 1
    assert not is_there(place)


def test_what_is_overtaken_while_it_is_stored_is_dropped(
    tier: StoreTier, place: FaultStore
) -> None:
    """It is asked once more when the bytes are there."""
    answers = iter([True, False])

    assert not tier.put(KEY, entry_of(b"late"), lambda: next(answers))
    assert place.calls["put"] == 1
    assert not is_there(place)


def test_permission_is_asked_right_before_and_right_after(
    tier: StoreTier, place: FaultStore
) -> None:
    """What the store did by then shows that nothing comes in between."""
    asked: list[tuple[int, bool]] = []

    def allowed() -> bool:
        asked.append((place.calls["put"], is_there(place)))
        return True

    assert tier.put(KEY, entry_of(b"x"), allowed)
    assert asked == [(0, False), (1, True)]


def test_a_doomed_copy_that_cannot_be_dropped_is_told(
    tier: StoreTier, place: FaultStore
) -> None:
    """Then the caller must not believe this tier for the key."""
    answers = iter([True, False])
    place.fail("delete")

    with pytest.raises(UnavailableError):
        tier.put(KEY, entry_of(b"late"), lambda: next(answers))


@pytest.mark.parametrize("error", [FullError, UnavailableError, StoreError])
def test_a_put_that_fails_leaves_nothing_old(
    tier: StoreTier, place: FaultStore, error: type[StoreError]
) -> None:
    """And says so."""
    tier.put(KEY, entry_of(b"old"))
    place.fail("put", error)

    with pytest.raises(error):
        tier.put(KEY, entry_of(b"new"))
    assert not is_there(place)


def test_a_put_that_failed_tells_why_although_the_drop_fails_too(
    tier: StoreTier, place: FaultStore
) -> None:
    """The first failure is the cause."""
    tier.put(KEY, entry_of(b"old"))
    place.fail("put", FullError)
    place.fail("delete", UnavailableError)

    with pytest.raises(FullError):
        tier.put(KEY, entry_of(b"new"))


@pytest.mark.parametrize("kind", [UnavailableError, DeadlineError, DeniedError])
def test_what_fails_to_be_read_is_not_the_tiers_failure(
    place: FaultStore, kind: type[StoreError]
) -> None:
    """It is raised as it is, no breaker counts it, and nothing is left behind."""
    tier = StoreTier(place)
    origin = FaultStore(MemoryStore())
    origin.put(KEY, Body.of(PIECES))
    origin.tear(0.5, kind("the origin died").at("origin", "get", KEY), times=None)
    for _ in range(30):
        tier.put(KEY, entry_of(b"old"))
        with pytest.raises(kind, match=r"^origin: get .*: the origin died"):
            tier.put(KEY, entry_of(origin.get(KEY)))
        assert not is_there(place)

    assert tier.put(KEY, entry_of(b"new"))


def test_everything_is_dropped(tier: StoreTier, place: FaultStore) -> None:
    """Whoever put it."""
    for number in range(10):
        tier.put(KEY._replace(object_id=number), entry_of(b"x"))
    place.put(KEY, Body.of(b"garbage"))

    tier.clear()
    assert list(place.keys()) == []


def test_what_cannot_be_dropped_does_not_keep_the_rest(
    tier: StoreTier, place: FaultStore
) -> None:
    """And it is told that something is left."""
    for number in range(10):
        tier.put(KEY._replace(object_id=number), entry_of(b"x"))
    left = KEY._replace(object_id=3)
    place.fail("delete", DeniedError, key=left)

    with pytest.raises(DeniedError):
        tier.clear()
    assert list(place.keys()) == [left]


def test_where_nothing_can_be_listed_nothing_is_said_to_be_dropped(
    place: FaultStore,
) -> None:
    """Or old copies would be believed."""
    place.fail("keys", UnsupportedError)

    with pytest.raises(UnsupportedError):
        StoreTier(place).clear()


# -- breakers ------------------------------------------------------------------


def test_a_store_that_fails_is_not_asked_any_more(place: FaultStore) -> None:
    """Reads, puts and drops alike."""
    tier = StoreTier(place)
    place.down()
    for _ in range(50):
        with pytest.raises(UnavailableError):
            tier.get(KEY)
        with pytest.raises(UnavailableError):
            tier.delete(KEY)

    assert place.calls["get"] == place.calls["delete"] == 5
    with pytest.raises(CircuitOpenError):
        tier.get(KEY)


def test_a_full_store_still_drops(place: FaultStore) -> None:
    """What a write makes invalid must go, all the more where there is no room."""
    tier = StoreTier(place)
    tier.put(OTHER, entry_of(b"old"))
    place.fail("put", FullError)
    with pytest.raises(FullError):
        tier.put(KEY, entry_of(b"x"))
    with pytest.raises(CircuitOpenError):
        tier.put(KEY, entry_of(b"x"))

    tier.delete(OTHER)
    assert not is_there(place, OTHER)
    assert tier.get(OTHER) is None


def test_breakers_go_by_the_clock_of_their_tier(place: FaultStore) -> None:
    """As its copies do; both of them, for what is kept and what is dropped."""
    clock = FakeClock()
    policy = BreakerPolicy(failures=1, open=60.0)
    tier = StoreTier(place, breaker=policy, clock=clock)
    for verb in ("get", "delete"):
        place.fail(verb)
        for error in (UnavailableError, CircuitOpenError):
            assert outcome(tier, verb) is error

    clock.advance(67)
    assert outcomes(tier, "get", "delete") == [None, None]


def test_one_copy_that_stays_does_not_keep_others_from_being_dropped(
    place: FaultStore,
) -> None:
    """However often it is asked for."""
    tier = StoreTier(place)
    place.put(KEY, Body.of(b"garbage"))
    tier.put(OTHER, entry_of(b"x"))
    place.fail("delete", DeniedError, times=None, key=KEY)
    for _ in range(50):
        assert tier.get(KEY) is None

    tier.delete(OTHER)
    assert not is_there(place, OTHER)


@pytest.mark.parametrize(
    "options", [{"jitter": 1.5}, {"jitter": -0.1}, {"capacity": 0}, {"capacity": -1}]
)
def test_values_out_of_range_are_mistakes(options) -> None:
    """Told when it is made."""
    with pytest.raises(ConfigError, match=next(iter(options))):
        StoreTier(MemoryStore(), **options)


def test_a_tier_costs_nothing_before_it_is_used(place: FaultStore) -> None:
    """No call, no thread."""
    StoreTier(place, capacity=MIB).close()

    assert not place.calls


# -- directories that go wrong, and their neighbours ---------------------------


def outcome(tier: StoreTier, verb: str, key: Key = KEY) -> object:
    """Return what a verb answers, or what it raises."""
    try:
        if verb == "get":
            return content_of(tier.get(key))
        if verb == "put":
            return tier.put(key, entry_of(b"new"))
        return tier.delete(key)
    except StoreError as error:
        return type(error)


def outcomes(tier: StoreTier, *verbs: str) -> list[object]:
    return [outcome(tier, verb) for verb in verbs]


@pytest.mark.root
def test_a_full_directory_leaves_nothing_old(small_disk: Path) -> None:
    """The old copy goes, the others are served, and its room can be used again."""
    tier = StoreTier(FileSystemStore(str(small_disk)), breaker=None)
    tier.put(OTHER, entry_of(b"another"))
    tier.put(KEY, entry_of(b"old"))

    with pytest.raises(FullError):
        tier.put(KEY, entry_of(LARGE))

    assert tier.get(KEY) is None
    assert content_of(tier.get(OTHER)) == b"another"
    assert sorted(file.name for file in small_disk.rglob("*") if file.is_file()) == [
        "5.405x640.jpe"
    ]
    assert tier.put(KEY, entry_of(bytes(500_000)))


@pytest.mark.root
def test_a_disk_smaller_than_its_capacity_is_used_all_the_same(
    small_disk: Path,
) -> None:
    """What was put first makes room, as if the capacity had been right."""
    tier = StoreTier(FileSystemStore(str(small_disk)), capacity=10 * MIB, breaker=None)
    keys = [KEY._replace(width=number) for number in range(100)]
    refused = 0
    for key in keys:
        try:
            tier.put(key, entry_of(LARGE[:50_000]))
        except FullError:
            refused += 1
        assert tier._bound is not None
        assert tier._bound.settle(10)

    assert refused < 10
    assert sum(tier.get(key) is not None for key in keys[-20:]) > 15


@pytest.mark.root
def test_a_disk_without_room_for_names_is_full(small_disk: Path) -> None:
    """Many small copies use up what a few large ones do not."""
    tier = StoreTier(FileSystemStore(str(small_disk)), breaker=None)
    keys = [KEY._replace(object_id=number * 1001) for number in range(50)]
    found = [outcome(tier, "put", key) for key in keys]

    assert set(found) == {True, FullError}
    for key, kept in zip(keys, found, strict=True):
        assert (tier.get(key) is not None) == (kept is True)
        tier.delete(key)
    assert outcome(tier, "put", keys[0]) is True


@pytest.mark.root
def test_a_directory_that_became_read_only(small_disk: Path) -> None:
    """It serves what it has; whoever writes hears that nothing was dropped."""
    tier = StoreTier(FileSystemStore(str(small_disk)), breaker=None)
    tier.put(KEY, entry_of(b"old"))
    tier.put(OTHER, entry_of(b"x"))
    path = next(small_disk.rglob("5.*"))
    path.write_bytes(b"garbage")
    remount(small_disk, "ro")

    assert outcomes(tier, "get", "put", "delete") == [
        b"old",
        ReadOnlyError,
        ReadOnlyError,
    ]
    assert tier.get(OTHER) is None
    remount(small_disk, "rw")
    assert outcomes(tier, "delete", "get", "put", "get") == [None, None, True, b"new"]


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


def test_a_directory_that_is_gone(tmp_path: Path) -> None:
    """Whoever asks hears of it; it is not made again, as a disk may come back there."""
    place = tmp_path / "place"
    tier = StoreTier(FileSystemStore(str(place), create=True), breaker=None)
    tier.put(KEY, entry_of(b"old"))
    place.rename(tmp_path / "away")

    assert set(outcomes(tier, "get", "put", "delete")) == {MisconfiguredError}
    assert not place.exists()
    (tmp_path / "away").rename(place)
    assert outcomes(tier, "get", "put", "get") == [b"old", True, b"new"]


def test_a_directory_that_is_emptied(tmp_path: Path) -> None:
    """As somebody does who wants the room: a miss, and it fills again."""
    tier = StoreTier(FileSystemStore(str(tmp_path)), capacity=MIB, breaker=None)
    tier.put(KEY, entry_of(b"old"))
    shutil.rmtree(tmp_path / "testing")

    assert outcomes(tier, "get", "delete", "put", "get") == [None, None, True, b"new"]


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    """Nothing is there, nothing can be put there, and others do not mind."""
    tier = StoreTier(FileSystemStore(str(tmp_path)), breaker=None)
    (tmp_path / "testing").write_bytes(b"")

    assert outcomes(tier, "get", "put", "delete") == [None, MisconfiguredError, None]


def test_a_folder_in_place_of_a_copy(tmp_path: Path) -> None:
    """It is a miss, and whoever wants it gone is told that it is not."""
    tier = StoreTier(FileSystemStore(str(tmp_path)))
    (tmp_path / NAME).mkdir(parents=True)

    assert outcomes(tier, "get", "get") == [None, None]
    assert outcome(tier, "put") is MisconfiguredError
    assert outcome(tier, "get") is None
    with pytest.raises(StoreError):
        tier.delete(KEY)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_file_at_all(tmp_path: Path, make) -> None:
    """A pipe, which would never answer, or a link that leads nowhere."""
    tier = StoreTier(FileSystemStore(str(tmp_path)), breaker=None)
    (tmp_path / NAME).parent.mkdir(parents=True)
    make(tmp_path / NAME)

    assert outcomes(tier, "get", "put", "get") == [None, True, b"new"]


@pytest.mark.parametrize("damage", [b"", b"garbage" * 100, bytes(9 * MIB)])
def test_a_file_that_was_overwritten(tmp_path: Path, damage: bytes) -> None:
    """By something else, in place: a miss that heals."""
    tier = StoreTier(FileSystemStore(str(tmp_path)), breaker=None)
    tier.put(KEY, entry_of(LARGE))
    (tmp_path / NAME).write_bytes(damage)

    assert outcomes(tier, "get") == [None]
    assert not (tmp_path / NAME).exists()
    assert outcomes(tier, "put", "get") == [True, b"new"]


def test_what_may_not_be_touched_is_told() -> None:
    """Neither absence nor silence; what may be read is read."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        tier = StoreTier(FileSystemStore(name), breaker=None)
        tier.put(KEY, entry_of(b"old"))
        denied = as_nobody(lambda: outcomes(tier, "get", "put", "delete", "get"))
        (Path(name) / NAME).chmod(0)
        secret = as_nobody(lambda: outcomes(tier, "get", "put", "delete"))

    assert denied == [b"old", DeniedError, DeniedError, b"old"]
    assert secret == [DeniedError] * 3


def share(folder: Path, seed: int, turns: int = 2_000) -> subprocess.Popen[str]:
    """Start a process that uses the directory."""
    options = ["--seed", str(seed), "--turns", str(turns)]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.sharers", str(folder), *options],
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process: subprocess.Popen[str]) -> dict[str, int]:
    """Return what it saw, once it has ended well."""
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    return dict(json.loads(out.splitlines()[-1]))


def test_processes_that_share_a_directory(tmp_path: Path) -> None:
    """No wrong byte, whoever puts, drops or evicts, and all of them in its bounds."""
    both = [share(tmp_path, seed) for seed in (1, 2)]
    seen = [result(process) for process in both]

    for counts in seen:
        assert counts["hits"] > 150
        assert counts["misses"] > 50
        assert counts["kept"] > 500
    assert size_of(tmp_path) <= sharers.CAPACITY + 2 * sharers.LARGEST


def size_of(folder: Path) -> int:
    files = [path for path in folder.rglob("*.png") if path.is_file()]
    return sum(path.stat().st_size for path in files)


def test_a_process_that_is_killed_leaves_no_wrong_bytes(tmp_path: Path) -> None:
    """Whatever it was in the middle of, another one goes on."""
    lasting = share(tmp_path, 3)
    for seed in range(4, 8):
        with share(tmp_path, seed, turns=1_000_000) as victim:
            assert victim.stdout is not None
            assert victim.stdout.readline() == "ready\n"
            with contextlib.suppress(subprocess.TimeoutExpired):
                victim.wait(0.2 + seed / 50)
            assert victim.poll() is None
            victim.kill()
    assert result(lasting)["hits"] > 50

    after = share(tmp_path, 9)
    assert result(after)["hits"] > 50
    assert size_of(tmp_path) <= sharers.CAPACITY + sharers.LARGEST
