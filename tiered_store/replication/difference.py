"""
What a comparison of replicas finds, as values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

from tiered_store.key import Key


Compare = Literal["quick", "sizes", "bytes"]
Outcome = Literal["reported", "repaired", "undecided", "pending", "busy", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """
    What a comparison found; two of them can be added.

    Attributes:
        objects: Looked at.
        different: Those that were not as they should be on every replica.
        repaired: Those of them that are now.
        undecided: Those of them of which nobody can say what is right.
        pending: Objects that replicas have missed, as the journal knows.
        busy: Objects that somebody was writing all the time.
        failed: Objects that some replica could not be asked about.
        read: Bytes that were read to compare them.
        copied: Bytes.
        after: The last object that was looked at, as the journal names it.
    """

    objects: int = 0
    different: int = 0
    repaired: int = 0
    undecided: int = 0
    pending: int = 0
    busy: int = 0
    failed: int = 0
    read: int = 0
    copied: int = 0
    after: str = ""

    @property
    def left(self) -> int:
        """How many objects are not known to be the same on every replica."""
        return self.different - self.repaired + self.pending + self.busy + self.failed

    def __add__(self, other: VerifyReport) -> VerifyReport:
        names = [field.name for field in fields(self) if field.name != "after"]
        both = {name: getattr(self, name) + getattr(other, name) for name in names}
        return VerifyReport(**both, after=max(self.after, other.after))


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """
    An object that is not as it should be on every replica.

    Attributes:
        wrong: By replica, in a word or two: ``missing``, ``different``, ``surplus``,
            ``damaged``, ``failed: why``, or what the journal says.
        outcome: What became of it.
        done: What each replica had to do, or would have.
        why: What that is concluded from, or why nothing is.
    """

    key: Key
    wrong: Mapping[str, str]
    outcome: Outcome
    done: Mapping[str, str]
    why: str
