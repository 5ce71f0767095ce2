"""
A breaker around a store: one circuit for reading, one for writing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from tiered_store.body import Body, Stat
from tiered_store.clock import SYSTEM, Clock
from tiered_store.condition import Condition, Fact
from tiered_store.events import CircuitChanged
from tiered_store.findings import Finding
from tiered_store.key import Key
from tiered_store.policies.breaker import BreakerPolicy, CircuitOpenError
from tiered_store.policies.circuit import Circuit, State
from tiered_store.policies.evidence import Judged
from tiered_store.policies.probes import Permit
from tiered_store.store import Store
from tiered_store.wrapper import Wrapper


_trickling: ContextVar[bool] = ContextVar("tiered_store_trickling", default=False)
_patient: ContextVar[bool] = ContextVar("tiered_store_patient", default=False)


class Guard(Wrapper):
    """
    Stop asking *child* while it keeps failing, and raise at once instead.

    Health is an exception: nobody asks a guard how its store is.
    """

    def __init__(
        self,
        child: Store,
        policy: BreakerPolicy,
        *,
        clock: Clock = SYSTEM,
        writes: Judged = "never",
    ) -> None:
        super().__init__(child)
        self.policy = policy
        self.reading = Circuit(policy, self._teller("read"), clock)
        self.writing = Circuit(policy, self._teller("write"), clock, judged=writes)

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        # as _through() does, without a block: whoever waits for it waits for this
        circuit = self.writing
        permit = circuit.admit(trickle=_trickling.get(), patient=_patient.get())
        try:
            self.child.put(key, body, reproducible)
        except BaseException as error:
            _settle(circuit, permit, error, about=key, size=body.size)
            raise
        circuit.settle(permit, None, size=body.size)

    def _get(self, key: Key) -> Body:
        # as _through() does, without a block: a hit in a directory comes here
        circuit = self.reading
        permit = circuit.admit(trickle=_trickling.get(), patient=_patient.get())
        try:
            body = self.child.get(key)
        except BaseException as error:
            _settle(circuit, permit, error, about=key)
            raise
        circuit.settle(permit, None, size=body.size)
        return body

    def _delete(self, key: Key) -> None:
        with _through(self.writing, key):
            self.child.delete(key)

    def _stat(self, key: Key) -> Stat:
        with _through(self.reading, key):
            return self.child.stat(key)

    def _keys(self, prefix: str) -> Iterator[Key]:
        with _through(self.reading, timed=False):  # whoever lists takes their time
            yield from self.child.keys(prefix)

    def conditions(self) -> Iterator[Condition]:
        """Yield what is not asked just now; of this process, as every circuit is."""
        facts: dict[str, Fact] = {
            name: circuit.why()
            for name, circuit in (("reads", self.reading), ("writes", self.writing))
        }
        if any(facts.values()):
            yield Condition(
                section="circuits", place=str(self), state="attention", facts=facts
            )

    def findings(self, key: Key) -> Iterator[Finding]:
        facts = {
            name: why
            for name, circuit in (("reads", self.reading), ("writes", self.writing))
            if (why := circuit.why()) is not None
        }
        if facts:
            yield Finding(place=str(self), state="pending", facts=facts)

    def _teller(self, side: Literal["read", "write"]) -> Callable[[State, str], None]:
        def changed(state: State, reason: str) -> None:
            if self.listeners:
                self.emit(
                    CircuitChanged(
                        store=str(self), side=side, state=state, reason=reason
                    )
                )

        return changed


@contextmanager
def _through(
    circuit: Circuit, key: Key | None = None, *, timed: bool = True, size: int = 0
) -> Iterator[None]:
    permit = circuit.admit(trickle=_trickling.get(), patient=_patient.get())
    try:
        yield
    except BaseException as error:
        _settle(circuit, permit, error, timed=timed, about=key, size=size)
        raise
    circuit.settle(permit, None, timed=timed, size=size)


def _settle(
    circuit: Circuit,
    permit: Permit,
    error: BaseException,
    *,
    timed: bool = True,
    about: Key | None = None,
    size: int = 0,
) -> None:
    if isinstance(error, CircuitOpenError):
        error.asked = True  # it was: this circuit is not the one that is open
    circuit.settle(permit, error, timed=timed, about=about, size=size)


@contextmanager
def trickle() -> Iterator[None]:
    """
    Let a call through an open circuit when nothing else is left.

    One at a time, or all through one that is open because its store is late.
    """
    token = _trickling.set(True)
    try:
        yield
    finally:
        _trickling.reset(token)


@contextmanager
def patient() -> Iterator[None]:
    """Let calls through a circuit that is open because its store is late."""
    token = _patient.set(True)
    try:
        yield
    finally:
        _patient.reset(token)


def guard(
    child: Store,
    policy: BreakerPolicy | None,
    clock: Clock = SYSTEM,
    *,
    writes: Judged = "never",
) -> Store:
    """Return *child* behind a breaker that takes its path, or as it is without one."""
    if policy is None:
        return child
    guarded = Guard(child, policy, clock=clock, writes=writes)
    guarded.transparent = True
    return guarded
