"""A hit wins, absence is unanimous, anything else is inconclusive."""

from __future__ import annotations

import pytest

from tiered_store.combine import Answers
from tiered_store.errors import (
    ConflictError,
    CorruptError,
    DeadlineError,
    DeniedError,
    InconclusiveError,
    InvalidError,
    MisconfiguredError,
    NotFoundError,
    StoreError,
    ThrottledError,
    UnavailableError,
    UnsupportedError,
)


def concluded(*errors: StoreError) -> StoreError:
    """Return what *errors*, of stores a, b, ..., amount to."""
    answers = Answers()
    for name, error in zip("abcdef", errors, strict=False):
        answers.add(name, error)
    return answers.conclusion()


def test_absence_is_unanimous() -> None:
    """Everybody was asked and everybody said so."""
    conclusion = concluded(NotFoundError("x"), NotFoundError("y"), NotFoundError("z"))

    assert isinstance(conclusion, NotFoundError)
    assert str(conclusion) == "no store has it"


@pytest.mark.parametrize(
    "failure",
    [
        UnavailableError("down"),
        ThrottledError("slow down"),
        DeniedError("no"),
        MisconfiguredError("no such bucket"),
        CorruptError("torn"),
        UnsupportedError("cannot"),
        StoreError("unclassified"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_that_could_not_say_makes_it_inconclusive(
    failure: StoreError, place: int
) -> None:
    """It might have had it; wherever it stands, an outage is not absence."""
    errors: list[StoreError] = [NotFoundError("x"), NotFoundError("y")]
    errors.insert(place, failure)

    conclusion = concluded(*errors)

    assert isinstance(conclusion, InconclusiveError)
    assert not isinstance(conclusion, FileNotFoundError)
    assert list(conclusion.outcomes.values()) == errors
    assert conclusion.retryable is failure.retryable
    assert "abc"[place] + ": " + failure.message in str(conclusion)


def test_failures_alone_are_inconclusive_too() -> None:
    """With what each of them said."""
    conclusion = concluded(UnavailableError("down"), DeniedError("no"))

    assert isinstance(conclusion, InconclusiveError)
    assert str(conclusion) == "not every store could answer (a: down; b: no)"
    assert conclusion.retryable


def test_a_single_answer_is_what_it_is() -> None:
    """With its own path, kind and flags."""
    for error in (NotFoundError("x"), UnavailableError("y").final(), DeniedError("z")):
        assert concluded(error) is error


@pytest.mark.parametrize(
    "error",
    [
        DeadlineError("time is up"),
        InvalidError("wrong everywhere"),
        ConflictError("read again"),
        UnavailableError("too many files", local=True, failover=False),
    ],
    ids=lambda error: error.message,
)
def test_what_no_other_store_can_help_is_raised_at_once(error: StoreError) -> None:
    """Asking on would waste time that there is not, or say the same."""
    answers = Answers()
    answers.add("a", NotFoundError("x"))

    with pytest.raises(type(error)) as caught:
        answers.add("b", error)

    assert caught.value is error


def test_the_last_answer_of_a_store_counts() -> None:
    """It was asked again."""
    answers = Answers()
    for error in (UnavailableError("down"), NotFoundError("x")):
        answers.add("a", error)
    answers.add("b", NotFoundError("y"))

    assert isinstance(answers.conclusion(), NotFoundError)


def test_when_nobody_could_be_asked_nothing_is_known() -> None:
    """No answers are no absence."""
    conclusion = Answers().conclusion("every store is drained")

    assert isinstance(conclusion, InconclusiveError)
    assert str(conclusion) == "every store is drained"
