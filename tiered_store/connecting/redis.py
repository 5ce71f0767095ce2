"""
Settings of Redis servers that would bite.

Of a Cluster each node is looked at: any of them may have been set up differently, and
what it does to its share of the keys is done to all that is stored.
"""

from __future__ import annotations

import contextlib
import functools
import time

from collections.abc import Mapping
from typing import Any, Literal

from tiered_store.connecting.finding import Attempt, State
from tiered_store.connecting.scratch import clock


Use = Literal["copies", "objects", "journal"]
Judgement = tuple[State, str]

_LOST = {"objects": "objects", "journal": "what replicas missed"}


def settings(thing: Any, at: Attempt, use: Use) -> None:
    """
    Look at the clock, at eviction, at persistence and at who would take over.

    Args:
        thing: A store, tier, journal or control that makes clients of redis-py.
        use: What the servers are to it: copies may be evicted, nothing else may.
    """
    client = at.attempt("connect", thing._connect)
    if client is None:
        return
    with contextlib.closing(client):
        if not at.done("connect", client.ping):
            return
        nodes = at.attempt("nodes", lambda: _nodes(client)) or {}
        ahead, told = _asked(client, at, nodes)
    if ahead:
        clock(at, max(ahead, key=abs))
    ttl = getattr(thing, "ttl", None)
    mode = getattr(thing, "mode", "standalone")
    judged = {
        name: {
            "eviction": _eviction(use, seen, expires=ttl is not None),
            "persistence": _persistence(use, seen),
            "replication": _replication(use, seen, mode),
        }
        for name, seen in told.items()
    }
    for what in ("eviction", "persistence", "replication"):
        _say(at, what, {name: each[what] for name, each in judged.items()})


def _asked(
    client: Any, at: Attempt, nodes: Mapping[str, dict[str, Any]]
) -> tuple[list[float], dict[str, dict[str, Any]]]:
    """Return how far ahead clocks are, and by node what it says; failures are noted."""
    ahead: list[float] = []
    told: dict[str, dict[str, Any]] = {}
    for name, to in nodes.items():
        seconds = at.attempt("clock", functools.partial(_ahead, client, to))
        if seconds is not None:
            ahead.append(seconds)
        seen = at.attempt("settings", functools.partial(_told, client, to))
        if seen is not None:
            told[name] = seen
    return ahead, told


def _nodes(client: Any) -> dict[str, dict[str, Any]]:
    """Return by name how each server behind *client* is asked."""
    if not hasattr(client, "get_nodes"):
        return {"": {}}
    return {node.name: {"target_nodes": node} for node in client.get_nodes()}


def _ahead(client: Any, to: Mapping[str, Any]) -> float:
    seconds, micro = client.time(**to)
    return float(seconds + micro / 1e6 - time.time())


def _told(client: Any, to: Mapping[str, Any]) -> dict[str, Any]:
    """Return what INFO says; many servers that are rented allow no CONFIG."""
    found: dict[str, Any] = {}
    for section in ("memory", "persistence", "replication"):
        found.update(client.info(section, **to))
    with contextlib.suppress(Exception):  # the least of all rights
        found["save"] = client.config_get("save", **to)["save"]
    return found


def _say(at: Attempt, what: str, judged: Mapping[str, Judgement | None]) -> None:
    """Note each judgement once, and whose it is unless all are alike."""
    for judgement in dict.fromkeys(judged.values()):
        if judgement is None:
            continue
        names = [name for name in judged if judged[name] == judgement]
        whose = "" if len(names) == len(judged) else f"{', '.join(names)}: "
        state, message = judgement
        at.note(what, state, f"{whose}{message}")


def _eviction(use: Use, told: Mapping[str, Any], *, expires: bool) -> Judgement:
    policy = str(told.get("maxmemory_policy", "noeviction"))
    bounded = int(told.get("maxmemory", 0)) > 0
    if use != "copies":
        if policy != "noeviction" and bounded:
            return (
                "failed",
                f"{policy}: when it is full it drops {_LOST[use]}; say "
                "maxmemory-policy noeviction",
            )
        return "ok", policy
    if not bounded:
        return (
            "warning",
            "no maxmemory: copies fill the machine; say maxmemory, and "
            "maxmemory-policy allkeys-lfu",
        )
    if policy == "noeviction":
        return (
            "warning",
            "noeviction: when it is full nothing new is kept; say maxmemory-policy "
            "allkeys-lfu",
        )
    if policy.startswith("volatile") and not expires:
        return (
            "warning",
            f"{policy} evicts only what has a ttl, and these copies have none",
        )
    return "ok", policy


def _persistence(use: Use, told: Mapping[str, Any]) -> Judgement:
    if use == "copies":
        if _is_kept(told):
            return (
                "warning",
                "on: after a restart old copies are back, and saving them costs; say "
                'save "" and appendonly no',
            )
        return "ok", "off"
    if not _is_kept(told):
        return (
            "warning",
            f"off: a restart forgets {_LOST[use]}; say appendonly yes",
        )
    return "ok", "append only file" if _logs(told) else "snapshots"


def _replication(use: Use, told: Mapping[str, Any], mode: str) -> Judgement | None:
    if told.get("role") != "master" or int(told.get("connected_slaves", 0)):
        return None
    if mode == "sentinel":
        return "warning", "no replica follows the master: nobody takes over from it"
    if use != "copies" and not _is_kept(told):
        return "note", "no replica of the server either"
    return None


def _is_kept(told: Mapping[str, Any]) -> bool:
    return _logs(told) or bool(told.get("save"))


def _logs(told: Mapping[str, Any]) -> bool:
    return bool(int(told.get("aof_enabled", 0)))
