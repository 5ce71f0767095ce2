"""
A random check of the protocol by which replicas of one object end equal.

It is a model around the product's own journal: one object, two or three replicas, two
or three processes on hosts of their own.  Between any two steps of one anybody may
overtake, fail, die or lose its lease, and what was sent may arrive when nobody waits
for it any more; in half of the worlds, that is, as the other half is one machine, where
neither happens.

What is read must be a value whose writing had begun, and must not have been over when
a write began that was acknowledged before the read did.  A request that arrives late is
a write that is not over.  When all is quiet, repairs must leave all replicas with one
such value and the journal empty; and if that was lost on the way, verifying must.

    python -m tests.model_mirror 20000 [variant...]
    python -m tests.model_mirror --trace SEED [variant]
"""

from __future__ import annotations

import random
import sys

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.model_mirror_protocol import (
    KEY,
    VARIANTS,
    Change,
    Hold,
    LostError,
    ModelJournal,
    Protocol,
    Steps,
    Value,
)
from tiered_store.testing.clock import FakeClock


QUARANTINE = 8  # ticks, within which what is late takes effect
STEPS = 160
FATES = "before", "after", "never", "late"  # of a request that fails


class ViolationError(AssertionError):
    """The protocol allowed what must not be."""


class Flight:
    """A request that was sent, until it has taken effect."""

    def __init__(self, host: int, name: str, value: Value) -> None:
        self.host, self.name, self.value = host, name, value


