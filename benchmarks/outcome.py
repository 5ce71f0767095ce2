"""
All that a run has measured so far, and where it goes.
"""

from __future__ import annotations

import json

from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from benchmarks.machine import described
from benchmarks.page import page
from benchmarks.results import Row
from benchmarks.table import show, summary


@dataclass(slots=True)
class Outcome:
    """
    Rows, and how they came to be.

    Attributes:
        method: How it was measured.
        planned: The groups that are to be measured.
        seconds: What each took that is.
    """

    method: str
    planned: list[str]
    rows: list[Row] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    machine: dict[str, str] = field(default_factory=described)

    @property
    def missing(self) -> list[str]:
        """Return the groups that are not measured, or not to their end."""
        return [name for name in self.planned if name not in self.seconds]

    def show(self, console: Console) -> None:
        """Print every row, then what became of every goal."""
        show(self.rows, console)
        console.print(self.method, style="dim")
        summary(self.rows, console)
        if self.missing:
            names = ", ".join(self.missing)
            console.print(f"not measured to the end: {names}", style="bold red")

    def write(self, folder: Path) -> Path:
        """Write JSON and the page into *folder*, and return where the page is."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "bench.json").write_text(self.as_json())
        path = folder / "bench.html"
        path.write_text(page(self.rows, self.machine, self.method, self.missing))
        return path

    def as_json(self) -> str:
        """Return it for a machine."""
        document = {
            "method": self.method,
            "machine": self.machine,
            "seconds": self.seconds,
            "missing": self.missing,
            "rows": [row.as_json() for row in self.rows],
        }
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
