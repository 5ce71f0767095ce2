"""
Every place that a stack names, tried one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiered_store.config.options import parts_of
from tiered_store.connecting import redis, s3, scratch
from tiered_store.connecting.finding import Attempt, Finding
from tiered_store.node import kind_of
from tiered_store.store import Store
from tiered_store.tree import walk


def connect(stack: Store, *, seconds: float = 5.0) -> Iterator[Finding]:
    """
    Yield what was tried at each place that *stack* names, and how it went.

    Stores that the stack only reads are only read.  What is put is an object of type
    ``tiered-store-check.…`` and is deleted again.

    Args:
        seconds: For each single thing that is tried.
    """
    written = _written(stack)
    for store in walk(stack):
        if not store.children():
            yield from _leaf(store, store in written, seconds)
        for role, part in parts_of(store).items():
            place = f"{store}.{role}"
            yield from _part(part, place, seconds)


def _leaf(store: Store, is_written: bool, seconds: float) -> Iterator[Finding]:
    at = Attempt(str(store), seconds)
    if is_written:
        scratch.write(store, at)
    else:
        scratch.read(store, at)
    kind = kind_of(type(store))
    if kind == "s3":
        s3.settings(store, at)
    elif kind == "redis":
        redis.settings(store, at, "objects")
    yield from at.findings


def _part(part: Any, place: str, seconds: float) -> Iterator[Finding]:
    at = Attempt(place, seconds)
    kind = type(part).__name__
    if kind == "RedisTier":
        redis.settings(part, at, "copies")
    elif hasattr(part, "backlogs"):
        at.done("read", part.backlogs)
        if kind == "RedisJournal":
            redis.settings(part, at, "journal")
    elif hasattr(part, "decide"):
        at.done("read", part.load)
    yield from at.findings


def _written(stack: Store) -> set[Store]:
    """Return the leaves that the stack writes, by any path."""
    found: set[Store] = set()

    def visit(store: Store, writes: bool) -> None:
        children = store.children()
        if not children and writes:
            found.add(store)
        reads_only = {"overlay": "below", "migrating": "old"}.get(kind_of(type(store)))
        for role, child in children.items():
            only_read = kind_of(type(store)) == "readonly" or role == reads_only
            visit(child, writes and not only_read)

    visit(stack, True)
    return found
