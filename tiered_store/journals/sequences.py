"""
Numbers that nobody else has had, made without asking anybody.
"""

from __future__ import annotations

import threading
import time

from tiered_store import lifecycle
from tiered_store.chance import CHANCE


_CHANCE = 12  # bits, besides 51 of microseconds, which last until 2041


class Sequences:
    """
    Numbers of 63 bits that grow, here always and elsewhere as far as clocks agree.

    Two processes give the same number only if they do so in the same microsecond, and
    then once in thousands of times; to matter it would have to be for one object.
    """

    def __init__(self) -> None:
        self._last = 0
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Take a lock of one's own."""
        self._lock = threading.Lock()

    def next(self) -> int:
        """Return a number."""
        chance = CHANCE.getrandbits(_CHANCE)
        number = (time.time_ns() // 1000) << _CHANCE | chance
        with self._lock:
            if number <= self._last:
                number = self._last + 1 + chance
            self._last = number
        return number
