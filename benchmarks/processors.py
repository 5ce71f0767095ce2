"""
Have a round trip to a server on this machine take one time, and not two.

Between two processors it takes some 15 microseconds if the other one is awake and 60 if
it has halted, as chance has it, and waking it is most of either.  On one processor
there is no waking: a round trip is the work of both sides, one after the other.
"""

from __future__ import annotations

import contextlib
import os

from collections.abc import Iterator


POSSIBLE = hasattr(os, "sched_setaffinity")  # on Linux
SAID = (
    "Where one reader asks Redis, it shares a processor with the server: what is told "
    "is the work of both, and not how long another processor takes to wake up."
    if POSSIBLE
    else "Processors may halt while Redis is waited for, so ratios suffer."
)


@contextlib.contextmanager
def on_one_processor(server: int) -> Iterator[None]:
    """Keep this thread and the process *server* on one processor within the block."""
    if not POSSIBLE:
        yield
        return
    before = os.sched_getaffinity(0), os.sched_getaffinity(server)
    one = {max(before[0])}  # the first has most of the interrupts
    os.sched_setaffinity(0, one)
    os.sched_setaffinity(server, one)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before[0])
        os.sched_setaffinity(server, before[1])
