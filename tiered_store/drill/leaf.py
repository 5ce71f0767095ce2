"""
The places at the bottom of a stack, and what may befall them.
"""

from __future__ import annotations

import functools
import random
import threading

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from tiered_store import deadlines
from tiered_store.body import Body, Stat
from tiered_store.errors import DeadlineError, UnavailableError
from tiered_store.events import Verb
from tiered_store.key import Key
from tiered_store.node import kind_of
from tiered_store.store import Store
from tiered_store.testing.faulty_body import FaultyBody
from tiered_store.testing.script import error_of
from tiered_store.wrapper import Wrapper


Fault = Literal["down", "black-hole", "slow", "erroring", "losing", "corrupting"]

FAULTS: Mapping[Fault, str] = {
    "down": "refuses every call at once",
    "black-hole": "answers nothing",
    "slow": "answers 300 ms late",
    "erroring": "fails 4 of 10 calls",
    "losing": "acknowledges puts, and has nothing",
    "corrupting": "gives a wrong byte in the middle of an object",
}

_LATE = 0.3
_FAILING = 0.4
_CHECKING = ("s3", "redis")  # whose own checksums notice a wrong byte


class Leaf(Wrapper):
    """
    *kept* in the place of *real*, with a fault that begins and ends.

    A call that gets no answer waits as long as *real* would: for its own timeout, or
    the caller's deadline if it heeds that; without a timeout until the fault ends.

    Args:
        real: What the configuration names; only its options and URLs are used.

    Attributes:
        fault: What befalls it just now.
        changed: Told of each object that it took or dropped.
        healing: Told just before a fault ends.
    """

    transparent = True

    def __init__(self, kept: Store, real: Store, *, seed: int = 0) -> None:
        super().__init__(kept)
        self.real = real
        self.kind = kind_of(type(real))
        timeout = getattr(real, "timeout", None)
        self.patience = float(timeout) if isinstance(timeout, int | float) else None
        self._random = random.Random(seed)
        self.fault: Fault | None = None
        self.changed: Callable[[Leaf, Key], None] = lambda leaf, key: None
        self.healing: Callable[[Leaf], None] = lambda leaf: None
        self._healed = threading.Event()
        self._healed.set()

    def begin(self, fault: Fault) -> None:
        """Let *fault* befall it."""
        self._healed.clear()
        self.fault = fault

    def heal(self) -> None:
        """Be well again; who still waits for an answer gets none."""
        self.healing(self)
        self.fault = None
        self._healed.set()

    def capabilities(self) -> frozenset[Verb]:
        """What the real one can do."""
        return self.real.capabilities()

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        self._meet("put")
        if self.fault == "losing":
            self.child.delete(key)
        else:
            self.child.put(key, body, reproducible)
            self.changed(self, key)

    def _get(self, key: Key) -> Body:
        self._meet("get")
        body = self.child.get(key)
        if self.fault != "corrupting":
            return body
        strike = None
        if self.kind in _CHECKING:
            strike = functools.partial(_strike, str(self))
        return FaultyBody(body, at=body.size // 2, strike=strike)

    def _url(self, key: Key) -> str:
        return self.real.url(key)

    def _delete(self, key: Key) -> None:
        self._meet("delete")
        self.child.delete(key)
        self.changed(self, key)

    def _stat(self, key: Key) -> Stat:
        self._meet("stat")
        return self.child.stat(key)

    def _keys(self, prefix: str) -> Iterator[Key]:
        self._meet("keys")
        yield from self.child.keys(prefix)

    def _close(self) -> None:
        self.heal()
        if self.real is not self.child:
            self.real.close()

    def _meet(self, verb: Verb) -> None:
        fault = self.fault
        if fault == "down":
            raise UnavailableError("connection refused, in a drill")
        if fault == "erroring" and self._random.random() < _FAILING:
            raise UnavailableError("status 503, in a drill")
        if fault == "slow":
            self._wait(_LATE, verb)
        if fault == "black-hole":
            self._wait(self.patience, verb)
            changes = verb in ("put", "delete")
            raise UnavailableError("timed out, in a drill", ambiguous=changes)

    def _wait(self, seconds: float | None, verb: Verb) -> None:
        """Wait, and raise if the caller's time is up before and a real one would."""
        if self.patience is None or seconds is None:
            self._healed.wait(seconds)
            return
        bound = deadlines.bounded(seconds)
        if not self._healed.wait(bound) and bound < seconds:
            changes = verb in ("put", "delete")
            raise DeadlineError("the caller's time is up", ambiguous=changes)


def _strike(place: str) -> None:
    raise error_of("corrupt", "get").at(place, "get")  # type: ignore[attr-defined]
