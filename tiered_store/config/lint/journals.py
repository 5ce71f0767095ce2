"""
Rules about what must be remembered.
"""

from __future__ import annotations

import os

from collections.abc import Iterator
from typing import Any

from tiered_store.config.lint.rule import Found
from tiered_store.config.lint.stack import Stack, shared_tier
from tiered_store.config.node import Node
from tiered_store.tree import walk


def journal_in_memory(stack: Stack) -> Found:
    """
    What a replica missed must outlive the process that knows it.

    The journal is what makes it safe to acknowledge a write that one replica has not
    seen.  In memory it is forgotten at the next deployment, and no other process ever
    knew it: the replica then serves what it has, old bytes and deleted objects.

    Hurts::

        images:
          type: replicated
          replicas: {us: {type: s3, bucket: us}, eu: {type: s3, bucket: eu}}
          journal: {type: memory}
          repair: {every: 30s}

    Better::

        images:
          type: replicated
          replicas: {us: {type: s3, bucket: us}, eu: {type: s3, bucket: eu}}
          journal: {type: sqlite, path: /var/lib/images.sqlite}
          repair: {every: 30s}
    """
    of_caches = {id(cache.journal) for cache, _ in stack.stores("cached")}
    for thing, node in stack.things():
        if type(thing).__name__ != "MemoryJournal":
            continue
        if id(thing) in of_caches:
            yield (
                node,
                "a cache has one without being told; what a tier could not drop is "
                "forgotten when this process ends; use type: sqlite, or leave it out",
            )
        else:
            yield (
                node,
                "what a replica missed is forgotten when this process ends, and no "
                "other process knows it; use type: sqlite",
            )


def journal_in_passing(stack: Stack) -> Found:
    """
    A journal must lie on a disk that is kept.

    A directory for temporary files is emptied at a restart, or is memory; then every
    note of what a replica missed is gone, as with a journal in memory.  A relative path
    is another file for each process that was started somewhere else.

    Hurts::

        images:
          type: replicated
          replicas: {us: {type: s3, bucket: us}, eu: {type: s3, bucket: eu}}
          journal: {type: sqlite, path: /tmp/images.sqlite}
          repair: {every: 30s}

    Better::

        images:
          type: replicated
          replicas: {us: {type: s3, bucket: us}, eu: {type: s3, bucket: eu}}
          journal: {type: sqlite, path: /var/lib/images.sqlite}
          repair: {every: 30s}
    """
    for journal, node in _files(stack):
        written = node.entries.get("path")
        if written is not None and written.sources:
            continue  # whoever sets it knows
        path = os.path.expanduser(str(journal.path))
        absolute = os.path.abspath(path)
        passing = ("/tmp", "/var/tmp", "/dev/shm", "/run")  # noqa: S108 - to warn of them
        if any(absolute.startswith(f"{folder}/") for folder in passing):
            yield node, "lies where files are removed at a restart; keep it elsewhere"
        elif not os.path.isabs(path):
            yield (
                node,
                "is a relative path: a process that is started elsewhere has another "
                "journal; write it from /",
            )


def journal_of_one_host(stack: Stack) -> Found:
    """
    A SQLite file is shared by the processes of one host, and no others.

    A cache with a Redis tier tells that several hosts use the stack.  If more than one
    of them writes, each has a journal of its own: it serves old bytes from a replica
    that another host knows to be behind, and two writers of one object are not ordered.

    Hurts::

        images:
          type: cached
          tiers: [{type: redis, url: "redis://cache.internal", ttl: 1d}]
          origin:
            type: replicated
            replicas: {us: {type: s3, bucket: us}, eu: {type: s3, bucket: eu}}
            journal: {type: sqlite, path: /var/lib/images.sqlite}
            repair: {every: 30s}

    Better::

        images:
          type: cached
          tiers: [{type: redis, url: "redis://cache.internal", ttl: 1d}]
          origin:
            type: replicated
            replicas: {us: {type: s3, bucket: us}, eu: {type: s3, bucket: eu}}
            journal: {type: redis, url: "redis://journal.internal"}
            repair: {every: 30s}
    """
    files = {id(journal) for journal, _ in _files(stack)}
    for cache, _ in stack.stores("cached"):
        tier = shared_tier(cache)
        if tier is None:
            continue
        for below in walk(cache.origin):
            journal = getattr(below, "journal", None)
            if hasattr(below, "replicas") and id(journal) in files:
                node = next(node for thing, node in stack.things() if thing is journal)
                yield (
                    node,
                    "is one host's, and the Redis tier above it is for several: each "
                    "host that writes would have its own; use type: redis or sql",
                )


def _files(stack: Stack) -> Iterator[tuple[Any, Node]]:
    """Yield every journal in a file, and its node."""
    for thing, node in stack.things():
        if type(thing).__name__ == "SQLiteJournal":
            yield thing, node