class World(Protocol):
    """Who is next, what goes wrong, and whether what is read is right."""

    def __init__(self, seed: int, without: str = "", *, trace: bool = False) -> None:
        self.without = without
        self.trace = trace
        self.random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.clock = FakeClock()
        self.moment = 0
        self.changes = [Change(None, -2, -1, -1)]
        self.holder: Hold | None = None
        self.lost: list[Hold] = []
        self.actors: list[tuple[int, Hold | None, Change | None, Steps]] = []
        self.flights: list[Flight] = []
        self.zombies: list[tuple[float, Flight, Change]] = []
        self.ghosts: dict[Hold, Change] = {}
        self.forgotten = self.drifted = False
        self.number = 0
        self._vary()

    def _vary(self) -> None:
        """Make this world unlike others, so that rare things are common in some."""
        chance, choice = self.random.random, self.random.choice
        self.fleet = chance() < 0.5
        self.journal = ModelJournal(
            self.without, float(QUARANTINE) if self.fleet else 0.0, self.clock
        )
        names = choice((("us", "eu"), ("us", "eu"), ("us", "eu", "ap")))
        self.replicas = dict.fromkeys(names)
        self.hosts = choice((1, 2, 2, 3))
        self.quorum = choice((1, 1, 2))
        self.hurried = chance() < 0.4
        self.cheap = chance() < 0.1
        self.failing = choice((0.0, 0.1, 0.3, 0.5))
        self.weak = choice((0.0, 0.0, 0.03))  # the journal
        self.deletes = choice((0.0, 0.3, 0.6))
        self.faults = [f for f in ("crash", "lose", "down") if chance() < 0.5]
        self.faults += ["lose"] * choice((0, 0, 3))
        self.drifts = not self.fleet and chance() < 0.3
        self.forgets = chance() < 0.05
        self.down: set[str] = set()
        self.hasty = 0.1 + chance() * 0.5
        self.rates = [
            rate * choice((0.3, 1, 1, 3)) for rate in (0.2, 0.2, 0.1, 0.1, 0.2)
        ]

    def note(self, *what: object) -> None:
        if self.trace:
            rows = {
                name: (row.verb, row.prior, row.sequence, row.quarantine)
                for name, row in self.journal.rows(KEY).items()
            }
            line = (self.clock.time(), *what, self.replicas, rows)
            sys.stdout.write(" ".join(map(str, line)) + "\n")

    def now(self) -> int:
        self.moment += 1
        return self.moment

    # -- what becomes of requests ----------------------------------------------

    def ask(self, host: int, name: str, verb: str, value: Value = None) -> Steps:
        yield
        fate = self.fate_of(name, verb)
        if verb == "get":
            if fate:
                raise LostError(ambiguous=False)
            return self.replicas[name]
        if fate == "before":
            raise LostError(ambiguous=False)
        flight = Flight(host, name, value)
        self.flights.append(flight)
        yield
        self.flights.remove(flight)
        if fate == "late":
            self._leave_behind(flight)
        elif fate != "never":
            self._land(flight)
            yield
        if fate:
            raise LostError(ambiguous=True)
        return None

    def fate_of(self, name: str, verb: str) -> str:
        if name in self.down:
            return "before"
        if self.random.random() >= self.failing:
            return ""
        return self.random.choice(FATES if self.fleet else FATES[:2])

    def _land(self, flight: Flight) -> None:
        self.replicas[flight.name] = flight.value
        self.note("  ", flight.name, "has", flight.value)

    def _leave_behind(self, flight: Flight) -> None:
        ends = self.clock.time() + self.random.randrange(1, QUARANTINE)
        lost = [hold.lost_at for hold in self.lost if hold.host == flight.host]
        # what a writer does without a lease is over within a quarantine of losing it
        ends = min([ends, *(at + QUARANTINE - 1 for at in lost)])
        ghost = Change(flight.value, self.now())
        self.changes.append(ghost)
        self.zombies.append((ends, flight, ghost))
        self.note("late", flight.name, flight.value, "by", ends)

    def tell(self, work: Callable[[], Any]) -> Steps:
        journal = self.journal
        yield
        failing = self.random.random() < self.weak
        if failing and self.random.random() < 0.5:
            raise LostError(ambiguous=False)
        if journal is not self.journal:  # it was replaced while it was in use
            raise LostError(ambiguous=True)
        answer = work()
        if failing:
            raise LostError(ambiguous=True)
        return answer

    # -- leases ------------------------------------------------------------------

    def take(self, host: int, *, wait: bool) -> Steps:
        while self.holder is not None and not self.breaks("no lease"):
            if not wait:
                return None
            yield
        self.holder = Hold(host)
        return self.holder

    def release(self, hold: Hold) -> None:
        if self.holder is hold:
            self.holder = None
        if hold in self.lost:
            self.lost.remove(hold)
        if hold in self.ghosts:
            self.ghosts.pop(hold).over = self.now()

    def lose(self) -> None:
        """Somebody else may have the lease, whose holder goes on."""
        hold = self.holder
        if hold is None or not self.fleet:
            return
        self.note("the lease of", hold.host, "is lost")
        hold.lost_at = self.clock.time()
        self.holder = None
        self.lost.append(hold)

    # -- who does what -----------------------------------------------------------

    def writing(self, host: int) -> Steps:
        self.number += 1
        gone = self.random.random() < self.deletes
        change = Change(None if gone else self.number, self.now())
        self.changes.append(change)
        hold = yield from self.take(host, wait=True)
        self.note(host, "writes", change.value)
        try:
            yield from self.write(host, change, hold)
        finally:
            change.over = self.now()
            self.release(hold)

    def is_refused(self) -> bool:
        return self.random.random() < 0.05

    def any_of(self, names: list[str]) -> str:
        return self.random.choice(names)

    def acknowledge(self, change: Change) -> None:
        change.acknowledged = self.now()
        self.counts["acknowledged"] += 1
        self.note("acknowledged", change.value)

    def reading(self, host: int) -> Steps:
        began = self.now()
        self.counts["reads"] += 1
        found = yield from self.read(host)
        if not found:
            self.counts["inconclusive"] += 1
        elif not self.forgotten:
            self.note(host, "reads", found[0])
            self.check(found[0], began, "a read")

    def check(self, value: Value, began: int, what: str) -> None:
        newest = max(c.began for c in self.changes if c.acknowledged <= began)
        legal = {c.value for c in self.changes if c.over >= newest}
        if value not in legal:
            acked = any(c.value == value and c.over < newest for c in self.changes)
            kind = "invented" if not acked else "resurrected"
            newer = {c.value for c in self.changes if c.over >= newest}
            if value is None:
                kind = "lost"
            elif None not in newer:
                kind = "old"
            raise ViolationError(f"{what}: {kind}")

    def repairing(self, host: int) -> Steps:
        hold = yield from self.take(host, wait=False)
        if hold is None:
            return
        self.counts["repairs"] += 1
        try:
            yield from self.repair(host)
        finally:
            self.release(hold)

    # -- what goes wrong -----------------------------------------------------------

    def happen(self) -> None:
        if self.forgets and self.random.random() < 0.1:
            self._forget()
        if self.drifts and not self.actors and not self.journal.rows(KEY):
            self._drift()
        if not self.faults:
            return
        fault = self.random.choice(self.faults)
        if fault == "crash":
            self.crash(self.random.randrange(self.hosts))
        elif fault == "lose":
            self.lose()
        elif self.down or self.random.random() < 0.5:
            self.down = set()
        else:
            self.down = {self.random.choice(list(self.replicas))}

    def crash(self, host: int) -> None:
        self.note(host, "dies")
        self.counts["crashes"] += 1
        for flight in [one for one in self.flights if one.host == host]:
            self.flights.remove(flight)
            if self.fleet and self.random.random() < 0.5:
                self._leave_behind(flight)
        dying = [actor for actor in self.actors if actor[0] == host]
        self.actors = [actor for actor in self.actors if actor[0] != host]
        for *_, steps in dying:
            steps.close()

    def _drift(self) -> None:
        """Have somebody delete the object behind our back, where it is not alone."""
        values = set(self.replicas.values())
        if len(values) == 1 and None not in values and not self.cheap:
            self.drifts, self.drifted = False, True
            name = self.random.choice(list(self.replicas))
            self.replicas[name] = None
            self.note("somebody deletes it on", name)

    def _forget(self) -> None:
        """Lose the journal; from now on only that replicas end equal is promised."""
        self.note("the journal is lost")
        self.forgotten = True
        self.journal = ModelJournal(self.without, self.journal.quarantine, self.clock)

    def tick(self) -> None:
        """Let time pass, after all that must have happened by now."""
        now = self.clock.time()
        for hold in list(self.lost):
            if hold.lost_at + QUARANTINE - 1 <= now:
                self.crash(hold.host)  # or it would have to be done by now
                self.release(hold)
        for zombie in [zombie for zombie in self.zombies if zombie[0] <= now]:
            self._arrive_late(zombie)
        self.clock.advance(1)

    def _arrive_late(self, zombie: tuple[float, Flight, Change]) -> None:
        self.zombies.remove(zombie)
        _, flight, ghost = zombie
        self._land(flight)
        ghost.over = self.now()

    def surprise(self) -> None:
        if self.zombies:
            self._arrive_late(self.random.choice(self.zombies))

    # -- who is next -----------------------------------------------------------------

    def advance(self) -> None:
        if self.actors and self.random.random() > self.hasty:
            self.step(self.random.randrange(len(self.actors)))
            return
        host = self.random.randrange(self.hosts)
        things = (
            lambda: self.start(host, self.writing(host), "w"),
            lambda: self.start(host, self.reading(host), "r"),
            lambda: self.start(host, self.repairing(host), "x"),
            self.happen,
            self.tick,
        )
        self.random.choices(things, self.rates)[0]()
        if self.random.random() < 0.1:
            self.surprise()

    def start(self, host: int, steps: Steps, kind: str) -> None:
        if len(self.actors) < 5:
            self.actors.append((host, None, None, steps))

    def step(self, index: int) -> None:
        try:
            next(self.actors[index][-1])
        except (StopIteration, LostError):
            del self.actors[index]

    def settle(self) -> None:
        """Let everything come to an end, repair, and see that all is equal."""
        self.note("all is quiet")
        self.failing = self.weak = 0.0
        self.down = set()
        for _ in range(5000):
            if not self.actors:
                break
            self.step(self.random.randrange(len(self.actors)))
        else:
            raise ViolationError("endless")
        while self.zombies:
            self._arrive_late(self.zombies[0])
        self.holder = None
        self._repair()
        self._verify()
        self._repair()
        if self.journal.rows(KEY):
            raise ViolationError("never settled")
        self._judge()

    def _repair(self) -> None:
        for _ in range(12):
            if not self.journal.rows(KEY):
                return
            self.finish(self.repairing(0))
            self.clock.advance(QUARANTINE)

    def _verify(self) -> None:
        """Compare replicas, and have what differs settled as a doubt is."""
        if (self.forgotten or self.drifted) and len(set(self.replicas.values())) > 1:
            intents = self._intents(1)
            self.journal.begin(KEY, intents)

    def _judge(self) -> None:
        values = list(self.replicas.values())
        extra = {None} if self.cheap else set()  # whoever has a copy too many
        if set(values) - extra - {values[0]}:
            raise ViolationError("diverged")
        if not self.forgotten:
            self.check(values[0], self.now(), "at last")
        elif values[0] not in {change.value for change in self.changes}:
            raise ViolationError("invented")

    def finish(self, steps: Steps) -> None:
        with suppress(LostError):
            for _ in steps:
                pass


def run(seed: int, without: str = "", *, trace: bool = False) -> Counter[str]:
    """Return what was counted, or raise a :class:`ViolationError`."""
    world = World(seed, without, trace=trace)
    for _ in range(STEPS):
        world.advance()
    world.settle()
    return world.counts


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--trace"]:
        run(int(arguments[1]), " ".join(arguments[2:]), trace=True)
        return
    seeds = int(arguments[0]) if arguments else 2000
    for variant in arguments[1:] or ["", *VARIANTS]:
        violations: Counter[str] = Counter()
        counts: Counter[str] = Counter()
        failed = []
        for seed in range(seeds):
            try:
                counts += run(seed, variant)
            except ViolationError as violation:
                violations[str(violation)] += 1
                failed.append(seed)
        seen = dict(violations if variant else counts)
        name = variant or "full"
        sys.stdout.write(f"{name:24} {len(failed):6} of {seeds} {failed[:3]} {seen}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
