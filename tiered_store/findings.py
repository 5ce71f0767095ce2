"""
What one place knows of one object, for a person who asks why they see what they see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from tiered_store.errors import StoreError
from tiered_store.key import Key


State = Literal[
    "held", "absent", "missing", "stale", "unbelieved", "behind", "failed", "pending"
]
Answer = Literal["held", "absent", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """
    What is found in *place*, the path of a store or a tier.

    Attributes:
        state: ``held``, or ``absent`` if that is known.  ``missing``: a tier has no
            copy, which says nothing.  ``stale``: it has one past its freshness.
            ``unbelieved``: what it has is not served.  ``behind``: a replica that
            missed a write.  ``failed``: it could not say.  ``pending``: the place
            itself keeps nothing, but something is under way, or still to be done.
        age: Seconds since it was fetched or stored.
        size: Bytes.
        version: Its name there.
        facts: Whatever else there is to say, by what it is called.
    """

    place: str
    state: State
    age: float | None = None
    size: int | None = None
    version: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, place: str, error: StoreError) -> Finding:
        """Return that *place* could not say, and why."""
        why = error.message or type(error).__name__
        return cls(place=place, state="failed", facts={"error": why})

    def joined(self, other: Finding) -> Finding:
        """Return what both say of one place; this one, which came first, decides."""
        facts = {**other.facts, **self.facts}
        state = self.state
        if state == "pending":
            state = other.state
        elif other.state not in ("pending", state):
            facts["found"] = other.state
        return replace(
            self,
            state=state,
            age=other.age if self.age is None else self.age,
            size=other.size if self.size is None else self.size,
            version=self.version or other.version,
            facts=facts,
        )


def when(seconds: float) -> str:
    """Return a time, given in seconds since the epoch, as people and programs do."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    What every place knows of *key*.

    Attributes:
        answer: ``held`` somewhere, ``absent`` as far as it counts, or ``unknown``,
            since somebody failed who might have it.
        findings: From the reader down, one for each place.
    """

    key: Key
    answer: Answer
    findings: Sequence[Finding]
