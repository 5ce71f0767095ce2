"""
Commands that work for long, and end when they are told to.
"""

from __future__ import annotations

import signal
import threading

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from tiered_store.cli.failure import INTERRUPTED


class Ending:
    """
    Whether a command was told to end.

    Attributes:
        stop: Set by the first SIGTERM or SIGINT; what is under way is then finished.
        status: What to exit with if a person did it; a supervisor's SIGTERM is no
            failure.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.status = 0

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self.stop.is_set():
                raise KeyboardInterrupt  # whoever asks twice does not want to wait
            self.status = INTERRUPTED
        self.stop.set()


@contextmanager
def ending() -> Iterator[Ending]:
    """Have SIGTERM and SIGINT noted, instead of ending the process, while inside."""
    told = Ending()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [(number, signal.signal(number, told)) for number in numbers]
    try:
        yield told
    finally:
        for number, handler in before:
            signal.signal(number, handler)


Bar = Callable[[int, int | None], None]


@contextmanager
def counting(title: str, total: int | None) -> Iterator[Bar]:
    """
    Show on standard error, if that is a terminal, how many of *total* are done.

    What it yields is told how many, and of how many once that is known.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal or total == 0:
        yield lambda done, of: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    text = TextColumn("{task.description}", markup=False)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(text, *columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done, of: progress.update(task, completed=done, total=of)
