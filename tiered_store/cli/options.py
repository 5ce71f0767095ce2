"""
Options that several commands share.
"""

from __future__ import annotations

import os

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiered_store.cli.failure import WRONG, CommandError


if TYPE_CHECKING:
    from tiered_store.store import Store


DEFAULT = Path("tiered-store.yaml")
_VARIABLE = "TIERED_STORE_CONFIG"


def _named(config: Path) -> Path:
    """Return *config*; say how to name one where nobody did and there is no default."""
    if config == DEFAULT and not config.exists():
        raise CommandError(
            f"which configuration? there is no {DEFAULT} here; name one by -c FILE "
            f"or by {_VARIABLE}",
            WRONG,
        )
    return config


Config = Annotated[
    Path,
    typer.Option(
        "--config", "-c", envvar=_VARIABLE, help="The configuration.", callback=_named
    ),
]
ConfigArgument = Annotated[
    Path | None,
    typer.Argument(
        help=f"The configuration, a YAML file; else by -c, or {_VARIABLE}.",
        metavar="CONFIG",
        show_default=str(DEFAULT),
    ),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="The configuration.")
]
StoreName = Annotated[
    str | None,
    typer.Option(
        "--store", "-s", metavar="NAME", help="Another store than the default one."
    ),
]
Mimetype = Annotated[
    str | None,
    typer.Option(
        "--mimetype", metavar="TYPE", help="What the extension in the key cannot say."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]


def chosen(argument: Path | None, option: Path | None) -> Path:
    """Return the configuration of a command that takes it either way."""
    if argument is not None and option is not None:
        raise CommandError(
            f"two configurations, {argument} and {option}: name one", WRONG
        )
    return _named(argument or option or Path(os.environ.get(_VARIABLE) or DEFAULT))


def opened(config: Path, name: str | None) -> Store:
    """Return the store that *config* calls *name*; use it as a context manager."""
    from tiered_store.config import load  # pydantic takes its time

    return load(config, name)
