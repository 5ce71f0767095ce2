"""
The command that says where an object is, and why a reader sees what they see.
"""

from __future__ import annotations

import dataclasses

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from tiered_store.cli import options
from tiered_store.cli.amounts import Default, duration
from tiered_store.cli.failure import ABSENT, FAILED
from tiered_store.cli.names import key_of
from tiered_store.cli.objects import Name
from tiered_store.cli.options import (
    Config,
    Json,
    Mimetype,
    StoreName,
    opened,
)
from tiered_store.cli.output import console, print_json, shown_age
from tiered_store.deadlines import deadline
from tiered_store.errors import StoreError
from tiered_store.explanation import explain as explain_stack
from tiered_store.findings import Answer, Finding, State
from tiered_store.key import Key
from tiered_store.layout import object_name
from tiered_store.store import Store


_STATUS: Mapping[Answer, int] = {"held": 0, "absent": ABSENT, "unknown": FAILED}
_SAID: Mapping[Answer, str] = {
    "held": "there is one",
    "absent": "there is none",
    "unknown": "unknown, for somebody failed who might have it",
}
_STYLES: Mapping[State, str] = {
    "held": "green",
    "failed": "bold red",
    "missing": "dim",
    "absent": "",
    **dict.fromkeys(("stale", "unbelieved", "behind", "pending"), "yellow"),
}
_MEANINGS: Mapping[State, str] = {
    "missing": "no copy, which says nothing",
    "stale": "a copy past its freshness",
    "unbelieved": "it is not served from there",
    "behind": "it missed a write, so it is not asked",
    "failed": "it could not say",
    "pending": "something is under way, or still to be done",
}


def explain(
    name: Name,
    config: Config = options.DEFAULT,
    store: StoreName = None,
    mimetype: Mimetype = None,
    seconds: Annotated[
        float,
        typer.Option(
            "--timeout",
            parser=duration(),
            metavar="DURATION",
            help="To wait for an answer, such as 2s.",
        ),
    ] = Default("5s"),
    json: Json = False,
) -> None:
    """
    Say which tiers and stores hold an object, how old, and what is pending.

    Nothing is changed.  Exit status 0: it is held somewhere; 3: there is none;
    1: that is not known, for something failed.
    """
    key = key_of(name, mimetype)
    with opened(config, store) as stack:
        explained = explain_stack(stack, key, seconds=seconds)
        url, why = _url(stack, key, seconds)
    if json:
        print_json(
            {
                "name": object_name(key),
                "answer": explained.answer,
                "url": url,
                "places": [dataclasses.asdict(one) for one in explained.findings],
            },
            indent=2,
        )
    else:
        _print(explained.findings)
        typer.echo(f"\n{object_name(key)}: {_SAID[explained.answer]}")
        typer.echo(f"URL: {url or why}")
    if status := _STATUS[explained.answer]:
        raise typer.Exit(status)


def _url(stack: Store, key: Key, seconds: float) -> tuple[str | None, str]:
    """Return the URL, or why there is none."""
    try:
        with deadline(seconds):
            return stack.url(key), ""
    except StoreError as error:
        return None, f"none; {error.message or error}"


def _print(findings: Sequence[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for heading in ("Place", "State", "Age", "Bytes", "Version", "Besides"):
        number = heading in ("Age", "Bytes")
        table.add_column(
            heading,
            justify="right" if number else "left",
            no_wrap=heading == "State" or number,
            overflow="fold",
        )
    for finding in findings:
        facts = (f"{word}: {what}" for word, what in finding.facts.items())
        table.add_row(
            finding.place,
            Text(finding.state, _STYLES[finding.state]),
            "" if finding.age is None else shown_age(finding.age),
            "" if finding.size is None else str(finding.size),
            finding.version or "",
            "\n".join(facts),
        )
    terminal = console()
    if not terminal.is_terminal:
        terminal.width = 10_000  # a pipe has no margin
    terminal.print(table)
    seen = {finding.state for finding in findings}
    told = [f"{state}: {_MEANINGS[state]}" for state in _MEANINGS if state in seen]
    if told:
        typer.echo("\n" + "\n".join(told))
