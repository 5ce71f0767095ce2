"""
Which keys have been met already, however many there are.
"""

from __future__ import annotations

import sqlite3

from tiered_store import lifecycle
from tiered_store.key import Key


_undisturbed = lifecycle.Undisturbed()  # one, as a fork knows who was there before


class Seen:
    """
    A set of keys that costs a few megabytes of memory at any size.

    Beyond them it lies in an unnamed temporary file, which goes with it.
    """

    def __init__(self) -> None:
        with _undisturbed:
            self._connection = sqlite3.connect(
                "", isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode = OFF")
            self._connection.execute(
                "CREATE TABLE seen (key TEXT PRIMARY KEY) WITHOUT ROWID"
            )

    def add(self, key: Key) -> bool:
        """Add *key*; return whether it is new."""
        with _undisturbed:
            added = self._connection.execute(
                "INSERT OR IGNORE INTO seen VALUES (?)", (repr(tuple(key)),)
            )
            new = added.rowcount == 1
            del added  # a cursor is freed by SQLite too
        return new

    def __enter__(self) -> Seen:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with _undisturbed:
            self._connection.close()
