"""
Many who ask for the same object when nobody has it.
"""

from __future__ import annotations

import asyncio
import threading
import time

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection
from typing import Any

from benchmarks import peers
from benchmarks.bench import Bench
from benchmarks.fleet import SPAWN, other
from benchmarks.results import OURS, Goal, Row
from benchmarks.sampling import share
from benchmarks.server import HOST, url_of
from benchmarks.stacks import key_of, name_of, redis_tier_at
from tiered_store import CachedStore, MemoryStore, MemoryTier
from tiered_store.body import Body
from tiered_store.key import Key


PROCESSES, THREADS = 4, 8
_ORIGIN_SECONDS = 0.05
_CONTENT = b"x" * 10_000
Count = Callable[[], None]


def rows(bench: Bench) -> Iterator[Row]:
    """Measure how often the origin is asked, and how long everybody waits."""
    keys = 5 if bench.quick else 40
    found: dict[str, tuple[int, list[float]]] = {}
    failed: dict[str, str] = {}
    for name, work in _WORKS.items():
        try:
            with bench.clean():
                found[name] = _fleet(bench, work, keys)
        except (RuntimeError, TimeoutError) as error:
            failed[name] = str(error)
    crowd = f"{PROCESSES} processes of {THREADS} threads"
    yield bench.row(
        f"cold keys, {keys} of them, origin reads",
        {"ideal": [keys], **{name: [reads] for name, (reads, _) in found.items()}},
        floor="ideal",
        unit="",
        goal=Goal(kind="ratio", limit=1.0),
        failed=failed,
        note=f"{crowd} ask for each at once; cashews: tasks instead of threads",
    )
    waits = {name: [share(waited, 0.99)] for name, (_, waited) in found.items()}
    yield bench.row(
        "cold keys, time to answer, 99 in 100",
        {"the origin's time": [_ORIGIN_SECONDS], **waits},
        floor="the origin's time",
        goal=Goal(kind="extra", limit=0.02),
        failed=failed,
        note=f"{crowd}; minimalkv is quick because everybody asks the origin",
    )


def _fleet(bench: Bench, work: Any, keys: int) -> tuple[int, list[float]]:
    """Return the reads of the origin, and the seconds each caller waited."""
    reads = SPAWN.Value("i", 0)
    start = SPAWN.Barrier(PROCESSES * _callers(work))
    with ExitStack() as running:
        members = [
            running.enter_context(other(work, bench.server.port, keys, start, reads))
            for _ in range(PROCESSES)
        ]
        waited = [seconds for member in members for seconds in member.hear(120)]
    return reads.value, waited


def _callers(work: Any) -> int:
    return 1 if work is _cashews else THREADS


class SlowStore(MemoryStore):
    """An origin that is far away, and counts."""

    def __init__(self, count: Count) -> None:
        super().__init__()
        self._count = count

    def _get(self, key: Key) -> Body:
        self._count()
        time.sleep(_ORIGIN_SECONDS)
        return Body.of(_CONTENT)


def _counting(reads: Any) -> Count:
    def count() -> None:
        with reads.get_lock():
            reads.value += 1

    return count


def _ours(pipe: Connection, port: int, keys: int, start: Any, reads: Any) -> None:
    tiers = [MemoryTier(), redis_tier_at(port, "cold")]
    with CachedStore(SlowStore(_counting(reads)), tiers) as store:
        pipe.send(_crowd(lambda number: store.get(key_of(number)).read(), keys, start))


def _minimalkv(pipe: Connection, port: int, keys: int, start: Any, reads: Any) -> None:
    from minimalkv.memory import DictStore
    from redis import Redis

    class SlowDict(DictStore):  # type: ignore[misc]
        def _get(self, key: str) -> bytes:
            _counting(reads)()
            time.sleep(_ORIGIN_SECONDS)
            return _CONTENT

    with Redis(HOST, port) as client:
        cache = peers.minimalkv(client, SlowDict())
        pipe.send(_crowd(lambda number: cache.get(name_of(number)), keys, start))


def _dogpile(pipe: Connection, port: int, keys: int, start: Any, reads: Any) -> None:
    region = peers.dogpile_region(port)

    def fetch() -> bytes:
        _counting(reads)()
        time.sleep(_ORIGIN_SECONDS)
        return _CONTENT

    def get(number: int) -> object:
        return region.get_or_create(name_of(number), fetch)

    pipe.send(_crowd(get, keys, start))


def _cashews(pipe: Connection, port: int, keys: int, start: Any, reads: Any) -> None:
    cache = peers.cashews_cache(url_of(port))

    @cache(ttl="10m", key="cold:{number}", lock=True)
    async def get(number: int) -> bytes:
        _counting(reads)()
        await asyncio.sleep(_ORIGIN_SECONDS)
        return _CONTENT

    async def one(number: int) -> float:
        began = time.perf_counter()
        await get(number)
        return time.perf_counter() - began

    async def everything() -> list[float]:
        await cache.init()
        waited = []
        for number in range(keys):
            start.wait()
            waited += await asyncio.gather(*(one(number) for _ in range(THREADS)))
        await cache.close()
        return waited

    pipe.send(asyncio.run(everything()))


_WORKS = {
    OURS: _ours,
    "minimalkv": _minimalkv,
    "dogpile, distributed lock": _dogpile,
    "cashews, locked": _cashews,
}


def _crowd(get: Callable[[int], object], keys: int, start: Any) -> list[float]:
    """Ask for each key from all threads at once, and return what each waited."""
    waited: list[float] = []
    errors: list[Exception] = []

    def caller() -> None:
        try:
            for number in range(keys):
                start.wait(60)
                began = time.perf_counter()
                get(number)
                waited.append(time.perf_counter() - began)
        except Exception as error:  # noqa: BLE001 - raised below
            start.abort()
            errors.append(error)

    threads = [threading.Thread(target=caller) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return waited
