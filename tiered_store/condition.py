"""
How one place in a stack is doing as a whole, for an operator who looks after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tiered_store.errors import StoreError


Fact = str | int | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """
    What is known of *place*, the path of a store or of what is part of one.

    Attributes:
        section: What it is about, in the plural: the heading of a table that it is a
            row of, such as ``replicas``.
        state: ``well``; ``attention``: somebody may have to do something about it, now
            or if it does not pass; ``failed``: the place could not say.
        facts: What there is to say, by the heading of its column; None is nothing.  An
            ``age`` is in seconds, ``bytes`` are bytes.
    """

    section: str
    place: str
    state: Literal["well", "attention", "failed"] = "well"
    facts: Mapping[str, Fact] = field(default_factory=dict)

    @classmethod
    def of(cls, section: str, place: str, error: StoreError) -> Condition:
        """Return that *place* could not say, and why."""
        why = error.message or type(error).__name__
        facts = {"last error": why}
        return cls(section=section, place=place, state="failed", facts=facts)
