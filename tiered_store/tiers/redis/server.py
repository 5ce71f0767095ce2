"""
The server that a tier asks, and the epoch of what is stored there.

A server that was restarted may hold what it saved before a write, and one that took
over may lack the last ones.  So each copy carries an epoch: what it was stored on (the
*run* of that server, which no restart survives) and a *mark* that is kept there and
changes when everything is to be forgotten.  Copies of another epoch are not believed.
"""

from __future__ import annotations

import secrets
import threading

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import xxhash

from tiered_store import lifecycle
from tiered_store.clients.endpoint import Endpoint
from tiered_store.clients.lines import ElsewhereError, Lines
from tiered_store.clients.link import Link
from tiered_store.clients.routed import Routed
from tiered_store.clients.wire import (
    Command,
    Words,
    check_master,
    introduced,
    valid,
)
from tiered_store.clock import Clock
from tiered_store.errors import StoreError, UnavailableError
from tiered_store.policies.breaker import BreakerPolicy
from tiered_store.policies.circuit import Circuit
from tiered_store.tiers.redis.scripts import CLEAR, MARK, Script
from tiered_store.translation.translate import family


CLEARED = b"c"  # what is said then


@dataclass(frozen=True, slots=True)
class _Known:
    run: bytes | None  # None in a Cluster, where each node has its own
    mark: bytes
    epoch: int  # of that run


class Server:
    """
    A server, the master of a Sentinel service, or a Cluster.

    Args:
        connect: Returns a client of redis-py.
        channel: Where it is said that the mark has changed.

    Attributes:
        doubt: Called when another answers than the one that is listened to.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        connect: Callable[[], Any],
        prefix: str,
        channel: bytes,
        breaker: BreakerPolicy | None,
        clock: Clock,
    ) -> None:
        self.link = Link(connect, endpoint.patience)
        self.doubt: Callable[[], None] = lambda: None
        self._mark_name = f"{prefix}mark"
        self._channel = channel

        def circuit() -> Circuit | None:
            return None if breaker is None else Circuit(breaker, _untold, clock)

        def lines(dial: Callable[[], Any]) -> Lines:
            return Lines(dial, endpoint.connections, circuit())

        # what a feed asks must not wait for a connection, nor take anybody's
        self._lines: Lines | Routed
        self._feeds: Lines | Routed
        self._cluster = endpoint.mode == "cluster"
        if self._cluster:
            self._lines = self._feeds = Routed(self.link, lines, circuit())
        else:
            shared = circuit()
            self._lines = Lines(self.link.dial, endpoint.connections, shared)
            self._feeds = Lines(self.link.dial, 1, shared)
        self._known: _Known | None = None
        self._clears = 0
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Believe nothing before one's own feed is up."""
        self._lock = threading.Lock()
        self._known = None

    def ask(self, name: str, *commands: Command) -> tuple[list[Any], int]:
        """
        Return the answers, some of which may be store errors, and the epoch.

        The epoch is as old as the question.

        Args:
            name: Of a key that all *commands* are about.
        """
        known = self._known
        if known is not None:
            try:
                answers, run = self._lines.ask(name, commands, known.run)
            except ElsewhereError:  # nothing was asked
                self.forget()
                self.doubt()
            else:
                if run != known.run:  # a node of a Cluster
                    return answers, _epoch(run, known.mark)
                return answers, known.epoch
        if self._cluster:
            mark, _ = self._mark(self._lines, None)
            answers, run = self._lines.ask(name, commands)
            return answers, _epoch(run, mark)
        reading: Command = ("GET", self._mark_name)
        (mark, *answers), run = self._lines.ask(name, (reading, *commands))
        if mark is None:
            mark, run = self._mark(self._lines, run)
        return answers, _epoch(run, valid(mark))

    def run(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Words,
        before: Sequence[Command] = (),
    ) -> tuple[list[Any], int]:
        """
        Do as :meth:`ask` does with the commands *before*, and then a script.

        Raises:
            StoreError: The script's own.
        """
        answers, epoch = self.ask(keys[0], *before, script.call(keys, arguments))
        if _is_unknown(answers[-1]):
            answers[-1:], epoch = self.ask(keys[0], script.taught(keys, arguments))
        valid(answers[-1])
        return answers, epoch

    def clear(self) -> None:
        """Begin another epoch."""
        arguments = (secrets.token_hex(8), self._channel, CLEARED)
        try:
            self.run(CLEAR, (self._mark_name,), arguments)
        finally:  # it may have been done
            with self._lock:
                self._clears += 1
                self._known = None

    def greet(self, connection: Any) -> bytes | None:
        """
        Connect, and return the run of the server; None for any node of a Cluster.

        Raises:
            ElsewhereError: It is not the one that is asked.
        """
        self._feeds.tend()
        run = None
        if self._cluster:
            connection.connect()
        else:
            run = introduced(connection)
        self._mark(self._feeds, run)
        return run

    def mend(self, run: bytes | None) -> None:
        """Believe what *run* holds without asking each time which epoch it is."""
        while True:
            clears = self._clears
            mark, _ = self._mark(self._feeds, run)
            with self._lock:
                if clears == self._clears:
                    self._known = _Known(run, mark, _epoch(run or b"", mark))
                    return

    def check(self, run: bytes | None) -> None:
        """
        Raise if what :meth:`mend` learned is true no more.

        Silence raises nothing: it may be short.
        """
        known = self._known
        asked: tuple[Command, ...] = (("HELLO",), ("GET", self._mark_name))
        try:
            self._feeds.tend()
            (hello, mark), _ = self._feeds.ask(self._mark_name, asked, run)
            check_master(valid(hello))
            valid(mark)
        except ElsewhereError:
            raise
        except UnavailableError:
            return
        if known is None or mark != known.mark:
            raise ElsewhereError("everything was forgotten")

    def forget(self) -> None:
        """Ask again, each time, until :meth:`mend`."""
        self._known = None

    def close(self) -> None:
        """Close every connection."""
        self._lines.close()
        self._feeds.close()
        self.link.close()

    def _mark(self, lines: Lines | Routed, run: bytes | None) -> tuple[bytes, bytes]:
        """Return the mark, made if there is none, and who told."""
        name = self._mark_name
        (mark,), told = lines.ask(name, (("GET", name),), run)
        if mark is None:
            arguments = (secrets.token_hex(8), self._channel, CLEARED)
            (mark,), told = lines.ask(name, (MARK.taught((name,), arguments),), run)
        return valid(mark), told


def _is_unknown(answer: Any) -> bool:
    """Say whether a script is not there, after a restart perhaps."""
    return isinstance(answer, StoreError) and (
        "NoScriptError" in family(answer.__cause__ or answer)
    )


def _epoch(run: bytes, mark: bytes) -> int:
    return xxhash.xxh3_64_intdigest(run + b"/" + mark) or 1  # zero is none


def _untold(state: str, reason: str) -> None:
    """Whoever asks gets an error; a tier has nobody else to tell."""
