"""
The columns of a drill's table, for a terminal and for a page.
"""

from __future__ import annotations

from typing import Literal

from tiered_store.drill.report import Outcome, Report


Grade = Literal["", "none", "fair", "bad"]

COLUMNS = (
    *("Place", "Fault", "Reads", "Writes", "Wrong", "Stale", "Untrue"),
    *("Lost", "Returned", "Diverged", "Paid", "Slowest", "Failover", "Converged"),
)
_COUNTED = {
    "Wrong": "wrong",
    "Stale": "stale",
    "Untrue": "untrue",
    "Lost": "lost",
    "Returned": "resurrected",
    "Diverged": "diverged",
    "Paid": "paid",
}
MEANINGS = (
    ("Reads, Writes", "the share that was right, and acknowledged"),
    ("Wrong, Stale", "reads of bytes that nobody stored, or that had been replaced"),
    ("Untrue", 'reads that said "not there" of what was there'),
    ("Lost, Returned", "objects that are gone, and deleted ones that are back"),
    ("Diverged", "objects that replicas disagree about at the end"),
    ("Paid", "calls that took 0.1 s, and ten times the usual"),
    ("Failover", "until no call failed any more, and for 0.3 s none paid either"),
    (
        "Converged",
        "from the end of the fault until nothing was pending, by the stack's own "
        "repair and all that it waits for; or by hand, as tiered-store repair does, "
        "where nothing repairs by itself",
    ),
)


def cells(outcome: Outcome) -> list[str]:
    """Return what stands in each of the columns."""
    numbers = [getattr(outcome, name) for name in _COUNTED.values()]
    return [
        outcome.place,
        outcome.fault,
        _share(outcome.reads_right),
        _share(outcome.writes_right),
        *(str(number) if number else "-" for number in numbers),
        _seconds(outcome.slowest),
        "never" if outcome.failover is None else _seconds(outcome.failover),
        _converged(outcome),
    ]


def grade(outcome: Outcome, heading: str) -> Grade:
    """Return how bad it is what stands under *heading*."""
    if heading in ("Reads", "Writes"):
        share = outcome.reads_right if heading == "Reads" else outcome.writes_right
        return "" if share == 1 else "bad"
    if heading in _COUNTED:
        if not getattr(outcome, _COUNTED[heading]):
            return "none"
        return "fair" if heading in ("Paid", "Diverged") else "bad"
    if heading == "Failover" and outcome.failover is None:
        return "fair"
    return "bad" if heading == "Converged" and outcome.converged is None else ""


def verdict(report: Report) -> str:
    """Return what the drill comes to, in a sentence."""
    if report.failures:
        count = len(report.failures)
        return f"{count} requirement{' is' if count == 1 else 's are'} not met."
    hurt = [one for one in report.outcomes if one.reads_failed or one.writes_failed]
    gone = sum(one.lost + one.resurrected for one in report.outcomes)
    total = len(report.outcomes)
    if not hurt and not gone:
        return f"No call failed and nothing was lost in {total} scenarios."
    noticed = f"Users would have noticed {len(hurt)} of {total} scenarios"
    if not gone:
        return f"{noticed}."
    return f"{noticed}, and {gone} objects would be lost, or back."


def is_clean(report: Report) -> bool:
    """Tell whether there is nothing that anybody would complain about."""
    return not report.failures and not any(
        grade(outcome, heading) == "bad"
        for outcome in report.outcomes
        for heading in COLUMNS
    )


def _share(share: float) -> str:
    if share == 1:
        return "100 %"
    return f"{min(share * 100, 99.9):.1f} %"


def _converged(outcome: Outcome) -> str:
    if outcome.converged is None:
        return "never"
    seconds = _seconds(outcome.converged)
    return f"{seconds} by hand" if outcome.by_hand else seconds


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.005 else "0 s"
