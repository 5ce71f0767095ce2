"""
What a demo did, and whether everything held.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from tiered_store.demo.picture import Skipped


@dataclass(slots=True, kw_only=True)
class Phase:
    """
    One step.

    Attributes:
        title: What was done.
        happened: What came of it, in words.
        failures: What went wrong, a line for each object.
        seconds: How long it took.
    """

    title: str
    happened: str = ""
    reads: int = 0
    writes: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0


Step = Callable[[], None]


class Show(Protocol):
    """Somebody who watches."""

    def phase(self, phase: Phase, total: int) -> AbstractContextManager[Step]:
        """Follow *phase*; what it yields is called after each of *total* objects."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that had to hold, whether it did, and what was seen."""

    promise: str
    held: bool
    seen: str


@dataclass(slots=True, kw_only=True)
class Report:
    """
    A whole demo.

    Attributes:
        output: Where the files are.
        config: The configuration that was used.
        page: What there is to look at.
        left_out: Pictures beyond the limit, which were not looked at.
    """

    output: str
    config: str
    page: str
    pictures: int = 0
    left_out: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    @property
    def held(self) -> bool:
        """Whether everything that had to hold did."""
        return bool(self.checks) and all(check.held for check in self.checks)

    @property
    def reads(self) -> int:
        """How many reads there were."""
        return sum(phase.reads for phase in self.phases)

    @property
    def writes(self) -> int:
        """How many writes there were, deletes included."""
        return sum(phase.writes for phase in self.phases)

    @property
    def seconds(self) -> float:
        """How long all phases took."""
        return sum(phase.seconds for phase in self.phases)

    @property
    def verdict(self) -> str:
        """The whole of it in a line."""
        if self.held:
            return (
                f"Everything held: {self.reads} reads and {self.writes} writes while a "
                "region was lost and came back; nothing failed, nothing was lost, "
                "nothing deleted returned."
            )
        broken = [check for check in self.checks if not check.held]
        return (
            f"NOT everything held: {len(broken)} of {len(self.checks)} checks failed."
        )

    def plain(self) -> Mapping[str, Any]:
        """Return it as values that JSON knows."""
        totals = {
            "reads": self.reads,
            "writes": self.writes,
            "seconds": round(self.seconds, 3),
        }
        return {"held": self.held, "verdict": self.verdict, **asdict(self), **totals}
