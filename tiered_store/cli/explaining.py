"""
The command that says where an object is, and why a reader sees what they see.
"""

from __future__ import annotations

import dataclasses

from collections.abc import Sequence

import typer

from tiered_store.cli import options
from tiered_store.cli.names import key_of
from tiered_store.cli.objects import Name
from tiered_store.cli.options import Config, Json, Mimetype, StoreName, opened
from tiered_store.cli.output import console, print_json
from tiered_store.errors import StoreError
from tiered_store.findings import Finding
from tiered_store.key import Key
from tiered_store.layout import object_name
from tiered_store.store import Store
from tiered_store.tree import explain as explain_stack


_MEANINGS = {
    "held": "it has the object",
    "absent": "it knows that there is none",
    "missing": "no copy, which says nothing",
    "stale": "a copy past its freshness",
    "unbelieved": "not asked: a write may not have reached it",
    "behind": "something is pending",
    "failed": "it could not say",
}


def explain(
    name: Name,
    config: Config = options.DEFAULT,
    store: StoreName = None,
    mimetype: Mimetype = None,
    json: Json = False,
) -> None:
    """Say which tiers and stores hold an object, how old, and what is pending."""
    key = key_of(name, mimetype)
    with opened(config, store) as stack:
        found = list(explain_stack(stack, key))
        url = _url(stack, key)
    if json:
        print_json(
            {
                "name": object_name(key),
                "url": url,
                "places": [dataclasses.asdict(finding) for finding in found],
            },
            indent=2,
        )
        return
    _print(found)
    typer.echo(f"\nURL {url or 'none'}")


def _url(stack: Store, key: Key) -> str | None:
    try:
        return stack.url(key)
    except StoreError:
        return None


def _print(found: Sequence[Finding]) -> None:
    from rich.table import Table

    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for heading in ("Place", "State", "Age", "Bytes", "Version", "Besides"):
        table.add_column(heading, justify="right" if heading == "Bytes" else "left")
    for finding in found:
        table.add_row(
            finding.place,
            f"{finding.state}: {_MEANINGS[finding.state]}",
            "" if finding.age is None else _age(finding.age),
            "" if finding.size is None else str(finding.size),
            finding.version or "",
            ", ".join(f"{word} {what}" for word, what in finding.facts.items()),
        )
    console().print(table)


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.1f} s"
