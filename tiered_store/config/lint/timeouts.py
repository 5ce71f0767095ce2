"""
Rules about waiting.
"""

from __future__ import annotations

from tiered_store.config.lint.rule import Found
from tiered_store.config.lint.stack import Stack, is_bounded, kind
from tiered_store.tree import walk


def fallback_without_timeout(stack: Stack) -> Found:
    """
    A store that hangs is no outage until somebody stops waiting for it.

    A disk that is mounted from elsewhere, or a server behind a link that swallows
    packets, does not fail: it says nothing.  The next store is asked when the first one
    has been given up, so without a timeout never.

    Hurts::

        images:
          type: fallback
          stores:
            near: {type: filesystem, path: /mnt/near}
            far: {type: s3, bucket: pictures}

    Better::

        images:
          type: fallback
          stores:
            near: {type: filesystem, path: /mnt/near, timeout: 5s}
            far: {type: s3, bucket: pictures}
    """
    for store, node in stack.stores("fallback"):
        for role, child in store.children().items():
            if not any(is_bounded(below) for below in walk(child)):
                yield (
                    node,
                    f"{role} has no timeout: while it hangs, so does every "
                    "reader; say timeout: 5s there",
                )


def write_outlives_lease(stack: Stack) -> Found:
    """
    A write may take longer than the cache expects.

    While a write is under way nobody keeps copies of its object.  After `write_lease`
    it is taken for over.  A store below that may still be at it then, as its timeout
    says, can change the object after a reader has put the old bytes into a tier, where
    they stay for a ttl.

    Hurts::

        images:
          type: cached
          tiers: [{type: memory, ttl: 60s}]
          origin: {type: filesystem, path: /mnt/far, timeout: 5m}

    Better::

        images:
          type: cached
          tiers: [{type: memory, ttl: 60s}]
          origin: {type: filesystem, path: /mnt/far, timeout: 5m}
          write_lease: 10m
    """
    for cache, node in stack.stores("cached"):
        longest = max(
            (
                getattr(below, "seconds" if kind(below) == "timeout" else "timeout", 0)
                or 0
                for below in walk(cache.origin)
            ),
            default=0,
        )
        if isinstance(longest, int | float) and longest > cache.write_lease:
            yield (
                node,
                f"a store below may take {longest:g}s to write, and a write is taken "
                f"for over after {cache.write_lease:g}s; say write_lease: "
                f"{2 * longest:g}s",
            )
