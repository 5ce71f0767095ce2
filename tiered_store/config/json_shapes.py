"""
What an option may be, as JSON Schema says it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import is_dataclass
from typing import Any

from tiered_store.config.documented import documented
from tiered_store.config.leaf import Leaf
from tiered_store.config.options import spelled
from tiered_store.config.registry import Registry
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


Json = dict[str, Any]

_REFERENCE = {"$ref": "#/$defs/reference"}


class Shapes:
    """Says of options and shapes what an editor has to know."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def options(self, schema: Schema, without: Iterable[str | None] = ()) -> Json:
        """Return the options of *schema*, by name."""
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
        default = default_of(option)
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
            return object_of(self.options(schema), required_of(schema))
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


def required_of(schema: Schema) -> list[str]:
    """Return the names of the options that must be given."""
    return [name for name, option in schema.options.items() if option.required]


def object_of(properties: Json, required: Iterable[str] = ()) -> Json:
    """Return a mapping with *properties* and no others."""
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


def default_of(option: Option) -> object:
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
