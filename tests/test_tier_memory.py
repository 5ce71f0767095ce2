"""Copies in memory: within their bytes and their time, dropped at once and for good."""

from __future__ import annotations

import io
import itertools
import math
import os
import random
import sys
import threading

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import FrameType
from typing import Any

import pytest

from tests.test_lifecycle import in_a_child
from tests.waiting import until
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body, BytesBody
from tiered_store.errors import ConfigError, UnavailableError
from tiered_store.key import Key
from tiered_store.testing.clock import FakeClock
from tiered_store.tiers.memory import BOOKKEEPING, Copy, MemoryTier
from tiered_store.tiers.tier import FOREVER, Entry, Record
from tiered_store.wrappers.cached import CachedStore


KEY = Key("testing", 1, 2, 3, "image/png")


class SetClock(FakeClock):
    """One that can be set, as people and NTP do."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


class Dying(Body):
    """Bytes that cannot be read."""

    size = 3

    def open(self, offset: int = 0) -> io.BytesIO:
        raise UnavailableError("the origin went away")


def key(number: int) -> Key:
    """Return the key of object *number*."""
    return KEY._replace(object_id=number)


def entry_of(content: bytes | Body, **facts: float) -> Entry:
    """Return a copy of *content*."""
    body = content if isinstance(content, Body) else Body.of(content, "v1")
    return Entry(Record(since=5.0, size=body.size, version=body.version, **facts), body)


def absence(**facts: float) -> Entry:
    """Return a copy that says that there is nothing."""
    return Entry(Record(since=5.0, size=None, **facts), None)


def content_of(tier: MemoryTier, place: Key = KEY) -> bytes | None:
    """Return what *tier* has, None for nothing or absence."""
    entry = tier.get(place)
    return entry.body.read() if entry is not None and entry.body is not None else None


def at_once(tier: MemoryTier, place: Key, now: float) -> bytes | None:
    """Return what is served without asking the tier, as a cache does."""
    copy = tier.copies.get(place)
    if copy is not None:
        content = copy.content
        if content is not None and now < copy.look_at:
            if copy.hits < 3:
                copy.hits += 1
            return content
    return None


def check(tier: MemoryTier) -> None:
    """Fail if what *tier* knows of its copies does not add up."""
    assert tier.size == sum(copy.size for copy in tier.copies.values())
    assert 0 <= tier.size <= tier.capacity
    assert len(tier._queues) == len(tier.copies)
    queued = tier._queues._small.keys() | tier._queues._main.keys()
    assert queued == tier.copies.keys()
    newcomers = tier._queues._small.values()
    assert tier._queues._small_size == sum(copy.size for copy in newcomers)
    assert len(tier._queues._remembered) <= len(tier.copies)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


# -- what is kept ------------------------------------------------------------


def test_a_copy_is_what_was_put() -> None:
    """Its bytes, and everything that was known of it."""
    tier = MemoryTier()
    entry = entry_of(b"one", cost=0.5)

    assert tier.put(KEY, entry)

    kept = tier.get(KEY)
    assert kept is not None
    assert kept.body is not None
    assert kept.record == entry.record
    assert (kept.body.read(), kept.body.version) == (b"one", "v1")


def test_who_uses_it_need_not_ask_before_serving() -> None:
    """Nobody else sees it, it asks with its lock held, and it does not fail."""
    assert MemoryTier().private


def test_nothing_is_said_of_what_is_not_there() -> None:
    """Nor does dropping it do any harm."""
    tier = MemoryTier()
    tier.delete(KEY)

    assert tier.get(KEY) is None


def test_the_bytes_are_not_copied() -> None:
    """A hit costs the same at any size."""
    content = bytes(range(256))
    tier = MemoryTier()
    tier.put(KEY, entry_of(content))

    assert content_of(tier) is content
    assert at_once(tier, KEY, 0) is content


def test_a_body_that_is_not_in_memory_is_read() -> None:
    """Once: what is kept does not depend on a file that may go."""

    class Spooled(BytesBody):
        pass

    spooled = Spooled(b"one", "v1")
    spooled.provisional, spooled.reproducible = True, False
    tier = MemoryTier()
    tier.put(KEY, entry_of(spooled))

    kept = tier.get(KEY)
    assert kept is not None
    assert type(kept.body) is BytesBody
    assert kept.body.read() == b"one"
    assert (kept.body.provisional, kept.body.reproducible) == (True, False)


def test_what_one_reader_is_told_another_does_not_hear() -> None:
    """Whoever passes a body on may mark it as provisional: that one alone."""
    body = Body.of(b"one")
    tier = MemoryTier()
    tier.put(KEY, entry_of(body))

    body.provisional = True
    first = tier.get(KEY)
    assert first is not None
    assert first.body is not None
    first.body.provisional = True

    second = tier.get(KEY)
    assert second is not None
    assert second.body is not None
    assert not second.body.provisional


def test_absence_is_kept_and_never_served_as_bytes() -> None:
    """It has none, so whoever looks for bytes has to look closer."""
    tier = MemoryTier()
    assert tier.put(KEY, absence())

    kept = tier.get(KEY)
    assert kept is not None
    assert kept.record.absent
    assert kept.body is None
    assert at_once(tier, KEY, 0) is None
    assert tier.size == BOOKKEEPING  # it is not free

    tier.put(KEY, entry_of(b""))
    assert content_of(tier) == b""
    tier.put(KEY, absence())
    assert content_of(tier) is None


def test_a_tuple_finds_it() -> None:
    """To make a key of five values takes longer than all the rest of a hit."""
    tier = MemoryTier()
    tier.put(KEY, entry_of(b"one"))

    assert tier.copies[("testing", 1, 2, 3, "image/png")].content == b"one"  # type: ignore[index]  # equal to a key


# -- what is not -------------------------------------------------------------

LARGE = 100_001


@pytest.mark.parametrize(
    "refused",
    [
        entry_of(bytes(LARGE)),
        Entry(Record(since=5.0, size=3), None),  # its bytes are elsewhere
        entry_of(b"old", fresh_until=1_000.0),
        absence(fresh_until=1_000.0),
    ],
    ids=["too large", "elsewhere", "over", "absence that is over"],
)
def test_what_is_not_kept_leaves_no_older_copy(refused: Entry, clock) -> None:
    """The older one is not what is there any more."""
    tier = MemoryTier(capacity=1_000_000, max_object=LARGE - 1, clock=clock)
    tier.put(KEY, entry_of(b"one"))

    assert not tier.put(KEY, refused)

    assert tier.get(KEY) is None
    assert (tier.size, len(tier.copies)) == (0, 0)


def test_what_cannot_be_read_leaves_no_older_copy() -> None:
    """And its error is told as it is."""
    tier = MemoryTier()
    tier.put(KEY, entry_of(b"one"))

    with pytest.raises(UnavailableError, match="the origin went away"):
        tier.put(KEY, entry_of(Dying()))

    assert tier.get(KEY) is None
    check(tier)


def test_one_that_takes_all_the_room_is_kept_and_a_larger_one_is_not() -> None:
    """Bookkeeping counts; nothing is evicted in vain."""
    tier = MemoryTier(capacity=10_000, max_object=10_000)
    tier.put(key(7), entry_of(b"one"))

    assert not tier.put(KEY, entry_of(bytes(10_001 - BOOKKEEPING)))
    assert content_of(tier, key(7)) == b"one"

    assert tier.put(KEY, entry_of(bytes(10_000 - BOOKKEEPING)))
    assert tier.size == 10_000
    assert tier.get(key(7)) is None


def test_what_is_not_allowed_is_not_kept() -> None:
    """Nor is an older copy: somebody wrote."""
    tier = MemoryTier()
    tier.put(KEY, entry_of(b"one"))

    assert not tier.put(KEY, entry_of(b"two"), lambda: False)

    assert tier.get(KEY) is None
    check(tier)


def test_who_is_asked_and_fails_breaks_nothing() -> None:
    """The lock is free again, and nothing is kept."""
    tier = MemoryTier()

    def fails() -> bool:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        tier.put(KEY, entry_of(b"two"), fails)

    assert tier.get(KEY) is None
    check(tier)


def test_a_drop_cannot_come_between_the_question_and_the_change(threads) -> None:
    """What was allowed is there when whoever forbids it drops it, so it goes."""
    tier = MemoryTier()
    drops = []

    def allowed() -> bool:
        drops.append(threads.submit(tier.delete, KEY))
        with pytest.raises(TimeoutError):
            drops[0].result(0.05)
        return True

    tier.put(KEY, entry_of(b"old"), allowed)
    drops[0].result()

    assert tier.get(KEY) is None


# -- dropping ----------------------------------------------------------------


def test_a_drop_reaches_those_who_have_looked_it_up() -> None:
    """A reader between the two steps of a hit does not serve what is gone."""
    tier = MemoryTier()
    for drop in (
        lambda: tier.delete(KEY),
        lambda: tier.put(KEY, entry_of(b"two")),
        lambda: tier.put(KEY, entry_of(b"two"), lambda: False),
    ):
        tier.put(KEY, entry_of(b"one"))
        found = tier.copies[KEY]
        drop()
        assert found.content is None


def test_a_reader_who_is_overtaken_finds_nothing() -> None:
    """It is not told that the object is absent."""
    tier = MemoryTier()
    tier.put(KEY, entry_of(b"one"))
    found = tier.copies[KEY]
    tier.delete(KEY)
    tier.copies[KEY] = found  # as it is for one who looked it up just before

    assert tier.get(KEY) is None


def test_dropping_everything_leaves_a_tier_like_new() -> None:
    """The dictionary stays: somebody may hold it."""
    tier = MemoryTier(capacity=20_000)
    copies = tier.copies
    for number in range(50):
        tier.put(key(number), entry_of(bytes(500)))

    tier.clear()

    assert tier.copies is copies
    assert (tier.size, len(copies)) == (0, 0)
    assert tier.put(KEY, entry_of(b"two"))
    assert content_of(tier) == b"two"
    check(tier)


def test_what_is_dropped_is_freed_at_once() -> None:
    """No queue holds on to it until its turn comes."""

    tier = MemoryTier()
    content = os.urandom(10)
    references = sys.getrefcount(content)
    tier.put(KEY, entry_of(content))
    assert sys.getrefcount(content) > references

    tier.delete(KEY)

    assert sys.getrefcount(content) == references


# -- time --------------------------------------------------------------------


def test_a_copy_is_believed_for_its_ttl(clock) -> None:
    """Not a moment longer, and then its room is free."""
    tier = MemoryTier(ttl=60, jitter=0, clock=clock)
    tier.put(KEY, entry_of(b"one"))

    clock.advance(59.9)
    kept = tier.get(KEY)
    assert kept is not None
    assert kept.record is tier.copies[KEY].record  # a hit makes no new one
    assert content_of(tier) == b"one"
    assert at_once(tier, KEY, clock.monotonic()) == b"one"
    clock.advance(0.1)
    assert at_once(tier, KEY, clock.monotonic()) is None
    assert tier.get(KEY) is None
    assert tier.size == 0
    check(tier)


def test_without_a_ttl_it_is_believed_for_good(clock) -> None:
    """As long as it is kept."""
    tier = MemoryTier(clock=clock)
    tier.put(KEY, entry_of(b"one"))

    clock.advance(1e9)

    kept = tier.get(KEY)
    assert kept is not None
    assert kept.record.fresh_until == FOREVER
    assert at_once(tier, KEY, clock.monotonic()) == b"one"


def test_it_is_not_believed_longer_than_where_it_comes_from(clock) -> None:
    """A far tier's copy that ends in ten seconds ends here in ten as well."""
    tier = MemoryTier(ttl=60, jitter=0, clock=clock)
    tier.put(KEY, entry_of(b"one", fresh_until=clock.time() + 10))

    clock.advance(10)

    assert tier.get(KEY) is None


