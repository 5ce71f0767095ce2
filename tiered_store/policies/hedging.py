"""
Ask another store when one takes longer than reads usually do.

Dean and Barroso, *The Tail at Scale*, CACM 2013.  A hedge is for the few reads that are
slow; a store that is always slow is not asked any more, which is a breaker's work.
"""

from __future__ import annotations

import math
import queue
import threading

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Generic, Literal, TypeVar

from tiered_store import deadlines, lifecycle
from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import ConfigError, NotFoundError, StoreError
from tiered_store.policies.budget import RetryBudget
from tiered_store.policies.circuit import Circuit
from tiered_store.policies.lateness import Lateness
from tiered_store.policies.turns import answer_of
from tiered_store.workers import Workers


Result = TypeVar("Result")
HedgeAfter = float | Literal["p95"]

_KEPT = 256  # reads of each store
_ENOUGH = 20  # of them, before they say what is usual
_AT_FIRST = 0.25  # seconds, as long as nobody knows
_STEP = 5e-6  # seconds, of what is learned of each sleep
_MOST_LATE = 1e-3  # seconds, that it can teach
_AT_ONCE = 10  # second requests
_LONGER = 0.5  # as a share, that is waited while the budget is used up
_LATEST = 20  # reads, of which
_TOO_MANY = 0.6  # is too large a share to be late
_LATE = 2  # times what is waited for, where that is learned: it is close to the usual
_LEAST = 0.02  # seconds, from which a probe is slow, however quick the others are


class _Times:
    """How long the last reads of one store took, and which were late."""

    def __init__(self) -> None:
        self.seconds: deque[float] = deque(maxlen=_KEPT)
        self.late = Lateness(_LATEST, _TOO_MANY)
        self.p95 = math.inf
        self.noted = 0

    def note(self, began: float, ended: float, late: bool) -> None:
        self.seconds.append(ended - began)
        self.late.note(began, ended, late=late)
        self.noted += 1
        if len(self.seconds) >= _ENOUGH and self.noted % 10 == 0:
            self.p95 = sorted(self.seconds)[int(0.95 * len(self.seconds))]


class _NotAskedError(Exception):
    """Nobody was asked, as there was an answer by then."""


class _Reading(Generic[Result]):
    """
    One read of several stores.

    Attributes:
        back: What they answer.
        hit: One of them has it.
    """

    def __init__(self, ask: Callable[[str], Result]) -> None:
        self.ask = ask
        self.back: queue.SimpleQueue[tuple[str, Result | BaseException]] = (
            queue.SimpleQueue()
        )
        self.hit = False


