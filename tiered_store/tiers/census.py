"""
Counting what is in a store, in a thread that rests ten times as long.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading

from collections.abc import Callable
from operator import itemgetter

from tiered_store import lifecycle
from tiered_store.clock import Clock
from tiered_store.errors import CorruptError, NotFoundError, StoreError
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.workers import Workers


_REST = 10  # times as long as it took
_PAUSE = 1.0  # seconds, if it failed
_LISTED, _BREATH = 32, 0.001  # objects, between seconds that are left to readers


class Census:
    """
    Does *count* whenever it is *due*, and never twice at a time.

    Args:
        count: Does it, and returns whether it succeeded.
        due: Says whether it is to be done; quick, and asked in any thread.
    """

    def __init__(
        self,
        name: str,
        count: Callable[[], bool],
        due: Callable[[], bool],
        *,
        clock: Clock,
    ) -> None:
        self._count = count
        self._due = due
        self._clock = clock
        self._workers = Workers(name, 1)
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Forget that anybody counts: nobody does here."""
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._next = float("-inf")

    def check(self) -> None:
        """Have it done if it is due; nobody waits for it."""
        with self._lock:
            if not self._idle.is_set() or not self._due():
                return
            self._idle.clear()
        # in a context of its own: the caller's deadline is not ours
        if not contextvars.Context().run(self._workers.offer, self._serve):
            self._idle.set()

    def breathe(self, seconds: float) -> bool:
        """Leave the processor to others, and say whether to go on afterwards."""
        return not self._closed.wait(seconds)

    def settle(self, seconds: float) -> bool:
        """Wait for what is due or under way, and say whether it is over."""
        return self._idle.wait(seconds)

    def close(self) -> None:
        """Do it no more; what is under way ends at its next breath."""
        self._closed.set()
        self._workers.close()

    def _serve(self) -> None:
        try:
            while self.breathe(self._next - self._clock.monotonic()):
                began = self._clock.monotonic()
                succeeded = self._count()
                ended = self._clock.monotonic()
                rest = _REST * (ended - began)
                self._next = ended + (rest if succeeded else max(rest, _PAUSE))
                with self._lock:
                    if not succeeded or not self._due():
                        self._idle.set()
                        return
        finally:
            self._idle.set()


def listed(
    store: Store, breathe: Callable[[float], bool]
) -> tuple[dict[Key, int], StoreError | None]:
    """
    Return the bytes of what is in *store*, the oldest first, and what may hide more.

    Args:
        breathe: Takes a rest, and says whether to go on.
    """
    found: list[tuple[float, Key, int]] = []
    failure: StoreError | None = None
    try:
        for number, key in enumerate(store.keys()):
            if number % _LISTED == 0 and not breathe(_BREATH):
                break
            with contextlib.suppress(NotFoundError, CorruptError):
                kept = store.stat(key)
                found.append((kept.modified or 0.0, key, max(kept.size, 1)))
    except StoreError as error:
        failure = error
    found.sort(key=itemgetter(0))
    return {key: size for _, key, size in found}, failure
