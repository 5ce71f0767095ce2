"""
Pieces whose tags are digests, which notice accidents but no people.
"""

from __future__ import annotations

import struct

from typing import Any

from tiered_store.errors import CorruptError
from tiered_store.framing import PIECE, TAG, Frame, content_size


_PLACE = struct.Struct(">Q?")


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

    def unseal(self, index: int, last: bool, sealed: bytes) -> bytes:
        content, digest = sealed[:-TAG], sealed[-TAG:]
        self._check(index, last, content, digest)
        return content

    def content_of(self, stored: bytes) -> bytes:
        """
        Return the content of *stored*, a whole object, once all of it is checked.

        Raises:
            CorruptError: A piece, or the size, is wrong.
        """
        size = content_size(len(stored), len(self.header))
        if size != self.size:
            raise CorruptError(f"{size} of {self.size} bytes are there")
        view, contents = memoryview(stored), []
        starts = range(len(self.header), len(stored), PIECE + TAG)
        for index, start in enumerate(starts):
            sealed = view[start : start + PIECE + TAG]
            last = index + 1 == len(starts)
            self._check(index, last, sealed[:-TAG], sealed[-TAG:])
            contents.append(sealed[:-TAG])
        return b"".join(contents)

    def _check(
        self,
        index: int,
        last: bool,
        content: bytes | memoryview,
        digest: bytes | memoryview,
    ) -> None:
        if self._digest(index, last, content) != digest:
            start = index * PIECE
            raise CorruptError(
                f"bytes {start} to {start + len(content)} do not match their digest"
            )

    def _digest(self, index: int, last: bool, content: bytes | memoryview) -> bytes:
        hasher = self._hasher.copy()
        hasher.update(_PLACE.pack(index, last))
        hasher.update(content)
        return bytes(hasher.digest()[:TAG])
