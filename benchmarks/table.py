"""
What was measured, as a person reads it in a terminal.
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.results import Row, Spread, Unit, shown


_VERDICTS = {
    None: Text("-", style="dim"),
    True: Text("met", style="green"),
    False: Text("not met", style="bold red"),
}
_NARROWEST = 132  # characters; a pipe takes as many as there are


def show(rows: list[Row], console: Console) -> None:
    """Print one table, a section a group, and what could not be measured."""
    table = Table(title="Medians, and lowest..highest; x is the ratio to the floor")
    for name, right in (
        *(("path", False), ("floor", False), ("goal", False)),
        *(("ours", True), ("to the floor", True), ("goal is", False)),
    ):
        table.add_column(name, justify="right" if right else "left")
    table.add_column("others", overflow="fold")
    group = rows[0].group if rows else ""
    for row in rows:
        if row.group != group:
            table.add_section()
            group = row.group
        table.add_row(*_cells(row))
    if not console.is_terminal and console.width < _NARROWEST:
        console.width = _NARROWEST
    console.print(table)
    for row in rows:
        for name, why in row.failed.items():
            console.print(Text(f"{row.name}: {name} failed: {why}"), style="red")


def summary(rows: list[Row], console: Console) -> None:
    """Print a line for each goal: what was allowed, what was reached, and whether."""
    aims = [row for row in rows if row.goal is not None]
    met = sum(bool(row.met) for row in aims)
    table = Table(title=f"{met} of {len(aims)} goals are met", title_style="bold")
    for name in ("path", "goal", "reached", ""):
        table.add_column(name, justify="right" if name == "reached" else "left")
    for row in aims:
        table.add_row(row.name, _goal(row), reached(row), _VERDICTS[row.met])
    console.print(table)
    for name in [row.name for row in rows if row.broken]:
        console.print(f"broken by a wide margin: {name}", style="bold red")


def line(row: Row) -> str:
    """Return *row* in one line, for who watches."""
    if row.own not in row.values:
        return f"{row.name}: failed"
    goal = f", goal {row.goal.text(row.unit)}" if row.goal else ""
    return f"{row.name}: {shown(row.spread(row.own).middle, row.unit)}{goal}"


def reached(row: Row) -> str:
    """Return what the goal of *row* is to be compared with."""
    return compared(row, row.own) if row.own in row.values else "failed"


def compared(row: Row, name: str) -> str:
    """Return how *name* compares with the floor, or just what it measured."""
    ratio, difference = row.ratio(name), row.difference(name)
    if row.kind == "value" or ratio is None or difference is None:
        return shown(row.spread(name).middle, row.unit)
    if row.kind == "gain":
        return f"{difference:+.1f} points"
    if row.kind == "extra":
        sign = "+" if difference >= 0 else ""
        return sign + shown(difference, row.unit)
    return shown(ratio.middle, "x")


def _cells(row: Row) -> list[str | Text]:
    others = [name for name in row.candidates if name not in (row.floor, row.own)]
    return [
        row.name,
        f"{row.floor}\n{_middle(row, row.floor)}",
        _goal(row),
        f"{_middle(row, row.own)}\n{_range(row)}",
        _to_the_floor(row),
        _VERDICTS[row.met],
        "\n".join(f"{name}: {_other(row, name)}" for name in others),
    ]


def _goal(row: Row) -> str:
    return row.goal.text(row.unit) if row.goal else "-"


def _middle(row: Row, name: str) -> str:
    if name not in row.values:
        return "failed" if name in row.failed else "-"
    return shown(row.spread(name).middle, row.unit)


def _range(row: Row) -> str:
    if len(row.values.get(row.own, ())) < 2:
        return ""
    return _between(row.spread(row.own), row.unit)


def _to_the_floor(row: Row) -> str:
    ratio = row.ratio(row.own)
    if ratio is None or row.kind == "value":
        return ""
    if row.kind != "ratio" or len(row.values[row.own]) < 2:
        return compared(row, row.own)
    return f"{compared(row, row.own)}\n{_between(ratio, 'x')}"


def _between(spread: Spread, unit: Unit) -> str:
    return f"{shown(spread.low, unit)}..{shown(spread.high, unit)}"


def _other(row: Row, name: str) -> str:
    return row.remarks.get(name) or compared(row, name)
