"""
Work done behind a caller's back: bounded, and one errand at a time for each key.
"""

from __future__ import annotations

import contextvars
import logging
import threading

from collections.abc import Callable

from tiered_store import lifecycle
from tiered_store.errors import ConfigError
from tiered_store.key import Key
from tiered_store.workers import Workers


_NO_LIMIT = 1 << 31  # we count ourselves, so that nothing is done by who brings it

_log = logging.getLogger("tiered_store")


class Errands:
    """
    At most *threads* errands under way and *waiting* more waiting.

    Each runs in a thread that knows nothing of its bringer's deadline.

    Args:
        name: What they are, in the plural; of the threads, and of what is left.
        owed: They are finished before the interpreter ends, for a bounded time.
    """

    def __init__(
        self, name: str, threads: int, waiting: int, *, owed: bool = True
    ) -> None:
        if threads < 1:
            raise ConfigError(f"threads: must be at least 1, not {threads!r}")
        if waiting < 1:
            raise ConfigError(f"waiting: must be at least 1, not {waiting!r}")
        self.name = name
        self.threads = threads
        self.waiting = waiting
        self._closed = False
        self._workers = Workers(name, _NO_LIMIT)
        self.after_fork()
        lifecycle.survive_fork(self)
        if owed:
            lifecycle.drain_at_exit(self)

    def after_fork(self) -> None:
        """Start empty: the parent still has its errands, and does them."""
        self._changed = threading.Condition()
        self._queue: dict[Key, Callable[[], object]] = {}
        self._busy: set[Key] = set()
        self._serving = 0

    def add(self, key: Key, errand: Callable[[], object], *, replace: bool) -> bool:
        """
        Take *errand* on, and say whether there was room.

        Args:
            replace: Do it instead of one that waits for the same *key*; otherwise
                that one will do for both.
        """
        with self._changed:
            waits = key in self._queue
            if self._closed or (not waits and len(self._queue) >= self.waiting):
                return False
            if replace or not waits:
                self._queue[key] = errand
            begin = self._serving < self.threads
            self._serving += begin
        if begin:
            contextvars.Context().run(self._workers.start, self._serve)
        return True

    def waits(self, key: Key) -> bool:
        """Say whether an errand for *key* has not begun yet."""
        return key in self._queue

    def drain(self, seconds: float) -> str | None:
        """Finish within *seconds*; return what is left as a phrase, None if nothing."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._queue or self._busy), seconds)
            left = len(self._queue) + len(self._busy)
        return f"{left} {self.name}" if left else None

    def close(self, seconds: float) -> list[Key]:
        """Take nothing on any more, finish within *seconds*, and return the rest."""
        self._closed = True
        self.drain(seconds)
        with self._changed:
            left = list(self._queue)
            self._queue.clear()
        self._workers.close()
        return left

    def _serve(self) -> None:
        while (errand := self._next()) is not None:
            key, work = errand
            try:
                work()
            except Exception:  # noqa: BLE001 - there is no caller to raise it to
                _log.exception("one of the %s failed", self.name)
            del work, errand  # a waiting thread must not keep a body open
            with self._changed:
                self._busy.discard(key)
                self._changed.notify_all()

    def _next(self) -> tuple[Key, Callable[[], object]] | None:
        with self._changed:
            for key in self._queue:
                if key not in self._busy:
                    self._busy.add(key)
                    return key, self._queue.pop(key)
            self._serving -= 1
            return None
