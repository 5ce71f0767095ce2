"""
Keep a digest with each object, and never hand out bytes that differ.

.. code-block:: yaml

   type: verified
   algorithm: xxh3
   child: {type: memory}
"""

from __future__ import annotations

import hashlib
import secrets
import struct

from collections.abc import Callable, Mapping
from typing import Any, Literal

import xxhash

from tiered_store.body import Body
from tiered_store.digests import Digests
from tiered_store.errors import ConfigError, CorruptError
from tiered_store.framing import Frame
from tiered_store.policies.framed import Framed
from tiered_store.store import Store


Algorithm = Literal["xxh3", "sha256"]

_HEADER = struct.Struct(">4sB3xQ16s")  # magic, algorithm, bytes of content, random
_NUMBERS: Mapping[str, int] = {"xxh3": 1, "sha256": 2}
_HASHES: Mapping[int, Callable[[bytes], Any]] = {
    1: xxhash.xxh3_128,
    2: hashlib.sha256,
}


class VerifiedStore(Framed):
    """
    A *child* whose silent corruption becomes an error.

    Each 256 KiB of an object carry a digest of 16 bytes, which also says of which
    object and of which put they are: what was flipped, cut off, mixed from two puts
    or stored under another name does not pass.  Objects of up to 256 KiB, and the
    beginning of larger ones, are checked before ``get`` returns, so that another
    store can be asked instead; the rest while it is read.

    What lies in *child* is then no plain file, so there are no URLs, and objects
    that were stored without this wrapper are corrupt to it.  It notices accidents;
    against people, use ``encrypted``.

    Args:
        algorithm: For what is put; what is read says itself how it was stored.

    Raises:
        CorruptError: The bytes are not what was put.
    """

    magic = b"TSv1"
    header_size = _HEADER.size

    def __init__(self, child: Store, *, algorithm: Algorithm = "xxh3") -> None:
        super().__init__(child)
        self.algorithm = algorithm
        if algorithm not in _NUMBERS:
            raise ConfigError(f"algorithm: must be xxh3 or sha256, not {algorithm!r}")

    def _new_header(self, body: Body) -> bytes:
        algorithm = _NUMBERS[self.algorithm]
        return _HEADER.pack(self.magic, algorithm, body.size, secrets.token_bytes(16))

    def _frame(self, header: bytes, name: str) -> Frame:
        _, algorithm, size, _ = _HEADER.unpack(header)
        if algorithm not in _HASHES:
            raise CorruptError(f"its digests are of an unknown kind, {algorithm}")
        return Digests(header, size, _HASHES[algorithm](header + name.encode()))
