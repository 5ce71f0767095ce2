"""Work that is waited for together, each caller for as long as it can."""

from __future__ import annotations

import threading

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.waiting import until
from tiered_store import deadlines
from tiered_store.deadlines import deadline
from tiered_store.errors import DeadlineError
from tiered_store.joint import Joint


class Slow:
    """Work that ends when it may; told how often it began, and with what deadline."""

    def __init__(self) -> None:
        self.began: list[float | None] = []
        self.may_end = threading.Event()

    def __call__(self) -> int:
        self.began.append(deadlines.remaining())
        assert self.may_end.wait(60)
        return len(self.began)


def test_whose_time_is_up_leaves_it_to_whoever_comes_next() -> None:
    """The work does not know of anybody's deadline, and is begun once."""
    work = Slow()
    joint = Joint("joint", "something is done", work)
    for _ in range(3):
        match = pytest.raises(DeadlineError, match="while something is done")
        with deadline(0.05), match:
            joint.result()
    work.may_end.set()

    assert joint.result() == 1
    assert work.began == [None]
    assert joint.result() == 2, "and again when it is needed again"


def test_all_who_wait_get_what_it_comes_to() -> None:
    work = Slow()
    joint = Joint("joint", "something is done", work)
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(joint.result) for _ in range(4)]
        until(lambda: work.began)
        with deadline(0.05), pytest.raises(DeadlineError):
            joint.result()  # though a caller without a deadline does it
        work.may_end.set()
        first = {future.result(60) for future in waiting}

    assert first <= {1, 2, 3, 4}
    assert len(work.began) == max(first)


def test_what_fails_is_told_and_tried_again() -> None:
    tries: list[int] = []

    def work() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("not yet")
        return "done"

    joint = Joint("joint", "something is done", work)

    with pytest.raises(ValueError, match="not yet"), deadline(60):
        joint.result()
    with deadline(60):
        assert joint.result() == "done"
