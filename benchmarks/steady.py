"""
Have the same work take the same time.

A round trip between two processors takes some 15 microseconds if the other one is awake
and 60 if it has halted, as chance has it, and waking it is most of either.  On one
processor there is no waking: a round trip is the work of both sides, one after the
other.  So what is counted is that work, as processor time, which is the same however
busy the machine is with something else.

Threads that hand over to one another pay for that waking as well, in processor time and
by the clock: of a virtual processor it is the host that wakes it, for 50 microseconds
and more.  So no processor halts while anything is measured.

A megabyte takes 0.3 milliseconds to send or 1.9, as the allocator kept the pages of the
last one or gave them back.  It is told to keep them: that is how a process that has run
for a while does on its good days, and the peers with their copies gain most by it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
import time

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path


_PINS = hasattr(os, "sched_setaffinity")  # on Linux
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_USED = "/proc/{}/schedstat".format  # nanoseconds of its first thread come first
PINNED = (
    "Where one reader asks Redis, it shares a processor with the server: what is told "
    "is the work of both, and not how long another processor takes to wake up."
    if _PINS
    else "Processors may halt while Redis is waited for, so ratios suffer."
)
_IDLES = hasattr(os, "SCHED_IDLE")
AWAKE = (
    "Processors are kept from halting, by processes that everything else goes before."
    if _IDLES
    else "Processors may halt while others are waited for."
)
_SPINNING = """
import os, sys

os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
os.sched_setaffinity(0, {int(sys.argv[1])})
parent = int(sys.argv[2])
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""
_asked: list[int] = []  # servers whose work is counted


def spent() -> float:
    """
    Return the seconds of processor time that this thread's work has taken until now.

    That of the server it shares a processor with is part of it.
    """
    return time.thread_time() + sum(map(_seconds_used, _asked))


def _seconds_used(process: int) -> float:
    return int(Path(_USED(process)).read_bytes().split()[0]) / 1e9


@contextlib.contextmanager
def on_one_processor(server: int) -> Iterator[None]:
    """Keep this thread and the process *server* on one processor within the block."""
    if not _PINS:
        yield
        return
    before = os.sched_getaffinity(0), os.sched_getaffinity(server)
    one = {max(before[0])}  # the first has most of the interrupts
    os.sched_setaffinity(0, one)
    os.sched_setaffinity(server, one)
    _asked.append(server)
    try:
        yield
    finally:
        _asked.remove(server)
        os.sched_setaffinity(0, before[0])
        os.sched_setaffinity(server, before[1])


@contextlib.contextmanager
def awake() -> Iterator[list[int]]:
    """
    Keep every processor from halting within the block, by processes that are yielded.

    A process turns in circles on each while nobody else wants it, and ends with this.
    """
    spinners = []
    with ExitStack() as spinning:
        for processor in os.sched_getaffinity(0) if _IDLES else ():
            arguments = str(processor), str(os.getpid())
            spinner = spinning.enter_context(
                subprocess.Popen([sys.executable, "-S", "-c", _SPINNING, *arguments])
            )
            spinning.callback(spinner.kill)
            spinners.append(spinner.pid)
        yield spinners


def keep_memory() -> bool:
    """Have what is freed be used again; return whether that can be had here."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # the GNU C library's
    if mallopt is None:
        return False
    return bool(mallopt(_TRIM_THRESHOLD, 2**30) and mallopt(_MMAP_THRESHOLD, 2**25))
