"""
Sizes, durations and secrets: plain values that configuration may spell better.

In code a :data:`Size` is an ``int`` of bytes and a :data:`Duration` a ``float`` of
seconds; in YAML they may be written ``256MiB`` and ``1h30m``.
"""

from __future__ import annotations

import re

from decimal import Decimal
from typing import Annotated


KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

_SIZES = {
    "": 1,
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "tb": 1000**4,
    "kib": KIB,
    "mib": MIB,
    "gib": GIB,
    "tib": 1024 * GIB,
}
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_NUMBER = r"(\d+(?:_\d+)*(?:\.\d+)?)"
_SIZE = re.compile(rf"{_NUMBER}\s*([kmgt]i?b|b|)", re.IGNORECASE | re.ASCII)
_TERM = re.compile(rf"{_NUMBER}\s*(ms|[smhdw])\s*", re.ASCII)
_TERMS = re.compile(rf"(?:{_NUMBER}\s*(?:ms|[smhdw])\s*)+", re.ASCII)
_PLAIN = re.compile(_NUMBER, re.ASCII)
_SIZE_PATTERN = r"^\s*[0-9][0-9_]*(\.[0-9]+)?\s*([kKmMgGtT][iI]?[bB]|[bB])?\s*$"
_DURATION_PATTERN = (
    r"^\s*([0-9][0-9_]*(\.[0-9]+)?\s*(ms|[smhdw])\s*)+$"
    r"|^\s*[0-9][0-9_]*(\.[0-9]+)?\s*$"
)
_LARGEST_SIZE = 2**63 - 1
_LONGEST = 36_500 * 86_400  # a century; what waits longer overflows the clock


class Unit:
    """
    Marks an annotation as a size or a duration, for whoever reads configuration.

    Attributes:
        example: How a value may be spelled.
        pattern: What every spelling looks like, as a regular expression of JSON Schema.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.example = "256MiB" if name == "size" else "250ms or 5m"
        self.pattern = _SIZE_PATTERN if name == "size" else _DURATION_PATTERN

    def parse(self, text: str) -> float:
        """Return what *text* says, in bytes or seconds, or raise ``ValueError``."""
        return parse_size(text) if self.name == "size" else parse_duration(text)

    def read(self, value: object) -> float:
        """
        Return *value*, a number or its spelling, in bytes or seconds.

        Raises:
            ValueError: It is neither, or out of range.
        """
        if isinstance(value, str):
            return self.parse(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"not a {self.name}: {value!r}")
        # not a number compares as false with everything
        if not 0 <= value <= (_LARGEST_SIZE if self.name == "size" else _LONGEST):
            raise ValueError(f"not a {self.name}: {value!r}; it is out of range")
        return value


Size = Annotated[int, Unit("size")]
Duration = Annotated[float, Unit("duration")]


def parse_size(text: str) -> int:
    """
    Return the bytes that *text* says: ``64KiB``, ``1.5GB``, ``4096``.

    Raises:
        ValueError: It says none, or more than any machine has.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a size: {text!r}; write it like 256MiB or 1GB")
    size = Decimal(match[1].replace("_", "")) * _SIZES[match[2].lower()]
    if size > _LARGEST_SIZE:
        raise ValueError(f"not a size: {text!r}; it is out of range")
    return int(size)


def parse_duration(text: str) -> float:
    """
    Return the seconds that *text* says: ``250ms``, ``5m``, ``1h30m``, ``2``.

    Raises:
        ValueError: It says none, or more than a century.
    """
    stripped = text.strip()
    if _TERMS.fullmatch(stripped):  # to look for terms in a long number takes seconds
        terms = _TERM.findall(stripped)
        seconds = sum(_number(number) * _SECONDS[unit] for number, unit in terms)
    elif _PLAIN.fullmatch(stripped):
        seconds = _number(stripped)
    else:
        raise ValueError(f"not a duration: {text!r}; write it like 250ms or 5m")
    if seconds > _LONGEST:
        raise ValueError(f"not a duration: {text!r}; it is out of range")
    return seconds


def _number(text: str) -> float:
    return float(text.replace("_", ""))


class Secret:
    """A string that never shows itself."""

    __slots__ = ("_value",)

    def __init__(self, value: str | Secret) -> None:
        self._value: str = value.reveal() if isinstance(value, Secret) else value

    def reveal(self) -> str:
        """Return the string, for the one place that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('****')"

    def __str__(self) -> str:
        return "****"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self._value

    def __hash__(self) -> int:
        return hash(self._value)
