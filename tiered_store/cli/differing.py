"""
The command that says what a change of configuration does to data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiered_store.cli.failure import FAILED
from tiered_store.cli.options import Json, StoreName, opened
from tiered_store.cli.output import print_json, print_table


def diff(
    before: Annotated[
        Path, typer.Argument(help="The configuration in use.", metavar="OLD")
    ],
    after: Annotated[Path, typer.Argument(help="The one to come.", metavar="NEW")],
    store: StoreName = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Fail if anything that is kept is concerned."),
    ] = False,
    json: Json = False,
) -> None:
    """
    Say what a change of configuration does to data; nothing is contacted.

    Replicas that must be filled, caches that begin empty, journals and names that
    nobody knows any more, objects that are not found.
    """
    from rich.text import Text

    from tiered_store.difference import differences
    from tiered_store.difference.change import MEANINGS

    with opened(before, store) as old, opened(after, store) as new:
        changes = differences(old, new)
    if json:
        print_json([change.plain() for change in changes], indent=2)
    elif not changes:
        typer.echo("nothing that is kept is concerned")
    else:
        rows = [
            (
                Text(change.kind, "bold red" if change.concerns_data else ""),
                change.path,
                change.message,
                change.todo,
            )
            for change in changes
        ]
        print_table(("Change", "Place", "What happens", "What to do"), rows)
        seen = dict.fromkeys(change.kind for change in changes)
        typer.echo("\n" + "\n".join(f"{kind}: {MEANINGS[kind]}" for kind in seen))
    if strict and any(change.concerns_data for change in changes):
        raise typer.Exit(FAILED)
