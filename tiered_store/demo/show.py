"""
A demo as a person watches it: bars or lines while it works, a table at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from tiered_store.demo.report import Check, Phase, Report


class Silence:
    """Nobody watches."""

    @contextmanager
    def phase(self, phase: Phase, total: int) -> Iterator[Callable[[], None]]:
        """Follow *phase* without a word."""
        yield lambda: None


class Lines:
    """A line for each phase, for a log or a pipe."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def phase(self, phase: Phase, total: int) -> Iterator[Callable[[], None]]:
        """Follow *phase*, and say what came of it."""
        yield lambda: None
        line = f"{phase.title}: {phase.happened} ({phase.seconds:.2f} s)"
        self._console.print(Text(line), soft_wrap=True)


class Bars:
    """A bar for each phase, for a terminal."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[seconds]}", style="dim"),
            console=console,
        )

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._progress.stop()

    @contextmanager
    def phase(self, phase: Phase, total: int) -> Iterator[Callable[[], None]]:
        """Follow *phase* with a bar of *total* steps."""
        title = f"{phase.title:<28}"
        task = self._progress.add_task(title, total=total, seconds="")
        yield lambda: self._progress.advance(task)
        self._progress.update(task, seconds=f"{phase.seconds:.2f} s")


def show_beginning(console: Console) -> None:
    """Say what is going to happen."""
    console.print(
        "Two directories, east and west, stand for two regions: each keeps all "
        "photographs.\nA memory cache stands before them, a last resort behind. East "
        "gets lost for a while.\n",
        soft_wrap=True,
    )


def show_report(report: Report, console: Console) -> None:
    """Print what happened, what was skipped, what held, and where to look."""
    console.print()
    console.print(_phases(report))
    console.print()
    for check in report.checks:
        console.print(_check(check))
    if report.skipped or report.left_out:
        console.print()
    for skipped in report.skipped:
        text = Text(f"Skipped {skipped.name}: {skipped.reason}", style="yellow")
        console.print(text, soft_wrap=True)
    if report.left_out:
        console.print(Text(f"Left out by --limit: {report.left_out} files"))
    for line in _failures(report):
        console.print(Text(line, style="red"), soft_wrap=True)
    console.print()
    style = "bold green" if report.held else "bold red"
    console.print(Text(report.verdict, style=style))
    console.print()
    console.print(Text(f"Look at    {report.page}"), soft_wrap=True)
    for word, command in (("Or try", "ls -c"), ("And", "tree")):
        line = f"{word:<10} tiered-store {command} {report.config}"
        console.print(Text(line), soft_wrap=True)


def _phases(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("Step", no_wrap=True)
    table.add_column("What happened")
    for heading in ("Done", "Failed", "Time"):
        table.add_column(heading, justify="right", no_wrap=True)
    for phase in report.phases:
        failed = len(phase.failures)
        done = phase.reads + phase.writes - failed
        table.add_row(
            Text(phase.title),
            Text(phase.happened),
            str(done) if phase.reads or phase.writes else "",
            Text(str(failed), style="red" if failed else "green"),
            f"{phase.seconds:.2f} s",
        )
    return table


def _check(check: Check) -> Text:
    word, style = ("held", "green") if check.held else ("BROKEN", "bold red")
    return Text.assemble(
        (f"{word:<7}", style), f"{check.promise}: ", (check.seen, "dim")
    )


def _failures(report: Report, most: int = 10) -> list[str]:
    lines = [
        f"{phase.title}: {line}" for phase in report.phases for line in phase.failures
    ]
    more = [f"... and {len(lines) - most} more"] if len(lines) > most else []
    return lines[:most] + more
