"""
Connections that are cut when their answer takes too long.

A driver waits for a server that was stopped, or cut off, for as long as the operating
system does, which is for ever.  Whatever the driver, its wait ends when somebody shuts
the socket under it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
import time

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tiered_store import lifecycle
from tiered_store.workers import Workers


_IDLE_SECONDS = 60.0


@dataclass(slots=True)
class Patience:
    """How long a connection is waited for, and whether that was too long."""

    descriptor: int
    ends: float
    over: bool = False


class Watch:
    """One thread that knows what is waited for."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._workers = Workers("journal-watch", 1)
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Watch nothing: the parent's connections are not ours to cut."""
        self._changed = threading.Condition()
        self._waiting: dict[int, Patience] = {}
        self._watching = False
        self._next = 0.0  # when the thread looks again, at the latest

    @contextlib.contextmanager
    def over(self, connection: Any, seconds: float) -> Iterator[Patience]:
        """
        Shut the socket of *connection* if the block takes more than *seconds*.

        Args:
            connection: Of a driver.  One that shows no socket is not watched.
        """
        descriptor = _descriptor(connection)
        patience = Patience(descriptor, time.monotonic() + seconds)
        if descriptor < 0:
            yield patience
            return
        number = next(self._numbers)
        self._add(number, patience)
        try:
            yield patience
        finally:
            with self._changed:  # so that it is not cut after it was closed
                del self._waiting[number]

    def _add(self, number: int, patience: Patience) -> None:
        with self._changed:
            self._waiting[number] = patience
            if patience.ends < self._next:
                self._next = patience.ends
                self._changed.notify()
            if self._watching:
                return
            self._watching = True
            self._next = patience.ends
        if not self._workers.offer(self._look):
            self._watching = False

    def _look(self) -> None:
        idle = False
        with self._changed:
            while True:
                now = time.monotonic()
                for patience in self._waiting.values():
                    if patience.ends <= now and not patience.over:
                        patience.over = True
                        _shut(patience.descriptor)
                if idle and not self._waiting:
                    self._watching = False
                    return
                idle = not self._waiting
                soonest = (one.ends for one in self._waiting.values() if not one.over)
                self._next = min(soonest, default=now + _IDLE_SECONDS)
                self._changed.wait(self._next - now)


def _descriptor(connection: Any) -> int:
    try:
        return int(getattr(connection, "_usock", connection).fileno())  # of pg8000
    except Exception:  # noqa: BLE001 - whatever a driver does when it is broken
        return -1


def _shut(descriptor: int) -> None:
    with (
        contextlib.suppress(OSError),
        socket.socket(fileno=os.dup(descriptor)) as ours,
    ):
        ours.shutdown(socket.SHUT_RDWR)
