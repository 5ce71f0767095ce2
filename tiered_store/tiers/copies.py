"""
How a copy is stored where others, or an accident, may change it.

It is a header (:mod:`tiered_store.tiers.header`) and, unless the object is absent, the
pieces of :mod:`tiered_store.framing`.  Their digests are bound to the header, which has
the copy's identity, and to the name, so pieces of two copies never mix.
"""

from __future__ import annotations

import io

from collections.abc import Callable
from itertools import starmap

import xxhash

from tiered_store import framing
from tiered_store.body import Body, BytesBody
from tiered_store.digests import Digests, mismatch, only_tag
from tiered_store.errors import CorruptError, StoreError
from tiered_store.framing import PIECE, TAG, Frame
from tiered_store.lent import InnerReader
from tiered_store.tiers.header import HEADER_SIZE, Header, pack, unpack
from tiered_store.tiers.tier import WHOLE, Entry, Record
from tiered_store.units import MIB


_ONE_PIECE = HEADER_SIZE + PIECE + TAG
_AT_ONCE = 2 * MIB  # of content; while it is checked it is in memory twice


def packed(name: str, record: Record, body: Body | None) -> Body:
    """
    Return what is to be stored of a copy; it is made while it is read.

    Raises:
        SourceError: From a reader, if *body* cannot be read.
    """
    header = pack(name, Header(record))
    if body is None:
        return Body.of(header)
    source = body if isinstance(body, BytesBody) else _Source(body)
    return framing.sealed(source, _Pieces(name, header, record, _nothing))


def opened(name: str, stored: Body, drop: Callable[[], None]) -> Entry:
    """
    Return the copy that *stored* is.

    One of up to 8 MiB is read, and all of it is checked.  Of a larger one only the
    header is; its pieces are checked while they are read.

    Args:
        drop: Called before a reader raises because a piece does not pass.

    Raises:
        CorruptError: From here, or later from a reader.
    """
    if stored.size <= _ONE_PIECE:
        return _checked(name, stored)
    if framing.content_size(stored.size, HEADER_SIZE) <= _AT_ONCE:
        return _checked_pieces(name, stored)
    records: list[Record] = []

    def frame_of(header: bytes) -> Frame:
        records.append(unpack(name, header).record)
        return _Pieces(name, header, records[0], drop)

    body = framing.unsealed(stored, HEADER_SIZE, frame_of, ahead=False)
    [record] = records
    if body.size <= WHOLE:
        return Entry(record, record.body(body.read()))
    body.version, body.modified = record.version, record.modified
    return Entry(record, body)


class SourceError(StoreError):
    """
    What is to be kept cannot be read, which says nothing about where it is to be kept.

    Of no kind that a breaker counts.

    Attributes:
        why: The error that it is for the caller.
    """

    why: StoreError


def _checked(name: str, stored: Body) -> Entry:
    header, content, tag = stored.in_three(HEADER_SIZE, TAG)
    if only_tag(_hasher(name, header), content) != tag:
        record = unpack(name, header).record  # or says what is wrong with it
        if record.absent and stored.size == HEADER_SIZE:
            return Entry(record, None)
        raise mismatch(0, len(content))
    return _entry(unpack(None, header).record, content)


def _checked_pieces(name: str, stored: Body) -> Entry:
    whole = memoryview(stored.read())
    header = bytes(whole[:HEADER_SIZE])
    record = unpack(name, header).record
    passed = _Pieces(name, header, record, _nothing).passed
    content = b"".join(starmap(passed, framing.pieces(whole[HEADER_SIZE:])))
    return _entry(record, content)


def _entry(record: Record, content: bytes) -> Entry:
    if record.size != len(content):
        raise CorruptError(f"{len(content)} of {record.size} bytes are there")
    return Entry(record, record.body(content))


def _hasher(name: str, header: bytes) -> xxhash.xxh3_128:
    return xxhash.xxh3_128(header + name.encode())


class _Pieces(Digests):
    def __init__(
        self, name: str, header: bytes, record: Record, drop: Callable[[], None]
    ) -> None:
        if record.size is None:
            raise CorruptError("there are bytes of an object that is absent")
        super().__init__(header, record.size, _hasher(name, header))
        self._drop = drop

    def spoiled(self) -> None:
        self._drop()


def _nothing() -> None: ...


class _Source(Body):
    """What is to be kept, telling its own errors from those of the store."""

    def __init__(self, body: Body) -> None:
        self.size = body.size
        self._body = body

    def open(self, offset: int = 0) -> io.BufferedReader:
        return io.BufferedReader(_SourceReader(self._body, offset), PIECE)


class _SourceReader(InnerReader):
    def _piece(self, wanted: int) -> bytes:
        try:
            return self._fetch(wanted)
        except StoreError as error:
            raise SourceError(error.message, why=error) from error
