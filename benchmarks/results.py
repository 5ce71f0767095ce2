"""
What was measured, and whether it is good enough.
"""

from __future__ import annotations

import math

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal


OURS = "tiered-store"
NO_NOISE = 20.0  # beyond it a ratio of two waits is broken; 5 was but a busy machine
Unit = Literal["s", "%", "x", ""]


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several measurements, the lowest and the highest."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of *values*, of which there is one at least."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """
    What must be true of ours.

    Attributes:
        kind: ``ratio``: so many times the floor at most.  ``extra``: so much more than
            the floor at most.  ``value``: so much at most.  ``gain``: so much more than
            the floor at least.
        ahead: It must besides be better than everyone else.
        broken: The ratio beyond which something is wrong, whatever the machine does;
            twice the limit, unless what is reached today is not far from that.
    """

    kind: Literal["ratio", "extra", "value", "gain"]
    limit: float
    ahead: bool = False
    broken: float | None = None

    def text(self, unit: Unit) -> str:
        """Say it in a few characters."""
        text = {
            "ratio": f"≤ {self.limit:g} x",
            "extra": f"≤ +{shown(self.limit, unit)}",
            "value": f"≤ {shown(self.limit, unit)}",
            "gain": f"≥ {self.limit:+g} points",
        }[self.kind]
        return f"{text}, ahead" if self.ahead else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """
    One thing, done by several candidates.

    Attributes:
        floor: The candidate that the others are compared with.
        values: Of each candidate, one a round; infinite if it took longer than anybody
            waited for.
        remarks: What else is to be said of a candidate.
        failed: Candidates that could not be measured, and why.
        note: How it was measured.
        own: The candidate that is ours; unless it has our name, the others are less of
            the same.
    """

    group: str
    name: str
    floor: str
    unit: Unit = "s"
    goal: Goal | None = None
    values: Mapping[str, Sequence[float]]
    remarks: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    own: str = OURS

    @property
    def kind(self) -> str:
        """Return what is to be said of a candidate: as of a goal's kind."""
        if self.goal is not None:
            return self.goal.kind
        return "gain" if self.unit == "%" else "ratio"

    @property
    def candidates(self) -> list[str]:
        """All that were measured: the floor, ours, then the others, best first."""
        if self.own != OURS:
            return list(self.values)
        others = sorted(
            (name for name in self.values if name not in (self.floor, OURS)),
            key=lambda name: self.spread(name).middle,
            reverse=self.unit == "%",
        )
        first = [name for name in (self.floor, OURS) if name in self.values]
        return [*dict.fromkeys(first), *others]

    def spread(self, name: str) -> Spread:
        """Return what *name* measured."""
        return Spread.of(self.values[name])

    def ratio(self, name: str) -> Spread | None:
        """Return how it compares with the floor, round by round."""
        if self.floor not in self.values or name not in self.values:
            return None
        pairs = zip(self.values[name], self.values[self.floor], strict=True)
        return Spread.of([own / floor if floor else math.inf for own, floor in pairs])

    def difference(self, name: str) -> float | None:
        """Return how much more it is than the floor, in the middle."""
        if self.floor not in self.values or name not in self.values:
            return None
        pairs = zip(self.values[name], self.values[self.floor], strict=True)
        return median(own - floor for own, floor in pairs)

    @property
    def reached(self) -> float | None:
        """Return what the goal's limit is to be compared with."""
        if self.goal is None or self.own not in self.values:
            return None
        if self.goal.kind == "value":
            return self.spread(self.own).middle
        if self.goal.kind == "ratio":
            ratio = self.ratio(self.own)
            return None if ratio is None else ratio.middle
        return self.difference(self.own)

    @property
    def met(self) -> bool | None:
        """Whether the goal is met, None if there is none."""
        if self.goal is None:
            return None
        reached = self.reached
        if reached is None:
            return False
        if self.goal.kind == "gain":
            return reached >= self.goal.limit
        ahead = not self.goal.ahead or self.leads
        return reached <= self.goal.limit and ahead

    @property
    def leads(self) -> bool:
        """Whether ours is better than everyone but the floor."""
        own = self.spread(self.own).middle
        others = set(self.values) - {self.own, self.floor}
        return all(own < self.spread(name).middle for name in others)

    @property
    def broken(self) -> bool:
        """
        Whether it is wrong by a wide margin, whatever else the machine did meanwhile.

        A ratio is at twice its goal, or where the goal says; a wall clock never is.
        """
        if self.own in self.failed:
            return True
        if self.goal is None or self.reached is None:
            return False
        if self.goal.kind == "gain":
            return self.reached < self.goal.limit - max(abs(self.goal.limit), 1)
        clock = self.unit == "s" and self.goal.kind in ("extra", "value")
        return not clock and self.reached > (self.goal.broken or 2 * self.goal.limit)

    def as_json(self) -> dict[str, Any]:
        """Return it for a machine; what took too long is null."""
        return {
            "group": self.group,
            "name": self.name,
            "unit": self.unit,
            "floor": self.floor,
            "ours": self.own,
            "goal": None if self.goal is None else self.goal.text(self.unit),
            "aim": None if self.goal is None else asdict(self.goal),
            "met": self.met,
            "broken": self.broken,
            "note": self.note,
            "candidates": {name: self._candidate(name) for name in self.candidates},
            "failed": dict(self.failed),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Row:
        """Return the row that became *document*."""
        aim, candidates = document["aim"], document["candidates"]
        return cls(
            **{name: document[name] for name in ("group", "name", "unit", "floor")},
            own=document["ours"],
            goal=None if aim is None else Goal(**aim),
            note=document["note"],
            failed=document["failed"],
            values={
                name: [math.inf if value is None else value for value in told["rounds"]]
                for name, told in candidates.items()
            },
            remarks={
                name: told["remark"]
                for name, told in candidates.items()
                if told["remark"]
            },
        )

    def _candidate(self, name: str) -> dict[str, Any]:
        return {
            "value": _spread_as_json(self.spread(name)),
            "ratio": _spread_as_json(self.ratio(name)),
            "rounds": [_finite(value) for value in self.values[name]],
            "remark": self.remarks.get(name, ""),
        }


def _spread_as_json(spread: Spread | None) -> dict[str, float | None] | None:
    if spread is None:
        return None
    return {
        "median": _finite(spread.middle),
        "min": _finite(spread.low),
        "max": _finite(spread.high),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def shown(value: float, unit: Unit) -> str:
    """Return *value* for a person."""
    if unit == "s":
        return _seconds(value)
    if unit == "%":
        return f"{value:.1f} %"
    if unit == "x":
        return f"{value:.2f} x" if value < 10 else f"{value:,.0f} x"
    return f"{value:g}"


def _seconds(value: float) -> str:
    if not math.isfinite(value):
        return "too long"
    for factor, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if abs(value) >= 0.9995 * factor:
            return f"{_three_digits(value / factor)} {name}"
    return f"{value / 1e-9:.0f} ns"


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:.3g}"
