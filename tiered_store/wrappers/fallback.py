"""
Read from the next store when one cannot answer, and write there too.

.. code-block:: yaml

   type: fallback
   stores:                                 # in order of preference
     us: {type: memory}
     local: {type: memory}

With ``write: failover`` a put goes to the next store as well, and what the others
missed is journalled until they have it.

.. code-block:: yaml

   type: fallback
   stores:
     us: {type: memory}
     eu: {type: memory}
   write: failover
   journal: {type: memory}                 # for tests; sqlite or redis where it matters
   failback: auto                          # or manual: a person says when

It keeps no copies: its stores are kept alike by somebody else (a bucket's own
replication), or differ on purpose (the old store of a migration, a last resort).
Where the copies are yours to keep, use ``replicated``, which fails over as well.
"""

from __future__ import annotations

import functools

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, TypeVar

from tiered_store import lifecycle
from tiered_store.body import Body, Stat
from tiered_store.clock import SYSTEM, Clock
from tiered_store.condition import Condition
from tiered_store.control.beside import followed
from tiered_store.control.conditions import conditions as decided
from tiered_store.control.control import Control
from tiered_store.errors import ConfigError
from tiered_store.events import Verb
from tiered_store.findings import Finding
from tiered_store.foreign import as_store
from tiered_store.journals.journal import Journal
from tiered_store.key import Key
from tiered_store.policies.breaker import BreakerPolicy
from tiered_store.policies.evidence import Judged
from tiered_store.policies.failback import failback_policy
from tiered_store.policies.guard import Guard, guard
from tiered_store.replication.catching_up import CatchUp, is_back
from tiered_store.replication.changing import Journalled, Unjournalled, able
from tiered_store.replication.conditions import conditions
from tiered_store.replication.explaining import findings
from tiered_store.replication.failover import FailoverWriter
from tiered_store.replication.health import hedge_of
from tiered_store.replication.mirror import Mirror
from tiered_store.replication.order import Order, nothing_missed
from tiered_store.replication.pace import RepairPolicy
from tiered_store.replication.report import RepairReport
from tiered_store.replication.service import reachable
from tiered_store.replication.succession import Succession
from tiered_store.store import Store, union
from tiered_store.units import Duration
from tiered_store.workers import Workers


Result = TypeVar("Result")


