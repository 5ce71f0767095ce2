"""
What is pending, as values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, NamedTuple

from tiered_store.key import Key


Intent = Literal["put", "delete", "drop"]
Missed = Literal["put", "delete", "drop", "in_doubt"]
Prior = Literal[Missed, "overtaken", "late"]

NEVER = 253_402_300_800.0  # the year 10000, until when a dead letter waits


class Row(NamedTuple):
    """
    What *replica* has to do about *key*.

    A named tuple, which is made in a third of the time: each write makes several.

    Attributes:
        verb: ``put``: it lacks the object as it is now.  ``delete``: it may still have
            an object that is gone.  ``drop``: it may have an old copy of an object
            that is kept elsewhere only.  ``in_doubt``: a write began and nobody knows
            how it ended, so the object as it was and as it was to become are both
            right.
        intent: What that write wanted of this replica.
        sequence: Of the write, growing with each one; a row is only ever changed by
            whoever knows it.
        since: When the replica began to be behind, in seconds since the epoch.
        reproducible: As the write said.
        size: Bytes of the object, as the write said; 0 if it is gone, or not known.
        prior: The verb of the row that was there when the write began.  A replica that
            was behind already has neither the old object nor the new one.
            ``overtaken``: it may have missed one of two writes that met.  ``late``:
            something late may have replaced what it had with an older one.
        attempts: Repairs that failed.
        retry_at: When the next one should be tried, in seconds since the epoch; a
            dead letter is not tried by itself.
        last_error: Why the last one failed, or the write.
        quarantine: Until when a change that nobody waits for any more may still take
            effect there, in seconds since the epoch; the row stays until then.
            Below zero: somebody still waits for it, or died waiting, so that it begins
            when somebody else looks.
    """

    replica: str
    key: Key
    verb: Missed
    intent: Intent
    sequence: int
    since: float
    reproducible: bool = False
    size: int = 0
    prior: Prior | None = None
    attempts: int = 0
    retry_at: float = 0.0
    last_error: str | None = None
    quarantine: float = 0.0

    @property
    def behind(self) -> bool:
        """Whether the replica cannot be believed about the object."""
        return self.verb != "in_doubt" or self.prior not in (None, "in_doubt")

    @property
    def met(self) -> bool:
        """Whether it was two writes, or a repair and a write, that left the doubt."""
        return self.prior in ("overtaken", "late")

    @property
    def dead(self) -> bool:
        """Whether it failed too often, so that a person must look at it."""
        return self.retry_at >= NEVER


Rows = dict[str, Row]  # of one key, by replica


def is_gone(rows: Mapping[str, Row]) -> bool:
    """
    Tell whether *rows* say that the object was deleted, and some do not know yet.

    So it was as long as a later write is in doubt, if nobody is left to believe.
    """
    return bool(rows) and all(
        (row.prior or row.verb) == "delete" for row in rows.values()
    )


class Mark(NamedTuple):
    """
    A write that has begun, and what it wants of each replica.

    Attributes:
        size: Bytes.
        quarantine: By replica, until when an earlier write may still take effect.
        behind: What replicas were known for that were so when it began.
    """

    key: Key
    sequence: int
    intents: Mapping[str, Intent]
    reproducible: bool
    size: int = 0
    quarantine: Mapping[str, float] = MappingProxyType({})
    behind: Mapping[str, Prior] = MappingProxyType({})

    @property
    def clean(self) -> bool:
        """Whether nobody was behind when it began, and nothing under way."""
        return not self.behind and not self.quarantine


class Step(NamedTuple):
    """
    One change of the rows of one object.

    Attributes:
        fresh: A sequence number that no row has had.
        now: In seconds since the epoch.
        quarantine: Seconds in which what nobody waits for may still take effect.
    """

    fresh: int
    now: float
    quarantine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """
    What one replica has to catch up with.

    Attributes:
        rows: How many objects.
        in_doubt: How many of them because a write did not end.
        dead: How many of them failed too often.
        size: Bytes of them, as far as known.
        oldest: Since when, in seconds since the epoch.
        last_error: The last one that was noted.
    """

    rows: int
    in_doubt: int
    dead: int = 0
    size: int = 0
    oldest: float
    last_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """
    What is pending.

    Attributes:
        replicas: By name, those that are behind.
        single_copies: Objects that only one replica is sure to have.
    """

    replicas: Mapping[str, Backlog] = field(default_factory=dict)
    single_copies: int = 0

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(backlog.rows for backlog in self.replicas.values())


def name_of(key: Key) -> str:
    """Return *key* as a line of text that a person can read."""
    object_type, object_id, width, height, mimetype = key
    return f"{object_type} {object_id} {width} {height} {mimetype}"


def key_of(name: str) -> Key:
    """Return the key that :func:`name_of` made *name* of."""
    # an object type may have spaces, what follows it has none
    object_type, object_id, width, height, mimetype = name.rsplit(" ", 4)
    return Key(object_type, int(object_id), int(width), int(height), mimetype)
