"""
Objects, sources and steps that the rules of stores are told in.
"""

from __future__ import annotations

import io

from dataclasses import dataclass
from datetime import datetime

from tiered_store.key import Key
from tiered_store.store import Store


KEY = Key("testing", 1234, 405, 640, "image/jpeg")
OTHER = Key("testing", 1234, 405, 641, "image/jpeg")
CONTENT = b"first line\nsecond line\n" + bytes(range(256))


class Dripping(io.RawIOBase):
    """A source that cannot seek and gives a few bytes at a time, as a socket does."""

    def __init__(self, content: bytes, step: int = 7, fail_at: int | None = None):
        self._rest = io.BytesIO(content)
        self._step = step
        self._fail_at = fail_at

    def read(self, size: int = -1) -> bytes:
        if self._fail_at is not None and self._rest.tell() >= self._fail_at:
            raise ConnectionResetError("the client went away")
        limit = self._step if size < 0 else min(size, self._step)
        return self._rest.read(limit)

    def seekable(self) -> bool:
        return False


@dataclass
class Image:
    """An image of the original library, at the key of these rules."""

    object_type: str = "testing"
    object_id: int = 1234
    width: int = 405
    height: int = 640
    mimetype: str = "image/jpeg"
    original: bool = True
    created_at: datetime | None = datetime(2026, 11, 23, 1, 2, 3, 45)  # noqa: DTZ001, RUF100


def put(
    store: Store, content: bytes, key: Key = KEY, reproducible: bool = False
) -> None:
    """Store *content* through the contract."""
    store.put_file(io.BytesIO(content), *key, reproducible)


def get(store: Store, key: Key = KEY) -> bytes:
    """Return the content of *key* through the contract."""
    with store.get_file(*key) as file:
        return file.read()
