"""
Leases in a database: locks of a session where it has them, else rows with an end.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from tiered_store import deadlines, lifecycle
from tiered_store.errors import (
    ConflictError,
    MisconfiguredError,
    StoreError,
    UnavailableError,
)
from tiered_store.journals.identity import number_of
from tiered_store.journals.keylocks import KeyLocks, Lease
from tiered_store.journals.row import name_of
from tiered_store.journals.sql.database import Database, StaleError, Turn
from tiered_store.journals.sql.tables import Tables, digest_of
from tiered_store.key import Key


_TAKE = text("SELECT pg_try_advisory_lock(:number), pg_backend_pid()")
_DROP = text("SELECT pg_advisory_unlock(:number), pg_backend_pid()")


class SessionLeases:
    """
    Advisory locks of PostgreSQL, all of one session a process.

    They end with the session, so with the process or its host, and not before: one
    that is merely stopped keeps them.  They are lost when the server ends the session
    or restarts, or when nothing of the other side is heard for half a minute.

    Args:
        identity: Returns that of the journal, as locks are for a whole database.
        timeout: Seconds to wait for another thread, or for the server.
    """

    def __init__(
        self, database: Database, identity: Callable[[], str], timeout: float
    ) -> None:
        self._database = database
        self._identity = identity
        self._timeout = timeout
        self._threads = KeyLocks()
        self._session: _Session | None = None
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Leave the parent's session alone."""
        if self._session is not None:
            _inherited.append(self._session)
        self._session = None
        self._ending = False
        self._turn = threading.Lock()

    def lease(self, key: Key, seconds: float) -> Lease | None:
        """Return the lease on *key*, None if it was not to be had in *seconds*."""
        number = number_of(f"{self._identity()} {name_of(key)}") - (1 << 63)
        held: list[_Session] = []
        return self._threads.beyond(
            key,
            seconds,
            lambda: self._take(number, held),
            lambda: self._release(held[0], number),
        )

    def close(self) -> None:
        """End the session, or have the last that is held by it do so."""
        with self._alone():
            self._ending = True
            if self._session is not None and not self._session.held:
                self._hang_up()

    def _take(self, number: int, held: list[_Session]) -> bool:
        with self._alone():
            self._ending = False
            session, taken = self._ask(number)
            if taken:
                session.held += 1
                held.append(session)
            return taken

    def _ask(self, number: int) -> tuple[_Session, bool]:
        for stale in (True, False):
            session = self._session
            if session is None:
                session = self._session = _Session(self._database)
            try:
                return session, session.ask(_TAKE, number)
            except StaleError as error:  # what it held is gone; its holders will see
                self._hang_up()
                if not stale:
                    raise error.failure from error.failure.__cause__
            except StoreError:
                self._hang_up()  # nobody knows whether it has the lock
                raise
        raise AssertionError("the second attempt returns or raises")

    def _release(self, session: _Session, number: int) -> None:
        # without the caller's deadline, which may be why it is released
        contextvars.Context().run(self._drop, session, number)

    def _drop(self, session: _Session, number: int) -> None:
        with contextlib.suppress(StoreError), self._alone():
            if session is not self._session:
                return  # it ended with its session, or is the parent's
            session.held -= 1
            try:
                session.ask(_DROP, number)
            except (StaleError, StoreError):
                self._hang_up()
            if self._ending and not session.held:
                self._hang_up()

    def _hang_up(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        turn = self._turn
        if not turn.acquire(timeout=deadlines.bounded(2 * self._timeout)):
            deadlines.check()
            raise UnavailableError("the session of the journal's leases is busy")
        try:
            yield
        finally:
            turn.release()


class _Session:
    """One of the server's, with the number of locks it holds."""

    def __init__(self, database: Database) -> None:
        self.held = 0
        self._database = database
        self._backend: int | None = None
        self._connection = database.session()

    def ask(self, statement: Any, number: int) -> bool:
        """Return whether the lock *number* was taken, or dropped."""
        done, backend = self._asked(statement, {"number": number})
        if self._backend is None:
            self._backend = backend
        if self._backend != backend:
            raise MisconfiguredError(
                "whatever stands before the journal's database gives each statement "
                "another session; choose leases: table"
            )
        return bool(done)

    def close(self) -> None:
        with contextlib.suppress(SQLAlchemyError):
            self._connection.invalidate()
            self._connection.close()

    def _asked(self, statement: Any, parameters: dict[str, int]) -> tuple[bool, int]:
        def work(turn: Turn) -> Any:
            return turn.execute(statement, parameters).one()

        done, backend = self._database.ask(self._connection, work)
        return done, backend


_inherited: list[_Session] = []


class LeaseTable:
    """Who holds what until when, by the clock of the database."""

    def __init__(self, database: Database, tables: Tables, seconds: float) -> None:
        self._database = database
        self._tables = tables
        self._seconds = seconds

    def take(self, name: str, owner: str, number: int) -> bool:
        """Write that *owner* holds *name*, unless somebody else does."""
        digest = digest_of(name)
        row = {"digest": digest, "owner": owner, "number": number}

        def first(turn: Turn) -> bool:
            turn.execute(self._tables.first_take, {**row, "ends": self._end(turn)})
            return True

        def later(turn: Turn) -> bool:
            ends = self._end(turn)
            changed = turn.execute(
                self._tables.take,
                {
                    "the_digest": digest,
                    "the_owner": owner,
                    "the_number": number,
                    "the_time": ends - self._seconds,
                    "the_end": ends,
                },
            )
            return bool(changed.rowcount)

        try:
            return self._database.change(first)
        except ConflictError:  # there is a row, perhaps of somebody who is no more
            return self._database.change(later)

    def renew(self, held: Sequence[tuple[str, int]], owner: str) -> None:
        """Say that *owner* holds these on, by name and number."""

        def work(turn: Turn) -> None:
            ends = self._end(turn)
            turn.execute(
                self._tables.renew,
                [
                    {**_hold(name, owner, number), "the_end": ends}
                    for name, number in held
                ],
            )

        self._database.change(work)

    def drop(self, name: str, owner: str, number: int) -> None:
        """Write that nobody holds *name*, if *owner* does by that *number*."""
        hold = _hold(name, owner, number)
        self._database.change(lambda turn: turn.execute(self._tables.drop, hold))

    def _end(self, turn: Turn) -> float:
        """Return when what is taken or renewed now will end."""
        now: datetime = turn.execute(self._tables.now).scalar_one()
        if now.tzinfo is None:
            now = now.replace(tzinfo=UTC)  # whatever it is, it is the same for all
        return now.timestamp() + self._seconds


def _hold(name: str, owner: str, number: int) -> dict[str, object]:
    return {"the_digest": digest_of(name), "the_owner": owner, "the_number": number}
