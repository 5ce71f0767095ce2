"""
The command that compares replicas, whatever the journal says.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from tiered_store.cli import options
from tiered_store.cli.amounts import word
from tiered_store.cli.ending import Ending, counting, ending
from tiered_store.cli.failure import FAILED, WRONG, CommandError
from tiered_store.cli.mirrors import (
    PARALLEL,
    Bandwidth,
    Limit,
    Place,
    Rate,
    counted,
    mirrors,
)
from tiered_store.cli.notes import Notes
from tiered_store.cli.options import Config, Json
from tiered_store.cli.output import print_json, shown_size
from tiered_store.layout import object_name
from tiered_store.replication.difference import Compare, Difference, VerifyReport
from tiered_store.replication.mirror import Mirror
from tiered_store.replication.verdict import NEWEST


_OF_NOTES = ("prefix", "repair", "trust", "compare")
_COMPARE = get_args(Compare)


def verify(
    place: Place = None,
    config: Config = options.DEFAULT,
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="TYPE", help="How object types begin.")
    ] = "",
    repair: Annotated[
        bool, typer.Option("--repair", help="Put right what can be.")
    ] = False,
    trust: Annotated[
        str | None,
        typer.Option(
            "--trust",
            metavar="NAME",
            help="The replica that is right, which has all there are; or `newest`.",
        ),
    ] = None,
    compare: Annotated[
        str,
        typer.Option(
            "--compare",
            parser=word(_COMPARE),
            metavar="HOW",
            help="quick: by digests that all tell, else by bytes; sizes; bytes.",
        ),
    ] = "quick",
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            metavar="FILE",
            help="Note there how far it is, and go on from there.",
        ),
    ] = None,
    limit: Limit = None,
    parallel: Annotated[
        int | None,
        typer.Option(
            "--parallel", parser=PARALLEL, metavar="N", help="Batches at once."
        ),
    ] = None,
    rate: Rate = None,
    bandwidth: Bandwidth = None,
    json: Json = False,
) -> None:
    """
    Compare the replicas of mirrors, and say where they differ.

    With --repair what is certain is put right, beside any traffic: what the journal
    knows, damaged copies, and objects that are missing though they were written since
    the journal began.  About the rest somebody must say whom to --trust; try that
    without --repair first, it says what would be done.

    Exit status 0: the replicas are the same; 1: differences remain, or it was ended.
    """
    wish: dict[str, Any] = {
        "prefix": prefix,
        "repair": repair,
        "trust": trust,
        "compare": compare,
        "limit": limit,
        "parallel": parallel,
        "rate": rate,
        "bandwidth": bandwidth,
    }
    known = None if trust in (None, NEWEST) else trust
    with mirrors(config, place, known) as found, ending() as told:
        alike = [mirror for mirror in found if mirror.alike]
        if not alike:
            raise CommandError(
                "nothing to compare: stores may differ on purpose", WRONG
            )
        notes = Notes(resume, {name: wish[name] for name in _OF_NOTES})
        left = 0
        for mirror in alike:
            if not told.stop.is_set():
                left += _compared(mirror, wish, notes, told, json=json).left
        notes.close(ended=told.stop.is_set() or limit is not None)
    if told.status or left or told.stop.is_set():
        raise typer.Exit(told.status or FAILED)


def _compared(
    mirror: Mirror, wish: Mapping[str, Any], notes: Notes, told: Ending, *, json: bool
) -> VerifyReport:
    """Compare the rest of *mirror*, and return what there is to say of all of it."""
    before = notes.of(mirror)
    if str(mirror) in notes.done:
        return before

    with _showing(mirror, json=json) as showing:

        def progress(report: VerifyReport) -> None:
            showing.progress(report)
            notes.save(mirror, before + report)

        report = before + mirror.verify(
            **wish,
            after=before.after,
            stop=told.stop,
            told=showing.told,
            listed=showing.listed,
            progress=progress,
        )
    ended = told.stop.is_set()
    notes.finish(mirror, report, ended=ended or wish["limit"] is not None)
    _say(mirror, report, ended=ended, json=json)
    return report


class _Showing:
    """What a person or a program sees while a mirror is compared."""

    def __init__(
        self, mirror: Mirror, bar: Callable[[int, int | None], None], *, json: bool
    ) -> None:
        self._mirror = mirror
        self._bar = bar
        self._json = json
        self._lock = threading.Lock()

    def told(self, one: Difference) -> None:
        """Print a difference, in a line of its own."""
        line = _plain(self._mirror, one) if self._json else _worded(one)
        with self._lock:
            print_json(line) if self._json else typer.echo(line)

    def listed(self, total: int) -> None:
        """Show how many there are."""
        self._bar(0, total)

    def progress(self, report: VerifyReport) -> None:
        """Show how many are done."""
        self._bar(report.objects, None)


@contextlib.contextmanager
def _showing(mirror: Mirror, *, json: bool) -> Iterator[_Showing]:
    with counting(f"verify {mirror}", None) as bar:
        yield _Showing(mirror, bar, json=json)


def _plain(mirror: Mirror, one: Difference) -> dict[str, Any]:
    return {
        "store": str(mirror),
        "object": object_name(one.key),
        "outcome": one.outcome,
        "wrong": dict(one.wrong),
        "done": dict(one.done),
        "why": one.why,
    }


def _worded(one: Difference) -> str:
    wrong = ", ".join(f"{name} {word}" for name, word in one.wrong.items())
    parts = [object_name(one.key), one.outcome, wrong]
    if one.done:
        verbs = ", ".join(f"{verb} {name}" for name, verb in one.done.items())
        parts.append(verbs if one.outcome == "repaired" else f"would {verbs}")
    if one.why:
        parts.append(one.why)
    return "\t".join(parts)


def _say(mirror: Mirror, report: VerifyReport, *, ended: bool, json: bool) -> None:
    if json:
        print_json(
            {
                "store": str(mirror),
                **dataclasses.asdict(report),
                "left": report.left,
                "ended": ended,
            }
        )
        return
    names = ("different", "repaired", "undecided", "pending", "busy", "failed")
    done = [f"{report.objects:,} compared", f"{shown_size(report.read)} read"]
    verdict = f"{report.left:,} differ" if report.left else "the same"
    if ended:
        verdict += ", as far as it came"
    typer.echo(f"{mirror}: {counted(done, report, names)}: {verdict}")
    if report.undecided:
        typer.echo("  nobody can say which is right: say whom to --trust, a replica's")
        typer.echo(
            "  name or newest; without --repair that only says what would be done"
        )
