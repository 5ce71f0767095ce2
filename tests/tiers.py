"""What the tests of tiers have in common: entries, listeners and patience."""

from __future__ import annotations

import threading

from collections.abc import Iterator

from tiered_store.body import Body
from tiered_store.key import Key
from tiered_store.tiers.shared import Looked
from tiered_store.tiers.tier import Entry, Record


def entry(content: bytes, **facts: float) -> Entry:
    """Return a copy of *content*."""
    return Entry(Record(since=1.0, size=len(content), **facts), Body.of(content))


def absence() -> Entry:
    """Return that there was no such object."""
    return Entry(Record(since=1.0, size=None), None)


def content(looked: Looked | Entry | None) -> bytes | None:
    """Return the bytes that were found, if any were."""
    found = looked.entry if isinstance(looked, Looked) else looked
    return None if found is None or found.body is None else found.body.read()


class Listener:
    """Remembers what it was told, and by which thread."""

    def __init__(self) -> None:
        self.heard: list[Key | str] = []
        self.threads: set[int] = set()

    def overtaken(self, key: Key) -> None:
        self._note(key)

    def torn(self) -> None:
        self._note("torn")

    def mended(self) -> None:
        self._note("mended")

    def _note(self, what: Key | str) -> None:
        self.heard.append(what)
        self.threads.add(threading.get_ident())


def interleavings(*actors: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield every way in which *actors* can take their steps, each its own in order."""
    if not any(actors):
        yield ()
    for number, steps in enumerate(actors):
        if steps:
            others = (*actors[:number], steps[1:], *actors[number + 1 :])
            for later in interleavings(*others):
                yield (steps[0], *later)
