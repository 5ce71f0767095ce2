"""
Plots as SVG that needs nothing beside it.
"""

from __future__ import annotations

import math

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape


_LABELS, _PLOT, _FIGURE = 250, 470, 95  # columns, in pixels
_LINE, _AXIS = 24, 20
_NARROWEST = 1.3  # how many times the lowest the highest of a scale is at least
_STEPS = 5  # marks of a scale, or so


@dataclass(frozen=True, slots=True)
class Point:
    """One line of a plot: a dot where the median is, from the lowest to the highest."""

    label: str
    middle: float
    low: float
    high: float
    figures: tuple[str, ...]
    style: str = "other"


@dataclass(frozen=True, slots=True)
class Mark:
    """A value that is drawn through all lines."""

    at: float
    style: str


def strip(
    points: Sequence[Point],
    marks: Sequence[Mark],
    *,
    linear: bool,
    label: Callable[[float], str],
) -> str:
    """
    Return a plot of *points*, on a logarithmic scale unless *linear*.

    Args:
        label: What the scale says at a value.
    """
    scale = _Scale([*_extent(points), *(mark.at for mark in marks)], linear)
    height = _LINE * len(points) + 8
    width = _LABELS + _PLOT + 2 * _FIGURE
    return "".join(
        (
            f'<svg viewBox="0 0 {width} {height + _AXIS}" role="img">',
            *(_step(at, scale, height, label) for at in scale.steps()),
            *(_mark(mark, scale, height) for mark in marks),
            *(_point(point, scale, row) for row, point in enumerate(points)),
            "</svg>",
        )
    )


class _Scale:
    """Where a value stands, in pixels."""

    def __init__(self, values: Iterable[float], linear: bool) -> None:
        self._linear = linear
        places = [self._place(value) for value in values if self._stands(value)]
        low, high = min(places, default=0.0), max(places, default=1.0)
        if linear:
            low = min(low, 0.0)
        else:
            missing = max(math.log10(_NARROWEST) - (high - low), 0.0)
            low, high = low - missing / 2, high + missing / 2
        margin = (high - low or 1.0) * 0.04
        self._low, self._high = low - margin, high + margin

    def __call__(self, value: float) -> float:
        if not self._stands(value):
            return _LABELS + (_PLOT if value > 0 else 0)
        part = (self._place(value) - self._low) / (self._high - self._low)
        return _LABELS + _PLOT * min(max(part, 0.0), 1.0)

    def steps(self) -> Iterator[float]:
        """Return round values, to be marked."""
        if not self._linear and self._high - self._low > 1.5:
            every = math.ceil((self._high - self._low) / (2 * _STEPS))
            for power in range(math.ceil(self._low), math.floor(self._high) + 1, every):
                yield 10.0**power
            return
        low, high = self._low, self._high
        if not self._linear:
            low, high = 10**low, 10**high
        step = _round((high - low) / _STEPS)
        for number in range(math.ceil(low / step), math.floor(high / step) + 1):
            yield number * step

    def _stands(self, value: float) -> bool:
        return math.isfinite(value) and (self._linear or value > 0)

    def _place(self, value: float) -> float:
        return value if self._linear else math.log10(value)


def _round(step: float) -> float:
    """Return the next of 1, 2, 5 and ten times as much."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * digit for digit in (1, 2, 5, 10, 20) if power * digit >= step)


def _extent(points: Sequence[Point]) -> Iterator[float]:
    for point in points:
        yield from (point.low, point.high)


def _step(at: float, scale: _Scale, height: int, label: Callable[[float], str]) -> str:
    x = f"{scale(at):.1f}"
    return (
        f'<g class="scale"><line x1="{x}" x2="{x}" y1="0" y2="{height}"/>'
        f'<text x="{x}" y="{height + 14}" text-anchor="middle">'
        f"{escape(label(at))}</text></g>"
    )


def _mark(mark: Mark, scale: _Scale, height: int) -> str:
    x = f"{scale(mark.at):.1f}"
    return f'<line class="{mark.style}" x1="{x}" x2="{x}" y1="0" y2="{height}"/>'


def _point(point: Point, scale: _Scale, row: int) -> str:
    y = _LINE * row + _LINE // 2 + 4
    low, middle, high = (scale(at) for at in (point.low, point.middle, point.high))
    figures = (
        f'<text x="{_LABELS + _PLOT + 12 + column * _FIGURE}" y="{y + 4}">'
        f"{escape(figure)}</text>"
        for column, figure in enumerate(point.figures)
    )
    return (
        f'<g class="{point.style}">'
        f'<text x="{_LABELS - 12}" y="{y + 4}" text-anchor="end">'
        f"{escape(point.label)}</text>"
        f'<line class="range" x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}"/>'
        f'<circle cx="{middle:.1f}" cy="{y}" r="5"/>{"".join(figures)}</g>'
    )
