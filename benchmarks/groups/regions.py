"""
What readers of two regions notice when one of them is slow, or gone.

A region answers after 2 ms.  What goes wrong with it is slept for in this process, so
that nothing but the failover itself is measured.
"""

from __future__ import annotations

import queue
import threading
import time

from collections.abc import Callable, Iterator
from random import Random

from benchmarks.bench import Bench
from benchmarks.results import NO_NOISE, OURS, Goal, Row
from benchmarks.sampling import share, undisturbed
from benchmarks.stacks import key_of
from tiered_store import FallbackStore, MemoryStore, ReadPolicy, ReplicatedStore
from tiered_store.body import Body
from tiered_store.errors import UnavailableError
from tiered_store.journals.memory import MemoryJournal
from tiered_store.key import Key
from tiered_store.policies.breaker import BreakerPolicy
from tiered_store.policies.guard import Guard
from tiered_store.store import Store


_KEY = key_of(1)
_USUAL, _LATE, _TIMEOUT = 0.002, 0.2, 0.5
_HEDGED, _BARE, _NAIVE = OURS, "without hedging", "try, except, the next"
_LEAST = "two threads, two queues"  # the least that a hedge can be
Read = Callable[[], object]


class Region(MemoryStore):
    """A region with an object, that is late, or silent, when told to be."""

    def __init__(self, seed: int, usual: float = _USUAL) -> None:
        super().__init__()
        self.usual = usual
        self.late = 0.0  # the share of reads that are
        self.silent = False
        self.reads = 0
        self._random = Random(seed)
        self.put(_KEY, Body.of(b"x" * 10_000))

    def _get(self, key: Key) -> Body:
        self.reads += 1
        if self.silent:
            time.sleep(_TIMEOUT)
            raise UnavailableError(f"no answer within {_TIMEOUT} s")
        time.sleep(_LATE if self._random.random() < self.late else self.usual)
        return super()._get(key)


def rows(bench: Bench) -> Iterator[Row]:
    """Measure reads of slow regions, of a black hole, and what a breaker costs."""
    yield from _some_late(bench)
    yield from _always_late(bench)
    yield from _black_hole(bench)
    yield _breaker(bench)


def _some_late(bench: Bench) -> Iterator[Row]:
    calls = 300 if bench.quick else 2000
    times: dict[str, list[float]] = {}
    hedged = 0.0
    for name, hedge in ((_HEDGED, True), (_BARE, False)):
        us, eu = Region(1), Region(2)
        with _mirror(us, eu, hedge) as store:
            _timed(lambda: store.get(_KEY).read(), calls)
            us.late, before = 0.03, eu.reads
            times[name] = _timed(lambda: store.get(_KEY).read(), calls)
            if hedge:
                hedged = 100 * (eu.reads - before) / calls
    healthy = Region(1)
    usual = _timed(lambda: healthy.get(_KEY).read(), calls)
    times[_LEAST] = _least(calls)
    bound = share(times[_HEDGED], 0.95) + share(usual, 0.5)
    yield bench.row(
        "3 % of reads +200 ms, 99 in 100",
        {
            "p95 + p50": [bound],
            **{name: [share(own, 0.99)] for name, own in times.items()},
        },
        floor="p95 + p50",
        goal=Goal(kind="ratio", limit=1.0, broken=NO_NOISE),
        note=f"{calls} reads one after the other, of two replicas; no processor halts",
    )
    yield bench.row(
        "3 % of reads +200 ms, reads of the other replica",
        {"none": [0.0], OURS: [hedged]},
        floor="none",
        unit="%",
        goal=Goal(kind="value", limit=5.0),
        note="in 100 reads",
    )


def _least(calls: int) -> list[float]:
    """Time reads that are hedged by two threads, when 95 % of them have answered."""
    us, eu = Region(1), Region(2)
    work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def serve() -> None:
        while (asked := work.get()) is not None:
            asked()

    def read(patience: float) -> object:
        back: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        work.put(lambda: back.put(us.get(_KEY).read()))
        try:
            return back.get(timeout=patience)
        except queue.Empty:
            work.put(lambda: back.put(eu.get(_KEY).read()))
            return back.get()

    threads = [threading.Thread(target=serve) for _ in range(8)]
    with undisturbed():
        for thread in threads:
            thread.start()
    patience = share(_timed(lambda: read(1.0), calls), 0.95)
    us.late = 0.03
    times = _timed(lambda: read(patience), calls)
    for _ in threads:
        work.put(None)
    for thread in threads:
        thread.join()
    return times


