"""
How large and how deep a configuration may be.
"""

from __future__ import annotations

from tiered_store.config.problems import Place, Problems


DEEPEST = 32
MOST = 10_000  # values, those that aliases copy included


class Stop(Exception):  # noqa: N818 - no error: it has been said already
    """Nothing sensible can be read from here on."""


class Bounded:
    """Reads a tree, no larger and no deeper than allowed."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._left = MOST

    def _count(self, place: Place | None, path: str, depth: int) -> None:
        self._left -= 1
        if self._left < 0:
            message = f"more than {MOST} values, what aliases copy included"
            self._problems.add(place, "", message)
            raise Stop
        if depth > DEEPEST:
            self._problems.add(place, "", f"nested more than {DEEPEST} deep")
            raise Stop
