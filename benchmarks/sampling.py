"""
Take samples of candidates side by side.
"""

from __future__ import annotations

import gc
import os
import threading
import timeit

from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import repeat
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

from benchmarks.steady import spent


Sample = Callable[[], float]  # runs something, and returns what it measured
Run = Callable[[int], float]  # does it so many times, and returns the seconds


def side_by_side(
    samples: Mapping[str, Callable[[], Any]],
    rounds: int,
    random: Random,
    failed: Callable[[str, Exception], None],
) -> dict[str, list[Any]]:
    """
    Return what each candidate measured in each round.

    A round before the first is not counted.  A candidate that raises is left out from
    then on, and told to *failed*.
    """
    values: dict[str, list[Any]] = {name: [] for name in samples}
    for _ in range(rounds + 1):
        gc.collect()
        gc.disable()
        for name in random.sample(list(values), len(values)):
            try:
                values[name].append(samples[name]())
            except Exception as error:  # noqa: BLE001 - of any peer
                del values[name]
                failed(name, error)
        gc.enable()
    return {name: found[1:] for name, found in values.items()}


def calibrated(run: Run, seconds: float) -> Sample:
    """Return a sample of the seconds that one takes, of as many as fill *seconds*."""
    number = 0

    def sample() -> float:
        nonlocal number
        if not number:
            number = 1
            while (took := run(number)) < seconds / 2 and number < 10**8:
                number = max(2 * number, int(number * seconds / 2 / max(took, 1e-9)))
        return run(number) / number

    return sample


def timed(
    statement: str | Callable[[], Any],
    seconds: float,
    each: int = 1,
    *,
    clock: Callable[[], float] = spent,
    **names: Any,
) -> Sample:
    """Time *statement*, which does its work *each* times, with *names* to speak of."""
    timer = timeit.Timer(statement, timer=clock, globals=names)
    sample = calibrated(timer.timeit, seconds)
    return lambda: sample() / each


def awaited(
    call: Callable[[], Awaitable[Any]], seconds: float, loop: AbstractEventLoop
) -> Sample:
    """Time what *call* returns, within a loop that is running already."""

    async def many(number: int) -> float:
        began = spent()
        for _ in repeat(None, number):
            await call()
        return spent() - began

    return calibrated(lambda number: loop.run_until_complete(many(number)), seconds)


def crowded(work: Callable[[], Any], seconds: float, threads: int = 8) -> Sample:
    """Say how many times longer *work* takes with *threads* that do it at once."""
    alone = calibrated(timeit.Timer(work).timeit, seconds)

    def together(number: int) -> float:
        start = threading.Barrier(threads + 1)

        def some() -> None:
            start.wait()
            for _ in repeat(None, number):
                work()

        workers = [threading.Thread(target=some) for _ in range(threads)]
        for worker in workers:
            worker.start()
        start.wait()
        began = perf_counter()
        for worker in workers:
            worker.join()
        return (perf_counter() - began) / threads

    crowd = calibrated(together, seconds)

    def sample() -> float:
        with undisturbed():
            return crowd() / alone()

    return sample


@contextmanager
def undisturbed(server: int | None = None) -> Iterator[None]:
    """
    Go before all other processes where that is allowed, threads begun here included.

    So does the process *server*, which is asked meanwhile.

    By the clock, and beside others, eight threads took 0.3 to 1.8 times as long as one.
    """
    asked = [] if server is None else _threads_of(server)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except (AttributeError, OSError):
        yield
        return
    try:
        _schedule(asked, os.SCHED_RR, 1)
        yield
    finally:
        _schedule([0, *asked], os.SCHED_OTHER, 0)


def _threads_of(process: int) -> list[int]:
    return [int(path.name) for path in Path(f"/proc/{process}/task").glob("*")]


def _schedule(threads: Iterable[int], policy: int, priority: int) -> None:
    for thread in threads:
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setscheduler(thread, policy, os.sched_param(priority))


def share(values: list[float], part: float) -> float:
    """Return the value that *part* of *values* do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
