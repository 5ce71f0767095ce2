"""
Who may believe, and who may fill, a cached copy, within one process.

A generation per key moves when a write begins.  A fill notes it before it fetches,
unless a write is under way, when there is no filling; if it has moved since, the fill
is doomed: it must not happen, what it left must go, and until then no copy is
believed.  Readers of a cold key share one fetch, but never one from before a write.

The rules are those of the leases of Nishtala et al., *Scaling Memcache at Facebook*,
NSDI 2013, in one process.
"""

from __future__ import annotations

import itertools
import threading

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar

from tiered_store import deadlines, lifecycle
from tiered_store.body import Body
from tiered_store.errors import DeadlineError, StoreError
from tiered_store.key import Key


_MOST = 10_000  # keys with something going on around them


_leading: ContextVar[frozenset[tuple[int, Key]]] = ContextVar(
    "tiered_store_leading", default=frozenset()
)


class _State:
    """What is going on around one key; forgotten when nothing is."""

    __slots__ = ("fills", "flight", "generation", "poisoned", "writers")

    def __init__(self) -> None:
        self.generation = 0
        self.writers = 0
        self.fills: list[int] = []  # the generations they noted
        self.flight: Future[Body] | None = None
        self.poisoned: dict[int, int] = {}  # tiers that may keep an old copy

    def idle(self) -> bool:
        return not (self.writers or self.fills or self.flight or self.poisoned)


class Fill:
    """A fetch under way, whose result may be kept as long as :meth:`allowed` says."""

    def __init__(self, coherence: Coherence, key: Key, generation: int | None) -> None:
        self._coherence = coherence
        self._key = key
        self._generation = generation

    def allowed(self) -> bool:
        """Say whether no write was under way or has begun since the fetch began."""
        return self._generation is not None and (
            self._coherence.generation(self._key) == self._generation
        )


class Coherence:
    """The states of all keys that something is going on around."""

    def __init__(self) -> None:
        self._states: dict[Key, _State] = {}
        self._marks = itertools.count()
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Forget the parent's writes and fetches; no thread of theirs is here."""
        self._lock = threading.Lock()
        for key, state in list(self._states.items()):
            state.writers, state.fills, state.flight = 0, [], None
            if state.idle():
                del self._states[key]

    def generation(self, key: Key) -> int:
        """Return how many writes have begun while somebody cared."""
        with self._lock:
            state = self._states.get(key)
            return -1 if state is None else state.generation

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

    def poisoned(self, key: Key) -> Mapping[int, int]:
        """Return the tiers whose copy of *key* is not to be believed, with a mark."""
        state = self._states.get(key)
        return {} if state is None else dict(state.poisoned)

    def poison(self, key: Key, tier: int) -> bool:
        """
        Remember that *tier* may keep a copy that should be gone.

        Returns False, remembering nothing, if too much is remembered already.
        """
        if len(self._states) > _MOST:
            return False
        with self._state(key) as state:
            state.poisoned[tier] = next(self._marks)
        return True

    def cure(self, key: Key, tier: int, mark: int | None) -> None:
        """Believe *tier* again, unless it was poisoned anew since *mark* was read."""
        if mark is not None:
            with self._state(key) as state:
                if state.poisoned.get(tier) == mark:
                    del state.poisoned[tier]

    @contextmanager
    def writing(self, key: Key) -> Iterator[None]:
        """Doom every fill that overlaps the block, and let readers fetch anew."""
        with self._state(key) as state:
            state.generation += 1
            state.writers += 1
        try:
            yield
        finally:
            with self._state(key) as state:
                state.writers -= 1
                state.flight = None  # who comes now must not join a fetch from before

    def fetch(self, key: Key, fetch: Callable[[Fill], Body]) -> Body:
        """
        Return what *fetch* returns, one call of it for all who ask meanwhile.

        Absence and outages are shared by those who wait, not by who comes later; one
        whose leader ran out of its own time fetches itself.
        """
        if (id(self), key) in _leading.get():  # a listener asks while it is fetched
            return fetch(Fill(self, key, None))
        while True:
            with self._state(key) as state:
                flight = state.flight
                if flight is None:
                    mine: Future[Body] = Future()
                    state.flight = mine
                    noted = None if state.writers else state.generation
                    if noted is not None:
                        state.fills.append(noted)
            if flight is None:
                return self._lead(key, mine, noted, fetch)
            try:
                return flight.result(deadlines.remaining())
            except TimeoutError:
                deadlines.check()
                raise
            except DeadlineError:
                deadlines.check()
            except StoreError as error:
                raise error.copy() from error

    def _lead(
        self,
        key: Key,
        flight: Future[Body],
        noted: int | None,
        fetch: Callable[[Fill], Body],
    ) -> Body:
        token = _leading.set(_leading.get() | {(id(self), key)})
        try:
            body = fetch(Fill(self, key, noted))
        except StoreError as error:
            self._land(key, flight, noted)
            flight.set_exception(error.copy())
            raise
        except BaseException:
            self._land(key, flight, noted)
            flight.set_exception(DeadlineError("whoever fetched it went away"))
            raise
        finally:
            _leading.reset(token)
        self._land(key, flight, noted)
        flight.set_result(body)
        return body

    def _land(self, key: Key, flight: Future[Body], noted: int | None) -> None:
        with self._state(key) as state:
            if noted is not None:
                state.fills.remove(noted)
            if state.flight is flight:
                state.flight = None

    @contextmanager
    def _state(self, key: Key) -> Iterator[_State]:
        with self._lock:
            state = self._states.get(key)
            if state is None:
                state = self._states[key] = _State()
            try:
                yield state
            finally:
                if state.idle():
                    del self._states[key]
