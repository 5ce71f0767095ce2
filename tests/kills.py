"""
Kill processes that write to replicas with one journal, and look what is left.

.. code-block:: text

   python -m tests.kills FOLDER --rounds 200 --seed 7
   python -m tests.kills FOLDER --rounds 200 --journal redis
   python -m tests.kills FOLDER --rounds 200 --replicas mixed

In each round two processes put, delete, read and repair a few objects, sometimes with
a replica away, until both are killed: at a step of a write, a repair or a recovery that
was drawn beforehand, or at any instruction.  Afterwards every object must be what some
process may expect, whichever replica is asked first; after a repair the replicas must
be equal.  The campaign itself has no threads, so that it may fork.

The journal is a file, on a ``redis`` or ``postgres`` server that is started for it, or
wherever an URL leads.  Replicas are ``directories``, buckets of an ``s3`` server that
keeps them on disk, or ``mixed``.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import os
import random
import signal
import time
import traceback

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from tests.histories import Change, History
from tests.killing import KilledJournal, KilledStore, Killer
from tests.servers.postgres import _starting as postgres_servers
from tests.servers.redis import _starting as redis_servers
from tests.servers.s3 import S3Server, start_s3
from tests.waiting import PATIENT, until
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.body import Body
from tiered_store.errors import InconclusiveError, NotFoundError, StoreError
from tiered_store.journals.journal import Journal
from tiered_store.journals.redis import RedisJournal
from tiered_store.journals.row import Row
from tiered_store.journals.sql import SQLJournal
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.key import Key
from tiered_store.replication.placement import ReadPolicy
from tiered_store.store import Store
from tiered_store.testing.faults import FaultStore
from tiered_store.wrappers.replicated import ReplicatedStore


KEYS = [Key("testing", number, 1, 1, "image/png") for number in range(2)]
NAMES = ("us", "eu")
LINGER = 0.3  # seconds that a request to the server may outlive its sender
_CLOSE_WAIT = "08"  # as Linux lists it
_SECONDS = 280  # that a worker may go on without being killed, on a slow machine


def made_of(token: str) -> bytes:
    """Return an object that shows whether it is whole, and who wrote it."""
    size = int(hashlib.sha256(token.encode()).hexdigest()[:4], 16)
    return (token + "/").encode() * (size // len(token) + 1)


class Place:
    """
    Two replicas and a journal.

    Args:
        journal: The URL of one that a fleet shares; by default a file.
        server: Where those replicas are that are no directories.
    """

    def __init__(
        self,
        folder: Path,
        journal: str | None = None,
        server: S3Server | None = None,
        buckets: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder
        self.lease_ttl = 0.0 if journal is None else 0.1
        self.linger = LINGER if buckets else 0.0
        self._url = journal
        self._ports = () if server is None else server.ports
        self.backends: dict[str, Store] = {
            name: server.store(server.make_bucket(), **PATIENT)
            if server is not None and name in buckets
            else FileSystemStore(str(folder / name), create=True)
            for name in NAMES
        }

    def open(
        self, first: str = "us", killer: Killer | None = None, **options: object
    ) -> tuple[ReplicatedStore, dict[str, FaultStore]]:
        journal: Journal = self._journal()
        faults = {name: FaultStore(self.backends[name]) for name in NAMES}
        stores: dict[str, Store] = dict(faults)
        if killer is not None:
            journal = KilledJournal(journal, killer)
            stores = {name: KilledStore(faults[name], killer) for name in NAMES}
        store = ReplicatedStore(
            stores,
            journal=journal,
            read=ReadPolicy(order=[first]),
            breaker=None,
            **{"workers": 0, **options},
        )
        return store, faults

    def _journal(self) -> Journal:
        quarantine = self.linger  # files have no requests that outlive their process
        if self._url is None:
            path = str(self.folder / "journal.db")
            return SQLiteJournal(path, quarantine=quarantine)
        options = {"quarantine": quarantine, "lease_ttl": self.lease_ttl}
        options["timeout"] = 60.0  # a busy machine is no outage of the journal
        if self._url.startswith("redis"):
            return RedisJournal(self._url, **options)
        return SQLJournal(self._url, **options)

    def rest(self) -> None:
        """Wait until the server is through with what the dead have asked of it."""
        until(lambda: not forsaken(self._ports))

    def contents(self, key: Key) -> set[bytes | None]:
        return {content(backend, key) for backend in self.backends.values()}


def forsaken(ports: Collection[int]) -> bool:
    """Tell whether a server on *ports* has yet to hang up on somebody who did."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    for _, local, _, state, *_ in map(str.split, lines):
        if state == _CLOSE_WAIT and int(local.rpartition(":")[2], 16) in ports:
            return True
    return False


