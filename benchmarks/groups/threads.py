"""
Many threads at once: what one of them gets done, and with how many connections.

By the clock, since a convoy waits and does not work; all the threads of a client share
one interpreter, so the best that can be had is what one thread gets done alone.
"""

from __future__ import annotations

import threading

from collections.abc import Callable, Iterator
from itertools import repeat
from time import perf_counter
from typing import Any

from benchmarks import peers
from benchmarks.bench import Bench, Candidate
from benchmarks.results import NO_NOISE, OURS, Goal, Row
from benchmarks.sampling import Sample, calibrated, undisturbed
from benchmarks.stacks import SIZES, content_of, filled, key_of, name_of, redis_tier
from tests.servers.proxy import Proxy
from tests.servers.s3 import S3Server, start_s3
from tiered_store.body import Body


_CROWDS = (8, 32)
_KEY, _NAME = key_of(0), name_of(0)
_OBJECT = "comics.cover/0/405x640.jpe"
_CONTENT = content_of(SIZES["100 KB"])
_EACH = 20  # calls of a thread, while connections are counted
_POOLED, _DEFAULTS = "boto3, pool of as many", "boto3, its pool of 10"
_BY_BOTO3, _BY_OBSTORE = f"{OURS}, engine boto3", OURS
Call = Callable[[], Any]


def rows(bench: Bench) -> Iterator[Row]:
    """Measure Redis, then S3."""
    yield from _redis(bench)
    server = start_s3("seaweed", bench.place("seaweed"))
    try:
        bucket = server.make_bucket()
        with server.store(bucket) as store:
            store.put(_KEY, Body.of(_CONTENT))
        yield from _s3(bench, server, bucket)
    finally:
        server.stop()


def _redis(bench: Bench) -> Iterator[Row]:
    calls: dict[str, Callable[[Bench], Call]] = {
        "redis-py GET": _redis_py,
        OURS: _ours,
        "minimalkv open": _minimalkv,
        "dogpile get": _dogpile,
    }
    for number in _CROWDS:
        what = f"Redis hits of 100 KB, {number} threads"
        yield from _crowd_rows(
            bench, what, calls, number, bench.server.pid, "redis-py GET", 1.0
        )
        opened = {
            name: _opened_at_redis(bench, of, number) for name, of in calls.items()
        }
        yield _connections(bench, what, opened, number, 1.0)


def _s3(bench: Bench, server: S3Server, bucket: str) -> Iterator[Row]:
    for number in _CROWDS:
        calls = _of_s3(server, bucket, number, server.endpoint_url)
        what = f"S3 gets of 100 KB, {number} threads"
        yield from _crowd_rows(bench, what, calls, number, _pid(server), _POOLED, 1.1)
        opened = {
            name: _opened_at_s3(bench, server, bucket, number, name) for name in calls
        }
        yield _connections(bench, what, opened, number, 2.0)


def _crowd_rows(
    bench: Bench,
    what: str,
    calls: dict[str, Callable[[Bench], Call]],
    number: int,
    server: int,
    floor: str,
    limit: float,
) -> Iterator[Row]:
    """Return what a call takes among so many, and against a thread alone."""

    def candidate(of: Callable[[Bench], Call]) -> Candidate:
        return lambda bench: _both(of(bench), 4 * bench.seconds, number, server)

    values, failed = bench.measure({name: candidate(of) for name, of in calls.items()})
    yield bench.row(
        f"{what}, a call",
        {name: [one for one, _ in pairs] for name, pairs in values.items()},
        floor=floor,
        goal=Goal(kind="ratio", limit=limit, broken=NO_NOISE),
        failed=failed,
        note="by the clock, all of them together",
    )
    yield bench.row(
        f"{what}, against 1",
        {name: [times for _, times in pairs] for name, pairs in values.items()},
        floor=floor,
        unit="x",
        note="time a call with so many threads, over the time with one",
    )


def _both(call: Call, seconds: float, number: int, server: int) -> Any:
    """Sample the seconds of a call among *number* threads, and over those of one."""
    alone, crowd = _crowd(call, seconds, 1), _crowd(call, seconds, number)

    def sample() -> tuple[float, float]:
        with undisturbed(server):
            one, many = alone(), crowd()
        return many, many / one

    return sample


