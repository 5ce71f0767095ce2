"""
Change an object on several replicas, marked in the journal before and settled after.
"""

from __future__ import annotations

import contextvars
import functools

from collections.abc import Callable, Mapping

from tiered_store import deadlines
from tiered_store.errors import InvalidError, StoreError, UnavailableError
from tiered_store.journals.journal import Journal
from tiered_store.journals.keylocks import Lease
from tiered_store.journals.none import NoJournal
from tiered_store.journals.row import Intent, Mark
from tiered_store.key import Key
from tiered_store.policies.breaker import CircuitOpenError
from tiered_store.replication.fanout import Outcomes, fan_out
from tiered_store.workers import Workers


_LEASE_SECONDS = 60.0


class Writer:
    """
    Writes that follow each other for each key.

    Args:
        degrade: Go on without the journal when it cannot be used, unless it is known
            to have something pending for the object.
    """

    def __init__(self, journal: Journal, workers: Workers, *, degrade: bool) -> None:
        self._journal = journal
        self._without = NoJournal()
        self._workers = workers
        self._degrade = degrade

    def write(
        self,
        key: Key,
        intents: Mapping[str, Intent],
        calls: Mapping[str, Callable[[], None]],
        *,
        reproducible: bool = False,
        size: int = 0,
    ) -> tuple[Outcomes, bool]:
        """
        Make *calls*, one a replica; return the outcomes and whether all must be good.

        The lease on the key is held until the last call is back, even if that is after
        this has returned.

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
        settle = functools.partial(_settle, journal, mark)
        outcomes = fan_out(calls, self._workers, settle, lease.release)
        return outcomes, isinstance(journal, NoJournal)

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


def _settle(journal: Journal, mark: Mark, outcomes: Outcomes) -> None:
    timeless = contextvars.Context()  # a deadline that is over must not leave doubt
    try:
        if changed_nothing(outcomes):
            timeless.run(journal.withdraw, mark)
        else:
            timeless.run(journal.settle, mark, outcomes)
    except StoreError as error:
        if any(outcome is not None for outcome in outcomes.values()):
            error.ambiguous = True
            raise
        # every replica has it: that the rows are left in doubt does no harm


def changed_nothing(outcomes: Outcomes) -> bool:
    """Tell whether every replica was never asked, or refuses what nobody can do."""
    return all(_is_harmless(outcome) for outcome in outcomes.values())


def _is_harmless(outcome: BaseException | None) -> bool:
    if isinstance(outcome, CircuitOpenError):
        return not outcome.asked
    return isinstance(outcome, InvalidError) and not outcome.ambiguous
