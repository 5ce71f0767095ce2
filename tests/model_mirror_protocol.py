"""
The steps of writes, reads and repairs of one mirrored object, for the model of them.

What becomes of rows is not modelled: it is the product's own journal and its rules.
"""

from __future__ import annotations

import functools
import math

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tiered_store.errors import StoreError, UnavailableError
from tiered_store.journals.memory import MemoryJournal
from tiered_store.journals.row import Intent, Mark, Row, is_gone
from tiered_store.key import Key
from tiered_store.testing.clock import FakeClock


KEY = Key("comics.cover", 1, 1, 1, "image/png")
Value = int | None  # of the object, None if there is none
Steps = Generator[None, None, Any]

VARIANTS = {  # each leaves one rule out
    # writing
    "no rows ahead": "rows are written after a write, for whom it failed on",
    "no prior": "a write in doubt forgets who was behind when it began",
    "no lease": "writes and repairs of one object are not kept apart",
    "overtaken unseen": "a write settles as if no other had come in between",
    "roll back": "what too few took is deleted from those who did",
    "delete forgotten": "a delete that a replica missed is not remembered",
    "withdrawn rows": "a write that changed nothing drops the rows of earlier ones",
    "hasty acknowledgement": "who is under way counts as done at the quorum",
    "unclean acknowledgement": "what could not be settled is done, whoever was behind",
    "arrival unseen": "who arrives after it was settled clears whatever row is there",
    "shorter quarantine": "who arrives late leaves that of a later write as it is",
    # reading
    "believe all": "a replica is asked though it is behind",
    "note beside rows": "a reader notes who lacks it though a write knows better",
    # repairing
    "copy from all": "a repair copies from a replica that is behind",
    "first absence": "a doubt is settled as absent although somebody could not say",
    "doubt from all": "a doubt is settled by a replica that was behind before",
    "missed by overtaken": "who missed a write that was overtaken is believed",
    "missed in between": "who took a write that was overtaken is believed at once",
    "nobody left": "a doubt stays if something late arrived everywhere",
    "repair unseen": "a repair clears a row that a later write has replaced",
    "resolve unseen": "a doubt is settled though the rows have changed meanwhile",
    # what arrives late
    "no quarantine": "nothing is expected to take effect that nobody waits for",
    "attempt unnoted": "a repair does not note that it begins",
    "hasty quarantine": "that of a repair counts from when it began",
    "late is never": "a request that timed out is taken for one that failed",
}


class LostError(Exception):
    """A step failed; *ambiguous* if it may have taken effect all the same."""

    def __init__(self, *, ambiguous: bool) -> None:
        super().__init__()
        self.ambiguous = ambiguous


@dataclass(eq=False)
class Hold:
    """A lease; *lost_at* is when somebody else could have it, unknown to its holder."""

    host: int
    lost_at: float = math.inf


@dataclass(eq=False)
class Change:
    """A value that somebody gives to the object: when it may appear, and must."""

    value: Value
    began: float
    acknowledged: float = math.inf
    over: float = math.inf


