"""
Commands for configurations: check, tree, schema.
"""

from __future__ import annotations

from typing import Annotated

import typer

from tiered_store.cli import options
from tiered_store.cli.failure import WRONG, complain
from tiered_store.cli.options import ConfigArgument, Json, StoreName, opened
from tiered_store.cli.output import console, print_json


def check(
    config: ConfigArgument = options.DEFAULT,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail on warnings as well.")
    ] = False,
    json: Json = False,
) -> None:
    """Say everything that is wrong with a configuration; nothing is contacted."""
    from tiered_store.config import examine

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
