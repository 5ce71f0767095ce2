"""
What holds of mirrored writes under any faults, crashes and interleavings.

Every operation is held against what a dictionary that had seen the same operations
could answer: the last acknowledged write, or one that began since and may have
happened.  That is invariants 1 to 5 and 8 to 12 of the testing kit: no invention,
durability, reading one's writes, no resurrection, truthful absence, convergence,
crash consistency, ambiguity, idempotence and order.
"""

from __future__ import annotations

import itertools
import math
import tempfile

from pathlib import Path

import pytest

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.histories import Change, History
from tests.stepped import (
    Crash,
    Process,
    Schedule,
    ScheduledProcess,
    SteppedJournal,
    SteppedStore,
)
from tests.thorough import TIMES, chunks, seeds
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.errors import NotFoundError, PartialWriteError, StoreError
from tiered_store.journals.journal import Journal
from tiered_store.journals.memory import MemoryJournal
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.key import Key
from tiered_store.replication.placement import ReadPolicy
from tiered_store.store import Store
from tiered_store.wrappers.replicated import ReplicatedStore


KEYS = [Key("testing", number, 1, 1, "image/png") for number in range(2)]
FATES = (None, None, None, "before", "after")


def content(store: Store, key: Key) -> bytes | None:
    try:
        return store.get(key).read()
    except NotFoundError:
        return None


# -- one process after the other ---------------------------------------------


class Mirrored(RuleBasedStateMachine):
    """
    One client at a time, replicas that come and go, and crashes at any step.

    After a crash another process goes on with the same journal.
    """

    @initialize(replicas=st.integers(2, 3), on_disk=st.booleans())
    def begin(self, replicas: int, on_disk: bool) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.backends = {name: MemoryStore() for name in ("us", "eu", "ap")[:replicas]}
        self.fates: dict[str, list[str | None]] = {name: [] for name in self.backends}
        self.down: set[str] = set()
        self.inner: Journal = MemoryJournal()
        if on_disk:
            self.inner = SQLiteJournal(str(Path(self.folder.name) / "journal.db"))
        self.possible: dict[Key, set[bytes | None]] = {key: {None} for key in KEYS}
        self.written = itertools.count()
        self.restart(list(self.backends), None)

    @rule(
        order=st.permutations(["us", "eu", "ap"]),
        dies_at=st.none() | st.integers(0, 14),
    )
    def restart(self, order: list[str], dies_at: int | None) -> None:
        """Go on as a new process, that reads in *order* and may be doomed."""
        self.process = Process(dies_at)

        def fate(name: str, verb: str) -> str | None:
            if name in self.down:
                return "before"
            return self.fates[name].pop() if self.fates[name] else None

        self.store = ReplicatedStore(
            {
                name: SteppedStore(
                    backend, self.process, lambda verb, name=name: fate(name, verb)
                )
                for name, backend in self.backends.items()
            },
            journal=SteppedJournal(self.inner, self.process),
            read=ReadPolicy(order=[name for name in order if name in self.backends]),
            breaker=None,
            workers=0,
        )

    @rule(name=st.sampled_from(["us", "eu", "ap"]), away=st.booleans())
    def come_and_go(self, name: str, away: bool) -> None:
        if away:
            self.down.add(name)
        else:
            self.down.discard(name)

    @rule(
        name=st.sampled_from(["us", "eu", "ap"]),
        fates=st.lists(st.sampled_from(FATES), max_size=4),
    )
    def have_bad_luck(self, name: str, fates: list[str | None]) -> None:
        if name in self.fates:
            self.fates[name] = fates

    @rule(key=st.sampled_from(KEYS))
    def put(self, key: Key) -> None:
        new = b"%d" % next(self.written)
        try:
            self.store.put(key, Body.of(new))
        except PartialWriteError:
            self.possible[key].add(new)
        except Crash:
            self.possible[key].add(new)
            self.restart(list(self.backends), None)
        else:
            self.possible[key] = {new}

    @rule(key=st.sampled_from(KEYS))
    def delete(self, key: Key) -> None:
        try:
            self.store.delete(key)
        except PartialWriteError:
            self.possible[key].add(None)
        except Crash:
            self.possible[key].add(None)
            self.restart(list(self.backends), None)
        else:
            self.possible[key] = {None}

    @rule(key=st.sampled_from(KEYS))
    def get(self, key: Key) -> None:
        try:
            found = content(self.store, key)
        except StoreError:
            return
        except Crash:
            self.restart(list(self.backends), None)
            return
        assert found in self.possible[key]

    @rule()
    def list_keys(self) -> None:
        try:
            listed = set(self.store.keys())
        except StoreError:
            return
        except Crash:
            self.restart(list(self.backends), None)
            return
        for key, possible in self.possible.items():
            assert key in listed or None in possible
            assert key not in listed or possible != {None}

    @rule(name=st.none() | st.sampled_from(["us", "eu"]))
    def repair(self, name: str | None) -> None:
        try:
            self.store.repair(name)
        except Crash:
            self.restart(list(self.backends), None)

    @invariant()
    def never_grows(self) -> None:
        """One row a replica and object, whatever happened."""
        if hasattr(self, "inner"):
            rows = list(self.inner.pending())
            assert len(rows) == len({(row.replica, row.key) for row in rows})
            assert sum(backlog.rows for backlog in self.inner.backlogs().values()) == (
                len(rows)
            )

    def teardown(self) -> None:
        if not hasattr(self, "inner"):
            return
        self.down.clear()
        self.fates = {name: [] for name in self.backends}
        self.restart(list(self.backends), None)
        self.store.repair()
        self.store.repair()
        assert list(self.inner.pending()) == []
        for key, possible in self.possible.items():
            values = {content(backend, key) for backend in self.backends.values()}
            assert len(values) == 1
            assert values <= possible
            assert values == {content(self.store, key)}
        self.inner.close()
        self.folder.cleanup()


