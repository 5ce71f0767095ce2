"""
Commands that move traffic: drain, undrain, promote, failback, isolate.
"""

from __future__ import annotations

import dataclasses
import getpass
import os
import socket
import time

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from tiered_store.cli import options
from tiered_store.cli.amounts import duration
from tiered_store.cli.at_risk import told
from tiered_store.cli.failure import FAILED, WRONG, CommandError, complain
from tiered_store.cli.options import Config, Json, StoreName, opened
from tiered_store.cli.output import print_json
from tiered_store.control.control import Control
from tiered_store.control.decisions import Decision, Decisions, Verb
from tiered_store.control.standing import moment
from tiered_store.errors import StoreError
from tiered_store.replication.risk import Risk, control_of, governed, risk_of
from tiered_store.store import Store


_AWAY: Mapping[Verb, str] = {"drain": "drained", "isolate": "isolated"}
_DONE: Mapping[Verb, str] = {
    **_AWAY,
    "undrain": "in service again",
    "promote": "promoted",
    "failback": "where traffic goes again",
}

Place = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A replica, or a store of a fallback: us"),
]
Why = Annotated[str, typer.Option("--why", help="The reason, for whoever looks later.")]
By = Annotated[
    str | None, typer.Option("--by", help="Who decides; by default user@host.")
]
For = Annotated[
    float | None,
    typer.Option(
        "--for", parser=duration(), metavar="DURATION", help="After which it ends: 2h"
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what is at risk, and decide nothing.")
]
Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="Do it although something is at risk.")
]


@dataclass(frozen=True, slots=True)
class _Order:
    """What was asked for on the command line."""

    verb: Verb
    name: str
    why: str
    by: str | None
    seconds: float | None
    dry_run: bool
    yes: bool
    json: bool


@dataclass(frozen=True, slots=True)
class _Sight:
    """A control, what it says, and the stores that follow it."""

    control: Control
    record: Decisions
    stores: list[Store]


def _lasting(verb: Verb, says: str) -> Callable[..., None]:
    """Return the command of a decision that may be *for* some time."""

    def command(
        name: Place,
        config: Config = options.DEFAULT,
        store: StoreName = None,
        why: Why = "",
        by: By = None,
        seconds: For = None,
        dry_run: DryRun = False,
        yes: Yes = False,
        json: Json = False,
    ) -> None:
        _decide(config, store, _Order(verb, name, why, by, seconds, dry_run, yes, json))

    command.__doc__ = says
    return command


def _ending(verb: Verb, says: str) -> Callable[..., None]:
    """Return the command of a decision that ends others."""

    def command(
        name: Place,
        config: Config = options.DEFAULT,
        store: StoreName = None,
        why: Why = "",
        by: By = None,
        dry_run: DryRun = False,
        yes: Yes = False,
        json: Json = False,
    ) -> None:
        _decide(config, store, _Order(verb, name, why, by, None, dry_run, yes, json))

    command.__doc__ = says
    return command


drain = _lasting(
    "drain",
    """
    Move traffic away from NAME, within a second, in every process.

    It is asked last, and takes no writes while another place can; what it misses is
    remembered, and may be repaired meanwhile.
    """,
)
isolate = _lasting(
    "isolate",
    """
    Touch NAME no more: no read, write or repair, whatever that costs.

    For a place that answers wrongly, or may not be changed.
    """,
)
promote = _lasting(
    "promote",
    "Make NAME the first for reads and writes, until failback or another promote.",
)
undrain = _ending("undrain", "End whatever was decided about NAME.")
failback = _ending(
    "failback",
    """
    Send traffic back to NAME.

    Ends its drain, the promotion of another place, and a failover that waits for a
    person.  What it has missed is still read elsewhere, until it is repaired.
    """,
)


def _decide(config: options.Config, store: str | None, order: _Order) -> None:
    decision = _decision(order)
    with opened(config, store) as stack:
        sights = _sights(stack, order.name)
        risks = [
            risk_of(one, sight.record, decision)
            for sight in sights
            for one in sight.stores
        ]
        _guard(order, sights, risks)
        if not order.json:
            for line in told(order.verb, order.name, risks):
                typer.echo(line)
        if order.dry_run:
            record = None
        else:
            _consent(order, risks)
            for sight in sights:
                record = sight.control.decide(decision, after=sight.record.revision)
    if order.json:
        _print(order, decision, risks, record)
    elif record is not None:
        until = "" if decision.until is None else f" until {moment(decision.until)}"
        typer.echo(f"{order.name} is {_DONE[order.verb]}{until}")


def _decision(order: _Order) -> Decision:
    now = time.time()
    return Decision(
        verb=order.verb,
        name=order.name,
        by=order.by or _who(),
        at=now,
        why=order.why,
        until=None if order.seconds is None else now + order.seconds,
    )


def _who() -> str:
    """Return user and host, as far as they are known; also behind sudo."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _sights(stack: Store, name: str) -> list[_Sight]:
    """Return the controls that stores with a place *name* follow, each once."""
    having = list(governed(stack, name))
    if not having:
        known = {place for store in governed(stack) for place in store.children()}
        places = ", ".join(sorted(known)) or "none"
        raise CommandError(f"no place is called {name!r}; there are: {places}", WRONG)
    found: dict[Hashable, _Sight] = {}
    for store in having:
        control = control_of(store)
        if control is None:
            complain(f"{store} has no control, so it does not follow; {_ADVICE}")
            continue
        place = id(control) if control.place is None else control.place
        if place not in found:
            found[place] = _Sight(control, _read(control, store), [])
        found[place].stores.append(store)
    if not found:
        raise CommandError(f"nobody would follow, for there is no control; {_ADVICE}")
    return list(found.values())


def _read(control: Control, store: Store) -> Decisions:
    try:
        return control.load()
    except StoreError as error:
        raise CommandError(
            f"{store}: its control cannot be read: {error}; nothing was decided, and "
            "what was decided before still holds"
        ) from error


_ADVICE = "add control: {type: file, path: ...} to it"


def _guard(order: _Order, sights: Sequence[_Sight], risks: Sequence[Risk]) -> None:
    """Refuse to take the last place out of service, and to end what does not hold."""
    for risk in risks:
        if order.verb in _AWAY and not risk.serving:
            raise CommandError(
                f"{risk.store}: {order.name} is the last place in service; "
                "undrain another one first"
            )
    held = any(order.name in sight.record.standing for sight in sights)
    if order.verb == "undrain" and not held:
        raise CommandError(f"nothing was decided about {order.name}")


def _consent(order: _Order, risks: Sequence[Risk]) -> None:
    """Ask, or demand --yes, if something is at risk."""
    if order.yes or not any(risk.is_one for risk in risks):
        return
    if order.json or not os.isatty(0):
        known = any(risk.only_copies or risk.apart for risk in risks)
        what = "something is at risk" if known else "nobody knows what is at risk"
        raise CommandError(f"{what}; say --yes if it is worth it")
    if not typer.confirm(f"{order.verb} {order.name} all the same?"):
        raise CommandError("nothing was decided", FAILED)


def _print(
    order: _Order,
    decision: Decision,
    risks: Sequence[Risk],
    record: Decisions | None,
) -> None:
    print_json(
        {
            "verb": decision.verb,
            "name": decision.name,
            "by": decision.by,
            "why": decision.why,
            "until": decision.until,
            "decided": record is not None,
            "revision": None if record is None else record.revision,
            "stores": [dataclasses.asdict(risk) for risk in risks],
        },
        indent=2,
    )
