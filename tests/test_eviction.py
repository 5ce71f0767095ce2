"""Who goes when memory is full: what nobody asks for, and no scan flushes the rest."""

from __future__ import annotations

import math
import sys

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from random import Random
from types import FrameType
from typing import Any

import pytest

from benchmarks.traces import TRACES
from tiered_store.body import Body
from tiered_store.key import Key
from tiered_store.testing.clock import FakeClock
from tiered_store.tiers.eviction import FREQUENT, Queues
from tiered_store.tiers.memory import BOOKKEEPING, MemoryTier
from tiered_store.tiers.tier import Entry, Record


KEY = Key("testing", 1, 2, 3, "image/png")


def key(number: int) -> Key:
    """Return the key of object *number*."""
    return KEY._replace(object_id=number)


# -- the order ---------------------------------------------------------------


class Thing:
    """Takes room."""

    def __init__(self, size: int = 1, hits: int = 0) -> None:
        self.size = size
        self.hits = hits


def queues_of(*things: Thing, capacity: int = 100) -> Queues:
    """Return queues to which *things* came in this order."""
    queues = Queues(capacity)
    for number, thing in enumerate(things):
        queues.add(key(number), thing)
    return queues


def evicted(queues: Queues, count: int | None = None) -> list[int]:
    """Return whose turn it is to go, for as long as there are any."""
    turns = len(queues) if count is None else count
    return [queues.evict().object_id for _ in range(turns)]


def settled(*things: Thing) -> Queues:
    """Return queues where *things* are newcomers no more, one after the other."""
    asked = [Thing(thing.size, 1) for thing in things]
    newcomer = Thing()
    queues = queues_of(*asked, newcomer, capacity=0)
    assert evicted(queues, 1) == [len(things)]
    for thing, chosen in zip(asked, things, strict=True):
        thing.hits = chosen.hits
    return queues


def test_who_came_first_and_was_not_asked_for_goes_first() -> None:
    """One hit is enough to see the others go before, and more do not help yet."""
    queues = queues_of(Thing(), Thing(hits=3), Thing(), Thing(hits=1), capacity=1)

    assert evicted(queues) == [0, 2, 1, 3]
    assert (queues.size, len(queues)) == (0, 0)


def test_newcomers_go_before_those_who_stayed() -> None:
    """As long as they take more than a tenth: a scan takes nobody else's room."""
    queues = queues_of(*[Thing(10, hits=1) for _ in range(9)])

    for number in range(10, 60):
        queues.add(key(number), Thing(10))
        if queues.size > 90:
            assert queues.evict().object_id in {0, number - 1, number}

    assert len(queues._main) >= 8


def test_few_newcomers_may_wait() -> None:
    """Up to a tenth of the room is theirs, although nobody asked for them yet."""
    queues = queues_of(*[Thing(10, hits=1) for _ in range(9)], Thing(10))

    assert evicted(queues, 2) == [0, 1]


def test_who_comes_back_soon_stays() -> None:
    """It was asked for twice, only not while it was here."""
    queues = queues_of(*[Thing(10) for _ in range(10)])
    assert evicted(queues, 1) == [0]

    for number in (0, 20, 21):
        queues.add(key(number), Thing(10))

    assert evicted(queues, 10) == [*range(1, 10), 20]


@pytest.mark.parametrize("times", [1, 2, 3])
def test_who_is_asked_for_is_spared_as_often(times: int) -> None:
    """Each turn uses up one hit."""
    others = [Thing(hits=hits) for hits in (times - 1, 0, 0)]
    queues = settled(Thing(hits=times), *others)

    assert evicted(queues)[-1] == 0


@pytest.mark.parametrize(("size", "needed"), [(10, 1), (14, 1), (16, 2), (26, 3)])
def test_a_large_one_must_be_asked_for_more_often(size: int, needed: int) -> None:
    """As many times, up to three, as it takes the room of an average one."""
    for hits in range(FREQUENT + 1):
        others = [Thing(10) for _ in range(90)]

        spared = evicted(settled(Thing(size, hits), *others), 1) == [1]

        assert spared == (hits >= needed)


def test_a_huge_one_that_is_popular_is_spared() -> None:
    """Three hits are enough at any size."""
    things = [Thing(10_000, hits=3), *[Thing(10) for _ in range(50)]]

    assert evicted(settled(*things), 3) == [1, 2, 3]


def test_who_is_dropped_and_comes_back_stays() -> None:
    """What is popular is written, or ends, and is fetched again: no newcomer."""
    queues = queues_of(*[Thing(10) for _ in range(10)])
    queues.remove(key(4))
    assert (queues.size, len(queues)) == (90, 9)

    for number in (4, 20, 21):
        queues.add(key(number), Thing(10))

    assert evicted(queues, 10) == [0, 1, 2, 3, 5, 6, 7, 8, 9, 20]


