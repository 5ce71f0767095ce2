"""
How much of the traffic a store gets that was away and is back.

A breaker says whether a store answers.  Whether it should be relied on again is another
question: it may have missed writes, it may be cold, and it may go away again.  So a
store that was away is first brought up to date, then waited for, then given more and
more of the traffic; and one that keeps coming and going waits for a person.
"""

from __future__ import annotations

import math
import sys
import threading

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tiered_store import lifecycle
from tiered_store.chance import CHANCE
from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import ConfigError
from tiered_store.policies.circuit import Circuit
from tiered_store.units import Duration


Stage = Literal["active", "away", "held", "returning", "fading"]

_LONGEST_HOLD = 600.0
_LOOK_EVERY = 1.0  # seconds, while it is not known to be up to date
_LOOK_RARELY = 60.0  # seconds, if it is relied on and cannot be brought up to date


@dataclass(frozen=True, slots=True, kw_only=True)
class FailbackPolicy:
    """
    How a store that was away is used again.

    Attributes:
        automatic: Without a person who says so.
        hold_down: Seconds that it must have been well, doubled at each further return
            within *per* and ten minutes at most.
        fade_in: Seconds in which its share of the traffic grows from none to all.
        limit: Returns within *per* after which it waits for a person.
        per: Seconds.
    """

    automatic: bool = True
    hold_down: Duration = 30.0
    fade_in: Duration = 60.0
    limit: int = 3
    per: Duration = 1800.0

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ConfigError(f"limit: must be at least 1, not {self.limit}")
        for name in ("hold_down", "fade_in", "per"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}: must not be negative")


_AT_ONCE = FailbackPolicy(hold_down=0.0, fade_in=0.0, limit=sys.maxsize)


def failback_policy(
    write: str,
    failback: str,
    hold_down: float | None,
    fade_in: float | None,
    *,
    journaled: bool,
) -> FailbackPolicy | None:
    """Return how a fallback's store comes back by its options; None for at once."""
    if write == "primary" and failback == "auto" and hold_down is fade_in is None:
        return _AT_ONCE if journaled else None
    return FailbackPolicy(
        automatic=failback == "auto",
        hold_down=30.0 if hold_down is None else hold_down,
        fade_in=60.0 if fade_in is None else fade_in,
    )


class Recovery:
    """
    Where one store is between away and relied on.

    ``active``: it gets all it is meant to.  ``away``: its circuit is not closed.
    ``returning``: it is well, and being brought up to date, or waited for.  ``fading``:
    it gets a growing share.  ``held``: it is well, and a person must say so.

    Args:
        catch_up: Begins to bring it up to date, without waiting for that, and says
            whether a pass has come through; if so asked, one that left nothing.  Called
            at most once a second, also to see whether it is back.
        changed: Called with the new stage and the reason, outside the lock.
    """

    def __init__(
        self,
        policy: FailbackPolicy,
        circuit: Circuit,
        catch_up: Callable[[bool], bool],
        changed: Callable[[Stage, str], None],
        clock: Clock = SYSTEM,
    ) -> None:
        self.policy = policy
        self.stage: Stage = "active"
        self.reason = ""
        self._circuit = circuit
        self._catch_up = catch_up
        self._changed = changed
        self._clock = clock
        self._since = 0.0
        self._looked = 0.0
        self._look_every = _LOOK_EVERY
        self._current = False
        self._passes = 0  # that must leave nothing behind, now that it is relied on
        self._returns: deque[float] = deque()
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Take a lock of one's own; what was learned stays."""
        self._lock = threading.Lock()

    def takes(self) -> bool:
        """
        Say whether the next call is for it, by a throw of the dice while it fades in.

        A store that is away is asked all the same: its breaker answers for it, and
        looks now and then whether it is back.
        """
        if self.is_settled:
            return True
        self._look()
        if self.stage == "fading":
            return CHANCE.random() < self._share(self._clock.monotonic())
        return self.stage in ("active", "away")

    @property
    def is_settled(self) -> bool:
        """Whether it gets all it is meant to, and nothing is to be brought to it."""
        return not self._passes and self.is_over

    @property
    def is_over(self) -> bool:
        """Whether it gets all it is meant to, as far as is known."""
        return self.stage == "active" and self._circuit.state == "closed"

    def owe(self) -> None:
        """Bring up to date, soon, what is relied on: it may have missed something."""
        with self._lock:
            self._passes = 2
            self._looked = self._clock.monotonic()
            self._look_every = _LOOK_EVERY

    def fail_back(self) -> None:
        """Let it come back now, if it is well; its earlier returns are forgiven."""
        with self._lock:
            self._returns.clear()
            change = None
            if self.stage in ("held", "returning"):
                change = self._set("returning", "somebody said so", -math.inf)
        self._tell(change)

    def _look(self) -> None:
        now = self._clock.monotonic()
        if self._is_due(now):
            self._bring()
        change: tuple[Stage, str] | None = self.stage, ""
        while change is not None:
            with self._lock:
                change = self._next(now)
            self._tell(change)

    def _is_due(self, now: float) -> bool:
        """Say whether it is time to see if it is up to date, and that this is done."""
        with self._lock:
            behind = self._passes if self.stage == "active" else not self._current
            open_to = not self._circuit.refuses()
            due = bool(behind) and open_to and now - self._looked >= self._look_every
            if due:
                self._looked = now
            return due

    def _bring(self) -> None:
        stage = self.stage
        relied_on = stage == "active"
        through = self._catch_up(relied_on)
        with self._lock:
            self._look_every = _LOOK_EVERY
            if not relied_on:
                self._current = self._current or (through and stage != "away")
            elif through:
                self._passes = max(0, self._passes - 1)
            else:
                self._look_every = min(_LOOK_RARELY, 2 * self._look_every)

    def _next(self, now: float) -> tuple[Stage, str] | None:
        if self._circuit.state != "closed":
            if self.stage == "away":
                return None
            self._current = False
            return self._set("away", self._circuit.reason, now)
        if self.stage == "away":
            return self._come_back(now)
        if self.stage == "returning" and self._current:
            if now - self._since >= self._hold():
                self._returns.append(now)
                return self._set("fading", "it is well and up to date", now)
        elif self.stage == "fading" and self._share(now) >= 1.0:
            # what was put until now went elsewhere, and some of it is under way
            self._passes = 2
            return self._set("active", "it has all of the traffic", now)
        return None

    def _come_back(self, now: float) -> tuple[Stage, str]:
        if not self.policy.automatic:
            return self._set("held", "failback is manual", now)
        while self._returns and now - self._returns[0] > self.policy.per:
            self._returns.popleft()
        if len(self._returns) >= self.policy.limit:
            reason = f"it came back {len(self._returns)} times already"
            return self._set("held", reason, now)
        return self._set("returning", "its circuit closed", now)

    def _hold(self) -> float:
        doubled: float = self.policy.hold_down * 2 ** len(self._returns)
        return min(doubled, max(_LONGEST_HOLD, self.policy.hold_down))

    def _share(self, now: float) -> float:
        seconds = self.policy.fade_in
        return 1.0 if seconds == 0 else min(1.0, (now - self._since) / seconds)

    def _set(self, stage: Stage, reason: str, since: float) -> tuple[Stage, str]:
        self.stage = stage
        self.reason = reason
        self._since = since
        return stage, reason

    def _tell(self, change: tuple[Stage, str] | None) -> None:
        if change is not None:
            self._changed(*change)