def is_overtaken(rows: Mapping[str, Row]) -> bool:
    """
    Tell whether a lease that was lost may have left old bytes on every replica.

    It ends by time where there is a server in between, and a busy machine stops its
    holder for longer.  Then nobody is believed before a repair, which is an error to
    whoever reads, and never a wrong answer.
    """
    return any(row.met for row in rows.values()) and all(
        row.behind for row in rows.values()
    )


def content(store: Store, key: Key) -> bytes | None:
    try:
        return store.get(key).read()
    except NotFoundError:
        return None


def work(place: Place, name: str, say: Callable[[str], None]) -> None:
    """Write, read and repair for ever, and *say* what begins and how it ends."""
    chance = random.Random(name)
    step = chance.choice([None, chance.randrange(1, 70), chance.randrange(1, 70)])
    killer = Killer(step, say)
    hurry = chance.random() < 0.3
    store, faults = place.open(
        chance.choice(NAMES),
        killer,
        ack="quorum" if hurry else "all",
        workers=4 if hurry else 0,
    )
    store.status()
    say("ready at any time" if step is None else "ready at a step")
    for number in itertools.count():
        if number == 0 or chance.random() < 0.1:
            away = chance.choice([*NAMES, None, None])
            for replica, fault in faults.items():
                fault.heal()
                fault.latency = chance.choice([0.0, 0.0005, 0.002])  # so that they meet
                if replica == away:
                    fault.down()
        if chance.random() < (0.5 if number == 0 else 0.2):  # what the dead left
            store.repair(parallel=1)
        index = chance.randrange(len(KEYS))
        token = f"{name}.{number}" if chance.random() < 0.7 else ""
        say(f"began {index} {token or '-'} {time.monotonic_ns()}")
        try:
            if token:
                store.put(KEYS[index], Body.of(made_of(token)))
            else:
                store.delete(KEYS[index])
        except StoreError:
            say(f"failed {index} - {time.monotonic_ns()}")
        else:
            say(f"done {index} - {time.monotonic_ns()}")


