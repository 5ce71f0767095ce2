"""
What a cache could not drop so far, as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator

from tiered_store.condition import Condition
from tiered_store.errors import StoreError
from tiered_store.journals.journal import Journal


def conditions(place: str, journal: Journal, now: float) -> Iterator[Condition]:
    """Yield how many copies the cache at *place* has yet to drop, by *journal*."""
    try:
        backlogs = journal.backlogs().values()
    except StoreError as error:
        yield Condition.of("caches", place, error)
        return
    if not backlogs:
        yield Condition(section="caches", place=place, facts={"to be dropped": 0})
    for backlog in backlogs:
        yield Condition(
            section="caches",
            place=place,
            state="attention",
            facts={
                "to be dropped": backlog.rows,
                "age": max(0.0, now - backlog.oldest),
                "last error": backlog.last_error,
            },
        )