def test_those_who_went_are_remembered_as_long_as_there_are_as_many() -> None:
    """What is remembered of them is bounded, and small."""
    queues = queues_of(*[Thing() for _ in range(100)], capacity=100)
    for number in range(100, 1000):
        queues.add(key(number), Thing())
        queues.evict()
        assert len(queues._remembered) <= len(queues)
    for number in range(900, 1000):
        if hash(key(number)) not in queues._remembered:
            queues.remove(key(number))

    assert len(queues._remembered) <= len(queues)


def test_a_crowd_of_popular_ones_is_not_gone_through() -> None:
    """Somebody goes after a hundred were spared: nobody waits for one put."""
    things = [Thing(hits=FREQUENT) for _ in range(5_000)]
    queues = queues_of(*things)

    evicted(queues, 1)

    assert sum(thing.hits == FREQUENT for thing in things) >= 4_900


# -- how long it takes -------------------------------------------------------


def lines(work: Callable[[], object]) -> int:
    """Return how many lines of Python *work* runs."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def entry_of(size: int) -> Entry:
    """Return a copy of *size* bytes."""
    return Entry(Record(since=0.0, size=size), Body.of(bytes(size)))


def costs(count: int) -> dict[str, float]:
    """Return lines of Python a change, of a tier in which *count* copies just fit."""
    clock = FakeClock()
    tier = MemoryTier(capacity=count * (BOOKKEEPING + 1), ttl=9, clock=clock)
    copies = [(key(number), entry_of(1)) for number in range(2 * count)]
    for copy in copies[:count]:
        tier.put(*copy)
    assert tier.size == tier.capacity

    def drop() -> None:
        for place, _ in copies[: count // 2]:
            tier.delete(place)

    def evict() -> None:
        for copy in copies[count:]:
            tier.put(*copy)

    def expire() -> None:
        clock.advance(9)
        for place, _ in copies[count:]:
            tier.get(place)
        assert tier.size == 0

    return {work.__name__: lines(work) / count for work in (drop, evict, expire)}


def test_a_change_takes_as_long_in_a_large_tier_as_in_a_small_one() -> None:
    """Drops, evictions and expiries alike."""
    small, large = costs(100), costs(10_000)

    assert all(large[work] < 1.2 * small[work] for work in small), (small, large)


# -- how good it is ----------------------------------------------------------

OBJECTS, REQUESTS = 10_000, 60_000
Ask = Callable[[int], bool]


class Sizes(dict[int, int]):
    """Bytes of pictures: half of them above 60 kB, 5 kB to 5 MB, log-normal."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def __missing__(self, number: int) -> int:
        size = int(self._random.lognormvariate(math.log(60_000), 1.0))
        self[number] = size = min(max(size, 5_000), 5_000_000)
        return size


def lru(capacity: int, sizes: Sizes) -> Ask:
    """Return a cache that drops what was not asked for the longest."""
    kept: OrderedDict[int, int] = OrderedDict()
    used = 0

    def ask(number: int) -> bool:
        nonlocal used
        if number in kept:
            kept.move_to_end(number)
            return True
        kept[number] = size = BOOKKEEPING + sizes[number]
        used += size
        while used > capacity:
            used -= kept.popitem(last=False)[1]
        return False

    return ask


def ours(capacity: int, sizes: Sizes) -> Ask:
    """Return the tier, asked and filled as a cache does."""
    tier = MemoryTier(capacity=capacity)

    def ask(number: int) -> bool:
        if tier.get(key(number)) is not None:
            return True
        tier.put(key(number), entry_of(sizes[number]))
        assert tier.size <= capacity
        return False

    return ask


@pytest.mark.parametrize(
    ("trace", "percent", "gain"),
    [
        ("Zipf 0.8", 1, 10.0),  # 28 instead of 16
        ("Zipf 0.8", 5, 9.0),
        ("Zipf 1.0", 5, 6.0),
        ("Zipf 0.9 with scans", 5, 5.0),
        ("Zipf 1.0 that drifts", 5, -1.0),
        ("Zipf 1.0 that drifts", 10, -1.0),
    ],
)
def test_more_is_found_than_with_lru(trace: str, percent: int, gain: float) -> None:
    """Percentage points of all requests, if some percent of all bytes fit."""
    sizes = Sizes(1)
    numbers = list(islice(TRACES[trace](Random(1), OBJECTS), REQUESTS))
    capacity = sum(sizes[number] for number in range(OBJECTS)) * percent // 100

    theirs = 100 * sum(map(lru(capacity, sizes), numbers)) / REQUESTS
    found = 100 * sum(map(ours(capacity, sizes), numbers)) / REQUESTS

    assert found >= theirs + gain
