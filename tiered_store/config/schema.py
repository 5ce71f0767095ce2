"""
What a constructor takes, read from its signature.

The options of a type are the keyword arguments of its class.  Where one takes a
store, a journal or a tier, a list, a mapping or a group of options (a dataclass),
that is a shape; everything else is a value, which pydantic checks by its
annotation.  A parameter that nothing in a file can spell (a clock, a function) is
no option.
"""

from __future__ import annotations

import inspect

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, is_dataclass
from functools import reduce
from operator import or_
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from tiered_store.config.leaf import Leaf, leaf_of
from tiered_store.config.registry import Constructor, Family, Registry
from tiered_store.wording import one_of


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of things alike."""

    item: Shape
    make: Callable[[list[Any]], Any]
    words: str = "a list"


@dataclass(frozen=True, slots=True)
class Table:
    """Things alike by name."""

    item: Shape
    words: str = "a mapping"


@dataclass(frozen=True, slots=True)
class Group:
    """Options that belong together: a dataclass."""

    made: type
    words: str = "a mapping of options"


@dataclass(frozen=True, slots=True)
class Part:
    """A store, a journal or a tier: by its name, or in place."""

    family: Family

    @property
    def words(self) -> str:
        """What is expected, in words."""
        return f"the name of a {self.family.noun}, or a mapping with its type"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several shapes."""

    shapes: tuple[Shape, ...]

    @property
    def words(self) -> str:
        """What is expected, in words."""
        return one_of(shape.words for shape in self.shapes)


Shape = Leaf | Listing | Table | Group | Part | Choice


@dataclass(frozen=True, slots=True)
class Option:
    """One keyword argument."""

    name: str
    shape: Shape
    required: bool
    default: object = None


@dataclass(frozen=True, slots=True)
class Schema:
    """
    What a constructor takes.

    Attributes:
        options: By name, in the order of the signature.
        unspellable: Parameters that it needs and no file can give.
    """

    constructor: Constructor
    options: Mapping[str, Option]
    unspellable: tuple[str, ...]

    def child(self) -> str | None:
        """Return the name of the first option that takes a store itself."""
        takes = (name for name, option in self.options.items() if _is_store(option))
        return next(takes, None)


def takes_part(shape: Shape) -> bool:
    """Whether *shape* is a store, a journal or a tier, or may be or have one."""
    if isinstance(shape, Choice):
        return any(takes_part(each) for each in shape.shapes)
    if isinstance(shape, Table | Listing):
        return takes_part(shape.item)
    return isinstance(shape, Part)


def _is_store(option: Option) -> bool:
    return isinstance(option.shape, Part) and option.shape.family.noun == "store"


def schema_of(constructor: Constructor, registry: Registry) -> Schema:
    """
    Return what *constructor* takes.

    Raises:
        NameError, TypeError, ValueError: Its annotations cannot be read.
    """
    try:
        return _read(constructor, registry)
    except (NameError, TypeError, ValueError):
        raise
    except Exception as error:  # whatever a stranger's annotations do
        raise TypeError(f"{type(error).__name__}: {error}") from error


def _read(constructor: Constructor, registry: Registry) -> Schema:
    options: dict[str, Option] = {}
    unspellable: list[str] = []
    hints = hints_of(constructor)
    for name, parameter in inspect.signature(constructor).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        required = parameter.default is parameter.empty
        shape = None
        if parameter.kind is not parameter.POSITIONAL_ONLY:
            shape = shape_of(hints.get(name, Any), registry)
        if shape is not None:
            options[name] = Option(name, shape, required, parameter.default)
        elif required:
            unspellable.append(name)
    return Schema(constructor, options, tuple(unspellable))


def hints_of(constructor: Constructor) -> dict[str, Any]:
    """Return the annotations of the options that *constructor* takes."""
    annotated: object = constructor
    if isinstance(constructor, type) and not is_dataclass(constructor):
        annotated = constructor.__init__  # type: ignore[misc] # of this very class
    return get_type_hints(annotated, include_extras=True)


def shape_of(hint: Any, registry: Registry) -> Shape | None:
    """Return the shape that *hint* stands for, or None if no file can spell it."""
    family = registry.family_of(hint)
    if family is not None:
        return Part(family)
    if isinstance(hint, type) and is_dataclass(hint):
        return Group(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _choice(arguments, registry)
    if origin in _CONTAINERS and _is_uniform(origin, arguments):
        item = shape_of(arguments[0], registry)
        return None if item is None else Listing(item, _CONTAINERS[origin])
    if isinstance(origin, type) and issubclass(origin, Mapping) and len(arguments) == 2:
        item = shape_of(arguments[1], registry) if arguments[0] is str else None
        return leaf_of(hint) if item is None else Table(item)
    return leaf_of(hint)


_CONTAINERS: dict[Any, Callable[[list[Any]], Any]] = {
    Sequence: tuple,
    tuple: tuple,
    list: list,
    set: set,
    frozenset: frozenset,
    AbstractSet: frozenset,
}


def _is_uniform(origin: Any, arguments: tuple[Any, ...]) -> bool:
    if origin is tuple:
        return len(arguments) == 2 and arguments[1] is Ellipsis
    return len(arguments) == 1


def _choice(hints: tuple[Any, ...], registry: Registry) -> Shape | None:
    pairs = [(hint, shape_of(hint, registry)) for hint in hints]
    values = [hint for hint, shape in pairs if isinstance(shape, Leaf)]
    shapes: list[Shape] = [
        shape for _, shape in pairs if shape is not None and not isinstance(shape, Leaf)
    ]
    if not shapes and all(hint is NoneType for hint in values):
        return None  # a clock or nothing is no option
    leaf = leaf_of(reduce(or_, values)) if values else None
    if leaf is not None:
        shapes.append(leaf)
    return shapes[0] if len(shapes) == 1 else Choice(tuple(shapes))
