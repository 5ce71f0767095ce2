"""
No journal: nothing is remembered, only writes to one key are kept apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from tiered_store.journals.journal import Journal
from tiered_store.journals.keylocks import KeyLocks, Lease
from tiered_store.journals.row import Backlog, Row, Rows
from tiered_store.key import Key


Result = TypeVar("Result")


class NoJournal(Journal):
    """Knows of nothing pending, whatever it is told."""

    local = True
    capacity = 0

    def __init__(self) -> None:
        self._leases = KeyLocks()

    def lease(self, key: Key, seconds: float) -> Lease | None:
        return self._leases.lease(key, seconds)

    def rows(self, key: Key) -> Mapping[str, Row]:
        return {}

    def lack(self, key: Key, replicas: Iterable[str]) -> bool:
        return False

    def backlogs(self) -> Mapping[str, Backlog]:
        return {}

    def short_of(self, copies: int) -> int:
        return 0

    def _update(
        self, key: Key, rule: Callable[[Rows, int], Result], *, must: bool = False
    ) -> Result:
        return rule({}, 0)

    def _page(
        self, replica: str | None, after: tuple[str, str], limit: int
    ) -> list[Row]:
        return []
