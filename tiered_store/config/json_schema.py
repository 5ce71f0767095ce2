"""
A JSON Schema (draft 2020-12) of every configuration, for editors.

It is read from the constructors as the checker is, so an editor completes and
explains what ``check`` accepts, plug-ins included.  What one node says about another
(names, loops, ranges that depend on each other) only ``check`` knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

from tiered_store.config.builder import ATTRIBUTES
from tiered_store.config.documented import documented
from tiered_store.config.leaf import Leaf
from tiered_store.config.options import spelled
from tiered_store.config.outline import NAME, SECTIONS, VERSION
from tiered_store.config.problems import series
from tiered_store.config.registry import Family, Registry
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
from tiered_store.errors import ConfigError


Json = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE = {"$ref": "#/$defs/reference"}


def json_schema(registry: Registry) -> tuple[Json, list[str]]:
    """
    Return the schema of all files that the types of *registry* can make.

    The second value says which types are left out, and why: those of a package that
    cannot be imported.
    """
    editing = _Editing(registry)
    return editing.whole(), editing.broken


class _Editing:
    def __init__(self, registry: Registry) -> None:
        self.broken: list[str] = []
        self._registry = registry
        self._schemas = {
            family.noun: self._read(family) for family in registry.families
        }

    def _read(self, family: Family) -> Mapping[str, Schema]:
        found: dict[str, Schema] = {}
        for word in family.words():
            try:
                schema = schema_of(family.find(word), self._registry)
            except (ConfigError, NameError, TypeError, ValueError) as error:
                self.broken.append(str(error))
                continue
            if not schema.unspellable:
                found[word] = schema
        return found

    def whole(self) -> Json:
        """Return the schema of a file."""
        return {
            "$schema": DIALECT,
            "title": "tiered-store",
            "description": "A stack of stores written down.",
            **_object(self._top(), ("version", "stores")),
            "$defs": dict(self._definitions()),
        }

    def _top(self) -> Json:
        return {
            "version": {"const": VERSION, "description": "Of the format of the file."},
            "default": {
                "type": "string",
                "description": "The store that is meant if none is named.",
            },
            **{section: self._named(noun) for noun, section in SECTIONS.items()},
        }

    def _named(self, noun: str) -> Json:
        return {
            "description": f"By name, each {noun} that others refer to: one, shared.",
            "type": "object",
            "minProperties": 1 if noun == "store" else 0,
            "propertyNames": {"pattern": f"^(?:{NAME.pattern})$"},
            "additionalProperties": {"$ref": f"#/$defs/{noun}"},
        }

    def _definitions(self) -> Iterator[tuple[str, Json]]:
        yield (
            "reference",
            {
                "description": "A value from outside: ${env:NAME}, "
                "${env:NAME:-default} or ${file:/run/secrets/x}.",
                "type": "string",
                "pattern": r"\$\{(?:env|file):",
            },
        )
        for word in ATTRIBUTES:
            yield f"attribute.{word}", self._attribute(word)
        for family in self._registry.families:
            yield family.noun, self._family(family)
            for word, schema in self._schemas[family.noun].items():
                yield f"{family.noun}.{word}", self._type(family, word, schema)

    def _family(self, family: Family) -> Json:
        """Return what a mapping with a type may be."""
        kinds = dict.fromkeys(self._schemas[family.noun], family.noun)
        if family is self._registry.tiers:  # any store may be one
            kinds = {**dict.fromkeys(self._schemas["store"], "near"), **kinds}
        described = {
            word: documented(self._schemas[_family_of(noun)][word].constructor)
            for word, noun in kinds.items()
        }
        return {
            "type": "object",
            "required": ["type"],
            "properties": {
                "type": {
                    "description": f"Which {family.noun} it is.",
                    "enum": list(kinds),
                    "enumDescriptions": [described[word].summary for word in kinds],
                }
            },
            "allOf": [
                {
                    "if": {
                        "properties": {"type": {"const": word}},
                        "required": ["type"],
                    },
                    "then": (
                        self._near(word)
                        if noun == "near"
                        else {"$ref": f"#/$defs/{noun}.{word}"}
                    ),
                }
                for word, noun in kinds.items()
            ],
        }

    def _type(self, family: Family, word: str, schema: Schema) -> Json:
        """Return what stands beside ``type: word``."""
        properties: Json = {"type": {"const": word}, **self._options(schema)}
        if family is self._registry.stores:
            properties = {**self._attributes(schema), **properties}
        return {
            "description": documented(schema.constructor).text,
            **_object(properties, ("type", *_required(schema))),
        }

    def _near(self, word: str) -> Json:
        """Return what stands beside ``type: word`` where that store is a tier."""
        store, around = self._schemas["store"][word], self._schemas["tier"]["store"]
        child = around.child()
        of_tier = self._options(around, without=(child,))
        of_store = self._options(store, without=of_tier)
        properties = {
            "type": {"const": word},
            **self._attributes(store),
            **of_store,
            **of_tier,
        }
        required = [name for name in _required(store) if name not in of_tier]
        return {
            "description": documented(store.constructor).text,
            **_object(properties, ("type", *required)),
        }

    def _attributes(self, schema: Schema) -> Json:
        return {
            word: {"$ref": f"#/$defs/attribute.{word}"}
            for word in ATTRIBUTES
            if word not in schema.options
        }

    def _attribute(self, word: str) -> Json:
        """Return what the attribute *word* may be: a yes, its first option, or all."""
        schema = self._schemas["store"][word]
        child = schema.child()
        options = self._options(schema, without=(child,))
        first = next(iter(options))
        required = [name for name in _required(schema) if name != child]
        said = documented(schema.constructor)
        return {
            "description": f"{said.text}\n\nA value that stands alone is its {first}.",
            "anyOf": [
                {"type": "boolean"},
                options[first],
                _object(options, required),
            ],
        }

    def _options(self, schema: Schema, without: Iterable[str | None] = ()) -> Json:
        texts = documented(schema.constructor).options
        return {
            name: self._option(option, texts.get(name))
            for name, option in schema.options.items()
            if name not in set(without)
        }

    def _option(self, option: Option, text: str | None) -> Json:
        words = option.shape.words
        described: Json = {
            "description": text or f"{words[:1].upper()}{words[1:]}.",
            **self._shape(option.shape),
        }
        default = _default(option)
        return described if default is None else {**described, "default": default}

    def _shape(self, shape: Shape) -> Json:
        if isinstance(shape, Leaf):
            return _leaf(shape)
        if isinstance(shape, Choice):
            return {"anyOf": list(_flat(map(self._shape, self._choices(shape))))}
        if isinstance(shape, Part):
            noun = shape.family.noun
            whose = "store" if noun == "tier" else noun  # no tier has a name
            names = {"type": "string", "description": f"The name of a {whose}."}
            return {"anyOf": [names, {"$ref": f"#/$defs/{noun}"}]}
        if isinstance(shape, Group):
            schema = schema_of(shape.made, self._registry)
            return _object(self._options(schema), _required(schema))
        if isinstance(shape, Table):
            item = self._shape(shape.item)
            return {"type": "object", "additionalProperties": item}
        assert isinstance(shape, Listing)
        return {"type": "array", "items": self._shape(shape.item)}

    def _choices(self, choice: Choice) -> Iterator[Shape]:
        stores, tiers = self._registry.stores, self._registry.tiers
        any_tier = Part(tiers) in choice.shapes
        for shape in choice.shapes:
            if not (any_tier and shape == Part(stores)):  # any store may be a tier
                yield shape


def _family_of(noun: str) -> str:
    return "store" if noun == "near" else noun


def _required(schema: Schema) -> list[str]:
    return [name for name, option in schema.options.items() if option.required]


def _object(properties: Json, required: Iterable[str]) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _flat(schemas: Iterable[Json]) -> Iterator[Json]:
    """Yield alternatives of alternatives as alternatives, each once."""
    seen: list[Json] = []
    for schema in schemas:
        for one in schema["anyOf"] if set(schema) == {"anyOf"} else (schema,):
            if one not in seen:
                seen.append(one)
                yield one


def _leaf(leaf: Leaf) -> Json:
    """Return what a scalar may be; text from outside may stand for any."""
    plain = _inlined(leaf.adapter.json_schema())
    plain.pop("title", None)
    if plain in ({"type": "string"}, {"type": "null"}):
        return plain
    return {"anyOf": list(_flat([plain, _REFERENCE]))}


def _inlined(schema: Json) -> Json:
    """Return *schema* with its own definitions in place of references to them."""
    definitions = schema.pop("$defs", {})

    def resolved(value: Any) -> Any:
        if isinstance(value, dict):
            name = str(value.get("$ref", "")).rpartition("/")[2]
            if name in definitions:
                return resolved(definitions[name])
            return {key: resolved(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [resolved(entry) for entry in value]
        return value

    found: Json = resolved(schema)
    return found


def _default(option: Option) -> object:
    """Return the default as a file spells it, if it can and nothing is secret."""
    value = option.default
    if option.required or value is None or is_dataclass(value):
        return None
    if isinstance(option.shape, Leaf) and option.shape.secret:
        return None
    if isinstance(value, tuple | list) and all(isinstance(x, str) for x in value):
        return list(value)
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        unit = option.shape.unit if isinstance(option.shape, Leaf) else None
        return value if unit is None or not value else spelled(value, unit)
    return None


def left_out(broken: Iterable[str]) -> str:
    """Say which types an editor will not know."""
    return f"left out: {series(broken)}"
