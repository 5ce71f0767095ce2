"""
A journal in an SQLite file: the processes of one machine share it.

.. code-block:: yaml

   type: sqlite
   path: /var/lib/images/journal.db
   durability: process
   quarantine: 60s

It must lie on a local disk, and be kept: without it nobody knows what is pending.
Beside it lies a file of its name with ``-locks``, by which processes keep out of each
other's way, and tell each other that nothing is pending: leave it there.  A process
whose files were removed or replaced notices within a second of writing, or hundreds
of reads.
"""

from __future__ import annotations

import functools
import os
import sqlite3
import time

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeVar

from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import (
    ConfigError,
    FullError,
    MisconfiguredError,
    StoreError,
    UnavailableError,
)
from tiered_store.journals import past, pending
from tiered_store.journals.database import Database
from tiered_store.journals.emptiness import Emptiness
from tiered_store.journals.identity import born
from tiered_store.journals.journal import Journal
from tiered_store.journals.keylocks import FileLocks, Lease, file_locks
from tiered_store.journals.row import Backlog, Row, Rows, name_of
from tiered_store.key import Key
from tiered_store.units import Duration


Result = TypeVar("Result")

_QUARANTINE = 60.0
_SURE = 1.0  # seconds between looks whether the files are still there, for who writes
_MOST = 500  # look-ups between them, for who reads, where a clock would cost too much
_NOTHING: Mapping[str, Row] = MappingProxyType({})


class _Left(NamedTuple):
    """
    What this process left when it changed something, all that there was by then.

    While the number of the last change is still that one nobody has changed more.
    """

    sequence: int
    size: int
    name: str
    rows: Rows


_NOBODY_KNOWS = _Left(-1, 0, "", {})


