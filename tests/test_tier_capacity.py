"""A store shared by several processes stays within its bytes, whoever fills it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import warnings

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.waiting import longer_and_longer, until
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.deadlines import deadline, remaining
from tiered_store.errors import (
    DeadlineError,
    DeniedError,
    FullError,
    MisconfiguredError,
    NotFoundError,
    UnavailableError,
    UnsupportedError,
)
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.faults import FaultStore
from tiered_store.tiers.capacity import Capacity
from tiered_store.tiers.header import HEADER_SIZE
from tiered_store.tiers.store import StoreTier
from tiered_store.tiers.tier import Entry, Record


LIMIT = 100_000
SIZE = 1_000  # of each copy as it is stored: a hundred of them, ninety to be kept


def key_of(number: int) -> Key:
    return Key("testing", number, 2, 3, "image/png")


def entry_of(size: int = SIZE) -> Entry:
    """Return an entry whose copy has *size* bytes."""
    content = bytes(size - HEADER_SIZE - 16)
    return Entry(Record(since=0.0, size=len(content)), Body.of(content))


@pytest.fixture
def place() -> FaultStore:
    """What several tiers share, each as if it were a process of its own."""
    return FaultStore(MemoryStore())


def tier_of(place: Store, **options) -> StoreTier:
    """Return one more process, which knows nothing yet, and for which time stands."""
    options = {"clock": FakeClock(), **options}
    return StoreTier(place, capacity=LIMIT, breaker=None, **options)


def settle(tier: StoreTier) -> Capacity:
    """Wait until *tier* has counted."""
    assert tier._bound is not None
    assert tier._bound.settle(10)
    return tier._bound


def recount(tier: StoreTier) -> bool:
    """Have *tier* count, although it is not due, and say whether it could."""
    return settle(tier)._learn()


def started(place: Store, **options) -> StoreTier:
    """Return one more process, which has listed what is there."""
    tier = tier_of(place, **options)
    tier.put(key_of(-1), entry_of(200))
    settle(tier)
    tier.delete(key_of(-1))
    return tier


def sizes_in(place: Store) -> dict[int, int]:
    """Return the bytes of each copy in *place*, whatever is wrong with it."""
    child = place.child if isinstance(place, FaultStore) else place
    sizes = {}
    for key in set(child.keys()):
        with contextlib.suppress(NotFoundError):  # it was evicted this very moment
            sizes[key.object_id] = child.stat(key).size
    return sizes


def used(place: Store) -> int:
    """Return the bytes that are in *place*."""
    return sum(sizes_in(place).values())


def numbers_in(place: Store) -> set[int]:
    """Return which copies are in *place*."""
    return set(sizes_in(place))


# -- what goes -----------------------------------------------------------------


def test_what_was_put_first_goes_first(place: FaultStore) -> None:
    """Nine tenths of the capacity are used, and no more."""
    tier = started(place)
    for number in range(200):
        assert tier.put(key_of(number), entry_of())
        assert used(place) <= LIMIT * 0.9

    assert numbers_in(place) == set(range(110, 200))


def test_what_was_asked_for_is_spared(place: FaultStore) -> None:
    """What many copies pass by that nobody asks for again stays."""
    tier = started(place)
    for number in range(10):
        tier.put(key_of(number), entry_of())
        tier.get(key_of(number))
    for number in range(100, 400):
        tier.put(key_of(number), entry_of())
        settle(tier)

    assert numbers_in(place) == {*range(10), *range(320, 400)}


def test_everything_asked_for_is_not_everything_kept(place: FaultStore) -> None:
    """Somebody goes, the newcomer stays."""
    tier = started(place)
    for number in range(300):
        tier.put(key_of(number), entry_of())
        for known in numbers_in(place):
            tier.get(key_of(known))
        assert number in numbers_in(place)

    assert used(place) <= LIMIT


def test_two_puts_of_an_object_count_once(place: FaultStore) -> None:
    """Whichever is last."""
    tier = started(place)
    with (
        ThreadPoolExecutor(1) as thread,
        place.pause("put", key=key_of(1)) as putting,
    ):
        slow = thread.submit(tier.put, key_of(1), entry_of())
        putting.wait()
        tier.put(key_of(1), entry_of(2 * SIZE))
        putting.release()
        assert slow.result()

    assert settle(tier).size == used(place) == SIZE


def test_another_copy_of_an_object_counts_once(place: FaultStore) -> None:
    """In place of the old one."""
    tier = started(place)
    for number in range(500):
        tier.put(key_of(number % 5), entry_of(SIZE + number))

    assert numbers_in(place) == set(range(5))
    assert settle(tier).size == used(place)
    for number in range(5, 70):
        tier.put(key_of(number), entry_of())
    tier.put(key_of(69), entry_of(11_000))
    tier.put(key_of(69), entry_of(11_000))
    assert numbers_in(place) == set(range(70))


def test_what_was_dropped_does_not_count(place: FaultStore) -> None:
    """By a write, because it was found corrupt, or with everything else."""
    tier = started(place)
    for number in range(80):
        tier.put(key_of(number), entry_of())
    for number in range(40):
        tier.delete(key_of(number))
    place.put(key_of(50), Body.of(b"garbage"))
    assert tier.get(key_of(50)) is None
    assert settle(tier).size == used(place) == 39 * SIZE

    tier.clear()
    assert settle(tier).size == used(place) == 0


def test_what_could_not_be_put_does_not_count(place: FaultStore) -> None:
    """Nor does the old copy, which is gone."""
    tier = started(place)
    tier.put(key_of(1), entry_of())
    place.fail("put")
    with pytest.raises(UnavailableError):
        tier.put(key_of(1), entry_of())
    assert not tier.put(key_of(2), entry_of(), lambda: False)

    assert settle(tier).size == used(place) == 0


def test_what_does_not_fit_at_all_evicts_nobody(place: FaultStore) -> None:
    """It is not kept, and nothing old is left of it."""
    tier = started(place, max_object=2 * LIMIT)
    tier.put(key_of(0), entry_of())
    tier.put(key_of(1), entry_of())

    assert not tier.put(key_of(1), entry_of(LIMIT))
    assert numbers_in(place) == {0}


# -- what goes badly -----------------------------------------------------------


def test_a_copy_that_stays_counts_and_another_goes(place: FaultStore) -> None:
    """One file that nobody may delete does not keep the tier from working."""
    tier = started(place)
    place.fail("delete", DeniedError, times=None, key=key_of(0))
    for number in range(300):
        assert tier.put(key_of(number), entry_of())
        assert used(place) <= LIMIT * 0.9

    assert 0 in numbers_in(place)


def test_where_nothing_can_be_dropped_nothing_is_kept(place: FaultStore) -> None:
    """The bound holds, and whoever puts hears of it."""
    tier = started(place)
    for number in range(90):
        tier.put(key_of(number), entry_of())
    place.fail("delete", DeniedError, times=None)

    with pytest.raises(DeniedError):
        tier.put(key_of(90), entry_of())
    assert used(place) == settle(tier).size == 90 * SIZE
    place.heal()
    assert tier.put(key_of(90), entry_of())
    assert used(place) <= 90 * SIZE


def test_a_fresh_copy_is_not_put_while_the_old_one_is_evicted(
    place: FaultStore,
) -> None:
    """It might be the one that goes, and would count until the store is listed."""
    tier = started(place)
    for number in range(90):
        tier.put(key_of(number), entry_of())
    settle(tier)._interval = LIMIT  # it is not listed meanwhile
    with (
        ThreadPoolExecutor(1) as thread,
        place.pause("delete", key=key_of(0)) as evicting,
    ):
        slow = thread.submit(tier.put, key_of(90), entry_of())
        evicting.wait()
        assert not tier.put(key_of(0), entry_of())
        evicting.release()
        assert slow.result()

    assert settle(tier).size == used(place) <= LIMIT * 0.9
    assert tier.put(key_of(0), entry_of())
    assert settle(tier).size == used(place)


def test_many_threads_stay_within_the_bound(place: FaultStore) -> None:
    """Room is made before it is taken."""
    tier = started(place)

    def work(seed: int) -> None:
        for turn in range(150):
            number = (seed * 31 + turn * 7) % 250
            if turn % 5 == 0:
                tier.delete(key_of(number))
            else:
                tier.put(key_of(number), entry_of())
                tier.get(key_of(number))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))

    assert used(place) <= LIMIT * 0.9
    recount(tier)
    assert settle(tier).size == used(place)


def test_a_store_that_is_smaller_than_its_capacity_is_used_all_the_same() -> None:
    """What does not fit makes room for the next one."""
    place = FaultStore(MemoryStore(capacity=40_000))
    tier = started(place)
    refused = 0
    for number in range(1_000):
        try:
            tier.put(key_of(number), entry_of())
        except FullError:
            refused += 1

    assert refused < 100  # once a count at most, which are as many as time allows
    settle(tier)
    assert len(numbers_in(place) & set(range(900, 1_000))) > 20


def test_room_that_came_back_is_used_again(place: FaultStore) -> None:
    """Little by little."""
    tier = started(place)
    for number in range(50):
        tier.put(key_of(number), entry_of())
    place.fail("put", FullError, times=30)
    for number in range(30):
        with pytest.raises(FullError):
            tier.put(key_of(50 + number), entry_of())
    assert used(place) < 30 * SIZE
    for number in range(100, 1_000):
        tier.put(key_of(number), entry_of())
        settle(tier)

    assert used(place) > 85 * SIZE


# -- what others left, and do --------------------------------------------------


def test_the_bytes_of_earlier_processes_count(place: FaultStore) -> None:
    """They go first."""
    for start in (0, 100):
        tier = started(place)
        for number in range(start, start + 95):
            assert tier.put(key_of(number), entry_of())
            assert used(place) <= LIMIT

    assert numbers_in(place) == set(range(105, 195))


def test_what_earlier_processes_left_goes_in_its_order() -> None:
    """By the time of its last change, as far as the store tells."""
    place = MemoryStore()
    for number in (3, 1, 2, 3):  # which stands first, but changed last
        place.put(key_of(number), Body.of(bytes(20_000)))
        time.sleep(0.01)  # as the store's own clock has it
    tier = started(place, max_object=LIMIT)
    for number, size in ((4, 20_000), (5, 50_000)):
        assert tier.put(key_of(number), entry_of(size))

    assert numbers_in(place) == {3, 4, 5}


def test_nobody_waits_while_the_store_is_listed(place: FaultStore) -> None:
    """A tenth may be put meanwhile; the rest as soon as it is known what is there."""
    for number in range(90):
        place.put(key_of(number), Body.of(bytes(SIZE)))
    tier = tier_of(place)
    with place.pause("keys") as listing:
        assert tier.put(key_of(100), entry_of())
        listing.wait()
        for number in range(101, 110):
            assert tier.put(key_of(number), entry_of())
        assert tier.get(key_of(100)) is not None
        assert tier.put(key_of(101), entry_of()), "in the place of the one that was"
        assert not tier.put(key_of(110), entry_of())
        assert used(place) == 100 * SIZE
    settle(tier)

    assert used(place) <= LIMIT * 0.9
    assert tier.put(key_of(110), entry_of())
    assert {*range(100, 111)} <= numbers_in(place)


def test_what_changes_while_it_is_listed_is_known(place: FaultStore) -> None:
    """What was put counts, what was dropped does not come back into the books."""
    tier = started(place)
    for number in range(50):
        tier.put(key_of(number), entry_of())
    settle(tier)
    place.put(key_of(80), Body.of(bytes(SIZE)))
    with place.pause("keys", after_apply=True) as listing:
        while not listing._reached.is_set():
            tier.put(key_of(60), entry_of())
        for number in range(25):
            tier.delete(key_of(number))
        tier.put(key_of(30), entry_of(2 * SIZE))
        tier.put(key_of(70), entry_of())
        tier.delete(key_of(80))  # which was another's
        with place.pause("keys") as again:
            listing.release()
            while not again._reached.is_set():  # so that the next one is due
                tier.put(key_of(60), entry_of())
            assert tier._bound.size == used(place) == 28 * SIZE
    assert settle(tier).size == used(place) == 28 * SIZE


def test_what_is_spared_while_it_is_listed_stays_spared(place: FaultStore) -> None:
    """A count does not put it back to where it was."""
    tier = started(place)
    for number in range(90):
        tier.put(key_of(number), entry_of())
    settle(tier)
    with place.pause("keys") as listing:
        for number in range(90, 110):  # the twentieth makes a count due, if not before
            tier.put(key_of(number), entry_of())
        listing.wait()
        tier.get(key_of(20))
        for number in range(110, 115):
            tier.put(key_of(number), entry_of())
        assert numbers_in(place) == {20, *range(26, 115)}
    settle(tier)
    for number in range(115, 120):
        tier.put(key_of(number), entry_of())

    assert 20 in numbers_in(place)


def test_what_others_put_is_found_out(place: FaultStore) -> None:
    """Two processes that fill one store stay within its capacity together."""
    one, two = started(place), started(place)
    for number in range(0, 1_000, 2):
        one.put(key_of(number), entry_of())
        two.put(key_of(number + 1), entry_of())
        settle(one)
        settle(two)

    assert used(place) <= LIMIT
    recount(one)
    assert one._bound.size == used(place)


def test_a_crowd_stays_within_the_capacity(place: FaultStore) -> None:
    """The more others put, the more often each looks."""
    crowd = [started(place) for _ in range(8)]
    most = 0
    for number in range(1_600):
        tier = crowd[number % 8]
        tier.put(key_of(number), entry_of())
        settle(tier)
        most = max(most, used(place)) if number > 800 else 0

    assert used(place) <= most <= LIMIT + 8 * SIZE


def test_what_others_dropped_is_found_out(place: FaultStore) -> None:
    """Room that there is gets used."""
    tier = started(place)
    for number in range(90):
        tier.put(key_of(number), entry_of())
    for number in range(80):
        place.delete(key_of(number))
    for number in range(100, 160):
        tier.put(key_of(number), entry_of())
        settle(tier)

    assert {*range(110, 160)} <= numbers_in(place)


def test_what_nobody_else_fills_is_seldom_listed(place: FaultStore) -> None:
    """Once at the start, soon again, then after each tenth."""
    tier = started(place)
    for number in range(1_000):
        tier.put(key_of(number), entry_of())
        settle(tier)

    assert place.calls["keys"] <= 1 + 1 + 1_000 // 10


def test_what_one_puts_while_it_is_listed_is_not_others(place: FaultStore) -> None:
    """Or everybody who is busy would list all the time."""
    tier = started(place)
    with place.pause("keys") as listing:
        tier.put(key_of(0), entry_of())
        listing.wait()
        for number in range(1, 20):
            tier.put(key_of(number), entry_of())
        with place.pause("keys") as again:
            listing.release()
            again.wait()
            assert tier._bound._interval == LIMIT // 10
    settle(tier)


def test_what_others_put_is_newer_than_what_was_known(place: FaultStore) -> None:
    """Found out later, it came later, so it goes later."""
    one, two = started(place), started(place)
    for number in range(40):
        one.put(key_of(number), entry_of())
    settle(one)
    for number in range(40, 80):
        two.put(key_of(number), entry_of())
    recount(one)
    for number in range(80, 120):
        one.put(key_of(number), entry_of())
        settle(one)

    assert numbers_in(place) == set(range(30, 120))


def test_what_takes_long_is_done_seldom(place: FaultStore) -> None:
    """Ten times as long nobody lists, however much is put."""
    clock = FakeClock()
    tier = started(place, clock=clock)
    with place.pause("keys") as listing:
        for number in range(20):
            tier.put(key_of(number), entry_of())
        listing.wait()
        clock.advance(5)
    calls = place.calls["keys"]
    for number in range(500):
        tier.put(key_of(number), entry_of())
        assert used(place) <= LIMIT * 0.9
    assert not tier._bound.settle(0.1)
    assert place.calls["keys"] == calls
    tier.close()
    settle(tier)


@pytest.mark.parametrize("error", [UnsupportedError, DeniedError, MisconfiguredError])
def test_where_others_cannot_be_seen_one_bounds_oneself(
    place: FaultStore, error: type[Exception]
) -> None:
    """A folder that may not be listed is nobody's copy of ours."""
    place.fail("keys", error, times=None)
    tier = started(place)
    for number in range(200):
        assert tier.put(key_of(number), entry_of())
        settle(tier)

    assert numbers_in(place) == set(range(110, 200))


