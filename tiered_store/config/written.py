"""
A stack that was built, as the file that builds it.
"""

from __future__ import annotations

import re

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from tiered_store.config.attributes import ATTRIBUTES
from tiered_store.config.leaf import Leaf
from tiered_store.config.options import UNKNOWN, has_password, spelled, value_of
from tiered_store.config.outline import NAME, SECTIONS, VERSION
from tiered_store.config.registry import INSTALLED, Family, Registry
from tiered_store.config.schema import (
    Choice,
    Group,
    Listing,
    Option,
    Part,
    Schema,
    Shape,
    Table,
    schema_of,
)
from tiered_store.config.yaml_text import dumped
from tiered_store.errors import ConfigError
from tiered_store.node import kind_of
from tiered_store.policies.guard import Guard
from tiered_store.store import Store
from tiered_store.units import Secret


def to_yaml(stack: Store, *, registry: Registry | None = None) -> str:
    """
    Return the file that builds *stack*; loaded, it is the same stack.

    A secret is never in it: where one stands is ``${env:NAME}``, with a name made of
    its path.  So it is with addresses that may have a password in them.  What no file
    can spell (a clock, a function) is left out.

    Raises:
        ConfigError: Something in it has no type that a file can name: any object with
            the four methods, for example.
    """
    return Written(stack, registry or INSTALLED).text()


