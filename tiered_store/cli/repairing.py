"""
The command that brings replicas up to date.
"""

from __future__ import annotations

import dataclasses
import itertools

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from tiered_store.chance import CHANCE
from tiered_store.cli import options
from tiered_store.cli.amounts import Default, duration
from tiered_store.cli.ending import Ending, counting, ending
from tiered_store.cli.failure import FAILED, explain
from tiered_store.cli.mirrors import (
    PARALLEL,
    Bandwidth,
    Limit,
    Place,
    Rate,
    Replica,
    counted,
    mirrors,
    taken,
)
from tiered_store.cli.options import Config, Json
from tiered_store.cli.output import print_json, shown_size
from tiered_store.cli.pending import show
from tiered_store.errors import StoreError
from tiered_store.journals.row import Backlog
from tiered_store.replication.mirror import Mirror
from tiered_store.replication.report import RepairReport


_ROUNDS = 5  # for objects that somebody else was at
_PAUSE = 0.1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What is to be repaired, and how fast."""

    replica: str | None
    limit: int | None
    due: bool
    dead: bool
    parallel: int | None
    rate: float | None
    bandwidth: float | None


def repair(
    place: Place = None,
    config: Config = options.DEFAULT,
    replica: Replica = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on until told to end.")
    ] = False,
    every: Annotated[
        float,
        typer.Option(
            "--every",
            parser=duration(),
            metavar="DURATION",
            help="With --watch: how often.",
        ),
    ] = Default("5s"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what would be repaired.")
    ] = False,
    dead: Annotated[bool, typer.Option("--dead", help="Dead letters, too.")] = False,
    limit: Limit = None,
    parallel: Annotated[
        int | None,
        typer.Option(
            "--parallel", parser=PARALLEL, metavar="N", help="Objects at once."
        ),
    ] = None,
    rate: Rate = None,
    bandwidth: Bandwidth = None,
    json: Json = False,
) -> None:
    """
    Bring replicas up to date with what they have missed.

    Any number may run at once, beside any traffic.  SIGTERM ends it after the objects
    under way; however it ends, the next one goes on there.  Exit status 0: nothing is
    left; 1: something is, or with --watch: nothing could be done.
    """
    wish = _Wish(
        replica=replica,
        limit=limit,
        due=watch,
        dead=dead,
        parallel=parallel,
        rate=rate,
        bandwidth=bandwidth,
    )
    once = dry_run or not watch  # a watch waits for a journal, as for all that it does
    with mirrors(config, place, replica, used=once) as found, ending() as told:
        if dry_run:
            status = _listed(found, wish, json=json)
        elif watch:
            status = _watched(found, wish, every, told, json=json)
        else:
            status = _once(found, wish, told, json=json)
    if told.status or status:
        raise typer.Exit(told.status or status)


def _listed(found: list[Mirror], wish: _Wish, *, json: bool) -> int:
    rows = (
        (mirror, row)
        for mirror in found
        for row in taken(mirror.pending(wish.replica), dead=False)
        if wish.dead or not row.dead
    )
    return FAILED if show(itertools.islice(rows, wish.limit), json=json) else 0


def _once(found: list[Mirror], wish: _Wish, told: Ending, *, json: bool) -> int:
    status = 0
    for mirror in found:
        total = sum(backlog.rows for backlog in _backlogs(mirror, wish).values())
        with counting(f"repair {mirror}", total) as bar:
            report = _pass(
                mirror, wish, told, lambda so_far: bar(so_far.repaired, None)
            )
            for number in range(_ROUNDS):
                if not report.busy or wish.limit or told.stop.wait(_PAUSE * 2**number):
                    break
                report = dataclasses.replace(report, busy=0)
                report += _pass(mirror, wish, told, None)
        left = _backlogs(mirror, wish)
        _say(mirror, report, left, json=json)
        if left:
            status = FAILED
    return status


def _watched(
    found: list[Mirror], wish: _Wish, seconds: float, told: Ending, *, json: bool
) -> int:
    while not told.stop.is_set():
        for mirror in found:
            try:
                report = _pass(mirror, wish, told, None)
                if report.repaired or report.dead:
                    _say(mirror, report, _backlogs(mirror, wish), json=json)
            except StoreError as error:  # a journal that is away comes back
                explain(error)
        told.stop.wait(seconds * CHANCE.uniform(0.5, 1.5))
    status = 0
    for mirror in found:
        try:
            _say(mirror, RepairReport(), _backlogs(mirror, wish), json=json)
        except StoreError as error:
            status = explain(error)
    return status


def _pass(
    mirror: Mirror,
    wish: _Wish,
    told: Ending,
    progress: Callable[[RepairReport], None] | None,
) -> RepairReport:
    given = dataclasses.asdict(wish)
    return mirror.repair(**given, stop=told.stop, progress=progress)


def _backlogs(mirror: Mirror, wish: _Wish) -> Mapping[str, Backlog]:
    return {
        name: backlog
        for name, backlog in mirror.status().replicas.items()
        if wish.replica in (None, name)
    }


def _say(
    mirror: Mirror, report: RepairReport, left: Mapping[str, Backlog], *, json: bool
) -> None:
    if json:
        told = {name: dataclasses.asdict(backlog) for name, backlog in left.items()}
        print_json({"store": str(mirror), **dataclasses.asdict(report), "left": told})
        return
    names = ("failed", "dead", "busy", "quarantined", "down")
    done = [f"{report.repaired:,} repaired", shown_size(report.copied)]
    typer.echo(f"{mirror}: {counted(done, report, names)}")
    for name, backlog in left.items():
        dead = f", {backlog.dead} of them dead letters" if backlog.dead else ""
        why = f": {backlog.last_error}" if backlog.last_error else ""
        typer.echo(f"  {name}: {backlog.rows} left{dead}{why}")
