"""
What a cached store tells its listeners.
"""

from __future__ import annotations

from tiered_store.clock import Clock
from tiered_store.errors import StoreError
from tiered_store.events import (
    CacheFilled,
    CacheHit,
    CacheMissed,
    CachePoisoned,
    CachePurged,
    FillRejected,
    StaleServed,
    TierBypassed,
)
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.tiers.tier import Record


class Teller:
    """Emits the events of *store*."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def hit(self, key: Key, tier: str, record: Record) -> None:
        """Say that *tier* had a copy."""
        if self._store.listeners:
            age = self._clock.time() - record.since
            self._store.emit(
                CacheHit(store=str(self._store), key=key, tier=tier, age=age)
            )

    def missed(self, key: Key) -> None:
        """Say that the origin is asked."""
        if self._store.listeners:
            self._store.emit(CacheMissed(store=str(self._store), key=key))

    def filled(self, key: Key, tier: str, record: Record) -> None:
        """Say that *tier* took a copy."""
        if self._store.listeners:
            size = record.size or 0
            self._store.emit(
                CacheFilled(store=str(self._store), key=key, tier=tier, size=size)
            )

    def rejected(self, key: Key) -> None:
        """Say that a write overtook the read that fetched a copy."""
        if self._store.listeners:
            self._store.emit(FillRejected(store=str(self._store), key=key))

    def purged(self, key: Key) -> None:
        """Say that a write dropped the copies."""
        if self._store.listeners:
            self._store.emit(CachePurged(store=str(self._store), key=key))

    def poisoned(self, key: Key, tier: str, error: StoreError) -> None:
        """Say that *tier* could not drop its copy."""
        if self._store.listeners:
            self._store.emit(
                CachePoisoned(store=str(self._store), key=key, tier=tier, error=error)
            )

    def bypassed(self, key: Key, tier: str, error: StoreError) -> None:
        """Say that *tier* failed and was passed over."""
        if self._store.listeners:
            self._store.emit(
                TierBypassed(store=str(self._store), key=key, tier=tier, error=error)
            )

    def stale(self, key: Key, record: Record, error: StoreError | None) -> None:
        """Say that a copy past its freshness was served, and why."""
        if self._store.listeners:
            age = self._clock.time() - record.since
            self._store.emit(
                StaleServed(store=str(self._store), key=key, age=age, error=error)
            )
