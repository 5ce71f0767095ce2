"""
Hits in Redis, and the checking of a hit in memory against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

from benchmarks import peers
from benchmarks.bench import Bench
from benchmarks.raw import RawClient
from benchmarks.results import OURS, Goal, Row
from benchmarks.sampling import Sample, awaited, timed
from benchmarks.stacks import (
    SIZES,
    content_of,
    filled,
    key_of,
    memory_tier,
    name_of,
    redis_tier,
)


_GOALS = {"1 KB": 0.65, "100 KB": 0.75, "1 MB": 1.1}
_STRONG_GOALS = {"1 MB": 0.08}
_KEY, _NAME = key_of(0), name_of(0)


def rows(bench: Bench) -> Iterator[Row]:
    """Measure each size, read whole."""
    with bench.steadily():
        for size, length in SIZES.items():
            yield _hit(bench, size, content_of(length))
        for size in ("100 KB", "1 MB"):
            yield _strong(bench, size, content_of(SIZES[size]))


def _hit(bench: Bench, size: str, content: bytes) -> Row:
    return bench.compare(
        f"Redis hit, {size}, checksum included",
        {
            "redis-py GET": lambda bench: _redis_py(bench, content),
            OURS: lambda bench: _ours(bench, content),
            "its tier alone": lambda bench: _tier(bench, content),
            "raw socket": lambda bench: _raw(bench, content),
            "minimalkv open": lambda bench: _minimalkv(bench, content),
            "dogpile get": lambda bench: _dogpile(bench, content),
            "dogpile get_or_create": lambda bench: _dogpile_creator(bench, content),
            "cashews get": lambda bench: _cashews(bench, content),
        },
        floor="redis-py GET",
        goal=Goal(kind="ratio", limit=_GOALS[size]),
        note="whole CachedStore with a Redis tier only, get_file and read",
    )


def _strong(bench: Bench, size: str, content: bytes) -> Row:
    limit = _STRONG_GOALS.get(size)
    return bench.compare(
        f"strong read of a memory hit, {size}",
        {
            "redis-py GET": lambda bench: _redis_py(bench, content),
            OURS: lambda bench: _validated(bench, content),
        },
        floor="redis-py GET",
        goal=None if limit is None else Goal(kind="ratio", limit=limit),
        note="the version is asked for and the bytes are not moved",
    )


def _redis_py(bench: Bench, content: bytes) -> Sample:
    client = bench.keep(bench.server.client())
    client.set("plain", content)
    return timed("BytesIO(get('plain')).read()", bench.seconds, **_names(client.get))


def _raw(bench: Bench, content: bytes) -> Sample:
    with bench.server.client() as client:
        client.set("raw", content)
    raw = bench.keep(RawClient(bench.server.port))
    return timed("get(b'raw')", bench.seconds, **_names(raw.get))


def _ours(bench: Bench, content: bytes) -> Sample:
    store = bench.keep(filled([content], redis_tier(bench)))
    names = {"get_file": store.get_file, "key": _KEY}
    return timed("get_file(*key).read()", bench.seconds, **names)


def _tier(bench: Bench, content: bytes) -> Sample:
    tier = redis_tier(bench)
    bench.keep(filled([content], tier))
    names = {"look": tier.look, "key": _KEY}
    return timed("look(key).entry.body.read()", bench.seconds, **names)


def _validated(bench: Bench, content: bytes) -> Sample:
    tiers = memory_tier([content]), redis_tier(bench)
    store = bench.keep(filled([content], *tiers, strong=True))
    names = {"get_file": store.get_file, "key": _KEY}
    return timed("get_file(*key).read()", bench.seconds, **names)


def _minimalkv(bench: Bench, content: bytes) -> Sample:
    cache = peers.minimalkv(bench.keep(bench.server.client()))
    cache.cache.put(_NAME, content)
    return timed("get(name).read()", bench.seconds, **_names(cache.open))


def _dogpile(bench: Bench, content: bytes) -> Sample:
    region = peers.dogpile(bench)
    region.set(_NAME, content)
    return timed("get(name)", bench.seconds, **_names(region.get))


def _dogpile_creator(bench: Bench, content: bytes) -> Sample:
    region = peers.dogpile(bench)
    region.set(_NAME, content)
    names = _names(region.get_or_create)
    return timed("get(name, bytes)", bench.seconds, **names)


def _cashews(bench: Bench, content: bytes) -> Sample:
    cache = peers.cashews(bench)
    bench.loop.run_until_complete(cache.set("cashews", content))
    return awaited(lambda: cache.get("cashews"), bench.seconds, bench.loop)


def _names(get: object) -> dict[str, object]:
    return {"get": get, "name": _NAME, "BytesIO": BytesIO}
