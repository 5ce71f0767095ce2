"""
What an operation costs with more of something: threads, bytes, replicas, layers.
"""

from __future__ import annotations

import threading

from collections.abc import Callable, Iterator
from time import process_time
from typing import Any

from benchmarks.bench import Bench
from benchmarks.results import Row
from benchmarks.sampling import Sample, calibrated, timed
from benchmarks.stacks import content_of, filled, key_of, memory_tier, redis_tier
from tests.servers.s3 import start_s3
from tiered_store import (
    BreakerStore,
    FallbackStore,
    FileSystemStore,
    MemoryStore,
    ReplicatedStore,
    RetryStore,
    TimeoutStore,
)
from tiered_store.body import Body
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.store import Store


_SMALL = content_of(1000)
_SIZES = (1, 1000, 100_000, 1_000_000)  # KB


def rows(bench: Bench) -> Iterator[Row]:
    """Measure each against the least of it."""
    yield _row(bench, "memory hit, by threads", (1, 8, 32), _memory_threads)
    yield _row(bench, "Redis hit of 1 KB, by threads", (1, 8, 32), _redis_threads)
    yield from _s3_threads(bench)
    yield _row(
        bench,
        "file put and read through a mirror, by KB",
        _SIZES[:-1] if bench.quick else _SIZES,
        _sizes,
        rounds=3,
    )
    yield _row(
        bench, "mirrored put of 1 KB in files, by replicas", (2, 3, 5), _replicas
    )
    yield _row(bench, "get from memory, by layers", (0, 1, 3, 5), _layers)


def _row(
    bench: Bench,
    name: str,
    numbers: tuple[int, ...],
    of: Callable[[Bench, int], Sample],
    rounds: int | None = None,
) -> Row:
    def candidate(number: int) -> Callable[[Bench], Sample]:
        return lambda bench: of(bench, number)

    least, *_, most = names = [f"{number:,}" for number in numbers]
    values, failed = bench.measure(
        {name: candidate(number) for name, number in zip(names, numbers, strict=True)},
        rounds,
    )
    return bench.row(name, values, floor=least, own=most, failed=failed)


def _memory_threads(bench: Bench, number: int) -> Sample:
    store = bench.keep(filled([_SMALL], memory_tier()))
    return _crowd(store, number, 2 * bench.seconds)


def _redis_threads(bench: Bench, number: int) -> Sample:
    store = bench.keep(filled([_SMALL], redis_tier(bench)))
    return _crowd(store, number, 2 * bench.seconds)


def _s3_threads(bench: Bench) -> Iterator[Row]:
    server = start_s3("seaweed", bench.place("seaweed"))
    try:
        bucket = server.make_bucket()
        with server.store(bucket) as store:
            store.put(key_of(0), Body.of(content_of(100_000)))
        for engine in ("boto3", "obstore"):

            def of(bench: Bench, number: int, engine: str = engine) -> Sample:
                store = server.store(
                    bucket, engine=engine, timeout=30, connect_timeout=30
                )
                return _crowd(bench.keep(store), number, 4 * bench.seconds)

            name = f"S3 get of 100 KB, engine {engine}, by threads"
            yield _row(bench, name, (1, 8, 32), of)
    finally:
        server.stop()


def _crowd(store: Store, number: int, seconds: float) -> Sample:
    """Tell the processor time of one read of so many threads at once."""
    key = key_of(0)

    def run(times: int) -> float:
        each = -(-times // number)

        def some() -> None:
            for _ in range(each):
                with store.get_file(*key) as file:
                    file.read()

        threads = [threading.Thread(target=some) for _ in range(number)]
        began = process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return (process_time() - began) * times / (each * number)

    return calibrated(run, seconds)


def _sizes(bench: Bench, number: int) -> Sample:
    """Write pieces that are not in memory together, and read them, a KB at a time."""
    place = bench.place("sizes")
    mirror = bench.keep(
        ReplicatedStore(
            {
                name: FileSystemStore(str(place / name), create=True)
                for name in ("a", "b")
            },
            journal=SQLiteJournal(str(place / "journal.sqlite")),
        )
    )
    with (place / "source").open("wb") as source:
        for _ in range(0, number, 1000):
            source.write(bytes(1000 * min(number, 1000)))

    def sample() -> float:
        began = process_time()
        with (place / "source").open("rb") as source:
            mirror.put(key_of(0), Body.take(source))
        for _ in mirror.get(key_of(0)).chunks():
            pass
        return (process_time() - began) / number

    return sample


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
