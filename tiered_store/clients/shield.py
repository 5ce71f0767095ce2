"""
A breaker around asking a server, for callers with little time.
"""

from __future__ import annotations

import threading
import time

from collections.abc import Callable
from typing import Any, TypeVar

from tiered_store import deadlines, lifecycle
from tiered_store.errors import DeadlineError, UnavailableError
from tiered_store.policies.circuit import Circuit


_T = TypeVar("_T")

_FAIR = 0.05  # seconds after which silence says something of a server


class Shield:
    """
    Asks only if *circuit* lets it, and tells it how that went.

    A caller who could not wait long enough says nothing of the server.  Several say
    something together: if nothing was answered while they waited, one after the other,
    for twice as long as one would have to.
    """

    def __init__(self, circuit: Circuit | None) -> None:
        self._circuit = circuit
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Take a lock of one's own."""
        self._lock = threading.Lock()
        self._silent = 0.0  # seconds that callers in a hurry have waited in vain
        self._until = 0.0

    def call(self, call: Callable[..., _T], *arguments: Any) -> _T:
        """
        Return what *call* returns, if the circuit lets it be made.

        Of the time that the caller has left, half is kept for whoever goes on without.
        """
        circuit = self._circuit
        permit = None if circuit is None else circuit.admit()
        started, ends = time.monotonic(), None
        try:
            if deadlines.ends() is None:
                result = call(*arguments)
            else:
                with deadlines.share(2):
                    ends = deadlines.ends()
                    result = call(*arguments)
        except BaseException as error:
            if circuit is not None and permit is not None:
                circuit.settle(permit, self._verdict(error, started, ends), timed=False)
            raise
        self._silent = 0.0
        if circuit is None or permit is None:
            return result
        # where one failure opens it, success is news only to one that is not closed
        if permit.probe or circuit.policy.failures > 1:
            circuit.settle(permit, None, timed=False)
        return result

    def _verdict(
        self, error: BaseException, started: float, ends: float | None
    ) -> BaseException:
        """Return what *error* says of the server, asked from *started* to *ends*."""
        hurried = DeadlineError
        if not (isinstance(error, hurried) or isinstance(error.__cause__, hurried)):
            return error
        now = time.monotonic()
        if (
            ends is not None
        ):  # what stops this thread beyond is not the server's silence
            now = min(now, ends)
        if now - started < _FAIR and not self._long_silent(started, now):
            return DeadlineError("the caller was in a hurry")  # which says nothing
        return UnavailableError("it was silent for as long as callers could wait")

    def _long_silent(self, started: float, now: float) -> bool:
        with self._lock:
            self._silent += max(0.0, now - max(started, self._until))
            self._until = now
            if self._silent < 2 * _FAIR:
                return False
            self._silent = 0.0
            return True
