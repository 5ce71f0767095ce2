"""
A drill as one HTML file that needs nothing beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from tiered_store.drill.leaf import FAULTS
from tiered_store.drill.plot import timeline
from tiered_store.drill.report import Outcome, Report
from tiered_store.drill.words import COLUMNS, cells, grade, is_clean, verdict


_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 80rem; margin: 2rem auto; padding: 0 1rem; }
.verdict { padding: .6rem 1rem; border-radius: .5rem; color: white; }
.held { background: #1b7f4b; } .broken { background: #b3261e; }
.hurt { background: #9a5b00; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
        font-size: .87rem; }
td, th { text-align: right; white-space: nowrap; padding: .25rem .4rem;
         border-top: 1px solid #8884; }
td:first-child, th:first-child, td:nth-child(2), th:nth-child(2) { text-align: left; }
td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 8rem; }
td.bad { color: #d33b30; font-weight: bold; } td.fair { color: #b26a00; }
td.none { color: #8889; }
a { color: inherit; }
section { border-top: 1px solid #8884; padding: .4rem 0 .8rem; }
h3 { margin: .4rem 0; } h3 small { font-weight: normal; color: gray; }
p.note { margin: .2rem 0; color: gray; font-size: .85rem; overflow-wrap: anywhere; }
svg { width: 100%; font-size: 11px; fill: currentColor; }
.fault { fill: #8883; } .grid { stroke: #8883; }
.read { fill: #1769c2; fill-opacity: .55; } .write { fill: #8a5fbf; fill-opacity: .8; }
.failed { fill: #d33b30; }
.key span { margin-right: 1.2rem; } .key svg { width: .7rem; height: .7rem; }
"""


def page(report: Report) -> str:
    """Return the page: the verdict, the table, then each scenario over time."""
    return "".join(_page(report))


def _page(report: Report) -> Iterator[str]:
    yield '<!doctype html><html lang="en"><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width">'
    yield f"<title>tiered-store drill</title><style>{_STYLE}</style>"
    yield "<h1>What users would see</h1>"
    style = "held" if is_clean(report) else "broken" if report.failures else "hurt"
    yield f'<p class="verdict {style}">{escape(verdict(report))}</p>'
    where = "the real stores" if report.live else "scratch stores"
    yield f'<p class="note">{escape(report.config)}, on {where}, seed {report.seed}, '
    yield f"{len(report.outcomes)} scenarios in {report.seconds:.0f} s</p>"
    if report.failures:
        yield "<ul>"
        for failure in report.failures:
            yield f"<li>{escape(failure)}"
        yield "</ul>"
    yield '<div class="wide"><table><tr>'
    for heading in COLUMNS:
        yield f"<th>{escape(heading)}"
    for number, outcome in enumerate(report.outcomes):
        yield from _row(number, outcome)
    yield "</table></div>"
    yield '<h2>Call by call</h2><p class="key">'
    for style in ("read", "write", "failed"):
        dot = f'<svg viewBox="0 0 10 10"><circle class="{style}" cx="5" cy="5" r="4"/>'
        yield f"<span>{dot}</svg> {style}</span>"
    yield "<span>grey: the fault</span></p>"
    for number, outcome in enumerate(report.outcomes):
        yield f'<section id="s{number}"><h3>{escape(outcome.place)} '
        yield f"<small>{escape(outcome.fault)}: it {_meaning(outcome)}</small></h3>"
        yield timeline(outcome)
        if outcome.first_error:
            yield f'<p class="note">first: {escape(outcome.first_error)}</p>'
        yield "</section>"
    yield "</html>\n"


def _row(number: int, outcome: Outcome) -> Iterator[str]:
    yield "<tr>"
    for heading, text in zip(COLUMNS, cells(outcome), strict=True):
        style = grade(outcome, heading)
        shown = escape(text)
        if heading == COLUMNS[0]:
            shown = f'<a href="#s{number}">{shown}</a>'
        yield f'<td class="{style}">{shown}'


def _meaning(outcome: Outcome) -> str:
    return escape(next((FAULTS[one] for one in FAULTS if one == outcome.fault), ""))
