"""
What users see while one of two regions fails: ours, redis-py's MultiDBClient, boto3,
and try and except.

Two real servers stand for two regions (SeaweedFS, and Valkey for what only speaks
Redis), the first behind a gate that fails.  Six users read and write; what they see is
judged against what they were promised.  Run it: ``make regions``, some six minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import sys
import tempfile
import threading
import time

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.gate import Gate, Mode
from benchmarks.region_peers import Boto3Region, Peer, RedisRegion, multidb
from benchmarks.server import Server
from tests.servers.s3 import S3Server, start_s3
from tiered_store import (
    Body,
    FallbackStore,
    RedisStore,
    ReplicatedStore,
    RetryStore,
    S3Store,
    SQLiteJournal,
)
from tiered_store.drill.seen import Seen, seen_of
from tiered_store.drill.stage import stores_with
from tiered_store.drill.workload import Workload, content_of, verdict_of
from tiered_store.errors import NotFoundError, StoreError
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.wrapper import Wrapper


_FAULTS: dict[str, Mode] = {
    "black hole": "hole",
    "killed": "shut",
    "slow": "slow",
    "erroring": "failing",
    "flapping": "hole",
}
_ATTEMPT = 0.5  # seconds that ours wait for an answer
_QUARANTINE = 4 * _ATTEMPT  # in which a request that timed out may take effect
_PATIENCE = 5.0  # seconds that a user waits
_LASTS, _FLAPS, _FLAP = 4.0, 3, 1.5
_WITHIN = 20.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """
    Somebody's store over two regions.

    Attributes:
        make: Returns it, anew for a process that starts later.
        places: The regions themselves, not behind the gate.
    """

    name: str
    gate: Gate
    make: Callable[[], Store]
    places: Sequence[Store]
    copies: bool = True


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table."""
    options = _parser().parse_args(arguments)
    logging.getLogger("redis").setLevel(logging.CRITICAL)  # it tells of each failover
    results: list[dict[str, Any]] = []
    watcher = Console(stderr=True)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        lanes: list[Callable[[str], Iterator[Candidate]]] = []
        if "s3" in options.lanes:
            lanes.append(_s3_lane(stack, folder))
        if "redis" in options.lanes:
            lanes.append(_redis_lane(stack, folder))
        for fault in options.faults:
            for lane in lanes:
                for candidate in lane(fault):
                    watcher.print(f"{fault}, {candidate.name}", style="dim")
                    try:
                        results.append(measured(candidate, fault, options.seed))
                    except Exception as error:  # noqa: BLE001 - the others go on
                        watcher.print(f"failed: {error}", style="red")
    console = Console()
    if not console.is_terminal:
        console.width = 200
    console.print(_table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.regions", description=__doc__
    )
    parser.add_argument("--faults", nargs="+", choices=_FAULTS, default=list(_FAULTS))
    parser.add_argument(
        "--lanes", nargs="+", choices=("s3", "redis"), default=["s3", "redis"]
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    return parser


def measured(candidate: Candidate, fault: str, seed: int) -> dict[str, Any]:
    """Return what users of *candidate* saw of *fault*."""
    store = candidate.make()
    work = Workload(store, seed, _PATIENCE)
    try:
        work.fill()
        _settle(store)
        work.start()
        time.sleep(1.0)
        began = work.now()
        _befall(candidate.gate, fault)
        healed = work.now()
        work.stop_writing()
        pending = _settle(store)
        converged = None if pending else work.now() - healed
        time.sleep(max(0.0, 1.0 - (work.now() - healed)))
        ended = work.stop(90.0)
    finally:
        candidate.gate.set("open")
        store.close()
    lost, resurrected = _left(candidate, work)
    agree = _agree(candidate, work)
    seen: Seen = seen_of(work.calls, began, healed)
    return {
        "candidate": candidate.name,
        "fault": fault,
        **asdict(seen),
        "failed": seen.reads_failed + seen.writes_failed,
        "calls": seen.reads + seen.writes,
        "lost": lost,
        "resurrected": resurrected,
        "differ": agree,
        "converged": converged if agree == 0 and candidate.copies else None,
        "ended": ended,
    }


def _befall(gate: Gate, fault: str) -> None:
    if fault != "flapping":
        gate.set(_FAULTS[fault])
        time.sleep(_LASTS)
        gate.set("open")
        return
    for _ in range(_FLAPS):
        gate.set("hole")
        time.sleep(_FLAP)
        gate.set("open")
        time.sleep(_FLAP)


def _settle(store: Store) -> int:
    """Repair what can be, and return how much is pending after a while."""
    ends = time.monotonic() + _WITHIN
    while True:
        pending = 0
        for mirror in stores_with(store, "repair"):
            try:
                mirror.repair()
                pending += mirror.status().rows
            except StoreError:
                pending += 1
        if not pending or time.monotonic() > ends:
            return pending
        time.sleep(0.05)


def _left(candidate: Candidate, work: Workload) -> tuple[int, int]:
    """Return what a process that starts now has lost, and what has come back to it."""
    lost = resurrected = 0
    with candidate.make() as fresh:
        for record in work.records:
            content, error = content_of(fresh, record)
            if not error and verdict_of(record, content) == "right":
                continue
            back = record.certain and record.acknowledged is None
            resurrected += back and not error
            lost += not back
    return lost, resurrected


def _agree(candidate: Candidate, work: Workload) -> int:
    """Return how many objects differ between the regions."""
    return sum(
        len({content_of(place, record)[0] for place in candidate.places}) > 1
        for record in work.records
    )


# -- S3 ------------------------------------------------------------------------


def _s3_lane(
    stack: contextlib.ExitStack, folder: Path
) -> Callable[[str], Iterator[Candidate]]:
    servers: list[S3Server] = []
    for name in ("us", "eu"):
        (folder / name).mkdir()
        servers.append(start_s3("seaweed", folder / name))
        stack.callback(servers[-1].stop)
    gates = [Gate(server.ports[0], http=True) for server in servers]
    numbers = iter(range(1, 1000))

    def at(number: int, bucket: str, *, gated: bool = True) -> S3Store:
        server = servers[number]
        port = gates[number].port if gated else server.ports[0]
        return S3Store(
            bucket,
            server.access_key,
            server.secret_key,
            endpoint_url=f"http://127.0.0.1:{port}",
            region="us-east-1",
            timeout=_ATTEMPT if gated else 10.0,
        )

    def plain(number: int, bucket: str) -> Boto3Region:
        server = servers[number]
        return Boto3Region(
            gates[number].port, bucket, server.access_key, server.secret_key
        )

    def candidates(fault: str) -> Iterator[Candidate]:
        for name in ("replicated", "fallback", "boto3", "try/except boto3"):
            buckets = [server.make_bucket() for server in servers]
            places = [at(n, bucket, gated=False) for n, bucket in enumerate(buckets)]
            journal = str(folder / f"journal-{next(numbers)}")
            alike = Replication(gates, places)

            def make(
                name: str = name,
                buckets: Sequence[str] = buckets,
                journal: str = journal,
                alike: Replication = alike,
            ) -> Store:
                if name == "boto3":
                    return Peer(plain(0, buckets[0]))
                if name == "try/except boto3":
                    return Peer(plain(0, buckets[0]), plain(1, buckets[1]))
                us, eu = (at(n, bucket) for n, bucket in enumerate(buckets))
                rows = SQLiteJournal(journal, quarantine=_QUARANTINE)
                if name == "replicated":
                    return RetryStore(
                        ReplicatedStore({"us": us, "eu": eu}, journal=rows)
                    )
                regions = {
                    "us": Replicated(us, alike, 0),
                    "eu": Replicated(eu, alike, 1),
                }
                return RetryStore(
                    FallbackStore(regions, write="failover", journal=rows)
                )

            try:
                yield Candidate(name, gates[0], make, places, copies=name != "boto3")
            finally:
                for place in places:
                    place.close()

    return candidates


class Replication:
    """What S3's own replication does between buckets, at once when it can."""

    def __init__(self, gates: Sequence[Gate], places: Sequence[Store]) -> None:
        self._gates = gates
        self._places = places
        self._lock = threading.Lock()
        self._missed: list[dict[Key, int]] = [{} for _ in places]

    def changed(self, source: int, key: Key) -> None:
        """Bring *key* from the region *source* to the other, now or when it is back."""
        other = 1 - source
        with self._lock:
            self._missed[source].pop(key, None)
            self._missed[other][key] = source
            if self._gates[other].mode == "open":
                while self._missed[other]:
                    self._copy(*self._missed[other].popitem(), other)

    def _copy(self, key: Key, source: int, target: int) -> None:
        try:
            content = self._places[source].get(key).read()
        except NotFoundError:
            self._places[target].delete(key)
        else:
            self._places[target].put(key, Body.of(content))


class Replicated(Wrapper):
    """A bucket that is replicated."""

    transparent = True

    def __init__(self, child: Store, replication: Replication, number: int) -> None:
        super().__init__(child)
        self._replication = replication
        self._number = number

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        self.child.put(key, body, reproducible)
        self._replication.changed(self._number, key)

    def _delete(self, key: Key) -> None:
        self.child.delete(key)
        self._replication.changed(self._number, key)


# -- Redis ---------------------------------------------------------------------


def _redis_lane(
    stack: contextlib.ExitStack, folder: Path
) -> Callable[[str], Iterator[Candidate]]:
    servers = [Server(folder / f"redis-{name}") for name in ("us", "eu")]
    for server in servers:
        stack.callback(server.kill)
    gates = [Gate(server.port, http=False) for server in servers]
    numbers = iter(range(1, 1000))

    def client(port: int) -> Any:
        from redis import Redis

        return Redis(host="127.0.0.1", port=port)

    def candidates(fault: str) -> Iterator[Candidate]:
        names = (
            *("replicated (redis)", "MultiDBClient", "MultiDBClient, tuned"),
            "try/except redis-py",
        )
        for name in names:
            for server in servers:
                with server.client() as plain:
                    plain.flushall()
            places = [
                Peer(RedisRegion(client(server.port)))
                if name != "replicated (redis)"
                else RedisStore(f"redis://127.0.0.1:{server.port}/0", timeout=5.0)
                for server in servers
            ]
            journal = str(folder / f"redis-journal-{next(numbers)}")

            def make(name: str = name, journal: str = journal) -> Store:
                ports = (gates[0].port, gates[1].port)
                if name.startswith("MultiDBClient"):
                    return Peer(RedisRegion(multidb(ports, tuned="tuned" in name)))
                if name == "try/except redis-py":
                    return Peer(*(RedisRegion(client(port)) for port in ports))
                us, eu = (
                    RedisStore(
                        f"redis://127.0.0.1:{port}/0",
                        timeout=_ATTEMPT,
                        connect_timeout=_ATTEMPT,
                    )
                    for port in ports
                )
                rows = SQLiteJournal(journal, quarantine=_QUARANTINE)
                return RetryStore(ReplicatedStore({"us": us, "eu": eu}, journal=rows))

            try:
                yield Candidate(name, gates[0], make, places)
            finally:
                for place in places:
                    place.close()

    return candidates


def _table(results: Sequence[dict[str, Any]]) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    columns = (
        *("Fault", "Candidate", "Calls", "Failed", "Untrue or stale", "Paid"),
        *("Slowest", "Failover", "Converged", "Lost", "Resurrected", "Differ"),
    )
    for number, heading in enumerate(columns):
        table.add_column(heading, justify="left" if number < 2 else "right")
    for one in results:
        table.add_row(
            one["fault"],
            one["candidate"],
            str(one["calls"]),
            str(one["failed"]),
            str(one["untrue"] + one["stale"]),
            str(one["paid"]),
            f"{one['slowest']:.2f} s",
            "never" if one["failover"] is None else f"{one['failover']:.1f} s",
            "never" if one["converged"] is None else f"{one['converged']:.2f} s",
            str(one["lost"]),
            str(one["resurrected"]),
            str(one["differ"]),
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
