"""
How soon a write is seen by other processes' memory.
"""

from __future__ import annotations

import time

from collections.abc import Callable, Iterator
from io import BytesIO
from multiprocessing.connection import Connection
from statistics import median
from time import perf_counter

from benchmarks.bench import Bench
from benchmarks.fleet import Other, other
from benchmarks.results import OURS, Goal, Row
from benchmarks.sampling import Sample, share, timed
from benchmarks.stacks import entry_of, key_of, redis_tier_at
from tiered_store import CachedStore, MemoryStore, MemoryTier
from tiered_store.body import Body
from tiered_store.units import MIB


_PREFIX = "invalidation"
_CONTENT = b"x" * 1000
_MILLISECOND = 1e-3
_FEW = 10
_PATIENCE = 10.0
_Pick = Callable[[list[float]], float]


def rows(bench: Bench) -> Iterator[Row]:
    """Measure with few objects in the other process's memory, and with many."""
    many = 10_000 if bench.quick else 100_000
    yield _row(
        bench,
        f"purged in another process, {many:,} entries, median",
        {OURS: many, "with 10 entries": _FEW},
        median,
        Goal(kind="value", limit=_MILLISECOND),
    )
    yield _row(
        bench, "the same, 99 in 100", {OURS: many, "with 10 entries": _FEW}, _p99, None
    )


def _row(
    bench: Bench,
    name: str,
    entries: dict[str, int],
    pick: _Pick,
    goal: Goal | None,
) -> Row:
    ours = {
        who: lambda bench, number=number: _latency(bench, number, pick)
        for who, number in entries.items()
    }
    return bench.compare(
        name,
        {"redis-py PING": _round_trip, **ours},
        floor="redis-py PING",
        goal=goal,
        note="from the return of put to the other process's memory not having the "
        "old bytes; most have gone before",
    )


def _p99(values: list[float]) -> float:
    return share(values, 0.99)


def _round_trip(bench: Bench) -> Sample:
    client = bench.keep(bench.server.client())
    return timed(client.ping, bench.seconds, clock=perf_counter)


def _latency(bench: Bench, entries: int, pick: _Pick) -> Sample:
    origin = MemoryStore()
    tier = redis_tier_at(bench.server.port, _PREFIX)
    store = bench.keep(CachedStore(origin, [tier]))
    reader = bench.keep(other(_read, bench.server.port, entries))
    reader.hear(120)
    puts = 50 if bench.quick else 200
    return lambda: pick([_one(store, reader, number % 7) for number in range(puts)])


def _one(store: CachedStore, reader: Other, number: int) -> float:
    reader.ask(number)  # it has the object now
    store.put_file(BytesIO(_CONTENT), *key_of(number), False)
    returned = time.monotonic()
    return max(0.0, reader.hear() - returned)


def _read(pipe: Connection, port: int, entries: int) -> None:
    """Keep an object in memory until it is dropped, and say when that was."""
    memory = MemoryTier(capacity=512 * MIB)
    origin = MemoryStore()
    for number in range(_FEW):
        origin.put(key_of(number), Body.of(_CONTENT))
    with CachedStore(origin, [memory, redis_tier_at(port, _PREFIX)]) as store:
        store.get(key_of(0))  # the feed is on from now
        for number in range(_FEW, entries):
            memory.put(key_of(number), entry_of(_CONTENT))
        pipe.send("ready")
        while True:
            key = key_of(pipe.recv())
            _until(lambda key=key: store.get(key) and memory.get(key) is not None)
            pipe.send("kept")
            _until(lambda key=key: memory.get(key) is None)
            pipe.send(time.monotonic())


def _until(reached: Callable[[], bool]) -> None:
    ends = time.monotonic() + _PATIENCE
    while not reached():
        if time.monotonic() > ends:
            raise TimeoutError("the memory tier did not follow")
        time.sleep(2e-5)
