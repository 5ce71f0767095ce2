"""
The stacks of ours that are measured, and the objects in them.
"""

from __future__ import annotations

import os
import time

from collections.abc import Sequence
from typing import Any

from benchmarks.bench import Bench
from benchmarks.server import url_of
from tiered_store import CachedStore, MemoryStore, MemoryTier
from tiered_store.body import Body
from tiered_store.key import Key
from tiered_store.tiers.tier import Entry, Record, Tier
from tiered_store.units import MIB


SIZES = {"1 KB": 1000, "100 KB": 100_000, "1 MB": 1_000_000}
_PATIENCE = 5.0  # seconds
MANY = 200  # objects that are asked for in turn, so that no processor cache holds all


def key_of(number: int) -> Key:
    """Return the key of an object."""
    return Key("comics.cover", number, 405, 640, "image/jpeg")


def name_of(number: int) -> str:
    """Return what the peers, who have no keys of five values, call it."""
    return f"comics.cover-{number}-405x640.jpe"


def content_of(size: int) -> bytes:
    """Return bytes that cannot be compressed."""
    return os.urandom(size)


def entry_of(content: bytes) -> Entry:
    """Return a copy for a tier."""
    return Entry(Record(since=0.0, size=len(content)), Body.of(content))


def filled(contents: Sequence[bytes], *tiers: Tier, **options: Any) -> CachedStore:
    """
    Return a cache before a store in memory, every object in every tier.

    Raises:
        RuntimeError: A tier did not keep one, so that it would measure the origin.
    """
    origin = MemoryStore(capacity=2 * sum(map(len, contents)) + MIB)
    store = CachedStore(origin, tiers, **options)
    for number, content in enumerate(contents):
        origin.put(key_of(number), Body.of(content))
        _cache(store, key_of(number), tiers)
    return store


def _cache(store: CachedStore, key: Key, tiers: Sequence[Tier]) -> None:
    ends = time.monotonic() + _PATIENCE
    while time.monotonic() < ends:  # until what others write is heard of
        store.get(key).read()
        if all(tier.get(key) is not None for tier in tiers):
            return
        time.sleep(0.01)
    raise RuntimeError(f"not cached: {key}")


def memory_tier(contents: Sequence[bytes] = ()) -> MemoryTier:
    """Return one in which *contents* fit."""
    return MemoryTier(capacity=64 * MIB + 2 * sum(map(len, contents)))


def redis_tier(bench: Bench) -> Any:
    """Return one on the server, with a prefix of its own."""
    return redis_tier_at(bench.server.port, f"{bench.random.getrandbits(48):x}")


def redis_tier_at(port: int, prefix: str) -> Any:
    """Return one, in any process."""
    from tiered_store.tiers.redis import RedisTier

    return RedisTier(url=url_of(port), prefix=prefix)
