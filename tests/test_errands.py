"""Errands are bounded, in order for each key, and nobody waits for them."""

from __future__ import annotations

import logging
import os
import threading
import warnings

from collections.abc import Iterator

import pytest

from tiered_store import deadlines
from tiered_store.errors import ConfigError
from tiered_store.key import Key
from tiered_store.policies.errands import Errands


KEYS = [Key("comics.cover", number, 30, 40, "image/png") for number in range(9)]


class Bench:
    """Errands that wait for a gate, and the notes that they leave."""

    def __init__(self, threads: int = 1, waiting: int = 3) -> None:
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)
        self.notes: list[str] = []
        self.errands = Errands("errands", threads, waiting)

    def add(self, number: int, note: str, *, replace: bool = True) -> bool:
        def work() -> None:
            self.begun.release()
            self.gate.wait()
            self.notes.append(note)

        return self.errands.add(KEYS[number], work, replace=replace)

    def finish(self) -> list[str]:
        self.gate.set()
        assert self.errands.drain(10) is None
        return self.notes


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.gate.set()


def test_only_so_many_wait(bench: Bench) -> None:
    """The next is refused rather than that memory grows or the bringer does it."""
    assert bench.add(0, "under way")
    bench.begun.acquire()
    assert [bench.add(number, str(number)) for number in (1, 2, 3)] == [True] * 3
    assert not bench.add(4, "too many")
    assert bench.add(3, "3 again")  # takes no more room
    assert bench.finish() == ["under way", "1", "2", "3 again"]


def test_one_at_a_time_for_a_key() -> None:
    """Two that do the same thing must not overtake each other."""
    bench = Bench(threads=2)
    bench.add(0, "first")
    bench.begun.acquire()
    bench.add(0, "second")
    bench.add(1, "elsewhere")
    bench.begun.acquire()  # the other thread, which has passed over the second
    assert bench.errands.waits(KEYS[0])
    assert not bench.errands.waits(KEYS[1])
    notes = bench.finish()
    assert notes.index("first") < notes.index("second")
    assert len(notes) == 3


def test_a_later_one_replaces_or_is_spared(bench: Bench) -> None:
    """What has not begun can still be changed."""
    bench.add(0, "under way")
    bench.begun.acquire()
    bench.add(1, "old")
    bench.add(1, "new")
    bench.add(2, "kept")
    bench.add(2, "spared", replace=False)
    assert bench.finish() == ["under way", "new", "kept"]


def test_no_more_threads_than_asked_for() -> None:
    """However much is waiting."""
    bench = Bench(threads=2, waiting=7)
    for number in range(9):
        bench.add(number, str(number))
        if number < 2:
            bench.begun.acquire()
    assert not bench.begun.acquire(timeout=0.05)
    assert sorted(bench.finish()) == [str(number) for number in range(9)]


def test_threads_come_back_for_more(bench: Bench) -> None:
    """After there was nothing to do."""
    for number in range(4):
        assert bench.add(number, str(number))
        bench.finish()
    assert bench.notes == ["0", "1", "2", "3"]


def test_an_errand_knows_no_deadline(bench: Bench) -> None:
    """Its bringer's time has nothing to do with it."""
    seen: list[float | None] = []
    with deadlines.deadline(30):
        bench.errands.add(
            KEYS[0], lambda: seen.append(deadlines.remaining()), replace=True
        )
    assert bench.finish() == []
    assert seen == [None]


def test_an_errand_that_fails_stops_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug has nobody to be raised to, so it is logged, and the next one follows."""

    def fail() -> None:
        raise TypeError("a bug")

    with caplog.at_level(logging.ERROR, "tiered_store"):
        bench.errands.add(KEYS[0], fail, replace=True)
        bench.add(1, "next")
        assert bench.finish() == ["next"]
    assert "one of the errands failed" in caplog.text
    assert "a bug" in caplog.text


def test_what_is_left_is_told(bench: Bench) -> None:
    """Draining is bounded, and closing gives up what has not begun."""
    bench.add(0, "under way")
    bench.begun.acquire()
    bench.add(1, "waiting")
    assert bench.errands.drain(0.01) == "2 errands"
    assert bench.errands.close(0.01) == [KEYS[1]]
    assert not bench.add(2, "late")
    assert bench.finish() == ["under way"]


def test_closing_finishes_what_it_can(bench: Bench) -> None:
    """Nothing is given up that there was time for."""
    bench.gate.set()
    for number in range(3):
        bench.add(number, str(number))
    assert bench.errands.close(10) == []
    assert bench.notes == ["0", "1", "2"]


def test_a_child_process_starts_empty(bench: Bench) -> None:
    """The parent does what it was asked to, once."""
    bench.add(0, "under way")
    bench.begun.acquire()
    bench.add(1, "waiting")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            bench.gate.set()
            bench.add(2, "the child's")
            if bench.errands.drain(10) is None and bench.notes == ["the child's"]:
                status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert bench.finish() == ["under way", "waiting"]


@pytest.mark.parametrize(("threads", "waiting"), [(0, 1), (1, 0)])
def test_wrong_bounds_are_named(threads: int, waiting: int) -> None:
    """Nothing would ever be done."""
    with pytest.raises(ConfigError, match=r"threads|waiting"):
        Errands("errands", threads, waiting)
