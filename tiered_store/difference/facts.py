"""
What a stack keeps, where, and by which names.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from tiered_store.config.options import options_of
from tiered_store.config.places import is_cache, place_of
from tiered_store.store import Store, kind_of
from tiered_store.tree import walk
from tiered_store.units import Secret


Place = Hashable
_TRANSFORMS = ("encrypted", "compressed", "verified")


class Facts:
    """
    A labelled stack, as far as a change of it matters.

    Attributes:
        stores: By label, those that somebody named.
        leaves: By label, where each leaf of the stack keeps objects.
        seen_through: By place, what the bytes there went through, outermost first.
        mirrors: By label, those that know replicas by name.
        caches: By label.
    """

    def __init__(self, stack: Store) -> None:
        everything = [store for store in walk(stack) if not store.transparent]
        self.stores: dict[str, Any] = {str(store): store for store in everything}
        self.leaves: dict[str, Place] = {}
        self.seen_through: dict[Place, tuple[str, ...]] = {}
        for store, prefix, through in _kept(stack, "", ()):
            where = located(store, prefix)
            self.leaves[str(store)] = where
            self.seen_through.setdefault(where, through)
        self.mirrors = {
            label: store
            for label, store in self.stores.items()
            if getattr(store, "journal", None) is not None and not is_cache(store)
        }
        self.caches = {x: store for x, store in self.stores.items() if is_cache(store)}

    @property
    def places(self) -> set[Place]:
        """Where objects are kept, copies left out."""
        return set(self.leaves.values())


def _kept(
    store: Any, prefix: str, through: tuple[str, ...]
) -> Iterator[tuple[Any, str, tuple[str, ...]]]:
    """Yield every leaf where objects are kept, its prefix, and what bytes there are."""
    kind = kind_of(type(store))
    if kind == "prefixed":
        prefix = store.prefix + prefix
    if kind in _TRANSFORMS:
        through = (*through, _transform(store, kind))
    below = [store.origin] if is_cache(store) else list(store.children().values())
    for child in below:
        yield from _kept(child, prefix, through)
    if not below:
        yield store, prefix, through


def _transform(store: Any, kind: str) -> str:
    if kind == "encrypted":
        return f"{kind} {hash((store.key, *store.old_keys))}"
    return kind


def located(thing: Any, prefix: str = "") -> Place:
    """Return where *thing* keeps what it keeps, the same in every process."""
    kind = kind_of(type(thing)) if isinstance(thing, Store) else type(thing).__name__
    place = place_of(thing, kind)
    if isinstance(place, int):  # a type that says nothing of it: by name and options
        place = (kind, str(thing), *sorted(options_of(thing).items()))
    return (prefix, place) if prefix else place


def places_below(store: Store) -> frozenset[Place]:
    """Return where the objects of *store* are kept."""
    return frozenset(located(leaf, prefix) for leaf, prefix, _ in _kept(store, "", ()))


def named(mirror: Any) -> Mapping[str, frozenset[Place]]:
    """Return by its name in the journal where each replica of *mirror* is."""
    return {name: places_below(child) for name, child in mirror.children().items()}


def journal_of(store: Any) -> Place | None:
    """Return where the journal of *store* is, if it has one."""
    journal = getattr(store, "journal", None)
    if journal is None:
        return None
    place = journal.place
    return (type(journal).__name__, str(store) if place is None else place)


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
