"""
Commands for configurations: check, tree, schema.
"""

from __future__ import annotations

from typing import Annotated

import typer

from tiered_store.cli import options
from tiered_store.cli.failure import WRONG, CommandError, complain
from tiered_store.cli.options import ConfigArgument, Json, StoreName, opened
from tiered_store.cli.output import console, print_json, print_table


def check(
    config: ConfigArgument = options.DEFAULT,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail on warnings as well.")
    ] = False,
    expand: Annotated[
        bool,
        typer.Option("--expand", help="Print it with every preset put in its place."),
    ] = False,
    json: Json = False,
) -> None:
    """Say everything that is wrong with a configuration; nothing is contacted."""
    from tiered_store.config import examine, expand_presets

    if expand:
        typer.echo(expand_presets(config), nl=False)
        return
    problems, findings = examine(config)
    if json:
        warnings = [
            {"rule": finding.rule, "message": str(finding)} for finding in findings
        ]
        print_json({"problems": problems, "warnings": warnings}, indent=2)
    else:
        for line in problems:
            complain(line)
        for finding in findings:
            complain(f"warning: {finding}")
        if not problems:
            typer.echo(f"{config}: {_summary(len(findings))}")
    if problems or (strict and findings):
        raise typer.Exit(WRONG)


def presets(
    name: Annotated[
        str | None, typer.Argument(metavar="PRESET", help="Print this one's stack.")
    ] = None,
    json: Json = False,
) -> None:
    """List the stacks that most people want, or print one to be pasted."""
    from tiered_store.config.preset import presets as every
    from tiered_store.config.problems import unknown

    if name is not None and name not in every():
        raise CommandError(unknown("preset", name, every()), WRONG)
    if name is not None:
        typer.echo(every()[name].file(), nl=False)
    elif json:
        print_json([preset.plain() for preset in every().values()], indent=2)
    else:
        print_table(
            ("Preset", "What it is", "Asks for"),
            [
                (preset.name, preset.summary, preset.asks_for())
                for preset in every().values()
            ],
        )


def schema() -> None:
    """
    Print a JSON Schema of configurations, by which an editor completes and explains.

    For an editor with a YAML language server, begin a configuration with
    "# yaml-language-server: $schema=tiered-store.schema.json".
    """
    from tiered_store.config.json_schema import json_schema, left_out
    from tiered_store.config.registry import Registry

    found, broken = json_schema(Registry())
    print_json(found, indent=2)
    if broken:
        complain(left_out(broken))


def _summary(warnings: int) -> str:
    if not warnings:
        return "nothing wrong"
    return f"nothing wrong, {warnings} warning{'' if warnings == 1 else 's'}"


def tree(
    config: ConfigArgument = options.DEFAULT,
    store: StoreName = None,
    json: Json = False,
) -> None:
    """Draw a stack: what stands on what, with the options that were changed."""
    from tiered_store.cli.drawing import as_tree, draw

    with opened(config, store) as stack:
        drawn = draw(stack)
    if json:
        print_json(drawn.plain(), indent=2)
        return
    terminal = console()
    if not terminal.is_terminal:
        terminal.width = 10_000  # a pipe has no margin
    terminal.print(as_tree(drawn))


COMMANDS = (check, tree, presets, schema)
