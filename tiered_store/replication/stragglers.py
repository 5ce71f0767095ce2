"""
Calls that go on after their write has returned.
"""

from __future__ import annotations

import threading

from collections import Counter

from tiered_store import lifecycle


class Stragglers:
    """
    How many there are, and on which replicas.

    Before the interpreter ends they are waited for, for a bounded time.  What is left
    then is in the journal, and the next repair of any process completes it.

    Args:
        most: Beyond which a write had better wait for all its calls.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.after_fork()
        lifecycle.survive_fork(self)
        lifecycle.drain_at_exit(self)

    def after_fork(self) -> None:
        """Know of none: they are the parent's, whose threads are not here."""
        self._changed = threading.Condition()
        self._under_way: Counter[str] = Counter()

    @property
    def has_room(self) -> bool:
        """Whether another write may return before its calls are back."""
        return self._under_way.total() < self._most

    def add(self, replica: str) -> None:
        """Note that a call on *replica* is left behind."""
        with self._changed:
            self._under_way[replica] += 1

    def drop(self, replica: str) -> None:
        """Note that it is back, and has been heard of."""
        with self._changed:
            if self._under_way[replica]:  # else it is the parent's
                self._under_way[replica] -= 1
            self._changed.notify_all()

    def drain(self, seconds: float) -> str | None:
        """Wait for them *seconds*; return what is left as a phrase, None if nothing."""
        with self._changed:
            self._changed.wait_for(lambda: not self._under_way.total(), seconds)
            left = +self._under_way
        if not left:
            return None
        told = ", ".join(f"{count} to {name}" for name, count in sorted(left.items()))
        return f"writes under way, which a repair will complete: {told}"
