"""
A place near the reader that keeps copies.
"""

from __future__ import annotations

import os

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import NamedTuple, Self

from tiered_store.body import SPOOL_LIMIT, Body, BytesBody
from tiered_store.chance import CHANCE
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.strict import Strict


FOREVER = float("inf")
WHOLE = SPOOL_LIMIT  # bytes; a larger object is never in memory whole


def new_identity() -> int:
    """Return a name that no other copy has: 64 random bits, never zero."""
    return (int.from_bytes(os.urandom(8), "little") >> 1) + 1


class _Facts(NamedTuple):
    since: float
    fresh_until: float
    size: int | None
    version: str | None
    modified: float | None
    cost: float
    identity: int


class Record(_Facts):
    """
    What is known of a copy without its bytes.

    Attributes:
        since: When the fetch began that brought it, in seconds since the epoch.
        fresh_until: Until when it is believed, the same; for as long as it is kept by
            default.
        size: Bytes; None says that there was no such object.
        version: The origin's name of the bytes, if it has such names.
        modified: When the origin got them, in seconds since the epoch, if it knows.
        cost: Seconds that the fetch took.
        identity: A random name of this copy, the same in every tier it reached.  Where
            a shared tier tells which copy is the current one, it does by this name.
    """

    __slots__ = ()

    def __new__(
        cls,
        *,
        since: float,
        fresh_until: float = FOREVER,
        size: int | None,
        version: str | None = None,
        modified: float | None = None,
        cost: float = 0.0,
        identity: int | None = None,
    ) -> Self:
        if identity is None:
            identity = new_identity()
        facts = (since, fresh_until, size, version, modified, cost, identity)
        return tuple.__new__(cls, facts)

    @property
    def absent(self) -> bool:
        """Whether it says that there was no such object."""
        return self.size is None

    def fresh(self, now: float) -> bool:
        """Say whether it is to be believed at *now*, in seconds since the epoch."""
        return now < self.fresh_until

    def until(self, when: float) -> Record:
        """Return the same, believed until *when*."""
        return tuple.__new__(Record, (self[0], when, *self[2:]))

    def body(self, content: bytes) -> BytesBody:
        """Return a new body of *content*, which says of itself what is known."""
        return BytesBody(content, self.version, self.modified)


class Entry(NamedTuple):
    """
    A copy of an object, or of its absence.

    Attributes:
        body: None if the object is absent, or if only the record is here and the bytes
            are in another tier.
    """

    record: Record
    body: Body | None

    @property
    def whole(self) -> bool:
        """Whether it is an answer: the bytes, or that there are none."""
        return self.body is not None or self.record.absent


def always() -> bool:
    """Return True."""
    return True


class Tier(Strict, ABC):
    """
    Copies of objects, any of which may be dropped at any time.

    A tier that is broken raises store errors; whoever uses it goes on without.

    Attributes:
        max_object: Bytes of the largest object it takes.
        ttl: Seconds that a copy is believed, None for as long as it is kept.
        jitter: Share of *ttl* that is left to chance.
        grace: Seconds that a copy is kept when it is no longer fresh, in case the
            origin cannot be asked; whoever uses the tier sets it.
        private: Only this process sees it, it never fails, and it asks *allowed* in
            one step with the change: what is in it may be served without asking.
    """

    max_object: int
    ttl: float | None = None
    jitter: float = 0.0
    grace: float = 0.0
    private: bool = False

    @abstractmethod
    def get(self, key: Key) -> Entry | None:
        """
        Return the copy of *key*, whole and checked, None if there is none.

        It may be past its freshness, by *grace* at most.
        """

    def examine(self, key: Key) -> Entry | None:
        """
        Do as :meth:`get` does, for a person: nothing is changed.

        Raises:
            CorruptError: There is something that is not to be served.
        """
        return self.get(key)

    @abstractmethod
    def put(self, key: Key, entry: Entry, allowed: Callable[[], bool] = always) -> bool:
        """
        Keep *entry*, for *ttl* at most; return whether it is kept.

        One that is not kept (too large, not allowed) leaves no older copy behind.

        Args:
            allowed: Asked as late as possible, and by a tier in memory in one step
                with the change, so that nothing is kept that was dropped meanwhile.
        """

    @abstractmethod
    def delete(self, key: Key) -> None:
        """Drop the copy of *key*, whether there is one or not."""

    @abstractmethod
    def clear(self) -> None:
        """Drop everything."""

    def children(self) -> Mapping[str, Store]:
        """Return the stores it stands on, by role."""
        return {}

    def close(self) -> None:
        """Let go of connections, not of what its children hold."""

    def until(self, entry: Entry, now: float) -> float:
        """Return until when *entry*, put here at *now*, is fresh, since the epoch."""
        seconds = lifetime(self.ttl, self.jitter)
        ends = FOREVER if seconds is None else now + seconds
        return min(ends, entry.record.fresh_until)


def lifetime(ttl: float | None, jitter: float) -> float | None:
    """
    Return for how many seconds a new copy is good, None for as long as it is kept.

    Copies made together do not all end together: *jitter* is the share of *ttl*
    that is left to chance.
    """
    return None if ttl is None else ttl * (1 - jitter * CHANCE.random())
