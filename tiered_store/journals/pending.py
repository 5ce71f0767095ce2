"""
The rows of an SQLite journal as statements, each column of which takes its time.

The number of the last change, and how many rows there are, are a row of the same table,
of no object and no replica.  So a journal that is nearly empty is one page, and a mark
writes no other.
"""

from __future__ import annotations

import sqlite3

from collections.abc import Mapping
from typing import Any

from tiered_store.journals.row import NEVER, Backlog, Row, Rows, key_of
from tiered_store.key import Key


_COLUMNS = (  # as a row has them, but for its key
    "replica, verb, intent, sequence, since, reproducible, size, "
    "prior, attempts, retry_at, last_error, quarantine"
)
_OF_KEY = f"SELECT {_COLUMNS} FROM pending WHERE key = ?"  # noqa: S608 - constants
_PAGE = (
    f"SELECT key, {_COLUMNS} FROM pending "  # noqa: S608 - constants
    "WHERE (key, replica) > (?1, ?2) AND key > '' AND (?3 IS NULL OR replica = ?3) "
    "ORDER BY key, replica LIMIT ?4"
)
_WRITE = f"INSERT OR REPLACE INTO pending (key, {_COLUMNS}) VALUES "  # noqa: S608
_WRITE_ANY = f"{_WRITE} (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_WRITE_NEW = f"{_WRITE} (?, ?, ?, ?, ?, ?, ?, ?, NULL, 0, 0.0, NULL, 0.0)"
_TOLD = 8  # of a row, what every one tells
_NOTHING_ELSE = (None, 0, 0.0, None, 0.0)
_DELETE = "DELETE FROM pending WHERE key = ? AND replica = ?"
_DELETE_ALL = "DELETE FROM pending WHERE key = ?"
_STATE = "SELECT sequence, size FROM pending WHERE key = ''"
_COUNT = (
    "UPDATE pending SET sequence = ?, size = ? "
    "WHERE key = '' AND replica = '' AND sequence = ?"
)
_BACKLOGS = (
    "SELECT replica, count(*), sum(verb = 'in_doubt'), sum(retry_at >= ?), sum(size), "
    "min(since) FROM pending WHERE key > '' GROUP BY replica"
)
_LAST_ERRORS = (  # of the row with the maximum, which SQLite promises
    "SELECT replica, last_error, max(retry_at) FROM pending "
    "WHERE last_error IS NOT NULL GROUP BY replica"
)
_SHORT = (
    "SELECT count(*) FROM (SELECT 1 FROM pending WHERE intent = 'put' "
    "GROUP BY key HAVING count(*) >= ?)"
)


def state(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the number of the last change, and how many rows there are."""
    sequence, size = connection.execute(_STATE).fetchone()
    return sequence, size


def of_key(connection: sqlite3.Connection, name: str, key: Key) -> Rows:
    """Return the rows of *key*, whose name is *name*, by replica."""
    found = connection.execute(_OF_KEY, (name,)).fetchall()
    return {values[0]: _row(values, key) for values in found}


def write(connection: sqlite3.Connection, name: str, old: Rows, new: Rows) -> None:
    """Make *new* rows of what are *old* ones."""
    if not new:
        if old:
            connection.execute(_DELETE_ALL, (name,))
        return
    changed = [row for row in new.values() if row is not old.get(row[0])]
    plain = [
        (name, row[0], *row[2:_TOLD]) for row in changed if row[_TOLD:] == _NOTHING_ELSE
    ]
    if len(plain) == len(changed):  # each column takes time
        connection.executemany(_WRITE_NEW, plain)
    else:
        for row in changed:  # nearly always one, which an executemany() makes dearer
            connection.execute(_WRITE_ANY, (name, row[0], *row[2:]))
    if old:
        for replica in old.keys() - new.keys():
            connection.execute(_DELETE, (name, replica))


def count(connection: sqlite3.Connection, sequence: int, size: int) -> bool:
    """Say that there are *size* rows; return whether *sequence* was the last change."""
    counts = (sequence + 1, size, sequence)
    return connection.execute(_COUNT, counts).rowcount == 1


def page(
    connection: sqlite3.Connection,
    replica: str | None,
    after: tuple[str, str],
    limit: int,
) -> list[Row]:
    """Return rows behind *after*, all or those of *replica*."""
    found = connection.execute(_PAGE, (*after, replica, limit)).fetchall()
    return [_row(values[1:], key_of(values[0])) for values in found]


def backlogs(connection: sqlite3.Connection) -> Mapping[str, Backlog]:
    """Return what each replica has to catch up with."""
    found = connection.execute(_BACKLOGS, (NEVER,)).fetchall()
    errors = {row[0]: row[1] for row in connection.execute(_LAST_ERRORS)}
    return {
        name: Backlog(
            rows=rows,
            in_doubt=in_doubt,
            dead=dead,
            size=size,
            oldest=oldest,
            last_error=errors.get(name),
        )
        for name, rows, in_doubt, dead, size, oldest in found
    }


def short_of(connection: sqlite3.Connection, copies: int) -> int:
    """Return how many existing objects at least *copies* replicas may lack."""
    return int(connection.execute(_SHORT, (copies,)).fetchone()[0])


def _row(values: tuple[Any, ...], key: Key) -> Row:
    replica, verb, intent, sequence, since, reproducible, *rest = values
    return Row(replica, key, verb, intent, sequence, since, bool(reproducible), *rest)
