"""
A random check of the protocol by which processes keep copies of one object together.

It is a model, not the product: one object, two or three processes with memory, the
directories of their hosts, one shared tier, one origin.  Between any two steps of one
anybody may overtake, fail, die or be forgotten.

The origin's log has the values in the order of their effects.  What is read must not
have been overtaken there by a write that was acknowledged before the read began, nor,
if it is said to be current, by any other; unless there is an excuse:

behind   a message is on its way that says so
torn     messages were lost, which is not noticed yet
apart    another process knows that it could not drop a copy, and tries to

When all is quiet every process must return the last value without asking the origin.

    python -m tests.model_cache 20000 [variant...]
    python -m tests.model_cache --trace SEED [variant]
"""

from __future__ import annotations

import random
import sys

from collections import Counter
from contextlib import suppress
from typing import Any

from tests.model_cache_protocol import (
    VARIANTS,
    WRITING,
    Host,
    LostError,
    Process,
    Protocol,
    Record,
    Steps,
    Write,
)


LATE, NOTICED, DELAYED = 6, 3, 2  # ticks at most: effects, gaps in a feed, messages
STEPS = 150

FAULTS = {  # how common they are
    "commands": 1.0,
    "origin": 1.0,
    "crash": 0.7,
    "tear": 0.6,
    "restart": 0.6,
    "evict lease": 0.6,
    "clear": 0.4,
    "evict copy": 0.2,
    "evict staged": 0.2,
    "evict epoch": 0.2,
}
FATES = "lost", "unanswered", "late", "twice"  # of a command
RATES = 0.25, 0.12, 0.05, 0.05, 0.07, 0.03, 0.03, 0.05, 0.35  # see World.advance

DOCUMENTED = {  # two faults at once, which the protocol does not survive
    "lost claim, crash": "a claim ends before its write, and the writer dies",
    "lost claim, late": "a claim ends although its write may still land",
}


class ViolationError(AssertionError):
    """The protocol allowed what must not be."""


