"""
Pieces whose tags are digests, which notice accidents but no people.
"""

from __future__ import annotations

import struct

from typing import Any

from tiered_store.errors import CorruptError
from tiered_store.framing import PIECE, TAG, Frame


_PLACE = struct.Struct(">Q?")
_ONLY = _PLACE.pack(0, True)


class Digests(Frame):
    """
    Seals each piece with a digest of where it belongs and what it is.

    Args:
        header: What the object begins with.
        size: Bytes of its content.
        hasher: Has been fed what all pieces of this object share and no other has,
            such as a random header and the name; of the kind that :mod:`hashlib` and
            ``xxhash`` make, with 16 bytes or more.
    """

    def __init__(self, header: bytes, size: int, hasher: Any) -> None:
        self.header = header
        self.size = size
        self._hasher = hasher

    def seal(self, index: int, last: bool, content: bytes) -> bytes:
        return content + self._digest(index, last, content)

    def unseal(self, index: int, last: bool, sealed: bytes | memoryview) -> bytes:
        return bytes(self.passed(index, last, sealed))

    def passed(
        self, index: int, last: bool, sealed: bytes | memoryview
    ) -> bytes | memoryview:
        """Do as :meth:`unseal` does; of a view, return a view."""
        content = sealed[:-TAG]
        if self._digest(index, last, content) != sealed[-TAG:]:
            raise mismatch(index * PIECE, len(content))
        return content

    def _digest(self, index: int, last: bool, content: bytes | memoryview) -> bytes:
        hasher = self._hasher.copy()
        hasher.update(_PLACE.pack(index, last))
        hasher.update(content)
        return bytes(hasher.digest()[:TAG])


def only_tag(hasher: Any, content: bytes) -> bytes:
    """
    Return the tag of *content*, the only piece of an object.

    Args:
        hasher: As :class:`Digests` takes it, and of no use after this.
    """
    hasher.update(_ONLY)
    hasher.update(content)
    return bytes(hasher.digest()[:TAG])


def mismatch(start: int, size: int) -> CorruptError:
    """Return the error for *size* bytes from *start* on that do not pass."""
    return CorruptError(f"bytes {start} to {start + size} do not match their digest")
