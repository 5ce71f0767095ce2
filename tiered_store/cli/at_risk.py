"""
What a decision would put at risk, in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tiered_store.control.decisions import Verb
from tiered_store.replication.risk import Risk


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


def told(verb: Verb, name: str, risks: Iterable[Risk]) -> Iterator[str]:
    """Yield what *verb* would mean for the place *name* of each store, in lines."""
    for risk in risks:
        yield f"{verb} {name}: {risk.store}"
        yield f"  in service: {', '.join(risk.serving) or 'none'}"
        for ended in risk.ends:
            yield f"  ends: {ended}"
        if risk.error is not None:
            yield f"  at risk: unknown, for the journal cannot say: {risk.error}"
        elif risk.only_copies is None:
            yield f"  at risk: {_UNKNOWN if risk.alike else _STAYING}"
        else:
            yield f"  at risk: {_copies(verb, risk, risk.only_copies)}"
        if risk.apart:
            yield f"  at risk: {_apart(verb, risk.apart)}"
        rows = [f"{place} {count:,}" for place, count in risk.pending.items()]
        if rows:
            yield f"  pending: {', '.join(rows)}"


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
