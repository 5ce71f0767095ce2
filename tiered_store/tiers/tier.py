"""
A place near the reader that keeps copies.
"""

from __future__ import annotations

import random

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from tiered_store.body import Body
from tiered_store.key import Key
from tiered_store.store import Store


@dataclass(frozen=True, slots=True)
class Entry:
    """A copy, and since when it is one, in seconds since the epoch."""

    body: Body
    since: float


class Tier(ABC):
    """
    Copies of objects, any of which may be dropped at any time.

    A tier that is broken raises store errors; whoever uses it goes on without.

    Attributes:
        max_object: Bytes of the largest object it takes.
        ttl: Seconds that a copy is believed, None for as long as it is kept.
    """

    max_object: int
    ttl: float | None = None

    @abstractmethod
    def get(self, key: Key) -> Entry | None:
        """Return the copy of *key*, None if there is none that can be believed."""

    @abstractmethod
    def put(self, key: Key, content: bytes, since: float) -> bool:
        """Keep *content*, fetched at *since*; return whether it is kept."""

    @abstractmethod
    def delete(self, key: Key) -> None:
        """Drop the copy of *key*, whether there is one or not."""

    def children(self) -> Mapping[str, Store]:
        """Return the stores it stands on, by role."""
        return {}


def lifetime(ttl: float | None, jitter: float) -> float | None:
    """
    Return for how many seconds a new copy is good, None for as long as it is kept.

    Copies made together do not all end together: *jitter* is the share of *ttl*
    that is left to chance.
    """
    return None if ttl is None else ttl * (1 - jitter * random.random())