class Hedge:
    """
    When a second store is asked, and how often that may be.

    Args:
        after: Seconds; or ``p95``, what 95 % of the last reads took of the store that
            is the quickest by that, or, if they are not *alike*, of the first one; up
            to half of that longer as the budget is used up.
        budget: Second requests as a share of reads.
        circuits: By name, those of the stores that have one.  A store of which twelve
            of the last twenty reads took longer than *after* is slow, and its circuit
            is opened.  With ``p95`` only if they are *alike*, and took twice as long.
            A store that is asked because another one is late may be as far as it is.
        alike: Any of the stores is as good as the first, so that the quickest says what
            is usual.
        workers: Threads: every read takes one, a hedge another.
    """

    def __init__(
        self,
        after: HedgeAfter,
        *,
        budget: float = 0.05,
        circuits: Mapping[str, Circuit],
        workers: Workers,
        alike: bool = True,
        clock: Clock = SYSTEM,
    ) -> None:
        if after != "p95" and after <= 0:
            raise ConfigError(f"hedge_after: must be positive, not {after!r}")
        if not 0 < budget <= 1:
            raise ConfigError(f"budget: must be above 0 and at most 1, not {budget}")
        self._after = after
        self._tokens = RetryBudget(budget, _AT_ONCE)
        self._alike = alike
        self._circuits = circuits
        self._judges = alike or after != "p95"
        self._workers = workers
        self._clock = clock
        self._times: dict[str, _Times] = {}
        self._late = 0.0  # seconds, that a thread wakes up later than it asked for
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Take a lock of one's own."""
        self._lock = threading.Lock()

    def delay(self, first: str) -> float:
        """
        Return the seconds before a second store is asked, after the *first*.

        One read in twenty takes longer than 95 % do, without being late.  If each were
        hedged, they would leave nothing of a budget of 5 % to those that are; so what
        is waited for grows as the budget shrinks, until most that remain are.
        """
        if self._after != "p95":
            return self._after
        known = [
            times.p95
            for name, times in self._times.copy().items()
            if name == first or (self._alike and self._is_well(name))
        ]
        usual = min(known, default=math.inf)
        if usual == math.inf:
            return _AT_FIRST
        return usual * (1 + _LONGER * (1 - self._tokens.left) ** 2)

    def answers(
        self,
        names: Sequence[str],
        ask: Callable[[str], Result],
        *,
        late: bool = False,
        spare: Collection[str] = (),
    ) -> Iterator[tuple[str, Result | StoreError]]:
        """
        Yield what *names* answer, each asked when the one before has, or is late.

        At most one is asked early, none whose circuit is open.  Whoever has enough
        stops; what comes back after that is dropped, which closes it.

        Args:
            late: Ask the next one only if the first is late, not when it has answered.
            spare: Those that are never asked early.
        """
        self._tokens.earn()
        reading = _Reading(ask)
        left = list(names)
        while left and self._refuses(left[0]):  # at once, which takes no thread
            name = left.pop(0)
            yield name, answer_of(name, ask, len(left) + 1)
        under_way = 0
        hedged = False
        delay = self.delay(left[0]) if left else 0.0
        while left or under_way:
            if not under_way:
                work = self._work(reading, left.pop(0), len(left), delay)
                if not self._workers.offer(work):
                    work()
                under_way += 1
            second = None if hedged else self._second(left, spare)
            if second is None:
                answer = _next(reading.back, None)
            else:  # ready when the first is late, as whoever has slept is slow
                early = self._early(reading, second, left, delay)
                answer = self._in_time(reading.back, delay)
            if answer is None:
                deadlines.check()
                hedged = True  # or may not be
                if second is not None and self._hedge(early):
                    left.remove(second)
                    under_way += 1
                continue
            under_way -= 1
            name, found = answer
            if isinstance(found, _NotAskedError):
                left.insert(0, name)
                continue
            if late:
                left.clear()
            if isinstance(found, BaseException) and not isinstance(found, StoreError):
                raise found
            yield name, found

    def _second(self, left: Sequence[str], spare: Collection[str]) -> str | None:
        """Return who of *left* may be asked early, if anybody."""
        for name in left:
            if name in spare:
                break
            if not self._refuses(name):
                return name
        return None

    def _in_time(self, back: queue.SimpleQueue[Result], delay: float) -> Result | None:
        """
        Return what came back within *delay*, None if nothing did, or time is up.

        A thread that sleeps is woken later than it asked for, by the same each time.
        """
        patience = max(delay - self._late, delay / 2)
        began = self._clock.monotonic()
        answer = _next(back, patience)
        if answer is None:
            late = self._clock.monotonic() - began - patience
            step = _STEP if late > self._late else -_STEP  # towards what is usual
            self._late = min(max(0.0, self._late + step), _MOST_LATE)
        return answer

    def _early(
        self, reading: _Reading[Result], name: str, left: Sequence[str], delay: float
    ) -> Callable[[], None]:
        """Return the work of asking *name* early, unless there is an answer by then."""
        work = self._work(reading, name, len(left) - 1, delay, early=True)

        def unless_answered() -> None:
            if reading.hit:  # while this thread woke up
                self._tokens.give_back()
                reading.back.put((name, _NotAskedError()))
            else:
                work()

        return unless_answered

    def _hedge(self, early: Callable[[], None]) -> bool:
        """Have *early* done, if the budget allows and a thread is free."""
        if not self._tokens.spend():
            return False
        taken = self._workers.offer(early)
        if not taken:
            self._tokens.give_back()
        return taken

    def _work(
        self,
        reading: _Reading[Result],
        name: str,
        others: int,
        delay: float,
        *,
        early: bool = False,
    ) -> Callable[[], None]:
        def work() -> None:
            began = self._clock.monotonic()
            answer: Result | BaseException
            try:
                if deadlines.ends() is None:
                    answer = reading.ask(name)
                else:
                    with deadlines.share(others + 1):
                        answer = reading.ask(name)
            except BaseException as error:  # noqa: BLE001 - handed over
                answer = error
            else:
                reading.hit = True
            ended = self._clock.monotonic()
            if not isinstance(answer, BaseException | NotFoundError):
                self._note(name, began, ended, math.inf if early else delay)
            reading.back.put((name, answer))

        return work

    def _note(self, name: str, began: float, ended: float, delay: float) -> None:
        patience = _LATE * delay if self._after == "p95" else delay
        late = ended - began > patience
        with self._lock:
            times = self._times.setdefault(name, _Times())
            times.note(began, ended, late)
            slow = late and times.late.found(-math.inf) is not None
            if slow:
                times.late.clear()
        circuit = self._circuits.get(name)
        if slow and self._judges and circuit is not None:
            circuit.find_slow(max(4 * delay, _LEAST))

    def _refuses(self, name: str) -> bool:
        circuit = self._circuits.get(name)
        return circuit is not None and circuit.refuses()

    def _is_well(self, name: str) -> bool:
        circuit = self._circuits.get(name)
        return circuit is None or circuit.state == "closed"


def _next(back: queue.SimpleQueue[Result], patience: float | None) -> Result | None:
    """Return what came back, None if nothing did within *patience* or the deadline."""
    left = deadlines.remaining()
    seconds = patience if left is None else min(left, patience or left)
    try:
        return back.get(timeout=seconds)
    except queue.Empty:
        # or it did while this thread woke up, and nobody else takes it
        return None if back.empty() else back.get_nowait()
