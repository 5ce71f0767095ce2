"""
What was tried, and how it went.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal, TypeVar

from tiered_store.deadlines import deadline
from tiered_store.errors import StoreError
from tiered_store.translation import translate


State = Literal["ok", "note", "warning", "failed"]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing that was tried.

    Attributes:
        place: The path of the store, tier or journal.
        what: What was tried: ``put``, ``clock``, ``versioning``.
        state: ``failed``: it will not work; ``warning``: it will bite.
        message: What was found, and what to do about it.
    """

    place: str
    what: str
    state: State
    message: str = ""

    def plain(self) -> dict[str, str]:
        """Return it as values that JSON knows."""
        return asdict(self)


class Attempt:
    """Tries things at one place, each for *seconds* at most, and notes how it went."""

    def __init__(self, place: str, seconds: float) -> None:
        self.place = place
        self.findings: list[Finding] = []
        self._seconds = seconds

    def note(self, what: str, state: State, message: str = "") -> None:
        """Note how *what* is."""
        self.findings.append(Finding(self.place, what, state, message))

    def attempt(self, what: str, call: Callable[[], Result]) -> Result | None:
        """Return what *call* returns, or None after noting why it failed."""
        try:
            with deadline(self._seconds):
                return call()
        except Exception as error:
            failure = translate(error)
            if failure is None:
                raise
            self.note(what, "failed", told(failure))
            return None

    def done(self, what: str, call: Callable[[], object]) -> bool:
        """Say whether *call* succeeds, and note that, or why it failed."""

        def succeeded() -> bool:
            call()
            return True

        if not self.attempt(what, succeeded):
            return False
        self.note(what, "ok")
        return True


def told(failure: StoreError) -> str:
    """Return what *failure* says, without the place, which is known."""
    return failure.message or str(failure)
