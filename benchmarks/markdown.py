"""
What was measured, as a table for the documentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.results import Row, shown
from benchmarks.table import compared, reached


BEGIN, END = "<!-- figures of a run -->", "<!-- end of figures -->"
_WHY = "#where-the-goals-are-out-of-reach"
_OTHERS = 5  # of more, the best are named


def written(rows: Sequence[Row], facts: dict[str, str]) -> str:
    """Return a line for each row of *rows* that has a goal, and how many are met."""
    return "\n".join(_lines(rows, facts)) + "\n"


def insert(path: Path, figures: str) -> None:
    """
    Put *figures* into the page at *path*, instead of those of an earlier run.

    Raises:
        ValueError: The page does not say where.
    """
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{path} has no {BEGIN} before {END}")
    path.write_text(f"{before}{begin}\n\n{figures}\n{end}{after}")


def _lines(rows: Sequence[Row], facts: dict[str, str]) -> Iterator[str]:
    aims = [row for row in rows if row.goal is not None]
    met = sum(bool(row.met) for row in aims)
    where = facts.get("processor", "a machine")
    yield f"{met} of {len(aims)} goals are met, on {where}."
    yield ""
    yield "| path | floor | ours | goal | others |"
    yield "| --- | --- | --- | --- | --- |"
    for row in aims:
        cells = row.name, _floor(row), _ours(row), _goal(row), _others(row)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _floor(row: Row) -> str:
    if row.floor not in row.values:
        return row.floor
    return f"{row.floor}, {shown(row.spread(row.floor).middle, row.unit)}"


def _ours(row: Row) -> str:
    ratio = row.ratio(row.own)
    if row.kind != "ratio" or ratio is None or len(row.values[row.own]) < 2:
        return reached(row)
    return f"{reached(row)} ({ratio.low:.2f} to {ratio.high:.2f})"


def _goal(row: Row) -> str:
    assert row.goal is not None
    verdict = "met" if row.met else f"[not met]({_WHY})"
    return f"{row.goal.text(row.unit)}, {verdict}"


def _others(row: Row) -> str:
    names = [name for name in row.candidates if name not in (row.floor, row.own)]
    return ", ".join(
        f"{name} {row.remarks.get(name) or compared(row, name)}"
        for name in names[:_OTHERS]
    )
