"""
What was tried to reach what a configuration names, as a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text

from tiered_store.cli.output import print_table
from tiered_store.connecting import Finding, State


_STYLES: Mapping[State, str] = {
    "ok": "green",
    "note": "dim",
    "warning": "yellow",
    "failed": "bold red",
}


def print_connections(tried: Sequence[Finding]) -> None:
    """Print *tried*, each place once."""
    rows: list[tuple[str, str, Text, str]] = []
    place = None
    for one in tried:
        shown = one.place if one.place != place else ""
        rows.append((shown, one.what, Text(one.state, _STYLES[one.state]), one.message))
        place = one.place
    print_table(("Place", "Tried", "State", "Found"), rows)
