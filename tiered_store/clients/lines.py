"""
Connections that are used directly, many commands in one round trip.

redis-py's own way to one (a pool, retries, metrics) costs as much as a small command
itself.  Whoever asks here must bear that a command is sent twice: a connection that
turns out to have been closed while it was idle is replaced unnoticed.
"""

from __future__ import annotations

import threading

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from tiered_store import lifecycle
from tiered_store.clients.link import failure_of
from tiered_store.clients.shield import Shield
from tiered_store.clients.wire import Command, exchanged, introduced
from tiered_store.errors import (
    ClosedError,
    ReadOnlyError,
    StoreError,
    UnavailableError,
)
from tiered_store.policies.circuit import Circuit
from tiered_store.translation.translate import family


class ElsewhereError(UnavailableError):
    """Another server answers than the one that was asked for; nothing was asked."""

    local = True  # it is as well as the other one


class Lines:
    """
    Connections to one server, and a breaker around them.

    What a server answers, a refusal included, says that it is well; only silence, and
    being no master, opens the breaker.

    Args:
        dial: Returns a connection of redis-py that is not connected yet.
        limit: Connections at most.
    """

    def __init__(
        self, dial: Callable[[], Any], limit: int, circuit: Circuit | None = None
    ) -> None:
        self._dial = dial
        self._limit = limit
        self._shield = Shield(circuit)
        self._closed = False
        self._idle: deque[_Line] = deque()
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Leave the parent's connections alone, and make others."""
        self._inherited, self._idle = self._idle, deque()
        self._lock = threading.Lock()
        self._open = 0

    def ask(
        self, name: str, commands: Sequence[Command], run: bytes | None = None
    ) -> tuple[list[Any], bytes]:
        """
        Return the answer to each of *commands*, and the run of the server that gave it.

        An answer may be a store error.

        Args:
            name: What they are all about; here it is all the same where that is.
            run: That of the only server whose answers are wanted.

        Raises:
            DeadlineError: The caller's time is up.
            ElsewhereError: It is another server that is there.
            StoreError: There is no answer.
        """
        return self._shield.call(self._asked, commands, run)

    def tend(self) -> None:
        """There is only one server."""

    def close(self) -> None:
        """Close every connection, those in use when they are given back."""
        self._closed = True
        self._hang_up()

    def _asked(
        self, commands: Sequence[Command], run: bytes | None
    ) -> tuple[list[Any], bytes]:
        line, fresh = self._take(run)
        try:
            answers = self._exchange(line, commands)
        except _StaleError as stale:
            if fresh:
                raise stale.failure from stale.failure.__cause__
            self._hang_up()  # the others have been idle as long
            line = self._connected(run)
            try:
                answers = self._exchange(line, commands)
            except _StaleError as again:
                raise again.failure from again.failure.__cause__
        return answers, line.run

    def _exchange(self, line: _Line, commands: Sequence[Command]) -> list[Any]:
        """
        Return the answers, and keep the line for others.

        Raises:
            _StaleError: Perhaps the line was at fault, and not the server.
        """
        try:
            answers = exchanged(line.connection, commands)
        except BaseException as error:
            self._drop(line)
            failure = failure_of(error) if isinstance(error, Exception) else None
            if failure is None:
                raise
            names = family(error)
            if "ConnectionError" in names and "TimeoutError" not in names:
                raise _StaleError(failure) from error
            raise failure from error
        for answer in answers:
            if isinstance(answer, ReadOnlyError):  # it is no master any more
                self._drop(line)
                raise _StaleError(answer)
        self._idle.append(line)
        if self._closed:
            self._hang_up()
        return answers

    def _take(self, run: bytes | None) -> tuple[_Line, bool]:
        """Return a line to *run*, and whether it is a new one."""
        while True:
            try:
                line = self._idle.pop()
            except IndexError:
                return self._connected(run), True
            if run is None or line.run == run:
                return line, False
            self._drop(line)

    def _connected(self, run: bytes | None) -> _Line:
        if self._closed:
            raise ClosedError("the lines to the server are closed")
        with self._lock:
            if self._open >= self._limit:
                raise UnavailableError(
                    f"all {self._limit} connections are in use",
                    local=True,
                    failover=False,
                )
            self._open += 1
        line = None
        try:
            line = _Line(self._dial())
            line.run = introduced(line.connection)
            if run is not None and line.run != run:
                raise ElsewhereError("another server answers than the one listened to")
        except BaseException as error:
            self._drop(line)
            failure = failure_of(error) if isinstance(error, Exception) else None
            if failure is None or failure is error:
                raise
            raise failure from error
        return line

    def _drop(self, line: _Line | None) -> None:
        with self._lock:
            self._open -= 1
        if line is not None:
            line.connection.disconnect()

    def _hang_up(self) -> None:
        while True:
            try:
                line = self._idle.pop()
            except IndexError:
                return
            self._drop(line)


class _Line:
    __slots__ = ("connection", "run")

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.run = b""


class _StaleError(Exception):
    def __init__(self, failure: StoreError) -> None:
        super().__init__(failure)
        self.failure = failure
