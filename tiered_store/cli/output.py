"""
Standard output, for a person or for a program.
"""

from __future__ import annotations

import json
import sys

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import typer

from tiered_store.units import GIB, KIB, MIB


if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


def console() -> Console:
    """Return a console that moves no cursor and paints nothing but on a terminal."""
    from rich.console import Console

    return Console(highlight=False, markup=False, force_terminal=sys.stdout.isatty())


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """Print *rows* below *headings*, as wide as a pipe's reader wants it."""
    from rich.table import Table

    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    terminal = console()
    if not terminal.is_terminal:
        terminal.width = 10_000  # a pipe has no margin
    terminal.print(table)


def print_json(value: object, indent: int | None = None) -> None:
    """Print *value* as JSON, in one line without *indent*."""
    typer.echo(json.dumps(value, indent=indent))


def shown_age(seconds: float) -> str:
    """Return *seconds* in the unit that a person would choose."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.1f} s"


def shown_size(size: float) -> str:
    """Return *size* bytes in the unit that a person would choose."""
    for unit, length in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if size >= length:
            return f"{size / length:.1f} {unit}"
    return f"{size:.0f} B"
