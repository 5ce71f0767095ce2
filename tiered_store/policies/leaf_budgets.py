"""
A budget of retries for each leaf, shared by all who retry it in this process.

What retries multiply is the traffic of the place that is in trouble, so there they are
counted: a region that is down does not use up what another one's passing trouble may
cost, and two stacks over one bucket do not double what it bears.
"""

from __future__ import annotations

import threading
import weakref

from collections.abc import Iterator

from tiered_store import lifecycle
from tiered_store.errors import InconclusiveError, PartialWriteError, StoreError
from tiered_store.policies.budget import RetryBudget
from tiered_store.store import Store
from tiered_store.tree import walk


class LeafBudgets:
    """
    What the leaves of *root* can bear.

    Args:
        ratio: Retries of a leaf that each call of *root* earns.
        floor: Retries of a leaf that can be had before any are earned.
    """

    def __init__(self, root: Store, ratio: float, floor: int) -> None:
        self._root = root
        self._ratio = ratio
        self._floor = floor
        self._calls = 0

    def earn(self) -> None:
        """Note a call.  It takes no lock, so of two at once one may not be seen."""
        self._calls += 1

    def spend(self, error: StoreError) -> bool:
        """
        Say whether what ended as *error* may be tried again, and take it.

        It costs one at each leaf that failed and may be asked again, and is not to be
        had if one of those has none left.
        """
        calls, self._calls = self._calls, 0
        for leaf in _leaves(self._root):
            self._of(leaf).earn(calls)
        taken: list[RetryBudget] = []
        for leaf in self._blamed(error):
            budget = self._of(leaf)
            if not budget.spend():
                for other in taken:
                    other.give_back()
                return False
            taken.append(budget)
        return True

    def _of(self, leaf: Store) -> RetryBudget:
        return _shared.budget(leaf, self._ratio, self._floor)

    def _blamed(self, error: StoreError) -> list[Store]:
        """Return the leaves that failed, all of them if *error* does not say which."""
        below: dict[str, list[Store]] = {}
        for store in walk(self._root):
            below.setdefault(str(store), []).append(store)
        failed = [
            leaf
            for one in _parts(error)
            for store in below.get(one.store or "", [])
            for leaf in _leaves(store)
        ]
        return list(dict.fromkeys(failed or _leaves(self._root)))


class _Shared:
    """The budgets of this process, each as long as its leaf."""

    def __init__(self) -> None:
        self._known: weakref.WeakKeyDictionary[
            Store, dict[tuple[float, int], RetryBudget]
        ] = weakref.WeakKeyDictionary()
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Take a lock of one's own."""
        self._lock = threading.Lock()

    def budget(self, leaf: Store, ratio: float, floor: int) -> RetryBudget:
        with self._lock:
            known = self._known.setdefault(leaf, {})
            if (ratio, floor) not in known:
                known[ratio, floor] = RetryBudget(ratio, floor)
            return known[ratio, floor]


_shared = _Shared()


def _leaves(root: Store) -> Iterator[Store]:
    return (store for store in walk(root) if not store.children())


def _parts(error: StoreError) -> Iterator[StoreError]:
    """Yield the errors that *error* is made of, those that are worth a retry."""
    if isinstance(error, InconclusiveError | PartialWriteError) and error.outcomes:
        for one in error.outcomes.values():
            if one is not None:
                yield from _parts(one)
    elif error.retryable:
        yield error
