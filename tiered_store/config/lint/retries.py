"""
Rules about attempts, and about the order of what bounds them.
"""

from __future__ import annotations

from tiered_store.config.attributes import ATTRIBUTES
from tiered_store.config.lint.rule import Found
from tiered_store.config.lint.stack import Stack, kind
from tiered_store.tree import walk


def retry_above_retry(stack: Stack) -> Found:
    """
    Only the outermost retry on a path retries.

    Nested retries would multiply: three around three around three make 27 requests of
    one call, all of them while a server is in trouble.  So an inner one is inert, and
    whoever wrote it believes in attempts that are never made.

    Hurts::

        images: {type: readonly, child: files, retry: 3}
        files: {type: filesystem, path: /srv/images, retry: 3}

    Better::

        images: {type: readonly, child: files, retry: 3}
        files: {type: filesystem, path: /srv/images}
    """
    inert: dict[int, str] = {}
    for store, node in stack.stores("retry"):
        for other in walk(store):
            if other is not store and kind(other) == "retry":
                inert.setdefault(id(other), node.path)
    for store, node in stack.stores():
        if id(store) in inert:
            yield node, f"never retries below {inert[id(store)]}; remove one of them"


def retry_below_choice(stack: Stack) -> Found:
    """
    A retry below a choice of stores delays the other choice.

    `fallback` and `replicated` ask the next store at once when one fails.  A retry
    around one of their stores makes every reader wait for all its attempts first, in
    just the outage that the other store is for.  Around the whole it is asked when
    every store has been.

    Hurts::

        images:
          type: fallback
          stores:
            us: {type: s3, bucket: pictures, retry: 3}
            eu: {type: s3, bucket: pictures-eu}

    Better::

        images:
          type: fallback
          stores:
            us: {type: s3, bucket: pictures}
            eu: {type: s3, bucket: pictures-eu}
          retry: 3
    """
    for choice, choice_node in stack.stores("fallback", "replicated"):
        for name, child in choice.children().items():
            for below in walk(child):
                if kind(below) == "retry":
                    yield (
                        stack.node_of(below, choice_node),
                        f"while {name} is away every reader of {choice_node.path} "
                        "waits for these attempts before the next store is asked; "
                        "retry around the whole",
                    )


def retry_outlives_timeout(stack: Stack) -> Found:
    """
    A timeout around a retry ends it in the middle.

    The retry believes it has `max_elapsed` and spreads its attempts over that; the
    timeout above ends it before.  A timeout belongs around each attempt, so below; what
    bounds the whole is the retry's own `max_elapsed`, or a caller's deadline.

    Hurts::

        images:
          type: timeout
          seconds: 5s
          child: {type: retry, attempts: 5, max_elapsed: 30s, child: files}
        files: {type: filesystem, path: /srv/images}

    Better::

        images:
          type: retry
          attempts: 5
          max_elapsed: 30s
          child: {type: timeout, seconds: 5s, child: files}
        files: {type: filesystem, path: /srv/images}
    """
    for store, node in stack.stores("timeout"):
        for below in walk(store):
            if kind(below) == "retry":
                longest = getattr(below, "max_elapsed", None)
                if longest is None or longest > store.seconds:
                    yield (
                        node,
                        f"ends {stack.node_of(below, node).path} after "
                        f"{store.seconds:g}s, which retries for longer; put the "
                        "timeout below the retry",
                    )


def wrappers_out_of_order(stack: Stack) -> Found:
    """
    Wrappers around one store have one right order.

    From the inside out: limit, timeout, retry, breaker.  A limit outside a timeout
    counts calls that nobody waits for any more; a breaker inside a retry counts every
    attempt as a failure of its own and opens in the middle of them.  As attributes
    (`limit: 8`, `timeout: 5s`) they are always in order.

    Hurts::

        images:
          type: limit
          maximum: 8
          child: {type: breaker, child: {type: filesystem, path: /srv/images}}

    Better::

        images:
          type: filesystem
          path: /srv/images
          limit: 8
          breaker: true
    """
    for store, node in stack.stores(*ATTRIBUTES):
        child = getattr(store, "child", None)
        if store.transparent or child is None or kind(child) not in ATTRIBUTES:
            continue
        outer, inner = kind(store), kind(child)
        if (outer, inner) == ("timeout", "retry"):
            continue  # retry-outlives-timeout knows when that hurts
        if ATTRIBUTES.index(outer) < ATTRIBUTES.index(inner):
            yield (
                node,
                f"{outer} stands around {inner}; it belongs inside: from the inside "
                f"out, {', '.join(ATTRIBUTES)}",
            )
