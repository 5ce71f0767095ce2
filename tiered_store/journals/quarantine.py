"""
Until when something may still take effect that nobody waits for any more.

A request that timed out, one whose sender died, and a repair that is slow may land
later.  A row says until when: 0 where nothing can, negative where that time has yet to
begin, as whoever was waited for may have died at any moment until somebody looks.
"""

from __future__ import annotations

from tiered_store.journals.row import Mark, Row, Rows, Step


UNDER_WAY = -1.0  # it has not begun


def inherited(rows: Rows, step: Step) -> dict[str, float]:
    """
    Return until when what came before may still take effect, by replica.

    A doubt that nobody has settled is of a writer which may be dead, or slow.
    """
    found = {
        name: over(row, step)
        for name, row in rows.items()
        if row.quarantine or row.verb == "in_doubt"
    }
    return {name: until for name, until in found.items() if until > step.now}


def late(step: Step, mark: Mark, name: str, error: BaseException | None) -> float:
    """Return the quarantine of *name*, 0 if nothing can still take effect there."""
    if getattr(error, "under_way", False) and step.quarantine:
        return UNDER_WAY
    # what came before may have taken effect since, though its time is over by now
    until = mark.quarantine.get(name, 0.0)
    if getattr(error, "ambiguous", False) and step.quarantine:
        until = max(until, step.now + step.quarantine)
    return until


def later(row: Row, late: float) -> float:
    """Return the quarantine of *row*, or *late* if that is over later."""
    return row.quarantine if _begins(row) else max(row.quarantine, late)


def over(row: Row, step: Step) -> float:
    """Return when the quarantine of *row* is over, or would be if it began now."""
    return step.now + step.quarantine if _begins(row) else row.quarantine


def _begins(row: Row) -> bool:
    """Tell whether the quarantine of *row* begins when somebody looks."""
    return row.quarantine < 0 or (row.verb == "in_doubt" and not row.quarantine)