class SQLiteJournal(Journal):
    """
    Rows in the SQLite file *path*, made at the first use.

    Args:
        path: On a local disk that is kept.
        durability: What must not lose a row that was written: ``process`` survives
            any end of the process, ``power`` also that of the machine, at the price
            of a disk flush, some hundred times slower.
        capacity: Rows, about 200 bytes each.
        quarantine: Seconds in which a request may still take effect after nobody waits
            for it any more, because it timed out or its process died; until then a
            replica that it was for is not settled.  By default a minute if there is
            such a replica, and none if all are directories or memory.
        busy: Seconds to wait for another process, whose transactions take
            microseconds.
    """

    local = True

    def __init__(
        self,
        path: str,
        *,
        durability: Literal["process", "power"] = "process",
        capacity: int = 1_000_000,
        quarantine: Duration | None = None,
        busy: Duration = 5.0,
        clock: Clock = SYSTEM,
    ) -> None:
        if capacity < 1:
            raise ConfigError(f"capacity: must be at least 1, not {capacity}")
        self.path = os.fspath(path)
        self.durability = durability
        self.capacity = capacity
        self.quarantine = quarantine or 0.0
        self.given_quarantine = quarantine
        self.busy = busy
        self.clock = clock
        self._database = Database(
            os.path.abspath(os.path.expanduser(self.path)),
            flush=durability == "power",
            busy=busy,
            # not a method of ours, which would have to wait for the garbage collector
            examine=functools.partial(_examine, self.path, durability == "power"),
        )
        self._locks: FileLocks | None = None
        self._emptiness: Emptiness | None = None
        self._left = _NOBODY_KNOWS
        self._path_of_locks = ""
        self._astray = False
        self._sure_until = 0.0
        self._sure_for = 0

    @property
    def place(self) -> str:
        """Where the file is, by whatever links it is reached."""
        return os.path.realpath(self._database.path)

    def expect(self, *, lingering: bool) -> None:
        """Wait for what is lingering, unless the configuration says for how long."""
        if self.given_quarantine is None:
            self.quarantine = _QUARANTINE if lingering else 0.0

    def lease(self, key: Key, seconds: float) -> Lease | None:
        locks = self._shared_locks()
        try:  # as _locked() has it, without a block, as every write comes here
            return locks.lease(key, seconds)
        except OSError as error:
            raise self._unlocked(error) from error

    def rows(self, key: Key) -> Mapping[str, Row]:
        self._sure_for -= 1
        if self._sure_for < 0:
            self._look_after()
        known = self._emptiness
        if known is not None and known.is_known():
            return _NOTHING
        if known is None or not known.attached:
            self._try_to_attach()
        with self._database.reading() as connection:
            return pending.of_key(connection, name_of(key), key)

    def is_there(self) -> bool:
        return os.path.exists(self.place)

    def backlogs(self) -> Mapping[str, Backlog]:
        with self._database.reading() as connection:
            return pending.backlogs(connection)

    def born(self) -> float | None:
        with self._database.reading() as connection:
            return born(
                connection.execute("SELECT identity FROM journal").fetchone()[0]
            )

    def called(self) -> None:
        known = self._emptiness
        if known is not None:
            known.called()

    @property
    def calls(self) -> int:
        known = self._emptiness
        return 0 if known is None else known.calls

    def short_of(self, copies: int) -> int:
        with self._database.reading() as connection:
            return pending.short_of(connection, copies)

    def close(self) -> None:
        self._database.close()

    def _update(
        self, key: Key, rule: Callable[[Rows, int], Result], *, must: bool = False
    ) -> Result:
        locks = self._shared_locks()
        name = name_of(key)

        def change(
            connection: sqlite3.Connection,
        ) -> tuple[Result, Rows, Emptiness | None, int, int]:
            sequence, size, old, emptiness = self._before(connection, locks, name, key)
            new = dict(old)
            result = rule(new, sequence + 1)
            growth = len(new) - len(old)
            if growth > 0 and size + growth > self.capacity and not must:
                raise FullError(
                    f"the journal {self.path!r} is full: {size} of {self.capacity} "
                    "rows; repair, or raise its capacity"
                )
            if emptiness is not None:
                emptiness.begin(sequence + 1)
            pending.write(connection, name, old, new)
            if not pending.count(connection, sequence, size + growth):
                raise self._restored()
            return result, new, emptiness, sequence + 1, size + growth

        result, new, emptiness, sequence, size = self._database.change(change)
        self._left = _Left(sequence, size, name, new)
        if emptiness is not None and size == 0:
            emptiness.end(sequence)
        return result

    def _before(
        self, connection: sqlite3.Connection, locks: FileLocks, name: str, key: Key
    ) -> tuple[int, int, Rows, Emptiness | None]:
        """Return the last sequence, how many rows there are, and those of *key*."""
        known = self._emptiness
        if known is not None and known.attached:
            latest = known.latest  # in a transaction it stays so
            if known.is_known():
                return latest, 0, {}, known
            left = self._left
            if left.sequence == latest and left.name == name:
                return latest, left.size, left.rows, known
        sequence, size = pending.state(connection)
        rows = pending.of_key(connection, name, key) if size else {}
        return sequence, size, rows, self._attached(locks, sequence, size)

    def _attached(self, locks: FileLocks, sequence: int, size: int) -> Emptiness | None:
        """Return what is known without asking, None if it is of another file."""
        known = self._emptiness
        # a child has no lock, and would say that what is there now is the last
        if known is not None and known.latest > sequence + 1:
            raise self._restored()
        if known is not None and known.attached:
            return known
        with self._locked():
            ours = locks.emptiness.attach(
                self._database.number, self._database.journal, sequence, size
            )
        self._emptiness = locks.emptiness if ours else None
        return self._emptiness

    def _try_to_attach(self) -> None:
        """Do so for a reader, who waits for nobody: else the rows are asked for."""
        with suppress(StoreError):
            locks = self._shared_locks()
            if not locks.emptiness.is_of_another(self._database.number):
                self._database.change(
                    lambda connection: self._attached(
                        locks, *pending.state(connection)
                    ),
                    patient=False,
                )

    def _look_after(self) -> None:
        """
        See whether both files are still those that others would open.

        Raises:
            MisconfiguredError: The journal's is not.
        """
        self._database.check()
        if self._locks is not None and not self._locks.is_at(self._path_of_locks):
            self._emptiness = None  # others do not tell us any more
            self._astray = True
        self._sure_until = time.monotonic() + _SURE
        self._sure_for = _MOST

    def _shared_locks(self) -> FileLocks:
        if time.monotonic() >= self._sure_until:
            self._look_after()
        if self._locks is None:
            self._database.check_folder()
            self._path_of_locks = _locks_of(self._database.path)
            with self._locked():
                self._locks = file_locks(self._path_of_locks)
        elif self._astray:
            raise MisconfiguredError(
                f"{self._path_of_locks!r}, by which processes keep out of each other's "
                "way, was removed or replaced while it was in use; start again"
            )
        return self._locks

    def _restored(self) -> StoreError:
        return MisconfiguredError(
            f"the journal {self.path!r} was made an older one while it was in use; "
            "move it away, so that a new one begins, and verify the replicas"
        )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except OSError as error:
            raise self._unlocked(error) from error

    def _unlocked(self, error: OSError) -> StoreError:
        return UnavailableError(
            f"the locks of the journal {self.path!r} cannot be used: {error.strerror}"
        )

    def _page(
        self, replica: str | None, after: tuple[str, str], limit: int
    ) -> list[Row]:
        with self._database.reading() as connection:
            return pending.page(connection, replica, after, limit)


def _locks_of(path: str) -> str:
    return f"{os.path.realpath(path)}-locks"


def _examine(path: str, flush: bool, connection: sqlite3.Connection) -> None:
    """See whether the journal *path* is what it was, for whoever opens it."""
    locks = _locks_of(os.path.expanduser(path))
    try:
        if not os.path.getsize(locks):
            return  # nothing is told yet
        told = file_locks(locks).emptiness
    except OSError:
        return  # who only looks makes no file that is then another user's
    past.examine(connection, told, path, flush=flush)
