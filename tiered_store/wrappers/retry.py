"""
Try again what may succeed at the next attempt.

.. code-block:: yaml

   type: retry
   attempts: 3
   base: 50ms
   cap: 2s
   child: {type: memory}

Only the outermost retry on a path retries, so put one at the top of a stack, above
``fallback`` and ``replicated``: they try the next store before anything is tried
again.  One below another is inert.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

import tenacity

from tiered_store import deadlines, lingering
from tiered_store.body import Body, Stat
from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import ConfigError, StoreError, ThrottledError
from tiered_store.events import Retried, Verb
from tiered_store.key import Key
from tiered_store.policies.leaf_budgets import LeafBudgets
from tiered_store.store import Store
from tiered_store.units import Duration
from tiered_store.wrapper import Wrapper


Result = TypeVar("Result")
_THROTTLED_BASE = 10  # a store that asks to slow down gets ten times the pause
_WORTH_IT = 0.02  # seconds that must be left for the attempt itself

_retrying: ContextVar[bool] = ContextVar("tiered_store_retrying", default=False)


class RetryStore(Wrapper):
    """
    Repeat operations on *child* whose error is worth another attempt.

    Waits are random up to an exponential bound (full jitter: Brooker, *Exponential
    Backoff and Jitter*, AWS 2015).  URLs are never retried, nor is anything past a
    deadline.  When it gives up it says so on the error, for whoever is above.  That an
    attempt may still take effect is not forgotten when a later one ends otherwise.

    Args:
        attempts: At most, the first one included.
        base: Seconds that the first wait is at most; each further bound doubles.
        cap: Seconds that any wait is at most.
        max_elapsed: Seconds after which no attempt begins.
        respect_retry_after: Wait as long as the store asks, or give up if that
            does not fit.
        budget: Retries per call over time of each leaf underneath, shared by all who
            retry it in this process, so that an outage is not multiplied.
        budget_floor: Retries of a leaf that can be had at once.
    """

    def __init__(
        self,
        child: Store,
        *,
        attempts: int = 3,
        base: Duration = 0.05,
        cap: Duration = 2.0,
        max_elapsed: Duration = 30.0,
        respect_retry_after: bool = True,
        budget: float = 0.1,
        budget_floor: int = 10,
        clock: Clock = SYSTEM,
    ) -> None:
        if attempts < 1:
            raise ConfigError(f"attempts: must be at least 1, not {attempts}")
        if budget < 0:
            raise ConfigError(f"budget: must not be negative, is {budget}")
        if budget_floor < 0:
            raise ConfigError(f"budget_floor: must not be negative, is {budget_floor}")
        super().__init__(child)
        self.attempts = attempts
        self.base = base
        self.cap = cap
        self.max_elapsed = max_elapsed
        self.respect_retry_after = respect_retry_after
        self.budget = budget
        self.budget_floor = budget_floor
        self._clock = clock
        self._budgets = LeafBudgets(child, budget, budget_floor)
        self._backoff = tenacity.wait_random_exponential(multiplier=base, max=cap)
        self._slow_backoff = tenacity.wait_random_exponential(
            multiplier=base * _THROTTLED_BASE, max=max(cap, base * _THROTTLED_BASE)
        )

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        self._repeat("put", key, partial(self.child.put, key, body, reproducible))

    def _get(self, key: Key) -> Body:
        return self._repeat("get", key, partial(self.child.get, key))

    def _delete(self, key: Key) -> None:
        self._repeat("delete", key, partial(self.child.delete, key))

    def _stat(self, key: Key) -> Stat:
        return self._repeat("stat", key, partial(self.child.stat, key))

    def _repeat(self, verb: Verb, key: Key, call: Callable[[], Result]) -> Result:
        if _retrying.get():
            return call()
        self._budgets.earn()
        token = _retrying.set(True)
        try:
            return call()  # the rule, at a thirtieth of what the machinery costs
        except StoreError as error:
            return self._after(error, verb, key, call)
        finally:
            _retrying.reset(token)

    def _after(
        self, first: StoreError, verb: Verb, key: Key, call: Callable[[], Result]
    ) -> Result:
        """Return what an attempt after the one that raised *first* brings."""
        made, lingers = [_Failed(first)], first.ambiguous
        del first

        def attempt() -> Result | _Failed:
            nonlocal lingers
            if made:
                return made.pop()
            try:
                return call()
            except StoreError as error:
                lingers = lingers or error.ambiguous
                return _Failed(error)

        result = self._retrying(verb, key)(attempt)
        if isinstance(result, _Failed):
            result.error.ambiguous = lingers
            raise result.taken().final()
        if lingers:
            lingering.note()
        return result

    def _retrying(self, verb: Verb, key: Key) -> tenacity.Retrying:
        started = self._clock.monotonic()

        def stop(state: tenacity.RetryCallState) -> bool:
            if state.attempt_number >= self.attempts:
                return True
            left = started + self.max_elapsed - self._clock.monotonic()
            room = deadlines.bounded(left) - _WORTH_IT
            error = _error(state)
            if state.upcoming_sleep > room or error is None:
                return True
            return not self._budgets.spend(error)

        def tell(state: tenacity.RetryCallState) -> None:
            error = _error(state)
            if self.listeners and error is not None:
                self.emit(
                    Retried(
                        store=str(self),
                        verb=verb,
                        key=key,
                        attempt=state.attempt_number,
                        wait=state.upcoming_sleep,
                        error=error,
                    )
                )

        return tenacity.Retrying(
            retry=tenacity.retry_if_result(_worth_another),
            stop=stop,
            wait=self._wait,
            sleep=self._clock.sleep,
            before_sleep=tell,
            retry_error_callback=_outcome,
        )

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = _error(state)
        if not isinstance(error, ThrottledError):
            return self._backoff(state)
        seconds = self._slow_backoff(state)
        if self.respect_retry_after and error.retry_after is not None:
            return max(seconds, error.retry_after)
        return seconds


class _Failed:
    """
    What an attempt came to.

    The error's traceback knows frames of the machinery, which keep this.  So it is
    taken out at last, or the two would keep each other, and the body of a put.
    """

    __slots__ = ("error",)

    def __init__(self, error: StoreError) -> None:
        self.error = error

    def taken(self) -> StoreError:
        """Return the error, which is here no more."""
        try:
            return self.error
        finally:
            del self.error


def _worth_another(outcome: object) -> bool:
    return isinstance(outcome, _Failed) and outcome.error.retryable


def _outcome(state: tenacity.RetryCallState) -> Any:
    assert state.outcome is not None
    return state.outcome.result()


def _error(state: tenacity.RetryCallState) -> StoreError | None:
    outcome = _outcome(state)
    return outcome.error if isinstance(outcome, _Failed) else None
