"""
Several calls at once, waited for together, and never given up half known.
"""

from __future__ import annotations

import contextlib
import functools
import threading

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from tiered_store import deadlines
from tiered_store.errors import DeadlineError, UnavailableError
from tiered_store.workers import Workers


Outcomes = Mapping[str, BaseException | None]


class UnderwayError(UnavailableError):
    """A call is not back yet, and whoever made it need not wait for it."""


class Change(Protocol):
    """What becomes of calls that are made together."""

    def is_enough(self, outcomes: Outcomes) -> bool:
        """Tell whether nobody need wait any longer, with these *outcomes* so far."""

    def settle(self, outcomes: Outcomes) -> None:
        """Hear what became of every call, also when the caller is interrupted."""

    def arrive(self, name: str, error: BaseException | None) -> None:
        """Hear of the call *name*, which was not back when it was settled."""

    def end(self) -> None:
        """Hear that every call is back, and everything else has been heard."""


def fan_out(
    calls: Mapping[str, Callable[[], None]],
    workers: Workers,
    change: Change,
    *,
    patient: bool = True,
) -> Outcomes:
    """
    Make every call at once and return what became of each: its error, or None.

    It takes as long as the slowest call, or until it is enough, and no longer than the
    caller's deadline.  A call that is not back by then goes on behind, and may still
    take effect: by the deadline it has failed in time, else it is under way.

    Args:
        patient: It will not be enough before all are back.  If not, no call is bound
            by the caller's deadline, which is over before they are.
    """
    flight = _Flight(change, calls)
    first, *others = calls
    try:
        if not workers.limit or (patient and deadlines.remaining() is None):
            for name in others:
                workers.start(flight.passenger(name))
            # a thread less, while there is nothing to wait for but the calls
            flight.passenger(first)()
        else:
            _send(flight, calls, workers, patient=patient)
        flight.wait()
    except BaseException:
        flight.land()
        raise
    return flight.land()  # without a name: an error among them may know this frame


def _send(
    flight: _Flight, names: Iterable[str], workers: Workers, *, patient: bool
) -> None:
    left = {}
    timed = deadlines.ends() is not None
    with deadlines.lifted() if timed and not patient else contextlib.nullcontext():
        for name in names:
            passenger = flight.passenger(name)
            if not workers.offer(passenger):
                left[name] = passenger
    for name, passenger in left.items():
        if deadlines.remaining() is None:
            passenger()
        else:  # whoever has a deadline must not do it himself
            flight.note(name, UnavailableError("no thread was free", local=True))


class _Flight:
    def __init__(self, change: Change, calls: Mapping[str, Callable[[], None]]) -> None:
        self._change = change
        self._names = tuple(calls)
        self._calls = dict(calls)
        self._running = 1  # whoever waits is one of them
        self._back: dict[str, BaseException | None] = {}
        self._enough = False
        self._landed = False
        self._lock = threading.Lock()
        self._gate = threading.Lock()  # before whoever waits, opened once
        self._gate.acquire()

    def passenger(self, name: str) -> Callable[[], None]:
        """Return the call *name* as work that reports back."""
        with self._lock:
            self._running += 1
        return functools.partial(self._run, name)

    def _run(self, name: str) -> None:
        try:
            self._calls.pop(name)()  # once made, it must not keep a body open
        except BaseException as error:  # noqa: BLE001 - the outcome carries it
            self.note(name, error)
        else:
            self.note(name, None)

    def note(self, name: str, error: BaseException | None) -> None:
        """Note that the passenger *name* is back, or did not come along."""
        with self._lock:
            late = self._landed
            if not late:
                self._back[name] = error
                self._running -= 1
                self._open_if_enough()
        if late:
            try:
                self._change.arrive(name, error)
            finally:
                self._leave()

    def _open_if_enough(self) -> None:
        """Wake whoever waits, once, and for nothing less."""
        self._enough = self._enough or self._change.is_enough(self._back)
        all_are_back = len(self._back) == len(self._names)
        if (self._enough or all_are_back) and self._gate.locked():
            self._gate.release()

    def _leave(self) -> None:
        with self._lock:
            self._running -= 1
            last = self._running == 0
        if last:
            self._change.end()

    def wait(self) -> None:
        """Wait until all are back, or it is enough, or the caller's time is up."""
        left = deadlines.remaining()
        self._gate.acquire(timeout=-1 if left is None else left)

    def land(self) -> Outcomes:
        """Settle what is known, then hear of what came back meanwhile."""
        with self._lock:
            back = dict(self._back)
            kind = UnderwayError if self._enough else DeadlineError
        outcomes = {
            name: back[name] if name in back else _late(kind) for name in self._names
        }
        try:
            self._change.settle(outcomes)
        finally:
            self._hear(back)
        return outcomes

    def _hear(self, known: Outcomes) -> None:
        with self._lock:
            self._landed = True
            back, self._back = self._back, {}  # each has a frame that knows of this
        meanwhile = {name: error for name, error in back.items() if name not in known}
        try:
            for name, error in meanwhile.items():
                self._change.arrive(name, error)
        finally:
            self._leave()


def _late(kind: type[UnavailableError]) -> UnavailableError:
    facts = {"ambiguous": True, "under_way": True}  # a journal wants to know
    if kind is UnderwayError:
        return UnderwayError("under way when the write returned", **facts)
    return DeadlineError("not back when the caller's time was up", **facts)