def test_a_copy_that_is_over_is_kept_in_case_of_need(clock) -> None:
    """For the grace; it tells that it is over, and nobody serves it unasked."""
    tier = MemoryTier(ttl=60, jitter=0, clock=clock)
    tier.grace = 30
    tier.put(KEY, entry_of(b"one"))
    clock.advance(60)

    assert at_once(tier, KEY, clock.monotonic()) is None
    kept = tier.get(KEY)
    assert kept is not None
    assert not kept.record.fresh(clock.time())
    clock.advance(30)
    assert tier.get(KEY) is None


def test_one_that_is_over_already_is_kept_in_case_of_need(clock) -> None:
    """As a far tier's copy is that is served while it is refreshed."""
    tier = MemoryTier(ttl=60, clock=clock)
    tier.grace = 30
    assert tier.put(KEY, entry_of(b"one", fresh_until=clock.time() - 10))

    kept = tier.get(KEY)
    assert kept is not None
    assert not kept.record.fresh(clock.time())
    clock.advance(20)
    assert tier.get(KEY) is None


@pytest.mark.parametrize("ahead", [3600.0, -3600.0])
def test_setting_the_clock_changes_no_age(clock, ahead: float) -> None:
    """Neither does a copy end at once, nor does it live an hour longer."""
    tier = MemoryTier(ttl=60, jitter=0, clock=clock)
    tier.grace = 30
    tier.put(KEY, entry_of(b"one"))
    clock.advance(59)
    clock.ahead = ahead

    kept = tier.get(KEY)
    assert kept is not None
    assert kept.record.fresh(clock.time())
    assert at_once(tier, KEY, clock.monotonic()) == b"one"
    clock.advance(1)
    over = tier.get(KEY)
    assert over is not None
    assert not over.record.fresh(clock.time())
    assert at_once(tier, KEY, clock.monotonic()) is None
    clock.advance(30)
    assert tier.get(KEY) is None


