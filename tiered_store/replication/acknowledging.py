"""
Whether a write is acknowledged, by what became of it on each replica.
"""

from __future__ import annotations

from collections.abc import Collection

from tiered_store.errors import InvalidError, PartialWriteError, StoreError
from tiered_store.policies.breaker import CircuitOpenError
from tiered_store.replication.fanout import Outcomes


def errors_in(outcomes: Outcomes) -> dict[str, StoreError | None]:
    """Return how each replica failed, or None, where a bug is no failure of a store."""
    return {
        name: outcome if isinstance(outcome, StoreError) else None
        for name, outcome in outcomes.items()
    }


def bug_in(outcomes: Outcomes) -> BaseException | None:
    """Return what is no failure of a store, but a bug or an interruption."""
    return next(
        (
            outcome
            for outcome in outcomes.values()
            if outcome is not None and not isinstance(outcome, StoreError)
        ),
        None,
    )


def failure_of(
    outcomes: Outcomes, counted: Collection[str], needed: int
) -> StoreError | None:
    """
    Return the error of a write, None if *needed* of those *counted* acknowledged it.

    It is for the caller to raise, who knows no other outcome: an error keeps the frames
    that it passes, which must not keep it in turn, and the body of a put with it.
    """
    done = sum(outcomes[name] is None for name in counted)
    if done >= needed:
        return None
    errors = errors_in(outcomes)
    if len(errors) == 1:
        (error,) = errors.values()
        return error
    failure = PartialWriteError(
        f"{done} of {len(counted)} replicas acknowledged, {needed} needed", errors
    )
    if changed_nothing(outcomes):
        wrong = (error for error in errors.values() if isinstance(error, InvalidError))
        failure.ambiguous = False
        return next(wrong, failure)
    return failure


def changed_nothing(outcomes: Outcomes) -> bool:
    """Tell whether every replica was never asked, or refuses what nobody can do."""
    return all(_is_harmless(outcome) for outcome in outcomes.values())


def _is_harmless(outcome: BaseException | None) -> bool:
    if isinstance(outcome, CircuitOpenError):
        return not outcome.asked and not outcome.ambiguous
    return isinstance(outcome, InvalidError) and not outcome.ambiguous