class ModelJournal(MemoryJournal):
    """The product's, with one rule left out."""

    def __init__(self, without: str, quarantine: float, clock: FakeClock) -> None:
        super().__init__(clock=clock)
        self.quarantine = 0.0 if without == "no quarantine" else quarantine
        self.without = without

    def begin(self, key: Key, intents: Mapping[str, Intent], **options: Any) -> Mark:
        before = dict(self.rows(key))
        mark = super().begin(key, intents, **options)
        if self.without == "no rows ahead":
            self._become(before)
        if self.without == "no prior":
            rows = self.rows(key)
            self._become({name: rows[name]._replace(prior=None) for name in rows})
        return mark

    def settle(self, mark: Mark, outcomes: Mapping[str, BaseException | None]) -> None:
        if self.without == "late is never":
            outcomes = {
                n: e and UnavailableError("failed") for n, e in outcomes.items()
            }
        if self.without == "hasty acknowledgement":
            outcomes = {n: _done_if_under_way(e) for n, e in outcomes.items()}
        if self.without == "no rows ahead":
            self._update(mark.key, lambda rows, _: self._mark_late(rows, mark))
        if self.without == "overtaken unseen":
            rows = self.rows(mark.key)
            ours = {n: rows[n]._replace(sequence=mark.sequence) for n in rows}
            self._become(ours)
        super().settle(mark, outcomes)
        if self.without == "missed by overtaken":
            rows = self.rows(mark.key)
            late = {n for n in rows if rows[n].met}
            self._become(
                {
                    n: rows[n]._replace(prior="in_doubt") if n in late else rows[n]
                    for n in rows
                }
            )
        if self.without == "missed in between":
            rows = self.rows(mark.key)
            done = {n for n, e in outcomes.items() if e is None}
            self._become(
                {
                    n: rows[n]._replace(prior=None) if n in done else rows[n]
                    for n in rows
                }
            )
        if self.without == "delete forgotten":
            rows = self.rows(mark.key)
            self._become({n: rows[n] for n in rows if rows[n].verb != "delete"})

    def _mark_late(self, rows: dict[str, Row], mark: Mark) -> None:
        for name, intent in mark.intents.items():
            rows[name] = Row(
                replica=name,
                key=mark.key,
                verb="in_doubt",
                intent=intent,
                sequence=mark.sequence,
                since=0.0,
            )

    def arrive(self, mark: Mark, replica: str, error: BaseException | None) -> None:
        if self.without == "arrival unseen" and error is None:
            self._update(mark.key, lambda rows, _: rows.pop(replica, None))
        elif self.without != "arrival unseen":
            before = self.rows(mark.key).get(replica)
            super().arrive(mark, replica, error)
            if self.without == "shorter quarantine" and before is not None:
                rows = dict(self.rows(mark.key))
                until = before.quarantine
                rows[replica] = rows[replica]._replace(quarantine=until)
                self._become(rows)

    def withdraw(self, mark: Mark) -> None:
        if self.without == "withdrawn rows":
            self._become({})
        else:
            super().withdraw(mark)

    def lack(self, key: Key, replicas: Iterable[str]) -> bool:
        if self.without == "note beside rows":
            rows = dict(self.rows(key))
            self._become({})
            super().lack(key, replicas)
            self._become({**rows, **self.rows(key)})
            return True
        return super().lack(key, replicas)

    def resolve(
        self, key: Key, seen: Mapping[str, Row], missed: Mapping[str, Intent | None]
    ) -> bool:
        seen = self.rows(key) if self.without == "resolve unseen" else seen
        return super().resolve(key, seen, missed)

    def attempt(self, row: Row) -> Row | None:
        if self.without == "attempt unnoted":
            return row
        attempt = super().attempt(row)
        if attempt is not None and self.without == "hasty quarantine":
            until = self.clock.time() + self.quarantine
            attempt = attempt._replace(quarantine=until)
            self._become({**self.rows(KEY), row.replica: attempt})
        return attempt

    def complete(self, row: Row) -> bool:
        if self.without == "repair unseen":
            self._update(row.key, lambda rows, _: rows.pop(row.replica, None))
            return True
        return super().complete(row)

    def _become(self, rows: Mapping[str, Row]) -> None:
        def rule(now: dict[str, Row], _: int) -> None:
            now.clear()
            now.update(rows)

        self._update(KEY, rule)


def _done_if_under_way(error: BaseException | None) -> BaseException | None:
    return None if isinstance(error, UnderWayError) else error


class UnderWayError(UnavailableError):
    """Not back when it was settled."""


