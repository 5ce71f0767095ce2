"""
Whether the last calls were late because the store is slow.
"""

from __future__ import annotations

from collections import deque


class Lateness:
    """
    Which of the last *calls* were late.

    Whatever stops this process for a moment (a collection of garbage, a virtual machine
    that is moved) makes all calls late that are under way, and says nothing of the
    store.  So one of them must have begun after another one had ended.

    It has no lock: whoever keeps it does.

    Args:
        share: Of them, late, that is enough.
    """

    def __init__(self, calls: int, share: float) -> None:
        self._share = share
        self._last: deque[tuple[float, float, bool]] = deque(maxlen=calls)

    def note(self, began: float, ended: float, *, late: bool) -> None:
        """Count a call."""
        self._last.append((began, ended, late))

    def clear(self) -> None:
        """Begin anew."""
        self._last.clear()

    def found(self, since: float) -> float | None:
        """Return the share that was late if it is enough, all of them *since* then."""
        last = self._last
        if len(last) < (last.maxlen or 0) or last[0][1] < since:
            return None
        late = [(began, ended) for began, ended, was_late in last if was_late]
        share = len(late) / len(last)
        if share < self._share:
            return None
        at_once = max(began for began, _ in late) < min(ended for _, ended in late)
        return None if at_once else share
