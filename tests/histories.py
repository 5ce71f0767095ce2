"""
What was done to an object, and what a read of it may therefore answer.
"""

from __future__ import annotations

import dataclasses
import math


@dataclasses.dataclass
class Change:
    """A write, from when it began to when it was over."""

    value: bytes | None
    began: float
    over: float = math.inf
    acknowledged: bool = False


class History:
    """The writes of one object, which is absent at first."""

    def __init__(self) -> None:
        self.changes = [Change(None, -math.inf, -math.inf, acknowledged=True)]

    def begin(self, value: bytes | None, now: float) -> Change:
        """Return the change to *value*, None for a delete, that begins *now*."""
        self.changes.append(Change(value, now))
        return self.changes[-1]

    def check(self, value: bytes | None, began: float, now: float) -> None:
        """
        Raise unless a read from *began* to *now* may have found *value*.

        That is the value of any write that had begun, unless one that was acknowledged
        before the read had begun after that write was over.
        """
        legal = {change.value for change in self._possible(began) if change.began < now}
        told = [_short(one) for one in (value, *legal)]
        assert value in legal, f"{told[0]} is none of {told[1:]}"

    def forget(self, now: float) -> None:
        """Drop what no read from *now* on may find."""
        self.changes = self._possible(now)

    def _possible(self, began: float) -> list[Change]:
        newest = max(
            change.began
            for change in self.changes
            if change.acknowledged and change.over <= began
        )
        return [change for change in self.changes if change.over >= newest]


def _short(value: bytes | None) -> str:
    return "absence" if value is None else f"{value[:40]!r}"
