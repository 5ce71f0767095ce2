"""
A journal that a fleet shares: a ledger keeps its rows, on a server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from tiered_store.clock import Clock
from tiered_store.errors import ConfigError
from tiered_store.journals.journal import Journal
from tiered_store.journals.keylocks import Lease
from tiered_store.journals.row import Backlog, Row, Rows
from tiered_store.journals.sequences import Sequences
from tiered_store.key import Key


Result = TypeVar("Result")


class Ledger(Protocol):
    """Rows and leases, kept where every process of the fleet finds them."""

    def lease(self, key: Key, seconds: float) -> Lease | None:
        """Return the lease on *key*, None if it was not to be had in *seconds*."""

    def rows(self, key: Key) -> Mapping[str, Row]:
        """Return the rows of *key* by replica."""

    def update(self, key: Key, rule: Callable[[Rows], Result], *, must: bool) -> Result:
        """Apply *rule* to the rows of *key*, atomically; a *must* beyond capacity."""

    def page(
        self, replica: str | None, after: tuple[str, str], limit: int
    ) -> list[Row]:
        """Return rows, all or those of *replica*, behind *after*."""

    def backlogs(self) -> Mapping[str, Backlog]:
        """Return what each replica has to catch up with."""

    def short_of(self, copies: int) -> int:
        """Return how many objects at least *copies* replicas may lack."""

    def born(self) -> float | None:
        """Return since when it remembers, in seconds since the epoch, if it knows."""

    def close(self) -> None:
        """Let go of the connections; a later use makes others."""


class FleetJournal(Journal):
    """
    A journal whose rows and leases a ledger keeps.

    Every write has a number of its own, made here: the server is not asked for one.
    Who inherits makes the ledger by its own options, once those here are set.

    Raises:
        ConfigError: By *problems* with its own options, or by those with these.
    """

    _ledger: Ledger

    def __init__(
        self,
        *,
        capacity: int,
        lease_ttl: float,
        quarantine: float,
        clock: Clock,
        problems: Sequence[str],
    ) -> None:
        found = []
        if capacity < 1:
            found.append(f"capacity: must be at least 1, not {capacity}")
        if not lease_ttl >= 0.1:
            found.append(f"lease_ttl: must be 100ms or more, not {lease_ttl!r}")
        if found or problems:
            raise ConfigError([*found, *problems])
        self.capacity = capacity
        self.lease_ttl = lease_ttl
        self.quarantine = quarantine
        self.clock = clock
        self._sequences = Sequences()

    def lease(self, key: Key, seconds: float) -> Lease | None:
        return self._ledger.lease(key, seconds)

    def rows(self, key: Key) -> Mapping[str, Row]:
        return self._ledger.rows(key)

    def backlogs(self) -> Mapping[str, Backlog]:
        return self._ledger.backlogs()

    def born(self) -> float | None:
        return self._ledger.born()

    def short_of(self, copies: int) -> int:
        return self._ledger.short_of(copies)

    def close(self) -> None:
        self._ledger.close()

    def _update(
        self, key: Key, rule: Callable[[Rows, int], Result], *, must: bool = False
    ) -> Result:
        return self._ledger.update(
            key, lambda rows: rule(rows, self._sequences.next()), must=must
        )

    def _page(
        self, replica: str | None, after: tuple[str, str], limit: int
    ) -> list[Row]:
        return self._ledger.page(replica, after, limit)
