"""
What an annotation lets an option be: which words, measured in what, said how.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from tiered_store.units import Secret, Unit
from tiered_store.wording import one_of


_WORDS = {
    str: "a text",
    Secret: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}
_COUNTED = {"duration": "seconds", "size": "bytes"}  # in code


def words_of(hint: Any, *, code: bool = False) -> str:
    """
    Return what *hint* takes, in words: ``'p95' or a duration such as 5m``.

    Args:
        code: It is said to somebody who writes Python, where a measure is a number.
    """
    return one_of(_words(hint, code=code))


def choices_of(hint: Any) -> tuple[str, ...]:
    """Return the words among which *hint* lets one choose."""
    return tuple(
        word
        for part in parts_of(hint)
        if get_origin(part) is Literal
        for word in get_args(part)
        if isinstance(word, str)
    )


def unit_of(hint: Any) -> Unit | None:
    """Return what *hint* is measured in, None if it is no measure."""
    return next((part for part in parts_of(hint) if isinstance(part, Unit)), None)


def parts_of(hint: Any) -> Iterator[Any]:
    """Yield *hint* and every annotation in it."""
    yield hint
    if get_origin(hint) is not Literal:
        for argument in get_args(hint):
            yield from parts_of(argument)


def _words(hint: Any, *, code: bool) -> Iterator[str]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        for argument in arguments:
            yield from _words(argument, code=code)
    elif origin is Literal:
        yield from (repr(choice) for choice in arguments)
    elif origin is Annotated:
        unit = unit_of(hint)
        if unit is None:
            yield from _words(arguments[0], code=code)
        elif code:
            yield f"{_COUNTED[unit.name]} >= 0"
        else:
            yield f"a {unit.name} such as {unit.example}"
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
