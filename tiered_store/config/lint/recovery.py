"""
Rules about what becomes of an outage when it is over, and of operators' decisions.
"""

from __future__ import annotations

from tiered_store.config.lint.rule import Found
from tiered_store.config.lint.stack import Stack


def nothing_repairs(stack: Stack) -> Found:
    """
    What a replica missed stays missing until somebody brings it.

    Reads pass over a replica that is behind, so nobody notices: there is one copy less
    than one believes, and the journal grows.  With `repair:` any process that uses the
    mirror catches up, one at a time, at a rate that may be limited.  Where
    `tiered-store repair --watch` runs as a service of its own, say so in `allow:`.

    A `fallback` repairs by itself when a store is back.

    Hurts::

        images:
          type: replicated
          replicas: {us: {type: s3, bucket: us}, eu: {type: s3, bucket: eu}}
          journal: {type: sqlite, path: /var/lib/images.sqlite}

    Better::

        images:
          type: replicated
          replicas: {us: {type: s3, bucket: us}, eu: {type: s3, bucket: eu}}
          journal: {type: sqlite, path: /var/lib/images.sqlite}
          repair: {every: 30s}
    """
    for store, node in stack.stores("replicated"):
        if store.journal is not None and store.repair_policy is None:
            yield (
                node,
                "nothing repairs it: what a replica missed waits for somebody to run "
                "tiered-store repair; say repair: {every: 30s}, or allow it where "
                "tiered-store repair --watch runs",
            )


def control_without_journal(stack: Stack) -> Found:
    """
    Without a journal puts do not follow operators.

    A drain or a promotion moves reads.  Puts stay with the first store all the same,
    because nobody would know what it missed while others took them: whoever drains it
    before maintenance is still writing to it.  With a journal puts follow, also with
    `write: primary`, and what a store missed is brought to it afterwards.

    Hurts::

        images:
          type: fallback
          stores: {us: {type: s3, bucket: us}, eu: {type: s3, bucket: eu}}
          control: {type: file, path: /var/lib/images/decisions.json}

    Better::

        images:
          type: fallback
          stores: {us: {type: s3, bucket: us}, eu: {type: s3, bucket: eu}}
          journal: {type: sqlite, path: /var/lib/images/journal.sqlite}
          control: {type: file, path: /var/lib/images/decisions.json}
    """
    for store, node in stack.stores("fallback"):
        if store.control is not None and store.journal is None:
            yield (
                node,
                "has a control and no journal: a drain or promotion moves reads, and "
                "puts stay with the first store; give it a journal",
            )
