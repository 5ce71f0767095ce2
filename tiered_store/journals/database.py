"""
The SQLite file of a journal: its connections and its errors.
"""

from __future__ import annotations

import os
import sqlite3
import threading

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tiered_store import deadlines, lifecycle
from tiered_store.errors import (
    FullError,
    MisconfiguredError,
    StoreError,
    UnavailableError,
)
from tiered_store.journals import past, schema
from tiered_store.journals.keylocks import identity_of


Result = TypeVar("Result")

_LONGEST = 60.0  # seconds that a thread waits for the transactions of others

_PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR}
_WRONG = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_NOTADB,
}


class Database:
    """
    Connections to the file *path*, made at the first use.

    Args:
        flush: Wait for the disk at each commit.
        busy: Seconds to wait for a transaction of another process.
        examine: Sees whether what is in the file can be believed, when it is opened.

    Attributes:
        number: What tells this file from any other there was, or will be; 0 before the
            first use.
        journal: What tells what is in it from what is in others, wherever that lies.
    """

    def __init__(
        self,
        path: str,
        *,
        flush: bool,
        busy: float,
        examine: Callable[[sqlite3.Connection], None],
    ) -> None:
        self._idle: list[sqlite3.Connection] = []
        self.path = path
        self._busy = busy
        self._flush = flush
        self._file: tuple[int, int] | None = None
        self._examine = examine
        self.number = self.journal = 0
        self._held = False
        self.after_fork()
        lifecycle.survive_fork(self)
        lifecycle.rest_at_fork(self)

    def after_fork(self) -> None:
        """Open anew: a connection must not even be closed in another process."""
        _inherited.extend(self._idle)
        self._idle = []
        self._writing = threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """
        Lend a connection; as many are open as were ever in use at once.

        Raises:
            StoreError: The file cannot be used; the connection is not used again.
        """
        with _undisturbed:
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._connect()
            try:
                yield connection
            except sqlite3.Error as error:
                connection.close()
                raise self._failure(error) from error
            except BaseException:
                self._idle.append(connection)
                raise
            self._idle.append(connection)

    def change(
        self, work: Callable[[sqlite3.Connection], Result], *, patient: bool = True
    ) -> Result:
        """
        Do *work* in a transaction, committed unless something is raised.

        It is no context manager, which would take as long as a statement.

        Args:
            patient: Wait for transactions of others.

        Raises:
            StoreError: The file cannot be used; the connection is not used again.
        """
        writing = self._writing
        # threads wait here in turn, SQLite would let them sleep and try again
        if not writing.acquire(blocking=False) and not (
            patient and writing.acquire(timeout=deadlines.bounded(_LONGEST))
        ):
            deadlines.check()
            raise UnavailableError("the journal is busy")
        try:
            connection = self._idle.pop() if self._idle else self._connect()
            try:
                self.check()
                left = deadlines.remaining() if patient else 0.0
                if left is None:
                    connection.execute("BEGIN IMMEDIATE")
                else:
                    self._begin(connection, left)
                try:
                    result = work(connection)
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                connection.close()
                raise self._failure(error) from error
            except BaseException:
                self._idle.append(connection)
                raise
            self._idle.append(connection)
            return result
        finally:
            writing.release()

    def _begin(self, connection: sqlite3.Connection, left: float) -> None:
        """Wait for the transactions of other processes, if there is time *left*."""
        if left >= self._busy:
            connection.execute("BEGIN IMMEDIATE")
            return
        connection.execute(f"PRAGMA busy_timeout = {int(1000 * left)}")
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            deadlines.check()
            raise
        finally:
            connection.execute(f"PRAGMA busy_timeout = {int(1000 * self._busy)}")

    def before_fork(self) -> None:
        """Let no transaction be open at a fork: the child would inherit its locks."""
        self._held = self._writing.acquire(timeout=_LONGEST)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._held:
            self._held = False
            self._writing.release()

    def check_folder(self) -> None:
        """
        Raise unless there is a directory to make the file in.

        Raises:
            MisconfiguredError: There is none.
        """
        folder = os.path.dirname(self.path)
        if not os.path.isdir(folder):
            raise MisconfiguredError(
                f"the journal's directory {folder!r} does not exist; make it"
            )

    def close(self) -> None:
        """Close what is not in use."""
        with _undisturbed:
            self.__del__()

    def __del__(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _connect(self) -> sqlite3.Connection:
        self.check_folder()
        connection = None
        try:
            connection = sqlite3.connect(
                self.path,
                timeout=self._busy,
                isolation_level=None,
                check_same_thread=False,
            )
            schema.prepare(connection, self.path, flush=self._flush, busy=self._busy)
            if self._file is None:
                self._examine(connection)
                (name,) = connection.execute("SELECT identity FROM journal").fetchone()
                self._file = _identity(self.path)
                self.number = past.number(f"{self._file} {name}")
                self.journal = past.number(name)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, sqlite3.Error):
                raise self._failure(error) from error
            raise
        return connection

    def check(self) -> None:
        """
        Raise unless the file is the one that was opened, if it was.

        Raises:
            MisconfiguredError: It was removed or replaced.
        """
        if self._file is not None and _identity(self.path) != self._file:
            raise MisconfiguredError(
                f"the journal {self.path!r} was removed or replaced while it was in "
                "use; start again, and verify the replicas"
            )

    def _failure(self, error: sqlite3.Error) -> StoreError:
        return meaning(error, f"the journal {self.path!r} cannot be used: {error}")


def meaning(error: sqlite3.Error, message: str) -> StoreError:
    """Return what *error* of SQLite means, in the words of *message*."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return FullError(message)
    if code in _WRONG:
        return MisconfiguredError(message)
    return UnavailableError(message, retryable=code in _PASSING)


_inherited: list[sqlite3.Connection] = []
_undisturbed = lifecycle.Undisturbed()  # one, as a fork knows who was there before


def _identity(path: str) -> tuple[int, int] | None:
    try:
        return identity_of(os.stat(path))
    except OSError:
        return None
