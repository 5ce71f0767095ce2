"""
A listener that remembers.
"""

from __future__ import annotations

import threading

from typing import TypeVar

from tiered_store.events import Event


Kind = TypeVar("Kind", bound=Event)


class Recorder:
    """
    Keeps every event it is given: ``observe(stack, recorder)``.

    Attributes:
        events: All of them, in the order they happened.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._grown = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._grown:
            self.events.append(event)
            self._grown.notify_all()

    def of(self, kind: type[Kind]) -> list[Kind]:
        """Return the events of *kind*, in order."""
        with self._grown:
            return [event for event in self.events if isinstance(event, kind)]

    def wait_for(
        self, kind: type[Kind], count: int = 1, seconds: float = 60.0
    ) -> list[Kind]:
        """
        Return the events of *kind* once there are *count* of them.

        Raises:
            AssertionError: There were fewer after *seconds*.
        """
        with self._grown:
            if not self._grown.wait_for(lambda: len(self.of(kind)) >= count, seconds):
                raise AssertionError(
                    f"{len(self.of(kind))} of {count} {kind.__name__} events "
                    f"after {seconds} s"
                )
            return self.of(kind)

    def clear(self) -> None:
        """Forget everything so far."""
        with self._grown:
            self.events.clear()
