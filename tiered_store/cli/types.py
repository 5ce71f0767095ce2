"""
The command that lists what a configuration can be made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tiered_store.cli.failure import FAILED, WRONG, CommandError, complain
from tiered_store.cli.options import Json
from tiered_store.cli.output import print_json, print_table


if TYPE_CHECKING:
    from tiered_store.config.types import TypeDescription


def types(
    word: Annotated[
        str | None, typer.Argument(metavar="TYPE", help="Print this one's options.")
    ] = None,
    json: Json = False,
) -> None:
    """
    List the types of stores, journals and tiers, or the options of one.

    Those of other packages are among them; one that is broken says so, and fails.
    """
    from tiered_store.config.registry import INSTALLED
    from tiered_store.config.types import types as every
    from tiered_store.wording import unknown

    found = [one for one in every(INSTALLED) if word in (None, one.word)]
    if word is not None and not found:
        known = dict.fromkeys(one.word for one in every(INSTALLED))
        raise CommandError(unknown("type", word, known), WRONG)
    if json:
        print_json([one.plain() for one in found], indent=2)
    elif word is None:
        rows = [
            (one.word, one.family, one.package, one.broken or one.summary)
            for one in found
        ]
        print_table(("Type", "Of", "Package", "What it is"), rows)
    else:
        for one in found:
            _print(one)
    broken = [one for one in found if one.broken]
    for one in broken:
        complain(f"tiered-store: {one.broken}")
    if broken:
        raise typer.Exit(FAILED)


def _print(one: TypeDescription) -> None:
    typer.echo(f"{one.word}, a {one.family} of {one.package}: {one.summary}\n")
    rows = [
        (
            option.name,
            option.words,
            "required" if option.required else _shown(option.default),
            option.about,
        )
        for option in one.options
    ]
    print_table(("Option", "Takes", "Default", "About"), rows)
    typer.echo()


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return "true" if default else "false"
    return "" if default is None else str(default)
