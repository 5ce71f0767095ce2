"""
What an option may say: durations, sizes, numbers and words, each within its bounds.

They are parsers for typer, which calls them while it reads the command line: what is
wrong is refused before anything is opened, with exit status 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import typer

from tiered_store.units import Unit
from tiered_store.wording import brief, nearest, one_of


Value = TypeVar("Value", int, float)

_DURATION = Unit("duration")
_SIZE = Unit("size")


class Default(float):
    """A duration in seconds that ``--help`` shows as it was written: ``5s``."""

    _text: str

    def __new__(cls, text: str) -> Default:
        default = super().__new__(cls, _DURATION.parse(text))
        default._text = text
        return default

    def __getnewargs__(self) -> tuple[str]:  # type: ignore[override]  # as it is made
        return (self._text,)

    def __str__(self) -> str:
        return self._text


def duration(least: str = "1ms", most: str = "36500d") -> Callable[[Any], float]:
    """Return what reads a duration within these bounds, in seconds."""
    words = f"a duration from {least} to {most}, such as {_DURATION.example}"

    def read(value: Any) -> float:
        return float(_DURATION.read(value))

    return _within(words, read, _DURATION.parse(least), _DURATION.parse(most))


def size(least: str, most: str) -> Callable[[Any], int]:
    """Return what reads a size within these bounds, in bytes."""
    words = f"a size from {least} to {most}, such as {_SIZE.example}"

    def read(value: Any) -> int:
        return int(_SIZE.read(value))

    return _within(words, read, int(_SIZE.parse(least)), int(_SIZE.parse(most)))


def number(least: float, most: float) -> Callable[[Any], float]:
    """Return what reads a number within these bounds."""
    return _within(f"a number from {least:,g} to {most:,.0f}", float, least, most)


def whole(least: int, most: int) -> Callable[[Any], int]:
    """Return what reads a whole number within these bounds."""
    return _within(f"a whole number from {least:,} to {most:,}", int, least, most)


def word(known: Sequence[str]) -> Callable[[str], str]:
    """Return what reads one of the *known* words."""

    def read(value: str) -> str:
        if value in known:
            return value
        message = f"expected {one_of(map(repr, known))}, got {brief(value)}"
        meant = nearest(value, known)
        raise typer.BadParameter(
            message if meant is None else f"{message}; did you mean {meant!r}?"
        )

    return read


def _within(
    words: str, parse: Callable[[Any], Value], least: Value, most: Value
) -> Callable[[Any], Value]:
    def read(value: Any) -> Value:
        try:
            found = parse(value)
        except (ValueError, OverflowError):
            pass
        else:
            if least <= found <= most:  # which what is not a number never is
                return found
        raise typer.BadParameter(f"expected {words}, got {brief(value)}")

    return read
