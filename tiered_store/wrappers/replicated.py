"""
Keep the same objects in several stores.

.. code-block:: yaml

   type: replicated
   replicas:                               # the names end up in the journal
     us: {type: memory}
     eu: {type: memory}
   quorum: 1                               # who must acknowledge a write
   ack: all                                # and who is waited for
   journal: {type: memory}                 # for tests; sqlite where it matters
   read: {order: [us, eu]}

Each replica is a copy of all, in a place of its own.  With a journal one of them may
be away for as long as it likes: writes go on, reads never ask it for what it missed,
and :meth:`~ReplicatedStore.repair` brings it up to date, deletes included.  That holds
for all processes that share the journal.  Without one every replica must acknowledge
every write.
"""

from __future__ import annotations

import logging

from collections.abc import Collection, Iterator, Mapping
from typing import Literal

from tiered_store import lifecycle
from tiered_store.body import Body, Stat
from tiered_store.clock import SYSTEM, Clock
from tiered_store.condition import Condition
from tiered_store.control.beside import followed
from tiered_store.control.conditions import conditions as decided
from tiered_store.control.control import Control
from tiered_store.control.standing import Rota
from tiered_store.errors import ConfigError
from tiered_store.events import Verb
from tiered_store.findings import Finding
from tiered_store.foreign import as_store
from tiered_store.journals.journal import Journal
from tiered_store.key import Key
from tiered_store.policies.breaker import BreakerPolicy
from tiered_store.policies.guard import guard
from tiered_store.replication.conditions import conditions
from tiered_store.replication.copying import Copier
from tiered_store.replication.explaining import findings
from tiered_store.replication.health import hedge_of
from tiered_store.replication.listing import list_keys
from tiered_store.replication.mirror import Mirror
from tiered_store.replication.pace import RepairPolicy
from tiered_store.replication.placement import Placement, ReadPolicy, Reproducible
from tiered_store.replication.reading import Reader
from tiered_store.replication.service import reachable
from tiered_store.replication.writing import Writer
from tiered_store.store import Store, union
from tiered_store.workers import Workers


_log = logging.getLogger("tiered_store")


