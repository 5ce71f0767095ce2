"""
Objects of which nothing is kept for a while, since a write may take effect yet.
"""

from __future__ import annotations

from collections import OrderedDict

from tiered_store.clock import Clock
from tiered_store.key import Key


_MOST = 10_000  # remembered one by one
_NEVER = float("-inf")


class Doubts:
    """
    Keys whose last write failed, perhaps, each for *seconds*.

    When there are more than can be remembered, every key is in doubt for as long as
    those that were forgotten.  Whoever uses it holds a lock.
    """

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        self._ends: OrderedDict[Key, float] = OrderedDict()
        self._end_of_all = _NEVER

    def __contains__(self, key: Key) -> bool:
        if not self._ends and self._end_of_all == _NEVER:
            return False
        return self._ends.get(key, self._end_of_all) > self._clock.monotonic()

    def add(self, key: Key) -> None:
        """Doubt *key* from now on."""
        now = self._clock.monotonic()
        self._ends[key] = now + self._seconds
        self._ends.move_to_end(key)
        while self._ends:
            oldest, ends = next(iter(self._ends.items()))
            if ends > now and len(self._ends) <= _MOST:
                break
            del self._ends[oldest]
            self._end_of_all = ends  # they end in the order in which they began
