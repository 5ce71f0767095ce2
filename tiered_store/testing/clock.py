"""
A clock that moves when told to.
"""

from __future__ import annotations

import threading


class FakeClock:
    """
    A :class:`~tiered_store.clock.Clock` for tests; sleeping moves it and returns.

    Attributes:
        slept: Seconds of each sleep, in order.
    """

    def __init__(self, time: float = 1_700_000_000.0) -> None:
        self.slept: list[float] = []
        self._epoch = time
        self._passed = 0.0
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        """Return the seconds that have passed so far."""
        return self._passed

    def time(self) -> float:
        """Return seconds since the epoch, as far as this clock is concerned."""
        return self._epoch + self._passed

    def sleep(self, seconds: float) -> None:
        """Let *seconds* pass, and remember it."""
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """
        Let *seconds* pass.

        Raises:
            ValueError: They are negative.
        """
        if seconds < 0:
            raise ValueError(f"time does not run backwards: {seconds!r}")
        with self._lock:
            self._passed += seconds
