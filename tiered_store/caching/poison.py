"""
Objects of which a tier may keep a copy that should be gone.

A write drops the copies before it changes the origin, and again after.  If a tier
cannot, the object is *poisoned*: no copy outside of this process is believed until all
have been dropped.  That is tried again in the background, when a tier says that it is
back, and whenever the object is asked for.

What is poisoned is kept in a journal.  One on disk is written before the origin is
touched, so that a process which dies in the middle leaves nothing to believe.
"""

from __future__ import annotations

import contextvars
import logging
import threading

from collections import Counter
from collections.abc import Callable

from tiered_store import lifecycle
from tiered_store.clock import Clock
from tiered_store.deadlines import deadline
from tiered_store.errors import ClosedError, StoreError
from tiered_store.findings import when
from tiered_store.journals.journal import Journal
from tiered_store.journals.row import Row
from tiered_store.key import Key
from tiered_store.workers import Workers


_NAME = "cache"  # one row an object, whichever tier it is about: tiers come and go
_SOONEST, _LATEST = 0.05, 5.0  # seconds between two rounds
_LAST = 1.0  # seconds for the last one

_log = logging.getLogger("tiered_store")


class Poison:
    """
    What could not be dropped, until it is.

    Args:
        drop: Drops every copy of an object, or raises a store error.
        clear: Drops every copy of every object, or raises a store error.
        durable: The journal outlives the process, so what it cannot take is an error.
        seconds: After which a write that another process began is over.
    """

    def __init__(
        self,
        journal: Journal,
        drop: Callable[[Key], None],
        clear: Callable[[], None],
        *,
        durable: bool,
        seconds: float,
        clock: Clock,
    ) -> None:
        self._journal = journal
        self._drop = drop
        self._clear = clear
        self._durable = durable
        self._seconds = seconds
        self._clock = clock
        self._seen: dict[Key, tuple[int, float]] = {}
        self._all = 0  # how often more was poisoned than can be remembered
        self._cured = 0
        self._workers = Workers("purges", 1)
        self._closed = False
        self.after_fork()
        lifecycle.survive_fork(self)
        lifecycle.drain_at_exit(self)

    def after_fork(self) -> None:
        """Go on with the parent's rows, and without its thread."""
        self._lock = threading.Lock()
        self._soon = threading.Event()
        self._unfinished: Counter[Key] = Counter()
        self._ours: dict[Key, int] = {}  # the parent's writes may still be under way
        self._delivering = False

    def taints(self, key: Key) -> bool:
        """Say whether copies of *key* outside this process are not to be believed."""
        if self._all != self._cured:
            return True
        try:
            return bool(self._journal.rows(key))
        except StoreError:
            return True

    def owed(self, key: Key) -> str | None:
        """Say, for a person, what is still to be dropped of *key*; None if nothing."""
        if self._all != self._cured:
            return "of every object, more of them than could be noted"
        try:
            rows = self._journal.rows(key)
        except StoreError as error:
            return f"not known, the journal cannot be read: {error.message}"
        return next((f"since {when(row.since)}" for row in rows.values()), None)

    def begin(self, key: Key) -> None:
        """
        Poison *key*, for a write that is about to begin and calls :meth:`finish`.

        Raises:
            StoreError: A durable journal could not take it.
        """
        with self._lock:
            self._unfinished[key] += 1
        try:
            self._mark(key)
        except BaseException as error:
            if self._durable or not isinstance(error, StoreError):
                self._finished(key)
                raise
            self._poison_all()

    def finish(self, key: Key) -> None:
        """Say that the write which poisoned *key* beforehand is over."""
        self._finished(key)
        self.deliver()

    def add(self, key: Key, *, over: bool = True) -> None:
        """
        Poison *key* after its write; if that cannot be noted, everything is.

        Args:
            over: What the write does has been done; or it may be, some time later.
        """
        try:
            self._mark(key, ours=over)
        except StoreError:
            self._poison_all()
        self.deliver()

    def cure(self, key: Key) -> bool:
        """Try to drop the copies of *key* now; return whether they can be believed."""
        if self._all != self._cured:  # too much to wait for
            if not self._delivering:
                self.deliver()
            return False
        try:
            for row in list(self._journal.rows(key).values()):
                self._cure(row)
        except StoreError:
            return False
        return not self.taints(key)

    def deliver(self) -> None:
        """Begin, or go on at once, to drop in the background what is poisoned."""
        self._soon.set()
        with self._lock:
            if self._delivering:
                return
            self._delivering = True
        if not contextvars.Context().run(self._workers.offer, self._deliver):
            self._delivering = False

    def sweep(self) -> bool:
        """Try once to drop all that is poisoned; return whether anything is left."""
        left = False
        try:
            if self._all != self._cured:
                self._cure_all()
            for row in self._journal.pending():
                try:
                    left = not self._cure(row) or left
                except StoreError:
                    left = True
        except StoreError:
            left = True
        return left or self._all != self._cured

    def drain(self, seconds: float) -> str | None:
        """Try once more at the end; what a durable journal knows is not lost."""
        if self._closed or not self._delivering or self._durable:
            return None
        with deadline(seconds):
            left = self.sweep()
        if not left:
            return None
        return (
            "copies that a cache could not drop: others may serve them until their ttl"
        )

    def close(self) -> None:
        """Try once more, and stop."""
        left = self.drain(_LAST)
        if left is not None:
            _log.error("closing with work left: %s", left)
        self._closed = True
        self._soon.set()
        self._workers.close()
        self._journal.close()

    def _mark(self, key: Key, *, ours: bool = True) -> None:
        rows = self._journal.rows(key).values()
        alone = all(row.sequence == self._ours.get(key) for row in rows)
        mark = self._journal.begin(key, {_NAME: "delete"})
        if ours and alone:  # else the row stands for another process's write as well
            with self._lock:
                self._ours[key] = mark.sequence

    def _finished(self, key: Key) -> None:
        with self._lock:
            self._unfinished[key] -= 1
            if not self._unfinished[key]:
                del self._unfinished[key]

    def _cure(self, row: Row) -> bool:
        """Drop the copies, and forget *row* if its write is over for sure."""
        over = self._over(row)
        self._drop(row.key)
        if over and self._journal.clear(row):
            with self._lock:
                self._seen.pop(row.key, None)
                if self._ours.get(row.key) == row.sequence:
                    del self._ours[row.key]
        return over

    def _over(self, row: Row) -> bool:
        with self._lock:
            if self._unfinished[row.key]:
                return False
            if self._ours.get(row.key) == row.sequence:
                return True
            # another process's, an earlier life's, or one that nobody knows the end of
            now = self._clock.monotonic()
            sequence, since = self._seen.get(row.key, (row.sequence, now))
            if sequence != row.sequence:
                since = now
            self._seen[row.key] = row.sequence, since
            return now - since >= self._seconds

    def _poison_all(self) -> None:
        with self._lock:
            self._all += 1
        self.deliver()

    def _cure_all(self) -> None:
        known = self._all
        if self._unfinished:
            return
        self._clear()
        with self._lock:
            self._cured = max(self._cured, known)

    def _deliver(self) -> None:
        wait = _SOONEST
        try:
            while not self._finished_delivering():
                self._soon.clear()
                if self.sweep():
                    soon = self._soon.wait(wait)
                    wait = _SOONEST if soon else min(2 * wait, _LATEST)
                    self._soon.set()
        except BaseException as error:
            self._delivering = False
            if not (self._closed and isinstance(error, ClosedError)):
                raise  # or else what should be dropped from is closed as well

    def _finished_delivering(self) -> bool:
        """Say whether there is nothing more to deliver, and let others begin anew."""
        with self._lock:
            if self._soon.is_set() and not self._closed:
                return False
            self._delivering = False
            return True
