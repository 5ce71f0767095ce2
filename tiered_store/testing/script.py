"""
What is to happen to the next calls, written down by a test.
"""

from __future__ import annotations

import copy
import threading

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from tiered_store import errors as kinds
from tiered_store.errors import StoreError, UnavailableError
from tiered_store.events import Verb
from tiered_store.key import Key
from tiered_store.testing.faulty_body import Pause


FaultKind = Literal[
    "absent",
    "conflict",
    "corrupt",
    "denied",
    "full",
    "invalid",
    "misconfigured",
    "readonly",
    "throttled",
    "timeout",
    "unavailable",
    "unclassified",
    "unsupported",
]
Fault = FaultKind | Exception | type[Exception] | Callable[[], Exception]

_KINDS: Mapping[str, type[StoreError]] = {
    "absent": kinds.NotFoundError,
    "conflict": kinds.ConflictError,
    "corrupt": kinds.CorruptError,
    "denied": kinds.DeniedError,
    "full": kinds.FullError,
    "invalid": kinds.InvalidError,
    "misconfigured": kinds.MisconfiguredError,
    "readonly": kinds.ReadOnlyError,
    "throttled": kinds.ThrottledError,
    "timeout": UnavailableError,
    "unavailable": UnavailableError,
    "unclassified": StoreError,
    "unsupported": kinds.UnsupportedError,
}


def error_of(fault: Fault, verb: Verb, *, applied: bool = False) -> Exception:
    """Return a fresh error; an outage of a change that was *applied* is ambiguous."""
    if isinstance(fault, str):
        if fault not in _KINDS:
            raise ValueError(f"unknown fault {fault!r}; there are {', '.join(_KINDS)}")
        error: Exception = _KINDS[fault](f"{fault} on purpose")
    elif isinstance(fault, Exception):
        error = copy.copy(fault)
    else:
        error = fault()
    changed = verb in ("put", "delete") and (applied or fault == "timeout")
    if changed and isinstance(error, UnavailableError):
        error.ambiguous = True
    return error


@dataclass(slots=True)
class Rule:
    """
    What happens to the next *left* calls of *verb* on *key*.

    A rule with *at*, a byte or a fraction of the size, is about the body that a get
    returns.
    """

    verb: Verb | None
    key: Key | None
    left: int | None
    fault: Fault | None = None
    pause: Pause | None = None
    after: bool = False
    lose: bool = False
    at: float | int | None = None
    flip: bool = False

    def matches(self, verb: Verb, key: Key | None) -> bool:
        """Tell whether the call of *verb* on *key* is meant; URLs only by name."""
        named = verb == self.verb or (self.verb is None and verb != "url")
        return named and self.left != 0 and self.key in (None, key)

    def place(self, size: int) -> int | None:
        """Return the byte of a body of *size* where it happens."""
        return int(self.at * size) if isinstance(self.at, float) else self.at

    def strike(self, verb: Verb) -> None:
        """Wait, raise, or both."""
        if self.pause is not None:
            self.pause.stand()
        if self.fault is not None:
            raise error_of(self.fault, verb, applied=self.after)


class Script:
    """
    The lines of a script, each for the next *times* calls, or for all with None.

    Of several failures the oldest that matches is taken, one a call; pauses are
    added to it.  ``verb=None`` means any but ``url``.  *at* is a byte of the body, or
    a fraction of its size: ``tear(0.5)``.
    """

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._pauses: list[Pause] = []
        self._down: Fault | None = None
        self._lock = threading.Lock()

    def fail(
        self,
        verb: Verb | None,
        error: Fault = "unavailable",
        *,
        times: int | None = 1,
        after_apply: bool = False,
        key: Key | None = None,
    ) -> None:
        """
        Fail with *error*: its kind, its class, a function that makes it, or itself.

        Args:
            after_apply: Fail once the child has done what it was asked.
        """
        self._add(Rule(verb, key, times, error, after=after_apply))

    def lose(
        self,
        verb: Literal["put", "delete"],
        *,
        times: int | None = 1,
        key: Key | None = None,
    ) -> None:
        """Acknowledge changes without making them."""
        self._add(Rule(verb, key, times, lose=True))

    def tear(
        self,
        at: float,
        error: Fault = "unavailable",
        *,
        times: int | None = 1,
        key: Key | None = None,
    ) -> None:
        """Let bodies die in every reader that comes to byte *at*."""
        self._add(Rule("get", key, times, error, at=at))

    def stall(
        self, at: float, *, times: int | None = 1, key: Key | None = None
    ) -> Pause:
        """Let every reader of a body stop at byte *at* until released."""
        return self._held(Rule("get", key, times, at=at))

    def flip(
        self, at: float = 0, *, times: int | None = 1, key: Key | None = None
    ) -> None:
        """Invert byte *at* of bodies, silently."""
        self._add(Rule("get", key, times, at=at, flip=True))

    def pause(
        self,
        verb: Verb | None,
        *,
        times: int | None = 1,
        after_apply: bool = False,
        key: Key | None = None,
    ) -> Pause:
        """Stop calls on their way to the child, or back, until released."""
        return self._held(Rule(verb, key, times, after=after_apply))

    def hang(self, verb: Verb | None = None, *, key: Key | None = None) -> Pause:
        """Stop every call on its way to the child until released."""
        return self.pause(verb, times=None, key=key)

    def down(self, error: Fault = "unavailable") -> None:
        """Fail everything but URLs until :meth:`up`."""
        self._down = error

    def up(self) -> None:
        """End :meth:`down`; the script stays."""
        self._down = None

    def heal(self) -> None:
        """Be up, forget the script and release whatever is held back."""
        self.up()
        with self._lock:
            self._rules.clear()
            pauses, self._pauses = self._pauses, []
        for pause in pauses:
            pause.release()

    def take(self, verb: Verb, key: Key | None) -> list[Rule]:
        """Return what happens to this call, and cross it off."""
        taken = []
        if self._down is not None and verb != "url":
            return [Rule(verb, key, 1, self._down)]
        with self._lock:
            failing = False
            for rule in self._rules:
                if not rule.matches(verb, key) or (failing and rule.pause is None):
                    continue
                failing = failing or rule.pause is None
                if rule.left is not None:
                    rule.left -= 1
                taken.append(rule)
            self._rules = [rule for rule in self._rules if rule.left != 0]
        return taken

    def _add(self, rule: Rule) -> None:
        with self._lock:
            self._rules.append(rule)

    def _held(self, rule: Rule) -> Pause:
        rule.pause = Pause()
        with self._lock:
            self._rules.append(rule)
            self._pauses.append(rule.pause)
        return rule.pause