def test_copies_made_together_do_not_end_together(clock) -> None:
    """Nor any of them after the ttl."""
    tier = MemoryTier(ttl=100, jitter=0.5, clock=clock)
    for number in range(200):
        tier.put(key(number), entry_of(b"x"))

    def alive() -> int:
        return sum(tier.get(key(number)) is not None for number in range(200))

    clock.advance(49)
    assert alive() == 200
    clock.advance(25)
    assert 0 < alive() < 200
    clock.advance(26)
    assert alive() == 0


def test_a_refresh_before_the_end_is_drawn_only_where_it_has_a_chance(clock) -> None:
    """Before that a hit need not draw: it would say no, but once in 20,000 times."""
    tier = MemoryTier(ttl=60, jitter=0, clock=clock)
    tier.early = 2.0
    tier.put(KEY, entry_of(b"one", cost=0.5))

    copy = tier.copies[KEY]
    ahead = clock.monotonic() + 60 - copy.look_at

    chance = math.exp(-ahead / (2.0 * 0.5))  # that a draw comes to as much
    assert 1 / 100_000 < chance < 1 / 20_000
    clock.advance(copy.look_at)
    kept = tier.get(KEY)
    assert kept is not None
    assert kept.record.fresh(clock.time())


def test_a_cache_refreshes_early_what_it_serves_at_once(clock) -> None:
    """Hits that ask nobody come to an end before the copy does."""

    class Slow(MemoryStore):
        def _get(self, key: Key) -> Body:
            clock.advance(0.1)
            return super()._get(key)

    origin, tier = Slow(), MemoryTier(ttl=60, clock=clock)
    store = CachedStore(origin, [tier], early_refresh=1e9, clock=clock)
    origin.put(KEY, Body.of(b"one"))
    store.get_file(*KEY)
    origin.put(KEY, Body.of(b"two"))

    until(lambda: store.get_file(*KEY).read() == b"two")

    assert clock.monotonic() < 60
    store.close()


