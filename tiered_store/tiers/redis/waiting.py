"""
Waiting for what another process does, and being woken.
"""

from __future__ import annotations

import threading
import weakref

from typing import Literal

from tiered_store import deadlines, lifecycle


Outcome = Literal["look", "absent", "failed"]


class _Bell:
    """Rung for everybody in this process who waits for one object."""

    __slots__ = ("__weakref__", "ended", "rung", "struck")

    def __init__(self) -> None:
        self.struck = threading.Condition(threading.Lock())
        self.rung = 0
        self.ended: tuple[str, Outcome] = ("", "look")  # the last fetch that did


class Waiter:
    """
    Waits for the fetch that *token* stands for, from before it is known to be there.

    Attributes:
        token: Set when it is known.
    """

    __slots__ = ("_bell", "_seen", "token")

    def __init__(self, bell: _Bell) -> None:
        self.token = ""
        self._bell = bell
        self._seen = bell.rung

    def wait(self, seconds: float) -> Outcome:
        """Return when it is worth to look again, after *seconds* at most."""
        bell = self._bell
        with bell.struck:
            bell.struck.wait_for(
                lambda: bell.rung != self._seen, deadlines.bounded(seconds)
            )
            self._seen = bell.rung
            token, outcome = bell.ended
            return outcome if token == self.token else "look"


class Bells:
    """A bell for each object that somebody waits for, by name."""

    def __init__(self) -> None:
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Nobody waits in a new process."""
        self._lock = threading.Lock()
        self._bells: weakref.WeakValueDictionary[str, _Bell] = (
            weakref.WeakValueDictionary()
        )

    def waiter(self, name: str) -> Waiter:
        """Return what will notice whatever is rung for *name* from now on."""
        with self._lock:
            bell = self._bells.get(name)
            if bell is None:
                bell = self._bells[name] = _Bell()
            return Waiter(bell)

    def ring(self, name: str, token: str = "", outcome: Outcome = "look") -> None:
        """Wake whoever waits for *name*; say how the fetch of *token* ended."""
        bell = self._bells.get(name)
        if bell is not None:
            _strike(bell, token, outcome)

    def ring_all(self) -> None:
        """Wake everybody."""
        with self._lock:
            bells = list(self._bells.values())
        for bell in bells:
            _strike(bell, "", "look")


def _strike(bell: _Bell, token: str, outcome: Outcome) -> None:
    with bell.struck:
        if token:
            bell.ended = token, outcome
        bell.rung += 1
        bell.struck.notify_all()
