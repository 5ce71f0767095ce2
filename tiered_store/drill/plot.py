"""
What users saw over time, as SVG that needs nothing beside it.
"""

from __future__ import annotations

import math

from collections.abc import Iterator

from tiered_store.drill.report import Outcome
from tiered_store.drill.workload import FAILED, Call


_WIDTH, _HEIGHT, _LEFT, _BELOW = 900, 150, 60, 22
_FAST, _SLOW = 1e-4, 10.0  # seconds, at the bottom and the top
_LINES = (1e-3, 1e-2, 1e-1, 1.0)


def timeline(outcome: Outcome) -> str:
    """
    Return a plot of every call: when it began, how long it took, and how it ended.

    The time is that of the workload; while the fault lasts, the ground is grey.
    """
    return "".join(_timeline(outcome))


def _timeline(outcome: Outcome) -> Iterator[str]:
    ends = max((call.at + call.seconds for call in outcome.calls), default=1.0)
    ends = max(ends, outcome.healed, 0.1)

    def across(at: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - 8) * at / ends

    name = f"{outcome.place} {outcome.fault}"
    yield f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{name}">'
    yield (
        f'<rect class="fault" x="{across(outcome.began):.1f}" y="0" '
        f'width="{across(outcome.healed) - across(outcome.began):.1f}" '
        f'height="{_HEIGHT - _BELOW}"/>'
    )
    for seconds in _LINES:
        y = _down(seconds)
        ends_at = f'x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"'
        yield f'<line class="grid" {ends_at}/>'
        label = f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1000:g} ms"
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
    for second in range(math.ceil(ends)):
        at = f'x="{across(second):.1f}" y="{_HEIGHT - 6}"'
        yield f'<text {at} text-anchor="middle">{second}</text>'
    for call in outcome.calls:
        yield _dot(call, across(call.at))
    yield "</svg>"


def _dot(call: Call, x: float) -> str:
    failed = call.fate in FAILED
    style = "failed" if failed else call.kind
    size = 3.2 if failed else 2.2
    y = _down(call.seconds)
    return f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="{size}"/>'


def _down(seconds: float) -> float:
    bounded = min(max(seconds, _FAST), _SLOW)
    part = (math.log10(bounded) - math.log10(_FAST)) / (
        math.log10(_SLOW) - math.log10(_FAST)
    )
    return (_HEIGHT - _BELOW) * (1 - part) + 2
