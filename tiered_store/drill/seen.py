"""
What users saw, in numbers.
"""

from __future__ import annotations

import statistics

from collections.abc import Sequence
from dataclasses import dataclass

from tiered_store.drill.workload import FAILED, Call


_BUCKET = 0.1
_QUIET = 3  # buckets, at least, that nobody notices anything any more
_FAST = 0.1  # seconds; what took longer, and ten times the usual, has paid


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """
    What became of the calls that a fault may have touched.

    The attributes are those of :class:`~tiered_store.drill.report.Outcome`.
    """

    reads: int
    reads_failed: int
    writes: int
    writes_failed: int
    wrong: int
    stale: int
    untrue: int
    unsure: int
    paid: int
    slowest: float
    failover: float | None
    first_error: str


def seen_of(calls: Sequence[Call], began: float, healed: float) -> Seen:
    """Return what there was to see from the moment that a fault *began*."""
    calls = sorted(calls, key=lambda call: call.at)
    usual = [call.seconds for call in calls if call.at + call.seconds < began]
    slow = max(_FAST, 10 * statistics.median(usual)) if usual else _FAST
    hit = [call for call in calls if call.at + call.seconds >= began]
    reads = [call for call in hit if call.kind == "read"]
    writes = [call for call in hit if call.kind == "write"]
    errors = [call.error for call in hit if call.error and call.fate in FAILED]
    return Seen(
        reads=len(reads),
        reads_failed=sum(call.fate in FAILED for call in reads),
        writes=len(writes),
        writes_failed=sum(call.fate in FAILED for call in writes),
        wrong=sum(call.fate == "wrong" for call in hit),
        stale=sum(call.fate == "stale" for call in hit),
        untrue=sum(call.fate == "absent" for call in hit),
        unsure=sum(call.fate == "unsure" for call in hit),
        paid=sum(call.seconds > slow for call in hit),
        slowest=max((call.seconds for call in hit), default=0.0),
        failover=failover(hit, began, healed, slow),
        first_error=errors[0] if errors else "",
    )


def failover(
    calls: Sequence[Call], began: float, healed: float, slow: float
) -> float | None:
    """
    Return the seconds until users did not notice any more, None if they did to the end.

    They notice while half of the calls under way, and two at least, fail or are slow.
    A probe of a breaker that one of them pays for is not that; nor is it an end that
    they noticed nothing in the last moments of the fault.
    """
    noticed = 0
    steps = int((healed - began) / _BUCKET)
    for step in range(steps):
        start = began + step * _BUCKET
        under_way = [
            call.fate in FAILED or call.seconds > slow
            for call in calls
            if call.at < start + _BUCKET and call.at + call.seconds > start
        ]
        if sum(under_way) >= max(2, len(under_way) / 2):
            noticed = step + 1
    return None if noticed > max(0, steps - _QUIET) else noticed * _BUCKET
