"""
How many retries the traffic can bear, so that an outage is not multiplied.

A token bucket as in Finagle and gRPC (proposal A6): every call earns a share of a
retry, every retry costs one.
"""

from __future__ import annotations

import threading

from tiered_store import lifecycle


class RetryBudget:
    """
    Retries as a share of calls.

    Args:
        ratio: Retries earned by each call, such as 0.1.
        floor: Retries that can be had before any are earned, and the most that are
            kept for later.
    """

    def __init__(self, ratio: float, floor: int) -> None:
        self.ratio = ratio
        self.floor = floor
        self._tokens = float(floor)
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Take a lock of one's own."""
        self._lock = threading.Lock()

    @property
    def left(self) -> float:
        """What can be had at once, as a share of what can be kept."""
        return self._tokens / self.floor if self.floor else 0.0

    def earn(self, calls: int = 1) -> None:
        """Note a call, or several."""
        with self._lock:
            self._tokens = min(float(self.floor), self._tokens + calls * self.ratio)

    def spend(self) -> bool:
        """Say whether a retry may be made, and take it."""
        with self._lock:
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True

    def give_back(self) -> None:
        """Return what was spent and is not used."""
        with self._lock:
            self._tokens = min(float(self.floor), self._tokens + 1)
