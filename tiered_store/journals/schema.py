"""
What is in the SQLite file of a journal: its tables, and those of older versions.
"""

from __future__ import annotations

import sqlite3
import time

from tiered_store.errors import MisconfiguredError
from tiered_store.journals.identity import fresh
from tiered_store.journals.keylocks import poll


_APPLICATION = 0x74696572  # "tier", so that nobody's other database is mistaken for one
_SCHEMA = 3
_PAGE = 1024  # bytes; each transaction writes one or two, with checksums
_CHECKPOINT = 4000  # pages after which what was written is moved to the file
_IDENTITY = "CREATE TABLE journal (identity TEXT NOT NULL)"
_TABLES = (
    _IDENTITY,
    """
    CREATE TABLE pending (
        key TEXT, replica TEXT, verb TEXT NOT NULL, intent TEXT NOT NULL, prior TEXT,
        sequence INTEGER NOT NULL, since REAL NOT NULL, reproducible INTEGER NOT NULL,
        attempts INTEGER NOT NULL, retry_at REAL NOT NULL, last_error TEXT,
        quarantine REAL NOT NULL, size INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (key, replica)
    ) WITHOUT ROWID
    """,
)
_COUNTERS = (  # a row of no object, in the page that a mark writes anyway
    "INSERT INTO pending SELECT '', '', '', '', NULL, {}, 0.0, 0, 0, 0.0, NULL, 0.0, {}"
)
_UPGRADES = {
    1: ("ALTER TABLE pending ADD COLUMN size INTEGER NOT NULL DEFAULT 0",),
    2: (
        f"{_COUNTERS.format('sequence', 'size')} FROM state",
        _IDENTITY,
        "INSERT INTO journal SELECT identity FROM state",
        "DROP TABLE state",
    ),
}


def prepare(
    connection: sqlite3.Connection, path: str, *, flush: bool, busy: float
) -> None:
    """
    Make a journal of the file *path*, unless it is one, and bring it up to date.

    Args:
        flush: Wait for the disk at each commit.
        busy: Seconds to wait for another process that does so.

    Raises:
        MisconfiguredError: It is something else, or a newer version's.
    """
    execute = connection.execute
    execute(f"PRAGMA synchronous = {'FULL' if flush else 'NORMAL'}")
    execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT}")
    execute("BEGIN")  # so that no other process makes it between two questions
    version = _version(connection, path)
    execute("COMMIT")
    if version == _SCHEMA:
        return
    execute(f"PRAGMA page_size = {_PAGE}")  # of a file that is still empty
    # which does not wait for others by itself, as it does for transactions
    poll(lambda: _is_wal(connection), time.monotonic() + busy)
    execute("BEGIN IMMEDIATE")
    version = _version(connection, path)  # another process may have been quicker
    if not version:
        for table in _TABLES:
            execute(table)
        execute("INSERT INTO journal VALUES (?)", (fresh(),))
        execute(_COUNTERS.format(0, 0))
        execute(f"PRAGMA application_id = {_APPLICATION}")
    else:
        for older in range(version, _SCHEMA):
            for statement in _UPGRADES[older]:
                execute(statement)
    execute(f"PRAGMA user_version = {_SCHEMA}")
    execute("COMMIT")


def _version(connection: sqlite3.Connection, path: str) -> int:
    """
    Return the version of the journal in the file, 0 if that is still empty.

    Raises:
        MisconfiguredError: It is something else, or a newer version's.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != _APPLICATION:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if application or version or tables:
            raise MisconfiguredError(f"{path!r} is a database, but no journal")
        return 0
    if version > _SCHEMA:
        raise MisconfiguredError(
            f"the journal {path!r} has schema {version}, which a newer "
            f"version wrote; this one knows {_SCHEMA}"
        )
    return int(version)


def _is_wal(connection: sqlite3.Connection) -> bool:
    """Have other processes read while one writes; tell whether they will."""
    try:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return bool(mode == "wal")
