"""
Bytes that say of themselves whether they are whole.

.. code-block:: text

   magic and format   4   "TSo1"
   check              4   of all the rest of the header, and of the object's name
   size               8   bytes of the content
   modified           8   microseconds since the epoch
   version            8   random, a new one each time an object is stored
   checksum           8   xxh3 of the content
   content            the rest

Numbers are little-endian.  What is torn, flipped, stored by somebody else, or
stored under another name is noticed; nothing in it is ever executed.
"""

from __future__ import annotations

import secrets
import struct

from dataclasses import dataclass

import xxhash

from tiered_store.errors import CorruptError


_MAGIC = b"TSo1"
_START = struct.Struct("<4sI")
_FACTS = struct.Struct("<QQQQ")
HEADER_SIZE = _START.size + _FACTS.size


@dataclass(frozen=True, slots=True)
class Header:
    """
    What is known of a content before it is read.

    Attributes:
        size: Bytes.
        version: An opaque name; the same version means the same bytes.
        modified: Seconds since the epoch.
    """

    size: int
    version: str
    modified: float
    checksum: int


def seal(name: str, content: bytes, modified: float) -> bytes:
    """Return *content* with a header that binds it to *name*."""
    facts = _FACTS.pack(
        len(content),
        int(modified * 1_000_000),
        secrets.randbits(64),
        xxhash.xxh3_64_intdigest(content),
    )
    start = _START.pack(_MAGIC, _check(name, facts))
    return b"".join((start, facts, content))


def read_header(name: str, start: bytes) -> Header:
    """
    Return the header that *start*, at least :data:`HEADER_SIZE` bytes, begins with.

    Raises:
        CorruptError: It is none of ours, none for *name*, or damaged.
    """
    if not start.startswith(_MAGIC):
        raise CorruptError("something else is stored under the object's name")
    if len(start) < HEADER_SIZE:
        raise CorruptError(f"ends within its header, after {len(start)} bytes")
    facts = start[_START.size : HEADER_SIZE]
    if _START.unpack_from(start)[1] != _check(name, facts):
        raise CorruptError("its header is damaged, or another object's")
    size, modified, version, checksum = _FACTS.unpack(facts)
    return Header(size, f"{version:016x}", modified / 1_000_000, checksum)


def unseal(name: str, sealed: bytes) -> tuple[bytes, Header]:
    """
    Return the content of *sealed*, checked, and its header.

    Raises:
        CorruptError: It is not what was stored under *name*.
    """
    header = read_header(name, sealed)
    content = sealed[HEADER_SIZE:]
    if len(content) != header.size:
        raise CorruptError(f"holds {len(content)} of {header.size} bytes")
    if xxhash.xxh3_64_intdigest(content) != header.checksum:
        raise CorruptError("its bytes do not match their checksum")
    return content, header


def _check(name: str, facts: bytes) -> int:
    named = facts + name.encode()
    return int(xxhash.xxh3_64_intdigest(named) & 0xFFFFFFFF)
