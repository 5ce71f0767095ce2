"""
What happened, as values that listeners receive.

Stores neither log nor count.  They emit these; ``observe(stack, listener)``
attaches whoever wants to know.  A listener is called in the thread where it
happened, must be quick, and cannot break a store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tiered_store.errors import StoreError
from tiered_store.key import Key


Verb = Literal["put", "get", "url", "delete", "stat", "keys"]
VERBS: tuple[Verb, ...] = ("put", "get", "url", "delete", "stat", "keys")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something happened in *store*, given by its path."""

    store: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Event):
    """
    A store answered.

    Attributes:
        seconds: Until it did; for a get, until its body could be opened.
        size: Bytes of the body, if there was one.
    """

    verb: Verb
    key: Key | None
    outcome: Literal["ok", "absent", "failed"]
    seconds: float
    size: int | None = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried(Event):
    """An attempt failed and another follows after *wait* seconds."""

    verb: Verb
    key: Key
    attempt: int
    wait: float
    error: StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheHit(Event):
    """A tier had it; *age* in seconds, if the tier knows."""

    key: Key
    tier: str
    age: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheMissed(Event):
    """No tier had it, so the origin is asked."""

    key: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheFilled(Event):
    """A tier took a copy."""

    key: Key
    tier: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FillRejected(Event):
    """A copy was not kept, because a write overtook the read that fetched it."""

    key: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePurged(Event):
    """A write dropped every cached copy."""

    key: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePoisoned(Event):
    """A tier could not drop its copy; it is not believed until it has."""

    key: Key
    tier: str
    error: StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class TierBypassed(Event):
    """A tier failed and was passed over."""

    key: Key
    tier: str
    error: StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleServed(Event):
    """
    A copy past its freshness was served, because the configuration allows it.

    Attributes:
        age: Seconds since the fetch began that brought it.
        error: Why the origin could not be asked; None if it is being asked meanwhile.
    """

    key: Key
    age: float
    error: StoreError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FellBack(Event):
    """*failed* could not answer, so the next store was asked."""

    verb: Verb
    key: Key
    failed: str
    error: StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class Diverged(Event):
    """A replica missed a write, and the journal remembers it."""

    replica: str
    key: Key
    error: StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired(Event):
    """A replica was brought up to date."""

    replica: str
    key: Key
    verb: Literal["put", "delete", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairFailed(Event):
    """
    A replica could not be brought up to date.

    Attributes:
        attempts: How often so far.
        outcome: Whether it is tried again by itself, or is a dead letter from now on.
    """

    replica: str
    key: Key
    error: Exception
    attempts: int
    outcome: Literal["retried", "dead"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitChanged(Event):
    """A breaker opened, began to probe, or closed."""

    side: Literal["read", "write"]
    state: Literal["closed", "open", "probing"]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided(Event):
    """
    An operator's decision about the place *name* holds from now on in this process.

    Attributes:
        verb: ``drain``, ``isolate`` or ``promote``; None if none holds any more.
        by: Who decided.
        until: When it ends by itself, in seconds since the epoch.
    """

    name: str
    verb: str | None
    by: str = ""
    why: str = ""
    until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlChanged(Event):
    """
    Operators' decisions cannot be followed, or can be again.

    Attributes:
        error: Why not; the last known ones hold.  None if they can.
    """

    error: StoreError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedBack(Event):
    """
    The store *name* went away, or is on its way back.

    Attributes:
        stage: ``away``; ``returning``: it is brought up to date and waited for;
            ``fading``: it gets a growing share of the traffic; ``active``: all of it;
            ``held``: it is well, and a person must say so.
    """

    name: str
    stage: Literal["active", "away", "held", "returning", "fading"]
    reason: str


ShadowOutcome = Literal[
    "copied", "deleted", "same", "different", "missing", "surplus", "failed", "dropped"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadowed(Event):
    """
    A shadow was brought up to date, or compared, behind a caller's back.

    Attributes:
        outcome: What was done (copied, deleted), what a comparison found (the same,
            different bytes, an object that the shadow lacks or should not have), or
            that neither could be done (failed) or was tried (dropped).
    """

    key: Key
    outcome: ShadowOutcome
    error: StoreError | None = None


Listener = Callable[[Event], None]
