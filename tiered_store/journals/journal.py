"""
What each replica missed, remembered until it has caught up.

A journal is a set of rows, one for each replica and object that need attention.  A
write marks all its replicas before it touches any, and settles afterwards: those that
acknowledged are clean, the others are known to be behind.  Whatever happens in
between, a crash included, leaves rows that tell what must be looked at.  No content is
kept: what a replica missed is copied from one that did not.

What becomes of rows is said once, in :mod:`tiered_store.journals.rules`, so that a
journal's author writes only where they are kept.

A lease keeps writers of one object apart.  On one machine it ends with its holder; over
a network it can be lost while its holder goes on, unaware.  So nothing is safe because
of a lease alone: every write has a *sequence*, whoever ends finds out by it that
somebody came in between, and leaves what they both touched in doubt; and where a change
may still take effect that nobody waits for any more, the row stays in *quarantine*, and
what is there is looked at again when that is over.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import TypeVar

from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import FullError
from tiered_store.journals import rules
from tiered_store.journals.keylocks import Lease
from tiered_store.journals.row import Backlog, Intent, Mark, Row, Rows, Step, name_of
from tiered_store.key import Key
from tiered_store.strict import Strict


Result = TypeVar("Result")


class Journal(Strict, ABC):
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
        quarantine: Seconds in which a change may still take effect though nobody waits
            for it: a request that timed out, a writer that lost its lease.  At 0 there
            are no such changes, and a crash is recovered from at once.
    """

    capacity: int
    local: bool = False
    quarantine: float = 0.0
    clock: Clock = SYSTEM

    @property
    def place(self) -> Hashable | None:
        """
        Where the rows are: two journals of the same place are one.

        None if nobody else can have one there.
        """
        return None

    def expect(self, *, lingering: bool) -> None:
        """Hear whether changes on any replica may be *lingering* when they are over."""

    # -- for a store ---------------------------------------------------------

    @abstractmethod
    def lease(self, key: Key, seconds: float) -> Lease | None:
        """
        Return the only lease on *key*, None if it was not to be had in *seconds*.

        It may be released by any thread, and ends with the process that holds it, at
        once or some time after.
        """

    @abstractmethod
    def rows(self, key: Key) -> Mapping[str, Row]:
        """Return the rows of *key* by replica, almost always none: one look-up."""

    def begin(
        self,
        key: Key,
        intents: Mapping[str, Intent],
        *,
        reproducible: bool = False,
        size: int = 0,
    ) -> Mark:
        """
        Mark every replica of *intents* as in doubt, before any is touched.

        Raises:
            FullError: There is no room for the rows.
        """
        return self._update(
            key,
            lambda rows, fresh: rules.begin(
                rows, self._step(fresh), key, intents, reproducible, size
            ),
        )

    def settle(self, mark: Mark, outcomes: rules.Outcomes) -> None:
        """
        Say how the write *mark* went: by replica, its error or None.

        If one replica took a put, or in any case if it was a delete, that is how the
        object is from now on; the others are behind.  Otherwise all stay in doubt.
        A replica that took it keeps a row while an earlier write may still land there.
        """
        self._update(
            mark.key,
            lambda rows, fresh: rules.settle(rows, self._step(fresh), mark, outcomes),
            must=True,
        )

    def arrive(self, mark: Mark, replica: str, error: BaseException | None) -> None:
        """
        Say how the write *mark* went on *replica*, as it was settled without that.

        Who took it is clean.  If another write came in between, which a lease should
        have prevented, that replica may just have been given what it had replaced.
        """
        self._update(
            mark.key,
            lambda rows, fresh: rules.arrive(
                rows, self._step(fresh), mark, replica, error
            ),
            must=True,
        )

    def withdraw(self, mark: Mark) -> None:
        """Undo :meth:`begin`, for a write that changed nothing anywhere."""
        self._update(
            mark.key,
            lambda rows, fresh: rules.withdraw(rows, self._step(fresh), mark),
        )

    def lack(self, key: Key, replicas: Iterable[str]) -> bool:
        """
        Note that *replicas* were found without an object that another one has.

        Nothing is noted if *key* has any row, or if there is no room: it is a reader
        who says so, and a write under way knows better.
        """
        lacking = tuple(replicas)
        try:
            return self._update(
                key,
                lambda rows, fresh: rules.lack(rows, self._step(fresh), key, lacking),
            )
        except FullError:
            return False

    # -- for a repair --------------------------------------------------------

    def resolve(
        self, key: Key, seen: Mapping[str, Row], missed: Mapping[str, Intent | None]
    ) -> bool:
        """
        Say what each replica misses, None for nothing; return whether it was noted.

        Nothing is if the rows are not those that were *seen* any more, nor before they
        have been in quarantine.

        Raises:
            FullError: None were, and there is no room for new ones.
        """
        return self._update(
            key,
            lambda rows, fresh: rules.resolve(
                rows, self._step(fresh), key, seen, missed
            ),
            must=bool(seen),
        )

    def clear(self, row: Row) -> bool:
        """
        Drop *row*; return whether it went.

        It does not if a later write has replaced it, nor while it is in quarantine.
        """
        return self._update(
            row.key, lambda rows, fresh: rules.clear(rows, self._step(fresh), row)
        )

    def attempt(self, row: Row) -> Row | None:
        """
        Return what *row* is while it is repaired, from now on; None if it must wait.

        So it must if it is in quarantine, and if it is not current there is nothing to
        repair.  A repair that does not end is a change that nobody waits for.
        """
        if not self.quarantine and not row.quarantine:
            return row
        return self._update(
            row.key, lambda rows, fresh: rules.attempt(rows, self._step(fresh), row)
        )

    def forgo(self, row: Row) -> None:
        """Say that the repair of *row* failed and cannot have changed anything."""
        if self.quarantine:
            self._update(row.key, lambda rows, _: rules.forgo(rows, row))

    def complete(self, row: Row) -> bool:
        """
        Drop *row*, for its replica was brought up to date; return whether it went.

        If a later write has replaced it, which a lease should have prevented, that
        replica may just have been given what the write had replaced: it is behind.
        """
        return self._update(
            row.key,
            lambda rows, fresh: rules.complete(rows, self._step(fresh), row),
            must=True,
        )

    def blame(self, row: Row, error: str, retry_at: float) -> None:
        """Note that a repair of *row* failed, unless a later write has replaced it."""
        self._update(row.key, lambda rows, _: rules.blame(rows, row, error, retry_at))

    def pending(self, replica: str | None = None) -> Iterator[Row]:
        """Yield every row, or those of *replica*, those of one key together."""
        after = ("", "")
        while page := self._page(replica, after, 500):
            yield from page
            after = (name_of(page[-1].key), page[-1].replica)

    def is_there(self) -> bool:
        """Tell whether it was ever used, as far as that can be seen from here."""
        return True

    @abstractmethod
    def backlogs(self) -> Mapping[str, Backlog]:
        """Return what each replica that is behind has to catch up with."""

    @abstractmethod
    def short_of(self, copies: int) -> int:
        """Return how many existing objects at least *copies* replicas may lack."""

    def born(self) -> float | None:
        """
        Return since when it remembers, in seconds since the epoch; None if unknown.

        What replicas missed before that, another journal knew, or nobody.
        """
        return None

    def called(self) -> None:
        """Hear that somebody waits for an answer; what it costs every read pays."""

    @property
    def calls(self) -> int:
        """A number that changes while others who share it are called, if it can be."""
        return 0

    def close(self) -> None:
        """Let go of files and connections; a later use opens them again."""

    # -- what an author writes -----------------------------------------------

    @abstractmethod
    def _update(
        self, key: Key, rule: Callable[[Rows, int], Result], *, must: bool = False
    ) -> Result:
        """
        Apply *rule* to the rows of *key* and a fresh sequence number, atomically.

        The rule changes the dictionary it is given and may be applied again.

        Args:
            must: It is about what has happened, and is noted beyond *capacity*, too.

        Raises:
            FullError: There would be more rows than before, and more than *capacity*.
        """

    @abstractmethod
    def _page(
        self, replica: str | None, after: tuple[str, str], limit: int
    ) -> list[Row]:
        """
        Return rows behind *after*, which is ``name_of(key)`` and replica of one.

        The order is the journal's own, but the rows of one key are together.
        """

    def _step(self, fresh: int) -> Step:
        return Step(fresh, self.clock.time(), self.quarantine)