def test_an_outage_is_no_empty_store(place: FaultStore) -> None:
    """Until it has been listed a tenth is all there is."""
    for number in range(90):
        place.put(key_of(number), Body.of(bytes(SIZE)))
    place.fail("keys", times=None)
    tier = tier_of(place)
    for number in range(100, 200):
        tier.put(key_of(number), entry_of())
    settle(tier)

    assert used(place) == 100 * SIZE
    place.heal()
    tier.put(key_of(110), entry_of())  # which is refused, but found out about
    settle(tier)
    assert numbers_in(place) == set(range(10, 90)) | set(range(100, 110))


def test_a_listing_that_breaks_off_forgets_nobody(place: FaultStore) -> None:
    """What was known is still there, as far as anybody knows."""
    tier = started(place)
    for number in range(90):
        tier.put(key_of(number), entry_of())
    settle(tier)
    place.fail("stat", key=key_of(50))
    assert not recount(tier)

    assert tier._bound.size == used(place)


def test_what_cannot_be_looked_at_is_passed_over(place: FaultStore) -> None:
    """A folder with the name of an object, or one that went away meanwhile."""
    for number in range(90):
        place.put(key_of(number), Body.of(bytes(SIZE)))
    place.fail("stat", "corrupt", key=key_of(7))
    place.fail("stat", "absent", key=key_of(8))
    tier = started(place)

    assert settle(tier).size == 88 * SIZE


