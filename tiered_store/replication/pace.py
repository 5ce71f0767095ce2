"""
How fast copies are brought up to date, beside those who wait for an answer.
"""

from __future__ import annotations

import threading

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from tiered_store import deadlines
from tiered_store.clock import Clock
from tiered_store.errors import ConfigError
from tiered_store.journals.journal import Journal
from tiered_store.strict import strict
from tiered_store.units import Duration, Size
from tiered_store.workers import Workers


Result = TypeVar("Result")

_SHARE = 0.25  # of the time, while there is foreground traffic
_LONGEST = 5.0  # seconds; a slow object must not stop the ones after it for minutes


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class RepairPolicy:
    """
    How replicas are brought up to date behind the callers' backs.

    Attributes:
        every: Seconds between two looks at what is pending, give or take a half.
        rate: Objects a second, at most; None for as many as there are.
        bandwidth: Bytes a second, at most; None for as many as go through.
        parallel: Objects at once; one while there is foreground traffic.
        attempts: Failures of an object's own after which its row is a dead letter.  An
            outage, or a replica that refuses everybody, is not one.
    """

    every: Duration = 30.0
    rate: float | None = 50.0
    bandwidth: Size | None = 20 * 1024 * 1024
    parallel: int = 4
    attempts: int = 20

    def __post_init__(self) -> None:
        problems = [
            f"{name}: must be positive"
            for name in ("every", "rate", "bandwidth", "parallel", "attempts")
            if (value := getattr(self, name)) is not None and value <= 0
        ]
        if problems:
            raise ConfigError(problems)


class Traffic:
    """
    How many calls a store had from those who wait for an answer.

    Args:
        journal: Tells those who share it, and knows of theirs, as far as it can.
    """

    __slots__ = ("_journal", "_own")

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._own = 0

    def called(self) -> None:
        """Count a call; two at once may count as one."""
        self._own += 1
        self._journal.called()

    @property
    def calls(self) -> int:
        """About how many there were, here and elsewhere."""
        return self._own + self._journal.calls


class Pace:
    """
    Says when the next object may begin.

    It never owes more than what has begun, so a pause is not caught up with.  Beside
    *traffic* it takes one object at a time and a quarter of the time.  What is not seen
    of the traffic of other processes, over a network, there are the two limits for.

    Args:
        rate: Objects a second.
        bandwidth: Bytes a second.
        stop: Ends a pause early.
    """

    def __init__(
        self,
        clock: Clock,
        traffic: Traffic,
        *,
        rate: float | None,
        bandwidth: float | None,
        stop: threading.Event | None,
    ) -> None:
        self._clock = clock
        self._traffic = traffic
        self._seen = traffic.calls
        self._rate = rate
        self._bandwidth = bandwidth
        self._stop = stop
        self._began = self._next = self._spent = clock.monotonic()

    @property
    def stopped(self) -> bool:
        """Whether nothing more shall begin."""
        return self._stop is not None and self._stop.is_set()

    @property
    def yields(self) -> bool:
        """Whether somebody has been waiting for an answer since an object began."""
        return self._traffic.calls != self._seen

    def wait(self, objects: int = 1) -> bool:
        """Wait until *objects* may begin; return whether they may at all."""
        now = self._clock.monotonic()
        free = max(self._next, self._spent)
        if self.yields:
            worked = min(now - self._began, _LONGEST)
            free = max(free, now + worked * (1 / _SHARE - 1))
        if free > now:
            self._pause(free - now)
        self._seen = self._traffic.calls
        self._began = self._clock.monotonic()
        if self._rate is not None:
            self._next = max(self._next, self._began) + objects / self._rate
        return not self.stopped

    def spend(self, size: int) -> None:
        """Note that *size* bytes were copied."""
        if self._bandwidth is not None:
            now = self._clock.monotonic()
            self._spent = max(self._spent, now) + size / self._bandwidth

    def _pause(self, seconds: float) -> None:
        if self._stop is None:
            self._clock.sleep(seconds)
        else:
            self._stop.wait(seconds)


def in_turn(
    work: Iterator[Callable[[], Result]],
    workers: Workers,
    pace: Pace,
    *,
    parallel: int,
    objects: int = 1,
) -> Iterator[Result]:
    """
    Yield the results of *work* in its order, *parallel* under way at once, at *pace*.

    Nothing more begins once that is stopped, or the caller's time is up.

    Args:
        objects: In each piece of work.
    """
    under_way: deque[Future[Result]] = deque()
    more = True
    while more or under_way:
        if more:
            deadlines.check()
            one = next(work, None) if pace.wait(objects) else None
            more = one is not None
            if one is not None:
                under_way.append(workers.start(one))
        most = (1 if pace.yields else parallel) if more else 1
        while len(under_way) >= most:
            yield under_way.popleft().result()