def _always_late(bench: Bench) -> Iterator[Row]:
    calls = 300 if bench.quick else 1000
    times = {}
    for name, hedge in ((_HEDGED, True), (_BARE, False)):
        us, eu = Region(1), Region(2)
        with _mirror(us, eu, hedge) as store:
            read = lambda: store.get(_KEY).read()  # noqa: E731
            _timed(read, 300)
            us.late = 1.0
            ends = time.perf_counter() + 2.0
            while time.perf_counter() < ends:
                read()
            times[name] = _timed(read, calls if hedge else 20)
    yield bench.row(
        "one replica always +200 ms, 99 in 100 after 2 s",
        {
            "usual": [_USUAL],
            **{name: [share(own, 0.99)] for name, own in times.items()},
        },
        floor="usual",
        goal=Goal(kind="value", limit=0.01),
        note="one reader",
    )


def _black_hole(bench: Bench) -> Iterator[Row]:
    seconds, threads = (2.0 if bench.quick else 8.0), 16
    failed, paid, slowest = {}, {}, {}
    alone = Region(3)
    _, usual = _crowd(lambda: alone.get(_KEY).read(), threads, seconds / 4)
    after = {"the other region alone": [share(usual, 0.5)]}
    for name in (OURS, _NAIVE):
        us, eu = Region(1), Region(2)
        store = FallbackStore({"us": us, "eu": eu})
        read: Read = lambda: store.get(_KEY).read()  # noqa: B023, E731
        if name == _NAIVE:
            read = _naive(us, eu)
        read()
        us.silent, before = True, us.reads
        errors, times = _crowd(read, threads, seconds)
        failed[name] = [errors]
        paid[name] = [us.reads - before]
        slowest[name] = [max(times)]
        if name == OURS:
            free = [seconds for seconds in times if seconds < _TIMEOUT]
            after[name] = [share(free, 0.5)]
        store.close()
    yield bench.row(
        "region black hole, calls that failed",
        {"ideal": [0], **failed},
        floor="ideal",
        unit="",
        goal=Goal(kind="value", limit=0.5),
        note=f"{threads} readers for {seconds:g} s",
    )
    yield bench.row(
        "region black hole, calls that waited for it",
        {"readers": [threads], **paid},
        floor="readers",
        unit="",
        goal=Goal(kind="ratio", limit=2.0),
        note="the trickle that looks whether it is back included",
    )
    yield bench.row(
        "region black hole, calls that did not wait for it",
        after,
        floor="the other region alone",
        goal=Goal(kind="ratio", limit=1.05, broken=NO_NOISE),
        note=f"half of them; {threads} readers",
    )
    yield bench.row(
        "region black hole, slowest call",
        {"attempt timeout": [_TIMEOUT], **slowest},
        floor="attempt timeout",
        goal=Goal(kind="extra", limit=0.05),
    )


def _breaker(bench: Bench) -> Row:
    calls, threads = (20 if bench.quick else 50), 16
    values: dict[str, list[float]] = {"bare": [], OURS: []}
    for _ in range(max(5, bench.rounds)):  # by the clock, which is less exact
        for name in bench.random.sample(list(values), 2):
            region: Store = Region(1, usual=0.01)
            store = region if name == "bare" else Guard(region, BreakerPolicy())
            workers = [
                threading.Thread(target=_times, args=(lambda: store.get(_KEY), calls))  # noqa: B023
                for _ in range(threads)
            ]
            with undisturbed():
                began = time.perf_counter()
                for worker in workers:
                    worker.start()
                for worker in workers:
                    worker.join()
                values[name].append(time.perf_counter() - began)
    return bench.row(
        f"a breaker around {threads} readers",
        values,
        floor="bare",
        goal=Goal(kind="ratio", limit=1.01, broken=NO_NOISE),
        note=f"{calls} reads each, of 10 ms",
    )


def _mirror(us: Store, eu: Store, hedge: bool) -> ReplicatedStore:
    return ReplicatedStore(
        {"us": us, "eu": eu},
        journal=MemoryJournal(),
        read=ReadPolicy(hedge_after="p95" if hedge else None),
    )


def _naive(us: Store, eu: Store) -> Read:
    def read() -> object:
        try:
            return us.get(_KEY).read()
        except OSError:
            return eu.get(_KEY).read()

    return read


def _timed(read: Read, calls: int) -> list[float]:
    """Time reads that mostly wait, before other processes where that is allowed."""
    with undisturbed():
        return _times(read, calls)


def _times(read: Read, calls: int) -> list[float]:
    times = []
    for _ in range(calls):
        began = time.perf_counter()
        read()
        times.append(time.perf_counter() - began)
    return times


def _crowd(read: Read, threads: int, seconds: float) -> tuple[int, list[float]]:
    """Read from many threads for *seconds*; return the failures and all times."""
    errors: list[Exception] = []
    times: list[float] = []
    ends = time.perf_counter() + seconds

    def reader() -> None:
        while (began := time.perf_counter()) < ends:
            try:
                read()
            except Exception as error:  # noqa: BLE001 - counted
                errors.append(error)
            times.append(time.perf_counter() - began)

    workers = [threading.Thread(target=reader) for _ in range(threads)]
    with undisturbed():
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return len(errors), times