def test_a_copy_without_end_is_not_refreshed_early(clock) -> None:
    """However long its fetch took."""
    tier = MemoryTier(clock=clock)
    tier.early = 1e9
    tier.put(KEY, entry_of(b"one", cost=1e9))

    assert tier.copies[KEY].look_at == FOREVER


# -- room --------------------------------------------------------------------


def test_it_is_bounded_in_bytes_whatever_happens(clock) -> None:
    """It never tells anything but the last bytes put, or nothing."""
    tier = MemoryTier(capacity=50_000, max_object=9_000, ttl=50, clock=clock)
    chance = random.Random(7)
    last: dict[Key, bytes | None] = {}
    for turn in range(5_000):
        place = key(int(chance.paretovariate(0.5)) % 97)
        action = chance.random()
        if action < 0.5:
            assert content_of(tier, place) in {None, last.get(place)}
        elif action < 0.9:
            content = turn.to_bytes(2) * chance.randrange(6_000)
            kept = tier.put(place, entry_of(content), lambda: chance.random() < 0.9)
            last[place] = content if kept else None
        elif action < 0.93:
            last[place] = None
            tier.put(place, absence())
        elif action < 0.99:
            last[place] = None
            tier.delete(place)
        elif action < 0.992:
            last.clear()
            tier.clear()
        else:
            clock.advance(5)
        check(tier)


