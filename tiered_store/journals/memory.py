"""
A journal in this process's memory, for tests and demos.

.. code-block:: yaml

   type: memory

It is lossy, and says so: what was pending when the process ended is forgotten, and
other processes never knew.
"""

from __future__ import annotations

import heapq
import threading

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TypeVar

from tiered_store import lifecycle
from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import ConfigError, FullError
from tiered_store.journals.journal import Journal
from tiered_store.journals.keylocks import KeyLocks, Lease
from tiered_store.journals.row import Backlog, Row, Rows, name_of
from tiered_store.key import Key


Result = TypeVar("Result")


class MemoryJournal(Journal):
    """
    Rows in a dictionary.

    Args:
        capacity: Rows.
    """

    local = True

    def __init__(self, *, capacity: int = 1_000_000, clock: Clock = SYSTEM) -> None:
        if capacity < 1:
            raise ConfigError(f"capacity: must be at least 1, not {capacity}")
        self.capacity = capacity
        self.clock = clock
        self._rows: dict[Key, Rows] = {}
        self._size = 0
        self._born = clock.time()
        self._sequence = 0
        self._leases = KeyLocks()
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Take a lock of one's own; the rows are the child's copies."""
        self._lock = threading.Lock()

    def lease(self, key: Key, seconds: float) -> Lease | None:
        return self._leases.lease(key, seconds)

    def rows(self, key: Key) -> Mapping[str, Row]:
        return self._rows.get(key, {})

    def backlogs(self) -> Mapping[str, Backlog]:
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self._all():
            found[row.replica].append(row)
        return {name: _backlog(rows) for name, rows in found.items()}

    def born(self) -> float:
        return self._born

    def short_of(self, copies: int) -> int:
        lacking: dict[Key, int] = defaultdict(int)
        for row in self._all():
            if row.intent == "put":
                lacking[row.key] += 1
        return sum(count >= copies for count in lacking.values())

    def _update(
        self, key: Key, rule: Callable[[Rows, int], Result], *, must: bool = False
    ) -> Result:
        with self._lock:
            old = self._rows.get(key, {})
            new = dict(old)
            result = rule(new, self._sequence + 1)
            size = self._size + len(new) - len(old)
            if len(new) > len(old) and size > self.capacity and not must:
                raise FullError(
                    f"the journal is full: {self._size} of {self.capacity} rows; "
                    "repair, or raise its capacity"
                )
            self._sequence += 1
            self._size = size
            if new:
                self._rows[key] = new
            else:
                self._rows.pop(key, None)
        return result

    def _page(
        self, replica: str | None, after: tuple[str, str], limit: int
    ) -> list[Row]:
        rows = (row for row in self._all() if replica in (None, row.replica))
        later = (row for row in rows if _place(row) > after)
        return heapq.nsmallest(limit, later, key=_place)

    def _all(self) -> list[Row]:
        with self._lock:
            return [row for rows in self._rows.values() for row in rows.values()]


def _place(row: Row) -> tuple[str, str]:
    return name_of(row.key), row.replica


def _backlog(rows: list[Row]) -> Backlog:
    failed = [row for row in rows if row.last_error is not None]
    last = max(failed, key=lambda row: (row.retry_at, row.sequence), default=None)
    return Backlog(
        rows=len(rows),
        in_doubt=sum(row.verb == "in_doubt" for row in rows),
        dead=sum(row.dead for row in rows),
        size=sum(row.size for row in rows),
        oldest=min(row.since for row in rows),
        last_error=None if last is None else last.last_error,
    )
