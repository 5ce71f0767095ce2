"""
Bring the replicas up to date about one object, under its lease.
"""

from __future__ import annotations

import hashlib

from collections.abc import Mapping
from dataclasses import dataclass

from tiered_store import lingering
from tiered_store.body import Body
from tiered_store.chance import CHANCE
from tiered_store.clock import Clock
from tiered_store.errors import (
    DeadlineError,
    NotFoundError,
    RefusedError,
    StoreError,
    UnavailableError,
)
from tiered_store.journals.journal import Journal
from tiered_store.journals.row import NEVER, Intent, Row, is_gone
from tiered_store.key import Key
from tiered_store.policies.breaker import CircuitOpenError
from tiered_store.replication.report import RepairReport
from tiered_store.replication.telling import Teller
from tiered_store.store import Store


_FIRST_BACKOFF = 1.0
_LAST_BACKOFF = 600.0
_LAST_BACKOFF_OF_OTHERS = 60.0  # when it is back, nobody should wait for long
_NOT_ASKED = (CircuitOpenError, DeadlineError)  # which says nothing about the row


class NoSourceError(UnavailableError):
    """No replica could give what another one missed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """
    Which rows a pass is about.

    Attributes:
        replica: Only of this one.
        limit: Objects, at most.
        due: Only those that have waited long enough since they last failed.
        dead: Dead letters, too.
    """

    replica: str | None = None
    limit: int | None = None
    due: bool = False
    dead: bool = False

    def __contains__(self, row: Row) -> bool:
        return self.replica in (None, row.replica) and (self.dead or not row.dead)


class Mending:
    """
    What is done about an object, for as long as one pass.

    Args:
        replicas: By name, in the order in which they are asked for copies.
        teller: Hears of each row that is done with, and of each that is not.
        attempts: Failures of a row's own after which it is a dead letter.

    Attributes:
        down: Replicas that were found to be, and are not asked any more.
    """

    def __init__(
        self,
        journal: Journal,
        replicas: Mapping[str, Store],
        clock: Clock,
        teller: Teller,
        *,
        attempts: int,
    ) -> None:
        self.down: set[str] = set()
        self._journal = journal
        self._replicas = replicas
        self._clock = clock
        self._teller = teller
        self._attempts = attempts

    def mend(self, key: Key, selection: Selection) -> RepairReport:
        """Repair what *selection* says of *key*."""
        lease = self._journal.lease(key, 0)
        if lease is None:
            return RepairReport(objects=1, busy=1)
        with lease:
            report = RepairReport(objects=1)
            rows = self._journal.rows(key)
            doubtful = [row for row in rows.values() if row.verb == "in_doubt"]
            if any(selection.dead or not row.dead for row in doubtful):
                report += self._recover(key, rows)
                rows = self._journal.rows(key)
            behind = set(rows)
            for name, row in rows.items():
                settled = row.verb != "in_doubt" and row in selection
                if settled and name in self._replicas:
                    done = self._complete(row, behind)
                    report += done
                    if done.repaired:
                        behind.discard(name)
            return report

    # -- a write that did not end --------------------------------------------

    def _recover(self, key: Key, rows: Mapping[str, Row]) -> RepairReport:
        """
        Settle *rows* in doubt on one value for all replicas.

        A delete is completed.  A put is settled by what is there: the first replica
        that has an object, of those that were not behind before, is right.  That there
        is none takes the word of all of them.
        """
        doubtful = [row for row in rows.values() if row.verb == "in_doubt"]
        names = [
            *self._replicas,
            *(name for name in rows if name not in self._replicas),
        ]
        if any(row.intent == "delete" for row in doubtful):
            return self._resolve(key, rows, dict.fromkeys(names, "delete"))
        found, errors = self._look(key, rows)
        winner = next((name for name, digest in found.items() if digest), None)
        if winner is None:
            if errors or not (found or is_gone(rows)):
                error = next(iter(errors.values()), _no_source())
                return self._blame(doubtful, error)
            missed: dict[str, Intent | None] = dict.fromkeys(names, "delete")
            missed.update(dict.fromkeys(found))
            return self._resolve(key, rows, missed)
        missed = {name: _wanted(rows.get(name)) for name in names}
        for name, digest in found.items():
            if digest == found[winner] or (digest is None and missed[name] == "drop"):
                missed[name] = None
        return self._resolve(key, rows, missed)

    def _look(
        self, key: Key, rows: Mapping[str, Row]
    ) -> tuple[dict[str, bytes | None], dict[str, Exception]]:
        """Return a digest or None for absence, and the errors, in order of trust."""
        found: dict[str, bytes | None] = {}
        errors: dict[str, Exception] = {}
        able = [name for name in self._replicas if not _is_behind(rows, name)]
        if not able:  # then what came late did so everywhere, and one must be right
            able = [name for name in self._replicas if _is_overtaken(rows, name)]
        able.sort(key=lambda name: _wanted(rows.get(name)) == "drop")
        for name in able:
            try:
                found[name] = digest_of(self._replicas[name].get(key))
            except NotFoundError:
                found[name] = None
            except Exception as error:  # noqa: BLE001 - noted in the row
                errors[name] = error
        return found, errors

    def _resolve(
        self, key: Key, rows: Mapping[str, Row], missed: Mapping[str, Intent | None]
    ) -> RepairReport:
        if not self._journal.resolve(key, rows, missed):
            return self._not_yet(key)
        clean = [name for name in rows if missed[name] is None]
        for name in clean:
            self._teller.repaired(key, name, None)
        return RepairReport(repaired=len(clean))

    # -- a replica that is behind --------------------------------------------

    def _complete(self, row: Row, behind: set[str]) -> RepairReport:
        """Do what the replica of *row* missed, unless it is known to be down."""
        if row.replica in self.down:
            return RepairReport(down=1)
        attempt = self._journal.attempt(row)
        if attempt is None:
            return self._not_yet(row.key, row.replica)
        row = attempt
        try:
            with lingering.Traces() as traces:
                done, copied = self._bring(row, behind)
        except Exception as error:  # noqa: BLE001 - one object's bug is not the others'
            if isinstance(error, StoreError) and not error.ambiguous:
                self._journal.forgo(row)
            if isinstance(error, CircuitOpenError):
                self.down.add(row.replica)
                return RepairReport(down=1)
            return self._blame([row], error)
        if traces.left and self._journal.quarantine:
            return RepairReport(quarantined=1)  # and is looked at again after that
        if not self._journal.complete(row):
            return RepairReport(busy=1)
        self._teller.repaired(row.key, row.replica, done)
        return RepairReport(repaired=1, copied=copied)

    def _not_yet(self, key: Key, replica: str | None = None) -> RepairReport:
        """Say why the rows of *key* could not be changed."""
        now = self._clock.time()
        waiting = [
            row
            for name, row in self._journal.rows(key).items()
            if row.quarantine > now and replica in (None, name)
        ]
        return RepairReport(quarantined=len(waiting), busy=not waiting)

    def _bring(self, row: Row, behind: set[str]) -> tuple[Intent | None, int]:
        """Bring the replica of *row* up to date; return what was done, and bytes."""
        if row.verb == "put":
            return self._copy(row, behind)
        self._replicas[row.replica].delete(row.key)
        return "delete", 0

    def _copy(self, row: Row, behind: set[str]) -> tuple[Intent | None, int]:
        target = self._replicas[row.replica]
        failure: StoreError | None = None
        asked = False
        for name, source in self._replicas.items():
            if name in behind:
                continue
            try:
                body = source.get(row.key)
                copy, said = _copied(body), body.reproducible
            except NotFoundError:
                asked = True
            except StoreError as error:
                failure = error
            else:
                target.put(row.key, copy, row.reproducible or bool(said))
                return "put", copy.size
        if failure is not None:
            raise NoSourceError(f"nothing to copy from: {failure}") from failure
        if not asked:
            raise _no_source()
        try:
            target.get(row.key)
        except NotFoundError:
            return None, 0  # it is without the object, as all others are
        raise StoreError(
            "no replica has the object that this one missed; it still has an older one"
        )

    def _blame(self, rows: list[Row], error: Exception) -> RepairReport:
        if isinstance(error, _NOT_ASKED) or isinstance(error.__cause__, _NOT_ASKED):
            return RepairReport(down=len(rows))
        now = self._clock.time()
        of_others, dead = _is_of_others(error), 0
        last = _LAST_BACKOFF_OF_OTHERS if of_others else _LAST_BACKOFF
        for row in rows:
            wait = min(last, _FIRST_BACKOFF * 2 ** min(row.attempts, 32))
            retry_at = now + wait * CHANCE.uniform(0.5, 1.0)
            if row.attempts + 1 >= self._attempts and not of_others:
                retry_at = NEVER
                dead += 1
            self._journal.blame(row, str(error) or repr(error), retry_at)
            self._teller.not_repaired(row, error, dead=retry_at == NEVER)
        return RepairReport(failed=len(rows), dead=dead)


def _is_of_others(error: Exception) -> bool:
    """
    Tell whether *error* would have met any object.

    That passes, or is put right for all at once, and says nothing about this one.
    """
    if isinstance(error, NoSourceError):
        cause = error.__cause__
        return isinstance(cause, Exception) and _is_of_others(cause)
    return isinstance(error, UnavailableError | RefusedError)


def _is_behind(rows: Mapping[str, Row], name: str) -> bool:
    return name in rows and rows[name].behind


def _is_overtaken(rows: Mapping[str, Row], name: str) -> bool:
    return name in rows and rows[name].met


def _wanted(row: Row | None) -> Intent:
    return "drop" if row is not None and row.intent == "drop" else "put"


def _no_source() -> StoreError:
    return NoSourceError("no replica that is not behind is known here")


def _copied(body: Body) -> Body:
    """Return *body* read to its end, so that what fails from here on is the target."""
    with body.open() as file:
        return Body.take(file)


def digest_of(body: Body) -> bytes:
    """Return what tells *body* from others; it is read, a piece at a time."""
    digest = hashlib.blake2b(digest_size=16)
    for piece in body.chunks():
        digest.update(piece)
    return digest.digest()
