"""
What each replica missed, remembered until it has caught up.

A journal is a set of rows, one for each replica and object that need attention.  A
write marks all its replicas before it touches any, and settles afterwards: those that
acknowledged are clean, the others are known to be behind.  Whatever happens in
between, a crash included, leaves rows that tell what must be looked at.  No content is
kept: what a replica missed is copied from one that did not.

The rules were model-checked with faults and crashes at every step; leaving out any of
them lets deleted objects return or acknowledged ones get lost.  They are here, once,
so that a journal's author writes only where rows are kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import FullError
from tiered_store.journals.keylocks import Lease
from tiered_store.journals.row import (
    Backlog,
    Intent,
    Mark,
    Missed,
    Row,
    Rows,
    name_of,
)
from tiered_store.key import Key


Result = TypeVar("Result")


class Journal(ABC):
    """
    Rows, and leases of keys.

    Whoever changes an object or its rows holds its lease; whoever reads does not.
    Every method is one atomic step, safe from any thread and process that shares the
    journal, and durable when it returns as far as the journal promises durability.
    A journal that cannot be used raises store errors.

    An author writes ``lease``, ``rows``, ``_update``, ``_page``, ``backlogs`` and
    ``short_of``.

    Attributes:
        capacity: Rows; a write that would exceed it raises
            :class:`~tiered_store.errors.FullError` before any replica is touched.
        local: A look-up costs microseconds, no network.
    """

    capacity: int
    local: bool = False
    clock: Clock = SYSTEM

    # -- for a store ---------------------------------------------------------

    @abstractmethod
    def lease(self, key: Key, seconds: float) -> Lease | None:
        """
        Return the only lease on *key*, None if it was not to be had in *seconds*.

        It may be released by any thread, and ends with the process that holds it.
        """

    @abstractmethod
    def rows(self, key: Key) -> Mapping[str, Row]:
        """Return the rows of *key* by replica, almost always none: one look-up."""

    def begin(
        self, key: Key, intents: Mapping[str, Intent], *, reproducible: bool = False
    ) -> Mark:
        """
        Mark every replica of *intents* as in doubt, before any is touched.

        Raises:
            FullError: There is no room for the rows.
        """

        def rule(rows: Rows, fresh: int) -> Mark:
            mark = Mark(key, fresh, intents, reproducible)
            self._doubt(rows, mark)
            return mark

        return self._update(key, rule)

    def settle(self, mark: Mark, outcomes: Mapping[str, BaseException | None]) -> None:
        """
        Say how the write *mark* went: by replica, its error or None.

        If one replica took a put, or in any case if it was a delete, that is how the
        object is from now on; the others are behind.  Otherwise all stay in doubt.
        """
        done = {name for name, error in outcomes.items() if error is None}
        wanted = mark.intents.values()
        taken = "put" not in wanted or any(mark.intents[name] == "put" for name in done)

        def rule(rows: Rows, fresh: int) -> None:
            if not rows or any(row.sequence != mark.sequence for row in rows.values()):
                # another write came in between, which a lease should have prevented
                overtaken = replace(mark, sequence=fresh)
                self._doubt(rows, overtaken)
                return
            for name, row in list(rows.items()):
                error = outcomes.get(name)
                last_error = str(error) if error is not None else row.last_error
                if taken and name in done:
                    del rows[name]
                elif taken:
                    verb = row.intent
                    rows[name] = replace(
                        row, verb=verb, prior=None, last_error=last_error
                    )
                else:
                    rows[name] = replace(row, last_error=last_error)

        self._update(mark.key, rule)

    def withdraw(self, mark: Mark) -> None:
        """Undo :meth:`begin`, for a write that changed nothing anywhere."""

        def rule(rows: Rows, fresh: int) -> None:
            for name, row in list(rows.items()):
                if row.sequence != mark.sequence:
                    continue
                if row.prior is None:
                    del rows[name]
                else:
                    # an earlier doubt is settled by looking, whatever was wanted
                    intent = "put" if row.prior == "in_doubt" else row.prior
                    rows[name] = replace(
                        row, verb=row.prior, intent=intent, prior=None, sequence=fresh
                    )

        self._update(mark.key, rule)

    def lack(self, key: Key, replicas: Iterable[str]) -> bool:
        """
        Note that *replicas* were found without an object that another one has.

        Nothing is noted if *key* has any row, or if there is no room: it is a reader
        who says so, and a write under way knows better.
        """

        def rule(rows: Rows, fresh: int) -> bool:
            if rows:
                return False
            for name in replicas:
                rows[name] = self._behind(name, key, "put", fresh)
            return True

        try:
            return self._update(key, rule)
        except FullError:
            return False

    # -- for a repair --------------------------------------------------------

    def resolve(
        self, key: Key, seen: Mapping[str, Row], missed: Mapping[str, Intent | None]
    ) -> bool:
        """
        Say what each replica misses, None for nothing; return whether it was noted.

        Nothing is if the rows are not those that were *seen* any more.
        """

        def rule(rows: Rows, fresh: int) -> bool:
            if _sequences(rows) != _sequences(seen):
                return False
            for name, verb in missed.items():
                old = rows.pop(name, None)
                if verb is not None:
                    rows[name] = self._behind(name, key, verb, fresh, old)
            return True

        return self._update(key, rule)

    def clear(self, row: Row) -> bool:
        """Drop *row*, unless a later write has replaced it; return whether it went."""

        def rule(rows: Rows, fresh: int) -> bool:
            if not _is_current(rows, row):
                return False
            del rows[row.replica]
            return True

        return self._update(row.key, rule)

    def blame(self, row: Row, error: str, retry_at: float) -> None:
        """Note that a repair of *row* failed, unless a later write has replaced it."""

        def rule(rows: Rows, fresh: int) -> None:
            if _is_current(rows, row):
                rows[row.replica] = replace(
                    rows[row.replica],
                    attempts=row.attempts + 1,
                    retry_at=retry_at,
                    last_error=error,
                )

        self._update(row.key, rule)

    def pending(self, replica: str | None = None) -> Iterator[Row]:
        """Yield every row, or those of *replica*, those of one key together."""
        after = ("", "")
        while page := self._page(replica, after, 500):
            yield from page
            after = (name_of(page[-1].key), page[-1].replica)

    @abstractmethod
    def backlogs(self) -> Mapping[str, Backlog]:
        """Return what each replica that is behind has to catch up with."""

    @abstractmethod
    def short_of(self, copies: int) -> int:
        """Return how many existing objects at least *copies* replicas may lack."""

    def close(self) -> None:  # noqa: B027 - optional
        """Let go of files and connections; a later use opens them again."""

    # -- what an author writes -----------------------------------------------

    @abstractmethod
    def _update(self, key: Key, rule: Callable[[Rows, int], Result]) -> Result:
        """
        Apply *rule* to the rows of *key* and a fresh sequence number, atomically.

        The rule changes the dictionary it is given and may be applied again.

        Raises:
            FullError: There would be more rows than before, and more than *capacity*.
        """

    @abstractmethod
    def _page(
        self, replica: str | None, after: tuple[str, str], limit: int
    ) -> list[Row]:
        """Return rows by ``name_of(key)`` and replica, beginning behind *after*."""

    # -- what the rules share ------------------------------------------------

    def _doubt(self, rows: Rows, mark: Mark) -> None:
        # a replica that this store does not know any more misses the write as well
        other: Intent = "put" if "put" in mark.intents.values() else "delete"
        for name in {*mark.intents, *rows}:
            old = rows.get(name)
            rows[name] = Row(
                replica=name,
                key=mark.key,
                verb="in_doubt",
                intent=mark.intents.get(name, other),
                prior=_prior(old),
                sequence=mark.sequence,
                since=self.clock.time() if old is None else old.since,
                reproducible=mark.reproducible,
                last_error=None if old is None else old.last_error,
            )

    def _behind(
        self, name: str, key: Key, verb: Intent, sequence: int, old: Row | None = None
    ) -> Row:
        return Row(
            replica=name,
            key=key,
            verb=verb,
            intent=verb,
            sequence=sequence,
            since=self.clock.time() if old is None else old.since,
            reproducible=old is not None and old.reproducible,
            last_error=None if old is None else old.last_error,
        )


def _prior(old: Row | None) -> Missed | None:
    if old is None or old.verb != "in_doubt":
        return None if old is None else old.verb
    return old.prior or "in_doubt"


def _sequences(rows: Mapping[str, Row]) -> dict[str, int]:
    return {name: row.sequence for name, row in rows.items()}


def _is_current(rows: Mapping[str, Row], row: Row) -> bool:
    current = rows.get(row.replica)
    return current is not None and current.sequence == row.sequence
