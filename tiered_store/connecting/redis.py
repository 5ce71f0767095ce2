"""
Settings of a Redis server that would bite.
"""

from __future__ import annotations

import contextlib
import time

from typing import Any, Literal

from tiered_store.connecting.finding import Attempt
from tiered_store.connecting.scratch import clock


Use = Literal["copies", "objects", "journal"]
_LOST = {"objects": "objects", "journal": "what replicas missed"}


def settings(thing: Any, at: Attempt, use: Use) -> None:
    """
    Look at the clock, at eviction and at persistence.

    Args:
        thing: A store, tier, journal or control that makes clients of redis-py.
        use: What the server is to it: copies may be evicted, nothing else may.
    """
    client = at.attempt("connect", thing._connect)
    if client is None:
        return
    with contextlib.closing(client):
        if not at.done("connect", client.ping):
            return
        seen = at.attempt("clock", client.time)
        if seen is not None:
            seconds, micro = (
                seen if isinstance(seen, tuple) else next(iter(seen.values()))
            )
            clock(at, seconds + micro / 1e6 - time.time())
        told = at.attempt("settings", lambda: _told(client))
        if told is not None:
            _eviction(thing, at, use, told)
            _persistence(at, use, told)


def _told(client: Any) -> dict[str, Any]:
    """Return what INFO says; many servers that are rented allow no CONFIG."""
    found: dict[str, Any] = {}
    for section in ("memory", "persistence", "replication"):
        answer = client.info(section)
        if answer and all(isinstance(value, dict) for value in answer.values()):
            answer = next(iter(answer.values()))  # of one node of a Cluster
        found.update(answer)
    with contextlib.suppress(Exception):  # the least of all rights
        saves = client.config_get("save")
        found["save"] = saves.get("save", "") if isinstance(saves, dict) else ""
    return found


def _eviction(thing: Any, at: Attempt, use: Use, told: dict[str, Any]) -> None:
    policy = str(told.get("maxmemory_policy", "noeviction"))
    bounded = int(told.get("maxmemory", 0)) > 0
    if use != "copies":
        if policy != "noeviction" and bounded:
            at.note(
                "eviction",
                "failed",
                f"{policy}: when it is full it drops {_LOST[use]}; say "
                "maxmemory-policy noeviction",
            )
        else:
            at.note("eviction", "ok", policy)
    elif not bounded:
        at.note(
            "eviction",
            "warning",
            "no maxmemory: copies fill the machine; say maxmemory, and "
            "maxmemory-policy allkeys-lfu",
        )
    elif policy == "noeviction":
        at.note(
            "eviction",
            "warning",
            "noeviction: when it is full nothing new is kept; say maxmemory-policy "
            "allkeys-lfu",
        )
    elif policy.startswith("volatile") and getattr(thing, "ttl", None) is None:
        at.note(
            "eviction",
            "warning",
            f"{policy} evicts only what has a ttl, and these copies have none",
        )
    else:
        at.note("eviction", "ok", policy)


def _persistence(at: Attempt, use: Use, told: dict[str, Any]) -> None:
    logs = bool(int(told.get("aof_enabled", 0)))
    kept = logs or bool(told.get("save"))
    if use == "copies":
        if kept:
            at.note(
                "persistence",
                "warning",
                "on: after a restart old copies are back, and saving them costs; say "
                'save "" and appendonly no',
            )
        else:
            at.note("persistence", "ok", "off")
    elif not kept:
        at.note(
            "persistence",
            "warning",
            f"off: a restart forgets {_LOST[use]}; say appendonly yes",
        )
    else:
        at.note("persistence", "ok", "append only file" if logs else "snapshots")
    if use != "copies" and int(told.get("connected_slaves", 0)) == 0 and not kept:
        at.note("replication", "note", "no replica of the server either")
