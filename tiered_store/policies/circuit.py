"""
Stop asking a store that keeps failing, and ask again: the state machine.

That of Nygard's *Release It!*, with a sliding window of its own: it opens on failures
in a row, on a failure rate, on slow calls or on a refusal; one probe at a time closes
it; the time it stays open doubles up to a limit.  Nothing runs under its lock, and
results of an earlier state are ignored.
"""

from __future__ import annotations

import threading

from collections.abc import Callable, Hashable
from typing import Literal

from tiered_store import lifecycle
from tiered_store.chance import CHANCE
from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import DeadlineError, DeniedError
from tiered_store.policies.breaker import BreakerPolicy, CircuitOpenError
from tiered_store.policies.evidence import Evidence, Judged
from tiered_store.policies.outcome import Outcome, outcome_of
from tiered_store.policies.probes import Permit, Probes
from tiered_store.units import MIB


State = Literal["closed", "open", "probing"]

_FORGIVEN_AFTER = 300.0  # seconds closed, after which the next opening is short again
_SIZE_RATE = 32 * MIB  # bytes a second that a large object may take to come


class Circuit:
    """
    Closed, open or probing.

    Args:
        changed: Called with the new state and the reason, outside the lock.
        judged: Which calls are slow by default: see
            :class:`~tiered_store.policies.evidence.Evidence`.

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
        judged: Judged = "time",
    ) -> None:
        self.policy = policy
        self.judged = judged
        self.state: State = "closed"
        self.slow = False
        self._changed = changed
        self._clock = clock
        self._generation = 0
        self._openings = 0
        self._open_until = 0.0
        self._closed_since = 0.0
        self._probes = Probes(policy)
        self._trickle_until: float | None = None
        self._torn = 0  # bodies in a row
        self._lost = 0  # calls in a row, of those that a slow store is better for
        self._evidence = Evidence(policy, judged=judged)
        self.reason = ""
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Take a lock of one's own; what was learned stays, others' calls do not."""
        self._lock = threading.Lock()
        self._probes.until = None
        self._trickle_until = None

    def admit(self, *, trickle: bool = False, patient: bool = False) -> Permit:
        """
        Return leave to call.

        Args:
            trickle: Ask even though it is open, for callers who have nowhere else to
                go; one at a time, or all of them if it is just slow.
            patient: Ask even though it is open, if it is just slow.

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
                self._probes.begin()
            permit = self._exception(now, trickle, patient)
        self._tell(change)
        if permit is None:
            raise self.refusal()
        return permit

    def refuses(self) -> bool:
        """Tell, without a lock, whether a call is sure not to be made just now."""
        if self.state == "closed":
            return False
        until = self._open_until if self.state == "open" else self._probes.until
        return until is not None and self._clock.monotonic() < until

    def refusal(self) -> CircuitOpenError:
        """Return the error of a call that was not made."""
        why = self._why(self._clock.monotonic())
        return CircuitOpenError(f"not asked: {why}", slow=self.slow)

    def why(self) -> str | None:
        """Return why calls are not made just now, None if they are."""
        return None if self.state == "closed" else self._why(self._clock.monotonic())

    def settle(
        self,
        permit: Permit,
        error: BaseException | None,
        *,
        timed: bool = True,
        about: Hashable = None,
        size: int = 0,
    ) -> None:
        """
        Report how the call that *permit* was for ended.

        Args:
            timed: How long it took was up to the store alone.
            about: The object that was asked for, which may be to blame itself.
            size: Of the body that came with it, which takes its time.
        """
        now = self._clock.monotonic()
        seconds = now - permit.started if timed else 0.0
        if self.judged == "time":
            seconds -= size / _SIZE_RATE
        slow = seconds > self._evidence.slow_after(size)
        outcome = "ok" if error is None else outcome_of(error, slow=slow)
        with self._lock:
            if permit.generation != self._generation:
                return  # a late result of an earlier state
            if permit.probe:
                if not self._probes.is_current(permit):
                    return  # its lease is over, and another one is the probe
                if outcome == "ok" and (slow or seconds > self._probes.slow_from):
                    outcome = "slow"
                change = self._settle_probe(outcome, now)
            elif self.state == "closed":
                began = permit.started
                change = self._count(outcome, began, seconds, slow, now, size)
                if outcome == "failed" and timed and change is None:
                    change = self._wait_in_vain(permit, error, about, now)
            else:
                self._trickle_until = None
                if not isinstance(error, DeadlineError):  # which is the caller's
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
        self._probes.slow_from = seconds
        change = None
        with self._lock:
            if self.state == "closed":
                now = self._clock.monotonic()
                change = self._open("it is slower than others", now, slow=True)
        self._tell(change)

    def _exception(self, now: float, trickle: bool, patient: bool) -> Permit | None:
        """Return a permit although the circuit is not closed, if there is reason."""
        if self.state == "closed":  # another thread was quicker
            return Permit(self._generation, now, probe=False)
        if self.state == "probing":
            probe = self._probes.lease(self._generation, now)
            if probe is not None:
                return probe
        if not (trickle or (patient and self.slow)):
            return None
        if not self.slow:
            if self.state == "probing" or now < (self._trickle_until or 0.0):
                return None
            self._trickle_until = now + self.policy.probe_lease
        return Permit(self._generation, now, probe=False)

    def _settle_probe(self, outcome: Outcome, now: float) -> tuple[State, str] | None:
        is_well = self._probes.settle(outcome)
        if is_well is None:
            return None
        if not is_well:
            slow = outcome == "slow"
            return self._open(f"a probe ended as {outcome}", now, slow=slow)
        self._evidence.clear()
        self._torn = 0
        self.slow = False
        self._closed_since = now
        return self._set("closed", f"{self._probes.succeeded} probes succeeded")

    def _stay_slow(self, outcome: Outcome) -> None:
        """Count a call that was made because a slow store is better than nobody."""
        if outcome == "ok":
            self._lost = 0
        elif outcome != "neutral":
            self._lost += 1
            self.slow = self.slow and self._lost < self.policy.failures

    def _count(
        self,
        outcome: Outcome,
        began: float,
        seconds: float,
        slow: bool,
        now: float,
        size: int,
    ) -> tuple[State, str] | None:
        if outcome == "neutral":
            return None
        if outcome == "refused":
            return self._open("it refused", now)
        if reason := self._evidence.add(outcome, began, seconds, slow, now, size):
            return self._open(reason, now)
        if slow and outcome == "ok" and (reason := self._evidence.slowness(now)):
            return self._open(reason, now, slow=True)
        return None

    def _wait_in_vain(
        self,
        permit: Permit,
        error: BaseException | None,
        about: Hashable,
        now: float,
    ) -> tuple[State, str] | None:
        if isinstance(error, DeniedError):
            self._evidence.answered(now)
            return None
        if isinstance(error, DeadlineError):
            return None  # another caller might have had the time
        about = permit if about is None else about
        reason = self._evidence.silence(about, permit.started, now)
        return None if reason is None else self._open(reason, now)

    def _open(
        self, reason: str, now: float, *, slow: bool = False
    ) -> tuple[State, str]:
        if self.state == "closed" and now - self._closed_since > _FORGIVEN_AFTER:
            self._openings = 0
        seconds = min(
            self.policy.open * 2 ** min(self._openings, 32), self.policy.open_limit
        )
        self._openings += 1
        self._open_until = now + seconds * CHANCE.uniform(0.9, 1.1)
        self._trickle_until = None
        self.slow = slow
        self._lost = 0
        return self._set("open", reason)

    def _set(self, state: State, reason: str) -> tuple[State, str]:
        self.state = state
        self.reason = reason
        self._generation += 1
        return state, reason

    def _tell(self, change: tuple[State, str] | None) -> None:
        if change is not None:
            self._changed(*change)

    def _why(self, now: float) -> str:
        if self.state == "probing":
            return "circuit is probing and another call is the probe"
        wait = max(0.0, self._open_until - now)
        return f"circuit open for another {wait:.1f} s, since {self.reason}"
