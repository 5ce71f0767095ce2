"""
Spread objects over several stores, each object in one of them.

.. code-block:: yaml

   type: sharded
   shards:                                 # the names decide: keep them
     a: {type: memory}
     b: {type: memory}
   weights: {a: 2}                         # others weigh 1

It adds room, not safety: put ``replicated`` inside a shard, or shards inside
``replicated``.
"""

from __future__ import annotations

import math

from collections.abc import Iterator, Mapping

import xxhash

from tiered_store.body import Body, Stat
from tiered_store.errors import ConfigError
from tiered_store.events import Verb
from tiered_store.foreign import as_store
from tiered_store.key import Key
from tiered_store.layout import object_name
from tiered_store.store import Store, union


class ShardedStore(Store):
    """
    One of *shards* for each object, by weighted rendezvous hashing.

    Every shard bids for an object, the highest bid has it (Thaler and Ravishankar,
    *Using name-based mappings to increase hit rates*, 1998; the weighting is that of
    Schindelhauer and Schomaker, 2005).  So a shard that is added takes its share from
    each of the others and nothing else moves; what it takes must be copied before.

    Args:
        shards: By name; the names and the object decide, not the order.
        weights: How much more than 1 a shard takes than one that is not named here.
    """

    def __init__(
        self,
        shards: Mapping[str, Store],
        *,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        if not shards:
            raise ConfigError("shards: needs at least one")
        for name, weight in (weights or {}).items():
            if name not in shards:
                raise ConfigError(f"weights: no shard {name!r}")
            if not 0 < weight < math.inf:
                raise ConfigError(f"weights: {name!r} must be positive, not {weight}")
        self.shards = {name: as_store(store) for name, store in shards.items()}
        self.given_weights = weights  # as drawn and written
        self.weights = dict(weights or {})

    def children(self) -> Mapping[str, Store]:
        return self.shards

    def underneath(self, key: Key) -> Iterator[tuple[Store, Key]]:
        yield self._of(key), key

    def capabilities(self) -> frozenset[Verb]:
        """What any shard can do; listing if all can."""
        shards = self.shards.values()
        able = union(iter(shards))
        if not all("keys" in shard.capabilities() for shard in shards):
            able -= {"keys"}
        return able

    def shard_of(self, key: Key) -> str:
        """Return the name of the shard that has *key*, if any has."""
        name = object_name(key)
        return max(self.shards, key=lambda shard: (self._bid(shard, name), shard))

    def _bid(self, shard: str, name: str) -> float:
        digest = xxhash.xxh3_64_intdigest(f"{shard}\0{name}".encode())
        chance = (digest + 0.5) / 2**64  # between 0 and 1, both excluded
        if chance >= 1.0:
            chance = math.nextafter(1.0, 0.0)
        return -self.weights.get(shard, 1.0) / math.log(chance)

    def _of(self, key: Key) -> Store:
        return self.shards[self.shard_of(key)]

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        self._of(key).put(key, body, reproducible)

    def _get(self, key: Key) -> Body:
        return self._of(key).get(key)

    def _url(self, key: Key) -> str:
        return self._of(key).url(key)

    def _delete(self, key: Key) -> None:
        self._of(key).delete(key)

    def _stat(self, key: Key) -> Stat:
        return self._of(key).stat(key)

    def _keys(self, prefix: str) -> Iterator[Key]:
        for name, shard in self.shards.items():
            for key in shard.keys(prefix):
                if self.shard_of(key) == name:  # not what was left behind in moving
                    yield key
