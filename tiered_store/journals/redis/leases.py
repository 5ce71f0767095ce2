"""
Who holds what, each a string that expires.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tiered_store.journals.redis import scripts


_MANY = 500  # renewed in one step, in which the server does nothing else

Run = Callable[[str, Sequence[str], Sequence[Any]], Any]


class LeaseStrings:
    """
    A book of leases that end by themselves.

    Args:
        run: Has the server do a script.
        seconds: After which one ends that is not renewed.
    """

    def __init__(self, run: Run, seconds: float) -> None:
        self._run = run
        self._milliseconds = int(seconds * 1000)

    def take(self, name: str, owner: str, number: int) -> bool:
        """Write that *owner* holds *name*, unless somebody else does."""
        arguments = (owner, number, self._milliseconds)
        return bool(self._run(scripts.TAKE, [_lease(name)], arguments))

    def renew(self, held: Sequence[tuple[str, int]], owner: str) -> None:
        """Say that *owner* holds these on, by name and number."""
        for start in range(0, len(held), _MANY):
            batch = held[start : start + _MANY]
            names = [_lease(name) for name, _ in batch]
            numbers = [number for _, number in batch]
            self._run(scripts.RENEW, names, (owner, self._milliseconds, *numbers))

    def drop(self, name: str, owner: str, number: int) -> None:
        """Write that nobody holds *name*, if *owner* does by that *number*."""
        self._run(scripts.DROP, [_lease(name)], (owner, number))


def _lease(name: str) -> str:
    return f"lease:{name}"
