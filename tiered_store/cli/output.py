"""
Standard output, for a person or for a program.
"""

from __future__ import annotations

import json
import sys

from typing import TYPE_CHECKING

import typer


if TYPE_CHECKING:
    from rich.console import Console


def console() -> Console:
    """Return a console that moves no cursor and paints nothing but on a terminal."""
    from rich.console import Console

    return Console(highlight=False, markup=False, force_terminal=sys.stdout.isatty())


def print_json(value: object, indent: int | None = None) -> None:
    """Print *value* as JSON, in one line without *indent*."""
    typer.echo(json.dumps(value, indent=indent))
