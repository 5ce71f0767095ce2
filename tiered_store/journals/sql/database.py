"""
Connections to a database by SQLAlchemy, which are waited for so long and not longer.
"""

from __future__ import annotations

import contextlib
import functools
import math
import threading

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as LateError
from typing import Any, TypeVar

from sqlalchemy import Connection, Dialect, Engine, create_engine, event, inspect
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from tiered_store import deadlines, lifecycle
from tiered_store.errors import StoreError, UnavailableError
from tiered_store.journals.sql.failures import failure_of
from tiered_store.journals.sql.watch import Watch
from tiered_store.workers import Workers


Result = TypeVar("Result")

# A host that is gone is noticed by both sides within half a minute, so that it does not
# hold a lease for hours.
_KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
_SESSION = (
    "SELECT set_config('lock_timeout', '{0}', false),"
    " set_config('idle_in_transaction_session_timeout', '{1}', false),"
    " set_config('tcp_keepalives_idle', '10', false),"
    " set_config('tcp_keepalives_interval', '5', false),"
    " set_config('tcp_keepalives_count', '3', false)"
)


class StaleError(Exception):
    """
    A connection was broken before it was used.

    Attributes:
        failure: What that would be if it happened again.
    """

    def __init__(self, failure: StoreError) -> None:
        super().__init__(str(failure))
        self.failure = failure


