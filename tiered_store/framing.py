"""
An object of any size as a header and pieces, each of which can be checked alone.

.. code-block:: text

   header   as long as its format says
   piece 0  256 KiB of the content, and a tag of 16 bytes
   piece 1  ...
   piece n  what is left of the content, perhaps nothing, and its tag

Reading begins anywhere and needs memory for one piece; no byte is handed out whose
piece did not pass.  A tag tells the last piece from the others, so an object that
was cut off between two of them is noticed (the STREAM construction: Hoang,
Reyhanitabar, Rogaway, Vizár, *Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance*, 2015).
"""

from __future__ import annotations

import dataclasses
import io

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from tiered_store.body import Body, BytesBody
from tiered_store.errors import CorruptError
from tiered_store.readers import SeekableReader


PIECE = 256 * 1024  # frozen, as is the next: objects are stored like this
TAG = 16
_SEALED = PIECE + TAG


class Frame(ABC):
    """
    How one object is sealed.

    Attributes:
        header: What it begins with.
        size: Bytes of its content, if the header tells.
    """

    header: bytes
    size: int | None = None

    @abstractmethod
    def seal(self, index: int, last: bool, content: bytes) -> bytes:
        """Return *content* and its tag, the same at each call."""

    @abstractmethod
    def unseal(self, index: int, last: bool, sealed: bytes) -> bytes:
        """
        Return the content of *sealed*.

        Raises:
            CorruptError: It is not piece *index* of this object.
        """

    def spoiled(self) -> None:  # noqa: B027 - optional
        """A reader is about to hear that a piece is not there or did not pass."""


def content_size(sealed_size: int, header_size: int) -> int:
    """
    Return how many bytes of content an object of *sealed_size* has.

    Raises:
        CorruptError: A whole object cannot have that size.
    """
    rest = sealed_size - header_size
    size = rest - TAG * _count(rest, _SEALED)
    if size < 0 or size + TAG * _count(size, PIECE) != rest:
        raise CorruptError(f"{sealed_size} bytes are no whole object")
    return size


def pieces(sealed: memoryview) -> Iterator[tuple[int, bool, memoryview]]:
    """Yield what follows a header in pieces: index, whether it is the last, and it."""
    last = _count(len(sealed), _SEALED) - 1
    for index in range(last + 1):
        start = index * _SEALED
        yield index, index == last, sealed[start : start + _SEALED]


def sealed(content: Body, frame: Frame) -> Body:
    """Return what is to be stored of *content*; it is made while it is read."""
    size = content.size + TAG * _count(content.size, PIECE)
    size += len(frame.header)
    plan = _Plan(size, frame.header, _SEALED, 0, PIECE, frame.seal)
    return _PieceBody(content, plan, version=None)


def unsealed(
    stored: Body,
    header_size: int,
    frame_of: Callable[[bytes], Frame],
    *,
    ahead: bool = True,
) -> Body:
    """
    Return the content of *stored*, whose first piece has been read and has passed.

    Args:
        ahead: Without it only the header has been read.

    Raises:
        CorruptError: From here if its header, size or first piece are wrong, from a
            reader if it comes to another piece that is.
    """
    file = stored.open()
    try:
        frame = frame_of(_exactly(file, min(header_size, stored.size)))
        size = content_size(stored.size, header_size)
        if frame.size not in (None, size):
            raise CorruptError(f"{size} of {frame.size} bytes are there")
        plan = _Plan(
            size, b"", PIECE, header_size, _SEALED, frame.unseal, frame.spoiled
        )
        reader = _PieceReader(stored, plan, 0, file)
        first = reader.load(0) if ahead else b""
    except BaseException:
        file.close()
        raise
    if size > PIECE or not ahead:
        return _PieceBody(stored, plan, reader, version=stored.version)
    reader.close()
    return BytesBody(first, stored.version)


@dataclasses.dataclass(frozen=True, slots=True)
class _Plan:
    """How a body of *size* is made: *lead*, then blocks of another body, converted."""

    size: int
    lead: bytes
    step: int
    source_lead: int
    source_step: int
    convert: Callable[[int, bool, bytes], bytes]
    spoiled: Callable[[], None] = lambda: None


class _PieceBody(Body):
    def __init__(
        self,
        source: Body,
        plan: _Plan,
        first: _PieceReader | None = None,
        *,
        version: str | None,
    ) -> None:
        self.size = plan.size
        self.version = version
        self.modified = source.stat().modified
        self._source = source
        self._plan = plan
        self._first = [] if first is None else [first]  # goes with us, and closes

    def open(self, offset: int = 0) -> io.BufferedReader:
        try:
            reader = self._first.pop()
        except IndexError:  # somebody has it, maybe another thread
            reader = _PieceReader(self._source, self._plan, offset)
        reader.seek(offset)
        return io.BufferedReader(reader)


class _PieceReader(SeekableReader):
    def __init__(
        self,
        source: Body,
        plan: _Plan,
        position: int,
        file: io.BufferedIOBase | None = None,
    ) -> None:
        super().__init__(plan.size, position)
        self._source = source
        self._plan = plan
        self._file = file
        self._index = -1
        self._block = b""

    def load(self, index: int) -> bytes:
        """Return block *index*, which is kept until another one is asked for."""
        if index != self._index:
            plan, whole = self._plan, self._source.size
            start = plan.source_lead + index * plan.source_step
            end = min(start + plan.source_step, whole)
            try:
                block = _exactly(self._standing_at(start), end - start)
                self._block = plan.convert(index, end == whole, block)
            except CorruptError:
                plan.spoiled()
                raise
            self._index = index
        return self._block

    def _piece(self, wanted: int) -> bytes:
        beyond = self._position - len(self._plan.lead)
        if beyond < 0:
            return self._plan.lead[beyond:][:wanted]
        index, within = divmod(beyond, self._plan.step)
        return self.load(index)[within : within + wanted]

    def _standing_at(self, start: int) -> io.BufferedIOBase:
        if self._file is None:
            self._file = self._source.open(start)
        elif self._file.tell() != start:
            self._file.seek(start)
        return self._file

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        super().close()


def _count(size: int, step: int) -> int:
    return max(1, -(-size // step))  # an empty content is one empty piece


def _exactly(file: io.BufferedIOBase, size: int) -> bytes:
    content = file.read(size)
    if len(content) != size:
        raise CorruptError(f"the body ended {size - len(content)} bytes too early")
    return content
