"""
The mirrors that a command is about, and what is pending there, in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from tiered_store.cli.amounts import number, size, whole
from tiered_store.cli.failure import FAILED, WRONG, CommandError, complain
from tiered_store.cli.options import opened
from tiered_store.findings import when
from tiered_store.journals.row import Row
from tiered_store.layout import object_name
from tiered_store.replication.conditions import not_here
from tiered_store.replication.mirror import Mirror
from tiered_store.store import Store
from tiered_store.tree import walk


Place = Annotated[
    str | None,
    typer.Argument(
        metavar="STORE",
        help="A store of the configuration, or a path such as images.origin; "
        "by default every mirror of the default store.",
    ),
]
Replica = Annotated[
    str | None, typer.Option("--replica", "-r", metavar="NAME", help="Only this one.")
]
MANY = 1_000_000_000
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        parser=whole(1, MANY),
        metavar="N",
        help="Objects a mirror, at most.",
    ),
]
Rate = Annotated[
    float | None,
    typer.Option(
        "--rate",
        parser=number(0.001, 1_000_000),
        metavar="NUMBER",
        help="Objects a second, at most.",
    ),
]
Bandwidth = Annotated[
    int | None,
    typer.Option(
        "--bandwidth",
        parser=size("1KiB", "1TiB"),
        metavar="SIZE",
        help="Bytes a second, at most, like 20MiB.",
    ),
]
PARALLEL = whole(1, 1_000)


@contextmanager
def mirrors(
    config: Path,
    place: str | None,
    replica: str | None,
    *,
    gone: bool = False,
    used: bool = False,
) -> Iterator[list[Mirror]]:
    """
    Open the stack at *place*, and lend the mirrors in it that have *replica*.

    Args:
        gone: Or had it once: it may be gone from the configuration.
        used: Only those whose journals are there.  An empty one would be made by
            asking, and say that nothing was missed; so the others are told instead,
            and the command fails in the end.

    Raises:
        CommandError: There are none.
    """
    name = None if place is None else place.partition(".")[0]
    with opened(config, name) as root:
        found = [one for one in _at(root, place) if isinstance(one, Mirror)]
        where = place or str(root)
        if not found:
            raise CommandError(
                f"no mirror in {where!r}; tree shows what is there", WRONG
            )
        if replica is not None and not gone:
            known = sorted({name for one in found for name in one.replicas})
            found = [one for one in found if replica in one.replicas]
            if not found:
                there = ", ".join(known)
                raise CommandError(f"no replica {replica!r}; there are {there}", WRONG)
        elsewhere = _without_journals(found) if used else {}
        for mirror, why in elsewhere.items():
            complain(f"tiered-store: {mirror}: {why}")
        if len(elsewhere) < len(found):
            yield [one for one in found if one not in elsewhere]
        if elsewhere:
            raise typer.Exit(FAILED)


def _without_journals(found: Iterable[Mirror]) -> Mapping[Mirror, str]:
    """Return those of *found* whose journals are not there, and what to do."""
    asked = ((one, one.journal) for one in found)
    return {
        one: not_here(journal)
        for one, journal in asked
        if journal is not None and not journal.is_there()
    }


def _at(root: Store, place: str | None) -> Iterator[Store]:
    if place is None or place == str(root):
        yield from walk(root)
        return
    for store in walk(root):
        if str(store) == place and not store.transparent:
            yield from walk(store)
            return
    raise CommandError(f"nothing at {place!r}; tree shows what is there", WRONG)


def plain(store: Store, row: Row) -> dict[str, Any]:
    """Return *row* for a program."""
    return {
        "store": str(store),
        "replica": row.replica,
        "object": object_name(row.key),
        "verb": row.verb,
        "bytes": row.size,
        "since": when(row.since),
        "attempts": row.attempts,
        "dead": row.dead,
        "retry_at": when(row.retry_at) if row.retry_at and not row.dead else None,
        "last_error": row.last_error,
    }


RISKS: Mapping[str, str] = {
    "put": "it is believed again: it has an old object, or says that there is none",
    "delete": "what was deleted may still be there, and is served again",
    "drop": "an old copy may stay there",
    "in_doubt": "nobody looks any more which of two objects it has",
}


def taken(rows: Iterable[Row], *, dead: bool) -> Iterator[Row]:
    """Yield all *rows*, or the dead letters among them."""
    return (row for row in rows if row.dead or not dead)


def counted(done: list[str], report: Any, names: Iterable[str]) -> str:
    """Return *done*, and of what *report* counts what is not 0, in a line."""
    counts = ((getattr(report, name), name) for name in names)
    return ", ".join([*done, *(f"{count:,} {name}" for count, name in counts if count)])
