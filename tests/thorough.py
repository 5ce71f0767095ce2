"""
Random examples: few in every run, many in ``make soak``.

A run of all tests has to be short, so each draws as few as still find what a broken
line does.  ``TIERED_STORE_THOROUGH=20`` draws twenty times as many, the same first.
"""

from __future__ import annotations

import os


TIMES = int(os.environ.get("TIERED_STORE_THOROUGH", "1"))


def seeds(first: int, count: int) -> range:
    """Return *count* seeds from *first* on, or as many more as are asked for."""
    return range(first, first + count * TIMES)


def chunks(first: int, count: int, each: int) -> list[range]:
    """Return *count* tests' seeds, *each* of them so many, from *first* on."""
    return [
        range(first + each * number, first + each * (number + 1))
        for number in range(count * TIMES)
    ]
