"""
What an operator asks of a mirror, beside what its readers and writers do.
"""

from __future__ import annotations

import threading

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping

from tiered_store.clock import Clock
from tiered_store.control.control import Control
from tiered_store.control.standing import Rota
from tiered_store.errors import UnavailableError, UnsupportedError
from tiered_store.journals.journal import Journal
from tiered_store.journals.none import NoJournal
from tiered_store.journals.row import Row, Status
from tiered_store.key import Key
from tiered_store.policies.guard import patient
from tiered_store.replication.background import Background
from tiered_store.replication.difference import Compare, Difference, VerifyReport
from tiered_store.replication.mending import Mending, Selection
from tiered_store.replication.pace import Pace, RepairPolicy, Traffic
from tiered_store.replication.repair import Repair
from tiered_store.replication.report import RepairReport
from tiered_store.replication.service import Touched
from tiered_store.replication.telling import Teller
from tiered_store.replication.verdict import NEWEST, Judge
from tiered_store.replication.verify import Verification
from tiered_store.store import Store
from tiered_store.workers import Workers


class Mirror(Store):
    """
    A store whose journal remembers what its replicas have missed.

    Attributes:
        replicas: By name.
        alike: They shall all have the same objects.
        journal: What remembers; None if nothing does.
        repair_policy: How it repairs in the background; None for not at all.
    """

    replicas: Mapping[str, Store]
    journal: Journal | None
    repair_policy: RepairPolicy | None
    alike: bool = True
    _journal: Journal
    _workers: Workers
    _clock: Clock
    _teller: Teller
    _traffic: Traffic
    _repairs: RepairPolicy
    _background: Background | None
    _rota: Rota

    def _set_up(
        self,
        journal: Journal | None,
        repair: RepairPolicy | None,
        workers: Workers,
        clock: Clock,
    ) -> None:
        """Take what a mirror goes by, for a constructor that has its children."""
        self.journal = journal
        self.repair_policy = repair
        self._workers = workers
        self._clock = clock
        self._journal = NoJournal() if journal is None else journal
        self._journal.expect(lingering=self.lingers())
        self._teller = Teller(self)
        self._traffic = Traffic(self._journal)
        self._repairs = RepairPolicy() if repair is None else repair
        self._background = (
            None
            if repair is None or journal is None
            else Background(self, journal, repair)
        )

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
        self._traffic.called()
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
        traffic = self._traffic
        repair = Repair(self._journal, self._mending(), self._workers, self._clock)
        with patient():  # what is late is not given up
            return repair.run(
                Selection(replica=replica, limit=limit, due=due, dead=dead),
                Pace(self._clock, traffic, rate=rate, bandwidth=bandwidth, stop=stop),
                parallel=parallel or self._repairs.parallel,
                progress=progress,
            )

    def verify(
        self,
        prefix: str = "",
        *,
        repair: bool = False,
        trust: str | None = None,
        compare: Compare = "quick",
        after: str = "",
        limit: int | None = None,
        parallel: int | None = None,
        rate: float | None = None,
        bandwidth: float | None = None,
        stop: threading.Event | None = None,
        told: Callable[[Difference], None] | None = None,
        listed: Callable[[int], None] | None = None,
        progress: Callable[[VerifyReport], None] | None = None,
    ) -> VerifyReport:
        """
        Compare all replicas, whatever the journal says, and say what was found.

        Every replica is listed, and each object compared by a digest that all tell, or
        else by its bytes.  What the journal knows to be pending counts as such.  What
        replicas differ in is looked at again under the object's lease, so that no write
        under way is mistaken for a difference.

        With *repair* what is pending is repaired, and what is certain is put right:
        damaged copies, missing ones of objects that were written since the journal
        remembers, and what can be computed again in places that do not keep it.  What
        else differs needs somebody to *trust*; nothing is done about it otherwise.  A
        write beside it wins, and what was deleted does not return.

        Args:
            prefix: Of object types.
            repair: Put right what can be; it needs a journal.
            trust: A replica whose objects are right, and which has all there are; or
                ``newest``, by when each was written, and what one has all shall have.
            compare: ``quick`` as above; ``sizes`` compares no more than them;
                ``bytes`` always reads.
            after: Begin behind this object, as :attr:`VerifyReport.after` names it.
            limit: Objects, at most.
            parallel: Batches of objects at once.
            rate: Objects a second, at most.
            bandwidth: Bytes a second, at most.
            stop: Ends it, once set, after what is under way.
            told: Called with each difference, from any thread.
            listed: Called with the number of objects, once that is known.
            progress: Told the report so far after every few objects.

        Raises:
            ValueError: There is no such replica to trust.
            UnsupportedError: A replica cannot be listed; or it shall be repaired, and
                there is no journal.
            StoreError: A replica could not be listed, or the journal not be used; or
                the trusted one has no object at all.
        """
        if not self.alike:
            raise UnsupportedError("its stores may differ on purpose")
        if trust != NEWEST:
            self._check_name(trust)
        if repair and isinstance(self._journal, NoJournal):
            raise UnsupportedError(
                "without a journal nobody keeps a repair and writers apart; give it one"
            )
        judge = Judge(
            names=tuple(self.replicas),
            complete=self._complete(),
            trust=trust,
            born=self._journal.born(),
        )
        verification = Verification(
            self._journal,
            Touched(self._ordered),
            self._workers,
            judge,
            compare=compare,
            mending=self._mending() if repair else None,
            told=told or _ignore,
        )
        return verification.run(
            prefix,
            after,
            limit,
            Pace(self._clock, self._traffic, rate=rate, bandwidth=bandwidth, stop=stop),
            parallel=parallel or self._repairs.parallel,
            listed=listed or _ignore,
            progress=progress or _ignore,
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

    @property
    def followed(self) -> Control | None:
        """Where this store looks up operators' decisions."""
        return self._rota.control

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

    def _complete(self) -> Collection[str]:
        """Return the names of those that keep also what can be computed again."""
        return tuple(self.replicas)

    def _mending(self) -> Mending:
        return Mending(
            self._journal,
            Touched(self._ordered),
            self._clock,
            self._teller,
            attempts=self._repairs.attempts,
        )

    def _check_name(self, replica: str | None) -> None:
        if replica is not None and replica not in self.replicas:
            known = ", ".join(self.replicas)
            raise ValueError(f"no replica {replica!r}; there are {known}")

    @abstractmethod
    def _ordered(self) -> Mapping[str, Store]:
        """Return the replicas, in the one order in which they are asked for copies."""


def _ignore(_told: object) -> None:
    """Nobody wants to know."""
