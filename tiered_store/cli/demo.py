"""
The demo command.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiered_store.cli.amounts import whole
from tiered_store.cli.failure import FAILED, WRONG, CommandError
from tiered_store.cli.options import Json
from tiered_store.cli.output import console, print_json


def demo(
    pictures: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Photographs of your own, anywhere below; they are only read.",
            show_default="some that come with it",
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Where to work; cleared of an earlier demo."),
    ] = Path("demo-output"),
    limit: Annotated[
        int,
        typer.Option(
            parser=whole(1, 100_000), metavar="N", help="At most so many pictures."
        ),
    ] = 100,
    json: Json = False,
) -> None:
    """
    Watch a region get lost and come back, with real pictures.

    Two directories stand for two regions. Photographs and thumbnails are stored in
    both and read through a cache; one region is taken away, work goes on, it returns
    and is repaired. Digests prove that nothing was lost.
    """
    from tiered_store.demo.errors import DemoError
    from tiered_store.demo.run import run
    from tiered_store.demo.show import Bars, Lines, Silence, show_beginning, show_report

    terminal = console()
    if not json:
        show_beginning(terminal)
    try:
        if json:
            report = run(output, Silence(), pictures=pictures, limit=limit)
        elif terminal.is_terminal:
            with Bars(terminal) as bars:
                report = run(output, bars, pictures=pictures, limit=limit)
        else:
            report = run(output, Lines(terminal), pictures=pictures, limit=limit)
    except DemoError as error:
        raise CommandError(str(error), WRONG) from None
    if json:
        print_json(report.plain(), indent=2)
    else:
        show_report(report, terminal)
    if not report.held:
        raise typer.Exit(FAILED)