class Protocol(ABC):
    """
    What processes do, step by step.

    Attributes:
        replicas: What each has.
        cheap: The object can be computed again, and is kept by the first alone.
        quorum: How many must acknowledge.
        hurried: They return at their quorum.
    """

    replicas: dict[str, Value]
    journal: ModelJournal
    without: str
    cheap: bool
    quorum: int
    hurried: bool

    def breaks(self, rule: str) -> bool:
        return self.without == rule

    @abstractmethod
    def ask(self, host: int, name: str, verb: str, value: Value = None) -> Steps:
        """Ask a replica, which may fail before or after it has done it."""

    @abstractmethod
    def tell(self, work: Callable[[], Any]) -> Steps:
        """Have the journal do *work*, which may fail before or after."""

    @abstractmethod
    def take(self, host: int, *, wait: bool) -> Steps:
        """Return a :class:`Hold`, None if somebody else has it."""

    @abstractmethod
    def release(self, hold: Hold) -> None:
        """Let the next one have it."""

    @abstractmethod
    def is_refused(self) -> bool:
        """Tell whether every replica is known to be down, so that none is asked."""

    @abstractmethod
    def any_of(self, names: list[str]) -> str:
        """Return whose call goes on."""

    @abstractmethod
    def acknowledge(self, change: Change) -> None:
        """Tell the caller that it is done."""

    # -- writing -----------------------------------------------------------------

    def write(self, host: int, change: Change, hold: Hold) -> Steps:
        intents = self._intents(change.value)
        mark = yield from self.tell(lambda: self.journal.begin(KEY, intents))
        if self.is_refused():
            yield from self.tell(lambda: self.journal.withdraw(mark))
            return
        calls = {
            name: self._change(host, name, intent, change.value)
            for name, intent in intents.items()
        }
        outcomes: dict[str, BaseException | None] = {}
        while calls and not (self.hurried and self._is_enough(intents, outcomes)):
            yield from self._go_on(calls, outcomes)
        under_way = {
            name: UnderWayError("", ambiguous=True, under_way=True) for name in calls
        }
        known = {**outcomes, **under_way}
        enough = self._is_enough(intents, outcomes)
        settled = False
        try:
            yield from self.tell(lambda: self.journal.settle(mark, known))
            settled = True
        except LostError:
            unsettled = mark.clean or self.breaks("unclean acknowledgement")
            enough = enough and not any(known.values()) and unsettled
        if enough:
            self.acknowledge(change)
        while calls:
            behind = set(calls)
            yield from self._go_on(calls, outcomes)
            for name in behind - calls.keys():
                yield from self._arrive(mark, name, outcomes[name])
        if settled and not enough and self.breaks("roll back"):
            yield from self._roll_back(host, outcomes)

    def _intents(self, value: Value) -> dict[str, Intent]:
        if value is None:
            return dict.fromkeys(self.replicas, "delete")
        first = next(iter(self.replicas))
        return {
            name: "put" if name == first or not self.cheap else "drop"
            for name in self.replicas
        }

    def _is_enough(
        self, intents: Mapping[str, Intent], outcomes: Mapping[str, object]
    ) -> bool:
        counted = [name for name in intents if intents[name] != "drop"]
        done = sum(outcomes.get(name, self) is None for name in counted)
        return done >= min(self.quorum, len(counted))

    def _change(self, host: int, name: str, intent: Intent, value: Value) -> Steps:
        if intent == "put":
            yield from self.ask(host, name, "put", value)
        else:
            yield from self.ask(host, name, "delete")

    def _go_on(
        self, calls: dict[str, Steps], outcomes: dict[str, BaseException | None]
    ) -> Steps:
        """Take a step of one of *calls*, and note how it ended if it did."""
        name = self.any_of(list(calls))
        try:
            next(calls[name])
        except StopIteration:
            outcomes[name] = None
        except LostError as error:
            outcomes[name] = UnavailableError("", ambiguous=error.ambiguous)
        else:
            yield
            return
        del calls[name]

    def _arrive(self, mark: Mark, name: str, error: BaseException | None) -> Steps:
        try:
            yield from self.tell(lambda: self.journal.arrive(mark, name, error))
        except LostError:
            return

    def _roll_back(self, host: int, outcomes: Mapping[str, object]) -> Steps:
        for name, error in outcomes.items():
            if error is None:
                try:
                    yield from self.ask(host, name, "delete")
                except LostError:
                    continue

    # -- reading -----------------------------------------------------------------

    def read(self, host: int) -> Steps:
        """Return a value in a list, an empty one if nothing can be said."""
        rows = yield from self.tell(lambda: dict(self.journal.rows(KEY)))
        if self.breaks("believe all"):
            rows = {}
        if is_gone(rows):
            return [None]
        names = [n for n in self.replicas if n not in rows or not rows[n].behind]
        lacking, failed = [], 0
        for name in names:
            try:
                found = yield from self.ask(host, name, "get")
            except LostError:
                failed += 1
                continue
            if found is None:
                lacking.append(name)
                continue
            if lacking and not rows and not self.cheap:
                yield from self.tell(functools.partial(self.journal.lack, KEY, lacking))
            return [found]
        return [] if failed or not names else [None]

    # -- repairing ---------------------------------------------------------------

    def repair(self, host: int) -> Steps:
        rows = yield from self.tell(lambda: dict(self.journal.rows(KEY)))
        if any(row.verb == "in_doubt" for row in rows.values()):
            yield from self._recover(host, rows)
            rows = yield from self.tell(lambda: dict(self.journal.rows(KEY)))
        behind = set() if self.breaks("copy from all") else set(rows)
        for name, row in rows.items():
            if row.verb != "in_doubt":
                done = yield from self._complete(host, row, behind)
                if done:
                    behind.discard(name)

    def _recover(self, host: int, rows: Mapping[str, Row]) -> Steps:
        doubtful = [row for row in rows.values() if row.verb == "in_doubt"]
        missed: dict[str, Intent | None] = dict.fromkeys(self.replicas, "delete")
        if not any(row.intent == "delete" for row in doubtful):
            found, failed = yield from self._look(host, rows)
            winner = next((name for name in found if found[name] is not None), None)
            if winner is None:
                unsure = failed or not (found or is_gone(rows))
                if unsure and not (found and self.breaks("first absence")):
                    return
                missed.update(dict.fromkeys(found))
            else:
                missed = {name: _wanted(rows.get(name)) for name in self.replicas}
                for name, value in found.items():
                    dropped = value is None and missed[name] == "drop"
                    if value == found[winner] or dropped:
                        missed[name] = None
        yield from self.tell(lambda: self.journal.resolve(KEY, rows, missed))

    def _look(self, host: int, rows: Mapping[str, Row]) -> Steps:
        found, failed = {}, 0
        able = [n for n in self.replicas if n not in rows or not rows[n].behind]
        if not able and not self.breaks("nobody left"):
            able = [n for n in self.replicas if rows[n].met]
        if self.breaks("doubt from all"):
            able = list(self.replicas)
        able.sort(key=lambda name: _wanted(rows.get(name)) == "drop")
        for name in able:
            try:
                found[name] = yield from self.ask(host, name, "get")
            except LostError:
                failed += 1
        return found, failed

    def _complete(self, host: int, row: Row, behind: set[str]) -> Steps:
        attempt = yield from self.tell(lambda: self.journal.attempt(row))
        if attempt is None:
            return False
        try:
            if row.verb == "put":
                yield from self._copy(host, row.replica, behind)
            else:
                yield from self.ask(host, row.replica, "delete")
        except LostError as error:
            if not error.ambiguous or self.breaks("late is never"):
                yield from self.tell(lambda: self.journal.forgo(attempt))
            blamed = UnavailableError("", ambiguous=error.ambiguous)
            yield from self.tell(lambda: self.blame(attempt, blamed))
            return False
        done = yield from self.tell(lambda: self.journal.complete(attempt))
        return done

    def blame(self, row: Row, error: StoreError) -> None:
        self.journal.blame(row, str(error), 0.0)

    def _copy(self, host: int, name: str, behind: set[str]) -> Steps:
        asked, failed = False, False
        for source in self.replicas:
            if source in behind or source == name:
                continue
            try:
                value = yield from self.ask(host, source, "get")
            except LostError:
                failed = True
                continue
            if value is None:
                asked = True
                continue
            yield from self.ask(host, name, "put", value)
            return
        if failed or not asked:
            raise LostError(ambiguous=False)
        has = yield from self.ask(host, name, "get")
        if has is not None:
            raise LostError(ambiguous=False)


def _wanted(row: Row | None) -> Intent:
    return "drop" if row is not None and row.intent == "drop" else "put"
