"""
What an operation costs with more of something: objects, threads, replicas, layers.
"""

from __future__ import annotations

import threading

from collections.abc import Callable, Iterator
from time import process_time
from typing import Any

from benchmarks.bench import Bench
from benchmarks.results import OURS, Row
from benchmarks.sampling import Sample, calibrated, timed
from benchmarks.stacks import content_of, filled, key_of, redis_tier
from tiered_store import (
    BreakerStore,
    CachedStore,
    FallbackStore,
    FileSystemStore,
    MemoryStore,
    MemoryTier,
    ReplicatedStore,
    RetryStore,
    TimeoutStore,
)
from tiered_store.body import Body
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.store import Store


_SMALL = content_of(1000)
_ASKED = 10  # objects, spread over all of them


def rows(bench: Bench) -> Iterator[Row]:
    """Measure each against the least of it."""
    yield _row(bench, "memory hit, by objects", (10, 1000, 100_000), _objects)
    yield _row(bench, "Redis hit of 1 KB, by threads", (1, 8, 32), _threads)
    yield _row(
        bench, "mirrored put of 1 KB in files, by replicas", (2, 3, 5), _replicas
    )
    yield _row(bench, "get from memory, by layers", (0, 1, 3, 5), _layers)


def _row(
    bench: Bench,
    name: str,
    numbers: tuple[int, ...],
    of: Callable[[Bench, int], Sample],
) -> Row:
    def candidate(number: int) -> Callable[[Bench], Sample]:
        return lambda bench: of(bench, number)

    names = {number: f"{number:,}" for number in numbers}
    names[numbers[-1]] = OURS  # the most of it is what is told of ours
    note = f"{numbers[-1]:,} of them, beside {', '.join(map(str, numbers[:-1]))}"
    candidates = {names[number]: candidate(number) for number in numbers}
    return bench.compare(name, candidates, floor=names[numbers[0]], note=note)


def _objects(bench: Bench, number: int) -> Sample:
    tier = MemoryTier(capacity=2**30)
    origin = MemoryStore(capacity=2**30)
    store = bench.keep(CachedStore(origin, [tier]))
    for index in range(number):
        origin.put(key_of(index), Body.of(b"x"))
        store.get(key_of(index)).read()
    keys = [key_of(index) for index in range(0, number, max(1, number // _ASKED))]
    names = {"keys": keys, "get_file": store.get_file}
    return timed("for key in keys: get_file(*key)", bench.seconds, len(keys), **names)


def _threads(bench: Bench, number: int) -> Sample:
    store = bench.keep(filled([_SMALL], redis_tier(bench)))
    key = key_of(0)

    def run(each: int) -> float:
        def some() -> None:
            for _ in range(each):
                store.get_file(*key).read()

        threads = [threading.Thread(target=some) for _ in range(number)]
        began = process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return (process_time() - began) / number

    return calibrated(run, 2 * bench.seconds)


def _replicas(bench: Bench, number: int) -> Sample:
    place = bench.place("mirror")
    mirror = bench.keep(
        ReplicatedStore(
            {
                f"r{index}": FileSystemStore(str(place / str(index)), create=True)
                for index in range(number)
            },
            journal=SQLiteJournal(str(place / "journal.sqlite")),
        )
    )
    body = Body.of(_SMALL)

    def run(times: int) -> float:
        began = process_time()
        for index in range(times):
            mirror.put(key_of(index % 100), body)
        return process_time() - began

    return calibrated(run, 4 * bench.seconds)


def _layers(bench: Bench, number: int) -> Sample:
    store: Store = MemoryStore()
    store.put(key_of(0), Body.of(_SMALL))
    wrap: list[Callable[[Store], Any]] = [
        lambda inner: TimeoutStore(inner, seconds=5.0),
        RetryStore,
        BreakerStore,
        lambda inner: FallbackStore({"a": inner}),
        lambda inner: ReplicatedStore({"a": inner}),
    ]
    for wrapper in wrap[:number]:
        store = wrapper(store)
    bench.keep(store)
    names = {"get": store.get, "key": key_of(0)}
    return timed("get(key).read()", bench.seconds, **names)
