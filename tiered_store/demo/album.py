"""
The pictures of a demo, and what is going to happen to each.
"""

from __future__ import annotations

import time

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tiered_store.demo.errors import DemoError
from tiered_store.demo.picture import Picture, Skipped, candidates, examine
from tiered_store.demo.report import Phase, Show
from tiered_store.key import Key


OBJECT_TYPE = "photograph"

Fate = Literal["stored", "replaced", "deleted", "new"]


@dataclass(slots=True)
class Entry:
    """
    A picture, what it is called in the store, and what was made of it.

    Attributes:
        fate: ``stored`` before the outage and left alone, ``replaced`` or ``deleted``
            during it, or ``new`` then.
    """

    picture: Picture
    key: Key
    fate: Fate
    thumbnails: list[Key] = field(default_factory=list)

    @property
    def keys(self) -> list[Key]:
        """Everything that is stored of it."""
        return [self.key, *self.thumbnails]


@dataclass(frozen=True, slots=True)
class Album:
    """
    All pictures that are used, in order.

    Attributes:
        skipped: Files that are none.
        left_out: Files beyond the limit, which nobody looked at.
    """

    entries: list[Entry]
    skipped: list[Skipped]
    left_out: int

    def having(self, *fates: Fate) -> list[Entry]:
        """Return those with one of *fates*."""
        return [entry for entry in self.entries if entry.fate in fates]


def gather(folder: Path, without: Path, limit: int, phase: Phase, show: Show) -> Album:
    """
    Look at the pictures below *folder*, at most *limit* files.

    Args:
        without: A directory to pass over.

    Raises:
        DemoError: There is not one picture.
    """
    paths = candidates(folder, without)
    pictures: list[Picture] = []
    skipped: list[Skipped] = []
    with show.phase(phase, len(paths[:limit])) as step:
        began = time.perf_counter()
        for path in paths[:limit]:
            found = examine(path, path.relative_to(folder).as_posix())
            if isinstance(found, Picture):
                pictures.append(found)
            else:
                skipped.append(found)
            step()
        phase.happened = f"{len(pictures)} found, {len(skipped)} skipped"
        phase.seconds = time.perf_counter() - began
    if not pictures:
        seen = "".join(f"\n  {one.name}: {one.reason}" for one in skipped)
        raise DemoError(f"no picture below {str(folder)!r}{seen}")
    fates = _fates(len(pictures))
    entries = [
        Entry(picture, _key(number, picture), fate)
        for number, (picture, fate) in enumerate(
            zip(pictures, fates, strict=True), start=1
        )
    ]
    return Album(entries, skipped, max(0, len(paths) - limit))


def _key(number: int, picture: Picture) -> Key:
    return Key(OBJECT_TYPE, number, picture.width, picture.height, picture.mimetype)


def _fates(count: int) -> Iterator[Fate]:
    """Yield one for each of *count* pictures, something of everything if possible."""
    new = count // 3
    replaced = max(1, count // 6)
    deleted = max(count // 6, count > 1)
    shares: dict[Fate, int] = {
        "stored": count - new - replaced - deleted,
        "replaced": replaced,
        "deleted": deleted,
        "new": new,
    }
    for fate, share in shares.items():
        yield from [fate] * share
