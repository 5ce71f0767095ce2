"""
Repair behind the callers' backs, in any process that uses a mirror.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
import weakref

from collections.abc import Callable, Mapping
from typing import Protocol

from tiered_store import lifecycle
from tiered_store.chance import CHANCE
from tiered_store.deadlines import deadline
from tiered_store.errors import DeadlineError, StoreError
from tiered_store.journals.journal import Journal
from tiered_store.key import Key
from tiered_store.replication.pace import RepairPolicy
from tiered_store.workers import Workers


# Whoever holds it is the only one to repair by itself, of all that share the journal.
OWNER = Key("tiered-store/repair", 0, 0, 0, "application/octet-stream")

_UNDER_WAY = 5.0  # seconds for what has begun when the process ends
_LAST_WORDS = 2.0  # seconds for what can still be repaired when the process ends
_PATIENCE = 20  # times *every*, at most, between looks at a journal that fails

_log = logging.getLogger("tiered_store")


class Repairable(Protocol):
    """What is repaired."""

    def repair_in_background(
        self, policy: RepairPolicy, stop: threading.Event | None
    ) -> None:
        """Make one pass over what is due."""


class Background:
    """
    Passes over what is pending, one now and then, from the first call on.

    No thread is started before :meth:`begin`; a forked child starts its own, and of all
    threads of all processes that share the journal one repairs at a time.  At the end
    of the process what can be repaired in two seconds is, and what is left is told.

    Args:
        mirror: Held weakly: when nobody uses it any more, this ends.
    """

    def __init__(
        self, mirror: Repairable, journal: Journal, policy: RepairPolicy
    ) -> None:
        self._mirror = weakref.ref(mirror)
        self._name: Callable[[], str] = lambda: str(self._mirror())
        self._journal = journal
        self._policy = policy
        self._workers = Workers("repair", 1)
        self._closed = False
        self.after_fork()
        lifecycle.survive_fork(self)
        lifecycle.drain_at_exit(self)

    def after_fork(self) -> None:
        """Have no thread: the parent's goes on in the parent."""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._ended = threading.Event()
        self.begun = False

    def begin(self) -> None:
        """See to it that there is a thread, unless this is closed."""
        with self._lock:
            if self.begun or self._closed:
                return
            # not within the caller's deadline
            self.begun = contextvars.Context().run(self._workers.offer, self._serve)

    def drain(self, seconds: float) -> str | None:
        """Finish within *seconds*; return what is left as a phrase, None if nothing."""
        if not self.begun or self._closed:
            return None
        ends = time.monotonic() + seconds
        self._end(seconds)
        mirror = self._mirror()
        if mirror is None:
            return None
        try:
            with deadline(min(_LAST_WORDS, max(0.0, ends - time.monotonic()))):
                self._pass(None)
        except DeadlineError:
            pass
        except StoreError as error:
            return f"what replicas of {mirror} have missed: {error}"
        return self._left(ends)

    def close(self, seconds: float) -> None:
        """Do as at the end of the process, and tell what is left."""
        left = self.drain(seconds)
        self._closed = True
        self._workers.close()
        if left is not None:
            _log.warning("closing with work left: %s", left)

    def _end(self, seconds: float) -> None:
        self._stop.set()
        if not self._ended.wait(min(seconds, _UNDER_WAY)):
            _log.error("a repair of %s does not end", self._name())

    def _left(self, ends: float) -> str | None:
        try:
            with deadline(max(0.1, ends - time.monotonic())):
                backlogs = self._journal.backlogs()
        except StoreError as error:
            return f"what replicas of {self._name()} have missed: {error}"
        missed = {name: one.rows - one.in_doubt for name, one in backlogs.items()}
        in_doubt = {name: one.in_doubt for name, one in backlogs.items()}
        told = [
            f"{what} {self._name()}, for the next: {counts}"
            for what, counts in (
                ("objects missed by replicas of", _counts(missed)),
                ("writes under way elsewhere or not ended, of", _counts(in_doubt)),
            )
            if counts
        ]
        return "; ".join(told) or None

    def _serve(self) -> None:
        stop, ended = self._stop, self._ended
        failures = 0
        # not all processes of a fleet that was just started, at once
        pause = self._policy.every * CHANCE.random()
        try:
            while not stop.wait(pause) and self._mirror() is not None:
                try:
                    self._pass(stop)
                    failures = 0
                except StoreError as error:
                    failures += 1
                    if failures == 1:
                        _log.warning("%s cannot be repaired: %s", self._name(), error)
                except Exception:  # noqa: BLE001 - there is no caller to raise it to
                    failures += 1
                    _log.exception("a repair of %s failed", self._name())
                longer = min(2.0**failures, _PATIENCE)
                pause = self._policy.every * CHANCE.uniform(0.5, 1.5) * longer
        finally:
            ended.set()
            self._workers.close()  # this thread is not to wait for more

    def _pass(self, stop: threading.Event | None) -> None:
        mirror = self._mirror()
        lease = self._journal.lease(OWNER, 0)
        if mirror is None or lease is None:
            return  # somebody else is at it, in this process or another one
        with lease:
            mirror.repair_in_background(self._policy, stop)


def _counts(numbers: Mapping[str, int]) -> str:
    return ", ".join(
        f"{rows} by {name}" for name, rows in sorted(numbers.items()) if rows
    )
