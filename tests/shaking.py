"""
Threads that are held up where it hurts: ``make shake SEED=1 TESTS=tests/test_x.py``.

For each test the seed chooses lines, of the library and of the test, at which whoever
comes there sleeps, a few times.  What is right only as long as nobody is late between
two lines goes red, in minutes instead of once in ten thousand runs; the same seed holds
up the same lines, whatever the schedule is.  A report that is red tells them.

That few delays find more than many, if they are where it matters: Burckhardt et al., A
Randomized Scheduler with Probabilistic Guarantees of Finding Bugs, ASPLOS 2010.
"""

from __future__ import annotations

import sys
import threading
import zlib

from collections.abc import Generator, Iterator
from pathlib import Path
from time import sleep  # the real one, whatever a test makes of it
from types import CodeType, FrameType
from typing import Any

import pytest


ROOT = Path(__file__).parent.parent
OURS = (str(ROOT / "tiered_store"), str(ROOT / "tests"))
ONE_IN = 40  # lines
PASSED = (0, 0, 0, 1, 2, 5, 20)  # how often a line is passed before somebody sleeps
TIMES = 3  # that somebody sleeps at a line
LONGEST = 0.3  # seconds; most are much shorter
ALL = 1.0  # seconds of a test, after which nobody sleeps
SWITCH = 1e-5  # seconds after which another thread runs, instead of 5e-3


class Line:
    """One at which somebody sleeps, as *fate* will have it."""

    def __init__(self, place: str, fate: int) -> None:
        self.place = place
        self.passes = PASSED[fate % len(PASSED)]
        self.times = TIMES
        self.seconds = LONGEST * (fate % 1009 / 1009) ** 5

    def __str__(self) -> str:
        return f"{self.place}: {self.seconds:.3f} s, {TIMES - self.times} times"


class Shaker:
    """Holds up whoever comes to the lines that *seed* chooses."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.begin("")

    def begin(self, test: str) -> None:
        """Choose anew."""
        self._test = test
        self._lines: dict[int, dict[int, Line]] = {}
        self._left = ALL

    def trace(self, frame: FrameType, event: str, arg: object) -> Any:
        """Return what follows the lines of *frame*, if one of them is chosen."""
        code = frame.f_code
        lines = self._lines.get(id(code))
        if lines is None:
            lines = self._lines[id(code)] = dict(self._chosen(code))
        if not lines:
            return None

        def follow(frame: FrameType, event: str, arg: object) -> Any:
            if event == "line" and (line := lines.get(frame.f_lineno)) is not None:
                self._come(line)
            return follow

        return follow

    def slept(self) -> str:
        """Return where somebody slept, for people."""
        lines = (line for of in list(self._lines.values()) for line in of.values())
        return "\n".join(sorted(str(line) for line in lines if line.times < TIMES))

    def _chosen(self, code: CodeType) -> Iterator[tuple[int, Line]]:
        path = code.co_filename
        if path == __file__ or not path.startswith(OURS):
            return
        for number in {number for _, _, number in code.co_lines() if number}:
            place = f"{Path(path).relative_to(ROOT)}:{number}"
            fate = zlib.crc32(f"{self._seed} {self._test} {place}".encode())
            if fate % ONE_IN == 0:
                yield number, Line(place, fate // ONE_IN)

    def _come(self, line: Line) -> None:
        if line.passes:
            line.passes -= 1
        elif line.times and self._left > 0:
            line.times -= 1
            self._left -= line.seconds
            sleep(line.seconds)


_shaker = pytest.StashKey[Shaker]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shake", type=int, default=1, metavar="SEED")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_shaker] = Shaker(config.getoption("--shake"))
    sys.setswitchinterval(SWITCH)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    shaker = item.config.stash[_shaker]
    shaker.begin(item.nodeid)
    threading.settrace(shaker.trace)
    sys.settrace(shaker.trace)
    try:
        return (yield)
    finally:
        sys.settrace(None)
        threading.settrace(None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if report.failed:
        slept = item.config.stash[_shaker].slept()
        report.sections.append(("where somebody slept", slept))
    return report
