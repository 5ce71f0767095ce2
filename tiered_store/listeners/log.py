"""
What happens, written to the log of the standard library, and not too often.
"""

from __future__ import annotations

import logging
import threading

from tiered_store import lifecycle
from tiered_store.clock import SYSTEM, Clock
from tiered_store.events import (
    CachePoisoned,
    CircuitChanged,
    ControlChanged,
    Decided,
    Diverged,
    Event,
    FailedBack,
    FellBack,
    Operation,
    RepairFailed,
    Retried,
    StaleServed,
    TierBypassed,
)
from tiered_store.listeners.words import name_of, values_of
from tiered_store.units import Duration


_TURNS = (CircuitChanged, ControlChanged, Decided, FailedBack)
_TROUBLES = (Diverged, FellBack, Retried, TierBypassed)
_PLACES = 1000  # that are remembered; more would be a leak


class LogListener:
    """
    Write events to *logger*: ``observe(stack, LogListener())``.

    An error is what needs somebody (a cache that cannot drop a copy, a dead letter), a
    warning what went wrong and was dealt with (a failed call, a retry, another store
    asked, a replica that missed a write), information what turned (circuits, failbacks,
    operators' decisions); the rest is for debugging.

    An outage fails every call.  So of warnings and errors of one kind, from one store,
    the first is written at once and then one in *every* seconds, which says how many
    were not.  What turned is always written.

    A record carries the event as ``record.event``, for formatters that write JSON.

    Args:
        logger: ``tiered_store.events`` by default.
        every: Seconds; 0 writes everything.
    """

    def __init__(
        self,
        logger: logging.Logger | None = None,
        *,
        every: Duration = 10.0,
        clock: Clock = SYSTEM,
    ) -> None:
        self.logger = logger or logging.getLogger("tiered_store.events")
        self.every = every
        self._clock = clock
        self._written: dict[tuple[str, ...], _Written] = {}
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Take a lock of one's own."""
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        level = level_of(event)
        if not self.logger.isEnabledFor(level):
            return
        unwritten = 0
        if level >= logging.WARNING and not isinstance(event, _TURNS):
            turn = self._turn(event)
            if turn is None:
                return
            unwritten = turn
        self.logger.log(level, "%s", _Line(event, unwritten), extra={"event": event})

    def _turn(self, event: Event) -> int | None:
        """Return how many like *event* went unwritten; None if it shall, too."""
        error = getattr(event, "error", None)
        like = (event.store, type(event).__name__, type(error).__name__)
        now = self._clock.monotonic()
        with self._lock:
            written = self._written.get(like)
            if written is not None and now < written.at + self.every:
                written.unwritten += 1
                return None
            if written is None and len(self._written) >= _PLACES:
                self._written.clear()
            self._written[like] = _Written(now)
            return 0 if written is None else written.unwritten


class _Written:
    """When one of a kind was written, and how many were not since."""

    __slots__ = ("at", "unwritten")

    def __init__(self, at: float) -> None:
        self.at = at
        self.unwritten = 0


class _Line:
    """Made into words by whoever writes it."""

    def __init__(self, event: Event, unwritten: int) -> None:
        self.event = event
        self.unwritten = unwritten

    def __str__(self) -> str:
        said = " ".join(
            f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in values_of(self.event)
        )
        more = f" (and {self.unwritten} more like it)" if self.unwritten else ""
        return f"{self.event.store}: {name_of(self.event)}: {said}{more}"


def level_of(event: Event) -> int:
    """Return how loud *event* is, one of the levels of :mod:`logging`."""
    match event:
        case CachePoisoned() | RepairFailed(outcome="dead"):
            return logging.ERROR
        case Operation(outcome="failed") | RepairFailed():
            return logging.WARNING
        case CircuitChanged(state="open") | FailedBack(stage="away" | "held"):
            return logging.WARNING
        case ControlChanged(error=error) | StaleServed(error=error):
            if error is not None:
                return logging.WARNING
            turned = isinstance(event, ControlChanged)
            return logging.INFO if turned else logging.DEBUG
        case _ if isinstance(event, _TROUBLES):
            return logging.WARNING
        case _ if isinstance(event, _TURNS):
            return logging.INFO
        case _:
            return logging.DEBUG
