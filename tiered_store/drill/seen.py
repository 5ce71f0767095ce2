"""
What users saw, in numbers.
"""

from __future__ import annotations

import statistics

from collections.abc import Sequence
from dataclasses import dataclass

from tiered_store.drill.workload import FAILED, Call


_BUCKET = 0.1  # seconds
_QUIET = 0.3  # seconds in which no call fails or pays: less is luck, not a failover
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
    Return the seconds until the fault hurt nobody any more, None if it did to the end.

    No call fails from then on, and for a while (``_QUIET``) none pays either.  Users
    notice before that while half of the calls under way, and two at least, pay; a
    probe of a breaker that one of them pays for later is no outage.
    """
    during = sorted(
        (call for call in calls if call.at < healed), key=lambda call: call.at
    )
    failed = (call.at + call.seconds for call in during if call.fate in FAILED)
    noticed = began + _BUCKET * _noticed(during, began, healed, slow)
    over = max((noticed, *failed))
    for call in during:
        if call.at >= over + _QUIET:
            break
        if call.seconds > slow:
            over = max(over, call.at + call.seconds)
    return None if over + _QUIET > healed else over - began


def _noticed(calls: Sequence[Call], began: float, healed: float, slow: float) -> int:
    """Return the last of the tenths of a second in which most users waited."""
    noticed = 0
    for step in range(int((healed - began) / _BUCKET)):
        start = began + step * _BUCKET
        under_way = [
            call.seconds > slow
            for call in calls
            if call.at < start + _BUCKET and call.at + call.seconds > start
        ]
        if sum(under_way) >= max(2, len(under_way) / 2):
            noticed = step + 1
    return noticed
