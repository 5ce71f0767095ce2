"""
How old a cached copy must not be.
"""

from __future__ import annotations

import threading

from tiered_store import lifecycle
from tiered_store.key import Key


_MOST = 10_000


class Floors:
    """
    By key, the time of fetching from which on copies in one tier are believed.

    A fill that timed out may land at any later time, after a write has purged; as its
    copy says when it was fetched, it is told by that.  With more keys than can be
    remembered, older copies of all keys are distrusted.
    """

    def __init__(self) -> None:
        self._of_all = float("-inf")
        self._of_key: dict[Key, float] = {}
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Take a lock of one's own."""
        self._lock = threading.Lock()

    def is_below(self, key: Key, since: float) -> bool:
        """Say whether a copy of *key* that was fetched at *since* is not believed."""
        return since <= self._of_all or since <= self._of_key.get(key, self._of_all)

    def raise_to(self, key: Key, since: float) -> None:
        """Distrust copies of *key* that were fetched at *since* or before."""
        with self._lock:
            self._of_key[key] = max(since, self._of_key.get(key, since))
            if len(self._of_key) > _MOST:
                self._of_all = max(self._of_all, *self._of_key.values())
                self._of_key.clear()
