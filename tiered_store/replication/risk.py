"""
What would be at risk if an operator decided something.
"""

from __future__ import annotations

import itertools

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from tiered_store.control.control import Control
from tiered_store.control.decisions import Decision, Decisions
from tiered_store.control.standing import described, standing
from tiered_store.errors import StoreError
from tiered_store.journals.journal import Journal
from tiered_store.replication.conditions import not_here
from tiered_store.replication.placement import Reproducible
from tiered_store.store import Store
from tiered_store.tree import walk


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """
    What a decision about a place of *store* would mean.

    Attributes:
        serving: Who would be left in service, in order.
        only_copies: Objects of which nobody in service would have a current copy, as
            the journal knows; None if nobody knows, for there is none.
        alike: The store makes all copies itself, so that the journal knows of all that
            are missing; if not, it does of what was put in an outage.
        pending: By name, how many objects each place is behind for.
        apart: Who alone keeps what can be computed again, if none of them would be in
            service; how many objects that is, nobody knows.
        ends: Decisions that this one would end or replace, in words.
        error: Why the journal could not say.
    """

    store: str
    serving: tuple[str, ...]
    only_copies: int | None = None
    alike: bool = True
    pending: Mapping[str, int] = field(default_factory=dict)
    apart: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    error: str | None = None

    @property
    def is_one(self) -> bool:
        """Whether a person should say that it is worth it; so also if nobody knows."""
        return self.only_copies != 0 or bool(self.apart) or self.error is not None


def governed(root: Store, name: str | None = None) -> Iterator[Store]:
    """Yield the stores that choose from several places, one of them called *name*."""
    for store in walk(root):
        if hasattr(store, "followed") and name in (None, *store.children()):
            yield store


def control_of(store: Store) -> Control | None:
    """Return what *store* follows."""
    control = getattr(store, "followed", None)
    return control if isinstance(control, Control) else None


def risk_of(store: Store, record: Decisions, decision: Decision) -> Risk:
    """Return what *decision* would mean for *store*, whose places follow *record*."""
    names = tuple(store.children())
    after = standing(names, record.with_(decision))
    ends = tuple(
        f"{name} is {described(held)}"
        for name, held in standing(names, record).decisions.items()
        if after.decisions.get(name) is not held
    )
    risk = Risk(
        store=str(store),
        serving=tuple(after.write),
        alike=bool(getattr(store, "alike", False)),
        apart=_apart(store, after.write if decision.verb == "drain" else after.read),
        ends=ends,
    )
    journal = getattr(store, "journal", None)
    if not isinstance(journal, Journal):
        return risk
    if not journal.is_there():  # nor is it made by looking
        return replace(risk, error=not_here(journal))
    try:
        if decision.verb == "drain":
            only = _only_elsewhere(journal, after.write, set(after.spare))
        else:  # what is drained can still be read, so only what is not touched is away
            only = _only_elsewhere(journal, after.read, set(after.withheld))
        behind = {name: log.rows for name, log in journal.backlogs().items()}
    except StoreError as error:
        return replace(risk, error=error.message or str(error))
    pending = {name: behind.get(name, 0) for name in names}
    return replace(risk, only_copies=only, pending=pending)


def _apart(store: Store, serving: Collection[str]) -> tuple[str, ...]:
    """Return who keeps what can be computed again, if nobody of them is *serving*."""
    policy = getattr(store, "reproducible", None)
    if not isinstance(policy, Reproducible) or not serving:
        return ()
    return () if {*policy.replicas} & {*serving} else tuple(policy.replicas)


def _only_elsewhere(
    journal: Journal, serving: Collection[str], away: Collection[str]
) -> int:
    """Return how many objects only those who are *away* are sure to have."""
    if not away:
        return 0
    found = 0
    for _, rows in itertools.groupby(journal.pending(), key=lambda row: row.key):
        lacking = {
            row.replica for row in rows if row.verb != "delete" and row.intent == "put"
        }
        found += lacking.issuperset(serving) and not lacking.issuperset(away)
    return found