TestMirrored = Mirrored.TestCase
TestMirrored.settings = settings(
    max_examples=80 * TIMES, stateful_step_count=30, deadline=None, derandomize=True
)


# -- several processes at once -----------------------------------------------


class World:
    """Writers, readers and repairs of one object, in the order that *seed* says."""

    key = KEYS[0]

    def __init__(self, seed: int, inner: Journal) -> None:
        self.schedule = Schedule(seed)
        self.random = self.schedule.random
        self.backends = {
            name: MemoryStore() for name in self.random.choice(["ab", "abc"])
        }
        self.inner = inner
        self.history = History()
        self.faulty = True
        self.written = itertools.count(1)
        self.alive: list[tuple[ScheduledProcess, Change | None]] = []
        self.ticks = itertools.count(1)

    def fate(self, verb: str) -> str | None:
        chance = self.random.random() if self.faulty else 1.0
        if chance < 0.25:
            return "before"
        return "after" if chance < 0.4 else None

    def open(self, process: Process) -> ReplicatedStore:
        names = list(self.backends)
        self.random.shuffle(names)
        return ReplicatedStore(
            {
                name: SteppedStore(self.backends[name], process, self.fate)
                for name in names
            },
            journal=SteppedJournal(self.inner, process),
            breaker=None,
            workers=0,
        )

    def start(self, kind: str) -> None:
        process = ScheduledProcess(self.schedule)
        store = self.open(process)
        write = None
        if kind == "put":
            value = b"%d" % next(self.written)
            write = self.history.begin(value, next(self.ticks))
        elif kind == "delete":
            write = self.history.begin(None, next(self.ticks))
        self.alive.append((process, write))

        def work() -> None:
            if write is not None:
                self.change(store, write)
            elif kind == "get":
                self.look(store)
            else:
                store.repair(parallel=1)

        self.schedule.start(work)

    def change(self, store: Store, write: Change) -> None:
        try:
            if write.value is None:
                store.delete(self.key)
            else:
                store.put(self.key, Body.of(write.value))
            write.acknowledged = True
        except PartialWriteError:
            pass
        write.over = next(self.ticks)

    def look(self, store: Store) -> None:
        began = next(self.ticks)
        try:
            found = content(store, self.key)
        except StoreError:
            return
        self.history.check(found, began, next(self.ticks))

    def crash(self) -> None:
        """Kill everybody; what they were at may have happened until now."""
        for process, _ in self.alive:
            process.dead = True
        while self.schedule.run_one():
            pass
        for _, write in self.alive:
            if write is not None and write.over == math.inf:
                write.over = next(self.ticks)
        self.alive.clear()

    def run(self, steps: int = 90) -> None:
        kinds = ("put", "put", "delete", "get", "get", "repair")
        for _ in range(steps):
            chance = self.random.random()
            if chance < 0.3 and self.schedule.running < 5:
                self.start(self.random.choice(kinds))
            elif chance < 0.32:
                self.crash()
            else:
                self.schedule.run_one()
        while self.schedule.run_one():
            pass
        self.faulty = False
        store = self.open(Process())
        store.repair()
        store.repair()
        assert list(self.inner.pending()) == []
        values = {content(backend, self.key) for backend in self.backends.values()}
        assert len(values) == 1
        self.history.check(values.pop(), next(self.ticks), next(self.ticks))


# from 300 on: the first that shows what becomes of reads that believe who is behind
@pytest.mark.parametrize("chunk", chunks(300, 4, each=50), ids=str)
def test_any_interleaving_is_answered_truly_and_converges(chunk: range) -> None:
    """Fifty schedules each; a failure names its seed."""
    for seed in chunk:
        try:
            World(seed, MemoryJournal()).run()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def test_any_interleaving_on_disk(tmp_path: Path) -> None:
    """The same with the journal that is used in earnest."""
    for seed in seeds(10_000, 20):
        journal = SQLiteJournal(str(tmp_path / f"{seed}.db"))
        try:
            World(seed, journal).run()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        finally:
            journal.close()
