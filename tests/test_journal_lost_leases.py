"""
What holds when leases are lost and requests arrive late, as they may over a network.
"""

from __future__ import annotations

import math

from collections.abc import Callable

import pytest

from tests.stepped import Crash, Process, SteppedJournal, SteppedStore
from tests.test_replicated_properties import World, content
from tests.thorough import seeds
from tiered_store.errors import UnavailableError
from tiered_store.journals.keylocks import Lease
from tiered_store.journals.memory import MemoryJournal
from tiered_store.key import Key
from tiered_store.testing.clock import FakeClock
from tiered_store.wrappers.replicated import ReplicatedStore


class LosingJournal(MemoryJournal):
    """One whose leases somebody else gets now and then, though they are held."""

    quarantine = 60.0

    def __init__(self, loses: Callable[[], bool], clock: FakeClock) -> None:
        super().__init__(clock=clock)
        self._loses = loses
        self.lost = 0

    def lease(self, key: Key, seconds: float) -> Lease | None:
        found = super().lease(key, seconds)
        if found is None and self._loses():
            self.lost += 1
            return Lease(lambda: None)
        return found


class LateStore(SteppedStore):
    """A replica where what was sent may arrive after nobody waits for it."""

    def __init__(self, *arguments: object, late: list[Callable[[], None]]) -> None:
        super().__init__(*arguments)
        self._late = late

    def _change(self, verb: str, change: Callable[[], None]) -> None:
        try:
            self._process.step()
        except Crash:
            if self._fate(verb) == "late":
                self._late.append(change)
            raise
        fate = self._fate(verb)
        if fate == "late":
            self._late.append(change)
            raise UnavailableError("timed out", ambiguous=True)
        if fate == "before":
            raise UnavailableError("down")
        change()
        self._process.step()
        if fate == "after":
            raise UnavailableError("lost the answer", ambiguous=True)


class LosingWorld(World):
    """
    Writers of one object whose leases are lost, in the order that *seed* says.

    Args:
        deadly: Some of them are killed, each by itself, and requests arrive late.
    """

    def __init__(self, seed: int, *, deadly: bool) -> None:
        self.clock = FakeClock()
        journal = LosingJournal(lambda: self.random.random() < 0.05, self.clock)
        super().__init__(seed, journal)
        self.deadly = deadly
        self.late: list[Callable[[], None]] = []

    def fate(self, verb: str) -> str | None:
        if self.deadly and self.faulty and self.random.random() < 0.1:
            return "late"
        return super().fate(verb)

    def open(self, process: Process) -> ReplicatedStore:
        return ReplicatedStore(
            {
                name: LateStore(backend, process, self.fate, late=self.late)
                for name, backend in self.backends.items()
            },
            journal=SteppedJournal(self.inner, process),
            breaker=None,
            workers=0,
            clock=self.clock,
        )

    def crash(self) -> None:
        """Kill one of them, if any is to be killed."""
        if self.deadly and self.alive:
            process, write = self.random.choice(self.alive)
            process.dead = True
            if write is not None and write.over == math.inf:
                write.over = next(self.ticks)
        if self.late:
            self.late.pop(self.random.randrange(len(self.late)))()

    def look(self, store: ReplicatedStore) -> None:
        if not self.deadly:  # what arrives late is read, too, until it is settled
            super().look(store)

    def run(self, steps: int = 90) -> None:
        kinds = ("put", "put", "delete", "get", "repair")
        for _ in range(steps):
            chance = self.random.random()
            if chance < 0.3 and self.schedule.running < 5:
                self.start(self.random.choice(kinds))
            elif chance < 0.34:
                self.crash()
            else:
                self.schedule.run_one()
        while self.schedule.run_one():
            pass
        while self.late:
            self.late.pop(self.random.randrange(len(self.late)))()
        self.faulty = False
        store = self.open(Process())
        for _ in range(3):
            store.repair()
            self.clock.advance(self.inner.quarantine + 1)
        store.repair()

    def check(self) -> None:
        """Raise unless every replica has the same, and nothing is pending."""
        assert list(self.inner.pending()) == []
        values = {content(backend, self.key) for backend in self.backends.values()}
        assert len(values) == 1
        if not self.deadly:
            self.history.check(values.pop(), next(self.ticks), next(self.ticks))


@pytest.mark.parametrize("deadly", [False, True], ids=["alive", "killed"])
def test_replicas_end_equal_though_leases_are_lost(deadly: bool) -> None:
    """
    With what was acknowledged last, if whoever lost a lease lives to find out.

    If not, a request that arrives late may be the last word, but it is the same word
    everywhere.
    """
    lost = 0
    for seed in seeds(30_000, 40):
        world = LosingWorld(seed, deadly=deadly)
        try:
            world.run()
            world.check()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        lost += world.inner.lost
    assert lost > 20
