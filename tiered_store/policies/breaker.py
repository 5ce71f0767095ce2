"""
When to stop asking a store that keeps failing, and when to ask again.

The state machine of Nygard's *Release It!*, with a sliding window of its own: it
opens on failures in a row, on a failure rate, on slow calls or on a refusal; one
probe at a time closes it; the time it stays open doubles up to a limit.  Nothing
runs under its lock, and results of an earlier state are ignored.
"""

from __future__ import annotations

import math
import random
import statistics
import threading

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tiered_store import lifecycle
from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import (
    ConfigError,
    DeadlineError,
    DeniedError,
    InconclusiveError,
    NotFoundError,
    RefusedError,
    StoreError,
    ThrottledError,
    UnavailableError,
)
from tiered_store.units import Duration


State = Literal["closed", "open", "probing"]
Outcome = Literal["ok", "slow", "failed", "throttled", "refused", "neutral"]

_BUCKETS = 10
_SAMPLES = 256
_FORGIVEN_AFTER = 300.0  # seconds closed, after which the next opening is short again
_SLOW_FLOOR = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """
    When a circuit opens and closes.

    Attributes:
        failures: In a row that open it.
        ratio: Of the calls in the window, failed, that opens it.
        slow_ratio: Of the calls in the window, slow, that opens it.
        calls: In the window before either ratio counts.
        window: Seconds that are looked back on.
        slow: Seconds from which a call is slow; by default, for reads, four times the
            median of the last ones and at least 0.25.  How long a write takes depends
            on its size, so by default none is slow.
        open: Seconds it stays open the first time; doubled at each further opening.
        open_limit: Seconds it stays open at most.
        probes: Successes in a row that close it.
        probe_lease: Seconds after which a probe that never reported is replaced.
    """

    failures: int = 5
    ratio: float = 0.4
    slow_ratio: float = 0.6
    calls: int = 20
    window: Duration = 10.0
    slow: Duration | None = None
    open: Duration = 1.0
    open_limit: Duration = 60.0
    probes: int = 3
    probe_lease: Duration = 10.0

    def __post_init__(self) -> None:
        for name in ("failures", "calls", "window", "open", "probes", "probe_lease"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name}: must be positive")
        for name in ("ratio", "slow_ratio"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name}: must be above 0 and at most 1")
        if self.open_limit < self.open:
            raise ConfigError("open_limit: must be at least open")


class CircuitOpenError(UnavailableError):
    """
    The store was not asked, because it kept failing.

    Attributes:
        asked: Only a part of the store was not; another part may have done something.
        slow: It does not fail, but takes long: better than nobody.
    """

    retryable = False
    asked: bool = False
    slow: bool = False


def outcome_of(error: BaseException | None, *, slow: bool = False) -> Outcome:
    """
    Return what *error* says about the health of the store that raised it.

    Absence is health; bad requests, conflicts and this process's own trouble say
    nothing, nor does a store of several of which one said "absent" and another could
    not be asked: it gives what it has.  A caller's deadline says something only if the
    call was *slow*.  Denied may be one object only, so it counts like any failure; a
    place that is missing, full or read-only refuses everybody.
    """
    if error is None or isinstance(error, NotFoundError):
        return "ok"
    if not isinstance(error, StoreError) or error.local:
        return "neutral"
    if isinstance(error, InconclusiveError) and _somebody_answered(error):
        return "neutral"
    if isinstance(error, DeadlineError):
        return "failed" if slow else "neutral"
    if isinstance(error, ThrottledError):
        return "throttled"
    if isinstance(error, UnavailableError | DeniedError):
        return "failed"
    return "refused" if isinstance(error, RefusedError) else "neutral"


def _somebody_answered(error: InconclusiveError) -> bool:
    return any(isinstance(one, NotFoundError) for one in error.outcomes.values())


class Permit:
    """Leave to make one call; worth nothing once the circuit has changed."""

    __slots__ = ("generation", "probe", "started")

    def __init__(self, generation: int, started: float, probe: bool) -> None:
        self.generation = generation
        self.started = started
        self.probe = probe


class _Bucket:
    __slots__ = ("calls", "failed", "number", "slow")

    def __init__(self, number: int) -> None:
        self.number = number
        self.calls = 0
        self.failed = 0.0
        self.slow = 0


