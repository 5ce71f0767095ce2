"""
What the last calls say together: whether a store should be asked at all.
"""

from __future__ import annotations

import math
import statistics

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

from tiered_store.policies.lateness import Lateness
from tiered_store.policies.outcome import Outcome
from tiered_store.units import Duration


_BUCKETS = 10
_SAMPLES = 256
_SLOW_AT_FIRST = 0.25  # seconds, as long as nobody knows what is usual
_SLOW_FLOOR = 0.15
_SLOW_WRITE_FLOOR = 0.5
_NOTES = 10  # after which what is usual is learned anew
_SILENCE = 0.25  # seconds; who fails sooner was refused, and that is an answer
_MOMENTS = 0.1  # of its waiting, in which others were answered before the store died
_SILENT = 2  # objects


Judged = Literal["time", "size", "never"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    How much of what is enough.

    Attributes: See :class:`~tiered_store.policies.breaker.BreakerPolicy`.
    """

    failures: int = 5
    ratio: float = 0.4
    slow_ratio: float = 0.6
    calls: int = 20
    window: Duration = 10.0
    slow: Duration | None = None


class _Bucket:
    __slots__ = ("calls", "failed", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.calls = 0
        self.failed = 0.0


class _Usual:
    """How long calls of one size take."""

    __slots__ = ("noted", "seconds", "slow_from")

    def __init__(self) -> None:
        self.seconds: deque[float] = deque(maxlen=_SAMPLES)
        self.slow_from = math.inf
        self.noted = 0

    def note(self, seconds: float, enough: int) -> None:
        self.seconds.append(seconds)
        self.noted += 1
        if len(self.seconds) >= enough and self.noted % _NOTES == 0:
            usual = statistics.median(self.seconds)
            self.slow_from = max(_SLOW_WRITE_FLOOR, 4 * usual)


class Evidence:
    """
    The calls of a time in which a circuit was closed.

    Failures are looked at by time, for a rate of them says how a store is now.  Slow
    calls are looked at by count: while they come in, a window of seconds is still full
    of the many quick ones of before.

    It has no lock: whoever keeps it does.

    Args:
        judged: Against what is usual for all (``time``), or for bodies of their size
            within a factor of two (``size``, as they take as long as those), or never.
    """

    def __init__(self, limits: Limits, *, judged: Judged) -> None:
        self._limits = limits
        self._judged = judged
        self._usual: dict[int, _Usual] = {}
        self._seconds: deque[float] = deque(maxlen=_SAMPLES)
        self._slow_from = _SLOW_AT_FIRST
        self._answered = -math.inf
        self.clear()

    def clear(self) -> None:
        """Begin anew; what is usual stays known."""
        self._in_row = 0
        self._calls = 0
        self._failed = 0.0
        self._buckets: deque[_Bucket] = deque()
        self._late = Lateness(self._limits.calls, self._limits.slow_ratio)
        self._silent: dict[Hashable, float] = {}

    def slow_after(self, size: int) -> float:
        """Return the seconds after which a call with a body of *size* bytes is slow."""
        if self._limits.slow is not None:
            return self._limits.slow
        if self._judged == "time":
            return self._slow_from
        usual = self._usual.get(size.bit_length())
        return math.inf if usual is None else usual.slow_from

    def add(
        self,
        outcome: Outcome,
        started: float,
        seconds: float,
        slow: bool,
        now: float,
        size: int = 0,
    ) -> str | None:
        """
        Count a call; return why it is enough, None if not.

        Args:
            seconds: That it took, what its size excuses apart.
        """
        limits = self._limits
        bucket = self._bucket(now)
        bucket.calls += 1
        self._calls += 1
        if outcome == "failed":
            bucket.failed += 1.0
            self._failed += 1.0
            self._in_row += 1
        else:
            self.answered(now)
            if outcome == "throttled":
                bucket.failed += 0.5
                self._failed += 0.5
                self._in_row += 1
            else:
                self._in_row = 0
                self._note(seconds, size)
                self._late.note(started, now, late=slow)
        if self._in_row >= limits.failures:
            return f"{self._in_row} failures in a row"
        if self._calls >= limits.calls and self._failed >= limits.ratio * self._calls:
            share = self._failed / self._calls
            return f"{share:.0%} of {self._calls} calls failed"
        return None

    def _note(self, seconds: float, size: int) -> None:
        if self._judged == "time":
            self._seconds.append(seconds)
        elif self._judged == "size":
            usual = self._usual.setdefault(size.bit_length(), _Usual())
            usual.note(seconds, self._limits.calls)

    def answered(self, now: float) -> None:
        """Note that it lives, whatever it said."""
        self._answered = now
        if self._silent:
            self._silent.clear()

    def slowness(self, now: float) -> str | None:
        """Return why the last calls are too slow, None if they are not."""
        share = self._late.found(now - self._limits.window)
        if share is None:
            return None
        return f"{share:.0%} of the last {self._limits.calls} calls were slow"

    def silence(self, about: Hashable, started: float, now: float) -> str | None:
        """
        Count a call that got no answer; return why it is enough, None if not.

        One that was refused got one.  Several that wait in vain, with nothing answered
        but in the first moments of their waiting, say more than as many that were
        refused, and cost more.  One object alone may be to blame for its own.

        Args:
            about: The object.
            started: When the call began.
        """
        waited = now - started
        if waited < _SILENCE or self._answered >= started + _MOMENTS * waited:
            return None
        since = now - self._limits.window
        self._silent = {
            known: ended for known, ended in self._silent.items() if ended >= since
        }
        self._silent[about] = now
        if len(self._silent) < _SILENT:
            return None
        return f"nothing was answered to calls for {len(self._silent)} objects"

    def _bucket(self, now: float) -> _Bucket:
        number = int(now * _BUCKETS / self._limits.window)
        if not self._buckets or self._buckets[-1].number != number:
            self._buckets.append(_Bucket(number))
            while self._buckets[0].number <= number - _BUCKETS:
                past = self._buckets.popleft()
                self._calls -= past.calls
                self._failed -= past.failed
            self._learn()
        return self._buckets[-1]

    def _learn(self) -> None:
        if not self._seconds:
            return
        known = len(self._seconds) >= self._limits.calls
        floor = _SLOW_FLOOR if known else _SLOW_AT_FIRST
        self._slow_from = max(floor, 4 * statistics.median(self._seconds))
