"""
Let only so many operations at a store at once.

.. code-block:: yaml

   type: limit
   maximum: 32
   wait: 5s
   child: {type: memory}
"""

from __future__ import annotations

import threading

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tiered_store import deadlines, lifecycle
from tiered_store.body import Body, Stat
from tiered_store.errors import ConfigError, DeadlineError, UnavailableError
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.units import Duration
from tiered_store.wrapper import Wrapper


_held: ContextVar[frozenset[int]] = ContextVar("tiered_store_held", default=frozenset())


class LimitStore(Wrapper):
    """
    At most *maximum* operations of *child* under way, in this process.

    A permit is held for the operation, never for an open file: reading a body that
    was returned is not counted, and a listing holds one only while it is asked for
    the next key.  An operation that comes back to the same limit, also in a thread
    that works for it, goes on with the permit it has.  A URL needs none.

    Args:
        maximum: Operations at once.
        wait: How long an operation waits for its turn; None for as long as its
            deadline allows, and for ever without one.

    Raises:
        UnavailableError: Its turn did not come.  Nothing was sent, it says nothing
            about the health of *child* (``local``), waiting again in the same queue
            is no use (not ``retryable``), another store may help (``failover``).
        DeadlineError: The caller's time was up before.
    """

    def __init__(
        self, child: Store, maximum: int, *, wait: Duration | None = 10.0
    ) -> None:
        super().__init__(child)
        self.maximum = maximum
        self.wait = wait
        if maximum < 1:
            raise ConfigError(f"maximum: must be at least 1, not {maximum!r}")
        if wait is not None and wait < 0:
            raise ConfigError(f"wait: must not be negative, is {wait!r}")
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Start with all permits: their holders stayed in the parent."""
        self._permits = threading.Semaphore(self.maximum)

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        with self._permit():
            self.child.put(key, body, reproducible)

    def _get(self, key: Key) -> Body:
        with self._permit():
            return self.child.get(key)

    def _delete(self, key: Key) -> None:
        with self._permit():
            self.child.delete(key)

    def _stat(self, key: Key) -> Stat:
        with self._permit():
            return self.child.stat(key)

    def _keys(self, prefix: str) -> Iterator[Key]:
        listing = self.child.keys(prefix)
        while True:
            with self._permit():
                key = next(listing, None)
            if key is None:
                return
            yield key

    @contextmanager
    def _permit(self) -> Iterator[None]:
        held = _held.get()
        if id(self) in held:
            yield
            return
        permits = self._permits  # a fork replaces it
        if not permits.acquire(timeout=self._patience()):
            raise self._too_long()
        token = _held.set(held | {id(self)})
        try:
            yield
        finally:
            _held.reset(token)
            permits.release()

    def _patience(self) -> float | None:
        left = deadlines.remaining()
        waits = [seconds for seconds in (self.wait, left) if seconds is not None]
        return min(waits, default=None)

    def _too_long(self) -> UnavailableError:
        busy = f"all {self.maximum} permits are in use"
        if deadlines.remaining() == 0.0:
            return DeadlineError(f"the caller's time is up, {busy}", local=True)
        return UnavailableError(
            f"{busy}, and none was free within {self.wait:g} s",
            local=True,
            retryable=False,
        )
