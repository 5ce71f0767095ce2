"""
Keep a digest with each object, and never hand out bytes that differ.

.. code-block:: yaml

   type: verified
   algorithm: xxh3
   child: {type: memory}
"""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
import struct

from collections.abc import Callable, Mapping
from typing import Any, Literal

import xxhash

from tiered_store import framing
from tiered_store.body import Body, Stat
from tiered_store.errors import ConfigError, CorruptError, UnsupportedError
from tiered_store.events import Verb
from tiered_store.key import Key
from tiered_store.layout import object_name
from tiered_store.store import Store
from tiered_store.wrapper import Wrapper


Algorithm = Literal["xxh3", "sha256"]

_MAGIC = b"TSv1"
_HEADER = struct.Struct(">4sB3xQ16s")  # magic, algorithm, bytes of content, random
_PLACE = struct.Struct(">Q?")
_NUMBERS: Mapping[str, int] = {"xxh3": 1, "sha256": 2}
_HASHES: Mapping[int, Callable[[bytes], Any]] = {
    1: xxhash.xxh3_128,
    2: hashlib.sha256,
}


class VerifiedStore(Wrapper):
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

    def __init__(self, child: Store, *, algorithm: Algorithm = "xxh3") -> None:
        super().__init__(child)
        self.algorithm = algorithm
        if algorithm not in _NUMBERS:
            raise ConfigError(f"algorithm: must be xxh3 or sha256, not {algorithm!r}")

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        header = _HEADER.pack(
            _MAGIC, _NUMBERS[self.algorithm], body.size, secrets.token_bytes(16)
        )
        framed = framing.sealed(body, _Digests(header, object_name(key)))
        self.child.put(key, framed, reproducible)

    def _get(self, key: Key) -> Body:
        name = object_name(key)
        return framing.unsealed(
            self.child.get(key), _HEADER.size, lambda header: _Digests(header, name)
        )

    def _stat(self, key: Key) -> Stat:
        found = self.child.stat(key)
        size = framing.content_size(found.size, _HEADER.size)
        return dataclasses.replace(found, size=size)

    def _url(self, key: Key) -> str:
        raise UnsupportedError("a URL would show the digests among the bytes")

    def capabilities(self) -> frozenset[Verb]:
        """What *child* can do, without URLs."""
        return super().capabilities() - {"url"}


class _Digests(framing.Frame):
    def __init__(self, header: bytes, name: str) -> None:
        if not header.startswith(_MAGIC):
            raise CorruptError("it was not stored with digests")
        if len(header) < _HEADER.size:
            raise CorruptError(f"it ends within its header, after {len(header)} bytes")
        _, algorithm, self.size, _ = _HEADER.unpack(header)
        if algorithm not in _HASHES:
            raise CorruptError(f"its digests are of an unknown kind, {algorithm}")
        self.header = header
        self._hash = _HASHES[algorithm](header + name.encode() + b"\0")

    def seal(self, index: int, last: bool, content: bytes) -> bytes:
        return content + self._digest(index, last, content)

    def unseal(self, index: int, last: bool, sealed: bytes) -> bytes:
        content, digest = sealed[: -framing.TAG], sealed[-framing.TAG :]
        if self._digest(index, last, content) != digest:
            start = index * framing.PIECE
            raise CorruptError(
                f"bytes {start} to {start + len(content)} do not match their digest"
            )
        return content

    def _digest(self, index: int, last: bool, content: bytes) -> bytes:
        hasher = self._hash.copy()
        hasher.update(_PLACE.pack(index, last))
        hasher.update(content)
        return bytes(hasher.digest()[: framing.TAG])
