"""
Commands for objects: put, get, url, rm, ls, stat.
"""

from __future__ import annotations

import sys

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tiered_store.body import Body, Stat
from tiered_store.cli import options
from tiered_store.cli.failure import FAILED, WRONG, CommandError, explain
from tiered_store.cli.files import check_printable, destination, source
from tiered_store.cli.names import key_of
from tiered_store.cli.options import Config, Json, Mimetype, StoreName, opened
from tiered_store.cli.output import console, print_json
from tiered_store.cli.transfer import WatchedBody, bar
from tiered_store.errors import NotFoundError, StoreError
from tiered_store.key import Key
from tiered_store.layout import key_of_object, object_name
from tiered_store.store import Store


Name = Annotated[
    str,
    typer.Argument(
        metavar="KEY",
        help="TYPE/ID/WIDTHxHEIGHT.EXTENSION, such as comics.cover/5/30x40.png",
    ),
]


def put(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="What to store; - is standard input.")
    ],
    name: Name,
    config: Config = options.DEFAULT,
    store: StoreName = None,
    mimetype: Mimetype = None,
    reproducible: Annotated[
        bool,
        typer.Option(
            "--reproducible", help="It can be made again, as a thumbnail can."
        ),
    ] = False,
) -> None:
    """Store a file, over what was there."""
    try:
        key = key_of(name, mimetype)
    except CommandError:
        if key_of_object(file) is None:
            raise
        raise CommandError(f"the file comes first: put {name} {file}", WRONG) from None
    with opened(config, store) as stack, source(file) as opened_file:
        body = Body.take(opened_file)
        with bar(f"put {name}", body.size) as told:
            stack.put(key, WatchedBody(body, told), reproducible)


def get(
    name: Name,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where to, - is standard output."
        ),
    ] = None,
    config: Config = options.DEFAULT,
    store: StoreName = None,
    mimetype: Mimetype = None,
) -> None:
    """Fetch an object, to standard output or a file."""
    key = key_of(name, mimetype)
    if output is None or str(output) == "-":
        with opened(config, store) as stack:
            body = stack.get(key)
            if sys.stdout.isatty():
                check_printable(body)
            for piece in _pieces(body, name, quiet=sys.stdout.isatty()):
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
        return
    with opened(config, store) as stack, destination(output) as write:
        for piece in _pieces(stack.get(key), name):
            write(piece)


def _pieces(body: Body, name: str, *, quiet: bool = False) -> Iterator[bytes]:
    done = 0
    with bar(f"get {name}", 0 if quiet else body.size) as told:
        for piece in body.chunks():
            yield piece
            done += len(piece)
            told(done)


def url(
    name: Name,
    config: Config = options.DEFAULT,
    store: StoreName = None,
    mimetype: Mimetype = None,
) -> None:
    """Print where an object can be fetched, whether it is there or not."""
    key = key_of(name, mimetype)
    with opened(config, store) as stack:
        typer.echo(stack.url(key))


def rm(
    names: Annotated[list[str], typer.Argument(metavar="KEY...", help="The objects.")],
    config: Config = options.DEFAULT,
    store: StoreName = None,
    mimetype: Mimetype = None,
) -> None:
    """Delete objects; one that is not there is gone already."""
    keys = [key_of(name, mimetype) for name in names]
    failed = False
    with opened(config, store) as stack:
        for key in keys:
            try:
                stack.delete(key)
            except StoreError as error:
                failed = True
                explain(error)
    if failed:
        raise typer.Exit(FAILED)


def ls(
    prefix: Annotated[
        str, typer.Argument(metavar="PREFIX", help="How their names begin.")
    ] = "",
    long: Annotated[
        bool,
        typer.Option("--long", "-l", help="Size and time too, asked one by one."),
    ] = False,
    config: Config = options.DEFAULT,
    store: StoreName = None,
    json: Json = False,
) -> None:
    """List objects: a table on a terminal, names in a pipe."""
    with opened(config, store) as stack:
        found = _listed(stack, prefix, long)
        if json:
            for key, known in found:
                print_json(_plain(key, known))
        elif sys.stdout.isatty():
            _print_table(sorted(found, key=lambda one: one[0]), long)
        else:
            for key, known in found:
                typer.echo("\t".join((object_name(key), *_shown(known))))


def _listed(store: Store, prefix: str, long: bool) -> Iterator[tuple[Key, Stat | None]]:
    # a store lists by object type, of which the first segment is whole
    for key in store.keys(prefix.partition("/")[0]):
        if not object_name(key).startswith(prefix):
            continue
        try:
            yield key, store.stat(key) if long else None
        except NotFoundError:
            continue  # deleted meanwhile


def _print_table(found: list[tuple[Key, Stat | None]], long: bool) -> None:
    from rich.table import Table

    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("Object", overflow="fold")
    table.add_column("Mimetype")
    if long:
        table.add_column("Bytes", justify="right")
        table.add_column("Modified")
    for key, known in found:
        table.add_row(object_name(key), key.mimetype, *_shown(known))
    terminal = console()
    if found:
        terminal.print(table)
    terminal.print(f"{len(found)} object{'' if len(found) == 1 else 's'}")


def stat(
    name: Name,
    config: Config = options.DEFAULT,
    store: StoreName = None,
    mimetype: Mimetype = None,
    json: Json = False,
) -> None:
    """Print what is known of an object without reading it."""
    key = key_of(name, mimetype)
    with opened(config, store) as stack:
        known = _plain(key, stack.stat(key))
    if json:
        print_json(known)
        return
    for word, value in known.items():
        if value is not None:
            typer.echo(f"{word.replace('_', ' '):12} {value}")


def _plain(key: Key, known: Stat | None) -> Mapping[str, Any]:
    named = {"name": object_name(key), **key._asdict()}
    if known is None:
        return named
    return {
        **named,
        "size": known.size,
        "etag": known.etag,
        "modified": _time(known.modified),
    }


def _shown(known: Stat | None) -> tuple[str, ...]:
    return () if known is None else (str(known.size), _time(known.modified) or "-")


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
