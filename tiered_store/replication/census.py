"""
Which replicas list which object, put in order, however many there are.
"""

from __future__ import annotations

import itertools

from collections.abc import Iterable, Iterator, Sequence

from tiered_store.journals.row import key_of, name_of
from tiered_store.key import Key


_PAGE = 1000


class Census:
    """
    Keys with the replicas that hold each, in some megabytes of memory at any size.

    It lies in an unnamed temporary file, some 100 bytes a key, which goes with it.
    """

    def __init__(self) -> None:
        import sqlite3  # for those who compare; a mirror is used without that

        self._connection = sqlite3.connect(
            "", isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute("PRAGMA cache_size = -16384")  # KiB
        self._connection.execute(
            "CREATE TABLE census (name TEXT PRIMARY KEY, held INTEGER) WITHOUT ROWID"
        )

    def add(self, keys: Iterable[Key], replica: int) -> int:
        """Note that *replica*, by its number, holds *keys*; return how many."""
        count = 0
        keys = iter(keys)
        while page := list(itertools.islice(keys, _PAGE)):
            self._connection.execute("BEGIN")
            self._connection.executemany(
                "INSERT INTO census VALUES (?, ?) ON CONFLICT (name) "
                "DO UPDATE SET held = held | excluded.held",
                [(name_of(key), 1 << replica) for key in page],
            )
            self._connection.execute("COMMIT")
            count += len(page)
        return count

    def after(self, name: str) -> int:
        """Return how many there are behind *name*."""
        (count,) = self._connection.execute(
            "SELECT count(*) FROM census WHERE name > ?", (name,)
        ).fetchone()
        return int(count)

    def pages(self, name: str, size: int) -> Iterator[Sequence[tuple[Key, int]]]:
        """Yield *size* keys at a time behind *name*, with the bits of their holders."""
        while found := self._connection.execute(
            "SELECT name, held FROM census WHERE name > ? ORDER BY name LIMIT ?",
            (name, size),
        ).fetchall():
            yield [(key_of(name), held) for name, held in found]
            name = found[-1][0]

    def __enter__(self) -> Census:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._connection.close()
