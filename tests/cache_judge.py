"""
What a read may return, by the order in which the origin took the writes.

A read names the write whose bytes it returned; a dash stands for absence.
"""

from __future__ import annotations

import itertools
import math

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Write:
    """
    A write that took effect.

    Attributes:
        token: What reads of it return; a dash for a delete.
        at: When it took effect; times are those of the monotonic clock.
        acknowledged: When whoever wrote was told so; never, if it died before.
    """

    version: int
    token: str
    at: float
    acknowledged: float = math.inf


class History:
    """The writes of one object."""

    def __init__(self, writes: Iterable[Write]) -> None:
        never = Write(0, "-", -math.inf)
        self.writes = [never, *sorted(writes, key=lambda write: write.version)]
        self._places = {write.token: at for at, write in enumerate(self.writes)}
        acknowledged = [write.acknowledged for write in reversed(self.writes)]
        # from each write on, when the first of them was acknowledged
        self._known = list(itertools.accumulate(acknowledged, min))[::-1]

    @property
    def current(self) -> str:
        """Return what is to be read when nobody writes any more."""
        return self.writes[-1].token

    def replaced(self, token: str, begun: float, ended: float) -> float:
        """Return for how long *token* had not been what the origin has, at *begun*."""
        later = self._place(token, ended) + 1
        if later == len(self.writes):
            return 0.0
        return max(0.0, begun - self.writes[later].at)

    def stale(self, token: str, begun: float, ended: float) -> float:
        """Return for how long somebody had been told of a later one, at *begun*."""
        later = self._place(token, ended) + 1
        if later == len(self.writes):
            return 0.0
        return max(0.0, begun - self._known[later])

    def _place(self, token: str, ended: float) -> int:
        """Return which write was read; of several deletes, the last that can be."""
        if token != "-":
            return self._places[token]
        return max(
            at
            for at, write in enumerate(self.writes)
            if write.token == "-" and write.at <= ended
        )
