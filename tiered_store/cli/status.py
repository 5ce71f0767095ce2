"""
The command that says what is pending, and where somebody should look.
"""

from __future__ import annotations

import dataclasses

from collections.abc import Iterable, Mapping
from typing import Annotated

import typer

from tiered_store.cli import options
from tiered_store.cli.failure import FAILED
from tiered_store.cli.options import Config, Json, StoreName, opened
from tiered_store.cli.output import console, print_json, shown_age, shown_size
from tiered_store.condition import Condition, Fact
from tiered_store.tree import conditions


_NOT_ASKED = "No place was asked: tiered-store check --connect does that."
_STYLES = {"well": "green", "attention": "yellow", "failed": "bold red"}


def status(
    config: Config = options.DEFAULT,
    store: StoreName = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 unless all is well.")
    ] = False,
    json: Json = False,
) -> None:
    """
    Say how each store is doing: what replicas have missed, what caches must drop.

    No place is asked for anything, so one that is down and has missed nothing yet is
    well.  Exit status 0: it could be told; 1: some place could not say, or with
    --strict: something is pending.
    """
    with opened(config, store) as stack:
        found = list(conditions(stack))
    if json:
        print_json({"conditions": [dataclasses.asdict(one) for one in found]}, indent=2)
    elif found:
        for section, rows in _sections(found).items():
            _print(section, rows)
        typer.echo(_NOT_ASKED)
    else:
        typer.echo("nothing to tell: there is no mirror, and no cache with a journal")
    bad = ("failed", "attention") if strict else ("failed",)
    if any(one.state in bad for one in found):
        raise typer.Exit(FAILED)


def _sections(found: Iterable[Condition]) -> Mapping[str, list[Condition]]:
    sections: dict[str, list[Condition]] = {}
    for one in found:
        sections.setdefault(one.section, []).append(one)
    return sections


def _print(section: str, rows: list[Condition]) -> None:
    from rich.table import Table
    from rich.text import Text

    # a column that nobody fills would only push the others off the terminal
    columns = dict.fromkeys(
        name for row in rows for name, fact in row.facts.items() if fact is not None
    )
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    table.add_column(section.capitalize(), overflow="fold")
    table.add_column("State", no_wrap=True)
    for name in columns:
        number = any(not isinstance(row.facts.get(name), str | None) for row in rows)
        table.add_column(
            name.capitalize(),
            justify="right" if number else "left",
            no_wrap=number,
            overflow="fold",
        )
    for row in rows:
        table.add_row(
            row.place,
            Text(row.state, _STYLES[row.state]),
            *(_shown(name, row.facts.get(name)) for name in columns),
        )
    terminal = console()
    if not terminal.is_terminal:
        terminal.width = 10_000  # a pipe has no margin
    terminal.print(table)
    terminal.print()


def _shown(name: str, fact: Fact) -> str:
    if fact is None:
        return ""
    if isinstance(fact, str):
        return fact
    if name == "age":
        return shown_age(fact)
    return shown_size(fact) if name == "bytes" else f"{fact:,}"
