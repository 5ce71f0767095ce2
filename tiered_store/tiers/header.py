"""
What is stored in front of a copy, so that it says of itself what it is.

.. code-block:: text

   magic and format   4   "TSc3"
   check              4   of all the rest of the header, and of the object's name
   since              8   seconds since the epoch, as the next
   fresh until        8
   cost               8   seconds
   modified           8   as since; not a number where that is not known
   identity           8
   size               8   bytes of the body
   checksum           8   xxh3 of the body, if whoever stores it says so
   epoch              8   of the server that it was stored on, if it has one
   flags              1   1: the object is absent, 2: the body is elsewhere
   version            1   its length, and room for it
                     62

Numbers are little-endian.  What is torn, flipped, foreign, of another format or
stored under another name is noticed; nothing in it is ever executed.
"""

from __future__ import annotations

import math
import struct

from typing import NamedTuple

import xxhash

from tiered_store.errors import CorruptError
from tiered_store.tiers.tier import Record


_MAGIC = b"TSc3"
_START = struct.Struct("<4sI")
_FACTS = struct.Struct("<ddddQQQQBB62s")
_ALL = struct.Struct("<4sIddddQQQQBB")  # but for the version
_ABSENT, _ELSEWHERE = 1, 2
HEADER_SIZE = _START.size + _FACTS.size
_new = tuple.__new__  # of all their facts, which takes a fourth of making them


class Header(NamedTuple):
    """
    A record, and what its place has to know besides.

    Attributes:
        checksum: Of the body; zero where it is checked by other means.
        epoch: Zero where there is no such thing.
        elsewhere: The body is not stored behind the header.
    """

    record: Record
    checksum: int = 0
    epoch: int = 0
    elsewhere: bool = False


def pack(name: str, header: Header) -> bytes:
    """Return *header*, bound to the object called *name*."""
    record = header.record
    version = (record.version or "").encode()
    if len(version) > 62:  # a version that is not remembered is only not known
        version = b""
    facts = _FACTS.pack(
        record.since,
        record.fresh_until,
        record.cost,
        math.nan if record.modified is None else record.modified,
        record.identity,
        record.size or 0,
        header.checksum,
        header.epoch,
        _ABSENT * record.absent | _ELSEWHERE * header.elsewhere,
        len(version),
        version,
    )
    return _START.pack(_MAGIC, _check(name, facts)) + facts


def unpack(name: str | None, start: bytes) -> Header:
    """
    Return the header that *start* begins with.

    Args:
        name: Of the object; None if a digest of header and name has passed already.

    Raises:
        CorruptError: It is none of ours, none for *name*, or damaged.
    """
    if len(start) < HEADER_SIZE or not start.startswith(_MAGIC):
        raise CorruptError("no copy of this format is stored there")
    _, check, since, until, cost, modified, *others = _ALL.unpack_from(start)
    identity, size, checksum, epoch, flags, length = others
    if name is not None and check != _check(name, start[_START.size : HEADER_SIZE]):
        raise CorruptError("its header is damaged, or another object's")
    record = _new(
        Record,
        (
            since,
            until,
            None if flags & _ABSENT else size,
            start[_ALL.size : _ALL.size + length].decode() if length else None,
            None if math.isnan(modified) else modified,
            cost,
            identity,
        ),
    )
    return _new(Header, (record, checksum, epoch, bool(flags & _ELSEWHERE)))


def _check(name: str, facts: bytes) -> int:
    return int(xxhash.xxh3_64_intdigest(facts + name.encode()) & 0xFFFFFFFF)
