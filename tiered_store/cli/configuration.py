"""
Commands for configurations: check, lint, presets, schema, tree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from tiered_store.cli.amounts import Default, duration
from tiered_store.cli.failure import FAILED, WRONG, CommandError, complain
from tiered_store.cli.options import (
    ConfigArgument,
    ConfigOption,
    Json,
    StoreName,
    chosen,
    opened,
)
from tiered_store.cli.output import console, print_json, print_table


if TYPE_CHECKING:
    from pathlib import Path

    from tiered_store.config import Finding
    from tiered_store.connecting import Finding as Tried


def check(
    config: ConfigArgument = None,
    option: ConfigOption = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail on warnings as well.")
    ] = False,
    expand: Annotated[
        bool,
        typer.Option("--expand", help="Print it with every preset put in its place."),
    ] = False,
    reach: Annotated[
        bool,
        typer.Option(
            "--connect",
            help="Then reach everything it names, try each permission on an object "
            "of its own, and look at settings that would bite.",
        ),
    ] = False,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            parser=duration(),
            metavar="DURATION",
            help="For each thing that is tried.",
        ),
    ] = Default("5s"),
    json: Json = False,
) -> None:
    """
    Say everything that is wrong with a configuration.

    Nothing is contacted, except with --connect.
    """
    from tiered_store.config import examine, expand_presets

    path = chosen(config, option)
    if expand:
        typer.echo(expand_presets(path), nl=False)
        return
    problems, findings = examine(path)
    tried = _tried(path, timeout) if reach and not problems else []
    if json:
        print_json(
            {
                "problems": [problem.plain() for problem in problems],
                "findings": [finding.plain() for finding in findings],
                **({"connections": [x.plain() for x in tried]} if reach else {}),
            },
            indent=2,
        )
    else:
        for line in (*map(str, problems), *(f"{x.severity}: {x}" for x in findings)):
            complain(line)
        if not problems:
            typer.echo(f"{path}: {_summary(findings)}")
        if tried:
            from tiered_store.cli.connections import print_connections

            print_connections(tried)
    failing = {"error", "warning"} if strict else {"error"}
    if problems or any(finding.severity in failing for finding in findings):
        raise typer.Exit(WRONG)
    states = {"failed", "warning"} if strict else {"failed"}
    if any(one.state in states for one in tried):
        raise typer.Exit(FAILED)


def _tried(config: Path, timeout: float) -> list[Tried]:
    from tiered_store.connecting import connect

    with opened(config, None) as stack:
        return list(connect(stack, seconds=timeout))


def lint(
    rule: Annotated[
        str | None, typer.Argument(metavar="RULE", help="Print this one's page.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print every page, in Markdown.")
    ] = False,
    json: Json = False,
) -> None:
    """List what "check" warns of, or print why one of the rules is one."""
    from tiered_store.config.lint import RULES, catalogue, rule_named

    if rule is not None:
        try:
            typer.echo(rule_named(rule).page(), nl=False)
        except ValueError as error:
            raise CommandError(str(error), WRONG) from None
    elif markdown:
        typer.echo(catalogue(), nl=False)
    elif json:
        rules = [
            {"rule": each.name, "severity": each.severity, "why": each.why}
            for each in RULES
        ]
        print_json(rules, indent=2)
    else:
        rows = [(each.name, each.severity, each.summary) for each in RULES]
        print_table(("Rule", "Severity", "Why"), rows)


def presets(
    name: Annotated[
        str | None, typer.Argument(metavar="PRESET", help="Print this one's stack.")
    ] = None,
    json: Json = False,
) -> None:
    """List the stacks that most people want, or print one to be pasted."""
    from tiered_store.config.preset import presets as every
    from tiered_store.wording import unknown

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
    from tiered_store.config.registry import INSTALLED

    found, broken = json_schema(INSTALLED)
    print_json(found, indent=2)
    if broken:
        complain(left_out(broken))


def _summary(findings: Sequence[Finding]) -> str:
    counted = Counter(finding.severity for finding in findings)
    told = [
        f"{counted[severity]} {severity}{'' if counted[severity] == 1 else 's'}"
        for severity in ("error", "warning", "note")
        if counted[severity]
    ]
    if not told:
        return "nothing wrong"
    why = "; tiered-store lint RULE says why"
    return f"nothing wrong, {', '.join(told)}{why}"


def tree(
    config: ConfigArgument = None,
    option: ConfigOption = None,
    store: StoreName = None,
    dot: Annotated[bool, typer.Option("--dot", help="Print it for Graphviz.")] = False,
    mermaid: Annotated[
        bool, typer.Option("--mermaid", help="Print it for Mermaid.")
    ] = False,
    json: Json = False,
) -> None:
    """Draw a stack: what stands on what, with the options that were changed."""
    from tiered_store.cli.drawing import as_tree, draw
    from tiered_store.cli.graphs import Graph

    if dot + mermaid + json > 1:
        raise CommandError("--dot, --mermaid and --json: one at a time", WRONG)

    with opened(chosen(config, option), store) as stack:
        drawn = draw(stack)
    if json:
        print_json(drawn.plain(), indent=2)
        return
    if dot or mermaid:
        graph = Graph.of(drawn)
        typer.echo(graph.dot() if dot else graph.mermaid(), nl=False)
        return
    terminal = console()
    if not terminal.is_terminal:
        terminal.width = 10_000  # a pipe has no margin
    terminal.print(as_tree(drawn))
