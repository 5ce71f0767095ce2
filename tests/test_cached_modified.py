"""When an object was modified is told of a copy as of the object, wherever it is."""

from __future__ import annotations

import os
import random
import struct

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import xxhash

from tests.servers.redis import RedisServer
from tests.waiting import PATIENT, until
from tests.webs import asgi_server, wsgi_server
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.body import Body
from tiered_store.key import Key
from tiered_store.layout import object_name, path_name
from tiered_store.testing.faults import FaultStore
from tiered_store.tiers.memory import MemoryTier
from tiered_store.tiers.redis import RedisTier
from tiered_store.tiers.store import StoreTier
from tiered_store.tiers.tier import Entry, Record
from tiered_store.units import MIB
from tiered_store.web.asgi import ASGIFace
from tiered_store.web.site import Site
from tiered_store.web.wsgi import WSGIFace
from tiered_store.wrappers.cached import CachedStore


KEY = Key("comics.cover", 1234, 405, 640, "image/jpeg")
LONG_AGO = 1_600_000_000.25
SMALL = random.Random(1).randbytes(10_000)
LARGE = random.Random(2).randbytes(9 * MIB)


class Cache:
    """A cache of one tier over a directory, whose files are of long ago."""

    def __init__(self, folder: Path, *tiers: Any) -> None:
        self.folder = folder
        self.origin = FaultStore(FileSystemStore(str(folder), create=True))
        self.store = CachedStore(self.origin, tiers)

    def put(self, content: bytes) -> None:
        self.store.put(KEY, Body.of(content))
        os.utime(self.folder / path_name(KEY), (LONG_AGO, LONG_AGO))

    def is_hit(self) -> bool:
        asked = self.origin.calls["get"]
        for piece in self.store.get(KEY).chunks():
            assert piece
        return self.origin.calls["get"] == asked


Make = Callable[[], Any]


@pytest.fixture(
    params=["memory", "directory", pytest.param("redis", marks=pytest.mark.servers)]
)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Make a tier; those made in one test are in one place."""
    if request.param == "memory":
        return MemoryTier
    if request.param == "directory":
        place = str(tmp_path / "cache")
        return lambda: StoreTier(FileSystemStore(place, create=True))
    server: RedisServer = request.getfixturevalue("redis_server")
    return lambda: RedisTier(server.url, prefix=f"{tmp_path.name}:", **PATIENT)


@pytest.fixture
def cache(make: Make, tmp_path: Path) -> Iterator[Cache]:
    cache = Cache(tmp_path / "origin", make())
    yield cache
    cache.store.close()


def test_a_copy_says_when_its_object_was_modified(cache: Cache) -> None:
    """To the microsecond, as who asks the origin is told."""
    cache.put(SMALL)
    cold = cache.store.get(KEY).stat()
    until(cache.is_hit)

    assert cache.store.get(KEY).stat() == cold == cache.store.stat(KEY)
    assert cold.modified == LONG_AGO


def test_a_large_copy_does_so_too(tmp_path: Path) -> None:
    """It is not as old as the file that it is in."""
    place = FileSystemStore(str(tmp_path / "cache"), create=True)
    cache = Cache(tmp_path / "origin", StoreTier(place))
    cache.put(LARGE)
    cold = cache.store.get(KEY).stat()
    until(cache.is_hit)

    assert cache.store.get(KEY).stat() == cold
    assert cold.modified == LONG_AGO
    cache.store.close()


def test_an_origin_that_does_not_know_is_not_made_to(make: Make) -> None:
    """Nobody makes up a time."""
    tier = make()
    record = Record(since=5.0, size=5)

    tier.put(KEY, Entry(record, Body.of(b"bytes")))

    kept = tier.get(KEY)
    assert kept.record.modified is None
    assert kept.body.stat().modified is None
    tier.close()


def test_a_client_is_told_the_same_of_a_copy(cache: Cache) -> None:
    """By HTTP, and a copy that it has is not sent again, whoever it got it from."""
    cache.put(SMALL)
    faces = {wsgi_server: WSGIFace, asgi_server: ASGIFace}
    answers = []
    for server, face in faces.items():
        with server(face(Site(cache.store))) as where:
            url = where + object_name(KEY)
            answers.append(httpx.get(url))
            until(cache.is_hit)
            answers.append(httpx.get(url))
            since = {"If-Modified-Since": answers[0].headers["Last-Modified"]}
            unchanged = httpx.get(url, headers=since)
            assert (unchanged.status_code, unchanged.content) == (304, b"")

    assert {one.content for one in answers} == {SMALL}
    assert {one.headers["Last-Modified"] for one in answers} == {
        "Sun, 13 Sep 2020 12:26:40 GMT"
    }
    assert len({one.headers["ETag"] for one in answers}) == 1


def test_a_large_copy_has_the_tag_of_its_object(tmp_path: Path) -> None:
    """So a download goes on with a range of the copy that it began with the origin."""
    place = FileSystemStore(str(tmp_path / "cache"), create=True)
    cache = Cache(tmp_path / "origin", StoreTier(place))
    cache.put(LARGE)
    with wsgi_server(WSGIFace(Site(cache.store))) as where:
        url = where + object_name(KEY)
        cold = httpx.get(url)
        until(cache.is_hit)
        rest = {"Range": f"bytes={5 * MIB}-", "If-Range": cold.headers["ETag"]}
        warm = httpx.get(url, headers=rest)

    assert warm.status_code == 206
    assert warm.content == LARGE[5 * MIB :]
    assert warm.headers["Last-Modified"] == cold.headers["Last-Modified"]
    cache.store.close()


# -- what older releases have stored -------------------------------------------------


def of_old(name: str, content: bytes) -> bytes:
    """Return a valid header of the format before, which had no such time."""
    facts = struct.pack(
        "<dddQQQQBB62s",
        *(5.0, float("inf"), 0.1, 77, len(content)),
        *(xxhash.xxh3_64_intdigest(content), 0, 0, 0, b""),
    )
    check = xxhash.xxh3_64_intdigest(facts + name.encode()) & 0xFFFFFFFF
    return struct.pack("<4sI", b"TSc2", check) + facts


def test_a_directory_of_the_format_before_heals(tmp_path: Path) -> None:
    """Its copies are misses, and replaced."""
    place = FileSystemStore(str(tmp_path / "cache"), create=True)
    cache = Cache(tmp_path / "origin", StoreTier(place))
    cache.put(SMALL)
    place.put(KEY, Body.of(of_old(object_name(KEY), SMALL) + SMALL + bytes(16)))

    assert not cache.is_hit()
    assert cache.is_hit()
    assert cache.store.get(KEY).stat().modified == LONG_AGO
    cache.store.close()


@pytest.mark.servers
def test_a_server_of_the_format_before_heals(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    """The same where processes of both releases share it."""
    prefix = f"{tmp_path.name}:"
    cache = Cache(
        tmp_path / "origin", RedisTier(redis_server.url, prefix=prefix, **PATIENT)
    )
    cache.put(SMALL)
    stored = f"{prefix}{{:{object_name(KEY)}}}"
    old = {"h": of_old(object_name(KEY), SMALL), "d": SMALL}
    redis_server.client().hset(stored, mapping=old)

    assert not cache.is_hit()
    assert cache.is_hit()
    assert redis_server.client().hget(stored, "h")[:4] == b"TSc3"
    cache.store.close()
