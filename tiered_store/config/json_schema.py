"""
A JSON Schema (draft 2020-12) of every configuration, for editors.

It is read from the constructors as the checker is, so an editor completes and
explains what ``check`` accepts, plug-ins included.  What one node says about another
(names, loops, ranges that depend on each other) only ``check`` knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tiered_store.config.attributes import ATTRIBUTES
from tiered_store.config.documented import documented
from tiered_store.config.json_shapes import Json, Shapes, object_of, required_of
from tiered_store.config.outline import NAME, SECTIONS, VERSION
from tiered_store.config.preset import Preset, presets
from tiered_store.config.registry import Family, Registry
from tiered_store.config.schema import (
    Schema,
    schema_of,
)
from tiered_store.errors import ConfigError
from tiered_store.wording import series


DIALECT = "https://json-schema.org/draft/2020-12/schema"


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
        self._shapes = Shapes(registry)
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
            **object_of(self._top(), ("version", "stores")),
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
            "defaults": {
                "description": "What all nodes of a type have in common.",
                **object_of(
                    {
                        f"{family.noun}s": self._usual(family)
                        for family in self._registry.families
                    }
                ),
            },
            "allow": {"$ref": "#/$defs/allow"},
        }

    def _usual(self, family: Family) -> Json:
        return object_of(
            {
                word: object_of(
                    {
                        **(self._attributes(schema) if family.noun == "store" else {}),
                        **self._shapes.options(schema),
                    }
                )
                for word, schema in self._schemas[family.noun].items()
            }
        )

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
        yield (
            "allow",
            {
                "description": "Warnings that are meant: by rule, the reason.",
                "type": "object",
                "additionalProperties": {"type": "string", "minLength": 3},
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
            "anyOf": [{"required": ["type"]}, {"required": ["preset"]}],
            "properties": {
                "type": {
                    "description": f"Which {family.noun} it is.",
                    "enum": list(kinds),
                    "enumDescriptions": [described[word].summary for word in kinds],
                },
                "preset": {
                    "description": "A stack that most people want, instead of a type.",
                    "enum": list(presets()),
                    "enumDescriptions": [each.summary for each in presets().values()],
                },
            },
            "allOf": [
                *(_preset(preset) for preset in presets().values()),
                *(
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
                ),
            ],
        }

    def _type(self, family: Family, word: str, schema: Schema) -> Json:
        """Return what stands beside ``type: word``."""
        properties: Json = {
            "type": {"const": word},
            "allow": {"$ref": "#/$defs/allow"},
            **self._shapes.options(schema),
        }
        if family is self._registry.stores:
            properties = {**self._attributes(schema), **properties}
        return {
            "description": documented(schema.constructor).text,
            **object_of(properties, ("type", *required_of(schema))),
        }

    def _near(self, word: str) -> Json:
        """Return what stands beside ``type: word`` where that store is a tier."""
        store, around = self._schemas["store"][word], self._schemas["tier"]["store"]
        child = around.child()
        of_tier = self._shapes.options(around, without=(child,))
        of_store = self._shapes.options(store, without=of_tier)
        properties = {
            "type": {"const": word},
            "allow": {"$ref": "#/$defs/allow"},
            **self._attributes(store),
            **of_store,
            **of_tier,
        }
        required = [name for name in required_of(store) if name not in of_tier]
        return {
            "description": documented(store.constructor).text,
            **object_of(properties, ("type", *required)),
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
        options = self._shapes.options(schema, without=(child,))
        first = next(iter(options))
        required = [name for name in required_of(schema) if name != child]
        said = documented(schema.constructor)
        return {
            "description": f"{said.text}\n\nA value that stands alone is its {first}.",
            "anyOf": [
                {"type": "boolean"},
                options[first],
                object_of(options, required),
            ],
        }


def _preset(preset: Preset) -> Json:
    """Return what stands beside ``preset:``; keys that are laid over it may, too."""
    options = preset.options.items()
    return {
        "if": {
            "properties": {"preset": {"const": preset.name}},
            "required": ["preset"],
            "not": {"required": ["type"]},
        },
        "then": {
            "description": preset.summary,
            "properties": {
                name: {"description": option.about} for name, option in options
            },
            "required": [name for name, option in options if option.is_needed],
        },
    }


def _family_of(noun: str) -> str:
    return "store" if noun == "near" else noun


def left_out(broken: Iterable[str]) -> str:
    """Say which types an editor will not know."""
    return f"left out: {series(broken)}"
