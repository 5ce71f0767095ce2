"""
Commands for what replicas have missed: pending, forget.
"""

from __future__ import annotations

import itertools
import sys

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

from tiered_store.cli import options
from tiered_store.cli.amounts import whole
from tiered_store.cli.failure import FAILED, WRONG, CommandError, explain
from tiered_store.cli.mirrors import MANY, RISKS, Place, Replica, mirrors, plain, taken
from tiered_store.cli.names import key_of
from tiered_store.cli.options import Config, Json, Mimetype
from tiered_store.cli.output import console, print_json
from tiered_store.errors import StoreError
from tiered_store.findings import when
from tiered_store.journals.row import Row
from tiered_store.layout import object_name
from tiered_store.replication.mirror import Mirror
from tiered_store.store import Store


Listed = tuple[Mirror, Row]

_WARNED = 20  # rows that are told one by one


def pending(
    place: Place = None,
    config: Config = options.DEFAULT,
    replica: Replica = None,
    dead: Annotated[bool, typer.Option("--dead", help="Dead letters only.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", parser=whole(1, MANY), metavar="N", help="Rows, at most."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """
    List what replicas have missed, object by object.

    A dead letter failed so often, for a reason of its own, that it is not tried by
    itself any more: `repair --dead` tries it, `forget` drops it.
    """
    with mirrors(config, place, replica, gone=True, used=True) as found:
        rows = (
            (mirror, row)
            for mirror in found
            for row in taken(mirror.pending(replica), dead=dead)
        )
        show(itertools.islice(rows, limit), json=json)


def show(rows: Iterable[tuple[Store, Row]], *, json: bool) -> int:
    """Print *rows*, a table on a terminal, lines in a pipe; return how many."""
    if sys.stdout.isatty() and not json:
        return _print_table(list(rows))
    shown = 0
    for store, row in rows:
        shown += 1
        if json:
            print_json(plain(store, row))
        else:
            typer.echo("\t".join(_cells(store, row)))
    return shown


def _cells(store: Store, row: Row) -> tuple[str, ...]:
    state = "dead letter" if row.dead else ""
    tried = f"{row.attempts} times" if row.attempts else ""
    return (
        f"{store}.{row.replica}",
        row.verb,
        object_name(row.key),
        when(row.since),
        state or tried,
        row.last_error or "",
    )


def _print_table(rows: Sequence[tuple[Store, Row]]) -> int:
    from rich.table import Table

    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for heading in ("Replica", "Missed", "Object", "Since", "Failed", "Last error"):
        table.add_column(heading, overflow="fold")
    for store, row in rows:
        table.add_row(*_cells(store, row))
    terminal = console()
    if rows:
        terminal.print(table)
    terminal.print(f"{len(rows)} row{'' if len(rows) == 1 else 's'}")
    return len(rows)


def forget(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY...]", help="The objects.")
    ] = None,
    config: Config = options.DEFAULT,
    place: Annotated[
        str | None,
        typer.Option("--store", "-s", metavar="STORE", help="A store, or a path."),
    ] = None,
    replica: Replica = None,
    dead: Annotated[bool, typer.Option("--dead", help="Every dead letter.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Everything that --replica has missed.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    mimetype: Mimetype = None,
) -> None:
    """
    Drop what replicas have missed, for good, and say what is at risk.

    The replica is believed again, whatever it has.  `verify` tells afterwards where
    replicas differ.  Exit status 0: dropped, or there was nothing to drop; 1: some
    could not be.
    """
    if bool(names) + dead + everything != 1:
        raise CommandError("name the objects, or say --dead, or --all", WRONG)
    if everything and replica is None:
        raise CommandError("--all: say of which --replica", WRONG)
    keys = [key_of(name, mimetype) for name in names or ()]
    with mirrors(config, place, replica, gone=True, used=True) as found:
        if not keys:
            rows = [
                (mirror, row)
                for mirror in found
                for row in taken(mirror.pending(replica), dead=dead)
            ]
        else:
            rows = [
                (mirror, row)
                for mirror in found
                for key in keys
                for row in mirror.missed(key).values()
                if replica in (None, row.replica)
            ]
        if not rows:
            typer.echo("nothing is pending there")
            return
        _warn(rows)
        if not yes:
            _confirm(len(rows))
        if _dropped(rows) < len(rows):
            raise typer.Exit(FAILED)


def _warn(rows: Sequence[Listed]) -> None:
    for mirror, row in rows[:_WARNED]:
        typer.echo(
            f"{mirror}.{row.replica}: {row.verb} of {object_name(row.key)}: "
            f"{RISKS[row.verb]}"
        )
    more = Counter((f"{one}.{row.replica}", row.verb) for one, row in rows[_WARNED:])
    for (place, verb), count in sorted(more.items()):
        typer.echo(f"{place}: {verb} of {count} more: {RISKS[verb]}")


def _confirm(count: int) -> None:
    if not sys.stdin.isatty():
        raise CommandError("nothing was dropped; say --yes if you mean it", WRONG)
    if not typer.confirm(f"Drop {count} row{'' if count == 1 else 's'}?"):
        raise typer.Abort


def _dropped(rows: Sequence[Listed]) -> int:
    done = 0
    for mirror, row in rows:
        try:
            mirror.forget(row.key, row.replica)
        except StoreError as error:
            explain(error)
        else:
            done += 1
    typer.echo(f"{done} of {len(rows)} dropped")
    return done
