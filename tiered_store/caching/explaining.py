"""
What a cache knows of one object, for a person.
"""

from __future__ import annotations

import time

from collections.abc import Iterator

from tiered_store import deadlines
from tiered_store.caching.keeper import Keeper
from tiered_store.errors import CorruptError, StoreError, UnavailableError
from tiered_store.findings import Finding, State
from tiered_store.key import Key
from tiered_store.tiers.shared import SharedTier
from tiered_store.tiers.tier import FOREVER, Entry, Tier


_CONNECTING = 1.0  # seconds in which a feed that was just begun should be online


def findings(keeper: Keeper, key: Key, place: str) -> Iterator[Finding]:
    """Yield what is pending in the cache at *place*, and what each tier has."""
    pending = {
        "purge": keeper.poison.owed(key),
        "here": keeper.coherence.under_way(key),
    }
    facts = {name: said for name, said in pending.items() if said is not None}
    if facts:
        yield Finding(place=place, state="pending", facts=facts)
    for number, name in enumerate(keeper.tiers):
        where = f"{place}.{name}"
        try:
            with deadlines.share(len(keeper.tiers) - number):
                finding = _finding(keeper, key, name, where)
        except StoreError as error:
            finding = Finding.of(where, error)
        yield finding


def _finding(keeper: Keeper, key: Key, name: str, where: str) -> Finding:
    tier = keeper.tiers[name]
    try:
        entry = _examined(tier, key)
    except CorruptError as error:
        facts = {"why": error.message, **_facts(tier, key)}
        return Finding(place=where, state="unbelieved", facts=facts)
    facts = _facts(tier, key)
    if entry is None:
        return Finding(place=where, state="missing", facts=facts)
    record, now = entry.record, keeper.clock.time()
    state, facts = _state(entry, now), {**_told(entry, now, tier), **facts}
    why = keeper.doubts(key, name, record)
    if why is not None:
        state, facts = "unbelieved", {"why": why, **facts}
    return Finding(
        place=where,
        state=state,
        age=now - record.since,
        size=record.size,
        version=record.version,
        facts=facts,
    )


def _examined(tier: Tier, key: Key) -> Entry | None:
    """Return what *tier* has; one that has just begun to connect is asked again."""
    try:
        return tier.examine(key)
    except UnavailableError:
        if not isinstance(tier, SharedTier) or not _is_online(tier):
            raise
    return tier.examine(key)


def _state(entry: Entry, now: float) -> State:
    if not entry.record.fresh(now):
        return "stale"
    if not entry.whole:
        return "missing"
    return "absent" if entry.record.absent else "held"


def _told(entry: Entry, now: float, tier: Tier) -> dict[str, str]:
    record, facts = entry.record, {}
    if not entry.whole:
        facts["record"] = "the bytes are in another tier, if anywhere"
    if record.fresh_until != FOREVER:
        left = record.fresh_until - now
        facts["fresh"] = f"for {left:.1f} s" if left > 0 else f"until {-left:.1f} s ago"
    if not tier.private:
        facts["copy"] = f"{record.identity:016x}"
    return facts


def _facts(tier: Tier, key: Key) -> dict[str, str]:
    """Return what there is to say of a tier, whether it has a copy or not."""
    if tier.private:
        return {"memory": "of this process only"}
    if not isinstance(tier, SharedTier):
        return {}
    going = tier.under_way(key)
    facts = {"feed": "online" if _is_online(tier) else "torn"}
    if going is not None:
        awaited = ", which others wait for" if going.waited_for else ""
        facts["under way"] = f"a {going.what}{awaited}, for {going.seconds:.1f} s more"
    return facts


def _is_online(tier: SharedTier) -> bool:
    """Say whether *tier* hears of writes, or does soon: the first look starts it."""
    ends = time.monotonic() + deadlines.bounded(_CONNECTING)
    while not tier.online and time.monotonic() < ends:
        time.sleep(0.005)
    return tier.online
