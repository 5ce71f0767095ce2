"""
Listening to one channel of a server, and knowing when one did not.

redis-py's own subscriber connects and subscribes again without a word, and what was
published meanwhile is lost.  Here a connection is used once: when anything is wrong
with it, whoever listens is told before another one is made.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
import time
import weakref

from collections.abc import Callable
from typing import Any, Protocol

from tiered_store import lifecycle
from tiered_store.chance import CHANCE
from tiered_store.clients.wire import packed
from tiered_store.errors import UnavailableError


_MISSED = 3  # heartbeats without an answer, after which it is torn
_SHORTEST, _LONGEST = 0.02, 2.0  # seconds between two attempts to connect


class Ears(Protocol):
    """
    Whom a feed is for; called from its thread.

    Whatever is raised tears the feed, which then begins again.
    """

    def greet(self, connection: Any) -> bytes | None:
        """Connect it, and return the run of the server; None for any of a Cluster."""

    def mend(self, server: bytes | None) -> None:
        """From now on nothing is missed of what *server* is told."""

    def check(self, server: bytes | None) -> None:
        """Raise if something has changed that the feed cannot tell."""

    def hear(self, message: bytes) -> None:
        """Take notice of *message*."""

    def tear(self) -> None:
        """Messages may have been missed, and may be until :meth:`mend`."""


class Feed:
    """
    A thread that listens; it ends with its feed, and nothing is started before it must.

    Args:
        dial: Returns a connection of redis-py that is not connected yet.
        heartbeat: Seconds between two questions whether the server is there; three
            without an answer tear the feed.
        ears: Held as long as the feed.

    Attributes:
        online: Nothing is being missed.
    """

    def __init__(
        self, dial: Callable[[], Any], channel: bytes, heartbeat: float, ears: Ears
    ) -> None:
        self.online = False
        self._dial = dial
        self._channel = channel
        self._heartbeat = heartbeat
        self._ears = ears
        self._told = True  # that nothing may be believed
        self._ended = False
        self._connection: Any = None
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Leave the parent's connection alone; whoever listens is told at the start."""
        self._inherited, self._connection = self._connection, None
        self.online = False
        self._lock = threading.Lock()
        self._awake = threading.Event()
        self._thread: threading.Thread | None = None
        self._server: bytes | None = None
        self._beats = 0
        self._next_beat = 0.0
        self._pause = _SHORTEST

    def start(self) -> None:
        """Listen from now on, if nobody does yet."""
        if self._thread is None:
            with self._lock:
                self._start()

    def doubt(self) -> None:
        """Begin again: there is reason to think that another server is in charge."""
        self._hang_up()

    def close(self) -> None:
        """Listen no more."""
        with self._lock:
            self._ended = True
        self._awake.set()
        self._hang_up()
        thread = self._thread
        if thread not in (None, threading.current_thread()):
            thread.join(self._heartbeat)
        self._tear()

    def _start(self) -> None:
        if self._thread is None:
            thread = threading.Thread(
                target=_listen, args=(weakref.ref(self),), daemon=True, name="feed"
            )
            with contextlib.suppress(RuntimeError):  # no more threads, or at the exit
                thread.start()
                self._thread = thread

    def _hang_up(self) -> None:
        """Wake the thread with an end of the conversation; the rest is up to it."""
        connection = self._connection
        with contextlib.suppress(AttributeError, OSError):
            connection._sock.shutdown(socket.SHUT_RDWR)

    def step(self, ready: bool) -> Callable[[], bool] | None:
        """
        Do what is to be done, and return how to wait for more; None when it is over.

        Waiting needs no feed, so one that nobody uses any more can go.

        Args:
            ready: There is something to read.
        """
        try:
            if self._ended:
                self._tear()
                return None
            if self._connection is None:
                self._connect()
            elif ready:
                self._read()
            left = self._next_beat - time.monotonic()
            if left <= 0:
                self._beat()
                left = self._heartbeat
            return functools.partial(_something, self._connection, left)
        except Exception:  # noqa: BLE001 - whatever it was, something may be missed
            self._tear()
        pause, self._pause = self._pause, min(2 * self._pause, _LONGEST)
        return functools.partial(self._awake.wait, pause * CHANCE.uniform(0.5, 1))

    def _connect(self) -> None:
        if not self._told:  # by the parent of this process
            self._tear()
        connection = self._connection = self._dial()
        self._server = self._ears.greet(connection)
        subscribe = packed([("SUBSCRIBE", self._channel)])
        connection.send_packed_command(subscribe, check_health=False)
        self._beats = 0
        self._next_beat = time.monotonic() + self._heartbeat

    def _read(self) -> None:
        answer = self._connection.read_response(push_request=True)
        self._beats = 0
        if not isinstance(answer, list):
            return
        if answer[0] == b"message":
            self._ears.hear(answer[2])
        elif answer[0] == b"subscribe":
            self._subscribed()

    def _subscribed(self) -> None:
        """Whatever was published before was not heard."""
        if self.online:
            self._tell_tear()
        self._ears.mend(self._server)
        self._told = False
        self.online = True
        self._pause = _SHORTEST

    def _beat(self) -> None:
        self._beats += 1
        if self._beats > _MISSED:
            raise UnavailableError(f"{_MISSED} heartbeats without an answer")
        self._next_beat = time.monotonic() + self._heartbeat
        ping = packed([("PING",)])
        self._connection.send_packed_command(ping, check_health=False)
        if self.online:
            self._ears.check(self._server)

    def _tear(self) -> None:
        connection, self._connection = self._connection, None
        if not self._told:
            self._tell_tear()
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.disconnect()

    def _tell_tear(self) -> None:
        self.online = False
        self._told = True
        self._ears.tear()


def _listen(reference: weakref.ref[Feed]) -> None:
    """Do one step after another; between two of them nobody is kept alive."""
    ready = False
    while (feed := reference()) is not None:
        wait = feed.step(ready)
        del feed
        if wait is None:
            return
        ready = wait()


def _something(connection: Any, seconds: float) -> bool:
    """Wait until there is something to read, an error included."""
    try:
        return bool(connection.can_read(timeout=seconds))
    except Exception:  # noqa: BLE001 - which reading will raise again
        return True