class Circuit:
    """
    Closed, open or probing.

    Args:
        changed: Called with the new state and the reason, outside the lock.
        sized: The calls take as long as their bodies, so none is slow by itself.

    Attributes:
        slow: It is not closed because calls take long, which is all that is known
            against the store.
    """

    def __init__(
        self,
        policy: BreakerPolicy,
        changed: Callable[[State, str], None],
        clock: Clock = SYSTEM,
        *,
        sized: bool = False,
    ) -> None:
        self.policy = policy
        self.sized = sized
        self.state: State = "closed"
        self.slow = False
        self._changed = changed
        self._clock = clock
        self._generation = 0
        self._openings = 0
        self._open_until = 0.0
        self._closed_since = 0.0
        self._probe: Permit | None = None
        self._probe_until: float | None = None
        self._trickle_until: float | None = None
        self._probed = 0
        self._slow_probe = math.inf
        self._torn = 0  # bodies in a row
        self._seconds: deque[float] = deque(maxlen=_SAMPLES)
        self._slow_from = _SLOW_FLOOR
        self._clear()
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Take a lock of one's own; what was learned stays."""
        self._lock = threading.Lock()

    def admit(self, *, trickle: bool = False) -> Permit:
        """
        Return leave to call.

        Args:
            trickle: Ask even though it is open, for callers who have nowhere else to
                go; one at a time, or all of them if it is just slow.

        Raises:
            CircuitOpenError: The call must not be made.
        """
        now = self._clock.monotonic()
        if self.state == "closed":
            return Permit(self._generation, now, probe=False)
        change = None
        with self._lock:
            if self.state == "open" and now >= self._open_until:
                change = self._set("probing", "time to look again")
                self._probed, self._probe_until = 0, None
            permit = self._exception(now, trickle)
        self._tell(change)
        if permit is None:
            refusal = CircuitOpenError(f"not asked: {self._why(now)}")
            refusal.slow = self.slow
            raise refusal
        return permit

    def why(self) -> str | None:
        """Return why calls are not made just now, None if they are."""
        return None if self.state == "closed" else self._why(self._clock.monotonic())

    def settle(
        self, permit: Permit, error: BaseException | None, *, timed: bool = True
    ) -> None:
        """
        Report how the call that *permit* was for ended.

        Args:
            timed: How long it took was up to the store alone.
        """
        now = self._clock.monotonic()
        seconds = now - permit.started if timed else 0.0
        slow = seconds > self._slow_after()
        outcome = outcome_of(error, slow=slow)
        with self._lock:
            if permit.generation != self._generation:
                return  # a late result of an earlier state
            if permit.probe:
                if permit is not self._probe:
                    return  # its lease is over, and another one is the probe
                if outcome == "ok" and (slow or seconds > self._slow_probe):
                    outcome = "slow"
                change = self._settle_probe(outcome, now)
            elif self.state == "closed":
                change = self._count(outcome, seconds, slow, now)
            else:
                self._trickle_until = None
                self._stay_slow(outcome)
                change = None
        self._tell(change)

    def note(self, error: BaseException | None) -> None:
        """
        Count how the reading of a body ended, to which a successful call had led.

        Bodies that break are counted beside the calls, which do not make up for them.
        """
        outcome = outcome_of(error)
        if outcome == "neutral" or (outcome == "ok" and not self._torn):
            return
        change = None
        with self._lock:
            self._torn = 0 if outcome == "ok" else self._torn + 1
            if self.state == "closed" and self._torn >= self.policy.failures:
                reason = f"{self._torn} bodies in a row broke"
                change = self._open(reason, self._clock.monotonic())
        self._tell(change)

    def find_slow(self, seconds: float) -> None:
        """
        Open, for it is slower than others, and do not close for probes that are.

        Args:
            seconds: From which a probe is slow.
        """
        self._slow_probe = seconds
        change = None
        with self._lock:
            if self.state == "closed":
                reason = "it is slower than others"
                change = self._open(reason, self._clock.monotonic(), slow=True)
        self._tell(change)

    def _exception(self, now: float, trickle: bool) -> Permit | None:
        """Return a permit although the circuit is not closed, if there is reason."""
        if self.state == "closed":  # another thread was quicker
            return Permit(self._generation, now, probe=False)
        if self.state == "probing" and now >= (self._probe_until or 0.0):
            self._probe_until = now + self.policy.probe_lease
            self._probe = Permit(self._generation, now, probe=True)
            return self._probe
        if not trickle:
            return None
        if not self.slow:
            if self.state == "probing" or now < (self._trickle_until or 0.0):
                return None
            self._trickle_until = now + self.policy.probe_lease
        return Permit(self._generation, now, probe=False)

    def _settle_probe(self, outcome: Outcome, now: float) -> tuple[State, str] | None:
        self._probe_until = None
        if outcome == "neutral":
            return None
        if outcome != "ok":
            slow = outcome == "slow"
            return self._open(f"a probe ended as {outcome}", now, slow=slow)
        self._probed += 1
        if self._probed < self.policy.probes:
            return None
        self._clear()
        self._slow_probe = math.inf
        self._closed_since = now
        return self._set("closed", f"{self._probed} probes succeeded")

    def _stay_slow(self, outcome: Outcome) -> None:
        """Count a call that was made because a slow store is better than nobody."""
        if outcome == "ok":
            self._in_row = 0
        elif outcome != "neutral":
            self._in_row += 1
            self.slow = self.slow and self._in_row < self.policy.failures

    def _count(
        self, outcome: Outcome, seconds: float, slow: bool, now: float
    ) -> tuple[State, str] | None:
        policy = self.policy
        if outcome == "neutral":
            return None
        if outcome == "refused":
            return self._open("it refused", now)
        bucket = self._bucket(now)
        bucket.calls += 1
        if outcome == "ok":
            self._in_row = 0
            bucket.slow += slow
            self._seconds.append(seconds)
        else:
            self._in_row += 1
            bucket.failed += 0.5 if outcome == "throttled" else 1.0
        if self._in_row >= policy.failures:
            return self._open(f"{self._in_row} failures in a row", now)
        calls = sum(kept.calls for kept in self._buckets)
        if calls < policy.calls:
            return None
        failed = sum(kept.failed for kept in self._buckets) / calls
        if failed >= policy.ratio:
            return self._open(f"{failed:.0%} of {calls} calls failed", now)
        slow_share = sum(kept.slow for kept in self._buckets) / calls
        if slow_share >= policy.slow_ratio:
            reason = f"{slow_share:.0%} of {calls} calls were slow"
            return self._open(reason, now, slow=True)
        return None

    def _bucket(self, now: float) -> _Bucket:
        number = int(now * _BUCKETS / self.policy.window)
        if not self._buckets or self._buckets[-1].number != number:
            self._buckets.append(_Bucket(number))
            while self._buckets[0].number <= number - _BUCKETS:
                self._buckets.popleft()
            if self._seconds:
                self._slow_from = max(_SLOW_FLOOR, 4 * statistics.median(self._seconds))
        return self._buckets[-1]

    def _slow_after(self) -> float:
        if self.policy.slow is not None:
            return self.policy.slow
        return math.inf if self.sized else self._slow_from

    def _open(
        self, reason: str, now: float, *, slow: bool = False
    ) -> tuple[State, str]:
        if self.state == "closed" and now - self._closed_since > _FORGIVEN_AFTER:
            self._openings = 0
        seconds = min(
            self.policy.open * 2 ** min(self._openings, 32), self.policy.open_limit
        )
        self._openings += 1
        self._open_until = now + seconds * random.uniform(0.9, 1.1)
        self._trickle_until = None
        self.slow = slow
        return self._set("open", reason)

    def _set(self, state: State, reason: str) -> tuple[State, str]:
        self.state = state
        self.reason = reason
        self._generation += 1
        return state, reason

    def _clear(self) -> None:
        self._in_row = 0
        self._torn = 0
        self.slow = False
        self._buckets: deque[_Bucket] = deque()
        self.reason = ""

    def _tell(self, change: tuple[State, str] | None) -> None:
        if change is not None:
            self._changed(*change)

    def _why(self, now: float) -> str:
        if self.state == "probing":
            return "circuit is probing and another call is the probe"
        wait = max(0.0, self._open_until - now)
        return f"circuit open for another {wait:.1f} s, since {self.reason}"