class Turn:
    """The use of a connection, from its first statement to its last."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.answered = False
        self.committing = False

    def execute(
        self,
        statement: Any,
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> Any:
        """Return the result of *statement*."""
        result = self.connection.execute(statement, parameters)
        self.answered = True
        return result

    def has_table(self, name: str) -> bool:
        """Return whether the table *name* is there."""
        self.connection.execution_options(isolation_level="AUTOCOMMIT")
        return inspect(self.connection).has_table(name)


class Database:
    """
    What is at *url*.

    Args:
        timeout: Seconds for any step, a transaction as a whole included.
        connections: At most, and one more for a :meth:`session`.
    """

    def __init__(self, url: URL, *, timeout: float, connections: int) -> None:
        self.url = url
        self.dialect = url.get_backend_name()
        self._timeout = timeout
        self._connections = connections
        self._watch = Watch()
        self._workers = Workers("journal-connects", connections)
        self._engine: Engine | None = None
        self._met: Engine | None = None
        lite = self.dialect == "sqlite"
        self._undisturbed = _WAITED_FOR if lite else _WAITED_FOR_BY_NOBODY
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Open anew: a connection must not even be closed in another process."""
        if self._engine is not None:
            _inherited.append(self._engine)
        self._engine = None
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(self._connections)

    def change(self, work: Callable[[Turn], Result]) -> Result:
        """
        Return the result of *work* in a transaction, committed unless it raises.

        Raises:
            StoreError: In our words; ambiguous if it may be committed all the same.
        """
        return self._use(functools.partial(_committed, work))

    def look(
        self, statement: Any, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        """Return the rows that *statement* finds, without a transaction."""
        return self._use(lambda turn: _looked(turn, statement, parameters))

    def has_table(self, name: str) -> bool:
        """Return whether the table *name* is there."""
        return self._use(lambda turn: turn.has_table(name))

    def _use(self, work: Callable[[Turn], Result]) -> Result:
        for stale in (True, False):
            with self._slot(), self._undisturbed:
                connection = self._connected()
                try:
                    return self.ask(connection, work)
                except StaleError as error:
                    # it broke while it was idle, and every other one with it
                    if not stale:
                        raise error.failure from error.failure.__cause__
                finally:
                    self._give_back(connection)
        raise AssertionError("the second attempt returns or raises")

    def ask(self, connection: Connection, work: Callable[[Turn], Result]) -> Result:
        """
        Return the result of *work* on *connection*, within the time there is.

        Raises:
            StaleError: It was broken before it was used.
            StoreError: In our words.
        """
        turn = Turn(connection)
        driver = connection.connection.driver_connection
        with self._watch.over(driver, deadlines.bounded(self._timeout)) as patience:
            try:
                return work(turn)
            except SQLAlchemyError as error:
                failure = failure_of(error, committing=turn.committing)
                if patience.over:
                    connection.invalidate()
                    failure = self._late(ambiguous=turn.committing)
                elif connection.invalidated and not turn.answered:
                    failure.__cause__ = error
                    raise StaleError(failure) from error
                raise failure from error

    def session(self) -> Connection:
        """Return a connection of one's own, without transactions; close it."""
        return self._connected().execution_options(isolation_level="AUTOCOMMIT")

    def close(self) -> None:
        """Close what is not in use; a later use opens it again."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.pool.dispose()

    def _give_back(self, connection: Connection) -> None:
        """Let others use it, or nobody if all that was idle has been closed since."""
        engine = connection.engine
        connection.close()
        if engine is not self._engine:
            engine.pool.dispose()

    @contextlib.contextmanager
    def _slot(self) -> Iterator[None]:
        slots = self._slots
        if not slots.acquire(timeout=deadlines.bounded(self._timeout)):
            deadlines.check()
            raise UnavailableError(
                f"all {self._connections} connections of the journal are in use",
                local=True,
            )
        try:
            yield
        finally:
            slots.release()

    def _connected(self) -> Connection:
        """Return a connection that was idle, or a new one."""
        engine = self._made()
        try:
            if self._met is engine:
                return engine.connect()
            # at first SQLAlchemy asks the server who it is, with no end to its patience
            connection = self._in_time(engine.connect)
        except SQLAlchemyError as error:
            raise failure_of(error) from error
        self._met = engine
        return connection

    def _made(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = self._engine_of()
            return self._engine

    def _engine_of(self) -> Engine:
        options: dict[str, Any] = {}
        if self.dialect != "sqlite":
            options["isolation_level"] = "READ COMMITTED"
        engine = create_engine(
            self.url,
            pool_size=self._connections + 1,
            max_overflow=0,
            pool_timeout=self._timeout,
            pool_use_lifo=True,
            connect_args=self._connect_arguments(),
            **options,
        )
        event.listen(engine, "do_connect", self._connect)
        return engine

    def _connect(
        self, dialect: Dialect, record: object, words: Any, options: Any
    ) -> Any:
        def connect() -> Any:
            connection: Any = dialect.connect(*words, **options)
            try:
                if self.dialect == "postgresql":
                    self._begin_session(connection)
            except BaseException:
                connection.close()
                raise
            return connection

        return self._in_time(connect)

    def _in_time(self, connect: Callable[[], Result]) -> Result:
        """Return the connection that *connect* makes; one that is late is closed."""
        connecting = self._workers.start(connect)
        try:
            return connecting.result(deadlines.bounded(self._timeout))
        except LateError:
            connecting.add_done_callback(_close)
            raise self._late() from None

    def _connect_arguments(self) -> dict[str, Any]:
        driver = self.url.get_dialect().driver
        if driver in ("psycopg", "psycopg2"):
            whole = max(2, math.ceil(self._timeout))  # seconds, which libpq wants
            return {"connect_timeout": whole, **_KEEPALIVE}
        if driver in ("pysqlite", "pg8000"):
            return {"timeout": self._timeout}
        return {}

    def _begin_session(self, connection: Any) -> None:
        """Have the server give up as well, whatever becomes of this process."""
        milliseconds = int(self._timeout * 1000)
        cursor = connection.cursor()
        cursor.execute(_SESSION.format(milliseconds, 2 * milliseconds))
        cursor.close()
        connection.commit()

    def _late(self, *, ambiguous: bool = False) -> UnavailableError:
        try:
            deadlines.check()
        except UnavailableError as error:
            error.ambiguous = ambiguous
            return error
        return UnavailableError(
            f"the journal's database did not answer within {self._timeout:g} s",
            ambiguous=ambiguous,
        )


_WAITED_FOR = lifecycle.Undisturbed()  # one, as a fork knows who was there before
_WAITED_FOR_BY_NOBODY = contextlib.nullcontext()
_inherited: list[Engine] = []


def _committed(work: Callable[[Turn], Result], turn: Turn) -> Result:
    transaction = turn.connection.begin()
    try:
        result = work(turn)
    except BaseException:
        with contextlib.suppress(SQLAlchemyError):  # it is over already
            transaction.rollback()
        raise
    turn.committing = True
    transaction.commit()
    return result


def _looked(
    turn: Turn, statement: Any, parameters: Mapping[str, Any] | None
) -> Sequence[Any]:
    turn.connection.execution_options(isolation_level="AUTOCOMMIT")
    found: Sequence[Any] = turn.execute(statement, parameters).all()
    return found


def _close(connecting: Future[Any]) -> None:
    with contextlib.suppress(Exception):  # nobody waits for it any more
        connecting.result().close()
