"""
What a mirror knows of one object, for a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tiered_store.findings import Finding, State, when
from tiered_store.journals.row import Row, is_gone
from tiered_store.store import Store


def findings(
    place: str, replicas: Mapping[str, Store], rows: Mapping[str, Row]
) -> Iterator[Finding]:
    """Yield what *rows* say of *replicas*, and of the mirror, whose path is *place*."""
    rows = {name: rows[name] for name in rows if name in replicas}
    if is_gone(rows):
        facts = {"deleted": "some replicas have yet to hear of it"}
        yield Finding(place=place, state="absent", facts=facts)
    for name, row in rows.items():
        state: State = "behind" if row.behind else "pending"
        facts = {"journal": _owed(row)}
        yield Finding(place=str(replicas[name]), state=state, facts=facts)


def _owed(row: Row) -> str:
    """Say what is to be done there, and how that went so far."""
    if row.verb == "in_doubt":
        owed = f"a {row.intent} began at {when(row.since)}, and its end is not known"
    else:
        owed = f"it missed a {row.verb} at {when(row.since)}"
    if row.attempts:
        owed += f"; {row.attempts} repairs failed, the next is at {when(row.retry_at)}"
    return f"{owed}; {row.last_error}" if row.last_error else owed
