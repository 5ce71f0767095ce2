"""
What a fleet costs what it shares: counted, beside what the model says.

Each process reads objects that it draws by lot, at once with all others; then one
writes.  The model is that of ``docs/performance.md``.  Counts, unlike times, are the
same on any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection
from random import Random
from typing import Any

from benchmarks.bench import Bench
from benchmarks.fleet import SPAWN, other
from benchmarks.results import OURS, Goal, Row
from benchmarks.server import url_of
from benchmarks.stacks import key_of
from tiered_store import CachedStore, MemoryStore, MemoryTier
from tiered_store.body import Body
from tiered_store.key import Key
from tiered_store.tiers.redis import RedisTier


_FLEETS = (4, 8, 16)  # processes
_OBJECTS, _READS, _WRITES = 400, 300, 40  # reads of each process, writes of one
_BODY = Body.of(b"x" * 1000)
_PATIENT = {"timeout": 30.0, "connect_timeout": 30.0}
_KEPT = 3  # connections of a process with one thread: asks, listens, looks after both
Counts = dict[str, float]


def rows(bench: Bench) -> Iterator[Row]:
    """Count for fleets of several sizes."""
    for size in _FLEETS[:1] if bench.quick else _FLEETS:
        with bench.clean():
            found = _counted(bench, size)
        for name, said in _model(size).items():
            yield bench.row(
                f"fleet of {size}, {name}",
                {"the model": [said], OURS: [found[name]]},
                floor="the model",
                unit="",
                goal=Goal(kind="ratio", limit=1.1),
                note=f"{_READS} reads of each process, {_WRITES} writes of one, "
                f"{_OBJECTS} objects, of which memory and Redis have none at first",
            )


def _drawn(number: int) -> list[int]:
    """Return the objects that process *number* reads."""
    random = Random(number)
    return [random.randrange(_OBJECTS) for _ in range(_READS)]


def _model(size: int) -> Counts:
    drawn = [set(_drawn(number)) for number in range(size)]
    fetched = len(set.union(*drawn))
    return {
        "looks at Redis": sum(map(len, drawn)),
        "scripts at Redis": 2 * fetched + 2 * _WRITES,
        "messages told": 2 * _WRITES * size,
        "connections to Redis": _KEPT * size,
        "reads of the origin": fetched,
    }


def _counted(bench: Bench, size: int) -> Counts:
    reads = SPAWN.Value("i", 0)
    with ExitStack() as running:
        members = [
            running.enter_context(other(_member, bench.server.port, number, reads))
            for number in range(size)
        ]
        for member in members:
            member.hear(120)
        reads.value = 0
        with bench.server.client() as client:
            before = _calls(client)
            for member in members:
                member.tell("read")
            for member in members:
                member.hear(120)
            read = _calls(client)
            members[0].ask("write")
            written = _calls(client)
            clients = client.info("clients")
    return {
        "looks at Redis": read["hmget"] - before["hmget"],
        "scripts at Redis": written["evalsha"] - before["evalsha"],
        "messages told": (written["publish"] - read["publish"])
        * clients["pubsub_clients"],
        "connections to Redis": clients["connected_clients"] - 1,
        "reads of the origin": reads.value,
    }


def _calls(client: Any) -> dict[str, int]:
    told = client.info("commandstats")
    names = ("hmget", "evalsha", "publish")
    return {name: told.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in names}


class _Origin(MemoryStore):
    """Counts what the whole fleet reads."""

    def __init__(self, count: Any) -> None:
        super().__init__()
        self._count = count

    def _get(self, key: Key) -> Body:
        with self._count.get_lock():
            self._count.value += 1
        return super()._get(key)


def _member(pipe: Connection, port: int, number: int, count: Any) -> None:
    origin = _Origin(count)
    for index in range(_OBJECTS + 1):
        origin.put(key_of(index), _BODY)
    tier = RedisTier(url=url_of(port), prefix="fleet", **_PATIENT)
    works: dict[str, Callable[[Any], None]] = {
        "read": lambda store: [
            store.get(key_of(index)).read() for index in _drawn(number)
        ],
        "write": lambda store: [
            store.put(key_of(index), _BODY) for index in range(_WRITES)
        ],
    }
    with CachedStore(origin, [MemoryTier(), tier]) as store:
        store.get(key_of(_OBJECTS)).read()  # connected, and listening
        pipe.send("ready")
        while True:
            works[pipe.recv()](store)
            pipe.send("done")