class ReplicatedStore(Mirror):
    """
    The same objects in all *replicas*.

    A write goes to all at once, marked in the journal before and settled after, and is
    acknowledged when *quorum* replicas have it.  Below that it raises
    :class:`~tiered_store.errors.PartialWriteError`, nothing is undone, and what was
    begun is completed later.  Writes of one object follow each other, writes of
    different ones do not wait, and readers never do.

    Which replicas a write waits for is said by *ack*.  By ``all`` it takes as long as
    the slowest that is well, and the quorum only decides what happens in an outage.  By
    ``quorum`` it takes as long as the slowest of the fastest *quorum*; the others go on
    behind, are passed over by reads until they have it, and what they miss is in the
    journal.  It keeps a copy of what is being written until all have it, in memory
    up to 8 MiB and in a temporary file beyond.

    A read asks the replicas in order and passes over those that are behind.  What was
    deleted is absent, even while every replica still has it.

    Args:
        replicas: By name; a name stays with its place, for the journal knows it.
        quorum: How many must acknowledge; by default 1 with a journal, all without.
        ack: Who is waited for, ``all`` or the ``quorum``, which needs a journal.
        journal: Remembers what each replica missed.
        read: Whom readers ask, and in which order; by default as *replicas* stand.
        reproducible: Keeps objects that can be computed again in fewer places; an
            older copy elsewhere is deleted.
        journal_errors: What happens when the journal cannot be used.  ``fail``: nothing
            is read or written.  ``degrade``: every replica must acknowledge, unless
            something is known to be pending for the object, and every replica is
            believed.
        breaker: When to stop asking a replica; None for never.
        repair: How what is pending is repaired in the background, from the first call
            on, by one process at a time of those that share the journal; None for not
            at all.
        control: Where operators' decisions are looked up; by default in a file beside
            the journal, if that is an SQLite file.  A drained replica is read
            last and written only if no other can be; an isolated one is not touched.
            What either misses is in the journal.
        workers: Threads; half of them may be busy with what nobody waits for.  Beyond
            all of them replicas are written one after the other, except
            under a deadline, when one that finds no thread has failed.  With none at
            all a deadline is only kept as far as each replica keeps it.

    Raises:
        ConfigError: Names that are unknown, or a quorum that cannot be.
    """

    def __init__(
        self,
        replicas: Mapping[str, Store],
        *,
        quorum: int | None = None,
        ack: Literal["all", "quorum"] = "all",
        journal: Journal | None = None,
        read: ReadPolicy | None = None,
        reproducible: Reproducible | None = None,
        journal_errors: Literal["fail", "degrade"] = "fail",
        breaker: BreakerPolicy | None = BreakerPolicy(),  # noqa: B008 - frozen
        repair: RepairPolicy | None = None,
        control: Control | None = None,
        workers: int = 32,
        clock: Clock = SYSTEM,
    ) -> None:
        _check(workers, ack, journal, repair)
        self._placement = Placement(
            replicas,
            quorum=quorum,
            remembered=journal is not None,
            read=read,
            reproducible=reproducible,
        )
        self.replicas = {
            name: guard(as_store(replicas[name]), breaker, clock) for name in replicas
        }
        self.given_quorum = quorum  # as drawn and written
        self.quorum = self._placement.quorum
        self.ack = ack
        self.read = read
        self.reproducible = reproducible
        self.journal_errors = journal_errors
        self.breaker = breaker
        self.control = control
        self.workers = workers
        self._set_up(journal, repair, Workers("replicated", workers), clock)
        self._rota = Rota(self._placement.order, followed(control, journal), self)
        degrade = journal_errors == "degrade"
        self._writer = Writer(
            self._journal,
            self._workers,
            degrade=degrade,
            missed=self._teller.missed,
        )
        self._reader = Reader(
            self.replicas,
            self._placement,
            self._journal,
            self._teller,
            self._rota,
            lenient=degrade,
            hedge=hedge_of(
                self.replicas,
                None if read is None else read.hedge_after,
                0.05 if read is None else read.hedge_budget,
                self.alike,
                self._workers,
                clock,
            ),
        )
        self._copier = Copier(
            self.replicas,
            self._placement,
            self._rota,
            self._writer,
            self._teller,
            self._reader.glimpse,
            patient=ack == "all",
        )

    def children(self) -> Mapping[str, Store]:
        return self.replicas

    def capabilities(self) -> frozenset[Verb]:
        """What any replica can do."""
        return union(iter(self.replicas.values()))

    # -- writing -------------------------------------------------------------

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        self._called()
        self._copier.put(key, body, reproducible)

    def _delete(self, key: Key) -> None:
        self._called()
        self._copier.delete(key)

    # -- reading -------------------------------------------------------------

    def _get(self, key: Key) -> Body:
        self._called()
        return self._reader.get(key)

    def _stat(self, key: Key) -> Stat:
        return self._reader.first("stat", key, lambda replica: replica.stat(key))

    def _url(self, key: Key) -> str:
        return self._reader.url(key)

    def _keys(self, prefix: str) -> Iterator[Key]:
        return list_keys(
            reachable(self.replicas, self._rota.now()),
            self._placement.complete,
            self._journal,
            prefix,
        )

    def findings(self, key: Key) -> Iterator[Finding]:
        return findings(str(self), self.replicas, self._journal.rows(key))

    def conditions(self) -> Iterator[Condition]:
        now = self._clock.time()
        yield from conditions(str(self), self.replicas, self._journal, now)
        yield from decided(str(self), tuple(self.replicas), self._rota.control)

    def _ordered(self) -> Mapping[str, Store]:
        touched = reachable(self.replicas, self._rota.now())
        return {name: touched[name] for name in self._placement.order}

    def _complete(self) -> Collection[str]:
        return self._placement.complete

    def _close(self) -> None:
        self._rota.close()
        self._reader.glimpse.close()
        if self._background is not None:
            self._background.close(lifecycle.EXIT_SECONDS)
        left = self._writer.stragglers.drain(lifecycle.EXIT_SECONDS)
        if left is not None:
            _log.error("closing %s with work left: %s", self, left)
        self._workers.close()
        self._journal.close()


def _check(
    workers: int,
    ack: Literal["all", "quorum"],
    journal: Journal | None,
    repair: RepairPolicy | None,
) -> None:
    problems = []
    if workers < 0:
        problems.append(f"workers: must not be negative, is {workers}")
    if ack == "quorum" and journal is None:
        problems.append(
            "ack: quorum needs a journal; without one nobody would know what was "
            "under way when a process ended"
        )
    if repair is not None and journal is None:
        problems.append("repair: needs a journal, which says what is to be repaired")
    if problems:
        raise ConfigError(problems)
