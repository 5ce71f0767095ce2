"""
Constructors that refuse a word they do not know, as a configuration does.

A ``Literal`` binds the type checker alone: ``write="fail-over"`` would make a store
that never fails over, and says nothing.
"""

from __future__ import annotations

import functools
import inspect

from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from inspect import Parameter
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from tiered_store.errors import ConfigError
from tiered_store.units import Secret, Unit
from tiered_store.wording import brief, nearest, one_of


Made = TypeVar("Made", bound=type)

_WORDS = {
    str: "a text",
    Secret: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}
_BY_PLACE = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


class Strict:
    """Its subclasses refuse, when they are made, words that their types do not list."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        strict(cls)


def strict(made: Made) -> Made:
    """
    Let the constructor of *made* itself refuse words that its types do not list.

    It looks at what it is called with, whoever calls it; what is made costs no more
    afterwards.  What has no ``Literal`` in its type is not looked at.

    Raises:
        ConfigError: By the constructor, with every word that is wrong.
    """
    init = vars(made).get("__init__")
    if init is None:  # it has that of a base, which does
        return made
    bounds = functools.cache(functools.partial(_bounds, init))

    @functools.wraps(init)
    def checked(self: object, *args: Any, **kwargs: Any) -> None:
        positional, bounded = bounds()
        if bounded:
            given = {**dict(zip(positional, args, strict=False)), **kwargs}
            problems = [
                f"{type(self).__name__}: {name}: {_wrong(hint, given[name])}"
                for name, hint in bounded.items()
                if name in given and not _allows(hint, given[name])
            ]
            if problems:
                raise ConfigError(problems)
        init(self, *args, **kwargs)

    made.__init__ = checked  # type: ignore[misc]  # of this very class
    return made


def words_of(hint: Any) -> str:
    """Return what *hint* takes, in words: ``'p95' or a duration such as 5m``."""
    return one_of(_words(hint))


def choices_of(hint: Any) -> tuple[str, ...]:
    """Return the words among which *hint* lets one choose."""
    return tuple(
        word
        for part in parts_of(hint)
        if get_origin(part) is Literal
        for word in get_args(part)
        if isinstance(word, str)
    )


def parts_of(hint: Any) -> Iterator[Any]:
    """Yield *hint* and every annotation in it."""
    yield hint
    if get_origin(hint) is not Literal:
        for argument in get_args(hint):
            yield from parts_of(argument)


def _bounds(init: Any) -> tuple[list[str], Mapping[str, Any]]:
    """Return what *init* takes by place, and the types that list words, by name."""
    try:
        hints = get_type_hints(init, include_extras=True)
        parameters = list(inspect.signature(init).parameters.values())[1:]
    except (NameError, TypeError, ValueError):  # a stranger's, and nobody's promise
        return [], {}
    return (
        [each.name for each in parameters if each.kind in _BY_PLACE],
        {
            each.name: hints[each.name]
            for each in parameters
            if choices_of(hints.get(each.name))
        },
    )


def _allows(hint: Any, value: Any) -> bool:
    """Whether *value* is no word, or one that *hint* lists."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in arguments
    if origin in (Union, UnionType):
        return any(_allows(argument, value) for argument in arguments)
    if origin is Annotated:
        return _allows(arguments[0], value)
    if _is_list(origin):
        return _is_items(value) and all(_allows(arguments[0], item) for item in value)
    if hint is NoneType:
        return value is None
    return not isinstance(value, str) or hint not in (int, float, bool)


def _wrong(hint: Any, value: Any) -> str:
    """Return what to say of *value*, which *hint* does not allow."""
    if _is_list(get_origin(hint)):
        item = get_args(hint)[0]
        if _is_items(value):
            return _wrong(item, next(each for each in value if not _allows(item, each)))
        return f"expected a list of {words_of(item)}, got {brief(value)}"
    message = f"expected {words_of(hint)}, got {brief(value)}"
    meant = nearest(value, choices_of(hint)) if isinstance(value, str) else None
    return message if meant is None else f"{message}; did you mean {meant!r}?"


def _is_list(origin: Any) -> bool:
    return (
        isinstance(origin, type)
        and issubclass(origin, Collection)
        and not issubclass(origin, Mapping)
    )


def _is_items(value: Any) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str)


def _words(hint: Any) -> Iterator[str]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        for argument in arguments:
            yield from _words(argument)
    elif origin is Literal:
        yield from (repr(choice) for choice in arguments)
    elif origin is Annotated:
        units = [mark for mark in arguments if isinstance(mark, Unit)]
        if units:
            yield f"a {units[0].name} such as {units[0].example}"
        else:
            yield from _words(arguments[0])
    elif hint is NoneType:
        return  # it need not be said that an option may be left out
    elif hint in _WORDS:
        yield _WORDS[hint]
    elif origin is tuple:
        yield f"a list of {len(arguments)}"
    elif isinstance(hint, type) and issubclass(hint, Enum):
        yield from (repr(member.value) for member in hint)
    else:
        yield f"a value of type {getattr(hint, '__name__', hint)}"
