"""
Who may believe, and who may fill, a cached copy, as far as one process knows.

A generation per key moves when a write begins.  A fill notes it before it fetches,
unless a write is under way, when there is no filling; if it has moved since, the fill
is doomed: it must not happen, what it left must go, and until then no copy is
believed.  Readers of a cold key share one fetch, but never one from before a write.

What other processes write is told by whoever hears of it (:meth:`Coherence.overtaken`);
while nobody hears (:meth:`Coherence.suspend`), nothing is kept where it could not be
taken back.

The rules are those of the leases of Nishtala et al., *Scaling Memcache at Facebook*,
NSDI 2013, in one process.
"""

from __future__ import annotations

import itertools
import threading

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tiered_store import deadlines, lifecycle
from tiered_store.body import Body
from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import DeadlineError, StoreError
from tiered_store.key import Key
from tiered_store.policies.doubts import Doubts


_leading: ContextVar[frozenset[tuple[int, Key]]] = ContextVar(
    "tiered_store_leading", default=frozenset()
)


class _Flight:
    """A fetch that others may wait for; the first of them brings the event."""

    __slots__ = ("body", "doomed", "error", "landed")

    def __init__(self) -> None:
        self.doomed = False  # some who wait came after what overtook it
        self.body: Body | None = None
        self.error: StoreError | None = None
        self.landed: threading.Event | None = None


class _State:
    """What is going on around one key; forgotten when nothing is."""

    __slots__ = ("fills", "flight", "generation", "writers")

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.writers = 0
        self.fills: list[int] = []  # the generations they noted
        self.flight: _Flight | None = None

    def idle(self) -> bool:
        return not (self.writers or self.fills or self.flight)