def test_many_absent_objects_fill_no_memory() -> None:
    """Whoever asks for a million things that are not there."""
    tier = MemoryTier(capacity=100_000)
    for number in range(1_000):
        tier.put(key(number), absence())

    assert len(tier.copies) == 100_000 // BOOKKEEPING
    check(tier)


def test_a_scan_does_not_flush_what_is_popular() -> None:
    """However it is asked for: through the tier, or past it."""
    tier = MemoryTier(capacity=30 * (BOOKKEEPING + 1_000))
    popular = [key(number) for number in range(20)]
    for place in popular:
        tier.put(place, entry_of(bytes(1_000)))
    for place in popular[:10]:
        tier.get(place)
    for place in popular[10:]:
        at_once(tier, place, 0)

    for number in range(1_000, 1_500):
        tier.put(key(number), entry_of(bytes(1_000)))

    assert all(place in tier.copies for place in popular)


def test_hits_count_up_to_three() -> None:
    """So that what was popular once does not stay for ever."""
    tier = MemoryTier()
    tier.put(KEY, entry_of(b"one"))
    for _ in range(10):
        tier.get(KEY)

    assert tier.copies[KEY].hits == 3


def interrupted(work: Callable[[], object], line: int) -> bool:
    """Do *work* and raise ``KeyboardInterrupt`` at its n-th line; say if it came to."""
    left = line

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        module, name = frame.f_globals["__name__"], frame.f_code.co_name
        # no signal comes between the end of a block and the release of its lock
        if module.startswith("tiered_store.tiers.") and name != "_alone":
            left -= event == "line"
            if left == 0:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (lambda tier: tier.put(KEY, entry_of(bytes(3_000))), 80),
        (lambda tier: tier.put(key(7), entry_of(b"two")), 40),
        (lambda tier: tier.delete(key(7)), 10),
        (lambda tier: tier.clear(), 7),
    ],
    ids=["evict", "replace", "delete", "clear"],
)
def test_a_change_that_is_interrupted_leaves_what_adds_up(change, lines: int) -> None:
    """A worker that is stopped at any line and goes on has a cache that works."""
    for line in itertools.count(1):
        tier = MemoryTier(capacity=8_000, max_object=8_000)
        for number in (7, 8, 9, 10, 11, 7):
            tier.put(key(number), entry_of(b"one"))
        if not interrupted(partial(change, tier), line):
            break
        check(tier)
        assert tier.put(KEY, entry_of(b"new"))
        assert content_of(tier) == b"new"

    assert line > lines


def test_a_copy_is_replaced_without_a_gap() -> None:
    """Whoever finds none asks the origin, and waits for it."""
    tier = MemoryTier(capacity=8_000, max_object=8_000)
    for number in (8, 9, 7):
        tier.put(key(number), entry_of(bytes(1_000)))
    seen: list[bytes | None] = []

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_globals["__name__"].startswith("tiered_store.tiers."):
            if event == "line":
                seen.append(content_of(tier, key(7)))
            return trace
        return None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        tier.put(key(7), entry_of(b"new" * 2_000))  # others have to go for it
    finally:
        sys.settrace(before)

    assert set(seen) == {bytes(1_000), b"new" * 2_000}
    assert content_of(tier, key(7)) == b"new" * 2_000


def test_who_is_about_to_look_at_what_is_replaced_finds_the_new() -> None:
    """It has the old one in hand already, of which nothing is left."""
    tier = MemoryTier()
    tier.put(KEY, entry_of(b"old"))
    old = tier.copies[KEY]
    tier.put(KEY, entry_of(b"new"))
    looked = iter([old])

    class Late(dict[Key, Copy]):
        def get(self, key: Key, default: Any = None) -> Any:
            return next(looked, None) or super().get(key, default)

    tier.copies = Late(tier.copies)

    assert content_of(tier) == b"new"