def _crowd(call: Call, seconds: float, number: int) -> Sample:
    def run(times: int) -> float:
        each = -(-times // number)
        return _together(call, number, each) * times / (each * number)

    return calibrated(run, seconds)


def _together(call: Call, number: int, each: int) -> float:
    """Return the seconds in which so many threads call so often."""
    start = threading.Barrier(number + 1)
    errors: list[Exception] = []

    def some() -> None:
        start.wait()
        try:
            for _ in repeat(None, each):
                call()
        except Exception as error:  # noqa: BLE001 - raised below
            errors.append(error)

    workers = [threading.Thread(target=some) for _ in range(number)]
    for worker in workers:
        worker.start()
    start.wait()
    began = perf_counter()
    for worker in workers:
        worker.join()
    took = perf_counter() - began
    if errors:
        raise errors[0]
    return took


def _connections(
    bench: Bench, what: str, opened: dict[str, int], number: int, limit: float
) -> Row:
    return bench.row(
        f"{what}, connections opened",
        {
            "a thread each": [number],
            **{name: [count] for name, count in opened.items()},
        },
        floor="a thread each",
        unit="",
        goal=Goal(kind="ratio", limit=limit),
        note=f"for {number * _EACH} calls, {_EACH} of each thread; obstore opens one "
        "more while it waits for one that is about to be free, and keeps both",
    )


def _opened_at_redis(bench: Bench, of: Callable[[Bench], Call], number: int) -> int:
    with bench.clean():
        call = of(bench)
        call()
        with bench.server.client() as client:
            before = _received(client)
            _together(call, number, _EACH)
            return _received(client) - before + 1  # that of the first call


def _received(client: Any) -> int:
    return int(client.info("stats")["total_connections_received"])


def _opened_at_s3(
    bench: Bench, server: S3Server, bucket: str, number: int, name: str
) -> int:
    proxy = Proxy(server.ports[0])
    try:
        with bench.clean():
            call = _of_s3(server, bucket, number, proxy.url)[name](bench)
            _together(call, number, _EACH)
    finally:
        proxy.close()
    return proxy.connections


def _redis_py(bench: Bench) -> Call:
    client = bench.keep(bench.server.client())
    client.set(_NAME, _CONTENT)
    return lambda: client.get(_NAME)


def _ours(bench: Bench) -> Call:
    get_file = bench.keep(filled([_CONTENT], redis_tier(bench))).get_file
    return lambda: get_file(*_KEY).read()


def _minimalkv(bench: Bench) -> Call:
    cache = peers.minimalkv(bench.keep(bench.server.client()))
    cache.cache.put(_NAME, _CONTENT)
    return lambda: cache.open(_NAME).read()


def _dogpile(bench: Bench) -> Call:
    region = peers.dogpile(bench)
    region.set(_NAME, _CONTENT)
    return lambda: region.get(_NAME)


def _of_s3(
    server: S3Server, bucket: str, number: int, url: str
) -> dict[str, Callable[[Bench], Call]]:
    def boto3(bench: Bench, **pool: int) -> Call:
        client = bench.keep(server.client(endpoint_url=url, **pool))
        return lambda: client.get_object(Bucket=bucket, Key=_OBJECT)["Body"].read()

    def ours(bench: Bench, engine: str) -> Call:
        options = {"timeout": 30, "connect_timeout": 30, "endpoint_url": url}
        store = bench.keep(server.store(bucket, engine=engine, **options))

        def call() -> None:
            with store.get_file(*_KEY) as file:
                file.read()

        return call

    def obstore(bench: Bench) -> Call:
        import obstore

        store = peers.obstore(server, bucket, url)
        return lambda: bytes(obstore.get(store, _OBJECT).bytes())

    return {
        _POOLED: lambda bench: boto3(bench, max_pool_connections=number),
        _BY_OBSTORE: lambda bench: ours(bench, "obstore"),
        _BY_BOTO3: lambda bench: ours(bench, "boto3"),
        _DEFAULTS: boto3,
        "obstore": obstore,
    }


def _pid(server: S3Server) -> int:
    assert server.process.process is not None
    return server.process.process.pid
