"""
What may still take effect although a later attempt has succeeded.

A change that timed out, and was then made again, is done; but the first request may
land later, on top of a newer change.  Whoever tries again says so here, to whoever is
above and remembers what replicas must be looked at again.
"""

from __future__ import annotations

from contextvars import ContextVar


class Traces:
    """
    What is left behind by what happens within the block.

    Attributes:
        left: Something may still take effect.
    """

    __slots__ = ("_token", "left")

    def __init__(self) -> None:
        self.left = False

    def __enter__(self) -> Traces:
        self._token = _traces.set(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        _traces.reset(self._token)


_traces: ContextVar[Traces | None] = ContextVar("tiered_store_traces", default=None)


def note() -> None:
    """Note that a change which was given up on may still take effect."""
    traces = _traces.get()
    if traces is not None:
        traces.left = True
