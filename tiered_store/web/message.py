"""
A request and its response, as no framework has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tiered_store.body import Body
from tiered_store.errors import CorruptError


PIECE = 256 * 1024  # bytes of a body that one client holds in memory


@dataclass(frozen=True, slots=True)
class Request:
    """
    What a client asks for.

    Attributes:
        method: In capitals.
        path: Decoded, below where the site is, without a slash in front; None if its
            bytes are no UTF-8.
        query: As it was sent, without the question mark.
        headers: By name in small letters.
    """

    method: str
    path: str | None
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class Stream:
    """
    Bytes *start* to *start* + *length* of *body*, piece by piece.

    The first piece is read at once, so that an outage is told by a status.  One that
    comes later is raised: a response is whole, or its connection breaks.
    """

    def __init__(self, body: Body, start: int, length: int) -> None:
        self._left = length
        self._file = body.open(start)
        try:
            self._first = self._read()
        except BaseException:
            self._file.close()
            raise

    def next_piece(self) -> bytes:
        """Return what comes next, nothing at the end."""
        first, self._first = self._first, b""
        return first or self._read()

    def _read(self) -> bytes:
        if not self._left:
            return b""
        piece = self._file.read(min(PIECE, self._left))
        if not piece:
            raise CorruptError(f"the body ended {self._left} bytes too early")
        self._left -= len(piece)
        return piece

    def close(self) -> None:
        """Free what is behind it."""
        self._file.close()

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.next_piece():
            yield piece


class Joined:
    """What stands before, between and behind several *parts* of *body*."""

    def __init__(self, body: Body, parts: list[bytes | tuple[int, int]]) -> None:
        self._body = body
        self._parts = parts
        self._stream: Stream | None = None

    def next_piece(self) -> bytes:
        """Return what comes next, nothing at the end."""
        while True:
            if self._stream is not None:
                if piece := self._stream.next_piece():
                    return piece
                self.close()
            if not self._parts:
                return b""
            part = self._parts.pop(0)
            if isinstance(part, bytes):
                return part
            self._stream = Stream(self._body, *part)

    def close(self) -> None:
        """Free what is behind it."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.next_piece():
            yield piece


@dataclass(slots=True)
class Response:
    """
    What a client is told.

    Attributes:
        content: All of the body, if it is in memory.
        stream: The body otherwise; whoever has the response closes it.
    """

    status: int
    headers: list[tuple[str, str]]
    content: bytes = b""
    stream: Stream | Joined | None = None

    def close(self) -> None:
        """Free what is behind it."""
        if self.stream is not None:
            self.stream.close()
