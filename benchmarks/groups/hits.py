"""
How much of what is asked for is found in memory.
"""

from __future__ import annotations

import math

from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import islice
from random import Random

from benchmarks.bench import Bench
from benchmarks.results import OURS, Goal, Row
from benchmarks.stacks import entry_of, key_of
from benchmarks.traces import TRACES
from tiered_store import MemoryTier
from tiered_store.tiers.memory import BOOKKEEPING


_GAINS = {"Zipf 1.0": 6.0, "Zipf 0.9 with scans": 5.0, "Zipf 1.0 that drifts": -1.0}
_AT_LENGTH = "Zipf 1.0"
_MEDIAN, _SMALLEST, _LARGEST = 4000, 300, 300_000  # bytes: pictures, made small
Ask = Callable[[int], bool]  # for an object; whether it was there


def rows(bench: Bench) -> Iterator[Row]:
    """Replay each trace through caches that hold 5 % of all bytes, one also others."""
    for name in TRACES:
        for percent in (1, 5, 10) if name == _AT_LENGTH and not bench.quick else (5,):
            yield _row(bench, name, percent)


def _row(bench: Bench, trace: str, percent: int) -> Row:
    gain = _GAINS.get(trace) if percent == 5 else None
    rounds = 1 if bench.quick else bench.rounds
    seeds = [bench.random.getrandbits(32) for _ in range(rounds)]
    pairs = [_replay(trace, percent, seed, bench.quick) for seed in seeds]
    return bench.row(
        f"hits, {trace}, room for {percent} %",
        {"LRU": [lru for lru, _ in pairs], OURS: [ours for _, ours in pairs]},
        floor="LRU",
        unit="%",
        goal=None if gain is None else Goal(kind="gain", limit=gain),
        note="objects of 300 bytes to 300 KB, log-normal, both bounded in bytes",
    )


def _replay(trace: str, percent: int, seed: int, quick: bool) -> tuple[float, float]:
    """Return the percentage of hits of LRU and of ours, after a tenth to warm up."""
    objects, requests = (10_000, 60_000) if quick else (25_000, 200_000)
    random = Random(seed)
    sizes = _Sizes(seed)
    total = sum(sizes[number] + BOOKKEEPING for number in range(objects))
    capacity = total * percent // 100
    numbers = list(islice(TRACES[trace](random, objects), requests))
    return _hits(_lru(capacity, sizes), numbers), _hits(_ours(capacity, sizes), numbers)


def _hits(ask: Ask, numbers: list[int]) -> float:
    warm = len(numbers) // 10
    for number in numbers[:warm]:
        ask(number)
    return 100 * sum(map(ask, numbers[warm:])) / (len(numbers) - warm)


class _Sizes(dict[int, int]):
    """The bytes of each object, made up when first asked for."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def __missing__(self, number: int) -> int:
        size = int(self._random.lognormvariate(math.log(_MEDIAN), 1.0))
        self[number] = size = min(max(size, _SMALLEST), _LARGEST)
        return size


def _lru(capacity: int, sizes: _Sizes) -> Ask:
    kept: OrderedDict[int, int] = OrderedDict()
    used = 0

    def ask(number: int) -> bool:
        nonlocal used
        if number in kept:
            kept.move_to_end(number)
            return True
        kept[number] = size = sizes[number] + BOOKKEEPING
        used += size
        while used > capacity:
            used -= kept.popitem(last=False)[1]
        return False

    return ask


def _ours(capacity: int, sizes: _Sizes) -> Ask:
    tier = MemoryTier(capacity=capacity, max_object=_LARGEST)

    def ask(number: int) -> bool:
        key = key_of(number)
        if tier.get(key) is not None:
            return True
        tier.put(key, entry_of(bytes(sizes[number])))
        return False

    return ask
