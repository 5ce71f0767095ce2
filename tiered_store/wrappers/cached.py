"""
Keep copies near the reader, none of them ever older than the last write.

.. code-block:: yaml

   type: cached
   tiers:                                   # nearest first
     - {type: memory, capacity: 64MiB, ttl: 60s}
     - {type: filesystem, path: /var/cache/images, create: true, capacity: 1GiB}
   origin: {type: memory}

It belongs at the top of a stack, so that a hit costs nothing below.  Several
processes that write the same objects need a *ttl* on every tier that is not shared:
that bounds how old a copy can be after another process's write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from tiered_store.body import Body, BytesBody, Stat
from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import ConfigError, DeadlineError, StoreError
from tiered_store.events import (
    CacheFilled,
    CacheHit,
    CacheMissed,
    CachePoisoned,
    CachePurged,
    FillRejected,
    TierBypassed,
    Verb,
)
from tiered_store.foreign import as_store
from tiered_store.key import Key
from tiered_store.policies.coherence import Coherence, Fill
from tiered_store.policies.floors import Floors
from tiered_store.store import Store
from tiered_store.tiers.store import StoreTier
from tiered_store.tiers.tier import Entry, Tier


class CachedStore(Store):
    """
    Copies of *origin*'s objects in *tiers*, nearest first.

    A tier that fails is passed over; a read fails only if the origin does.  A hit in
    a far tier fills the nearer ones.  What a write could not drop from a tier is not
    believed until it is dropped.

    Args:
        tiers: Tiers, or stores to make tiers of.
        on_invalidate_error: What a write does when a tier cannot drop its copy
            beforehand: ``poison`` goes on, ``fail`` raises and leaves the origin alone.
    """

    def __init__(
        self,
        origin: Store,
        tiers: Sequence[Tier | Store],
        *,
        on_invalidate_error: Literal["poison", "fail"] = "poison",
        clock: Clock = SYSTEM,
    ) -> None:
        if not tiers:
            raise ConfigError("tiers: needs at least one")
        self.origin = as_store(origin)
        self.tiers = [
            tier if isinstance(tier, Tier) else StoreTier(tier) for tier in tiers
        ]
        self.on_invalidate_error = on_invalidate_error
        self._clock = clock
        self._largest = max(tier.max_object for tier in self.tiers)
        self._floors = [Floors() for _ in self.tiers]
        self._coherence = Coherence()

    def children(self) -> Mapping[str, Store]:
        stores = {
            f"tiers.{number}": store
            for number, tier in enumerate(self.tiers)
            for store in tier.children().values()
        }
        return {**stores, "origin": self.origin}

    def capabilities(self) -> frozenset[Verb]:
        """What the origin can do."""
        return self.origin.capabilities()

    def _get(self, key: Key) -> Body:
        self._cure(key)
        if self._coherence.believable(key):
            entry = self._look(0, key)
            if entry is not None:
                return entry.body
        return self._coherence.fetch(key, lambda fill: self._fetch(key, fill))

    def _fetch(self, key: Key, fill: Fill) -> Body:
        """Return the body from farther away, and fill what is nearer."""
        if self._coherence.believable(key):
            for number in range(1, len(self.tiers)):
                entry = self._look(number, key)
                if entry is not None:
                    self._fill(key, entry.body.read(), entry.since, number, fill)
                    return entry.body
        if self.listeners:
            self.emit(CacheMissed(store=str(self), key=key))
        since = self._clock.time()
        body = self.origin.get(key)
        if body.size > self._largest:
            return body
        content = body.read()
        self._fill(
            key, content, since, len(self.tiers), fill, provisional=body.provisional
        )
        return BytesBody(content, body.version)

    def _look(self, number: int, key: Key) -> Entry | None:
        if number in self._coherence.poisoned(key):
            return None
        try:
            entry = self.tiers[number].get(key)
        except DeadlineError:
            raise
        except StoreError as error:
            self._bypassed(number, key, error)
            return None
        if entry is None or self._floors[number].is_below(key, entry.since):
            return None
        if self.listeners:
            age = self._clock.time() - entry.since
            self.emit(CacheHit(store=str(self), key=key, tier=_name(number), age=age))
        return entry

    def _fill(
        self,
        key: Key,
        content: bytes,
        since: float,
        below: int,
        fill: Fill,
        *,
        provisional: bool = False,
    ) -> None:
        """Offer *content* to the tiers nearer than *below*; a tier may fail."""
        for number in range(below - 1, -1, -1):
            if not fill.allowed():
                break
            if number in self._coherence.poisoned(key):
                continue
            if provisional and self.tiers[number].ttl is None:
                continue  # nothing would ever end it
            try:
                kept = self.tiers[number].put(key, content, since)
            except StoreError as error:
                if error.ambiguous:  # it may land after a later write has purged
                    self._floors[number].raise_to(key, since)
                self._bypassed(number, key, error)
                continue
            if kept and self.listeners:
                filled = CacheFilled(
                    store=str(self), key=key, tier=_name(number), size=len(content)
                )
                self.emit(filled)
        if not fill.allowed():
            self._purge(key)  # while the fill is doomed, nobody believes what it left
            if self.listeners:
                self.emit(FillRejected(store=str(self), key=key))

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        with self._coherence.writing(key):
            self._purge(key, may_raise=self.on_invalidate_error == "fail")
            try:
                self.origin.put(key, body, reproducible)
            finally:  # an error may come after the effect
                self._purge(key)

    def _delete(self, key: Key) -> None:
        with self._coherence.writing(key):
            self._purge(key, may_raise=self.on_invalidate_error == "fail")
            try:
                self.origin.delete(key)
            finally:
                self._purge(key)

    def _purge(self, key: Key, *, may_raise: bool = False) -> None:
        """Drop every copy; a tier that cannot is poisoned for *key* until it can."""
        for number in range(len(self.tiers)):
            error = self._drop(number, key)
            if error is not None and may_raise:
                raise error
        if self.listeners:
            self.emit(CachePurged(store=str(self), key=key))

    def _cure(self, key: Key) -> None:
        for number in self._coherence.poisoned(key):
            self._drop(number, key)

    def _drop(self, number: int, key: Key) -> StoreError | None:
        poison = self._coherence.poisoned(key).get(number)
        try:
            self.tiers[number].delete(key)
        except StoreError as error:
            if not self._coherence.poison(key, number):
                self._floors[number].raise_all_to(self._clock.time())
            if self.listeners:
                event = CachePoisoned(
                    store=str(self), key=key, tier=_name(number), error=error
                )
                self.emit(event)
            return error
        self._coherence.cure(key, number, poison)
        return None

    def _bypassed(self, number: int, key: Key, error: StoreError) -> None:
        if self.listeners:
            event = TierBypassed(
                store=str(self), key=key, tier=_name(number), error=error
            )
            self.emit(event)

    def _url(self, key: Key) -> str:
        return self.origin.url(key)

    def _stat(self, key: Key) -> Stat:
        return self.origin.stat(key)

    def _keys(self, prefix: str) -> Iterator[Key]:
        return self.origin.keys(prefix)


def _name(number: int) -> str:
    return f"tiers.{number}"