class Written:
    """
    The file of a stack.

    Attributes:
        secrets: What was left out of it, by the name of the variable.
    """

    def __init__(self, stack: Store, registry: Registry) -> None:
        self.secrets: dict[str, str] = {}
        self._stack = stack
        self._registry = registry
        self._schemas: dict[type, Schema] = {}
        self._references: Counter[int] = Counter()
        self._names: dict[int, str] = {}
        self._sections: dict[str, dict[str, Any]] = {}
        self._count(stack)

    def text(self) -> str:
        """Return it."""
        root = str(self._stack)
        name = root if NAME.fullmatch(root) else kind_of(type(self._stack))
        self._references[id(self._stack)] = 2  # it has a name in any case
        self._part(self._registry.stores, self._stack, name)
        sections = {noun: self._sections.get(noun, {}) for noun in SECTIONS.values()}
        stores = sections["stores"]
        sections["stores"] = {name: stores.pop(name), **stores}
        return dumped(
            {
                "version": VERSION,
                "default": name,
                **{noun: section for noun, section in sections.items() if section},
            }
        )

    def _count(self, thing: object) -> None:
        """Count who refers to what, so that what is shared has a name."""
        thing = _unguarded(thing)
        self._references[id(thing)] += 1
        if self._references[id(thing)] > 1:
            return
        for option in self._schema(thing).options.values():
            for part in _parts(value_of(thing, option.name)):
                if self._registry.family_and_word(type(part)) is not None:
                    self._count(part)

    def _part(self, family: Family, thing: object, path: str) -> Any:
        """Return what stands where *thing* is asked for: its name, or all of it."""
        thing = _unguarded(thing)
        section = SECTIONS.get(family.noun)
        if section is None or self._references[id(thing)] < 2:
            return self._node(thing, path)
        if id(thing) not in self._names:
            taken = self._sections.setdefault(section, {})
            name = _free(path.replace(".", "-"), taken)
            self._names[id(thing)] = name
            taken[name] = None  # it has this place, whatever is named in it
            taken[name] = self._node(thing, name)
        return self._names[id(thing)]

    def _node(self, thing: object, path: str) -> dict[str, Any]:
        attributes: dict[str, Any] = {}
        while isinstance(thing, Store) and self._is_attribute(thing, attributes):
            word = kind_of(type(thing))
            child = self._schema(thing).child()
            options = dict(self._options(thing, path, without=child))
            attributes[word] = options or True
            thing = _unguarded(getattr(thing, str(child)))
        found = self._registry.family_and_word(type(thing))
        if found is None:
            raise ConfigError(
                f"{path}: no file can say what makes a {type(thing).__name__}; give "
                "its class a type, by an entry point or a registry"
            )
        inside_out = {
            word: attributes[word] for word in ATTRIBUTES if word in attributes
        }
        return {"type": found[1], **dict(self._options(thing, path)), **inside_out}

    def _is_attribute(self, store: Store, around: Mapping[str, Any]) -> bool:
        """Whether an attribute of what is below says the same as a node would."""
        word = kind_of(type(store))
        if not store.transparent or word not in ATTRIBUTES:
            return False
        below = _unguarded(getattr(store, str(self._schema(store).child())))
        is_shared = self._references[id(below)] > 1
        outer = [ATTRIBUTES.index(each) for each in around]
        return not is_shared and ATTRIBUTES.index(word) < min(outer, default=99)

    def _options(
        self, thing: object, path: str, without: str | None = None
    ) -> Iterator[tuple[str, Any]]:
        for name, option in self._schema(thing).options.items():
            value = value_of(thing, name)
            is_default = not option.required and value == option.default
            if name == without or is_default or value is UNKNOWN:
                continue
            plain = self._plain(option, option.shape, value, f"{path}.{name}")
            if plain is not None or option.default is not None:
                yield name, plain

    def _plain(self, option: Option, shape: Shape, value: Any, path: str) -> Any:
        """Return *value* as a file spells it."""
        if isinstance(shape, Choice):
            shape = _chosen(shape, _unguarded(value), self._registry)
        if value is None:
            return None
        if isinstance(shape, Part):
            return self._part(shape.family, value, path)
        if isinstance(shape, Table):
            return {
                key: self._plain(option, shape.item, item, f"{path}.{key}")
                for key, item in value.items()
            }
        if isinstance(shape, Listing):
            items = sorted(value) if isinstance(value, set | frozenset) else value
            return [
                self._plain(option, shape.item, item, f"{path}.{number}")
                for number, item in enumerate(items)
            ]
        if isinstance(shape, Leaf):
            return self._leaf(shape, value, path)
        return dict(self._options(value, path))  # of a group

    def _leaf(self, leaf: Leaf, value: Any, path: str) -> Any:
        if isinstance(value, Secret):
            return self._hidden(value.reveal(), path)
        if isinstance(value, str):
            if leaf.secret or has_password(value):
                return self._hidden(value, path)
            return value.replace("${", "$${")
        if isinstance(value, bool | None):
            return value
        if isinstance(value, int | float):
            is_measured = leaf.unit is not None and value
            return spelled(value, leaf.unit) if is_measured else value
        if isinstance(value, tuple | list):
            return list(value)
        if isinstance(value, Mapping):
            return dict(value)
        return getattr(value, "value", None) or str(value)

    def _hidden(self, value: str, path: str) -> str:
        name = re.sub(r"\W", "_", path).upper()
        self.secrets[name] = value
        return f"${{env:{name}}}"

    def _schema(self, thing: object) -> Schema:
        made = type(thing)
        if made not in self._schemas:
            self._schemas[made] = schema_of(made, self._registry)
        return self._schemas[made]


def _unguarded(thing: object) -> object:
    """Return *thing* without breakers that whoever is above put there."""
    while type(thing) is Guard:
        thing = thing.child
    return thing


def _parts(value: object) -> Iterator[object]:
    if isinstance(value, Mapping):
        yield from (_unguarded(item) for item in value.values())
    elif isinstance(value, list | tuple):
        yield from map(_unguarded, value)
    else:
        yield _unguarded(value)


def _chosen(choice: Choice, value: object, registry: Registry) -> Shape:
    """Return the shape of *choice* that *value* has."""
    found = registry.family_and_word(type(value))
    for shape in choice.shapes:
        if isinstance(shape, Part) and found is not None and shape.family is found[0]:
            return shape
        if isinstance(shape, Group) and isinstance(value, shape.made):
            return shape
        if isinstance(shape, Table) and isinstance(value, Mapping):
            return shape
        if isinstance(shape, Listing) and isinstance(value, list | tuple):
            return shape
    return next((s for s in choice.shapes if isinstance(s, Leaf)), choice.shapes[0])


def _free(name: str, taken: Mapping[str, Any]) -> str:
    number = 2
    free = name
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return free