class Worker:
    """A process that does :func:`work`."""

    def __init__(self, place: Place, name: str) -> None:
        self._read, write = os.pipe()
        self.dies = False
        self._pid = os.fork()
        if self._pid == 0:
            signal.alarm(_SECONDS)
            try:
                work(place, name, lambda line: write_all(write, line + "\n"))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(70)  # it never ends by itself
        os.close(write)
        self._pipe = os.fdopen(self._read)

    def wait(self) -> None:
        """Wait until it is about to begin: a connection takes its time."""
        line = self._pipe.readline()
        assert line.startswith("ready"), line
        self.dies = line == "ready at a step\n"

    def kill(self) -> int:
        """Kill it, unless it does so itself, and return when it was surely dead."""
        if not self.dies:
            os.kill(self._pid, signal.SIGKILL)
        _, status = os.waitpid(self._pid, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        assert killed, f"a worker failed by itself: {status}"
        return time.monotonic_ns()

    def told(self) -> list[str]:
        with self._pipe:
            return self._pipe.read().splitlines()


def write_all(descriptor: int, line: str) -> None:
    assert os.write(descriptor, line.encode()) == len(line)


class Campaign:
    """Rounds of kills, and what is known of each object."""

    def __init__(self, place: Place, seed: int) -> None:
        self.place = place
        self.seed = seed
        self.chance = random.Random(seed)
        self.histories = [History() for _ in KEYS]
        self.counts = Counter(
            {"kills": 0, "acknowledged": 0, "in_doubt": 0, "behind": 0, "repairs": 0}
        )
        self.steps: Counter[str] = Counter()

    def round(self, number: int) -> None:
        name = f"{self.seed}.{number}"
        workers = [Worker(self.place, f"{name}.{twin}") for twin in range(2)]
        for worker in workers:
            worker.wait()
        time.sleep(self.chance.uniform(0.005, 0.04) * (4 if self.place.linger else 1))
        for worker in workers:
            killed = worker.kill()
            self.counts["kills"] += 1
            self.note(worker.told(), killed + int(self.place.linger * 1e9))
        self.place.rest()  # a machine that is busy enough outlives any linger
        time.sleep(1.2 * self.place.lease_ttl)  # until the leases of the dead end
        self.look()
        if self.chance.random() < 0.3:
            self.repair()

    def note(self, lines: list[str], killed: float) -> None:
        change: Change | None = None
        for line in lines:
            what, *rest = line.split()
            if what == "died":
                self.steps[rest[0]] += 1
                continue
            index, token, when = rest
            if what == "began":
                value = None if token == "-" else made_of(token)
                change = self.histories[int(index)].begin(value, int(when))
            elif change is not None:
                change.over, change.acknowledged = int(when), what == "done"
                self.counts["acknowledged"] += change.acknowledged
                change = None
        if change is not None:
            change.over = killed

    def told(self, number: int, error: Exception) -> str:
        """Return what went wrong, and what the journal knows."""
        store, _ = self.place.open()
        lines = [f"seed {self.seed}, round {number}: {error!s:.1000}"]
        lines += [f"{row}" for row in store.pending()]
        for key in KEYS:
            found = [content(one, key) for one in self.place.backends.values()]
            lines.append(f"{key}: {[value and value[:20] for value in found]}")
        return "\n".join(lines)

    def look(self) -> None:
        """Read everything, asking either replica first."""
        for first in NAMES:
            store, _ = self.place.open(first)
            rows = list(store.pending())
            self.counts["in_doubt"] += sum(row.verb == "in_doubt" for row in rows)
            self.counts["behind"] += sum(row.behind for row in rows)
            for key, history in zip(KEYS, self.histories, strict=True):
                began = time.monotonic_ns()
                try:
                    value = content(store, key)
                except InconclusiveError:
                    if not is_overtaken(store.missed(key)):
                        raise
                    self.counts["unsure"] += 1
                    continue
                history.check(value, began, time.monotonic_ns())
                history.forget(began)
            store.journal.close()

    def repair(self) -> None:
        store, _ = self.place.open()
        self.counts["repairs"] += 1
        for _ in range(4):  # a quarantine begins when somebody looks, twice at most
            store.repair(parallel=1)
            if not list(store.pending()):
                break
            time.sleep(self.place.linger)
        assert list(store.pending()) == [], "diverged for ever"
        store.journal.close()
        for key, history in zip(KEYS, self.histories, strict=True):
            now = time.monotonic_ns()
            values = self.place.contents(key)
            assert len(values) == 1, f"{key} differs"
            history.check(values.pop(), now, time.monotonic_ns())


@contextlib.contextmanager
def placed(folder: Path, replicas: str, journal: str | None) -> Iterator[Place]:
    """Lend a place in *folder*, and whatever servers it needs."""
    buckets = {"directories": (), "s3": NAMES, "mixed": NAMES[1:]}[replicas]
    with contextlib.ExitStack() as servers:
        url = servers.enter_context(kept(folder, journal))
        if not buckets:
            yield Place(folder, url)
            return
        below = folder / "server"
        below.mkdir()
        server = start_s3("seaweed", below)
        servers.callback(server.stop)
        yield Place(folder, url, server, buckets)


@contextlib.contextmanager
def kept(folder: Path, journal: str | None) -> Iterator[str | None]:
    """Lend the URL of a *journal*, and the server that is named instead of one."""
    if journal == "redis":
        with redis_servers(folder) as start:
            yield start("--appendonly", "yes", "--appendfsync", "always").url
    elif journal == "postgres":
        with postgres_servers(folder) as start:
            yield start().url
    else:
        yield journal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--journal")
    kinds = ["directories", "s3", "mixed"]
    parser.add_argument("--replicas", choices=kinds, default="directories")
    arguments = parser.parse_args()
    with placed(arguments.folder, arguments.replicas, arguments.journal) as place:
        campaign = Campaign(place, arguments.seed)
        for number in range(arguments.rounds):
            try:
                campaign.round(number)
            except (AssertionError, StoreError) as error:
                raise SystemExit(campaign.told(number, error)) from error
        campaign.repair()
    told = {"seed": arguments.seed, **campaign.counts, "steps": campaign.steps}
    print(json.dumps(told))  # noqa: T201


if __name__ == "__main__":
    main()
