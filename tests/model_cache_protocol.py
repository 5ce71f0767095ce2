"""
What processes that keep copies of one object together do, step by step.

Everything up to a ``yield`` is one step, atomic in reality too: a script of the shared
tier, a request to the origin, a change under a lock.  Who is subclassed here says what
becomes of commands and requests, and who is next.

A value is the number of the write that made it.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any


FILLING, WRITING = 4, 12  # ticks that a lease and a claim last
Steps = Generator[None, None, Any]

VARIANTS = {  # each leaves one rule out
    # memory
    "no generation": "is filled although a write was heard of since the look",
    "allowed before": "is filled in another step than the one that asks whether to",
    "generation after poison": "is filled by the generation of after asking for poison",
    "generation after write": "is filled by a writer as of when it has written",
    "own writes": "is filled while the process itself writes",
    "kept unasked": "is filled when the shared tier could not be asked",
    "silent gap": "is believed after a feed was torn and mended unnoticed",
    "torn fill": "is filled while the feed is torn",
    "same after gap": "is filled by who began before the feed was mended",
    "cure elsewhere": "of who drops what was poisoned is kept",
    # the shared tier
    "fill unasked": "FILL does not ask for the lease",
    "publish contended": "END publishes although another write was under way",
    "begin keeps copy": "BEGIN does not drop the copy",
    "begin keeps lease": "BEGIN does not end the lease of who fetches",
    "lost end drops nothing": "END does not drop the copy when its claim is gone",
    "lost end keeps lease": "END leaves later leases alone when its claim is gone",
    "one end ends all": "END of one of several writes ends the claims of the others",
    "leave nothing": "LEAVE does not renew a claim that is gone",
    "purge only copy": "PURGE lets writes that began before it publish",
    "end ambiguous": "a write whose outcome is unknown ends like another",
    "short claims": "claims end before the writes do",
    # poison
    "no poison": "copies that could not be dropped are believed",
    "forgotten poison": "what could not be dropped is forgotten in a crash",
    "hasty cure": "poison ends although its write may still land",
    # directories
    "any identity": "they are believed whatever is the current copy",
    "look after": "they are filled under the identity seen after the fetch",
    # epochs
    "no epoch": "copies that came back with a server are believed",
    "any run": "nobody asks which server answers before the feed is known to be torn",
    "late epoch": "a copy gets the epoch of when it is stored, not of its lease",
    "old answer": "one is believed that was asked for before the feed was torn",
    "epoch once": "it is not asked for again when the feed is mended",
    "epoch kept offline": "one is believed for more than a look without a feed",
    "lease of all epochs": "a lease that came back with a server is somebody's",
    "epoch not asked again": "a copy of another one is rejected without asking again",
    # readers of one process, and waiters
    "flight not left": "a write does not forget the fetch that is under way",
    "any absence": "who waits believes the absence that another fetch found",
}


class LostError(Exception):
    """A request failed, before or after it took effect, or it still will."""


@dataclass(frozen=True)
class Record:
    """A copy; *value* is None if its bytes are elsewhere."""

    value: int | None
    epoch: object
    identity: int = field(default_factory=count(1).__next__)


@dataclass(eq=False)
class Write:
    value: int
    process: Process
    running: bool = True
    begun: bool = True  # as far as it knows
    asking: bool = False  # the origin, right now
    left: bool = False
    lost: bool = False  # its claim ended before it did


@dataclass(eq=False)
class Row:
    """Poison of one write."""

    write: Write
    until: int = 0  # when it has landed for sure

    @property
    def exposing(self) -> bool:
        """Whether a copy that should be gone may be the current one."""
        return not self.write.begun or self.write.lost


@dataclass(eq=False)
class Flight:
    value: int | None = None
    excuse: str | None = None
    over: bool = False


@dataclass(eq=False)
class Host:
    directory: dict[int, int] | None  # values by identity
    rows: list[Row] = field(default_factory=list)


@dataclass(eq=False)
class Process:
    host: Host
    epoch: Any = None  # run and mark
    online: bool = True  # what it believes of its feed
    subscribed: bool = True  # what is true
    queue: list[tuple[int, str, int, int]] = field(default_factory=list)
    memory: int | None = None
    generation: int = 0
    writing: int = 0
    flight: Flight | None = None
    heard: dict[int, int] = field(default_factory=dict)  # absence, by token
    torn_at: int = 0
    feeds: int = 0  # how often it was torn or mended


class Server:
    """The shared tier: every method but the last ones is one atomic script."""

    def __init__(self, world: Protocol) -> None:
        self.world, self.breaks = world, world.breaks
        self.run = self.mark = 0
        self.forget()

    def forget(self) -> None:
        self.copy: Record | None = None
        self.fetching: tuple[int, object, int] | None = None  # token, epoch, end
        self.claims: dict[int, int] = {}  # their ends, by token
        self.contended = False
        self.staged: dict[int, Record] = {}

    def epoch(self, by: Process | None = None) -> tuple[int, int]:
        self.mark = self.mark or self.world.number()
        return self.run, self.mark

    def look(self, by: Process) -> Record | None:
        return self.copy

    def lease(
        self, by: Process, token: int, epoch: object, rejected: int, refresh: bool
    ) -> tuple[str, int]:
        if self.copy and self.copy.identity == rejected:
            self.copy = None
        if self.copy and not refresh:
            return "hit", 0
        if self.claims:
            return "writing", 0
        if self.fetching:
            leader, of, _ = self.fetching
            same = of == epoch or self.breaks("lease of all epochs")
            if same and leader != token:
                return "wait", leader
        self.fetching = token, epoch, self.world.now + FILLING
        return "own", token

    def stage(self, by: Process, token: int, record: Record) -> None:
        self.staged[token] = record

    def fill(self, by: Process, token: int) -> bool:
        staged, mine = self.staged.pop(token, None), self._leads(token)
        if mine:
            self.fetching = None
        if staged is None or not (mine or self.breaks("fill unasked")):
            return False
        self.copy = staged
        return True

    def fail(self, by: Process, token: int, absent: int | None) -> None:
        if self._leads(token):
            self.fetching = None
            if absent is not None:
                self._tell(None, "absent", token, absent)

    def begin(self, by: Process, token: int) -> None:
        if not self.breaks("begin keeps copy"):
            self.copy = None
        if not (self.fetching and self.breaks("begin keeps lease")):
            self._claim(token)
        self._tell(by, "drop")

    def end(self, by: Process, token: int) -> bool:
        mine = self.claims.pop(token, None) is not None
        alone = mine and not self.contended
        staged = self.staged.pop(token, None)
        if self.breaks("one end ends all"):
            self.claims = {}
        self.contended = bool(self.claims) and (self.contended or not mine)
        if not (mine or self.breaks("lost end keeps lease")):
            self.fetching = None
        if mine or not self.breaks("lost end drops nothing"):
            self.copy = None
        self._tell(by, "drop")
        if staged and (alone or (mine and self.breaks("publish contended"))):
            self.copy = staged
            return True
        return False

    def leave(self, by: Process, token: int) -> None:
        self.copy = None
        if token in self.claims or not self.breaks("leave nothing"):
            self._claim(token)
        self._tell(by, "drop")

    def purge(self, by: Process) -> None:
        self.copy = self.fetching = None
        if not self.breaks("purge only copy"):
            self.contended = bool(self.claims)  # their ENDs may be on their way
        self._tell(by, "drop")

    def clear(self, by: Process | None) -> None:
        self.mark = self.world.number()
        self._tell(by, "clear")

    def expire(self, now: int) -> None:
        if self.fetching and self.fetching[2] <= now:
            self.fetching = None
        self.claims = {token: end for token, end in self.claims.items() if end > now}
        self.contended = self.contended and bool(self.claims)

    def _leads(self, token: int) -> bool:
        return self.fetching is not None and self.fetching[0] == token

    def _claim(self, token: int) -> None:
        self.contended = self.contended or any(one != token for one in self.claims)
        self.fetching = None
        seconds = 2 if self.breaks("short claims") else WRITING
        self.claims[token] = self.world.now + seconds

    def _tell(
        self, by: Process | None, what: str, token: int = 0, said: int = 0
    ) -> None:
        for process in self.world.processes:
            if process.subscribed and process is not by:
                process.queue.append((self.world.now, what, token, said))


class Protocol:
    """What readers and writers do."""

    large: bool  # the shared tier keeps no bytes
    negative: bool  # absence is kept
    fills: bool  # a write leaves a copy
    poisons: bool  # a write goes on if it cannot begin; else it fails
    acknowledged: int  # the last place in the origin's log of a write that was

    def __init__(self, without: str = "") -> None:
        self.without = without
        self.now = 0
        self.number = count(1).__next__
        self.processes: list[Process] = []
        self.server = Server(self)

    def breaks(self, rule: str) -> bool:
        return self.without == rule

    # -- what becomes of it is said elsewhere ----------------------------------

    def send(self, command: str, by: Process | None, *facts: Any) -> Steps:
        """Have the shared tier do *command*, in the next step."""
        raise NotImplementedError

    def fetch(self) -> Steps:
        """Return what the origin has, in the next step."""
        raise NotImplementedError

    def change(self, write: Write) -> str:
        raise NotImplementedError

    def excuse(self, process: Process, how: str) -> str | None:
        raise NotImplementedError

    def acknowledge(self, value: int) -> None:
        raise NotImplementedError

    # -- memory, and what is heard ---------------------------------------------

    def drop(self, process: Process) -> None:
        process.generation += 1
        process.memory = None
        if not self.breaks("flight not left"):
            process.flight = None

    def forget(self, process: Process) -> None:
        self.drop(process)
        process.epoch = None
        process.feeds += 1

    def allowed(self, process: Process, seen: int) -> bool:
        if process.writing and not self.breaks("own writes"):
            return False
        if not (process.online or self.breaks("torn fill")):
            return False
        return process.generation == seen or self.breaks("no generation")

    def tainted(self, process: Process) -> bool:
        return bool(process.host.rows) and not self.breaks("no poison")

    def keeps(self, value: int) -> bool:
        absent = value % 4 == 3
        return self.negative or not absent

    def deliver(self, process: Process) -> None:
        if not process.queue:
            return
        _, what, token, said = process.queue.pop(0)
        if what == "drop":
            self.drop(process)
        elif what == "absent":
            process.heard[token] = said
        elif what == "clear":
            self.forget(process)
        elif what == "mended":
            process.online, epoch = True, process.epoch
            if not self.breaks("same after gap"):
                self.drop(process)
            process.epoch, process.feeds = None, process.feeds + 1
            if self.breaks("epoch once"):
                process.epoch = epoch

    def notice(self, process: Process) -> None:
        if process.online and not process.subscribed:
            process.online = False
            self.forget(process)

    def mend(self, process: Process) -> None:
        if not process.online and not process.subscribed:
            process.subscribed = True
            process.queue = [(self.now, "mended", 0, 0)]

    # -- reading -----------------------------------------------------------------

    def read(self, process: Process) -> Steps:
        """Return a value, how it was found and why it may be old; None if it failed."""
        yield
        if process.memory is not None:
            return process.memory, "memory", self.excuse(process, "memory")
        yield
        flight = process.flight
        if flight is not None and process.online:
            excuse = self.excuse(process, "flight")
            while not flight.over:
                yield
            if flight.value is None:
                return None
            return flight.value, "flight", excuse or flight.excuse
        flight = process.flight = Flight()
        try:
            flight.value, flight.excuse = yield from self.load(process)
            return flight.value, "load", flight.excuse
        except LostError:
            return None
        finally:
            flight.over = True
            if process.flight is flight:
                process.flight = None

    def load(self, process: Process) -> Steps:
        """Return the current copy, or what the origin has, and an excuse."""
        for _ in range(3):
            seen = process.generation
            yield
            if self.tainted(process):
                break
            if self.breaks("generation after poison"):
                yield
                seen = process.generation
            try:
                found = yield from self.agree(process, seen)
            except LostError:
                found = None
                if self.breaks("kept unasked"):
                    value = yield from self.fetch()
                    yield from self.keep(process, None, value, seen)
            if found is None:
                break
            if found[0] is not None:
                return found
        return (yield from self.fetch()), None

    def agree(self, process: Process, seen: int) -> Steps:
        """
        Find the current copy, or be the one who fetches it, or wait for that.

        Return None if that is not possible; a value of None if it is to be tried again.
        """
        while True:
            record, rejected, epoch, excuse = yield from self.look(process)
            if record is not None:
                return (yield from self.whole(process, record, seen)), excuse
            token = self.number()
            lease = token, epoch, rejected, False
            state, leader = yield from self.send("lease", process, *lease)
            excuse = self.excuse(process, "load")
            if state == "hit":
                continue
            if state == "writing":
                return None
            if state == "own":
                return (yield from self.lead(process, token, epoch, seen)), None
            yield
            if self.breaks("any absence") and process.heard:
                leader = max(process.heard)
            if leader in process.heard:
                return process.heard[leader], excuse

    def look(self, process: Process) -> Steps:
        """Return the current record, what to reject, their epoch, and an excuse."""
        asked = False
        while True:
            if process.epoch is None:
                yield from self.learn(process)
                asked = True
            record = yield from self.send("look", process)
            excuse = self.excuse(process, "load")
            # a connection knows which server it talks to
            elsewhere = process.epoch and process.epoch[0] != self.server.run
            if elsewhere and not self.breaks("any run"):
                process.epoch = None
                continue
            if not (process.online or self.breaks("epoch kept offline")):
                yield from self.learn(process)
            epoch = process.epoch
            if epoch is None:
                continue
            if record is None or record.epoch == epoch or self.breaks("no epoch"):
                return record, 0, epoch, excuse
            if asked or self.breaks("epoch not asked again"):
                return None, record.identity, epoch, excuse
            process.epoch = None

    def learn(self, process: Process) -> Steps:
        feeds = process.feeds
        epoch = yield from self.send("epoch", process)
        yield
        if process.feeds == feeds or self.breaks("old answer"):
            process.epoch = epoch

    def whole(self, process: Process, record: Record, seen: int) -> Steps:
        """Return the value of *record*, from wherever its bytes are."""
        value, directory = record.value, process.host.directory
        if value is None and directory:
            yield
            value = directory.get(record.identity)
            if self.breaks("any identity"):
                value = directory[max(directory)]
        if value is None:
            value = yield from self.fetch()
            if self.breaks("look after"):
                record = (yield from self.send("look", process)) or record
        if self.keeps(value):
            yield from self.keep(process, record, value, seen)
        return value

    def lead(self, process: Process, token: int, epoch: object, seen: int) -> Steps:
        """Return what the origin has, filled in for all; None if that is refused."""
        try:
            value = yield from self.fetch()
        except LostError:
            yield from self.send("fail", process, token, None)
            raise
        if not self.keeps(value):
            with suppress(LostError):
                yield from self.send("fail", process, token, value)
            return value
        if self.breaks("late epoch"):
            yield
            epoch = process.epoch
        record = Record(None if self.large else value, epoch)
        try:
            yield from self.send("stage", process, token, record)
            if not (yield from self.send("fill", process, token)):
                return None
        except LostError:
            return value
        yield from self.keep(process, record, value, seen)
        return value

    def keep(
        self, process: Process, record: Record | None, value: int, seen: int
    ) -> Steps:
        yield
        allowed = self.allowed(process, seen)
        if self.breaks("allowed before"):
            yield
        if allowed:
            process.memory = value
        if record is not None and process.host.directory is not None:
            yield
            process.host.directory[record.identity] = value

    def refresh(self, process: Process) -> Steps:
        """Fetch although there is a copy."""
        seen = process.generation
        yield
        if self.tainted(process):
            return
        with suppress(LostError):
            _, rejected, epoch, _ = yield from self.look(process)
            token = self.number()
            lease = token, epoch, rejected, True
            state, _ = yield from self.send("lease", process, *lease)
            if state == "own":
                yield from self.lead(process, token, epoch, seen)

    # -- writing -----------------------------------------------------------------

    def write(self, process: Process, write: Write) -> Steps:
        yield
        self.drop(process)
        process.writing += 1
        epoch, seen = process.epoch, process.generation
        row = None
        try:
            yield from self.send("begin", process, write.value)
        except LostError:
            write.begun = False
            if not self.poisons:
                process.writing -= 1
                write.running = False
                return
            row = self.poison(write)
        write.asking = True
        yield
        write.asking = False
        outcome = self.change(write)
        if self.breaks("generation after write"):
            yield
            seen = process.generation
        published = None
        try:
            if not write.begun:
                raise LostError
            if outcome == "unknown" and not self.breaks("end ambiguous"):
                yield from self.send("leave", process, write.value)
                write.left = True
            else:
                kept = outcome != "failed" and self.fills and self.keeps(write.value)
                published = yield from self.end(write, epoch if kept else None)
        except LostError:
            row = row or self.poison(write)
        if row is not None and outcome == "unknown":
            row.until = self.now + WRITING
        yield
        process.writing -= 1
        allowed = self.allowed(process, seen)
        self.drop(process)
        if published and allowed:
            process.memory = write.value
        write.running = False
        if outcome == "done" and (row is None or self.poisons):
            self.acknowledge(write.value)
        if published and process.host.directory is not None:
            yield
            process.host.directory[published.identity] = write.value

    def end(self, write: Write, epoch: object) -> Steps:
        """End *write*, and return the record that is now the current one, if it is."""
        if self.breaks("late epoch"):
            epoch = epoch and write.process.epoch
        record = Record(None if self.large else write.value, epoch)
        if epoch is not None:
            with suppress(LostError):
                yield from self.send("stage", write.process, write.value, record)
        done = yield from self.send("end", write.process, write.value)
        return record if done else None

    def poison(self, write: Write) -> Row:
        row = Row(write)
        write.process.host.rows.append(row)
        return row

    def cure(self, process: Process) -> Steps:
        """Drop the copies of writes that are over, and let them be believed again."""
        rows = [
            row
            for row in process.host.rows
            if not row.write.running
            and (row.until <= self.now or self.breaks("hasty cure"))
        ]
        if not rows:
            return
        with suppress(LostError):
            yield from self.send("purge", process)
            yield
            if not self.breaks("cure elsewhere"):
                self.drop(process)
            yield
            kept = [row for row in process.host.rows if row not in rows]
            process.host.rows[:] = kept
