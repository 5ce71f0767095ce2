"""No byte that differs from what was put is handed out."""

from __future__ import annotations

import hashlib
import random

from collections.abc import Callable
from pathlib import Path

import pytest
import xxhash

from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.errors import (
    ConfigError,
    CorruptError,
    UnavailableError,
    UnsupportedError,
)
from tiered_store.framing import PIECE
from tiered_store.key import Key
from tiered_store.testing import FaultStore
from tiered_store.wrappers.verified import VerifiedStore


KEY = Key("comics.cover", 1, 30, 40, "image/png")
OTHER = KEY._replace(object_id=2)
LARGE = random.Random(1).randbytes(3 * PIECE + 17)


@pytest.fixture
def child() -> MemoryStore:
    return MemoryStore(base_url="https://x/")


@pytest.mark.parametrize("algorithm", ["xxh3", "sha256"])
@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE])
def test_every_size_comes_back(child: MemoryStore, algorithm: str, size: int) -> None:
    """Also none, and those at the border of two pieces."""
    store = VerifiedStore(child, algorithm=algorithm)  # type: ignore[arg-type]
    store.put(KEY, Body.of(LARGE[:size]))
    assert store.get(KEY).size == size
    assert store.get(KEY).read() == LARGE[:size]
    assert store.stat(KEY).size == size


def test_a_body_is_read_from_anywhere(child: MemoryStore) -> None:
    """Seeking needs no reading of what lies before."""
    store = VerifiedStore(child)
    store.put(KEY, Body.of(LARGE))
    body = store.get(KEY)
    for offset in (0, 5, PIECE - 1, PIECE, 2 * PIECE + 1, len(LARGE) - 1, len(LARGE)):
        with body.open(offset) as file:
            assert file.read() == LARGE[offset:]
    with body.open() as file:
        file.seek(-7, 2)
        assert file.read(3) == LARGE[-7:-4]
        file.seek(PIECE - 2)
        assert file.read(4) == LARGE[PIECE - 2 : PIECE + 2]


def test_what_is_stored_can_be_read_twice(child: MemoryStore) -> None:
    """A retry, or another replica, gets the same bytes from the same put."""
    seen = []

    class Twice(MemoryStore):
        def _put(self, key: Key, body: Body, reproducible: bool) -> None:
            seen.append((body.size, body.read(), b"".join(body.chunks(1000))))
            with body.open(PIECE + 100) as file:
                seen.append((0, file.read(), seen[0][1][PIECE + 100 :]))

    VerifiedStore(Twice()).put(KEY, Body.of(LARGE))
    (size, once, again), (_, tail, expected) = seen
    assert len(once) == size
    assert once == again
    assert tail == expected


@pytest.mark.parametrize(
    ("algorithm", "number", "digest"),
    [
        ("xxh3", 1, lambda content: xxhash.xxh3_128_digest(content)),
        ("sha256", 2, lambda content: hashlib.sha256(content).digest()[:16]),
    ],
)
def test_the_format_is_what_it_says(
    child: MemoryStore,
    algorithm: str,
    number: int,
    digest: Callable[[bytes], bytes],
) -> None:
    """Frozen: what is stored today is checked by its description for ever."""
    store = VerifiedStore(child, algorithm=algorithm)  # type: ignore[arg-type]
    store.put(KEY, Body.of(LARGE[: PIECE + 5]))
    stored = child.get(KEY).read()
    header = stored[:32]
    assert header[:16] == b"TSv1" + bytes([number, 0, 0, 0]) + (PIECE + 5).to_bytes(8)
    named = header + b"comics.cover/1/30x40.png"
    first, last = LARGE[:PIECE], LARGE[PIECE : PIECE + 5]
    assert stored[32:] == b"".join(
        (
            first,
            digest(named + (0).to_bytes(8) + b"\0" + first),
            last,
            digest(named + (1).to_bytes(8) + b"\1" + last),
        )
    )


@pytest.mark.parametrize("size", [0, 100, len(LARGE)])
def test_no_flipped_byte_gets_through(child: MemoryStore, size: int) -> None:
    """Wherever it is: in the header, in the content, in a digest."""
    store = VerifiedStore(child)
    store.put(KEY, Body.of(LARGE[:size]))
    stored = child.get(KEY).read()
    places = {*range(min(len(stored), 200)), *range(0, len(stored), 40_001)}
    for place in {*places, len(stored) - 1}:
        wrong = bytearray(stored)
        wrong[place] ^= 1
        child.put(KEY, Body.of(bytes(wrong)))
        with pytest.raises(CorruptError):
            store.get(KEY).read()


