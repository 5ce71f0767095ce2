"""
Keep copies near the reader, none of them ever older than the last write.

.. code-block:: yaml

   type: cached
   tiers:                                   # nearest first
     - {type: memory, capacity: 64MiB, ttl: 60s}
     - {type: filesystem, path: /var/cache/images, create: true, capacity: 1GiB}
   origin: {type: memory}

It belongs at the top of a stack, so that a hit costs nothing below.

Several processes that write the same objects share a tier of type ``redis``, which
tells each of them what the others write:

.. code-block:: yaml

   type: cached
   tiers:
     - {type: memory, capacity: 64MiB, ttl: 60s}
     - {type: redis, url: redis://127.0.0.1:6379/0, ttl: 1d}
   origin: {type: memory}
   stale_if_error: 1h
   negative_ttl: 10s

Without one, the *ttl* of each tier bounds how old a copy can be after another
process's write.
"""

from __future__ import annotations

import time

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from io import BufferedIOBase, BytesIO
from typing import Literal

from tiered_store import lifecycle
from tiered_store.body import Body, BytesBody, Stat
from tiered_store.caching.alone import Alone
from tiered_store.caching.conditions import conditions
from tiered_store.caching.explaining import findings
from tiered_store.caching.keeper import Keeper, Parts
from tiered_store.caching.origin import Freshness, Origin
from tiered_store.caching.telling import Teller
from tiered_store.caching.together import Together
from tiered_store.clock import SYSTEM, Clock
from tiered_store.condition import Condition
from tiered_store.errors import ConfigError
from tiered_store.events import Verb
from tiered_store.findings import Finding
from tiered_store.foreign import as_store
from tiered_store.journals.journal import Journal
from tiered_store.journals.memory import MemoryJournal
from tiered_store.key import Key
from tiered_store.policies.coherence import Coherence
from tiered_store.store import Store
from tiered_store.tiers.memory import Copy, MemoryTier
from tiered_store.tiers.shared import SharedTier
from tiered_store.tiers.store import StoreTier
from tiered_store.tiers.tier import WHOLE, Entry, Record, Tier, lifetime
from tiered_store.tree import walk
from tiered_store.units import Duration


