"""
Filling Redis after a miss, and writing through a cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

from benchmarks import peers
from benchmarks.bench import Bench
from benchmarks.results import OURS, Goal, Row
from benchmarks.sampling import Sample, calibrated, timed
from benchmarks.stacks import (
    content_of,
    entry_of,
    filled,
    key_of,
    name_of,
    redis_tier,
)
from benchmarks.steady import spent


_BODY = content_of(1_000_000)
_SMALL = content_of(100_000)
_NAME = name_of(0)
Prepare = Callable[[int], Callable[[], Any]]  # of what comes next, not timed


def rows(bench: Bench) -> Iterator[Row]:
    """Measure what a caller waits for, then what the server works."""
    with bench.steadily():
        yield from _fills(bench)
        yield _puts(bench)


def _fills(bench: Bench) -> Iterator[Row]:
    yield bench.compare(
        "guarded fill of 1 MB",
        {
            "redis-py SET": lambda bench: _timed(bench, _plain_set(bench)),
            OURS: lambda bench: _timed(bench, _guarded_fill(bench)),
            "minimalkv put": lambda bench: _timed(bench, _minimalkv_put(bench)),
            "dogpile set": lambda bench: _timed(bench, _dogpile_set(bench)),
        },
        floor="redis-py SET",
        goal=Goal(kind="ratio", limit=1.15),
        note="staged, and renamed into place if the lease still holds; only ours is "
        "guarded; taking the lease is not counted, as a miss takes it",
    )
    yield bench.compare(
        "server's processor time of such a fill",
        {
            "redis-py SET": lambda bench: _served(bench, _plain_set(bench)),
            OURS: lambda bench: _served(bench, _guarded_fill(bench)),
        },
        floor="redis-py SET",
        goal=Goal(kind="ratio", limit=1.2),
        note="its main thread, as INFO tells",
    )


def _puts(bench: Bench) -> Row:
    return bench.compare(
        "put of 100 KB that purges before and after",
        {
            "redis-py DEL, twice": _two_deletes,
            OURS: _put,
            "minimalkv put": _minimalkv_write,
        },
        floor="redis-py DEL, twice",
        note="an origin in memory; DEL guards against nothing, minimalkv purges once",
    )


def _timed(bench: Bench, prepare: Prepare) -> Sample:
    """Time what *prepare* returns, and not itself."""

    def run(number: int) -> float:
        seconds = 0.0
        for turn in range(number):
            work = prepare(turn % 8)
            began = spent()
            work()
            seconds += spent() - began
        return seconds

    return calibrated(run, 4 * bench.seconds)


def _served(bench: Bench, prepare: Prepare) -> Sample:
    number = 16 if bench.quick else 64

    def sample() -> float:
        works = [prepare(turn) for turn in range(number)]
        before = bench.server.seconds_used()
        for work in works:
            work()
        return (bench.server.seconds_used() - before) / number

    return sample


def _plain_set(bench: Bench) -> Prepare:
    client = bench.keep(bench.server.client())

    def prepare(turn: int) -> Callable[[], Any]:
        client.exists(f"plain-{turn}")  # it asks once, as who takes a lease does
        return lambda: client.set(f"plain-{turn}", _BODY, ex=3600)

    return prepare


def _guarded_fill(bench: Bench) -> Prepare:
    tier = redis_tier(bench)
    bench.finally_(tier.close)

    def prepare(turn: int) -> Callable[[], Any]:
        key = key_of(turn)
        leased = tier.lease(key, 30.0, refresh=True)
        entry = entry_of(_BODY)

        def fill() -> None:
            if not tier.fill(key, leased.token, entry):
                raise RuntimeError("the lease did not hold")

        return fill

    return prepare


def _minimalkv_put(bench: Bench) -> Prepare:
    cache = peers.minimalkv(bench.keep(bench.server.client())).cache
    return lambda turn: lambda: cache.put(name_of(turn), _BODY, 3600)


def _dogpile_set(bench: Bench) -> Prepare:
    region = peers.dogpile(bench)
    return lambda turn: lambda: region.set(f"dogpile-{turn}", _BODY)


def _two_deletes(bench: Bench) -> Sample:
    client = bench.keep(bench.server.client())
    return timed(
        "delete('deleted'); delete('deleted')", bench.seconds, delete=client.delete
    )


def _put(bench: Bench) -> Sample:
    store = bench.keep(filled([_SMALL], redis_tier(bench)))
    names = {"put": store.put_file, "BytesIO": BytesIO, "content": _SMALL}
    return timed(
        "put(BytesIO(content), *key, False)", bench.seconds, key=key_of(0), **names
    )


def _minimalkv_write(bench: Bench) -> Sample:
    cache = peers.minimalkv(bench.keep(bench.server.client()))
    names = {"put": cache.put, "name": _NAME, "content": _SMALL}
    return timed("put(name, content)", bench.seconds, **names)