@pytest.mark.parametrize(
    "options", [{"capacity": 0}, {"jitter": 1.5}, {"jitter": -0.1}]
)
def test_what_makes_no_sense_is_told_at_once(options) -> None:
    """When it is configured, not when it is used."""
    with pytest.raises(ConfigError, match=next(iter(options))):
        MemoryTier(**options)


# -- threads and forks -------------------------------------------------------


def hammer(threads: ThreadPoolExecutor, *works: Callable[[], None]) -> None:
    """Do all *works* at a time."""
    together = threading.Barrier(len(works))

    def start(work: Callable[[], None]) -> None:
        together.wait(60)
        work()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that they meet in every place
    try:
        for done in [threads.submit(start, work) for work in works]:
            done.result()
    finally:
        sys.setswitchinterval(before)


def test_eight_threads_do_everything_at_a_time(threads) -> None:
    """No bytes of another object, no byte too many, and in the end it adds up."""
    tier = MemoryTier(capacity=40_000, ttl=0.001)
    tier.grace = 0.001

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for turn in range(3_000):
            number = chance.randrange(40)
            place, action = key(number), chance.random()
            if action < 0.55:
                served = (content_of(tier, place), at_once(tier, place, math.inf))
                assert {*(served[0] or ()), *(served[1] or ())} <= {number}
            elif action < 0.9:
                content = bytes([number]) * chance.randrange(3_000)
                tier.put(place, entry_of(content), lambda: chance.random() < 0.9)
            elif action < 0.999:
                tier.delete(place)
            else:
                tier.clear()
            assert tier.size <= 40_000, turn

    hammer(threads, *[lambda seed=seed: work(seed) for seed in range(8)])

    check(tier)


def test_nothing_of_before_a_write_is_served_after_it(threads) -> None:
    """Whoever fills meanwhile, and however a reader looks: a drop is for good."""
    tier = MemoryTier(capacity=40_000)
    begun, ended = [0] * 4, [0] * 4
    stop = threading.Event()

    def write() -> None:
        for turn in range(4_000):
            number = turn % 4
            begun[number] += 1
            tier.delete(key(number))
            ended[number] = begun[number]
        stop.set()

    def read(seed: int) -> None:
        turn = seed
        while not stop.is_set():
            turn += 1
            number = turn % 4
            oldest = ended[number]
            found = at_once(tier, key(number), 0) or content_of(tier, key(number))
            if found is not None:
                assert int(found) >= oldest
                continue
            noted = begun[number]
            tier.put(
                key(number),
                entry_of(b"%d" % noted),
                lambda number=number, noted=noted: begun[number] == noted,
            )

    hammer(threads, write, *[lambda seed=seed: read(seed) for seed in range(7)])

    check(tier)


def test_a_child_has_the_copies_and_a_lock_of_its_own() -> None:
    """Its parent is not disturbed by what it does with them."""
    tier = MemoryTier()
    tier.put(KEY, entry_of(b"one"))

    def work() -> None:
        assert content_of(tier) == b"one"
        tier.delete(KEY)
        assert tier.get(KEY) is None

    in_a_child(work)

    assert content_of(tier) == b"one"


def test_a_child_forked_in_the_midst_of_a_change_begins_anew(threads) -> None:
    """Nobody will finish the change, so what is there may not add up."""
    tier = MemoryTier(capacity=20_000)
    for number in range(30):
        tier.put(key(number), entry_of(bytes(500)))
    forked, inside = threading.Event(), threading.Event()

    def change() -> None:
        with tier._lock:
            tier._queues.evict()  # and its copy is still there
            inside.set()
            forked.wait(60)

    changing = threads.submit(change)
    inside.wait(60)

    def work() -> None:
        check(tier)
        for number in range(30):
            tier.put(key(number), entry_of(bytes(500)))
            tier.delete(key(number - 3))
        check(tier)

    try:
        in_a_child(work)
    finally:
        forked.set()
        changing.result()