class World(Protocol):
    """Who is next, what goes wrong, and whether what is read is right."""

    def __init__(self, seed: int, without: str = "", *, trace: bool = False) -> None:
        super().__init__(without)
        self.trace = trace
        self.random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self.log = [0]  # the origin
        self.places = {0: 0}  # of values in the log
        self.acknowledged = 0
        self.behind_backs = 0
        self.writes: list[Write] = []
        self.zombies: list[tuple[int, Write]] = []  # effects to come, until when
        self.limbo: list[tuple[str, Process | None, tuple[Any, ...]]] = []
        self.actors: list[tuple[Process | None, Steps]] = []
        self.save()
        self._vary()

    def _vary(self) -> None:
        """Make this world unlike others, so that rare things are common in some."""
        chance, choice = self.random.random, self.random.choice
        self.large, self.negative = chance() < 0.3, chance() < 0.7
        self.fills, self.poisons = chance() < 0.6, chance() < 0.6
        self.durable = chance() < 0.7 and not self.breaks("forgotten poison")
        self.failing, self.hasty = chance() * 0.4, 0.1 + chance() * 0.4
        self.crowd = choice((3, 5, 8))
        self.mix = 1 + chance() * 4, 1 + chance() * 2, chance()
        self.rates = [base * choice((0.2, 1, 1, 4)) for base in RATES]
        self.fates = [choice((0.2, 1, 1, 4)) for _ in FATES]
        hosts = [Host({} if chance() < 0.6 else None) for _ in range(3)]
        together = chance() < 0.5
        for number in range(choice((2, 2, 3))):
            host = hosts[number // 2 if together else number]
            self.processes.append(Process(host, self.server.epoch()))
            if chance() < 0.7:
                self.finish(self.judged(self.processes[-1]))
        common = chance() * 0.8
        self.faults = [f for f, share in FAULTS.items() if chance() < common * share]

    def note(self, who: Process | None, *what: object) -> None:
        if self.trace:
            known = who in self.processes
            name = f"p{self.processes.index(who)}" if who and known else "--"
            sys.stdout.write(" ".join(map(str, (self.now, name, *what))) + "\n")

    # -- what becomes of commands and requests ---------------------------------

    def send(self, command: str, by: Process | None, *facts: Any) -> Steps:
        yield
        fate = self.fate(command)
        self.note(by, command, *facts, fate)
        if fate == "late":
            self.limbo.append((command, by, facts))
        if fate in ("unanswered", "twice"):
            getattr(self.server, command)(by, *facts)
        if fate == "twice":
            yield
        if fate not in ("done", "twice"):
            raise LostError
        answer = getattr(self.server, command)(by, *facts)
        self.note(by, command, "->", answer)
        return answer

    def fate(self, command: str) -> str:
        if "commands" in self.faults and self.random.random() < self.failing:
            return self.random.choices(FATES, self.fates)[0]
        return "done"

    def fetch(self) -> Steps:
        yield
        if "origin" in self.faults and self.random.random() < 0.1:
            raise LostError
        self.counts["fetched"] += 1
        return self.log[-1]

    def change(self, write: Write) -> str:
        fate = "done"
        if "origin" in self.faults and self.random.random() < 0.4:
            fate = self.random.choice(("failed", "unknown", "never", "late"))
        self.note(write.process, "changes the origin to", write.value, fate)
        if fate in ("done", "unknown"):
            self.land(write.value)
        if fate == "late":
            self.zombies.append((self.now + LATE, write))
        return fate if fate in ("done", "failed") else "unknown"

    def land(self, value: int) -> None:
        self.note(None, "the origin has", value)
        self.places[value] = len(self.log)
        self.log.append(value)

    def acknowledge(self, value: int) -> None:
        self.note(None, "acknowledged", value)
        self.acknowledged = max(self.acknowledged, self.places[value])

    def go_behind(self) -> Steps:
        """Change the origin without telling anybody, then clear the shared tier."""
        value = self.number()
        self.behind_backs += 1
        self.land(value)
        cleared = False
        while not cleared:
            with suppress(LostError):
                yield from self.send("clear", None)
                cleared = True
        self.behind_backs -= 1
        self.acknowledge(value)

    # -- what is judged --------------------------------------------------------

    def judged(self, process: Process) -> Steps:
        floor, newest = self.acknowledged, len(self.log) - 1
        self.counts["reads"] += 1
        found = yield from self.read(process)
        if found is not None:
            value, how, excuse = found
            self.note(process, "reads", value, how, excuse)
            self.judge(how, value, excuse, floor, newest)

    def probe(self) -> None:
        """Judge what would be read at this very moment."""
        floor, newest = self.acknowledged, len(self.log) - 1
        copy = self.server.copy
        for process in self.processes:
            found = {"memory": process.memory}
            if copy and not self.tainted(process) and self._believed(process, copy):
                directory = process.host.directory or {}
                found["load"] = directory.get(copy.identity, copy.value)
            for how, value in found.items():
                if value is not None and self.places.get(value, -1) < newest:
                    self.judge(how, value, self.excuse(process, how), floor, newest)

    def judge(
        self, how: str, value: int, excuse: str | None, floor: int, newest: int
    ) -> None:
        place = self.places.get(value, -1)
        if place < floor:
            if excuse in (None, "early"):
                raise ViolationError(f"{how}: stale")
            self.counts[f"{how} {excuse}"] += 1
        elif place < newest and excuse is None and how != "flight":
            raise ViolationError(f"{how}: back and forth")

    def excuse(self, process: Process, how: str) -> str | None:
        """
        Return why what is found at this moment may be old.

        ``early`` is none for having missed an acknowledged write.
        """
        run, mark = process.epoch or (None, None)
        forgot = run == self.server.run and mark != self.server.mark
        if process.online and (how != "load" or forgot):
            if any(what in ("drop", "clear") for _, what, _, _ in process.queue):
                return "behind"
            if not process.subscribed:
                return "torn"
        rows = [row for host in self._hosts() for row in host.rows]
        for row in rows:
            theirs = row.write.process is not process
            if how == "load":
                theirs = row not in process.host.rows
            if theirs and (row.exposing or how == "flight"):
                return "apart"
        unclaimed = any(write.lost and write.running for write in self.writes)
        exposed = any(row.exposing for row in rows)
        return "early" if unclaimed or exposed or self.behind_backs else None

    def _believed(self, process: Process, copy: Record) -> bool:
        if self.breaks("no epoch"):
            return True
        current = self.server.run, self.server.mark
        if not (process.online or self.breaks("epoch kept offline")):
            return copy.epoch == current
        known = process.epoch is not None and process.epoch[0] == current[0]
        if known or self.breaks("any run"):
            return bool(copy.epoch == process.epoch)
        return False

    def _hosts(self) -> list[Host]:
        return list({id(p.host): p.host for p in self.processes}.values())

    # -- what goes wrong -------------------------------------------------------

    def happen(self) -> None:
        if not self.faults:
            return
        fault, process = self.random.choice(self.faults), self._anybody()
        server = self.server
        if fault == "crash":
            self.crash(process)
        elif fault == "tear":
            self.tear(process)
            self.recover()
        elif fault == "restart":
            self.restart(self.saved if self.random.random() < 0.8 else None)
            self.recover()
        elif fault == "clear" and self.random.random() < 0.3:
            self.actors.append((None, self.go_behind()))
        elif fault == "evict copy":
            server.copy = None
        elif fault == "evict staged":
            server.staged.clear()
        elif fault == "evict epoch":
            server.mark = 0
        elif fault == "evict lease" and self.lose(set(server.claims)):
            self.note(None, "lease and claims evicted")
            server.fetching, server.claims, server.contended = None, {}, False

    def lose(self, tokens: set[int]) -> bool:
        """Say whether claims may end now, although their writes may not have."""
        if self.breaks("short claims"):
            return True
        ending = [write for write in self.writes if write.value in tokens]
        zombies = [write for _, write in self.zombies]
        late = [w for w in ending if w in zombies and (w.left or not w.running)]
        if late and not self.breaks("lost claim, late"):
            return False
        for write in ending:
            write.lost = True
        return True

    def crash(self, process: Process) -> None:
        running = [w for w in self.writes if w.running and w.process is process]
        if any(w.lost for w in running) and not self.breaks("lost claim, crash"):
            return
        rows = [row for row in process.host.rows if row.write.process is process]
        if rows and not (self.durable or self.breaks("forgotten poison")):
            return
        self.note(process, "dies")
        for write in running:
            write.running = False
            if write.asking and self.random.random() < 0.4:
                self.zombies.append((self.now + LATE, write))
        for row in rows:
            row.until = self.now + WRITING
            if not self.durable:
                process.host.rows.remove(row)
        self.actors = [actor for actor in self.actors if actor[0] is not process]
        another = Process(process.host, online=False, subscribed=False)
        self.processes[self.processes.index(process)] = another

    def tear(self, process: Process) -> None:
        self.note(process, "is torn")
        process.queue.clear()
        if process.subscribed and not self.breaks("silent gap"):
            process.subscribed, process.torn_at = False, self.now

    def recover(self) -> None:
        """Some notice at once, and listen again."""
        for process in self.processes:
            if self.random.random() < 0.5:
                self.notice(process)
                self.mend(process)
                if self.random.random() < 0.5:
                    self.deliver(process)

    def save(self) -> None:
        self.saved = _copied(vars(self.server))

    def restart(self, saved: dict[str, Any] | None) -> None:
        """Have the server come back, empty or as it was some time ago."""
        server = self.server
        if not self.lose(set(server.claims) - set(saved["claims"] if saved else ())):
            return
        self.note(None, "the server comes back", saved)
        run = server.run + 1
        server.forget()
        vars(server).update(_copied(saved or {}), run=run)
        server.expire(self.now)
        self.limbo.clear()
        for process in self.processes:
            self.tear(process)

    # -- who is next -----------------------------------------------------------

    def advance(self) -> None:
        """Go on with who was at it, or switch to somebody or something else."""
        if self.actors and self.random.random() > self.hasty:
            self.step(-1)
            return
        process = self._anybody()
        things = (
            lambda: self.start(process),
            self.happen,
            self.save,
            self.tick,
            lambda: self.deliver(process),
            lambda: self.random.choice((self.notice, self.mend))(process),
            lambda: self.actors.append((process, self.cure(process))),
            self.arrive,
            self.turn,
        )
        self.random.choices(things, self.rates)[0]()

    def turn(self) -> None:
        if self.actors:
            index = self.random.randrange(len(self.actors))
            self.actors.append(self.actors.pop(index))

    def start(self, process: Process) -> None:
        if len(self.actors) >= self.crowd:
            return
        what = self.random.choices(("read", "write", "refresh"), self.mix)[0]
        if what == "write":
            self.writes.append(Write(self.number(), process))
            steps = self.write(process, self.writes[-1])
        else:
            steps = (self.judged if what == "read" else self.refresh)(process)
        self.actors.append((process, steps))

    def step(self, index: int) -> None:
        try:
            next(self.actors[index][1])
        except (StopIteration, LostError):
            del self.actors[index]

    def arrive(self) -> None:
        """Let take effect what is late."""
        if self.limbo and (not self.zombies or self.random.random() < 0.7):
            command, by, facts = self.limbo.pop(self.random.randrange(len(self.limbo)))
            self.note(by, command, *facts, "at last")
            getattr(self.server, command)(by, *facts)
        elif self.zombies:
            self.land(self.zombies.pop()[1].value)

    def tick(self) -> None:
        """Let time pass, after all that must have happened by now."""
        ending = {t for t, end in self.server.claims.items() if end <= self.now + 1}
        forced = ending if not self.lose(ending) else set()
        for zombie in list(self.zombies):
            due, write = zombie
            if due <= self.now or write.value in forced:
                self.zombies.remove(zombie)
                self.land(write.value)
        self.lose(ending)
        for process in self.processes:
            while process.queue and process.queue[0][0] + DELAYED <= self.now:
                self.deliver(process)
            if process.torn_at + NOTICED <= self.now:
                self.notice(process)
        self.now += 1
        self.server.expire(self.now)

    def finish(self, steps: Steps) -> None:
        """Take all of *steps*, a bounded number."""
        for _ in range(300):
            try:
                next(steps)
            except StopIteration:
                return
        raise ViolationError("endless")

    def settle(self) -> None:
        """Let everything come to an end, and see that everybody is up to date."""
        self._calm()
        self.acknowledged = len(self.log) - 1
        for process in self.processes:
            self.finish(self.judged(process))
        for _ in range(3):  # an epoch that was evicted takes a round or two
            before = self.counts["fetched"]
            for process in self.processes:
                process.memory = None
                self.finish(self.judged(process))
        far = self.large and any(host.directory is None for host in self._hosts())
        if self.keeps(self.log[-1]) and not far and before < self.counts["fetched"]:
            raise ViolationError("not kept")

    def _calm(self) -> None:
        self.note(None, "all is quiet")
        self.faults = []
        for _ in range(2000):
            if not self.actors:
                break
            self.step(self.random.randrange(len(self.actors)))
            if self.random.random() < 0.05:
                self.tick()
        else:
            raise ViolationError("endless")
        while self.limbo or self.zombies:
            self.arrive()
        for _ in range(2 * WRITING):
            for process in self.processes:
                self.mend(process)
            self.tick()
        for process in self.processes:
            self.finish(self.cure(process))
        for _ in range(2 * DELAYED):
            self.tick()

    def _anybody(self) -> Process:
        return self.random.choice(self.processes)


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    kept = {name: it for name, it in state.items() if name not in ("world", "breaks")}
    return {name: dict(it) if isinstance(it, dict) else it for name, it in kept.items()}


def run(seed: int, without: str = "", *, trace: bool = False) -> Counter[str]:
    """Return what was counted, or raise a :class:`ViolationError`."""
    world = World(seed, without, trace=trace)
    for _ in range(STEPS):
        world.advance()
        world.probe()
    world.settle()
    return world.counts


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--trace"]:
        run(int(arguments[1]), " ".join(arguments[2:]), trace=True)
        return
    seeds = int(arguments[0]) if arguments else 2000
    for variant in arguments[1:] or ["", *VARIANTS, *DOCUMENTED]:
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


if __name__ == "__main__":
    main(sys.argv[1:])