class CachedStore(Store):
    """
    Copies of *origin*'s objects in *tiers*, nearest first.

    A tier that fails is passed over; a read fails only if the origin does.  A hit in
    a far tier fills the nearer ones.  A cold object is fetched once for all who ask
    meanwhile, in all processes that share a tier; one that is too large for the shared
    tier once a host, if another tier takes it, and else by each of them.  What a write
    could not drop from a tier is not believed until it is dropped, by this process and
    by all that have its journal.

    What is bounded and not impossible: another process's write shows within the time
    a message takes, about a millisecond; while messages do not arrive unnoticed, at
    most a tier's heartbeats later.  A write whose claim the shared tier evicted and
    whose process then dies, or whose effect comes later than *write_lease*, may leave
    an old copy for a ttl.

    Args:
        tiers: Tiers, or stores to make tiers of; at most one is shared.
        on_invalidate_error: What a write does when a tier cannot drop its copy
            beforehand: ``poison`` goes on, ``fail`` raises and leaves the origin alone.
        journal: Remembers what could not be dropped; by default in memory, so that it
            is forgotten when the process ends.  It must be this store's alone.
        on_put: ``invalidate`` leaves it to the next reader to fetch what was put;
            ``fill`` keeps it at once, for objects that are read right after.  Not for
            objects above 8 MiB.
        cache: ``reproducible`` caches only what is known to be: from its put, or if
            the origin tells.  For originals that are read once.
        stale_while_revalidate: Seconds after its ttl during which a copy is served
            while one reader fetches a new one behind its back: nobody waits, and what
            somebody changed without this store is seen one read later.
        stale_if_error: Seconds after its ttl during which a copy is served if the
            origin fails: an outage shows old pictures instead of none.
        negative_ttl: Seconds that absence is remembered, for objects that are asked for
            in vain; a put ends it at once, one without this store does not.
        early_refresh: How eagerly a copy is refreshed before its ttl ends, behind a
            reader's back; 1 suits most, 0 does not.  For objects that many ask for.
        strong: A hit in memory asks the shared tier whether the copy is the current
            one, which moves no bytes: no read that begins after a write has ended, in
            any process, returns what was there before.
        fill_lease: Seconds after which a reader is no longer waited for by others; as
            long as the origin takes for 8 MiB on a bad day.
        write_lease: Seconds within which a write ends and a failed one has had its
            effect, if any; meanwhile nobody keeps copies of its object.
    """

    def __init__(
        self,
        origin: Store,
        tiers: Sequence[Tier | Store],
        *,
        on_invalidate_error: Literal["poison", "fail"] = "poison",
        journal: Journal | None = None,
        on_put: Literal["invalidate", "fill"] = "invalidate",
        cache: Literal["all", "reproducible"] = "all",
        stale_while_revalidate: Duration = 0.0,
        stale_if_error: Duration = 0.0,
        negative_ttl: Duration | None = None,
        early_refresh: float = 0.0,
        strong: bool = False,
        fill_lease: Duration = 5.0,
        write_lease: Duration = 60.0,
        clock: Clock = SYSTEM,
    ) -> None:
        if not tiers:
            raise ConfigError("tiers: needs at least one")
        if not (fill_lease > 0 and write_lease > 0):
            raise ConfigError("fill_lease and write_lease: must be positive")
        self.origin = as_store(origin)
        self.tiers = [
            tier if isinstance(tier, Tier) else StoreTier(tier) for tier in tiers
        ]
        self.on_invalidate_error = on_invalidate_error
        self.journal = journal
        self.on_put = on_put
        self.cache = cache
        self.stale_while_revalidate = stale_while_revalidate
        self.stale_if_error = stale_if_error
        self.negative_ttl = negative_ttl
        self.early_refresh = early_refresh
        self.strong = strong
        self.fill_lease = fill_lease
        self.write_lease = write_lease
        self._clock = clock
        self._freshness = Freshness(
            stale_while_revalidate=stale_while_revalidate,
            stale_if_error=stale_if_error,
            negative_ttl=negative_ttl,
            early_refresh=early_refresh,
            cache=cache,
        )
        for tier in self.tiers:
            tier.grace = max(tier.grace, self._freshness.grace)
            if isinstance(tier, MemoryTier):
                tier.early = max(tier.early, early_refresh)
        self._coherence = Coherence(write_lease, clock)
        self._keeper = self._made()
        self._monotonic = time.monotonic if clock is SYSTEM else clock.monotonic
        self._copies = self._nearest()
        self.listeners = ()  # the class's own takes a hit longer to find
        self._asleep = True
        lifecycle.survive_fork(self)

    def _made(self) -> Keeper:
        teller = Teller(self, self._clock)
        parts = Parts(
            tiers={_name(number): tier for number, tier in enumerate(self.tiers)},
            origin=Origin(self.origin, self._freshness, teller, self._clock),
            coherence=self._coherence,
            teller=teller,
            clock=self._clock,
            journal=self.journal or MemoryJournal(capacity=10_000),
            durable=not isinstance(self.journal, MemoryJournal | None),
            on_invalidate_error=self.on_invalidate_error,
            fill_lease=self.fill_lease,
            write_lease=self.write_lease,
            strong=self.strong,
        )
        shared = {
            name: tier
            for name, tier in parts.tiers.items()
            if isinstance(tier, SharedTier)
        }
        if len(shared) > 1:
            raise ConfigError(
                f"{' and '.join(shared)}: only one tier can be shared; wrap a Redis "
                "store in a tier of type store for another"
            )
        for name, tier in shared.items():
            self._check_apart(name, tier)
            return Together(parts, name, tier)
        if self.strong:
            raise ConfigError(
                "strong: needs a tier that processes share, such as redis"
            )
        return Alone(parts)

    def _check_apart(self, name: str, shared: SharedTier) -> None:
        for inner in walk(self.origin):
            if not isinstance(inner, CachedStore) or shared.place is None:
                continue
            for tier in inner.tiers:
                if isinstance(tier, SharedTier) and tier.place == shared.place:
                    raise ConfigError(
                        f"{name}: a cache underneath keeps its copies in the same "
                        "place, and each would wait for the other; give it another "
                        "prefix"
                    )

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

    # -- reading -------------------------------------------------------------

    def get_file(
        self, object_type: str, object_id: int, width: int, height: int, mimetype: str
    ) -> BufferedIOBase:
        # what is in the nearest memory may be served without asking anybody
        copy = self._copies.get((object_type, object_id, width, height, mimetype))  # type: ignore[call-overload]  # equal to a key, and cheaper
        if (
            copy is not None
            and not self.listeners
            # 1.0 is equal to 1 and names nothing; this costs less than type()
            and object_id.__class__ is width.__class__ is height.__class__ is int
        ):
            content = copy.content  # once: another thread may drop it at any time
            if content is not None and self._monotonic() < copy.look_at:
                if copy.hits < 3:
                    copy.hits += 1
                return BytesIO(content)
        return self.get(Key(object_type, object_id, width, height, mimetype)).open()

    def _get(self, key: Key) -> Body:
        if self._asleep:
            self._asleep = False
            self._keeper.wake()
            self._copies = self._nearest()
        return self._keeper.read(key)

    def _nearest(self) -> Mapping[Key, Copy]:
        tier = self.tiers[0]
        return tier.copies if isinstance(tier, MemoryTier) and not self.strong else {}

    def after_fork(self) -> None:
        """Serve nothing of the parent's memory before it is known to be current."""
        self._copies = {}
        self._asleep = True

    # -- writing -------------------------------------------------------------

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        content = self._kept(body, reproducible)

        def entry() -> Entry | None:
            if content is None:
                return None
            record = Record(since=self._clock.time(), size=content.size)
            return Entry(record, content)

        put = partial(self.origin.put, key, body, reproducible)
        self._keeper.write(key, put, entry)

    def _kept(self, body: Body, reproducible: bool) -> Body | None:
        """Return what is kept of *body* as soon as it is put, if anything."""
        wanted = self.on_put == "fill" or self.cache == "reproducible"
        fits = body.size <= WHOLE
        if not (wanted and fits and self._freshness.keeps(reproducible=reproducible)):
            return None
        kept = BytesBody(body.read())
        kept.reproducible = reproducible
        return kept

    def _delete(self, key: Key) -> None:
        self._keeper.write(key, partial(self.origin.delete, key), self._absence)

    def _absence(self) -> Entry | None:
        seconds = lifetime(self.negative_ttl, 0.1)
        if seconds is None:
            return None
        now = self._clock.time()
        return Entry(Record(since=now, fresh_until=now + seconds, size=None), None)

    # -- the rest ------------------------------------------------------------

    def findings(self, key: Key) -> Iterator[Finding]:
        return findings(self._keeper, key, str(self))

    def owed(self, key: Key) -> str | None:
        """Say, for a person, what is still to be dropped of *key*; None if nothing."""
        return self._keeper.poison.owed(key)

    def conditions(self) -> Iterator[Condition]:
        if self.journal is not None:
            yield from conditions(str(self), self.journal, self._clock.time())

    def underneath(self, key: Key) -> Iterator[tuple[Store, Key]]:
        yield self.origin, key  # what its tiers have, it tells itself

    def _url(self, key: Key) -> str:
        return self.origin.url(key)

    def _stat(self, key: Key) -> Stat:
        return self.origin.stat(key)

    def _keys(self, prefix: str) -> Iterator[Key]:
        return self.origin.keys(prefix)

    def _close(self) -> None:
        self._copies = {}
        self._keeper.close()


def _name(number: int) -> str:
    return f"tiers.{number}"
