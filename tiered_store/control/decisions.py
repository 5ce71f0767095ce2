"""
What operators have decided, as values.

``drain``: a place is asked last, and takes no writes while another one can.
``isolate``: it is not touched at all, not even by a repair.
``promote``: it comes first, for reads and writes.
``failback``: traffic goes back to it; ends its drain or isolation, the promotion of
others, and a failover that waits for a person.
"""

from __future__ import annotations

import json
import uuid

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from tiered_store.errors import CorruptError, MisconfiguredError


Verb = Literal["drain", "isolate", "promote", "failback", "undrain"]

_FORMAT = 1
_KEPT = 100  # decisions of the past


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """
    Somebody decided something about the place *name*.

    Attributes:
        by: Who.
        at: When, in seconds since the epoch.
        why: The reason they gave.
        until: When it ends by itself, in seconds since the epoch; None for never.
        revision: Of the record, with this decision in it.
    """

    verb: Verb
    name: str
    by: str
    at: float
    why: str = ""
    until: float | None = None
    revision: int = 0

    def ended(self, now: float) -> bool:
        """Tell whether it has expired at *now*."""
        return self.until is not None and self.until <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """
    The whole record.

    Attributes:
        identity: Of this record, which no other has.
        revision: Grows with each decision.
        standing: What holds, one decision a place.
        history: The last decisions, newest last.
    """

    identity: str = ""
    revision: int = 0
    standing: Mapping[str, Decision] = field(default_factory=dict)
    history: Sequence[Decision] = ()

    def with_(self, decision: Decision) -> Decisions:
        """Return the record with *decision* in it."""
        new = replace(decision, revision=self.revision + 1)
        standing = dict(self.standing)
        standing.pop(new.name, None)
        if new.verb in ("promote", "failback"):
            standing = {
                name: held for name, held in standing.items() if held.verb != "promote"
            }
        if new.verb not in ("failback", "undrain"):
            standing[new.name] = new
        return Decisions(
            identity=self.identity or uuid.uuid4().hex,
            revision=new.revision,
            standing=standing,
            history=(*self.history[1 - _KEPT :], new),
        )

    def is_older(self, known: Decisions) -> bool:
        """
        Tell whether this is what *known* once was, so that something was lost.

        A record that was removed is.  Another one, which somebody began in its place,
        is not, nor is one that went back and in which somebody has decided since.
        """
        if not self.revision:
            return known.revision > 0
        if self.identity != known.identity or self.revision >= known.revision:
            return False
        last, seen = self.history[-1:], known.history
        return not (last and seen) or (
            last[0].revision < seen[0].revision or last[0] in seen
        )

    def at(self, now: float) -> Decisions:
        """Return what is left of it at *now*."""
        if not any(held.ended(now) for held in self.standing.values()):
            return self
        return replace(
            self,
            standing={
                name: held
                for name, held in self.standing.items()
                if not held.ended(now)
            },
        )

    def dumped(self) -> bytes:
        """Return it as it is kept: JSON that a person can read."""
        content = {
            "format": _FORMAT,
            "identity": self.identity,
            "revision": self.revision,
            "standing": [asdict(held) for held in self.standing.values()],
            "history": [asdict(decision) for decision in self.history],
        }
        return json.dumps(content, indent=1).encode() + b"\n"


def loaded(content: bytes | None) -> Decisions:
    """
    Return the record that :meth:`Decisions.dumped` made *content* of; None is empty.

    Raises:
        CorruptError: It is something else.
        MisconfiguredError: A newer version wrote it.
    """
    if content is None:
        return Decisions()
    try:
        found = json.loads(content)
        written = int(found["format"])
        if written > _FORMAT:
            raise MisconfiguredError(
                f"decisions of format {written}, which a newer version wrote; this one "
                f"knows {_FORMAT}"
            )
        held = [_decision(one) for one in found["standing"]]
        return Decisions(
            identity=str(found["identity"]),
            revision=int(found["revision"]),
            standing={one.name: one for one in held},
            history=tuple(_decision(one) for one in found["history"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CorruptError(
            f"no record of decisions ({error}); remove it, and decide again"
        ) from error


def _decision(found: Mapping[str, Any]) -> Decision:
    if found["verb"] not in get_args(Verb):
        raise ValueError(f"unknown decision {found['verb']!r}")
    until = found["until"]
    return Decision(
        verb=found["verb"],
        name=str(found["name"]),
        by=str(found["by"]),
        at=float(found["at"]),
        why=str(found["why"]),
        until=None if until is None else float(until),
        revision=int(found["revision"]),
    )
