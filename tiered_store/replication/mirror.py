"""
What an operator asks of a mirror, beside what its readers and writers do.
"""

from __future__ import annotations

import threading

from collections.abc import Callable, Iterator, Mapping

from tiered_store.clock import Clock
from tiered_store.control.standing import Rota
from tiered_store.errors import UnavailableError
from tiered_store.journals.journal import Journal
from tiered_store.journals.row import Row, Status
from tiered_store.key import Key
from tiered_store.replication.background import Background
from tiered_store.replication.pace import Pace, RepairPolicy, Traffic
from tiered_store.replication.placement import Placement
from tiered_store.replication.repair import Repair, Selection
from tiered_store.replication.report import RepairReport
from tiered_store.replication.service import reachable
from tiered_store.replication.telling import Teller
from tiered_store.store import Store
from tiered_store.workers import Workers


class Mirror(Store):
    """A store whose journal remembers what its replicas have missed."""

    replicas: Mapping[str, Store]
    _placement: Placement
    _journal: Journal
    _workers: Workers
    _clock: Clock
    _rota: Rota
    _teller: Teller
    _traffic: Traffic
    _repairs: RepairPolicy
    _background: Background | None

    def repair_in_background(
        self, policy: RepairPolicy, stop: threading.Event | None
    ) -> None:
        """Make one pass over what is due, as fast as *policy* says."""
        self.repair(
            due=True,
            parallel=policy.parallel,
            rate=policy.rate if stop is not None else None,
            bandwidth=policy.bandwidth if stop is not None else None,
            stop=stop,
        )

    def _called(self) -> None:
        """Note that somebody waits for an answer."""
        self._traffic.calls += 1
        if self._background is not None and not self._background.begun:
            self._background.begin()

    def repair(
        self,
        replica: str | None = None,
        *,
        limit: int | None = None,
        due: bool = False,
        dead: bool = False,
        parallel: int | None = None,
        rate: float | None = None,
        bandwidth: float | None = None,
        stop: threading.Event | None = None,
        progress: Callable[[RepairReport], None] | None = None,
    ) -> RepairReport:
        """
        Bring up to date what is pending, once through, and say what was done.

        Any number may run at once.  What fails stays, with its error noted.

        Args:
            replica: Only this one.
            limit: Objects, at most.
            due: Only what has waited long enough since it last failed.
            dead: Dead letters, too.
            parallel: Objects at once.
            rate: Objects a second, at most.
            bandwidth: Bytes a second, at most.
            stop: Ends it, once set, after the objects that are under way.
            progress: Told the report so far after every object.

        Raises:
            ValueError: There is no such replica.
            StoreError: The journal cannot be used.
        """
        self._check_name(replica)
        repair = Repair(
            self._journal,
            self._ordered(),
            self._workers,
            self._clock,
            self._teller.repaired,
            attempts=self._repairs.attempts,
        )
        traffic = self._traffic
        return repair.run(
            Selection(replica=replica, limit=limit, due=due, dead=dead),
            Pace(self._clock, traffic, rate=rate, bandwidth=bandwidth, stop=stop),
            parallel=parallel or self._repairs.parallel,
            progress=progress,
        )

    def forget(self, key: Key, replica: str) -> Row | None:
        """
        Drop what *replica* has missed of *key*; return the row, None if there is none.

        It is believed again about the object, whatever it has: an old one, none, or one
        that was deleted everywhere else.  Only :meth:`verify` can tell afterwards.

        Raises:
            UnavailableError: It is being written or repaired, or a change that nobody
                waits for may still take effect there.
        """
        lease = self._journal.lease(key, 0)
        if lease is None:
            raise UnavailableError("somebody is writing or repairing the object")
        with lease:
            row = self._journal.rows(key).get(replica)
            if row is not None and not self._journal.clear(row):
                raise UnavailableError("a change may still take effect there")
            return row

    def pending(self, replica: str | None = None) -> Iterator[Row]:
        """Yield what the replicas, or one of them, have missed."""
        return self._journal.pending(replica)

    def missed(self, key: Key) -> Mapping[str, Row]:
        """Return what the replicas have missed of *key*, by name."""
        return self._journal.rows(key)

    def status(self) -> Status:
        """Return how much is pending, and how many objects have only one copy."""
        short = len(self.replicas) - 1
        return Status(
            replicas=self._journal.backlogs(),
            single_copies=self._journal.short_of(short) if short else 0,
        )

    def _check_name(self, replica: str | None) -> None:
        if replica is not None and replica not in self.replicas:
            known = ", ".join(self.replicas)
            raise ValueError(f"no replica {replica!r}; there are {known}")

    def _ordered(self) -> Mapping[str, Store]:
        touched = reachable(self.replicas, self._rota.now())
        return {name: touched[name] for name in self._placement.order}
