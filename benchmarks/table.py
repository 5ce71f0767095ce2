"""
What was measured, as a person reads it in a terminal.
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.results import OURS, Row, Spread, Unit, shown


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


def line(row: Row) -> str:
    """Return *row* in one line, for who watches."""
    if OURS not in row.values:
        return f"{row.name}: failed"
    goal = f", goal {row.goal.text(row.unit)}" if row.goal else ""
    return f"{row.name}: {shown(row.spread(OURS).middle, row.unit)}{goal}"


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
    others = [name for name in row.candidates if name not in (row.floor, OURS)]
    return [
        row.name,
        f"{row.floor}\n{_middle(row, row.floor)}",
        row.goal.text(row.unit) if row.goal else "-",
        f"{_middle(row, OURS)}\n{_range(row)}",
        _to_the_floor(row),
        _VERDICTS[row.met],
        "\n".join(f"{name}: {_other(row, name)}" for name in others),
    ]


def _middle(row: Row, name: str) -> str:
    if name not in row.values:
        return "failed" if name in row.failed else "-"
    return shown(row.spread(name).middle, row.unit)


def _range(row: Row) -> str:
    if len(row.values.get(OURS, ())) < 2:
        return ""
    return _between(row.spread(OURS), row.unit)


def _to_the_floor(row: Row) -> str:
    ratio = row.ratio(OURS)
    if ratio is None or row.kind == "value":
        return ""
    if row.kind != "ratio" or len(row.values[OURS]) < 2:
        return compared(row, OURS)
    return f"{compared(row, OURS)}\n{_between(ratio, 'x')}"


def _between(spread: Spread, unit: Unit) -> str:
    return f"{shown(spread.low, unit)}..{shown(spread.high, unit)}"


def _other(row: Row, name: str) -> str:
    return row.remarks.get(name) or compared(row, name)
