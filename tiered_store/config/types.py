"""
Every type that a file can name, ours and those of other packages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tiered_store.config.documented import documented
from tiered_store.config.json_shapes import default_of
from tiered_store.config.registry import Family, Registry
from tiered_store.config.schema import Schema, schema_of
from tiered_store.errors import ConfigError


@dataclass(frozen=True, slots=True)
class OptionDescription:
    """One option of a type."""

    name: str
    words: str
    required: bool
    default: object
    about: str


@dataclass(frozen=True, slots=True)
class TypeDescription:
    """
    A type, or why it cannot be had.

    Attributes:
        package: The distribution that brings it.
        broken: What is wrong with it; nothing else is known then.
    """

    family: str
    word: str
    package: str
    summary: str = ""
    options: tuple[OptionDescription, ...] = ()
    broken: str | None = None

    def plain(self) -> dict[str, object]:
        """Return it as values that JSON knows."""
        options = [
            {
                "name": option.name,
                "takes": option.words,
                "required": option.required,
                "default": option.default,
                "about": option.about,
            }
            for option in self.options
        ]
        return {
            "family": self.family,
            "type": self.word,
            "package": self.package,
            "summary": self.summary,
            "broken": self.broken,
            "options": options,
        }


def types(registry: Registry) -> Iterator[TypeDescription]:
    """Yield every type; one that is broken says so, and hides no other."""
    for family in registry.families:
        for word in family.words():
            yield _described(family, word, registry)


def _described(family: Family, word: str, registry: Registry) -> TypeDescription:
    package = family.package(word)
    try:
        constructor = family.find(word)
        schema = schema_of(constructor, registry)
    except (ConfigError, NameError, TypeError, ValueError) as error:
        return TypeDescription(family.noun, word, package, broken=str(error))
    told = documented(constructor)
    options = tuple(_options(schema))
    return TypeDescription(family.noun, word, package, told.summary, options)


def _options(schema: Schema) -> Iterator[OptionDescription]:
    about = documented(schema.constructor).options
    for name, option in schema.options.items():
        yield OptionDescription(
            name,
            option.shape.words,
            option.required,
            default_of(option),
            about.get(name, ""),
        )
