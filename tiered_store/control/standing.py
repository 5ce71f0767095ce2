"""
What decisions make of the places that a store chooses from.

The one rule for every store with several places: who may be read, who takes writes,
and in which order.
"""

from __future__ import annotations

import time

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tiered_store.control.control import Control
from tiered_store.control.decisions import Decision, Decisions, Verb
from tiered_store.control.watch import Watch
from tiered_store.policies.breaker import CircuitOpenError
from tiered_store.store import Store


class WithheldError(CircuitOpenError):
    """The store was not asked, because an operator decided so: it may be quite well."""

    local = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """
    Who is asked.

    Attributes:
        read: Who may be read, in order: what is promoted first, what is drained last,
            where a read comes only if nobody before it has the object or can answer.
        write: Who takes writes, in order, as long as any of them can.
        spare: What is drained: it takes writes only if nobody else can.
        withheld: By name, why the others are not touched at all.
        decisions: What holds for any of them.
        returns: The last decisions that sent traffic back to any place.
    """

    read: Sequence[str]
    write: Sequence[str]
    spare: Sequence[str] = ()
    withheld: Mapping[str, Decision] = field(default_factory=dict)
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    returns: frozenset[Decision] = frozenset()

    def refusal(self, name: str) -> WithheldError:
        """Return the error of a call to *name* that was not made."""
        return WithheldError(f"not asked: {described(self.decisions[name])}")


def standing(names: Sequence[str], decisions: Decisions) -> Standing:
    """
    Return who of *names*, in the order of the configuration, is asked for what.

    If everybody is isolated, nobody is asked; if everybody is drained, all are spare.
    """
    held = {
        name: decisions.standing[name] for name in names if name in decisions.standing
    }

    def having(verb: str) -> list[str]:
        return [name for name in names if name in held and held[name].verb == verb]

    plain = [name for name in names if name not in held]
    write = (*having("promote"), *plain)
    spare = tuple(having("drain"))
    return Standing(
        read=(*write, *spare),
        write=write,
        spare=spare,
        withheld={name: held[name] for name in having("isolate")},
        decisions=held,
        returns=frozenset(one for one in decisions.history if one.verb == "failback"),
    )


class Rota:
    """
    Who of *names* is asked just now; without a *control*, everybody in order.

    Args:
        owner: Whose listeners hear of decisions.

    Attributes:
        control: Where they are looked up.
    """

    def __init__(
        self, names: Sequence[str], control: Control | None, owner: Store
    ) -> None:
        self._names = tuple(names)
        self.control = control
        self.watch = None if control is None else Watch(control, owner)
        self._made = (None, standing(self._names, Decisions()))
        self._known: tuple[Decisions | None, Standing] = self._made

    def now(self) -> Standing:
        """Return it, without I/O but at the first call of a process."""
        if self.watch is None:
            return self._made[1]
        decisions = self.watch.current()
        seen, found = self._known
        if seen is not decisions:
            found = standing(self._names, decisions)
            self._known = (decisions, found)
        return found

    def close(self) -> None:
        """Follow no more; what was decided last holds."""
        if self.watch is not None:
            self.watch.close()
            self.watch.control.close()


def described(decision: Decision) -> str:
    """Return *decision* in words: what, who, since when, until when and why."""
    words = [_DONE[decision.verb], f"by {decision.by}"]
    words.append(f"at {moment(decision.at)}")
    if decision.until is not None:
        words.append(f"until {moment(decision.until)}")
    return " ".join(words) + (f" ({decision.why})" if decision.why else "")


_DONE: dict[Verb, str] = {
    "drain": "drained",
    "isolate": "isolated",
    "promote": "promoted",
    "undrain": "undrained",
    "failback": "given traffic back",
}


def moment(seconds: float) -> str:
    """Return *seconds* since the epoch as a person reads them, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds))
