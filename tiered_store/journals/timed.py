"""
Leases that end some time after their holder was last heard of.

Where no lock ends with its holder, a lease says until when it holds, and whoever has it
renews it.  Somebody who was stopped, or cut off, for longer has lost it and may not
know: it keeps writers apart, but nothing may be safe because of it alone (Kleppmann,
How to do distributed locking, 2016).
"""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import threading
import time
import uuid

from collections.abc import Sequence
from typing import Protocol

from tiered_store import lifecycle
from tiered_store.errors import StoreError
from tiered_store.journals.keylocks import KeyLocks, Lease
from tiered_store.journals.row import name_of
from tiered_store.key import Key
from tiered_store.workers import Workers


_IDLE_ROUNDS = 3  # without a lease, before the thread that renews them goes


class LeaseBook(Protocol):
    """
    Where it is written who holds what.

    Each hold has a number, so that what is late about an earlier one is known.
    """

    def take(self, name: str, owner: str, number: int) -> bool:
        """Write that *owner* holds *name*, unless somebody else does."""

    def renew(self, held: Sequence[tuple[str, int]], owner: str) -> None:
        """Say that *owner* holds these on, by name and number."""

    def drop(self, name: str, owner: str, number: int) -> None:
        """Write that nobody holds *name*, if *owner* does by that *number*."""


class TimedLeases:
    """
    One holder a key, among all processes with the same *book*.

    Args:
        seconds: After which a lease ends that is not renewed; a third of that is the
            time between renewals.
    """

    def __init__(self, book: LeaseBook, seconds: float) -> None:
        self._book = book
        self._seconds = seconds
        self._threads = KeyLocks()
        self._numbers = itertools.count(1)
        self._workers = Workers("leases", 1)
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Be somebody else: what the parent holds is the parent's to renew."""
        self._owner = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._held: dict[int, str] = {}
        self._renewing = False
        self._enough = threading.Event()

    def lease(self, key: Key, seconds: float) -> Lease | None:
        """Return the lease on *key*, None if it was not to be had in *seconds*."""
        name, number = name_of(key), next(self._numbers)
        return self._threads.beyond(
            key,
            seconds,
            lambda: self._take(number, name),
            lambda: self._release(number),
        )

    def close(self) -> None:
        """Let the thread go, as soon as nothing is held."""
        self._enough.set()

    def _take(self, number: int, name: str) -> bool:
        taken = self._book.take(name, self._owner, number)
        if taken:
            self._hold(number, name)
        return taken

    def _hold(self, number: int, name: str) -> None:
        with self._lock:
            self._held[number] = name
            if self._renewing:
                return
            self._renewing = True
            self._enough.clear()
        if not contextvars.Context().run(self._workers.offer, self._renew):
            self._renewing = False

    def _release(self, number: int) -> None:
        with self._lock:
            name = self._held.pop(number, None)
        if name is not None:  # else it is the parent's
            # without the caller's deadline, which may be why it is released
            contextvars.Context().run(self._drop, name, number)

    def _drop(self, name: str, number: int) -> None:
        with contextlib.suppress(StoreError):  # it ends by itself
            self._book.drop(name, self._owner, number)

    def _renew(self) -> None:
        """Renew what is held, until nothing has been for a while."""
        idle = 0
        while True:
            idle = 0 if self._held else idle + 1
            self._enough.wait(self._seconds / 3)
            with self._lock:
                held = [(name, number) for number, name in self._held.items()]
                if not held and (self._enough.is_set() or idle >= _IDLE_ROUNDS):
                    self._renewing = False
                    return
            if self._enough.is_set():  # closed, but what is held is held to its end
                time.sleep(self._seconds / 3)
            if held:
                with contextlib.suppress(StoreError):  # the next time may be in time
                    self._book.renew(held, self._owner)