# -- threads, forks, ends ------------------------------------------------------


def test_counting_has_no_deadline(place: FaultStore) -> None:
    """The caller who set it off has one, and is long gone."""
    for number in range(90):
        place.put(key_of(number), Body.of(bytes(SIZE)))
    for seconds in longer_and_longer(0.2):
        tier = tier_of(place)
        with place.pause("keys", after_apply=False) as listing, deadline(seconds):
            with contextlib.suppress(DeadlineError):  # before it was set off
                tier.put(key_of(100), entry_of())
                listing.wait()
            until(lambda: remaining() == 0)
        if listing._reached.is_set():
            break

    assert settle(tier).size == used(place) == 90 * SIZE


def test_a_child_process_counts_for_itself(place: FaultStore) -> None:
    """Whatever its parent was in the middle of."""
    tier = tier_of(place)
    with place.pause("keys") as listing:
        tier.put(key_of(0), entry_of())
        listing.wait()
        with tier._bound._lock, warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads
            child = os.fork()
            if child == 0:
                signal.alarm(60)  # should it wait for a lock of its parent
                try:
                    place.heal()
                    for number in range(200):
                        tier.put(key_of(number), entry_of())
                        settle(tier)
                    os._exit(0 if used(place) == 90 * SIZE else 1)
                finally:
                    os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    settle(tier)


def test_closing_ends_a_count(place: FaultStore) -> None:
    """The thread does not outlive it by more than a breath, and no other one starts."""
    for number in range(5_000):
        place.put(key_of(number), Body.of(b"x"))
    tier = tier_of(place)
    tier.put(key_of(0), entry_of())
    tier.close()

    assert settle(tier)
    assert place.calls["stat"] < 5_000
    tier.put(key_of(0), entry_of())
    assert settle(tier)
    assert place.calls["keys"] <= 1


def test_a_store_that_is_closed_meanwhile_is_no_failure(place: FaultStore) -> None:
    """Its owner is done with it."""
    tier = tier_of(place)
    with place.pause("keys") as listing:
        tier.put(key_of(0), entry_of())
        listing.wait()
        place.put(key_of(1), Body.of(b"x"))
        place.child.closed = place.closed = True
    settle(tier)
