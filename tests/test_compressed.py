"""Fewer bytes underneath, the same ones above."""

from __future__ import annotations

import io
import random
import tracemalloc

from collections.abc import Callable
from pathlib import Path

import pytest

from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.compression import Algorithm
from tiered_store.errors import (
    ConfigError,
    CorruptError,
    UnavailableError,
    UnsupportedError,
)
from tiered_store.key import Key
from tiered_store.testing import FaultStore
from tiered_store.wrappers.compressed import CompressedStore


PAGE = Key("page", 1, 0, 0, "text/html")
PHOTO = Key("photo", 1, 30, 40, "image/jpeg")
CHANCE = random.Random(1)
NOISE = CHANCE.randbytes(300_000)
WORDS = [CHANCE.randbytes(4).hex().encode() for _ in range(2000)]
TEXT = b"first line\n" + b" ".join(CHANCE.choices(WORDS, k=110_000))
SHORT = TEXT[:100_000]
MAGIC = b"\x93TSc1\r\n\x1a"

both = pytest.mark.parametrize("algorithm", ["zlib", "lzma"])


@pytest.fixture
def child() -> MemoryStore:
    return MemoryStore(base_url="https://x/")


@both
@pytest.mark.parametrize("size", [0, 1, 30, 500, 256 * 1024, len(TEXT)])
def test_every_size_comes_back(
    child: MemoryStore, algorithm: Algorithm, size: int
) -> None:
    """Also what is too small to become smaller."""
    store = CompressedStore(child, algorithm=algorithm)
    store.put(PAGE, Body.of(TEXT[:size]))
    assert store.get(PAGE).read() == TEXT[:size]
    assert store.get(PAGE).size == store.stat(PAGE).size == size
    assert child.stat(PAGE).size <= size


@both
def test_a_text_takes_a_fraction(child: MemoryStore, algorithm: Algorithm) -> None:
    """Or it would not be worth it; a level says how small."""
    sizes = []
    for level in (1, 9):
        CompressedStore(child, algorithm=algorithm, level=level).put(
            PAGE, Body.of(TEXT)
        )
        sizes.append(child.stat(PAGE).size)
    assert len(TEXT) / 2 > sizes[0] > sizes[1]


@both
def test_a_body_is_read_from_anywhere(child: MemoryStore, algorithm: Algorithm) -> None:
    """Forward, back, and by two readers at once."""
    store = CompressedStore(child, algorithm=algorithm)
    store.put(PAGE, Body.of(TEXT))
    body = store.get(PAGE)
    for offset in (0, 5, 300_000, len(TEXT) - 1, len(TEXT), len(TEXT) + 5):
        with body.open(offset) as file:
            assert file.read() == TEXT[offset:]
    with body.open() as one, body.open(700_000) as two:
        assert one.read(10) == TEXT[:10]
        assert two.read(10) == TEXT[700_000:700_010]
        two.seek(3)
        assert two.read(4) == TEXT[3:7]
        one.seek(-5, 2)
        assert one.read() == TEXT[-5:]
        one.seek(0)
        assert one.readline() == b"first line\n"


def test_what_does_not_shrink_is_stored_as_it_is(child: MemoryStore) -> None:
    """So that nothing is lost by trying."""
    CompressedStore(child).put(PAGE, Body.of(NOISE))
    assert child.get(PAGE).read() == NOISE


def test_what_is_compressed_already_is_not_tried(child: MemoryStore) -> None:
    """And can be shown by its URL, which anything else cannot."""
    store = CompressedStore(child)
    store.put(PHOTO, Body.of(TEXT))
    assert child.get(PHOTO).read() == TEXT
    assert store.get(PHOTO).read() == TEXT
    assert store.url(PHOTO) == child.url(PHOTO)
    with pytest.raises(UnsupportedError, match="text/html"):
        store.url(PAGE)
    everything = CompressedStore(child, skip=[])
    everything.put(PHOTO, Body.of(TEXT))
    assert child.stat(PHOTO).size < len(TEXT)
    assert "url" in store.capabilities()
    assert "url" not in everything.capabilities()


def test_what_was_there_before_is_returned_as_it_is(child: MemoryStore) -> None:
    """The wrapper can be put around a store that is in use, and taken off again."""
    child.put(PAGE, Body.of(TEXT))
    store = CompressedStore(child)
    body = store.get(PAGE)
    assert body.read() == body.read() == TEXT
    assert body.version == child.get(PAGE).version
    with store.get(PAGE).open(7) as file:
        assert file.read() == TEXT[7:]


@pytest.mark.parametrize("key", [PAGE, PHOTO])
@pytest.mark.parametrize("content", [MAGIC, MAGIC + b"x", MAGIC + NOISE])
def test_an_object_may_look_compressed(
    child: MemoryStore, key: Key, content: bytes
) -> None:
    """One that begins as ours do, such as one of ours, is not expanded twice."""
    store = CompressedStore(child)
    store.put(key, Body.of(content))
    assert store.get(key).read() == content
    assert store.stat(key).size == len(content)


def test_two_of_them_can_be_nested(child: MemoryStore) -> None:
    """By mistake, in a large configuration."""
    store = CompressedStore(CompressedStore(child))
    store.put(PAGE, Body.of(TEXT))
    assert store.get(PAGE).read() == TEXT


