"""
Encrypt objects before they are stored, so that who keeps them cannot read them.

.. code-block:: yaml

   type: encrypted
   key: YW4gZXhhbXBsZTsgbWFrZSBvbmUgb2YgeW91ciBvd24=  # better "${env:IMAGES_KEY}"
   child: {type: memory}

Needs ``pip install 'tiered-store[encryption]'``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import struct

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tiered_store.body import Body
from tiered_store.errors import ConfigError, CorruptError, MisconfiguredError
from tiered_store.framing import PIECE, TAG, Frame
from tiered_store.policies.framed import Framed
from tiered_store.store import Store
from tiered_store.units import Secret


if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM


_HEADER = struct.Struct(">4s4x8s32s")  # magic, name of the key, salt
_PURPOSE = b"tiered-store encrypted 1"
_KEY_SIZE = 32


class EncryptedStore(Framed):
    """
    A *child* that sees only ciphertext.

    AES-256-GCM over pieces of 256 KiB, each bound to its place, to being the last or
    not and to the object's name (STREAM, see :mod:`tiered_store.framing`), under a
    key of its own for each put (HKDF-SHA256 with a random salt of 32 bytes, so
    nonces never meet).  What was changed, cut off, mixed or stored under another
    name does not pass.  Somebody who can write to *child* may still bring back an
    object that was stored under the same name before.  Names, sizes and times are
    not hidden.

    Objects of up to 256 KiB, and the beginning of larger ones, are checked before
    ``get`` returns; the rest while it is read.  There are no URLs.

    Args:
        key: 32 bytes in base64, as ``openssl rand -base64 32`` prints them.  Lose it
            and the objects are lost.
        old_keys: Others that objects may still be encrypted with; put an object
            again to have it under *key*.

    Raises:
        CorruptError: The bytes are not what was put here.
        MisconfiguredError: The object needs a key that is not among these.
    """

    magic = b"TSe1"
    header_size = _HEADER.size

    def __init__(
        self, child: Store, key: Secret, *, old_keys: Sequence[Secret] = ()
    ) -> None:
        super().__init__(child)
        self.key = Secret(key)
        self.old_keys = tuple(Secret(old) for old in old_keys)
        self._cipher = _ciphers()
        self._current = _name(self.key, "key")
        self._secrets = {_name(old, "old_keys"): old for old in self.old_keys}
        self._secrets[self._current] = self.key

    def key_names(self) -> frozenset[bytes]:
        """Return what objects say of the keys that are given, which tells no key."""
        return frozenset(self._secrets)

    def _new_header(self, body: Body) -> bytes:
        return _HEADER.pack(self.magic, self._current, secrets.token_bytes(32))

    def _frame(self, header: bytes, name: str) -> Frame:
        _, of_key, salt = _HEADER.unpack(header)
        secret = self._secrets.get(of_key)
        if secret is None:
            known = ", ".join(held.hex() for held in self._secrets)
            raise MisconfiguredError(
                f"it is encrypted with the key named {of_key.hex()}; known are {known}"
            )
        cipher = self._cipher(_decoded(secret), salt)
        return _Ciphertext(header, name, cipher)


class _Ciphertext(Frame):
    def __init__(self, header: bytes, name: str, cipher: AESGCM) -> None:
        self.header = header
        self._bound_to = header + name.encode()
        self._cipher = cipher

    def seal(self, index: int, last: bool, content: bytes) -> bytes:
        return self._cipher.encrypt(_nonce(index, last), content, self._bound_to)

    def unseal(self, index: int, last: bool, sealed: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(_nonce(index, last), sealed, self._bound_to)
        except InvalidTag:
            start = index * PIECE
            end = start + len(sealed) - TAG
            raise CorruptError(
                f"bytes {start} to {end} are not what was encrypted"
            ) from None


def _nonce(index: int, last: bool) -> bytes:
    return index.to_bytes(11, "big") + bytes((last,))


def _decoded(key: Secret) -> bytes:
    try:
        return base64.b64decode(key.reveal(), validate=True)
    except (binascii.Error, ValueError):
        return b""  # of a wrong length, in any case


def _name(key: Secret, option: str) -> bytes:
    """Return what an object says of the key it needs, which does not tell the key."""
    decoded = _decoded(key)
    if len(decoded) != _KEY_SIZE:
        raise ConfigError(
            f"{option}: must be {_KEY_SIZE} bytes in base64; "
            "make one with 'openssl rand -base64 32'"
        )
    return hashlib.sha256(_PURPOSE + b" name" + decoded).digest()[:8]


def _ciphers() -> Callable[[bytes, bytes], AESGCM]:
    """Return what makes the cipher of one put from a key and its salt."""
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    except ImportError as error:
        raise ConfigError(
            "encryption needs a package: pip install 'tiered-store[encryption]'"
        ) from error

    def cipher(key: bytes, salt: bytes) -> AESGCM:
        return AESGCM(HKDF(SHA256(), _KEY_SIZE, salt, _PURPOSE).derive(key))

    return cipher
