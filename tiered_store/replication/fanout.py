"""
Several calls at once, waited for together, and never given up half known.
"""

from __future__ import annotations

import functools
import threading

from collections.abc import Callable, Iterable, Mapping

from tiered_store import deadlines
from tiered_store.errors import DeadlineError, UnavailableError
from tiered_store.workers import Workers


Outcomes = Mapping[str, BaseException | None]


def fan_out(
    calls: Mapping[str, Callable[[], None]],
    workers: Workers,
    settle: Callable[[Outcomes], None],
    ended: Callable[[], None],
) -> Outcomes:
    """
    Make every call at once and return what became of each: its error, or None.

    It takes as long as the slowest call, and no longer than the caller's deadline.  A
    call that is not back by then has failed in time, though it goes on behind and
    may still take effect.

    Args:
        settle: Told the outcomes before they are returned, also when the caller is
            interrupted.
        ended: Called once, when every call is back and *settle* is done, by whichever
            thread that is.
    """
    flight = _Flight(ended)
    first, *others = calls
    try:
        if deadlines.remaining() is None or not workers.limit:
            for name in others:
                workers.start(flight.passenger(name, calls[name]))
            # a thread less, while there is nothing to wait for but the calls
            flight.passenger(first, calls[first])()
        else:
            for name in calls:
                if not workers.offer(flight.passenger(name, calls[name])):
                    flight.stay(name)  # whoever has a deadline must not do it himself
        flight.wait()
    finally:
        outcomes = flight.outcomes(calls)
        try:
            settle(outcomes)
        finally:
            flight.leave()
    return outcomes


class _Flight:
    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended = ended
        self._running = 1  # whoever waits is one of them
        self._back: dict[str, BaseException | None] = {}
        self._changed = threading.Condition()

    def passenger(self, name: str, call: Callable[[], None]) -> Callable[[], None]:
        """Return *call* as work that reports back."""
        with self._changed:
            self._running += 1
        return functools.partial(self._run, name, call)

    def _run(self, name: str, call: Callable[[], None]) -> None:
        error: BaseException | None = None
        try:
            call()
        except BaseException as raised:  # noqa: BLE001 - the outcome carries it
            error = raised
        with self._changed:
            self._back[name] = error
        self.leave()

    def stay(self, name: str) -> None:
        """Note that the passenger *name* did not come along."""
        with self._changed:
            self._back[name] = UnavailableError("no thread was free", local=True)
        self.leave()

    def leave(self) -> None:
        with self._changed:
            self._running -= 1
            last = self._running == 0
            self._changed.notify_all()
        if last:
            self._ended()

    def wait(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._running == 1, deadlines.remaining())

    def outcomes(self, names: Iterable[str]) -> Outcomes:
        with self._changed:
            back = dict(self._back)
        return {name: back[name] if name in back else _late() for name in names}


def _late() -> DeadlineError:
    return DeadlineError("not back when the caller's time was up", ambiguous=True)
