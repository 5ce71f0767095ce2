"""
What a stack keeps, where, and by which names.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Any
from urllib.parse import urlsplit

from tiered_store.config.options import options_of
from tiered_store.config.places import addressed, is_cache, place_of
from tiered_store.node import kind_of
from tiered_store.store import Store
from tiered_store.tree import walk
from tiered_store.units import Secret


Place = Hashable
Route = tuple[Hashable, ...]
Transform = tuple[str, frozenset[bytes]]

_TRANSFORMS = ("encrypted", "compressed", "verified")
_ORDERED: dict[str, tuple[str, ...]] = {  # who asks one child before another
    "fallback": (),  # as they are written
    "overlay": ("above", "below"),
    "migrating": ("new", "old"),
}
_LEADING: dict[str, tuple[str, ...]] = {  # options that decide who has an object
    "sharded": ("weights",),
    "routed": ("rules", "default"),
}


class Facts:
    """
    A labelled stack, as far as a change of it matters.

    Attributes:
        stores: By label, those that somebody named.
        leaves: By label, where each leaf of the stack keeps objects.
        seen_through: By place, what the bytes there went through, outermost first.
        routes: By place, the ways that lead to it past stores which give each object
            to one of several, and the label of the first of those, if any.
        mirrors: By label, those that know replicas by name.
        caches: By label.
        copies: Where tiers keep copies, those in memory left out.
        asked: Two places, the one that is asked before the other, and who asks.
    """

    def __init__(self, stack: Store) -> None:
        everything = [store for store in walk(stack) if not store.transparent]
        self.stores: dict[str, Any] = {str(store): store for store in everything}
        self.leaves: dict[str, Place] = {}
        self.seen_through: dict[Place, tuple[Transform, ...]] = {}
        self.routes: dict[Place, dict[Route, str]] = {}
        for leaf in _kept(stack):
            where = located(leaf.store, leaf.prefix)
            self.leaves[str(leaf.store)] = where
            self.seen_through.setdefault(where, leaf.through)
            self.routes.setdefault(where, {})[leaf.route] = leaf.led_by
        self.mirrors = {
            label: store
            for label, store in self.stores.items()
            if getattr(store, "journal", None) is not None and not is_cache(store)
        }
        self.caches = {x: store for x, store in self.stores.items() if is_cache(store)}
        self.copies: set[Place] = {
            place
            for cache in self.caches.values()
            for tier in cache.tiers
            for place in copies_of(tier)
        }
        self.asked = {
            pair: str(store) for store in everything for pair in _asked(store)
        }

    @property
    def places(self) -> set[Place]:
        """Where objects are kept, copies left out."""
        return set(self.leaves.values())


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A store where objects are kept, and what stands above it."""

    store: Any
    prefix: str = ""
    through: tuple[Transform, ...] = ()
    route: Route = ()
    led_by: str = ""


def _kept(store: Any, above: _Leaf | None = None) -> Iterator[_Leaf]:
    """Yield every leaf of *store* where objects are kept."""
    here = replace(above, store=store) if above else _Leaf(store)
    kind = kind_of(type(store))
    if kind == "prefixed":
        here = replace(here, prefix=store.prefix + here.prefix)
    if kind in _TRANSFORMS:
        here = replace(here, through=(*here.through, (kind, _keys(store, kind))))
    if kind in _LEADING:
        here = replace(here, led_by=here.led_by or str(store))
    below = {"": store.origin} if is_cache(store) else store.children()
    for name, child in below.items():
        step = ((*_leading(store, kind), name),) if kind in _LEADING else ()
        yield from _kept(child, replace(here, route=(*here.route, *step)))
    if not below:
        yield here


def _leading(store: Any, kind: str) -> tuple[Hashable, ...]:
    """Return what decides to which child of *store* an object is led."""
    options = (repr(getattr(store, name)) for name in _LEADING[kind])
    return kind, frozenset(store.children()), *options


def _keys(store: Any, kind: str) -> frozenset[bytes]:
    """Return the names of the keys that *store* reads with, which do not tell them."""
    return store.key_names() if kind == "encrypted" else frozenset()


def located(thing: Any, prefix: str = "") -> Place:
    """Return where *thing* keeps what it keeps, the same in every process."""
    kind = kind_of(type(thing)) if isinstance(thing, Store) else type(thing).__name__
    place = place_of(thing, kind)
    if isinstance(place, int):  # a type that says nothing of it: by name and options
        place = (kind, str(thing), *sorted(options_of(thing).items()))
    return (prefix, place) if prefix else place


def places_below(store: Store) -> frozenset[Place]:
    """Return where the objects of *store* are kept."""
    return frozenset(located(leaf.store, leaf.prefix) for leaf in _kept(store))


def copies_of(tier: Any) -> frozenset[Place]:
    """Return where the copies of *tier* are kept."""
    stores = list(tier.children().values())
    return (
        frozenset().union(*map(places_below, stores))
        if stores
        else frozenset({located(tier)})
    )


def form_of(tier: Any) -> tuple[tuple[Transform, ...], ...]:
    """Return what the copies of *tier* go through."""
    below = [leaf for store in tier.children().values() for leaf in _kept(store)]
    return tuple(leaf.through for leaf in below)


def _asked(store: Any) -> Iterator[tuple[Place, Place]]:
    """Yield places below *store*, each with one that is only asked after it."""
    children = store.children()
    if kind_of(type(store)) not in _ORDERED:
        return
    order = _ORDERED[kind_of(type(store))] or tuple(children)
    for first, second in combinations(order, 2):
        yield from product(
            places_below(children[first]), places_below(children[second])
        )


def named(mirror: Any) -> Mapping[str, frozenset[Place]]:
    """Return by its name in the journal where each replica of *mirror* is."""
    return {name: places_below(child) for name, child in mirror.children().items()}


def journal_of(store: Any) -> Place | None:
    """Return where the journal of *store* is, if it has one."""
    journal = getattr(store, "journal", None)
    if journal is None:
        return None
    place = journal.place
    return (type(journal).__name__, str(store) if place is None else addressed(place))


def shown(places: Any) -> str:
    """Return *places*, or one, as a person calls them; nothing secret."""
    if isinstance(places, frozenset | set):
        return " and ".join(sorted(shown(place) for place in places))
    return " ".join(_words(places))


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, tuple):
        for part in value:
            yield from _words(part)
    elif isinstance(value, Secret):
        address = urlsplit(value.reveal())  # of which only who answers is shown
        yield f"{address.hostname or 'here'}{address.path}"
    elif value not in (None, "", ()):
        yield str(value)
