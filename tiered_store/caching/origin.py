"""
What a cache asks of its origin, and what it makes of the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tiered_store.body import BytesBody
from tiered_store.caching.telling import Teller
from tiered_store.chance import CHANCE
from tiered_store.clock import Clock
from tiered_store.errors import ConfigError, NotFoundError, StoreError
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.tiers.tier import FOREVER, WHOLE, Entry, Record, lifetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """
    How long copies are good for, and what happens then; in seconds.

    The options of :class:`~tiered_store.wrappers.cached.CachedStore` of these names.
    """

    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    negative_ttl: float | None = None
    early_refresh: float = 0.0
    cache: Literal["all", "reproducible"] = "all"

    def __post_init__(self) -> None:
        for name in ("stale_while_revalidate", "stale_if_error", "early_refresh"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name}: must not be negative")
        if self.negative_ttl is not None and not self.negative_ttl > 0:
            raise ConfigError("negative_ttl: must be positive; leave it out for none")

    @property
    def grace(self) -> float:
        """Return for how long a copy can be of use when it is no longer fresh."""
        return max(self.stale_while_revalidate, self.stale_if_error)

    def served_while_asking(self, record: Record, now: float) -> bool:
        """Say whether a copy past its freshness is served, and refreshed meanwhile."""
        return not record.absent and now < (
            record.fresh_until + self.stale_while_revalidate
        )

    def served_instead(self, record: Record, now: float, error: StoreError) -> bool:
        """Say whether a copy past its freshness is served since the origin failed."""
        if record.absent or isinstance(error, NotFoundError) or not error.failover:
            return False  # an outage is not told as an absence of long ago
        return now < self._last_resort(record)

    def _last_resort(self, record: Record) -> float:
        return record.fresh_until + self.stale_if_error

    def due(self, record: Record, now: float) -> bool:
        """
        Say, by chance, whether a copy that is still fresh should be refreshed.

        The more likely the longer a fetch takes and the nearer the end is, so that of
        many readers one refreshes early and none waits (Vattani, Chierichetti,
        Lowenstein, *Optimal Probabilistic Cache Stampede Prevention*, VLDB 2015).
        """
        if not self.early_refresh or record.fresh_until == FOREVER:
            return False
        early = CHANCE.expovariate(1.0) * self.early_refresh * record.cost
        return now + early >= record.fresh_until

    def keeps(self, *, reproducible: bool | None) -> bool:
        """Say whether an object of which that is known is one of those to cache."""
        return self.cache == "all" or reproducible is True


class Origin:
    """
    *store*, whose answers become entries.

    An object of up to 8 MiB is in memory when :meth:`ask` returns; of a larger one the
    body is still to be read.
    """

    def __init__(
        self, store: Store, freshness: Freshness, teller: Teller, clock: Clock
    ) -> None:
        self.store = store
        self.freshness = freshness
        self._teller = teller
        self._clock = clock

    def ask(self, key: Key) -> Entry:
        """
        Return what there is, or an entry of absence if that is to be remembered.

        Raises:
            NotFoundError: There is no such object.
            StoreError: It could not be read.
        """
        self._teller.missed(key)
        since, started = self._clock.time(), self._clock.monotonic()
        try:
            body = self.store.get(key)
        except NotFoundError:
            seconds = lifetime(self.freshness.negative_ttl, 0.1)
            if seconds is None:
                raise
            until = self._clock.time() + seconds
            return Entry(Record(since=since, fresh_until=until, size=None), None)
        if type(body) is not BytesBody and body.size <= WHOLE:
            body = body.in_memory()
        cost = self._clock.monotonic() - started
        record = Record(
            since=since,
            size=body.size,
            version=body.version,
            modified=(body if type(body) is BytesBody else body.stat()).modified,
            cost=cost,
        )
        return Entry(record, body)

    def keeps(self, entry: Entry) -> bool:
        """Say whether *entry* is one of those that are cached."""
        return entry.body is None or self.freshness.keeps(
            reproducible=entry.body.reproducible
        )
