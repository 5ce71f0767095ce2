"""
Fail on purpose: seeded, or by script.

.. code-block:: yaml

   type: fault
   seed: 7
   rate: 0.05
   errors: [unavailable, throttled]
   apply_rate: 0.5
   latency: 20ms
   child: {type: memory}
"""

from __future__ import annotations

import functools
import random
import threading

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tiered_store import lifecycle
from tiered_store.body import Body, Stat
from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import ConfigError
from tiered_store.events import Verb
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.testing.faulty_body import FaultyBody
from tiered_store.testing.script import FaultKind, Rule, Script
from tiered_store.units import Duration
from tiered_store.wrapper import Wrapper


_CHANGES = frozenset({"put", "delete"})


class FaultStore(Script, Wrapper):
    """
    A *child* that fails when told to.

    By script, in code: what :class:`~tiered_store.testing.script.Script` offers.
    By chance: the n-th call of a verb on a key meets the same fate for the same
    *seed*, whatever other threads do.  URLs cost no I/O, so they fail only when a
    script names them.

    Args:
        seed: The same one fails the same calls.
        rate: The share of calls that fail by chance, 0 to 1.
        errors: What they fail with, each as likely.
        apply_rate: The share of failing puts and deletes that take effect first.
        tear_rate: The share of bodies that die half way.
        latency: What each call waits first, heedless of any deadline, as a hung
            server is.

    Attributes:
        calls: How many calls of each verb came in, those that failed included.
        opened_readers: How many readers of bodies from here were opened.
        open_readers: How many of them are not closed yet.
    """

    def __init__(
        self,
        child: Store,
        *,
        seed: int = 0,
        rate: float = 0.0,
        errors: Sequence[FaultKind] = ("unavailable",),
        apply_rate: float = 0.0,
        tear_rate: float = 0.0,
        latency: Duration = 0.0,
        clock: Clock = SYSTEM,
    ) -> None:
        Wrapper.__init__(self, child)
        Script.__init__(self)
        self.seed = seed
        self.rate = rate
        self.errors = errors
        self.apply_rate = apply_rate
        self.tear_rate = tear_rate
        self.latency = latency
        self.clock = clock
        for name in ("rate", "apply_rate", "tear_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(
                    f"{name} is a share from 0 to 1, not {getattr(self, name)!r}"
                )
        if not errors:
            raise ConfigError("errors: needs at least one")
        self.calls: Counter[Verb] = Counter()
        self.opened_readers = 0
        self.open_readers = 0
        self._turns: Counter[tuple[Verb, Key | None]] = Counter()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Take a lock of one's own."""
        self._lock = threading.Lock()

    def heal(self) -> None:
        """Be up, forget the script, release what is held back, have no bad luck."""
        super().heal()
        self.rate = self.tear_rate = self.latency = 0.0

    def underneath(self, key: Key) -> Iterator[tuple[Store, Key]]:
        yield from ()  # it stands for its child, and answers as it is told to

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        with self._faults("put", key) as rules:
            if not any(rule.lose for rule in rules):
                self.child.put(key, body, reproducible)

    def _get(self, key: Key) -> Body:
        with self._faults("get", key) as rules:
            body: Body = FaultyBody(self.child.get(key), self._count_reader)
        for rule in rules:
            at = rule.place(body.size)
            if at is not None:
                strike = None if rule.flip else functools.partial(rule.strike, "get")
                body = FaultyBody(body, at=at, strike=strike)
        return body

    def _url(self, key: Key) -> str:
        with self._faults("url", key):
            return self.child.url(key)

    def _delete(self, key: Key) -> None:
        with self._faults("delete", key) as rules:
            if not any(rule.lose for rule in rules):
                self.child.delete(key)

    def _stat(self, key: Key) -> Stat:
        with self._faults("stat", key):
            return self.child.stat(key)

    def _keys(self, prefix: str) -> Iterator[Key]:
        with self._faults("keys", None):
            yield from self.child.keys(prefix)

    def _close(self) -> None:
        self.heal()

    @contextmanager
    def _faults(self, verb: Verb, key: Key | None) -> Iterator[list[Rule]]:
        with self._lock:
            self.calls[verb] += 1
        rules = [*self.take(verb, key), *self._chance(verb, key)]
        if self.latency and verb != "url":
            self.clock.sleep(self.latency)
        for rule in rules:
            if rule.at is None and not rule.after:
                rule.strike(verb)
        yield rules
        for rule in rules:
            if rule.at is None and rule.after:
                rule.strike(verb)

    def _chance(self, verb: Verb, key: Key | None) -> list[Rule]:
        if verb == "url" or not (self.rate or self.tear_rate):
            return []
        with self._lock:
            self._turns[verb, key] += 1
            turn = self._turns[verb, key]
        chance = random.Random(f"{self.seed}/{verb}/{key}/{turn}")
        rule = Rule(verb, key, 1)
        if chance.random() < self.rate:
            rule.after = chance.random() < self.apply_rate and verb in _CHANGES
            rule.fault = chance.choice(self.errors)
        elif verb == "get" and chance.random() < self.tear_rate:
            rule.fault, rule.at = "unavailable", chance.random()
        return [rule]

    def _count_reader(self, change: int) -> None:
        with self._lock:
            self.opened_readers += max(change, 0)
            self.open_readers += change
