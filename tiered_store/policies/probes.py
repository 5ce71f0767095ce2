"""
Looking whether a store is well again: one call at a time, several in a row.
"""

from __future__ import annotations

import math

from typing import Protocol

from tiered_store.policies.outcome import Outcome


class Permit:
    """Leave to make one call; worth nothing once the circuit has changed."""

    __slots__ = ("generation", "probe", "started")

    def __init__(self, generation: int, started: float, probe: bool) -> None:
        self.generation = generation
        self.started = started
        self.probe = probe


class Limits(Protocol):
    """
    How much is asked of a store that was down.

    Attributes: See :class:`~tiered_store.policies.breaker.BreakerPolicy`.
    """

    @property
    def probes(self) -> int: ...

    @property
    def probe_lease(self) -> float: ...


class Probes:
    """
    Lets one call through at a time, by a lease, and counts those that succeed.

    It has no lock: whoever keeps it does.

    Attributes:
        until: When the lease ends of the call that is made just now; None without one.
        succeeded: In a row.
        slow_from: Seconds from which one that succeeds is slow all the same.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._current: Permit | None = None
        self.slow_from = math.inf
        self.begin()

    def begin(self) -> None:
        """Begin to look."""
        self.until: float | None = None
        self.succeeded = 0

    def lease(self, generation: int, now: float) -> Permit | None:
        """Return leave to be the probe, None while somebody else is."""
        if self.until is not None and now < self.until:
            return None
        self.until = now + self._limits.probe_lease
        self._current = Permit(generation, now, probe=True)
        return self._current

    def is_current(self, permit: Permit) -> bool:
        """Tell whether nobody has taken the lease of *permit* over."""
        return permit is self._current

    def settle(self, outcome: Outcome) -> bool | None:
        """
        Count how the probe ended.

        Returns:
            Whether the store is well; None if that is not known yet.
        """
        self.until = None
        if outcome == "neutral":
            return None
        if outcome != "ok":
            return False
        self.succeeded += 1
        if self.succeeded < self._limits.probes:
            return None
        self.slow_from = math.inf
        return True
