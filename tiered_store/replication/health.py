"""
What is known of the health of replicas, without asking any.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, TypeVar

from tiered_store.clock import Clock
from tiered_store.errors import StoreError
from tiered_store.policies.breaker import CircuitOpenError
from tiered_store.policies.guard import Guard, trickle
from tiered_store.policies.hedging import Hedge, HedgeAfter
from tiered_store.policies.turns import in_turn
from tiered_store.store import Store
from tiered_store.workers import Workers


Result = TypeVar("Result")


def is_ill(store: Store) -> bool:
    """Tell whether *store* is known not to answer reads."""
    return isinstance(store, Guard) and store.reading.state != "closed"


def hedge_of(
    stores: Mapping[str, Store],
    after: HedgeAfter | None,
    budget: float,
    alike: bool,
    workers: Workers,
    clock: Clock,
) -> Hedge | None:
    """Return what hedges reads of *stores*, None if nothing is to."""
    if after is None:
        return None
    circuits = {
        name: store.reading
        for name, store in stores.items()
        if isinstance(store, Guard)
    }
    return Hedge(
        after,
        budget=budget,
        circuits=circuits,
        workers=workers,
        alike=alike,
        clock=clock,
    )


def note_body(store: Store, error: Exception | None) -> None:
    """Count against *store* the *error* that reading a body from it met, or none."""
    if isinstance(store, Guard):
        store.reading.note(error)


def last_resort(
    stores: Iterable[Store], side: Literal["read", "write"]
) -> AbstractContextManager[None]:
    """
    While all *stores* are known to be down, let a call through to look again.

    One that is just slow is not down: a read gets its answer there in the end.
    """
    for store in stores:
        if not isinstance(store, Guard):
            return nullcontext()
        circuit = store.reading if side == "read" else store.writing
        if circuit.state != "open" or (circuit.slow and side == "read"):
            return nullcontext()
    return trickle()


def answers_of(
    names: Sequence[str],
    ask: Callable[[str], Result],
    hedge: Hedge | None,
    spare: Collection[str] = (),
) -> Iterator[tuple[str, Result | StoreError]]:
    """
    Yield what *names* answer, each asked when the one before has, or is late.

    Those that were passed over for being slow, which is all that is known against them,
    are asked in the end: nobody before them had an answer that was enough.

    Args:
        spare: Those that are not asked because another one is late.
    """
    slow: list[str] = []
    asked = hedge.answers(names, ask, spare=spare) if hedge else in_turn(names, ask)
    for name, answer in asked:
        if isinstance(answer, CircuitOpenError) and answer.slow:
            slow.append(name)
        yield name, answer

    def insist(name: str) -> Result:
        with trickle():
            return ask(name)

    yield from in_turn(slow, insist)
