"""
Compress objects before they are stored.

.. code-block:: yaml

   type: compressed
   algorithm: zlib
   child: {type: memory}
"""

from __future__ import annotations

import fnmatch
import io
import itertools
import struct

from collections.abc import Iterator, Sequence

from tiered_store.body import Body, Stat
from tiered_store.compression import Algorithm, ExpandedBody, compressed
from tiered_store.errors import ConfigError, CorruptError, UnsupportedError
from tiered_store.events import Verb
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.wrapper import Wrapper


COMPRESSED_ALREADY = (
    *("image/jpeg", "image/png", "image/gif", "image/webp", "image/avif", "image/jxl"),
    *("image/heic", "image/heif", "video/*", "audio/mpeg", "audio/mp4", "audio/ogg"),
    *("audio/aac", "audio/flac", "font/woff", "font/woff2", "application/zip"),
    *("application/gzip", "application/x-xz", "application/zstd"),
    *("application/x-7z-compressed", "application/vnd.openxmlformats-*"),
)
_MAGIC = b"\x93TSc1\r\n\x1a"  # as PNG's, no text begins with it
_HEADER = struct.Struct(">8sB7xQ")  # magic, how, bytes of content
_NUMBERS: dict[Algorithm, int] = {"zlib": 1, "lzma": 2}
_NAMES = {number: name for name, number in _NUMBERS.items()}
_LEVELS: dict[Algorithm, int] = {"zlib": 6, "lzma": 3}


class CompressedStore(Wrapper):
    """
    A *child* that keeps fewer bytes.

    An object that would not become smaller is stored as it is, and one that was
    stored without this wrapper is returned as it is, so it can be put around a store
    that is in use.  What is compressed begins with a header; nothing else does.

    A body is compressed before *child* is asked, in memory up to 8 MiB of result
    and in a temporary file beyond.  Reading goes piece by piece; seeking back begins
    again.  Telling the size (``stat``) takes the beginning of the object.  Only
    objects of the mimetypes in *skip* have URLs: others would show what is stored.

    Args:
        algorithm: ``zlib`` for speed, ``lzma`` for size.
        level: From 0, fast, to 9, small; by default 6 for zlib and 3 for lzma, which
            needs 32 MiB of memory then and 700 at 9.
        skip: Patterns of mimetypes that are stored as they are.

    Raises:
        CorruptError: What is stored cannot be expanded.
    """

    def __init__(
        self,
        child: Store,
        *,
        algorithm: Algorithm = "zlib",
        level: int | None = None,
        skip: Sequence[str] = COMPRESSED_ALREADY,
    ) -> None:
        super().__init__(child)
        self.algorithm: Algorithm = algorithm
        self.level = level
        self.skip = skip
        if algorithm not in _NUMBERS:
            known = " or ".join(_NUMBERS)
            raise ConfigError(f"algorithm: must be {known}, not {algorithm!r}")
        if level is not None and not 0 <= level <= 9:
            raise ConfigError(f"level: must be from 0 to 9, not {level!r}")

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        self.child.put(key, self._smallest(key, body), reproducible)

    def _get(self, key: Key) -> Body:
        stored = self.child.get(key)
        file = stored.open()
        try:
            header = file.read(_HEADER.size)
            if not header.startswith(_MAGIC):
                return _AsItIs(stored, file)
            algorithm, size = _parsed(header)
            return ExpandedBody(stored, _HEADER.size, size, algorithm, file)
        except BaseException:
            file.close()
            raise

    def _stat(self, key: Key) -> Stat:
        return self._get(key).stat()

    def _url(self, key: Key) -> str:
        if not self._skips(key):
            raise UnsupportedError(f"a URL would show {key.mimetype} as it is stored")
        return self.child.url(key)

    def capabilities(self) -> frozenset[Verb]:
        """What *child* can do, URLs only if there are objects that have them."""
        able = super().capabilities()
        return able if self.skip else able - {"url"}

    def _skips(self, key: Key) -> bool:
        return any(fnmatch.fnmatchcase(key.mimetype, pattern) for pattern in self.skip)

    def _smallest(self, key: Key, body: Body) -> Body:
        if not self._skips(key):
            level = _LEVELS[self.algorithm] if self.level is None else self.level
            small = _framed(body, self.algorithm, level)
            if small.size < body.size:
                return small
        with body.open() as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                return body
        return _framed(body, "zlib", 0)  # its beginning would be taken for a header


def _framed(body: Body, algorithm: Algorithm, level: int) -> Body:
    header = _HEADER.pack(_MAGIC, _NUMBERS[algorithm], body.size)
    stream = compressed(body, algorithm, level)
    return Body.take(_Pieces(itertools.chain((header,), stream)))


def _parsed(header: bytes) -> tuple[Algorithm, int]:
    if len(header) < _HEADER.size:
        raise CorruptError(f"ends within its header, after {len(header)} bytes")
    _, number, size = _HEADER.unpack(header)
    if number not in _NAMES:
        raise CorruptError(f"it is compressed in an unknown way, {number}")
    return _NAMES[number], size


class _Pieces:
    """A file that is read once, piece by piece, whatever size is asked for."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = filter(None, pieces)

    def read(self, size: int = -1) -> bytes:
        return next(self._pieces, b"")


class _AsItIs(Body):
    """*stored*, of which *first* has been opened already."""

    def __init__(self, stored: Body, first: io.BufferedIOBase) -> None:
        self.size = stored.size
        self.version = stored.version
        self.say_as(stored)
        self._stored = stored
        self._first = [first]

    def open(self, offset: int = 0) -> io.BufferedIOBase:
        try:
            file = self._first.pop()
        except IndexError:  # somebody has it, maybe another thread
            return self._stored.open(offset)
        file.seek(offset)
        return file

    def stat(self) -> Stat:
        return self._stored.stat()
