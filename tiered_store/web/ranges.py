"""
Which bytes are asked for: the ``Range`` of RFC 9110, section 14.
"""

from __future__ import annotations

import itertools
import re

from dataclasses import dataclass


_MOST = 16  # more are a way to make a server work, not to read
_LONGEST = 1000  # characters of the header
_SPEC = re.compile(r"(\d{1,19})-(\d{0,19})|-(\d{1,19})", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Bytes from *start* on, *length* of them."""

    start: int
    length: int

    @property
    def end(self) -> int:
        """Return the offset behind the last."""
        return self.start + self.length

    def header(self, size: int) -> str:
        """Return it as ``Content-Range`` says it of *size* bytes."""
        return f"bytes {self.start}-{self.end - 1}/{size}"


class UnsatisfiableError(ValueError):
    """No byte of what is asked for is there."""


def spans(header: str, size: int) -> list[Span] | None:
    """
    Return what *header* asks for of *size* bytes, in its order; None for all of them.

    One that is not understood, or that asks for the same bytes twice or in more than
    16 pieces, is passed over, as a server may: the answer is the whole.

    Raises:
        UnsatisfiableError: Nothing of it is there.
    """
    unit, _, listed = header.partition("=")
    if unit.strip().lower() != "bytes" or len(header) > _LONGEST:
        return None
    matches = [_SPEC(one.strip(" \t")) for one in listed.split(",") if one.strip(" \t")]
    if not matches or len(matches) > _MOST:
        return None
    found = []
    for match in matches:
        if match is None or (match[2] and int(match[2]) < int(match[1])):
            return None
        span = _span(match, size)
        if span is not None:
            found.append(span)
    if not found:
        raise UnsatisfiableError(header)
    in_order = sorted(found)
    overlap = any(
        later.start < earlier.end for earlier, later in itertools.pairwise(in_order)
    )
    return None if overlap else found


def _span(match: re.Match[str], size: int) -> Span | None:
    if match[3]:  # the last so many
        length = min(int(match[3]), size)
        return Span(size - length, length) if length else None
    start = int(match[1])
    if start >= size:
        return None
    end = min(int(match[2]) + 1, size) if match[2] else size
    return Span(start, end - start)
