"""
Streams that shrink and grow again, piece by piece.
"""

from __future__ import annotations

import io
import lzma
import zlib

from collections.abc import Iterator
from typing import Literal, Protocol

from tiered_store.body import Body, Stat
from tiered_store.errors import CorruptError
from tiered_store.readers import SeekableReader


Algorithm = Literal["zlib", "lzma"]

_PIECE = 256 * 1024
_MEMORY_LIMIT = 128 * 1024 * 1024  # of an lzma stream, whoever made it


def compressed(body: Body, algorithm: Algorithm, level: int) -> Iterator[bytes]:
    """Yield *body*, compressed."""
    compressor = (
        zlib.compressobj(level)
        if algorithm == "zlib"
        else lzma.LZMACompressor(preset=level)
    )
    for piece in body.chunks():
        yield compressor.compress(piece)
    yield compressor.flush()


class ExpandedBody(Body):
    """
    What *stored* is from byte *start* on, *size* bytes once they are expanded.

    Reading on is one pass; going back begins again, and going ahead expands what is
    passed over.  A stream that is damaged is noticed at its last byte at the latest,
    before that is handed out.

    Args:
        first: A reader of *stored*, for whoever opens this first.
    """

    def __init__(
        self,
        stored: Body,
        start: int,
        size: int,
        algorithm: Algorithm,
        first: io.BufferedIOBase,
    ) -> None:
        self.size = size
        self.version = stored.version
        self.say_as(stored)
        self._stored = stored
        self._start = start
        self._algorithm = algorithm
        self._first = [first]

    def open(self, offset: int = 0) -> io.BufferedReader:
        try:
            file = self._first.pop()
        except IndexError:  # somebody has it, maybe another thread
            file = self._stored.open(self._start)
        reader = _Expanding(file, self._start, self.size, offset, self._algorithm)
        return io.BufferedReader(reader, _PIECE)

    def stat(self) -> Stat:
        return Stat(self.size, self.version, self._stored.stat().modified)


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Inflating:
    """zlib with the manners of lzma: it keeps what it has not used."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj()

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


class _Expanding(SeekableReader):
    def __init__(
        self,
        file: io.BufferedIOBase,
        start: int,
        size: int,
        position: int,
        algorithm: Algorithm,
    ) -> None:
        super().__init__(size, position)
        self._file = file
        self._start = start
        self._algorithm = algorithm
        self._rewind()

    def _piece(self, wanted: int) -> bytes:
        if self._position < self._at:
            self._rewind()
        while self._at < self._position:
            self._next(min(self._position - self._at, _PIECE))
        return self._next(min(wanted, _PIECE))

    def _rewind(self) -> None:
        self._file.seek(self._start)
        self._at = 0  # where the expanded stream stands
        self._stream: _Decompressor = (
            _Inflating()
            if self._algorithm == "zlib"
            else lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY_LIMIT)
        )

    def _next(self, limit: int) -> bytes:
        piece = self._expand(limit)
        self._at += len(piece)
        if self._at == self._size and (self._expand(1) or not self._stream.eof):
            raise CorruptError(f"it expands to more than {self._size} bytes")
        if not piece:
            raise CorruptError(f"it expands to {self._at} of {self._size} bytes")
        return piece

    def _expand(self, limit: int) -> bytes:
        try:
            while not self._stream.eof:
                needed = _PIECE if self._stream.needs_input else 0
                given = self._file.read1(needed) if needed else b""
                piece = self._stream.decompress(given, limit)
                if piece or (needed and not given):
                    return piece
        except (zlib.error, lzma.LZMAError) as error:
            raise CorruptError(f"it cannot be expanded: {error}") from error
        return b""

    def close(self) -> None:
        self._file.close()
        super().close()
