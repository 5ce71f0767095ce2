"""
Change an object on several replicas, marked in the journal before and settled after.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools

from collections.abc import Callable, Mapping

from tiered_store import deadlines, lingering
from tiered_store.errors import StoreError, UnavailableError
from tiered_store.journals.journal import Journal
from tiered_store.journals.keylocks import Lease
from tiered_store.journals.none import NoJournal
from tiered_store.journals.row import Intent, Mark
from tiered_store.key import Key
from tiered_store.replication.acknowledging import changed_nothing
from tiered_store.replication.fanout import Outcomes, UnderwayError, fan_out
from tiered_store.replication.stragglers import Stragglers
from tiered_store.workers import Workers


_LEASE_SECONDS = 60.0

Told = Callable[[Key, str, BaseException], None]


class Writer:
    """
    Writes that follow each other for each key.

    Args:
        degrade: Go on without the journal when it cannot be used, unless it is known
            to have something pending for the object.
        missed: Called with key, replica and error when one that was under way failed.
    """

    def __init__(
        self, journal: Journal, workers: Workers, *, degrade: bool, missed: Told
    ) -> None:
        self._journal = journal
        self._without = NoJournal()
        self._is_without = isinstance(journal, NoJournal)
        self._workers = workers
        self._degrade = degrade
        self._missed = missed
        self.stragglers = Stragglers(workers.limit // 2)

    def write(
        self,
        key: Key,
        intents: Mapping[str, Intent],
        calls: Mapping[str, Callable[[], None]],
        *,
        reproducible: bool = False,
        size: int = 0,
        quorum: int | None = None,
    ) -> tuple[Outcomes, bool]:
        """
        Make *calls*, one a replica; return the outcomes and whether all must be good.

        The lease on the key is held until the last call is back, even if that is after
        this has returned.

        Args:
            quorum: Return when so many have acknowledged; those under way then are
                settled when they are back.  By default all are waited for, as they are
                while too many are under way already.

        Raises:
            StoreError: The journal cannot be used.  Before the calls nothing has been
                changed; after them the error is ambiguous.
        """
        lease = self._lease(key)
        try:
            journal, mark = self._mark(key, intents, reproducible, size)
        except BaseException:
            lease.release()
            raise
        all_must = journal is self._without or self._is_without
        patient = quorum is None or all_must or not self.stragglers.has_room
        change = _Change(
            journal,
            mark,
            lease,
            self.stragglers,
            self._missed,
            None if patient else quorum,
        )
        watched = {
            name: functools.partial(change.watch, name, call)
            for name, call in calls.items()
        }
        return fan_out(watched, self._workers, change, patient=patient), all_must

    def _lease(self, key: Key) -> Lease:
        seconds = deadlines.bounded(_LEASE_SECONDS)
        try:
            lease = self._journal.lease(key, seconds)
        except StoreError:
            if not self._degrade:
                raise
            lease = self._without.lease(key, seconds)
        if lease is None:
            deadlines.check()
            raise UnavailableError("another write of the object does not end")
        return lease

    def _mark(
        self, key: Key, intents: Mapping[str, Intent], reproducible: bool, size: int
    ) -> tuple[Journal, Mark]:
        try:
            mark = self._journal.begin(
                key, intents, reproducible=reproducible, size=size
            )
        except StoreError:
            if not self._degrade or self._is_pending(key):
                raise
            mark = self._without.begin(key, intents, reproducible=reproducible)
            return self._without, mark
        return self._journal, mark

    def _is_pending(self, key: Key) -> bool:
        """Tell whether something is known that could be replayed over a write."""
        try:
            return bool(self._journal.rows(key))
        except StoreError:
            return False


class _Change:
    """
    A write that was marked, until its last call is back.

    What is said to the journal is said without the caller's deadline: one that is over
    must not leave doubt.
    """

    def __init__(
        self,
        journal: Journal,
        mark: Mark,
        lease: Lease,
        stragglers: Stragglers,
        missed: Told,
        quorum: int | None,
    ) -> None:
        self._journal = journal
        self._mark = mark
        self._lease = lease
        self._stragglers = stragglers
        self._missed = missed
        self._quorum = quorum
        self._told: set[str] = set()
        self._lingering: set[str] = set()

    def watch(self, name: str, call: Callable[[], None]) -> None:
        """Make *call* on replica *name*, and see whether it left anything behind."""
        with lingering.Traces() as traces:
            call()
        if traces.left:
            self._lingering.add(name)

    @property
    def _marked(self) -> Mark:
        """The write, with what attempts that were given up on may yet do."""
        if not self._lingering:
            return self._mark
        late = self._journal.clock.time() + self._journal.quarantine
        known = self._mark.quarantine
        found = {name: max(late, known.get(name, 0.0)) for name in self._lingering}
        return self._mark._replace(quarantine={**known, **found})

    def is_enough(self, outcomes: Outcomes) -> bool:
        if self._quorum is None or len(outcomes) < self._quorum:
            return False
        intents = self._mark.intents
        done = (
            name
            for name, error in outcomes.items()
            if error is None and intents[name] != "drop"
        )
        return sum(1 for _ in done) >= self._quorum

    def settle(self, outcomes: Outcomes) -> None:
        for name, error in outcomes.items():
            if isinstance(error, UnderwayError):
                self._stragglers.add(name)
            elif error is not None:
                self._told.add(name)
        timeless = contextvars.Context()
        try:
            if changed_nothing(outcomes):
                timeless.run(self._journal.withdraw, self._mark)
            else:
                timeless.run(self._journal.settle, self._marked, outcomes)
        except StoreError as error:
            failed = any(outcome is not None for outcome in outcomes.values())
            if failed or self._lingering or not self._mark.clean:
                error.ambiguous = True
                raise
            # every replica has it, and is believed: that all are in doubt does no harm

    def arrive(self, name: str, error: BaseException | None) -> None:
        try:
            with contextlib.suppress(StoreError):  # then its row stays, for a repair
                timeless = contextvars.Context()
                timeless.run(self._journal.arrive, self._marked, name, error)
            if error is not None and name not in self._told:
                self._missed(self._mark.key, name, error)
        finally:
            if name not in self._told:
                self._stragglers.drop(name)

    def end(self) -> None:
        self._lease.release()
