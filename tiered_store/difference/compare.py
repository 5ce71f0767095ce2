"""
Two stacks, compared for what is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiered_store.config.options import options_of, value_of
from tiered_store.difference.change import ORDER, Change
from tiered_store.difference.facts import (
    Facts,
    copies_of,
    form_of,
    journal_of,
    named,
    places_below,
    shown,
)
from tiered_store.store import Store
from tiered_store.tiers.memory import MemoryTier
from tiered_store.tree import label


def differences(before: Store, after: Store) -> list[Change]:
    """Return what becomes of the data of *before* under *after*, the worst first."""
    old, new = Facts(label(before, "images")), Facts(label(after, "images"))
    found = [
        *_bytes(old, new),
        *_led(old, new),
        *_precedence(old, new),
        *_mistaken(old, new),
        *_mirrors(old, new),
        *_places(old, new),
        *_caches(old, new),
        *_options(old, new),
    ]
    unique = dict.fromkeys(found)
    return sorted(unique, key=lambda change: (ORDER.index(change.kind), change.path))


def _bytes(old: Facts, new: Facts) -> Iterator[Change]:
    for path, place in new.leaves.items():
        before = old.seen_through.get(place)
        if before is None:
            continue
        after = new.seen_through[place]
        was, now = (
            " ".join(kind for kind, _ in each) or "plain" for each in (before, after)
        )
        if was != now:
            message = f"what is stored in {shown(place)} is {was}, and read as {now}"
            yield Change("unreadable", path, message, "move through 'migrating'")
        elif any(had - has for (_, had), (_, has) in zip(before, after, strict=True)):
            message = f"a key that objects in {shown(place)} may need is not given"
            yield Change("unreadable", path, message, "keep it among old_keys")


def _led(old: Facts, new: Facts) -> Iterator[Change]:
    """Yield each store that gives objects to others than those that have them."""
    for path, place in new.leaves.items():
        before, after = old.routes.get(place, {}), new.routes[place]
        if () in after or before.keys() <= after.keys():
            continue  # whatever was looked for there still is
        led_by = next((label for way, label in after.items() if way not in before), "")
        yield Change(
            "unreadable",
            led_by or path,
            "objects are led by other names or rules: those that lead elsewhere now "
            "are not found",
            "move through 'migrating', with the old stack as its old store",
        )


def _precedence(old: Facts, new: Facts) -> Iterator[Change]:
    """Yield each store that asks two places the other way round."""
    for (first, second), path in new.asked.items():
        if (second, first) in old.asked and (first, second) not in old.asked:
            yield Change(
                "mixed",
                path,
                f"{shown(first)} is asked before {shown(second)} now: what differs is "
                "served from there",
                "make them equal first",
            )


def _mistaken(old: Facts, new: Facts) -> Iterator[Change]:
    """Yield each place where copies are taken for objects, or objects for copies."""
    for path, place in new.leaves.items():
        if place in old.copies - old.places:
            message = f"copies that a cache kept in {shown(place)} are its objects now"
            yield Change("mixed", path, message, "empty it first")
    for path, place in old.leaves.items():
        if place in new.copies - new.places:
            message = f"objects in {shown(place)} are taken for copies, and dropped"
            yield Change("mixed", path, message, "copy them first")


def _mirrors(old: Facts, new: Facts) -> Iterator[Change]:
    for path, before in old.mirrors.items():
        after = new.mirrors.get(path) or _heir(before, new)
        if after is None:
            yield _orphaned(path, before, "no mirror is there any more")
            continue
        if journal_of(before) != journal_of(after):
            yield _orphaned(
                path, before, f"{shown(journal_of(after))} is the journal now"
            )
        yield from _replicas(str(after), named(before), named(after))
    for path, after in new.mirrors.items():
        if path not in old.mirrors and not any(
            _heir(before, new) is after for before in old.mirrors.values()
        ):
            for name, places in named(after).items():
                if old.places and not places & old.places:
                    yield _filled(path, name, f"begins empty, in {shown(places)}")


def _heir(before: Any, new: Facts) -> Any:
    """Return the mirror that has replicas of *before*, whatever it is called."""
    own = places_below(before)
    heirs = (after for after in new.mirrors.values() if places_below(after) & own)
    return next(heirs, None)


def _replicas(path: str, before: Any, after: Any) -> Iterator[Change]:
    for name, places in after.items():
        if before.get(name) == places:
            continue
        called = next((word for word, where in before.items() if where == places), None)
        if called is not None:
            yield Change(
                "orphaned",
                path,
                f"{called} is called {name} now, and rows of the journal say {called}",
                f"keep the name, or repair until nothing is pending for {called} first",
            )
        elif name in before:
            yield _filled(
                path, name, f"moves from {shown(before[name])} to {shown(places)}"
            )
        else:
            yield _filled(path, name, f"begins empty, in {shown(places)}")
    for name, places in before.items():
        if name not in after and places not in after.values():
            yield Change(
                "orphaned",
                path,
                f"{name} is no replica any more, and rows for it stay",
                "repair first, if it has what others lack; then tiered-store forget",
            )


def _filled(path: str, name: str, how: str) -> Change:
    todo = "tiered-store verify --repair; until then only read repair fills it"
    return Change("fill", f"{path}.{name}", how, todo)


def _orphaned(path: str, store: Any, why: str) -> Change:
    return Change(
        "orphaned",
        path,
        f"{why}; what {shown(journal_of(store))} remembers is read by nobody",
        "tiered-store repair with the old file, until status shows nothing pending",
    )


def _places(old: Facts, new: Facts) -> Iterator[Change]:
    mirrored = {
        place
        for mirror in (*old.mirrors.values(), *new.mirrors.values())
        for place in places_below(mirror)
    }
    for path, place in new.leaves.items():
        if place in old.places or place in mirrored:
            continue
        was = old.leaves.get(path)
        if was is None or was in new.places:
            yield Change("new", path, f"objects are kept in {shown(place)}, too")
    for path, place in old.leaves.items():
        if place in new.places or place in mirrored:
            continue
        now = new.leaves.get(path)
        where = "" if now is None else f"; {shown(now)} is in its place"
        yield Change(
            "gone",
            path,
            f"nobody looks in {shown(place)} any more{where}",
            "copy the objects first, or go through 'migrating'",
        )


def _caches(old: Facts, new: Facts) -> Iterator[Change]:
    for path, after in new.caches.items():
        before = old.caches.get(path)
        lasting = [tier for tier in after.tiers if not isinstance(tier, MemoryTier)]
        if before is None:
            if lasting:
                yield Change("cold", path, "a cache that was not there begins empty")
            continue
        known = {copies_of(tier): form_of(tier) for tier in before.tiers}
        same_origin = places_below(before.origin) & places_below(after.origin)
        for tier in lasting:
            number = after.tiers.index(tier)
            place = f"{path}.tiers.{number}"
            copies = copies_of(tier)
            if known.get(copies) != form_of(tier):
                yield Change("cold", place, f"begins empty, in {shown(copies)}")
            elif not same_origin:
                yield Change(
                    "mixed",
                    place,
                    f"{shown(copies)} has copies of another origin's objects",
                    "give it another prefix or place, or empty it first",
                )
        if journal_of(before) != journal_of(after) and before.journal is not None:
            yield _orphaned(path, before, "the cache remembers elsewhere, or nothing")


def _options(old: Facts, new: Facts) -> Iterator[Change]:
    then, now_there = _things(old), _things(new)
    for path, thing in now_there.items():
        before = then.get(path)
        if before is None or type(before) is not type(thing):
            continue
        was, now = options_of(before), options_of(thing)
        for name in sorted(was.keys() | now.keys()):
            old_value, new_value = (x.get(name, "its default") for x in (was, now))
            if old_value != new_value:
                yield Change("option", path, f"{name}: {old_value}, now {new_value}")
            elif value_of(before, name) != value_of(thing, name):  # a secret
                yield Change("option", path, f"{name}: another one")


def _things(facts: Facts) -> dict[str, Any]:
    """Return all that has options, by its path: stores, and tiers of caches."""
    tiers = {
        f"{path}.tiers.{number}": tier
        for path, cache in facts.caches.items()
        for number, tier in enumerate(cache.tiers)
        if not tier.children()
    }
    return {**facts.stores, **tiers}
