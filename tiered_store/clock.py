"""
Time, handed in, so that a test need not wait for it.
"""

from __future__ import annotations

import time

from typing import Protocol


class Clock(Protocol):
    """Where a store takes its time from."""

    def monotonic(self) -> float:
        """Return seconds that never jump; for durations within one process."""

    def time(self) -> float:
        """Return seconds since the epoch; for ages that outlive the process."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's own time."""

    # the functions themselves, which are called several times for each object
    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)
    time = staticmethod(time.time)


SYSTEM: Clock = SystemClock()
