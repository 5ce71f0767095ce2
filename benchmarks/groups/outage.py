"""
What a read costs when Redis is gone, or there and silent.
"""

from __future__ import annotations

import math
import time

from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from statistics import median
from typing import Any, Literal

from benchmarks import peers
from benchmarks.bench import Bench
from benchmarks.fleet import other
from benchmarks.results import OURS, Goal, Row, shown
from benchmarks.server import HOST
from benchmarks.stacks import key_of, name_of, redis_tier_at
from tiered_store import CachedStore, MemoryStore
from tiered_store.body import Body


_CONTENT = b"x" * 10_000
_CALLS = 200
State = Literal["refused", "frozen"]
Get = Callable[[], Any]


def rows(bench: Bench) -> Iterator[Row]:
    """Measure the first call, and those that come when it is known."""
    for state in ("refused", "frozen"):
        yield from _rows(bench, state)


def _rows(bench: Bench, state: State) -> Iterator[Row]:
    patience = 1.0 if bench.quick else 5.0
    times = 1 if bench.quick else 3
    first: dict[str, list[float]] = {}
    later: dict[str, list[float]] = {}
    remarks: dict[str, str] = {}
    failed: dict[str, str] = {}
    for name, make in _MAKES.items():
        own = times if name in (OURS, _ORIGIN) else 1  # the others take seconds
        for _ in range(own):
            try:
                found = _lived_through(bench, state, make, patience)
            except RuntimeError as error:
                failed[name] = str(error)
                break
            one, many, raised = found
            first.setdefault(name, []).append(one)
            if many is not None:
                later.setdefault(name, []).append(many)
            if raised:
                remarks[name] = f"raises {raised} after {shown(one, 's')}"
            if math.isinf(one):
                remarks[name] = f"more than {patience:g} s"
    yield bench.row(
        f"Redis {state}, first read",
        _even(first, times),
        floor=_ORIGIN,
        goal=Goal(kind="extra", limit=0.3),
        remarks=remarks,
        failed=failed,
        note="the connection was there before; redis-py, minimalkv and dogpile with "
        "the defaults of redis-py",
    )
    yield bench.row(
        f"Redis {state}, reads after that",
        _even(later, times),
        floor=_ORIGIN,
        goal=Goal(kind="extra", limit=50e-6),
        failed=failed,
        note=f"the middle of {_CALLS}",
    )


def _even(values: dict[str, list[float]], times: int) -> dict[str, list[float]]:
    """Repeat what was measured only once, so that rounds can be compared."""
    return {name: (own * times)[:times] for name, own in values.items()}


def _lived_through(
    bench: Bench, state: State, make: Any, patience: float
) -> tuple[float, float | None, str]:
    """
    Return the seconds of the first read, of the later ones, and what was raised.

    The first is infinite if it takes more than *patience*.
    """
    server = bench.server
    with bench.clean(), other(_live, make, server.port) as reader:
        reader.hear()
        try:
            if state == "refused":
                server.kill()
            else:
                server.freeze()
            reader.tell("go")
            seconds, raised = reader.hear(patience)
            if raised:
                return seconds, None, raised
            return seconds, reader.ask("go on"), ""
        except TimeoutError:
            return math.inf, None, ""
        finally:
            if state == "refused":
                server.start()
            else:
                server.thaw()


def _live(pipe: Connection, make: Callable[[int], Get], port: int) -> None:
    get = make(port)
    get()
    pipe.send("ready")
    pipe.recv()
    began = time.perf_counter()
    raised = ""
    try:
        get()
    except Exception as error:  # noqa: BLE001 - of any peer
        raised = type(error).__name__
    pipe.send((time.perf_counter() - began, raised))
    pipe.recv()
    pipe.send(median(_seconds(get) for _ in range(_CALLS)))


def _seconds(get: Get) -> float:
    began = time.perf_counter()
    get()
    return time.perf_counter() - began


def _filled_origin() -> MemoryStore:
    origin = MemoryStore()
    origin.put(key_of(0), Body.of(_CONTENT))
    return origin


def _origin(port: int) -> Get:
    origin = _filled_origin()
    return lambda: origin.get(key_of(0)).read()


def _ours(port: int) -> Get:
    store = CachedStore(_filled_origin(), [redis_tier_at(port, "outage")])
    return lambda: store.get(key_of(0)).read()


def _redis_py(port: int) -> Get:
    from redis import Redis

    client = Redis(HOST, port)
    return lambda: client.get("outage")


def _minimalkv(port: int) -> Get:
    from minimalkv.memory import DictStore
    from redis import Redis

    origin = DictStore({name_of(0): _CONTENT})
    cache = peers.minimalkv(Redis(HOST, port), origin)
    return lambda: cache.get(name_of(0))


def _dogpile(port: int) -> Get:
    region = peers.dogpile_region(port)
    return lambda: region.get_or_create(name_of(0), lambda: _CONTENT)


_ORIGIN = "the origin alone"
_MAKES: dict[str, Callable[[int], Get]] = {
    _ORIGIN: _origin,
    OURS: _ours,
    "redis-py GET": _redis_py,
    "minimalkv get": _minimalkv,
    "dogpile get_or_create": _dogpile,
}
