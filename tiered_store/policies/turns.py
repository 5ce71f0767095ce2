"""
Ask several stores, each when the one before has answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from tiered_store import deadlines
from tiered_store.errors import StoreError
from tiered_store.policies.breaker import CircuitOpenError


Result = TypeVar("Result")


def in_turn(
    names: Sequence[str], ask: Callable[[str], Result]
) -> Iterator[tuple[str, Result | StoreError]]:
    """
    Yield what *names* answer, each asked when the one before has.

    Each may use its share of a deadline; those that were passed over for being slow
    keep theirs.
    """
    left = len(names)
    for name in names:
        answer = answer_of(name, ask, left)
        left -= not (isinstance(answer, CircuitOpenError) and answer.slow)
        yield name, answer


def answer_of(
    name: str, ask: Callable[[str], Result], parts: int
) -> Result | StoreError:
    """Return what *name* answers within one of *parts* shares of a deadline."""
    try:
        with deadlines.share(parts):
            return ask(name)
    except StoreError as error:
        return error
