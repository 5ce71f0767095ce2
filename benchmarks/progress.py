"""
How far a run has come, for who watches.
"""

from __future__ import annotations

import time

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from benchmarks.plan import GROUPS
from benchmarks.results import Row
from benchmarks.table import line


class Watch:
    """
    Tells of each row when it is measured, and what of the run remains.

    Attributes:
        seconds: What each group took.
    """

    def __init__(self, names: Iterable[str], progress: Progress) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress
        self._total = sum(GROUPS[name].seconds for name in names)
        self._done = 0.0
        self._began = time.monotonic()
        self._bar = progress.add_task("", total=self._total, remaining=self._total)

    @contextmanager
    def group(self, name: str) -> Iterator[None]:
        """Measure group *name* within the block."""
        began = time.monotonic()
        self._progress.update(self._bar, description=name)
        yield
        now = time.monotonic()
        self.seconds[name] = round(now - began, 1)
        self._done += GROUPS[name].seconds
        remaining = (self._total - self._done) * (now - self._began) / self._done
        self._progress.update(self._bar, completed=self._done, remaining=remaining)

    def row(self, row: Row) -> None:
        """Tell of *row*."""
        self._progress.console.print(
            line(row), style="dim", highlight=False, soft_wrap=True
        )


class _Remaining(ProgressColumn):
    """What a slower machine needs is known when its first group is done."""

    def render(self, task: Task) -> Text:
        seconds = max(round(task.fields["remaining"] / 10) * 10, 10)
        return Text(f"{seconds // 60:.0f}:{seconds % 60:02.0f} to go", style="cyan")


@contextmanager
def watching(names: Iterable[str]) -> Iterator[Watch]:
    """Show a bar on a terminal, and lines everywhere."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(None), _Remaining())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        yield Watch(list(names), progress)
