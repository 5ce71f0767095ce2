"""
Comparing and repairing change nothing that a reader can see, whatever happened before.

.. code-block:: text

   python -m tests.test_verify_properties 2000

Random writes with replicas away, writers that died in the middle, repairs and
comparisons, in memory; the seed of what goes wrong is told.
"""

from __future__ import annotations

import random
import sys

from tests.thorough import seeds
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.errors import NotFoundError, StoreError
from tiered_store.journals.memory import MemoryJournal
from tiered_store.journals.row import Intent
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.faults import FaultStore
from tiered_store.wrappers.replicated import ReplicatedStore


NAMES = ("us", "eu", "ap")
KEYS = [Key("testing", number, 1, 1, "image/png") for number in range(4)]
STEPS = 40


def content(store: Store, key: Key) -> bytes | None:
    try:
        return store.get(key).read()
    except NotFoundError:
        return None


class World:
    """Replicas, and what each object may be: one value, or several after a crash."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.clock = FakeClock()
        names = NAMES[: self.chance.choice([2, 3])]
        self.faults = {name: FaultStore(MemoryStore()) for name in names}
        self.journal = MemoryJournal(clock=self.clock)
        self.store = ReplicatedStore(
            self.faults,
            journal=self.journal,
            breaker=None,
            workers=0,
            clock=self.clock,
        )
        self.may_be: dict[Key, set[bytes | None]] = {key: {None} for key in KEYS}

    def run(self) -> None:
        steps = [self.write] * 6 + [self.crash, self.outage, self.outage]
        steps += [self.repair, self.verify, self.verify, self.read]
        for number in range(STEPS):
            self.number = number
            self.chance.choice(steps)()
        for fault in self.faults.values():
            fault.up()
        self.store.verify(repair=True)
        self.read()
        left = self.store.verify(compare="bytes").left
        assert left == 0
        for key in KEYS:
            (value,) = self.may_be[key]
            assert {content(one.child, key) for one in self.faults.values()} == {value}

    def write(self) -> None:
        key = self.chance.choice(KEYS)
        value = None
        if self.chance.random() < 0.6:
            value = str(self.number).encode() * 3
        try:
            if value is None:
                self.store.delete(key)
            else:
                self.store.put(key, Body.of(value))
        except StoreError:
            # nobody took it; a delete is remembered all the same
            self.may_be[key] = self.may_be[key] | {value} if value else {None}
        else:
            self.may_be[key] = {value}

    def crash(self) -> None:
        """Die in a write, after it has reached some replicas."""
        key = self.chance.choice(KEYS)
        value = f"crash {self.number}".encode()
        intent: Intent = self.chance.choice(["put", "delete"])
        self.journal.begin(key, dict.fromkeys(self.faults, intent))
        for fault in self.faults.values():
            if self.chance.random() < 0.5:
                if intent == "put":
                    fault.child.put(key, Body.of(value))
                else:
                    fault.child.delete(key)
        self.may_be[key] = self.may_be[key] | {value if intent == "put" else None}

    def outage(self) -> None:
        for fault in self.faults.values():
            if self.chance.random() < 0.4:
                fault.down()
            else:
                fault.up()

    def repair(self) -> None:
        self.store.repair(due=self.chance.random() < 0.5)

    def verify(self) -> None:
        try:
            self.store.verify(repair=True)
        except StoreError:
            return  # a replica could not be listed

    def read(self) -> None:
        for key in KEYS:
            try:
                value = content(self.store, key)
            except StoreError:
                continue
            assert value in self.may_be[key], f"{value!r} is none of {self.may_be[key]}"
            if not self.journal.rows(key):
                self.may_be[key] = {value}


def campaign(seeds: range) -> None:
    for seed in seeds:
        try:
            World(seed).run()
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error


def test_comparing_changes_nothing_that_a_reader_can_see() -> None:
    """While the journal is there, a comparison is as safe as a repair."""
    campaign(seeds(0, 50))


if __name__ == "__main__":
    campaign(range(int(sys.argv[1])))