class FallbackStore(Mirror):
    """
    The first of *stores* that can answer, a breaker around each.

    Reads go on to the next store on an outage or a refusal.  "Absent" is the answer
    only if the first store says so, or every one that was asked.  While every breaker
    is open, one call at a time still goes through.

    Without a journal puts go to the first store and nowhere else, whatever operators
    decide, for nobody would know what it missed; an isolated one takes none.  Deletes
    go to every store that can delete, the last one first, so that one which fails half
    way leaves the object where it was.

    With one, a put goes to the next store when the first cannot take it (``write:
    failover``), or when operators sent the traffic there (``write: primary`` as well).
    For that object the stores are then a mirror: those that missed it are in the
    journal, are not read, and are given it by a repair, which begins by itself when the
    first store is back, or a decision over.  Deletes go to all stores, and are
    remembered for those that cannot be reached.  All that holds for the processes that
    share the journal.

    With ``write: failover`` a store that was away is used again in steps, see
    :class:`~tiered_store.policies.failback.FailbackPolicy`; while it is not trusted
    with all reads, it is not with writes.  With ``write: primary`` it is used again at
    once, as nobody else need be as fresh, unless one of the options below is given.

    Args:
        stores: By name, in order of preference; the first is the primary.
        write: Where puts go when the primary cannot take them: ``primary`` for nowhere,
            unless an operator said so.
        read_on: What makes a read go on to the next store: ``unavailable``, and for a
            migration's old store also ``not_found``.
        breaker: When to stop asking a store; None for never.
        control: Where operators' decisions are looked up; by default in a file beside
            the journal, if that is an SQLite file.  A drained store is asked
            last, a promoted one first, an isolated one not at all.
        journal: Remembers what each store missed; needed by ``write: failover``, and
            for puts to follow operators.
        journal_errors: What happens when the journal cannot be used.  ``fail``: nothing
            is read or written.  ``degrade``: every store is believed, and puts go to
            the primary or nowhere.
        failback: Whether a store that was away is used again without a person.
        repair: How what is pending is repaired in the background; None for only when a
            store has returned.
        hold_down: Seconds that it must have been well before, doubled each time; by
            default 30.
        fade_in: Seconds in which its share of the traffic grows; by default 60.
        hedge_after: Seconds after which a read asks the next store as well, or ``p95``,
            what 95 % of its reads take; None for never.  What the next store has may be
            older.
        hedge_budget: Second requests as a share of reads.
        workers: Threads for deletes, repairs and hedged reads.

    Raises:
        ConfigError: No stores; or ``write: failover`` without a journal, or where the
            primary, or nobody else, can be written.
    """

    alike = False  # who keeps them alike, if anybody, is not this store

    def __init__(
        self,
        stores: Mapping[str, Store],
        *,
        write: Literal["primary", "failover"] = "primary",
        read_on: Sequence[Literal["unavailable", "not_found"]] = ("unavailable",),
        breaker: BreakerPolicy | None = BreakerPolicy(),  # noqa: B008 - frozen
        control: Control | None = None,
        journal: Journal | None = None,
        journal_errors: Literal["fail", "degrade"] = "fail",
        repair: RepairPolicy | None = None,
        failback: Literal["auto", "manual"] = "auto",
        hold_down: Duration | None = None,
        fade_in: Duration | None = None,
        hedge_after: Duration | Literal["p95"] | None = None,
        hedge_budget: float = 0.05,
        workers: int = 32,
        clock: Clock = SYSTEM,
    ) -> None:
        given = {name: as_store(store) for name, store in stores.items()}
        if problems := list(_problems(given, write, journal, repair)):
            raise ConfigError(problems)
        judged: Judged = "size" if write == "failover" else "never"
        self.stores = {
            name: guard(store, breaker, clock, writes=judged)
            for name, store in given.items()
        }
        self.write = write
        self.read_on = tuple(read_on)
        self.breaker = breaker
        self.control = control
        self.journal_errors = journal_errors
        self.failback = failback
        self.hold_down = hold_down
        self.fade_in = fade_in
        self.hedge_after = hedge_after
        self.hedge_budget = hedge_budget
        self.workers = workers
        self._home = next(iter(self.stores))
        self._set_up(journal, repair, Workers("fallback", workers), clock)
        self.replicas = able(self.stores, "put")
        self._order = Order(
            self,
            self.stores,
            followed(control, journal),
            failback_policy(
                write, failback, hold_down, fade_in, journaled=journal is not None
            ),
            None if journal is None else self._catch_up,
            clock,
        )
        self._rota = self._order.rota
        self._succession = Succession(
            self.stores,
            self.replicas,
            self._journal,
            thorough="not_found" in self.read_on,
            lenient=journal_errors == "degrade",
            hedge=hedge_of(
                self.stores,
                hedge_after,
                hedge_budget,
                self.alike,
                self._workers,
                clock,
            ),
            teller=self._teller,
        )
        self._changing = (
            Unjournalled(self.stores, self._order)
            if journal is None
            else Journalled(
                self.stores,
                self._order,
                FailoverWriter(
                    journal,
                    self._workers,
                    degrade=journal_errors == "degrade",
                    missed=self._teller.missed,
                ),
                self._teller,
                self._succession.glimpse,
                failover=write == "failover",
            )
        )

    def children(self) -> Mapping[str, Store]:
        return self.stores

    def capabilities(self) -> frozenset[Verb]:
        """What any of its stores can do, puts only as those that take them can."""
        able = union(iter(self.stores.values()))
        if self.write == "failover":
            return able
        return able - ({"put"} - self.stores[self._home].capabilities())

    # -- writing -------------------------------------------------------------

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        self._called()
        self._changing.put(key, body, reproducible)

    def _delete(self, key: Key) -> None:
        self._called()
        self._changing.delete(key)

    # -- reading -------------------------------------------------------------

    def _get(self, key: Key) -> Body:
        self._called()
        standing = self._order.standing()
        return self._succession.get(key, self._order.of_reads(key), standing)

    def _stat(self, key: Key) -> Stat:
        standing = self._order.standing()
        return self._succession.first(
            "stat",
            key,
            lambda store: store.stat(key),
            self._order.of_reads(key),
            standing,
        )[0]

    def _url(self, key: Key) -> str:
        return self._succession.url(key, self._order.of_reads(key))

    def _keys(self, prefix: str) -> Iterator[Key]:
        order = self._order.of_reads()
        if "not_found" in self.read_on:
            return self._succession.all_keys(prefix, order)
        return self._succession.keys(prefix, order)

    # -- coming back ---------------------------------------------------------

    def fail_back(self, name: str | None = None) -> None:
        """
        Use *name*, by default every store, again as soon as it is well.

        For a person: it ends waiting for one, and the time that is waited for in any
        case.  A store that missed something is brought up to date before, as ever.

        Raises:
            ValueError: There is no such store.
        """
        if name is not None and name not in self.stores:
            known = ", ".join(self.stores)
            raise ValueError(f"no store {name!r}; there are {known}")
        self._order.fail_back(name)

    @property
    def repairs_itself(self) -> bool:
        """Whether what a store missed is brought there without anybody asking."""
        return self.journal is not None and self._order.repairs

    def findings(self, key: Key) -> Iterator[Finding]:
        return findings(str(self), self.stores, self._journal.rows(key))

    def conditions(self) -> Iterator[Condition]:
        if self.journal is not None:
            now = self._clock.time()
            yield from conditions(str(self), self.replicas, self._journal, now)
        yield from decided(str(self), tuple(self.stores), self._rota.control)
        yield from self._order.conditions()

    def _catch_up(self, name: str) -> Callable[[bool], bool]:
        if name not in self.replicas:  # which is given nothing, so it misses nothing
            return nothing_missed
        return CatchUp(functools.partial(self._bring, name), self._workers).begin

    def _bring(self, name: str) -> RepairReport:
        """Repair *name* if it is well."""
        store = self.stores[name]
        pending = self._journal.pending(name)
        if isinstance(store, Guard) and not is_back(
            self._ordered()[name], store.reading, pending
        ):
            return RepairReport(down=1)
        return self.repair(name)

    def _ordered(self) -> Mapping[str, Store]:
        touched = reachable(self.stores, self._rota.now())
        return {name: touched[name] for name in self.replicas}

    def _close(self) -> None:
        self._order.close()
        self._succession.glimpse.close()
        if self._background is not None:
            self._background.close(lifecycle.EXIT_SECONDS)
        self._workers.close()
        self._journal.close()


def _problems(
    stores: Mapping[str, Store],
    write: str,
    journal: Journal | None,
    repair: RepairPolicy | None,
) -> Iterator[str]:
    if not stores:
        yield "stores: needs at least one"
    if write == "failover" and journal is None:
        yield (
            "write: failover needs a journal, or nobody would know what the primary "
            "missed"
        )
    able = [name for name in stores if "put" in stores[name].capabilities()]
    if write == "failover" and stores and next(iter(stores)) not in able:
        yield f"write: failover: the primary, {next(iter(stores))}, cannot be written"
    elif write == "failover" and len(able) == 1:
        yield "write: failover: no store but the primary can be written; say primary"
    if repair is not None and journal is None:
        yield "repair: needs a journal, which says what is to be repaired"
