"""
What may still take effect although a later attempt has succeeded.

A change that timed out, and was then made again, is done; but the first request may
land later, on top of a newer change.  Whoever tries again says so here, to whoever is
above and remembers what replicas must be looked at again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Traces:
    """
    What was left behind by what happened in a block.

    Attributes:
        left: Something may still take effect.
    """

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = False


_traces: ContextVar[Traces | None] = ContextVar("tiered_store_traces", default=None)


@contextmanager
def watched() -> Iterator[Traces]:
    """Lend what notes made within the block will be found in."""
    traces = Traces()
    token = _traces.set(traces)
    try:
        yield traces
    finally:
        _traces.reset(token)


def note() -> None:
    """Note that a change which was given up on may still take effect."""
    traces = _traces.get()
    if traces is not None:
        traces.left = True
