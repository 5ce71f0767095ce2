"""Waiting for what comes, however slow the machine is."""

from __future__ import annotations

import time

from collections.abc import Callable, Iterator

from tiered_store.errors import UnavailableError


# of a client whose server is well: its default is so short that a busy machine
# makes it give up, and what is tested is another thing
PATIENT = {"timeout": 20.0, "connect_timeout": 20.0}


def succeeds(use: Callable[[], object]) -> bool:
    """Tell whether a server under load answered a client who is in a hurry."""
    try:
        use()
    except UnavailableError:
        return False
    return True


def until(true: Callable[[], object], seconds: float = 120.0) -> None:
    """Return once *true* is; fail when it is not within *seconds*, by far too many."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, f"not within {seconds:.0f} s"
        time.sleep(0.005)


def longer_and_longer(first: float, last: float = 30.0) -> Iterator[float]:
    """
    Yield seconds for one attempt after the other, the *first* being enough by far.

    For what happens when the time is up *while* something is under way: a machine that
    is busy may need all of it to begin.  Whoever sees that it had begun breaks off.
    """
    seconds = first
    while seconds < 2 * last:
        yield seconds
        seconds *= 2
    raise AssertionError(f"not within {seconds / 2:.0f} s either")
