"""
Plain values: what pydantic makes of an annotation, and what to call it.
"""

from __future__ import annotations

import functools

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BeforeValidator, PlainValidator, TypeAdapter, WithJsonSchema
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from tiered_store.annotations import choices_of, parts_of, unit_of, words_of
from tiered_store.units import Secret, Unit


@dataclass(frozen=True, slots=True)
class Leaf:
    """
    A plain value.

    Attributes:
        words: What is expected, in words.
        choices: The words it may be, if only certain ones.
        secret: It is never shown.
        unit: What it is measured in, if that.
    """

    adapter: TypeAdapter[Any]
    words: str
    choices: tuple[str, ...] = ()
    secret: bool = False
    unit: Unit | None = None


def leaf_of(hint: Any) -> Leaf | None:
    """Return what *hint* takes, or None if no file can spell it."""
    try:
        return _known(hint)
    except TypeError:  # an annotation with something unhashable in it
        return _made(hint)


@functools.cache
def _known(hint: Any) -> Leaf | None:
    # most options have one of a dozen annotations, and pydantic takes its time
    return _made(hint)


def _made(hint: Any) -> Leaf | None:
    if _is_callable(hint):
        return None
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(_spelled(hint))
    except (PydanticSchemaGenerationError, PydanticUserError):
        return None
    words = words_of(hint)
    return Leaf(
        adapter,
        words,
        choices_of(hint),
        secret=Secret in parts_of(hint),
        unit=unit_of(hint),
    )


def _is_callable(hint: Any) -> bool:
    return any(
        part is Callable or get_origin(part) in (Callable, type)
        for part in parts_of(hint)
    )


def _spelled(hint: Any) -> Any:
    """Return *hint* with units and secrets as pydantic understands them."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Secret:
        return Annotated[
            Any, PlainValidator(_secret), WithJsonSchema({"type": "string"})
        ]
    if origin in (Union, UnionType):
        return reduce(or_, (_spelled(argument) for argument in arguments))
    if origin is Annotated:
        marks = [mark for each in arguments[1:] for mark in _marks(each)]
        return Annotated[(_spelled(arguments[0]), *marks)]
    return hint


def _marks(mark: Any) -> tuple[Any, ...]:
    if not isinstance(mark, Unit):
        return (mark,)
    spellings = [
        {"type": "number", "minimum": 0},
        {"type": "string", "pattern": mark.pattern},
    ]
    return BeforeValidator(mark.read), WithJsonSchema({"anyOf": spellings})


def _secret(value: object) -> Secret:
    if not isinstance(value, str):
        raise ValueError("not a text")
    return Secret(value)
