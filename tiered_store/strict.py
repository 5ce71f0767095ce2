"""
Constructors that refuse what a configuration would: unknown words, absurd numbers.

A type binds the type checker alone: ``write="fail-over"`` would make a store that never
fails over, ``public="false"`` one whose objects are public, and ``ttl="5m"`` one whose
first read is a ``TypeError``.
"""

from __future__ import annotations

import functools
import inspect

from collections.abc import Collection, Mapping
from inspect import Parameter
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from tiered_store.annotations import choices_of, unit_of, words_of
from tiered_store.errors import ConfigError
from tiered_store.wording import brief, nearest


Made = TypeVar("Made", bound=type)

_MANY = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
_BY_PLACE = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


class Strict:
    """Its subclasses refuse, when they are made, what their types do not allow."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        strict(cls)


def strict(made: Made) -> Made:
    """
    Let the constructor of *made* itself refuse words and numbers that make no sense.

    It looks at what it is called with, whoever calls it; what is made costs no more
    afterwards.  A ``Literal`` in a type lists words; a number is a number and no text,
    true or false are those two; a duration is a number of seconds and a size one of
    bytes, not negative.  An option's own default, and all else, is not looked at.

    Raises:
        ConfigError: By the constructor, with all that is wrong.
    """
    init = vars(made).get("__init__")
    if init is None:  # it has that of a base, which does
        return made
    bounds = functools.cache(functools.partial(_bounds, init))

    @functools.wraps(init)
    def checked(self: object, *args: Any, **kwargs: Any) -> None:
        positional, bounded = bounds()
        given = {**dict(zip(positional, args, strict=False)), **kwargs}
        problems = [
            f"{type(self).__name__}: {name}: {_wrong(bounded[name].hint, value)}"
            for name, value in given.items()
            if name in bounded and not bounded[name].allows(value)
        ]
        if problems:
            raise ConfigError(problems)
        init(self, *args, **kwargs)

    made.__init__ = checked  # type: ignore[misc]  # of this very class
    return made


class _Bound(NamedTuple):
    """What the type and the default of one option let it be."""

    hint: Any
    default: Any

    def allows(self, value: Any) -> bool:
        return value is self.default or _allows(self.hint, value)


def _bounds(init: Any) -> tuple[list[str], Mapping[str, _Bound]]:
    """Return what *init* takes by place, and what bounds its options, by name."""
    try:
        hints = get_type_hints(init, include_extras=True)
        parameters = list(inspect.signature(init).parameters.values())[1:]
    except (NameError, TypeError, ValueError):  # a stranger's, and nobody's promise
        return [], {}
    return (
        [each.name for each in parameters if each.kind in _BY_PLACE],
        {
            each.name: _Bound(hints[each.name], each.default)
            for each in parameters
            if each.name in hints and each.kind not in _MANY
        },
    )


def _allows(hint: Any, value: Any) -> bool:
    """Whether *value* is within what *hint* lists or measures, if it does either."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in arguments
    if origin in (Union, UnionType):
        return any(_allows(argument, value) for argument in arguments)
    if origin is Annotated:
        if unit_of(hint) is not None:
            return _is_number(value) and value >= 0
        return _allows(arguments[0], value)
    if _is_list(origin) and choices_of(arguments[0]):
        return _is_items(value) and all(_allows(arguments[0], item) for item in value)
    if hint is NoneType:
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return _is_number(value) and isinstance(value, Integral)
    return hint is not float or _is_number(value)


def _is_number(value: Any) -> bool:
    number = isinstance(value, Real) and not isinstance(value, bool)
    return number and value == value


def _wrong(hint: Any, value: Any) -> str:
    """Return what to say of *value*, which *hint* does not allow."""
    if _is_list(get_origin(hint)):  # of words, as nothing else is looked into
        item = get_args(hint)[0]
        if _is_items(value):
            return _wrong(item, next(each for each in value if not _allows(item, each)))
        return f"expected a list of {words_of(item)}, got {brief(value)}"
    message = f"expected {words_of(hint, code=True)}, got {brief(value)}"
    if not isinstance(value, str):
        return message
    meant = nearest(value, choices_of(hint))
    if meant is not None:
        return f"{message}; did you mean {meant!r}?"
    unit = unit_of(hint)
    try:
        return message if unit is None else f"{message}; write {unit.parse(value):g}"
    except ValueError:
        return message


def _is_list(origin: Any) -> bool:
    return (
        isinstance(origin, type)
        and issubclass(origin, Collection)
        and not issubclass(origin, Mapping | tuple)
    )


def _is_items(value: Any) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str)