class Fill:
    """A fetch under way, whose result may be kept as long as :meth:`allowed` says."""

    def __init__(
        self, coherence: Coherence, key: Key, noted: int | None, epoch: int
    ) -> None:
        self._coherence = coherence
        self._key = key
        self.noted = noted
        self._epoch = epoch

    def allowed(self) -> bool:
        """
        Say whether it can be kept where nobody checks.

        No write was under way or has begun since the fetch began, here or, as far as
        this process is told, elsewhere.
        """
        return self.noted is not None and self._coherence.unchanged(
            self._key, self.noted, self._epoch
        )

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Remember what overtakes it beyond the end of the fetch that began it."""
        if self.noted is None:
            yield
            return
        state = self._coherence.filling(self._key, self.noted)
        try:
            yield
        finally:
            self._coherence.filled(self._key, state, self.noted)


class Write:
    """A write under way."""

    def __init__(self, coherence: Coherence, key: Key, noted: int | None) -> None:
        self._coherence = coherence
        self._key = key
        self._noted = noted
        self._epoch = coherence.epoch

    def alone(self) -> bool:
        """Say whether no other write was under way since it began."""
        return self._noted is not None and self._coherence.unchanged(
            self._key, self._noted, self._epoch
        )


class Coherence:
    """
    The states of all keys that something is going on around.

    Args:
        doubt: Seconds that a write which may have failed can still take effect.

    Attributes:
        landings: Fetches that have ended; if it has not changed, none has meanwhile.
    """

    def __init__(self, doubt: float, clock: Clock = SYSTEM) -> None:
        self.epoch = 0
        self.landings = 0
        self.suspended = False
        self._generations = itertools.count()  # none ever comes twice
        self._doubts = Doubts(doubt, clock)
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Forget the parent's writes and fetches; no thread of theirs is here."""
        self._lock = threading.Lock()
        self._states: dict[Key, _State] = {}  # who was at them goes on with the old

    def unchanged(self, key: Key, generation: int, epoch: int) -> bool:
        """Say whether nothing was overtaken since *generation* and *epoch*."""
        with self._lock:
            state = self._states.get(key)
            return (
                state is not None
                and state.generation == generation
                and self.epoch == epoch
                and not self.suspended
            )

    def believable(self, key: Key) -> bool:
        """Say whether copies of *key* may be served; takes no lock when all is calm."""
        if key not in self._states:
            return True
        with self._lock:
            state = self._states.get(key)
            return state is None or (
                not state.writers
                and all(noted == state.generation for noted in state.fills)
            )

    def under_way(self, key: Key) -> str | None:
        """Say, for a person, what this process does about *key*; None if nothing."""
        with self._lock:
            state = self._states.get(key)
            found = []
            if state is not None and state.writers:
                found.append("a write")
            if state is not None and (state.flight or state.fills):
                found.append("a fetch")
            if key in self._doubts:
                found.append("a write that failed and may take effect yet")
        return ", ".join(found) or None

    def overtaken(self, key: Key) -> None:
        """Doom every fill of *key* under way: somebody else is writing it."""
        with self._lock:
            state = self._states.get(key)
            if state is not None:
                state.generation = next(self._generations)
                _doom(state)

    def suspend(self) -> None:
        """Doom every fill until :meth:`resume`: what overtakes it is not told."""
        with self._lock:
            self.suspended = True
            self.epoch += 1
            for state in self._states.values():
                _doom(state)

    def resume(self) -> None:
        """Allow fills that begin from now on."""
        with self._lock:
            self.suspended = False
            self.epoch += 1

    def doubt(self, key: Key) -> None:
        """Keep nothing of *key* as long as a write that failed may take effect."""
        with self._lock:
            self._doubts.add(key)

    @contextmanager
    def writing(self, key: Key) -> Iterator[Write]:
        """Doom every fill that overlaps the block, and let readers fetch anew."""
        with self._lock:
            state = self._at(key)
            alone = not state.writers
            state.generation = next(self._generations)
            state.writers += 1
            write = Write(self, key, state.generation if alone else None)
        try:
            yield write
        finally:
            with self._lock:
                state.writers -= 1
                state.flight = None  # who comes now must not join a fetch from before
                self._let_go(key, state)

    def filling(self, key: Key, noted: int) -> _State:
        """Count in a fill of *key* that noted this generation."""
        with self._lock:
            state = self._at(key)
            state.fills.append(noted)
        return state

    def filled(self, key: Key, state: _State, noted: int) -> None:
        """Count it out."""
        with self._lock:
            state.fills.remove(noted)
            self._let_go(key, state)

    def fetch(
        self, key: Key, fetch: Callable[[Fill], Body], *, join: bool = True
    ) -> Body:
        """
        Return what *fetch* returns, one call of it for all who ask meanwhile.

        Absence and outages are shared by those who wait, not by who comes later; one
        whose leader ran out of its own time fetches itself.

        Args:
            join: Be content with what was fetched from a little before the call on.
        """
        if (id(self), key) in _leading.get():  # a listener asks while it is fetched
            return fetch(Fill(self, key, None, self.epoch))
        while True:
            with self._lock:
                state = self._at(key)
                flight = state.flight if join else None
                if flight is None:
                    mine = _Flight()
                    if join:
                        state.flight = mine
                    kept = not (state.writers or key in self._doubts)
                    noted = state.generation if kept else None
                    if noted is not None:
                        state.fills.append(noted)
                    fill = Fill(self, key, noted, self.epoch)
                elif flight.landed is None:
                    flight.landed = threading.Event()
            if flight is None:
                return self._lead(key, state, mine, fill, fetch)
            body = _followed(flight)
            if body is not None:
                return body

    def _lead(
        self,
        key: Key,
        state: _State,
        flight: _Flight,
        fill: Fill,
        fetch: Callable[[Fill], Body],
    ) -> Body:
        token = _leading.set(_leading.get() | {(id(self), key)})
        try:
            flight.body = fetch(fill)
        except StoreError as error:
            flight.error = error.copy()
            raise
        except BaseException:
            flight.error = DeadlineError("whoever fetched it went away")
            raise
        finally:
            _leading.reset(token)
            self._land(key, state, flight, fill.noted)
        return flight.body

    def _land(
        self, key: Key, state: _State, flight: _Flight, noted: int | None
    ) -> None:
        with self._lock:
            self.landings += 1
            if noted is not None:
                state.fills.remove(noted)
            if state.flight is flight:
                state.flight = None
            self._let_go(key, state)
        if flight.landed is not None:
            flight.landed.set()

    def _at(self, key: Key) -> _State:
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = _State(next(self._generations))
        return state

    def _let_go(self, key: Key, state: _State) -> None:
        if state.idle() and self._states.get(key) is state:
            del self._states[key]


def _doom(state: _State) -> None:
    """Have whoever waits for the fetch under way, if any, fetch anew."""
    flight, state.flight = state.flight, None
    if flight is not None:
        flight.doomed = True
        if flight.landed is not None:
            flight.landed.set()


def _followed(flight: _Flight) -> Body | None:
    """Return what *flight* brings, None if one has to fetch anew."""
    assert flight.landed is not None
    if not flight.landed.wait(deadlines.remaining()):
        deadlines.check()
    if flight.doomed or isinstance(flight.error, DeadlineError):
        deadlines.check()
        return None
    if flight.error is not None:
        raise flight.error.copy() from flight.error
    return flight.body
