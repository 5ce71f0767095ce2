"""
How a mirror is doing as a whole, and each of its replicas.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tiered_store.condition import Condition, Fact
from tiered_store.errors import StoreError
from tiered_store.journals.journal import Journal
from tiered_store.journals.row import Backlog
from tiered_store.store import Store


def not_here(journal: Journal) -> str:
    """Say what to do about a *journal* that is not there."""
    return (
        f"no journal at {journal.place}: it is on another machine, or was never used; "
        "ask where the services run"
    )


def conditions(
    place: str, replicas: Mapping[str, Store], journal: Journal, now: float
) -> Iterator[Condition]:
    """
    Yield what *journal* says of the mirror at *place*, then of each replica.

    One that is not there is not made by looking: an empty one would say "well".
    """
    if not journal.is_there():
        yield Condition(
            section="mirrors",
            place=place,
            state="attention",
            facts={"replicas": len(replicas), "note": not_here(journal)},
        )
        return
    try:
        backlogs = journal.backlogs()
        single = journal.short_of(len(replicas) - 1) if len(replicas) > 1 else 0
    except StoreError as error:
        yield Condition.of("mirrors", place, error)
        return
    rows = sum(backlog.rows for backlog in backlogs.values())
    yield Condition(
        section="mirrors",
        place=place,
        state="attention" if rows else "well",
        facts={
            "replicas": len(replicas),
            "rows": rows,
            "capacity": journal.capacity or None,
            "single copies": single,
            "note": None if journal.capacity else "no journal",
        },
    )
    for name, store in replicas.items():
        yield _of_replica(str(store), backlogs.get(name), now)
    for name in backlogs.keys() - replicas.keys():
        yield _of_replica(f"{place}.{name}", backlogs[name], now, "not configured")


def _of_replica(
    place: str, backlog: Backlog | None, now: float, note: str | None = None
) -> Condition:
    if backlog is None:
        return Condition(section="replicas", place=place, facts={"rows": 0})
    facts: dict[str, Fact] = {
        "rows": backlog.rows,
        "bytes": backlog.size,
        "in doubt": backlog.in_doubt,
        "dead letters": backlog.dead,
        "age": max(0.0, now - backlog.oldest),
        "note": note,
        "last error": backlog.last_error,
    }
    return Condition(section="replicas", place=place, state="attention", facts=facts)
