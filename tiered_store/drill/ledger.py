"""
What users were promised, and whether what they saw was that.

Each object has one writer, so what it may be is known at any moment: what was
acknowledged last, or what a write is about that has not ended, or ended without anybody
knowing how.
"""

from __future__ import annotations

import hashlib
import threading

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from tiered_store.key import Key


Verdict = Literal["right", "absent", "stale", "wrong"]

_SIZES = (700, 3_000, 20_000)


class Record:
    """
    One object.

    Attributes:
        acknowledged: Its bytes since the last write that was; None if it is absent.
        possible: All that a read may find just now.
        certain: Nothing else than what was acknowledged is possible.
    """

    def __init__(self, key: Key) -> None:
        self.key = key
        self.acknowledged: bytes | None = None
        self.possible: set[bytes | None] = {None}
        self._known: set[bytes | None] = {None}
        self._readers: list[set[bytes | None]] = []
        self._writes = 0
        self._lock = threading.Lock()

    @property
    def certain(self) -> bool:
        return self.possible == {self.acknowledged}

    def next(self, seed: int) -> bytes:
        """Return new bytes, which nothing else has."""
        self._writes += 1
        size = _SIZES[(self.key.object_id + self._writes) % len(_SIZES)]
        line = hashlib.sha256(f"{seed}/{self.key}/{self._writes}".encode()).digest()
        return (line * (size // len(line) + 1))[:size]

    def begin(self, content: bytes | None) -> None:
        """Note that a write of *content* begins; None is a delete."""
        with self._lock:
            self._known.add(content)
            self.possible.add(content)
            for seen in self._readers:
                seen.add(content)

    def acknowledge(self, content: bytes | None) -> None:
        """Note that it ended well."""
        with self._lock:
            self.acknowledged = content
            self.possible = {content}

    @contextmanager
    def reading(self) -> Iterator[set[bytes | None]]:
        """Lend the set of what a read meanwhile may find."""
        with self._lock:
            seen = set(self.possible)
            self._readers.append(seen)
        try:
            yield seen
        finally:
            with self._lock:
                self._readers = [one for one in self._readers if one is not seen]

    def judge(self, content: bytes | None, seen: set[bytes | None]) -> Verdict:
        """Return what *content* is, of which *seen* was possible."""
        if content in seen:
            return "right"
        if content is None:
            return "absent"
        return "stale" if content in self._known else "wrong"


def records(writers: int, each: int) -> list[list[Record]]:
    """Return the objects of each of *writers*."""
    return [
        [
            Record(Key("drill.picture", 1000 * writer + number, 40, 30, "image/png"))
            for number in range(each)
        ]
        for writer in range(writers)
    ]
