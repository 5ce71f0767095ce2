"""
Rules about copies near the reader.
"""

from __future__ import annotations

from tiered_store.config.lint.rule import Found
from tiered_store.config.lint.stack import (
    Stack,
    kind,
    kinds_below,
    leaves,
    shared_tier,
)


_NEED_TTL = ("stale_while_revalidate", "stale_if_error", "early_refresh")
_SILENT = {"filesystem", "redis"}  # stores that do not tell what can be computed again


def cached_without_ttl(stack: Stack) -> Found:
    """
    Without a shared tier only the ttl bounds what others change unseen.

    Nothing tells this process of another one's writes unless both share a tier of type
    `redis`.  A copy without a ttl is then served until it is evicted, whatever became
    of its object.

    Hurts::

        images:
          type: cached
          tiers: [{type: memory}]
          origin: {type: s3, bucket: pictures}

    Better::

        images:
          type: cached
          tiers: [{type: memory, ttl: 60s}]
          origin: {type: s3, bucket: pictures}
    """
    for cache, tier, node in stack.tiers():
        if tier.ttl is None and shared_tier(cache) is None:
            yield (
                node,
                "has no ttl: what another process changes is not seen while the copy "
                "is kept; say ttl: 60s, or share a tier of type redis",
            )


def cluster_without_ttl(stack: Stack) -> Found:
    """
    In a Cluster not every failover is noticed.

    A node that takes over may have an older copy than the one that was lost, and no
    message says so.  A ttl bounds how long it is believed.

    Hurts::

        images:
          type: cached
          tiers: [{type: redis, mode: cluster, url: "redis://cache.internal"}]
          origin: {type: s3, bucket: pictures}

    Better::

        images:
          type: cached
          tiers: [{type: redis, mode: cluster, url: "redis://cache.internal", ttl: 1d}]
          origin: {type: s3, bucket: pictures}
    """
    for cache, tier, node in stack.tiers():
        in_cluster = getattr(tier, "mode", None) == "cluster"
        if tier is shared_tier(cache) and in_cluster and tier.ttl is None:
            yield (
                node,
                "has no ttl: after a node's failover an old copy may be back, for "
                "good; say ttl: 1d",
            )


def redis_store_as_tier(stack: Stack) -> Found:
    """
    A Redis store tells nobody what is written.

    As a tier of its own, `type: redis` keeps all processes in step.  As a store that
    is made a tier, it is a far dictionary like any other: each process hears of the
    others' writes when a ttl ends.

    Hurts::

        images:
          type: cached
          tiers: [{type: store, store: copies, ttl: 60s}]
          origin: {type: s3, bucket: pictures}
        copies: {type: redis, url: "redis://cache.internal"}

    Better::

        images:
          type: cached
          tiers: [{type: redis, url: "redis://cache.internal", ttl: 60s}]
          origin: {type: s3, bucket: pictures}
    """
    for cache, tier, node in stack.tiers():
        stores = tier.children().values()
        if (
            any("redis" in kinds_below(store) for store in stores)
            and shared_tier(cache) is None
        ):
            yield (
                node,
                "is a store like any other, by which no process hears of another's "
                "writes; write {type: redis, ...} in its place",
            )


def memory_not_first(stack: Stack) -> Found:
    """
    Only the nearest tier is looked at before everything else.

    A hit in the first tier, if that is memory, asks nobody and takes no lock.  Behind
    another tier memory is asked after a server has been, which it was to spare.

    Hurts::

        images:
          type: cached
          tiers:
            - {type: redis, url: "redis://cache.internal", ttl: 1d}
            - {type: memory, ttl: 60s}
          origin: {type: s3, bucket: pictures}

    Better::

        images:
          type: cached
          tiers:
            - {type: memory, ttl: 60s}
            - {type: redis, url: "redis://cache.internal", ttl: 1d}
          origin: {type: s3, bucket: pictures}
    """
    for cache, tier, node in stack.tiers():
        if tier.private and tier is not cache.tiers[0]:
            yield (
                node,
                "is in memory and not the first, so its hits take the long way; put "
                "it first",
            )


def tier_never_read(stack: Stack) -> Found:
    """
    Behind the shared tier are read only objects that are too large for it.

    A directory behind Redis is for what Redis does not take.  One that takes nothing
    larger is filled, and never read.

    Hurts::

        images:
          type: cached
          tiers:
            - {type: redis, url: "redis://cache.internal", ttl: 1d, max_object: 4MiB}
            - {type: filesystem, path: /var/cache/images, ttl: 1d, max_object: 1MiB}
          origin: {type: s3, bucket: pictures}

    Better::

        images:
          type: cached
          tiers:
            - {type: redis, url: "redis://cache.internal", ttl: 1d, max_object: 4MiB}
            - {type: filesystem, path: /var/cache/images, ttl: 1d, capacity: 50GiB}
          origin: {type: s3, bucket: pictures}
    """
    for cache, tier, node in stack.tiers():
        shared = shared_tier(cache)
        if shared is None or tier.private or tier is shared:
            continue
        behind = cache.tiers.index(tier) > cache.tiers.index(shared)
        if behind and tier.max_object <= shared.max_object:
            yield (
                node,
                "is never read: what is small enough for it is read from the shared "
                "tier before it; change places, or raise its capacity or max_object",
            )


def policy_without_ttl(stack: Stack) -> Found:
    """
    What is never too old is neither refreshed nor served all the same.

    These options say what happens when a copy's ttl is over.  Where no tier has a ttl,
    it never is.

    Hurts::

        images:
          type: cached
          tiers: [{type: redis, url: "redis://cache.internal"}]
          origin: {type: s3, bucket: pictures}
          stale_if_error: 1h

    Better::

        images:
          type: cached
          tiers: [{type: redis, url: "redis://cache.internal", ttl: 1d}]
          origin: {type: s3, bucket: pictures}
          stale_if_error: 1h
    """
    for cache, node in stack.stores("cached"):
        given = [name for name in _NEED_TTL if getattr(cache, name)]
        if given and all(tier.ttl is None for tier in cache.tiers):
            yield (
                node,
                f"{' and '.join(given)} without effect: no tier has a ttl, so no copy "
                "is ever too old; say ttl: 1h there",
            )


def reproducible_untold(stack: Stack) -> Found:
    """
    Most stores do not remember what their objects were put as.

    `cache: reproducible` keeps what is known to be so: from its put in this process, or
    because the origin tells.  A directory does not, so that after a restart nothing is
    cached.

    Hurts::

        images:
          type: cached
          tiers: [{type: memory, ttl: 60s}]
          origin: {type: filesystem, path: /srv/images}
          cache: reproducible

    Better::

        images:
          type: cached
          tiers: [{type: memory, ttl: 60s}]
          origin: {type: s3, bucket: pictures}
          cache: reproducible
    """
    for cache, node in stack.stores("cached"):
        below = {kind(leaf) for leaf in leaves(cache.origin)}
        if cache.cache == "reproducible" and below <= _SILENT:
            yield (
                node,
                f"cache: reproducible keeps only what this process puts: a "
                f"{' or '.join(sorted(below))} store does not tell what it has",
            )
