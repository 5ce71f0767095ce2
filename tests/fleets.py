"""
Several caches over one origin, as several processes have them.

Each has tiers of its own and a shared one, on a board in memory or in a real Redis.
"""

from __future__ import annotations

import uuid

from collections.abc import Callable
from typing import Any

from tests.boards import Board, BoardTier
from tests.waiting import PATIENT, until
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import NotFoundError
from tiered_store.key import Key
from tiered_store.testing.faults import FaultStore
from tiered_store.testing.recording import Recorder
from tiered_store.tiers.memory import MemoryTier
from tiered_store.tiers.redis import RedisTier
from tiered_store.tiers.shared import SharedTier
from tiered_store.tree import observe
from tiered_store.wrappers.cached import CachedStore


KEY = Key("testing", 1, 2, 3, "image/png")


class Member:
    """One process of a fleet."""

    def __init__(self, fleet: Fleet, shared: SharedTier, **options: Any) -> None:
        self.fleet = fleet
        self.shared = shared
        self.memory = MemoryTier(clock=fleet.clock)
        self.store = CachedStore(
            fleet.origin, [self.memory, *fleet.between(), shared], **options
        )
        self.recorder = Recorder()

    def watch(self) -> Recorder:
        """Record events from now on; the quick way past the seam is closed then."""
        observe(self.store, self.recorder)
        return self.recorder

    def put(self, content: bytes, key: Key = KEY) -> None:
        self.store.put(key, Body.of(content))

    def get(self, key: Key = KEY) -> bytes | None:
        """Return what is there, None if nothing."""
        try:
            with self.store.get_file(*key) as file:
                return file.read()
        except NotFoundError:
            return None

    def delete(self, key: Key = KEY) -> None:
        self.store.delete(key)


class Fleet:
    """Members over one origin."""

    def __init__(
        self,
        shared: Callable[[], SharedTier],
        between: Callable[[], list[Any]] = list,
        clock: Clock = SYSTEM,
    ) -> None:
        self.clock = clock
        self.origin = FaultStore(MemoryStore())
        self.between = between
        self._shared = shared
        self.members: list[Member] = []

    def join(self, **options: Any) -> Member:
        """Return another member, who hears of what the others write."""
        member = Member(self, self._shared(), **options)
        self.members.append(member)
        if isinstance(member.shared, BoardTier):
            member.shared.connect()
        else:
            member.get(Key("nothing", 1, 1, 1, "image/png"))
            until(lambda: member.shared.online)
        return member

    @property
    def reads(self) -> int:
        """How often the origin was asked for an object."""
        return self.origin.calls["get"]

    def close(self) -> None:
        for member in self.members:
            member.store.close()


def on_board(board: Board, **options: Any) -> Fleet:
    """Return a fleet that shares *board*."""
    return Fleet(lambda: BoardTier(board, **options))


def on_redis(url: str, **options: Any) -> Fleet:
    """Return a fleet that shares a Redis server, under a prefix of its own."""
    prefix = f"{uuid.uuid4()}:"
    return Fleet(lambda: RedisTier(url=url, prefix=prefix, **{**PATIENT, **options}))