@both
def test_the_algorithm_may_change(child: MemoryStore, algorithm: Algorithm) -> None:
    """An object says itself how it was stored."""
    CompressedStore(child, algorithm=algorithm).put(PAGE, Body.of(TEXT))
    for other in ("zlib", "lzma"):
        store = CompressedStore(child, algorithm=other)  # type: ignore[arg-type]
        assert store.get(PAGE).read() == TEXT


def damaged(stored: bytes) -> dict[str, bytes]:
    return {
        "cut": stored[:-1],
        "cut in half": stored[: len(stored) // 2],
        "no header": stored[:20],
        "no stream": stored[:24],
        "flipped": stored[:3000] + bytes([stored[3000] ^ 1]) + stored[3001:],
        "checksum": stored[:-1] + bytes([stored[-1] ^ 1]),
        "unknown": stored[:8] + b"\x09" + stored[9:],
        "too long": stored[:23] + bytes([stored[23] - 1]) + stored[24:],
        "too short": stored[:23] + bytes([stored[23] + 1]) + stored[24:],
    }


@both
def test_damage_is_noticed_by_the_last_byte(
    child: MemoryStore, algorithm: Algorithm
) -> None:
    """No reader comes to the end of what is not what was stored."""
    store = CompressedStore(child, algorithm=algorithm)
    store.put(PAGE, Body.of(TEXT))
    for name, wrong in damaged(child.get(PAGE).read()).items():
        child.put(PAGE, Body.of(wrong))
        with pytest.raises(CorruptError):
            raise AssertionError(f"{name}: {store.get(PAGE).read()[:9]!r}")


@both
def test_an_outage_is_not_damage(child: MemoryStore, algorithm: Algorithm) -> None:
    """A body that dies says so, and leaves nothing open."""
    faulty = FaultStore(child)
    store = CompressedStore(faulty, algorithm=algorithm)
    store.put(PAGE, Body.of(TEXT))
    for at in (4, 2000):
        faulty.tear(at)
        with pytest.raises(UnavailableError):
            store.get(PAGE).read()
    assert faulty.open_readers == 0


@both
@pytest.mark.parametrize("before_end", range(1, 13))
def test_the_end_may_come_in_drops(
    child: MemoryStore, algorithm: Algorithm, before_end: int
) -> None:
    """A checksum that arrives after the last byte was expanded is waited for."""
    faulty = FaultStore(child)
    store = CompressedStore(faulty, algorithm=algorithm)
    store.put(PAGE, Body.of(SHORT))
    faulty.stall(child.stat(PAGE).size - before_end).release()
    assert store.get(PAGE).read() == SHORT


def test_closing_a_reader_closes_what_it_reads(child: MemoryStore) -> None:
    """At once, also while somebody still holds it."""
    faulty = FaultStore(child)
    store = CompressedStore(faulty)
    store.put(PAGE, Body.of(TEXT))
    with store.get_file(*PAGE) as file:
        assert file.read(5) == TEXT[:5]
        assert faulty.open_readers == 1
    assert faulty.open_readers == 0


@pytest.mark.parametrize("content", [TEXT, NOISE, MAGIC + b"x"])
@pytest.mark.parametrize(
    "use", [lambda body: None, lambda body: body.open().close(), Body.read, Body.stat]
)
def test_nothing_stays_open(
    child: MemoryStore, content: bytes, use: Callable[[Body], object]
) -> None:
    """Whether a body is read or not; and it is asked for once."""
    faulty = FaultStore(child)
    store = CompressedStore(faulty)
    store.put(PAGE, Body.of(content))
    use(store.get(PAGE))
    store.stat(PAGE)
    child.put(PAGE, Body.of(MAGIC))
    with pytest.raises(CorruptError):
        store.get(PAGE)
    assert faulty.open_readers == 0
    assert faulty.calls["get"] == 3


@both
def test_large_objects_need_little_memory(tmp_path: Path, algorithm: Algorithm) -> None:
    """Neither storing nor expanding, however well it was compressed."""
    store = CompressedStore(
        FileSystemStore(tmp_path / "root", create=True), algorithm=algorithm, level=0
    )
    size = 20 * 1024 * 1024
    tracemalloc.start()
    try:
        store.put_file(Zeros(size), *PAGE, False)
        with store.get_file(*PAGE) as file:
            total = sum(len(piece) for piece in iter(lambda: file.read(99_999), b""))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == size
    assert peak < 18 * 1024 * 1024  # two spools of 8 MiB


class Zeros(io.RawIOBase):
    """So many zeros, and not in memory."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1) -> bytes:
        given = min(self._left, size if size >= 0 else 1 << 20)
        self._left -= given
        return bytes(given)


@pytest.mark.parametrize(
    "options", [{"algorithm": "zip"}, {"level": 10}, {"level": -1}]
)
def test_wrong_options_are_named(options: dict[str, object]) -> None:
    """At construction, not at the first put."""
    with pytest.raises(ConfigError, match=next(iter(options))):
        CompressedStore(MemoryStore(), **options)  # type: ignore[arg-type]
