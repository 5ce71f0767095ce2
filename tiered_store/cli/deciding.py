"""
Commands that move traffic: drain, undrain, promote, failback, isolate.
"""

from __future__ import annotations

import dataclasses
import getpass
import os
import socket
import time

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from tiered_store.cli import options
from tiered_store.cli.amounts import duration
from tiered_store.cli.failure import FAILED, WRONG, CommandError, complain
from tiered_store.cli.options import Config, Json, StoreName, opened
from tiered_store.cli.output import print_json
from tiered_store.control.control import Control
from tiered_store.control.decisions import Decision, Decisions, Verb
from tiered_store.control.risk import Risk, control_of, governed, risk_of
from tiered_store.control.standing import moment
from tiered_store.errors import StoreError
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


def drain(
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
    """
    Move traffic away from NAME, within a second, in every process.

    It is asked last, and takes no writes while another place can; what it misses is
    remembered, and may be repaired meanwhile.
    """
    _decide(config, store, _Order("drain", name, why, by, seconds, dry_run, yes, json))


def isolate(
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
    """
    Touch NAME no more: no read, write or repair, whatever that costs.

    For a place that answers wrongly, or may not be changed.
    """
    _decide(
        config, store, _Order("isolate", name, why, by, seconds, dry_run, yes, json)
    )


def promote(
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
    """Make NAME the first for reads and writes, until failback or another promote."""
    _decide(
        config, store, _Order("promote", name, why, by, seconds, dry_run, yes, json)
    )


def undrain(
    name: Place,
    config: Config = options.DEFAULT,
    store: StoreName = None,
    why: Why = "",
    by: By = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """End whatever was decided about NAME."""
    _decide(config, store, _Order("undrain", name, why, by, None, dry_run, yes, json))


def failback(
    name: Place,
    config: Config = options.DEFAULT,
    store: StoreName = None,
    why: Why = "",
    by: By = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """
    Send traffic back to NAME.

    Ends its drain, the promotion of another place, and a failover that waits for a
    person.  What it has missed is still read elsewhere, until it is repaired.
    """
    _decide(config, store, _Order("failback", name, why, by, None, dry_run, yes, json))


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
            _say(order, risks)
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


def _say(order: _Order, risks: Sequence[Risk]) -> None:
    for risk in risks:
        typer.echo(f"{order.verb} {order.name}: {risk.store}")
        typer.echo(f"  in service: {', '.join(risk.serving) or 'none'}")
        for ended in risk.ends:
            typer.echo(f"  ends: {ended}")
        if risk.error is not None:
            typer.echo(f"  at risk: unknown, for the journal cannot say: {risk.error}")
        elif risk.only_copies is None:
            typer.echo(f"  at risk: {_UNKNOWN if risk.alike else _STAYING}")
        else:
            typer.echo(f"  at risk: {_copies(order.verb, risk, risk.only_copies)}")
        if risk.apart:
            typer.echo(f"  at risk: {_apart(order.verb, risk.apart)}")
        rows = [f"{name} {count:,}" for name, count in risk.pending.items()]
        if rows:
            typer.echo(f"  pending: {', '.join(rows)}")


_UNKNOWN = (
    "unknown, for there is no journal of what each place lacks; what is put or deleted "
    "in one place reaches the others only if somebody else brings it there"
)


_STAYING = (
    "unknown, for there is no journal of what each place lacks: puts stay with the "
    "first place, and reach the others only if somebody else brings them there"
)


# by whether it can still be read
_FATE = {True: "can still be read from there", False: "cannot be read then"}


def _copies(verb: Verb, risk: Risk, count: int) -> str:
    if not count and not risk.alike:
        return (
            "nothing of what was put in an outage; whether all else is elsewhere, ask "
            "whoever makes the copies"
        )
    if not count and risk.apart:
        return "of what is kept in every place, nothing"
    if not count:
        return "nothing; what is in service has every object"
    objects = "1 object has" if count == 1 else f"{count:,} objects have"
    return f"{objects} no current copy in service, and {_FATE[verb == 'drain']}"


def _apart(verb: Verb, names: Sequence[str]) -> str:
    where = " and ".join(names)
    fate = _FATE[verb == "drain"]
    return f"what can be computed again is kept in {where} alone, and {fate}"


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
