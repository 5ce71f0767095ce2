"""
The command that finds out what users would see, before they do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiered_store.cli.amounts import Default, duration, whole
from tiered_store.cli.failure import FAILED, WRONG, CommandError, complain
from tiered_store.cli.files import destination
from tiered_store.cli.options import (
    ConfigArgument,
    ConfigOption,
    Json,
    StoreName,
    chosen,
)
from tiered_store.cli.output import console, print_json
from tiered_store.errors import ConfigError


if TYPE_CHECKING:
    from tiered_store.drill.leaf import Fault
    from tiered_store.drill.report import Outcome, Report


def drill(
    config: ConfigArgument = None,
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME=VALUE", help="More of --require."),
    ] = None,
    option: ConfigOption = None,
    store: StoreName = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            "--require",
            metavar="NAME=VALUE",
            help="Exit with 1 unless it holds: reads=100% writes=100% lost=0.",
        ),
    ] = None,
    faults: Annotated[
        str | None,
        typer.Option("--faults", help="Which, with commas; by default all."),
    ] = None,
    place: Annotated[
        list[str] | None,
        typer.Option("--place", help="Only around this leaf, by how its path ends."),
    ] = None,
    alike: Annotated[
        list[str] | None,
        typer.Option(
            "--alike",
            metavar="NAMES",
            help="Leaves that somebody else keeps alike, with commas: us,eu.",
        ),
    ] = None,
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="On the real stores, below a prefix that is removed again."
        ),
    ] = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a page with plots there.")
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed", parser=whole(0, 2**63 - 1), metavar="N", help="Of who does what."
        ),
    ] = 0,
    patience: Annotated[
        float,
        typer.Option(
            "--patience",
            parser=duration("100ms", "60s"),
            metavar="DURATION",
            help="Of a user: 5s",
        ),
    ] = Default("5s"),
    json: Json = False,
) -> None:
    """
    Put each fault around each leaf of a stack in turn, and say what users would see.

    It runs on scratch stores in memory, with the options and wrappers of CONFIG:
    nothing of yours is contacted, unless you say --live.
    """
    from tiered_store.drill.report import requirement
    from tiered_store.drill.run import drill as run

    asked = [*(require or ()), *(more or ())]
    if option is not None and config is not None:
        asked.append(str(config))  # the first word, which is a file without -c
        config = None
    path = chosen(config, option)
    try:
        wanted = [requirement(text) for text in asked]
    except ValueError as error:
        raise CommandError(f"--require: {error}", WRONG) from None
    with _page_at(html) as write:
        with _bar(quiet=json) as done, _names_told():
            report = run(
                path,
                store,
                faults=_faults(faults),
                places=place or (),
                alike=[names.split(",") for names in alike or ()],
                requirements=wanted,
                seed=seed,
                patience=patience,
                live=live,
                done=done,
            )
        write(report)
    if json:
        print_json(report.plain(), indent=2)
    else:
        _print(report, html)
    if report.failures:
        raise typer.Exit(FAILED)


def _faults(named: str | None) -> Sequence[Fault]:
    from tiered_store.drill.leaf import FAULTS

    if named is None:
        return tuple(FAULTS)
    words = [word.strip() for word in named.split(",")]
    unknown = [word for word in words if word not in FAULTS]
    if unknown:
        raise CommandError(
            f"--faults: no {unknown[0]!r}; there are: {', '.join(FAULTS)}", WRONG
        )
    return [fault for fault in FAULTS if fault in words]


@contextmanager
def _page_at(path: Path | None) -> Iterator[Callable[[Report], None]]:
    """Lend what writes the page; that it cannot be is told before all else."""
    if path is None:
        yield lambda report: None
        return
    from tiered_store.drill.page import page

    with destination(path) as write_bytes:

        def write(report: Report) -> None:
            write_bytes(page(report).encode())

        yield write


@contextmanager
def _names_told() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        raise CommandError(str(error), WRONG) from None


@contextmanager
def _bar(*, quiet: bool) -> Iterator[Callable[[Outcome, int], None]]:
    terminal = console()
    if quiet or not terminal.is_terminal:
        yield lambda outcome, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=terminal, transient=True) as progress:
        task = progress.add_task("scenarios", total=None)

        def done(outcome: Outcome, total: int) -> None:
            progress.update(task, total=total, advance=1)

        yield done


def _print(report: Report, html: Path | None) -> None:
    from rich.table import Table
    from rich.text import Text

    from tiered_store.drill.words import COLUMNS, MEANINGS, cells, grade, verdict

    styles = {"": "", "none": "dim", "fair": "yellow", "bad": "bold red"}
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for number, heading in enumerate(COLUMNS):
        table.add_column(heading, justify="left" if number < 2 else "right")
    for outcome in report.outcomes:
        table.add_row(
            *(
                Text(text, styles[grade(outcome, heading)])
                for heading, text in zip(COLUMNS, cells(outcome), strict=True)
            )
        )
    terminal = console()
    if not terminal.is_terminal:
        terminal.width = 10_000  # a pipe has no margin
    terminal.print(table)
    typer.echo("")
    for words, meaning in MEANINGS:
        typer.echo(f"{words}: {meaning}")
    typer.echo("")
    for failure in report.failures:
        complain(failure)
    typer.echo(f"{verdict(report)} ({report.seconds:.0f} s, seed {report.seed})")
    if html is not None:
        typer.echo(f"Look at {html}")
