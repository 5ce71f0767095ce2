"""
Lines of a log that many requests would write at once.
"""

from __future__ import annotations

import logging
import threading

from tiered_store.clock import Clock


class SparingLog:
    """
    Warns of each kind of failure at once, and then once in so many *seconds*.

    An outage fails every request, and a line for each would hide what matters.  How
    many were left out is said by the next line.
    """

    def __init__(self, log: logging.Logger, clock: Clock, seconds: float = 60) -> None:
        self._log = log
        self._clock = clock
        self._seconds = seconds
        self._lock = threading.Lock()
        self._next: dict[type[Exception], float] = {}
        self._left_out: dict[type[Exception], int] = {}

    def warn(self, error: Exception) -> None:
        """Log *error*, or count it."""
        kind, now = type(error), self._clock.monotonic()
        with self._lock:
            if now < self._next.get(kind, now):
                self._left_out[kind] = self._left_out.get(kind, 0) + 1
                return
            self._next[kind] = now + self._seconds
            left_out = self._left_out.pop(kind, 0)
        more = f" (and {left_out} like it since the last line)" if left_out else ""
        self._log.warning("%s%s", error, more)
