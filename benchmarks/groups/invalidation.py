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
from typing import Any

from benchmarks.bench import Bench
from benchmarks.fleet import Other, other
from benchmarks.results import OURS, Goal, Row
from benchmarks.sampling import share, timed
from benchmarks.stacks import entry_of, key_of, redis_tier_at
from tiered_store import CachedStore, MemoryStore, MemoryTier
from tiered_store.body import Body
from tiered_store.units import MIB


_PREFIX = "invalidation"
_CONTENT = b"x" * 1000
_MILLISECOND = 1e-3
_FEW = 10
_PATIENCE = 10.0


def rows(bench: Bench) -> Iterator[Row]:
    """Measure with few objects in the other process's memory, and with many."""
    many = 10_000 if bench.quick else 100_000
    values, failed = bench.measure(
        {
            "redis-py PING": _round_trip,
            OURS: lambda bench: _latency(bench, many),
            f"with {_FEW} entries": lambda bench: _latency(bench, _FEW),
        }
    )
    for number, (part, goal) in enumerate(
        (("median", Goal(kind="value", limit=_MILLISECOND)), ("99 in 100", None))
    ):
        yield bench.row(
            f"purged in another process, {many:,} entries, {part}",
            {name: [own[number] for own in pairs] for name, pairs in values.items()},
            floor="redis-py PING",
            goal=goal,
            failed=failed,
            note="from the return of put to the other process's memory not having the "
            "old bytes; most have gone before",
        )


def _round_trip(bench: Bench) -> Callable[[], Any]:
    client = bench.keep(bench.server.client())
    ping = timed(client.ping, bench.seconds, clock=perf_counter)
    return lambda: (ping(),) * 2


def _latency(bench: Bench, entries: int) -> Callable[[], Any]:
    origin = MemoryStore()
    tier = redis_tier_at(bench.server.port, _PREFIX)
    store = bench.keep(CachedStore(origin, [tier]))
    reader = bench.keep(other(_read, bench.server.port, entries))
    reader.hear(120)
    puts = 50 if bench.quick else 200

    def sample() -> tuple[float, float]:
        waited = [_one(store, reader, number % 7) for number in range(puts)]
        return median(waited), share(waited, 0.99)

    return sample


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