@pytest.mark.parametrize("size", [100, 2 * PIECE, len(LARGE)])
def test_nothing_cut_off_gets_through(child: MemoryStore, size: int) -> None:
    """Not even at a border, and it is told before anything was handed out."""
    store = VerifiedStore(child)
    store.put(KEY, Body.of(LARGE[:size]))
    stored = child.get(KEY).read()
    border = 32 + PIECE + 16
    for kept in {0, 3, 32, 40, border, border * 2, len(stored) - 1} - {len(stored)}:
        child.put(KEY, Body.of(stored[:kept]))
        if kept < len(stored):
            with pytest.raises(CorruptError):
                store.get(KEY)
    child.put(KEY, Body.of(stored + b"more"))
    with pytest.raises(CorruptError):
        store.get(KEY)


def test_pieces_of_two_puts_do_not_mix(child: MemoryStore) -> None:
    """A server that answers half from one version is found out."""
    store = VerifiedStore(child)
    store.put(KEY, Body.of(LARGE))
    first = child.get(KEY).read()
    store.put(KEY, Body.of(LARGE))
    second = child.get(KEY).read()
    child.put(KEY, Body.of(first[: 32 + PIECE + 16] + second[32 + PIECE + 16 :]))
    body = store.get(KEY)
    with body.open() as file:
        assert file.read(PIECE) == LARGE[:PIECE]
        with pytest.raises(CorruptError, match=f"bytes {PIECE} to {2 * PIECE}"):
            file.read(1)


def test_another_objects_bytes_do_not_pass(child: MemoryStore) -> None:
    """What is whole but belongs elsewhere is as wrong as what is torn."""
    store = VerifiedStore(child)
    store.put(KEY, Body.of(b"mine"))
    child.put(OTHER, child.get(KEY))
    with pytest.raises(CorruptError):
        store.get(OTHER)


def test_what_was_stored_without_digests_is_refused(child: MemoryStore) -> None:
    """It cannot be told from damage."""
    store = VerifiedStore(child)
    for plain in (b"", b"plain", b"TSv1", b"TSv1\xff" + bytes(40)):
        child.put(KEY, Body.of(plain))
        with pytest.raises(CorruptError):
            store.get(KEY)


def test_the_algorithm_may_change(child: MemoryStore) -> None:
    """An object says itself how it was stored."""
    VerifiedStore(child, algorithm="sha256").put(KEY, Body.of(b"old"))
    store = VerifiedStore(child)
    assert store.get(KEY).read() == b"old"
    assert store.stat(KEY).size == 3


def test_an_outage_is_not_corruption(child: MemoryStore) -> None:
    """A body that dies says so, at get or while it is read."""
    faulty = FaultStore(child)
    store = VerifiedStore(faulty)
    store.put(KEY, Body.of(LARGE))
    faulty.tear(100)
    with pytest.raises(UnavailableError):
        store.get(KEY)
    faulty.tear(2 * PIECE)
    body = store.get(KEY)
    with pytest.raises(UnavailableError):
        body.read()
    del body
    assert faulty.open_readers == 0


@pytest.mark.parametrize(
    "use", [lambda body: None, lambda body: body.open().close(), Body.read]
)
def test_nothing_stays_open(child: MemoryStore, use: Callable[[Body], object]) -> None:
    """Whether a body is read or not; and it costs one reader, not two."""
    faulty = FaultStore(child)
    store = VerifiedStore(faulty)
    store.put(KEY, Body.of(LARGE))
    body = store.get(KEY)
    assert faulty.open_readers == 1
    use(body)
    del body
    assert faulty.open_readers == 0


def test_closing_a_reader_closes_what_it_reads(child: MemoryStore) -> None:
    """At once, also while somebody still holds it."""
    faulty = FaultStore(child)
    store = VerifiedStore(faulty)
    store.put(KEY, Body.of(LARGE))
    with store.get_file(*KEY) as file:
        assert file.read(5) == LARGE[:5]
        assert faulty.open_readers == 1
    assert faulty.open_readers == 0


def test_a_large_object_needs_memory_for_a_piece(tmp_path: Path) -> None:
    """Storing and reading go piece by piece."""
    import tracemalloc

    size = 24 * 1024 * 1024
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(size)
    store = VerifiedStore(FileSystemStore(tmp_path / "root", create=True))
    tracemalloc.start()
    try:
        with path.open("rb") as file:
            store.put_file(file, *KEY, False)
        with store.get_file(*KEY) as file:
            total = sum(len(piece) for piece in iter(lambda: file.read(100_000), b""))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == size
    assert peak < 4 * 1024 * 1024


def test_there_are_no_urls(child: MemoryStore) -> None:
    """A browser would see the digests."""
    store = VerifiedStore(child)
    assert "url" not in store.capabilities()
    with pytest.raises(UnsupportedError):
        store.url(KEY)


def test_an_unknown_algorithm_is_named() -> None:
    """At construction, not at the first put."""
    with pytest.raises(ConfigError, match="algorithm"):
        VerifiedStore(MemoryStore(), algorithm="md5")  # type: ignore[arg-type]
