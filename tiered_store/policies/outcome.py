"""
What a call that ended says about the health of the store that was asked.
"""

from __future__ import annotations

from typing import Literal

from tiered_store.errors import (
    DeadlineError,
    DeniedError,
    InconclusiveError,
    NotFoundError,
    RefusedError,
    StoreError,
    ThrottledError,
    UnavailableError,
)


Outcome = Literal["ok", "slow", "failed", "throttled", "refused", "neutral"]


def outcome_of(error: BaseException | None, *, slow: bool = False) -> Outcome:
    """
    Return what *error* says about the health of the store that raised it.

    Absence is health; bad requests, conflicts and this process's own trouble say
    nothing, nor does a store of several of which one said "absent" and another could
    not be asked: it gives what it has; nor does what an operator withholds.  A caller's
    deadline says something only if the call was *slow*.  Denied may be one object only,
    so it counts like any failure; a place that is missing, full or read-only refuses
    everybody.
    """
    if error is None or isinstance(error, NotFoundError):
        return "ok"
    if not isinstance(error, StoreError) or error.local:
        return "neutral"
    if isinstance(error, InconclusiveError) and _blames_nobody(error):
        return "neutral"
    if isinstance(error, DeadlineError):
        return "failed" if slow else "neutral"
    if isinstance(error, ThrottledError):
        return "throttled"
    if isinstance(error, UnavailableError | DeniedError):
        return "failed"
    return "refused" if isinstance(error, RefusedError) else "neutral"


def _blames_nobody(error: InconclusiveError) -> bool:
    """Tell whether somebody answered, or nobody was asked for reasons of our own."""
    found = [one for one in error.outcomes.values() if one is not None]
    answered = any(isinstance(one, NotFoundError) for one in found)
    return answered or (bool(found) and all(one.local for one in found))
