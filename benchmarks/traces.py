"""
What is asked for, in what order: popularity, scans, and fashions that change.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterator
from itertools import accumulate, count
from random import Random


Trace = Iterator[int]


def zipf(random: Random, objects: int, exponent: float) -> Trace:
    """Ask for few objects often and for many rarely."""
    shares = list(accumulate(rank**-exponent for rank in range(1, objects + 1)))
    names = random.sample(range(objects), objects)
    while True:
        yield names[bisect(shares, random.random() * shares[-1])]


def with_scans(random: Random, trace: Trace, part: float, length: int) -> Trace:
    """Let scans of *length* objects asked for only once be *part* of the requests."""
    fresh = count(10**9)
    chance = part / length / (1 - part)
    for number in trace:
        yield number
        if random.random() < chance:
            for _ in range(length):
                yield next(fresh)


def drifting(random: Random, objects: int, exponent: float, period: int) -> Trace:
    """Change what is popular every *period* requests."""
    while True:
        trace = zipf(random, objects, exponent)
        for _ in range(period):
            yield next(trace)


TRACES: dict[str, Callable[[Random, int], Trace]] = {
    "Zipf 0.8": lambda random, objects: zipf(random, objects, 0.8),
    "Zipf 1.0": lambda random, objects: zipf(random, objects, 1.0),
    "Zipf 0.9 with scans": lambda random, objects: with_scans(
        random, zipf(random, objects, 0.9), 0.3, 1000
    ),
    "Zipf 1.0 that drifts": lambda random, objects: drifting(
        random, objects, 1.0, objects
    ),
}
