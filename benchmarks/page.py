"""
What was measured, as one HTML file that needs nothing beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from benchmarks.plots import Mark, Point, strip
from benchmarks.results import OURS, Row, Spread, shown
from benchmarks.table import compared


_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
.verdict { padding: .6rem 1rem; border-radius: .5rem; color: white; }
.held { background: #1b7f4b; } .broken { background: #b3261e; }
section { border-top: 1px solid #8884; padding: .4rem 0 .8rem; }
h2 { margin: 2.2rem 0 .6rem; text-transform: capitalize; }
h3 { margin: .4rem 0; font-size: 1rem; }
h3 small { font-weight: normal; color: gray; }
.met { color: #1b7f4b; } .missed { color: #b3261e; }
p.note { margin: .2rem 0; color: gray; font-size: .85rem; }
svg { width: 100%; font-size: 13px; fill: currentColor; }
.range { stroke: #888; stroke-width: 2; }
.other circle { fill: #888; } .floor circle { fill: currentColor; }
.ours circle { fill: #1769c2; } .ours text { font-weight: bold; }
.ours .range { stroke: #1769c2; }
.good circle { fill: #1b7f4b; } .bad circle { fill: #b3261e; }
.mark { stroke: #8888; } .goal { stroke: #1b7f4b; stroke-dasharray: 4 3; }
table { border-collapse: collapse; } td { padding: .1rem 1.5rem .1rem 0; }
"""


def page(rows: list[Row], facts: dict[str, str], method: str) -> str:
    """Return the page: the goals in one plot, then each row in its own."""
    return "".join(_page(rows, facts, method))


def _page(rows: list[Row], facts: dict[str, str], method: str) -> Iterator[str]:
    yield '<!doctype html><html lang="en"><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width">'
    yield f"<title>tiered-store benchmarks</title><style>{_STYLE}</style>"
    yield "<h1>How fast it is</h1>"
    aims = [row for row in rows if row.goal is not None]
    met = sum(bool(row.met) for row in aims)
    style = "held" if met == len(aims) else "broken"
    yield f'<p class="verdict {style}">{met} of {len(aims)} goals are met.</p>'
    yield f"<p>{escape(method)}</p>"
    yield "<h2>Goals</h2><p class='note'>What was reached, as a part of what is "
    yield "allowed: left of the line is met.</p>"
    yield strip(list(_reached(aims)), [Mark(1.0, "goal")], linear=False)
    group = ""
    for row in rows:
        if row.group != group:
            group = row.group
            yield f"<h2>{escape(group)}</h2>"
        yield from _section(row)
    yield "<h2>Where</h2><table>"
    for name, fact in facts.items():
        yield f"<tr><td>{escape(name)}<td>{escape(fact)}"
    yield "</table></html>\n"


def _reached(rows: list[Row]) -> Iterator[Point]:
    for row in rows:
        goal, reached = row.goal, row.reached
        if goal is None or reached is None or goal.kind == "gain":
            continue  # points are no part of anything
        part = max(reached / goal.limit, 1e-3)
        style = "good" if row.met else "bad"
        yield Point(row.name, part, part, part, (shown(part, "x"),), style)


def _section(row: Row) -> Iterator[str]:
    yield f"<section><h3>{escape(row.name)}"
    if row.goal is not None:
        style, word = ("met", "met") if row.met else ("missed", "not met")
        goal = escape(row.goal.text(row.unit))
        yield f' <small>goal {goal}, <span class="{style}">{word}</span></small>'
    yield "</h3>"
    points = [_point(row, name) for name in row.candidates]
    yield strip(points, list(_marks(row)), linear=row.unit in ("%", "x"))
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
    style = {OURS: "ours", row.floor: "floor"}.get(name, "other")
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
