"""
What operators have decided, for whoever looks at a stack as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tiered_store.condition import Condition, Fact
from tiered_store.control.control import Control
from tiered_store.control.decisions import Decision
from tiered_store.control.standing import described, moment
from tiered_store.errors import StoreError


_SECTION = "decisions"
_WORDS = {"drain": "drained", "isolate": "isolated", "promote": "promoted"}


def conditions(
    place: str, names: Sequence[str], control: Control | None
) -> Iterator[Condition]:
    """Yield what holds for each of *names*; if nothing does, who decided last."""
    if control is None:
        return
    try:
        record = control.load()
    except StoreError as error:
        yield Condition.of(_SECTION, place, error)
        return
    held = [record.standing[name] for name in names if name in record.standing]
    for decision in held:
        yield Condition(
            section=_SECTION,
            place=f"{place}.{decision.name}",
            state="attention",
            facts=_facts(decision),
        )
    if not held:
        last = next(
            (one for one in reversed(record.history) if one.name in names), None
        )
        facts: dict[str, Fact] = {"decided": "nothing"}
        if last is not None:
            facts["last"] = f"{last.name} {described(last)}"
        yield Condition(section=_SECTION, place=place, facts=facts)


def _facts(decision: Decision) -> dict[str, Fact]:
    return {
        "decided": _WORDS.get(decision.verb, decision.verb),
        "by": decision.by,
        "at": moment(decision.at),
        "until": None if decision.until is None else moment(decision.until),
        "why": decision.why or None,
    }
