"""
Which replicas list which object, put in order, however many there are.
"""

from __future__ import annotations

import itertools

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from tiered_store import lifecycle
from tiered_store.journals.row import key_of, name_of
from tiered_store.key import Key


_undisturbed = lifecycle.Undisturbed()  # one, as a fork knows who was there before
_PAGE = 1000
_PREPARATION = (
    "PRAGMA journal_mode = OFF",
    "PRAGMA cache_size = -16384",  # KiB
    "CREATE TABLE census (name TEXT PRIMARY KEY, held INTEGER) WITHOUT ROWID",
)
_ADD = (
    "INSERT INTO census VALUES (?, ?) ON CONFLICT (name) "
    "DO UPDATE SET held = held | excluded.held"
)
_COUNT = "SELECT count(*) FROM census WHERE name > ?"
_LIST = "SELECT name, held FROM census WHERE name > ? ORDER BY name LIMIT ?"


class Census:
    """
    Keys with the replicas that hold each, in some megabytes of memory at any size.

    It lies in an unnamed temporary file, some 100 bytes a key, which goes with it.
    """

    def __init__(self) -> None:
        import sqlite3  # for those who compare; a mirror is used without that

        self._error = sqlite3.Error
        with self._using():
            self._connection = sqlite3.connect(
                "", isolation_level=None, check_same_thread=False
            )
            for statement in _PREPARATION:
                self._connection.execute(statement)

    def add(self, keys: Iterable[Key], replica: int) -> int:
        """Note that *replica*, by its number, holds *keys*; return how many."""
        count = 0
        keys = iter(keys)
        while page := list(itertools.islice(keys, _PAGE)):
            with self._using():
                self._connection.execute("BEGIN")
                self._connection.executemany(
                    _ADD, [(name_of(key), 1 << replica) for key in page]
                )
                self._connection.execute("COMMIT")
            count += len(page)
        return count

    def after(self, name: str) -> int:
        """Return how many there are behind *name*."""
        with self._using():
            (count,) = self._connection.execute(_COUNT, (name,)).fetchone()
        return int(count)

    def pages(self, name: str, size: int) -> Iterator[Sequence[tuple[Key, int]]]:
        """Yield *size* keys at a time behind *name*, with the bits of their holders."""
        while True:
            with self._using():
                found = self._connection.execute(_LIST, (name, size)).fetchall()
            if not found:
                return
            yield [(key_of(name), held) for name, held in found]
            name = found[-1][0]

    @contextmanager
    def _using(self) -> Iterator[None]:
        try:
            with _undisturbed:
                yield
        except self._error as error:
            from tiered_store.journals.database import meaning

            message = f"the list of objects finds no room in a temporary file: {error}"
            raise meaning(error, message) from error

    def __enter__(self) -> Census:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with _undisturbed:
            self._connection.close()
