"""
Kill processes that write to two directories with one journal, and look what is left.

.. code-block:: text

   python -m tests.kills FOLDER --rounds 200 --seed 7
   python -m tests.kills FOLDER --rounds 200 --journal redis://127.0.0.1:6379/0

In each round two processes put, delete, read and repair a few objects, sometimes with
a replica away, until both are killed.  Afterwards every object must be what some
process may expect, whichever replica is asked first; after a repair the replicas must
be equal.  One process, no threads, so that it may fork.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import random
import signal
import time

from collections.abc import Callable
from pathlib import Path

from tests.histories import Change, History
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.body import Body
from tiered_store.errors import NotFoundError, StoreError
from tiered_store.journals.journal import Journal
from tiered_store.journals.redis import RedisJournal
from tiered_store.journals.sql import SQLJournal
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.key import Key
from tiered_store.replication.placement import ReadPolicy
from tiered_store.store import Store
from tiered_store.testing.faults import FaultStore
from tiered_store.wrappers.replicated import ReplicatedStore


KEYS = [Key("testing", number, 1, 1, "image/png") for number in range(2)]
NAMES = ("us", "eu")


def made_of(token: str) -> bytes:
    """Return an object that shows whether it is whole, and who wrote it."""
    size = int(hashlib.sha256(token.encode()).hexdigest()[:4], 16)
    return (token + "/").encode() * (size // len(token) + 1)


class Place:
    """
    Two directories and a journal.

    Args:
        journal: The URL of one that a fleet shares; by default a file.
    """

    def __init__(self, folder: Path, journal: str | None = None) -> None:
        self.folder = folder
        self.lease_ttl = 0.0 if journal is None else 0.1
        self._url = journal
        self.backends = {
            name: FileSystemStore(str(folder / name), create=True) for name in NAMES
        }

    def open(self, first: str = "us") -> tuple[ReplicatedStore, dict[str, FaultStore]]:
        faults = {name: FaultStore(self.backends[name]) for name in NAMES}
        store = ReplicatedStore(
            faults,
            journal=self._journal(),
            read=ReadPolicy(order=[first]),
            breaker=None,
            workers=0,
        )
        return store, faults

    def _journal(self) -> Journal:
        if self._url is None:
            return SQLiteJournal(str(self.folder / "journal.db"))
        # files have no requests that arrive when their process is dead
        if self._url.startswith("redis"):
            return RedisJournal(self._url, quarantine=0, lease_ttl=self.lease_ttl)
        return SQLJournal(self._url, quarantine=0, lease_ttl=self.lease_ttl)

    def contents(self, key: Key) -> set[bytes | None]:
        return {content(backend, key) for backend in self.backends.values()}


def content(store: Store, key: Key) -> bytes | None:
    try:
        return store.get(key).read()
    except NotFoundError:
        return None


def work(place: Place, name: str, say: Callable[[str], None]) -> None:
    """Write, read and repair for ever, and *say* what begins and how it ends."""
    chance = random.Random(name)
    store, faults = place.open(chance.choice(NAMES))
    store.status()
    say("ready")
    for number in itertools.count():
        if number == 0 or chance.random() < 0.1:
            away = chance.choice([*NAMES, None, None])
            for replica, fault in faults.items():
                fault.heal()
                fault.latency = chance.choice([0.0, 0.0005, 0.002])  # so that they meet
                if replica == away:
                    fault.down()
        if chance.random() < 0.1:
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
        self._pid = os.fork()
        if self._pid == 0:
            try:
                work(place, name, lambda line: write_all(write, line + "\n"))
            finally:
                os._exit(70)  # it never ends by itself
        os.close(write)
        self._pipe = os.fdopen(self._read)

    def wait(self) -> None:
        """Wait until it is about to begin: a connection takes its time."""
        assert self._pipe.readline() == "ready\n"

    def kill(self) -> int:
        """Kill it, and return when it was surely dead."""
        os.kill(self._pid, signal.SIGKILL)
        _, status = os.waitpid(self._pid, 0)
        assert os.WIFSIGNALED(status), f"a worker failed by itself: {status}"
        return time.monotonic_ns()

    def told(self) -> list[str]:
        with self._pipe:
            return self._pipe.read().splitlines()


def write_all(descriptor: int, line: str) -> None:
    assert os.write(descriptor, line.encode()) == len(line)


class Campaign:
    """Rounds of kills, and what is known of each object."""

    def __init__(self, folder: Path, seed: int, journal: str | None = None) -> None:
        self.place = Place(folder, journal)
        self.chance = random.Random(seed)
        self.histories = [History() for _ in KEYS]
        self.counts = {"kills": 0, "acknowledged": 0, "in_doubt": 0, "behind": 0}

    def round(self, number: int) -> None:
        workers = [Worker(self.place, f"{number}.{twin}") for twin in range(2)]
        for worker in workers:
            worker.wait()
        time.sleep(self.chance.uniform(0.005, 0.04))
        for worker in workers:
            killed = worker.kill()
            self.counts["kills"] += 1
            self.note(worker.told(), killed)
        time.sleep(1.2 * self.place.lease_ttl)  # until the leases of the dead end
        self.look()
        if self.chance.random() < 0.6:
            self.repair()

    def note(self, lines: list[str], killed: float) -> None:
        change: Change | None = None
        for line in lines:
            what, index, token, when = line.split()
            if what == "began":
                value = None if token == "-" else made_of(token)
                change = self.histories[int(index)].begin(value, int(when))
            elif change is not None:
                change.over, change.acknowledged = int(when), what == "done"
                self.counts["acknowledged"] += change.acknowledged
                change = None
        if change is not None:
            change.over = killed

    def look(self) -> None:
        """Read everything, asking either replica first."""
        for first in NAMES:
            store, _ = self.place.open(first)
            rows = list(store.pending())
            self.counts["in_doubt"] += sum(row.verb == "in_doubt" for row in rows)
            self.counts["behind"] += sum(row.behind for row in rows)
            for key, history in zip(KEYS, self.histories, strict=True):
                now = time.monotonic_ns()
                history.check(content(store, key), now, time.monotonic_ns())
                history.forget(now)
            store.journal.close()

    def repair(self) -> None:
        store, _ = self.place.open()
        store.repair(parallel=1)
        store.repair(parallel=1)
        assert list(store.pending()) == []
        store.journal.close()
        for key, history in zip(KEYS, self.histories, strict=True):
            now = time.monotonic_ns()
            values = self.place.contents(key)
            assert len(values) == 1, f"{key} differs"
            history.check(values.pop(), now, time.monotonic_ns())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--journal")
    arguments = parser.parse_args()
    campaign = Campaign(arguments.folder, arguments.seed, arguments.journal)
    for number in range(arguments.rounds):
        try:
            campaign.round(number)
        except AssertionError as error:
            raise SystemExit(f"round {number}: {error}"[:2000]) from error
    campaign.repair()
    print(json.dumps(campaign.counts))  # noqa: T201


if __name__ == "__main__":
    main()
