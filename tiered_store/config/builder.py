"""
A document to stores: names resolved, loops found, attributes expanded.
"""

from __future__ import annotations

import contextlib

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from tiered_store.config.attributes import ATTRIBUTES
from tiered_store.config.bounded import DEEPEST
from tiered_store.config.decode import FAILED, Decoder
from tiered_store.config.defaults import Defaults
from tiered_store.config.interpolate import interpolated
from tiered_store.config.lookup import Lookup
from tiered_store.config.missing import Missing
from tiered_store.config.node import Node
from tiered_store.config.preset import WORD as PRESET
from tiered_store.config.problems import Problems
from tiered_store.config.registry import Family, Registry
from tiered_store.config.schema import Schema
from tiered_store.foreign import as_store
from tiered_store.store import Store
from tiered_store.wording import nearest, series, unknown


class Builder:
    """
    Builds what a document defines: each name once, whoever refers to it.

    Args:
        definitions: By family and name, the node that defines it.
        defaults: What all nodes of a type have.

    Attributes:
        made: Everything that was made, parts first, and the node it was made of.
        used: Families and names that something refers to.
    """

    def __init__(
        self,
        definitions: Mapping[str, Mapping[str, Node]],
        defaults: Defaults,
        problems: Problems,
        registry: Registry,
    ) -> None:
        self.made: list[tuple[Any, Node]] = []
        self.used: set[tuple[str, str]] = set()
        self._definitions = definitions
        self._defaults = defaults
        self._problems = problems
        self._registry = registry
        self._decoder = Decoder(problems, registry, self._part)
        self._lookup = Lookup(self._decoder, problems)
        self._defined: dict[tuple[str, str], Any] = {}
        self._trail: list[tuple[str, str]] = []
        self._depth = 0

    def defined(self, family: Family, name: str) -> Any:
        """Return the one thing of *family* that is called *name*, or ``FAILED``."""
        which = (family.noun, name)
        if which not in self._defined:
            node = self._definitions[family.noun][name]
            self._trail.append(which)
            self._defined[which] = self._inline(
                family, interpolated(node, self._problems)
            )
            self._trail.pop()
        return self._defined[which]

    def stores(self) -> Iterator[tuple[Store, Node]]:
        """Yield every store that was made, and the node it was made of."""
        for thing, node in self.made:
            if isinstance(thing, Store):
                yield thing, node

    def secrets(self) -> list[Node]:
        """Return every node that was read as something secret."""
        return self._decoder.secrets

    def is_unread(self) -> bool:
        """Whether a name that something refers to could not be read."""
        return self._decoder.unread

    def close(self) -> None:
        """Close everything that was made, whatever that says."""
        for thing, _ in reversed(self.made):
            close = getattr(thing, "close", None)
            if callable(close):
                with contextlib.suppress(Exception):
                    close()

    def _part(self, family: Family, node: Node) -> Any:
        if family is self._registry.tiers:
            return self._tier(node)
        if isinstance(node.value, str):
            part = self._named(family, node.value, node)
        else:
            part = self._inline(family, node)
        is_missing = part is FAILED and family is self._registry.stores
        return Missing() if is_missing else part

    def _named(self, family: Family, name: str, node: Node) -> Any:
        if not self._is_known(family, name, node):
            return FAILED
        which = (family.noun, name)
        if which in self._trail:
            trail = [*self._trail[self._trail.index(which) :], which]
            path = " -> ".join(name for _, name in trail)
            return self._decoder.fail(node, f"a loop: {path}")
        return self.defined(family, name)

    def _is_known(self, family: Family, name: str, node: Node) -> bool:
        """Whether *name*, to which *node* refers, is defined; if not, that is told."""
        known = self._definitions[family.noun]
        if name in known:
            self.used.add((family.noun, name))
            return True
        if node.sources:
            message = f"unknown {family.noun}, {node.shown()}"
            self._decoder.fail(node, f"{message}; known are: {series(known) or 'none'}")
            return False
        self.used.add((family.noun, nearest(name, known) or name))
        self._decoder.fail(node, unknown(family.noun, name, known))
        return False

    def _inline(self, family: Family, node: Node, also: tuple[str, ...] = ()) -> Any:
        """Return what the mapping *node* describes, or ``FAILED``."""
        if node.broken:
            return FAILED
        if self._depth > DEEPEST:
            return self._decoder.fail(node, f"stacked more than {DEEPEST} deep")
        self._depth += 1
        try:
            return self._described(family, node, also)
        finally:
            self._depth -= 1

    def _described(self, family: Family, node: Node, also: tuple[str, ...]) -> Any:
        schema = self._lookup.schema(family, node)
        if schema is None:
            return FAILED
        free = self._free(family, schema)
        node = self._over(family, node, (*schema.options, *free))
        also = (*free, *also)
        attributes = {x: node.entries[x] for x in free if x in node.entries}
        own = node.without(frozenset({"type", *attributes}))
        if PRESET in own.entries and PRESET not in schema.options:
            own = self._without_preset(own)
        made = self._decoder.made(schema, own.entries, own, also=also)
        if family is self._registry.stores and made is not FAILED:
            made = self._as_store(made, node)
        made = self._kept(made, node)
        for word, attribute in attributes.items():
            made = self._wrapped(word, attribute, made, node)
        return made

    def _without_preset(self, node: Node) -> Node:
        written = node.entries[PRESET]
        message = "stands beside 'type', and a node has one of them; remove the other"
        self._decoder.fail(written, message, at=written.key)
        return node.without(frozenset({PRESET}))

    def _free(self, family: Family, schema: Schema) -> list[str]:
        """Return the attributes that things of *family* may have besides options."""
        if family is not self._registry.stores:
            return []
        return [word for word in ATTRIBUTES if word not in schema.options]

    def _over(self, family: Family, node: Node, known: Iterable[str]) -> Node:
        """Return *node* with the defaults of its type, of the keys that are *known*."""
        word = str(node.entries["type"].value)
        defaults = {
            key: entry
            for key, entry in self._defaults.of(family, word).items()
            if key in known
        }
        return replace(node, value={**defaults, **node.entries})

    def check_defaults(self) -> None:
        """Note what is wrong with defaults, whether anything has them or not."""
        reader = Decoder(self._problems, self._registry, self._seen)
        reader.secrets = self._decoder.secrets
        for family, word, written in self._defaults.written():
            schema = self._lookup.found(family, word, written)
            if schema is None:
                continue
            known = (*schema.options, *self._free(family, schema))
            for key, entry in self._defaults.of(family, word).items():
                if key not in known:
                    message = unknown("key", key, known, listed=True)
                    self._decoder.fail(entry, message, at=entry.key)
                elif key in schema.options:
                    reader.value(schema.options[key].shape, entry)
                elif entry.value is not False:
                    self._attribute(key, entry, Missing())

    def _seen(self, family: Family, node: Node) -> Any:
        """Look for what *node* refers to; nothing is made of a default by itself."""
        if isinstance(node.value, str):
            self._is_known(family, node.value, node)
        return FAILED

    def _as_store(self, made: Any, node: Node) -> Any:
        try:
            return as_store(made)
        except TypeError as error:  # somebody else's type that is no store
            return self._decoder.fail(node, str(error), at=node.start)

    def _wrapped(self, word: str, attribute: Node, made: Any, node: Node) -> Any:
        """Return *made* in the wrapper that *attribute* asks for, or ``FAILED``."""
        if attribute.value is False:
            return made
        inner = Missing() if made is FAILED else made
        wrapper = self._attribute(word, attribute, inner)
        if made is FAILED or wrapper is FAILED:
            return FAILED
        wrapper.transparent = True
        return self._kept(wrapper, attribute)

    def _attribute(self, word: str, attribute: Node, inner: Store) -> Any:
        """Return the wrapper around *inner* that *attribute* means, or ``FAILED``."""
        schema = self._lookup.found(self._registry.stores, word, attribute)
        child = schema.child() if schema is not None else None
        if schema is None or child is None or attribute.broken:
            return FAILED
        entries = attribute.entries
        if attribute.value is not True and not isinstance(attribute.value, dict):
            first = next(name for name in schema.options if name != child)
            entries = {first: attribute}
        defaults = self._defaults.of(self._registry.stores, word)
        usual = {key: x for key, x in defaults.items() if key in schema.options}
        entries = {**usual, **entries}
        return self._decoder.made(schema, entries, attribute, given={child: inner})

    def _tier(self, node: Node) -> Any:
        """Return the tier that *node* describes; any store may be one."""
        schema = self._lookup.found(self._registry.tiers, "store", node)
        child = schema.child() if schema is not None else None
        if schema is None or child is None:
            return FAILED
        options = [name for name in schema.options if name != child]
        usual = self._defaults.of(self._registry.tiers, "store")
        written = {**usual, **node.entries}
        entries = {x: written[x] for x in options if x in written}
        if isinstance(node.value, dict):
            kind = node.entries.get("type")
            if kind is not None and kind.value in self._registry.tiers:
                return self._inline(self._registry.tiers, node)
            inner = node.without(frozenset(options))
            store = self._inline(self._registry.stores, inner, tuple(options))
        else:
            store = self._named(self._registry.stores, str(node.value), node)
        given = {child: Missing() if store is FAILED else store}
        return self._kept(self._decoder.made(schema, entries, node, given=given), node)

    def _kept(self, made: Any, node: Node) -> Any:
        if made is not FAILED:
            self.made.append((made, node))
        return made
