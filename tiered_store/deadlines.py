"""
How much time the caller has left, across every layer below.

.. code-block:: python

   with deadline(2.0):
       images.get_file(*key)

It travels in a context variable, so it holds in the threads that stores use
(:mod:`tiered_store.workers` carries the context along).
"""

from __future__ import annotations

import math
import threading
import time

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tiered_store.errors import DeadlineError, UnavailableError


_ends: ContextVar[float | None] = ContextVar("tiered_store_deadline", default=None)

#: Return when the time is up, by the monotonic clock; None without a deadline.
ends: Callable[[], float | None] = _ends.get


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """
    Bound everything inside to *seconds*; a deadline within another only shrinks.

    Raises:
        DeadlineError: From any store inside, once the time is up.
    """
    if math.isnan(seconds):
        raise ValueError("a deadline is a number of seconds")
    # an endless one is as long as a lock can wait, some hundreds of years
    ends = time.monotonic() + min(seconds, threading.TIMEOUT_MAX / 2)
    outer = _ends.get()
    token = _ends.set(ends if outer is None else min(ends, outer))
    try:
        yield
    finally:
        _ends.reset(token)


def remaining() -> float | None:
    """Return the seconds that are left, never below zero; None without a deadline."""
    ends = _ends.get()
    return None if ends is None else max(0.0, ends - time.monotonic())


def bounded(seconds: float) -> float:
    """Return *seconds*, or what is left if that is less."""
    left = remaining()
    return seconds if left is None else min(seconds, left)


def check() -> None:
    """Raise :class:`DeadlineError` if no time is left."""
    ends = _ends.get()
    if ends is not None and time.monotonic() >= ends:
        raise DeadlineError("the caller's time is up")


@contextmanager
def lifted() -> Iterator[None]:
    """Leave what is inside without a deadline, for nobody waits for it to end."""
    token = _ends.set(None)
    try:
        yield
    finally:
        _ends.reset(token)


@contextmanager
def share(parts: int) -> Iterator[None]:
    """
    Leave to what is inside one of *parts* equal shares of the time that is left.

    Raises:
        UnavailableError: The share is used up, but time for the others is left.
    """
    left = remaining()
    if left is None or parts <= 1:
        yield
        return
    try:
        with deadline(left / parts):
            yield
    except DeadlineError as error:
        check()
        late = UnavailableError("its share of the caller's time is up")
        late.store, late.verb, late.key = error.store, error.verb, error.key
        raise late from error
