"""
What was measured, as one HTML file that needs nothing beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from html import escape
from itertools import groupby

from benchmarks.plan import GROUPS
from benchmarks.plots import Mark, Point, strip
from benchmarks.results import Row, Spread, shown
from benchmarks.style import STYLE
from benchmarks.table import compared, reached


def page(
    rows: list[Row], facts: dict[str, str], method: str, missing: Sequence[str] = ()
) -> str:
    """Return the page: every goal in a line, then each row in a plot of its own."""
    return "".join(_page(rows, facts, method, missing))


def _page(
    rows: list[Row], facts: dict[str, str], method: str, missing: Sequence[str]
) -> Iterator[str]:
    yield '<!doctype html><html lang="en"><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width">'
    yield f"<title>tiered-store benchmarks</title><style>{STYLE}</style>"
    yield "<header><h1>How fast is tiered-store?</h1>"
    aims = [row for row in rows if row.goal is not None]
    met = sum(bool(row.met) for row in aims)
    yield f'<p class="verdict"><b>{met}</b> of {len(aims)} goals are met.</p>'
    if missing:
        names = ", ".join(missing)
        yield f'<p class="missed">Not measured to the end: {escape(names)}.</p>'
    yield f"<p>{escape(facts.get('processor', ''))}</p></header>"
    yield from _goals(rows, aims)
    for group, own in groupby(rows, lambda row: row.group):
        title = GROUPS[group].title if group in GROUPS else group
        yield f'<h2 id="{escape(group)}">{escape(title)}</h2>'
        for row in own:
            yield from _section(row, rows.index(row))
    yield f"<h2>How, and where</h2><p>{escape(method)}</p><table>"
    for name, fact in facts.items():
        yield f"<tr><th>{escape(name)}<td>{escape(fact)}"
    yield "</table></html>\n"


def _goals(rows: list[Row], aims: list[Row]) -> Iterator[str]:
    yield '<table class="goals"><thead><tr><th>path<th>floor<th>goal<th>ours'
    yield "<th>of what is allowed<tbody>"
    for row in aims:
        assert row.goal is not None
        style = "met" if row.met else "missed"
        yield f'<tr class="{style}"><td><a href="#row-{rows.index(row)}">'
        yield f"{escape(row.name)}</a><td>{escape(_floor(row))}"
        yield f"<td>{escape(row.goal.text(row.unit))}"
        yield f"<td>{escape(reached(row))}<td>{_bar(row)}"
    yield "</table>"


def _floor(row: Row) -> str:
    if row.floor not in row.values:
        return row.floor
    return f"{row.floor}, {shown(row.spread(row.floor).middle, row.unit)}"


def _bar(row: Row) -> str:
    """Draw what was reached as a part of what is allowed; the line is all of it."""
    if row.goal is None or row.reached is None or row.goal.limit <= 0:
        return ""  # as much as LRU, or not much less, is no part of anything
    part = row.reached / row.goal.limit
    if row.goal.kind == "gain":
        part = 1 / part if part > 0 else 2.0  # the more the better
    width = min(max(part, 0.0), 2.0) * 50
    return f'<i class="bar"><i style="width:{width:.0f}%"></i></i>'


def _section(row: Row, number: int) -> Iterator[str]:
    yield f'<section id="row-{number}"><h3>{escape(row.name)}'
    if row.goal is not None:
        style, word = ("met", "met") if row.met else ("missed", "not met")
        goal = escape(row.goal.text(row.unit))
        yield f' <small>goal {goal}, <span class="{style}">{word}</span></small>'
    yield "</h3>"
    points = [_point(row, name) for name in row.candidates]
    yield strip(
        points,
        list(_marks(row)),
        linear=row.unit in ("%", "x", ""),
        label=partial(shown, unit=row.unit),
    )
    if row.note:
        yield f'<p class="note">{escape(row.note)}</p>'
    for name, why in row.failed.items():
        yield f'<p class="missed">{escape(name)} failed: {escape(why)}</p>'
    yield "</section>"


def _point(row: Row, name: str) -> Point:
    spread = row.spread(name)
    told = dict.fromkeys((shown(spread.middle, row.unit), compared(row, name)))
    remark = row.remarks.get(name)
    figures = (remark,) if remark else tuple(told)
    style = {row.own: "ours", row.floor: "floor"}.get(name, "other")
    return Point(name, spread.middle, spread.low, spread.high, figures, style)


def _marks(row: Row) -> Iterator[Mark]:
    if row.floor not in row.values:
        return
    floor: Spread = row.spread(row.floor)
    yield Mark(floor.middle, "mark")
    if row.goal is None:
        return
    limit = row.goal.limit
    places = {"ratio": floor.middle * limit, "value": limit}
    yield Mark(places.get(row.goal.kind, floor.middle + limit), "goal")
