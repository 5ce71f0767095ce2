"""The cache: never stale, one fetch, nothing but slower when a tier breaks."""

from __future__ import annotations

import contextlib
import threading

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.errors import (
    ConfigError,
    InconclusiveError,
    NotFoundError,
    PartialWriteError,
    UnavailableError,
)
from tiered_store.events import (
    CacheFilled,
    CacheHit,
    CacheMissed,
    CachePoisoned,
    FillRejected,
    TierBypassed,
)
from tiered_store.journals.memory import MemoryJournal
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.faults import FaultStore
from tiered_store.testing.recording import Recorder
from tiered_store.tiers.memory import MemoryTier
from tiered_store.tiers.redis import RedisTier
from tiered_store.tiers.store import StoreTier
from tiered_store.tree import observe
from tiered_store.wrappers.cached import CachedStore
from tiered_store.wrappers.fallback import FallbackStore
from tiered_store.wrappers.replicated import ReplicatedStore


KEY = Key("testing", 1, 2, 3, "image/png")


made: list[Stack] = []


@pytest.fixture(autouse=True)
def closing() -> Iterator[None]:
    """Close what a test has made, so that nothing is tried in vain for ever."""
    yield
    while made:
        made.pop().store.close()


class Stack:
    """A cache over a faulty origin, with one faulty tier unless told otherwise."""

    def __init__(self, *tiers: Store | MemoryTier | StoreTier) -> None:
        self.origin = FaultStore(MemoryStore())
        self.tier = FaultStore(MemoryStore())
        self.asked = 0
        chosen = tiers or (StoreTier(self.tier, breaker=None),)
        self.store = CachedStore(self.origin, list(chosen))
        self.recorder = Recorder()
        self.stop_listening = observe(self.store, self.recorder)
        made.append(self)

    def once(self) -> bool:
        """Return whether this is the first time of asking."""
        self.asked += 1
        return self.asked == 1

    def put(self, content: bytes) -> None:
        self.store.put(KEY, Body.of(content))

    def get(self) -> bytes:
        return self.store.get(KEY).read()


@pytest.fixture
def threads():
    with ThreadPoolExecutor(64) as pool:
        yield pool


def test_a_hit_does_not_ask_the_origin() -> None:
    """The second read comes from the tier, and both are events."""
    stack = Stack()
    stack.put(b"new")

    assert [stack.get(), stack.get()] == [b"new", b"new"]

    assert stack.origin.calls["get"] == 1
    assert len(stack.recorder.of(CacheMissed)) == 1
    assert len(stack.recorder.of(CacheHit)) == 1


def test_a_miss_asks_a_store_for_a_copy_once() -> None:
    """It may be a bucket, where another question costs another round trip."""
    stack = Stack()
    stack.origin.put(KEY, Body.of(b"new"))

    stack.get()

    assert stack.tier.calls["get"] == 1


class Hesitant(MemoryStore):
    """Whoever misses first is told so late."""

    def __init__(self) -> None:
        super().__init__()
        self.missed, self.told = threading.Event(), threading.Event()

    def _get(self, key: Key) -> Body:
        try:
            return super()._get(key)
        except NotFoundError:
            if not self.missed.is_set():
                self.missed.set()
                self.told.wait(30)
            raise


def test_who_missed_finds_what_another_has_brought_since(threads) -> None:
    """A miss of before a fetch is no reason to fetch once more."""
    tier = Hesitant()
    stack = Stack(StoreTier(tier))
    stack.origin.put(KEY, Body.of(b"new"))
    slow = threads.submit(stack.get)
    tier.missed.wait(30)
    stack.get()
    tier.told.set()

    assert slow.result(30) == b"new"
    assert stack.origin.calls["get"] == 1


def test_a_slow_fill_overtaken_by_a_put_is_not_kept(threads) -> None:
    """The race that every cache library loses: old bytes arrive after the write."""
    stack = Stack()
    stack.put(b"old")
    with stack.origin.pause("get", after_apply=True) as fetched:
        slow = threads.submit(stack.get)
        fetched.wait()
        stack.put(b"new")
    slow.result()

    assert stack.get() == b"new"
    assert stack.recorder.of(FillRejected)


def test_a_slow_fill_overtaken_by_a_delete_is_not_kept(threads) -> None:
    """A deleted object does not come back from a cache."""
    stack = Stack()
    stack.put(b"old")
    with stack.origin.pause("get", after_apply=True) as fetched:
        slow = threads.submit(stack.get)
        fetched.wait()
        stack.store.delete(KEY)
    slow.result()

    with pytest.raises(NotFoundError):
        stack.get()


def test_a_fill_that_is_being_written_when_a_put_comes_is_dropped(threads) -> None:
    """Overtaken between the check and the acknowledgement: purged, unbelieved."""
    stack = Stack()
    stack.put(b"old")
    with stack.tier.pause("put") as filling:
        slow = threads.submit(stack.get)
        filling.wait()
        stack.put(b"new")
        during = threads.submit(stack.get)
        assert during.result(60) == b"new"
    slow.result()

    assert stack.get() == b"new"


def test_a_doomed_copy_is_not_believed_before_it_is_dropped(threads) -> None:
    """Between a late fill and its purge the tier holds old bytes; nobody reads them."""
    stack = Stack()
    stack.put(b"old")
    with stack.tier.pause("put") as filling:
        slow = threads.submit(stack.get)
        filling.wait()
        stack.put(b"new")
        with stack.tier.pause("delete") as purging:
            filling.release()
            purging.wait()
            assert b"old" in stack.tier.child.get(KEY).read()

            assert stack.get() == b"new"
    slow.result()

    assert stack.get() == b"new"


def test_a_fill_that_begins_inside_a_write_is_not_kept(threads) -> None:
    """A read during a put may see either value, but leaves no copy."""
    stack = Stack()
    stack.put(b"old")
    with stack.origin.pause("put") as writing:
        writer = threads.submit(stack.put, b"new")
        writing.wait()
        assert stack.get() == b"old"
    writer.result()

    assert stack.get() == b"new"


def test_a_reader_after_a_write_does_not_join_a_fetch_from_before(threads) -> None:
    """Sharing a fetch must not share old bytes."""
    stack = Stack()
    stack.put(b"old")
    with stack.origin.pause("get", after_apply=True) as fetched:
        slow = threads.submit(stack.get)
        fetched.wait()
        stack.put(b"new")
        assert threads.submit(stack.get).result(60) == b"new"
    assert slow.result() in (b"old", b"new")


def test_a_reader_after_a_write_does_not_join_a_fetch_from_within_it(threads) -> None:
    """A fetch that began while the write was under way may have old bytes too."""
    stack = Stack()
    stack.put(b"old")
    with stack.origin.pause("put") as writing:
        writer = threads.submit(stack.put, b"new")
        writing.wait()
        with stack.origin.pause("get", after_apply=True) as fetched:
            slow = threads.submit(stack.get)
            fetched.wait()
            writing.release()
            writer.result()

            assert threads.submit(stack.get).result(60) == b"new"
    assert slow.result() == b"old"
    assert stack.get() == b"new"


def test_a_copy_that_another_process_filled_during_a_write_is_purged(threads) -> None:
    """It shares the tier but not the generations; the purge at the end gets it."""
    stack = Stack()
    other = CachedStore(stack.origin, [StoreTier(stack.tier, breaker=None)])
    stack.put(b"old")
    with stack.origin.pause("put") as writing:
        writer = threads.submit(stack.put, b"new")
        writing.wait()
        assert other.get(KEY).read() == b"old"
    writer.result()

    assert stack.get() == b"new"
    assert other.get(KEY).read() == b"new"


def test_a_put_that_failed_may_have_happened(threads) -> None:
    """An ambiguous error purges too: the next read asks the origin."""
    stack = Stack()
    stack.put(b"old")
    stack.get()
    stack.origin.fail("put", after_apply=True)

    with pytest.raises(UnavailableError):
        stack.put(b"new")

    assert stack.get() == b"new"


def test_a_cold_key_is_fetched_once(threads) -> None:
    """Fifty readers cost the origin one read."""
    stack = Stack(MemoryTier())
    stack.put(b"new")
    with stack.origin.pause("get") as fetching:
        readers = [threads.submit(stack.get) for _ in range(50)]
        fetching.wait()
    assert [reader.result() for reader in readers] == [b"new"] * 50

    assert stack.origin.calls["get"] == 1


def test_absence_is_shared_by_who_waits(threads) -> None:
    """One question to the origin answers all of them."""
    stack = Stack(MemoryTier())
    arrived = threading.Barrier(5)

    def ask() -> bytes:
        arrived.wait()
        return stack.get()

    with stack.origin.pause("get") as fetching:
        readers = [threads.submit(ask) for _ in range(5)]
        fetching.wait()
    for reader in readers:
        with pytest.raises(NotFoundError):
            reader.result()


def test_a_failed_leader_is_not_inherited() -> None:
    """Who comes after a failure tries anew."""
    stack = Stack()
    stack.put(b"new")
    stack.origin.fail("get")

    with pytest.raises(UnavailableError):
        stack.get()

    assert stack.get() == b"new"


@pytest.mark.parametrize("kind", ["unavailable", "denied", "full", "corrupt"])
def test_a_broken_tier_never_breaks_a_read_or_a_write(kind) -> None:
    """Reads go on from the origin, writes succeed, and an event says so."""
    stack = Stack()
    stack.tier.down(kind)

    stack.put(b"new")

    assert [stack.get(), stack.get()] == [b"new", b"new"]
    assert stack.recorder.of(TierBypassed) or stack.recorder.of(CachePoisoned)


def test_what_could_not_be_purged_is_not_believed() -> None:
    """A tier that was away during a write holds the old bytes; they stay unread."""
    stack = Stack()
    stack.put(b"old")
    stack.get()
    stack.tier.fail("delete", times=None)
    stack.put(b"new")

    assert [stack.get(), stack.get()] == [b"new", b"new"]
    stack.tier.heal()
    assert stack.get() == b"new"
    assert stack.get() == b"new"
    assert b"new" in stack.tier.child.get(KEY).read()


def test_a_delete_that_could_not_be_purged_stays_deleted() -> None:
    """Nor does the tier bring back what is gone."""
    stack = Stack()
    stack.put(b"old")
    stack.get()
    stack.tier.fail("delete", times=None)
    stack.store.delete(KEY)
    stack.tier.heal()

    for _ in range(2):
        with pytest.raises(NotFoundError):
            stack.get()


def test_a_strict_write_leaves_the_origin_alone() -> None:
    """With on_invalidate_error: fail the caller hears first."""
    origin, tier = MemoryStore(), FaultStore(MemoryStore())
    tiers = [StoreTier(tier, breaker=None)]
    store = CachedStore(origin, tiers, on_invalidate_error="fail")
    store.put(KEY, Body.of(b"old"))
    tier.down()

    with pytest.raises(UnavailableError):
        store.put(KEY, Body.of(b"new"))

    assert origin.get(KEY).read() == b"old"


def test_an_origin_outage_is_not_absence() -> None:
    """A cache that has nothing says that it could not find out."""
    stack = Stack()
    stack.origin.down()

    with pytest.raises(UnavailableError) as raised:
        stack.get()

    assert not isinstance(raised.value, NotFoundError)


def test_a_hit_needs_no_origin() -> None:
    """What is cached is served while the origin is away."""
    stack = Stack()
    stack.put(b"new")
    stack.get()
    stack.origin.down()

    assert stack.get() == b"new"


def test_a_torn_origin_read_fills_nothing() -> None:
    """Half a body is not a copy."""
    stack = Stack()
    stack.put(b"x" * 1000)
    stack.origin.tear(0.5, times=1)

    with pytest.raises(UnavailableError):
        stack.get()

    assert stack.get() == b"x" * 1000
    assert len(stack.recorder.of(CacheFilled)) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[:-1],
        lambda packed: packed[:10],
        lambda packed: b"",
        lambda packed: packed[:-1] + bytes([packed[-1] ^ 1]),
        lambda packed: b"\x89PNG foreign bytes that are long enough for a header....",
        lambda packed: b"tsc2" + packed[4:],
    ],
    ids=["short", "header", "empty", "flipped", "foreign", "version"],
)
def test_a_damaged_copy_is_a_miss_that_heals(damage) -> None:
    """Bytes are checked; a bad copy is replaced, never served."""
    stack = Stack()
    stack.put(b"content")
    stack.get()
    place = stack.tier.child
    place.put(KEY, Body.of(damage(place.get(KEY).read())))

    assert stack.get() == b"content"
    asked = stack.origin.calls["get"]
    assert stack.get() == b"content"
    assert stack.origin.calls["get"] == asked == 2


def test_a_copy_of_another_object_is_a_miss() -> None:
    """A copy carries the name it was made for."""
    stack = Stack()
    other = KEY._replace(object_id=2)
    stack.put(b"content")
    stack.get()
    stack.tier.child.put(other, stack.tier.child.get(KEY))

    with pytest.raises(NotFoundError):
        stack.store.get(other)


def test_a_far_hit_fills_the_nearer_tiers(tmp_path) -> None:
    """Any number of tiers; the origin is asked once."""
    far = FileSystemStore(str(tmp_path / "cache"), create=True)
    near, farther = MemoryTier(), StoreTier(far)
    stack = Stack(near, farther)
    stack.put(b"new")
    stack.get()
    near.delete(KEY)

    assert stack.get() == b"new"
    assert stack.get() == b"new"
    assert [event.tier for event in stack.recorder.of(CacheHit)] == [
        "tiers.1",
        "tiers.0",
    ]
    assert stack.origin.calls["get"] == 1


def test_a_far_hit_overtaken_by_a_put_is_not_promoted(threads) -> None:
    """Promotion is a fill like any other."""
    far = FaultStore(MemoryStore())
    near = MemoryTier()
    stack = Stack(near, StoreTier(far, breaker=None))
    stack.put(b"old")
    stack.get()
    near.delete(KEY)
    with far.pause("get", after_apply=True) as found:
        slow = threads.submit(stack.get)
        found.wait()
        stack.put(b"new")
    slow.result()

    assert stack.get() == b"new"


def test_a_fill_that_timed_out_is_not_believed_whenever_it_lands() -> None:
    """It may land long after a write has purged; its copy says when it was fetched."""
    clock = FakeClock()
    origin, tier = MemoryStore(), FaultStore(MemoryStore())
    store = CachedStore(origin, [StoreTier(tier, breaker=None)], clock=clock)
    store.put(KEY, Body.of(b"old"))
    timed_out = UnavailableError("timed out", ambiguous=True)
    tier.fail("put", lambda: timed_out.copy(), after_apply=True)
    tier.fail("delete")
    store.get(KEY)
    late = tier.child.get(KEY)
    clock.advance(1)
    store.put(KEY, Body.of(b"new"))
    clock.advance(3600)
    tier.child.put(KEY, late)

    assert store.get(KEY).read() == b"new"
    assert store.get(KEY).read() == b"new"
    assert b"new" in tier.child.get(KEY).read()


def test_an_answer_of_the_last_resort_is_not_kept_for_ever() -> None:
    """A region that is behind must not be remembered when the first one is back."""
    us, eu = FaultStore(MemoryStore()), MemoryStore()
    fallback = FallbackStore({"us": us, "eu": eu}, breaker=None)
    clock = FakeClock()
    forever = CachedStore(fallback, [MemoryTier()], clock=clock)
    bounded = CachedStore(fallback, [MemoryTier(ttl=10, clock=clock)], clock=clock)
    us.child.put(KEY, Body.of(b"new"))
    eu.put(KEY, Body.of(b"behind"))
    us.down()
    for store in (forever, bounded):
        assert store.get(KEY).read() == b"behind"
    us.up()

    assert forever.get(KEY).read() == b"new"
    assert bounded.get(KEY).read() == b"behind"
    clock.advance(10)
    assert bounded.get(KEY).read() == b"new"


def test_an_answer_in_doubt_is_not_kept() -> None:
    """Repair may settle on the other one."""
    us, eu = FaultStore(MemoryStore()), FaultStore(MemoryStore())
    regions = ReplicatedStore({"us": us, "eu": eu}, journal=MemoryJournal())
    store = CachedStore(regions, [MemoryTier()])
    store.put(KEY, Body.of(b"old"))
    eu.fail("put", after_apply=True)
    us.fail("put")
    with pytest.raises(PartialWriteError):
        store.put(KEY, Body.of(b"new"))
    us.fail("get")
    assert store.get(KEY).read() == b"new"
    regions.repair()

    assert store.get(KEY).read() == regions.get(KEY).read() == b"old"


def test_a_listener_may_ask_for_what_is_being_fetched() -> None:
    """It is not made to wait for itself."""
    stack = Stack(MemoryTier())
    stack.put(b"new")

    def ask(event: object) -> None:
        if isinstance(event, CacheMissed) and stack.once():
            heard.append(stack.get())

    heard: list[bytes] = []
    observe(stack.store, ask)

    assert stack.get() == b"new"
    assert heard == [b"new"]


def test_what_is_remembered_of_a_broken_tier_is_bounded() -> None:
    """Beyond ten thousand objects, no copy is believed until all are dropped."""
    stack = Stack()
    journal = stack.store._keeper.parts.journal
    assert journal.capacity == 10_000
    journal.capacity = 100
    stack.stop_listening()
    stack.put(b"old")
    stack.get()
    stack.tier.down()
    for number in range(150):
        stack.store.put(KEY._replace(object_id=10 + number), Body.of(b"x"))
    stack.put(b"new")
    stack.tier.up()

    assert stack.get() == b"new"
    assert len(journal._rows) <= 100


def test_large_objects_stream_past_the_cache() -> None:
    """What no tier would take is not read into memory."""
    stack = Stack(MemoryTier(capacity=10_000, max_object=1_000))
    stack.put(b"x" * 5_000)

    assert stack.get() == b"x" * 5_000
    assert not stack.recorder.of(CacheFilled)


def test_no_tiers_are_a_mistake() -> None:
    """Told when it is configured."""
    with pytest.raises(ConfigError, match="tiers"):
        CachedStore(MemoryStore(), [])


def test_nothing_is_remembered_when_all_is_calm(threads) -> None:
    """Per-key bookkeeping is bounded by what is going on."""
    stack = Stack()
    for number in range(100):
        key = KEY._replace(object_id=number)
        stack.store.put(key, Body.of(b"x"))
        stack.store.get(key)

    assert not stack.store._coherence._states


def test_readers_and_writers_end_fresh(threads) -> None:
    """A storm over a flaky tier: at rest the cache says what the origin says."""
    stack = Stack(
        MemoryTier(capacity=20_000),
        StoreTier(FaultStore(MemoryStore(), seed=5, rate=0.2, apply_rate=0.5)),
    )
    keys = [KEY._replace(object_id=number) for number in range(5)]

    def work(seed: int) -> None:
        for turn in range(60):
            key = keys[(seed * 7 + turn) % 5]
            if (seed + turn) % 4 == 0:
                stack.store.put(key, Body.of(b"%d.%d" % (seed, turn)))
            elif (seed + turn) % 13 == 0:
                stack.store.delete(key)
            else:
                with contextlib.suppress(NotFoundError):
                    stack.store.get(key).read()

    list(threads.map(work, range(12)))

    for key in keys:
        try:
            truth = stack.origin.child.get(key).read()
        except NotFoundError:
            with pytest.raises(NotFoundError):
                stack.store.get(key)
        else:
            assert stack.store.get(key).read() == truth


def test_an_inconclusive_origin_stays_inconclusive() -> None:
    """The cache does not turn it into absence."""
    stack = Stack()
    stack.origin.fail("get", lambda: InconclusiveError("some could not say"))

    with pytest.raises(InconclusiveError):
        stack.get()


def test_caches_over_one_another_keep_their_copies_apart() -> None:
    """Or each would wait for the lease that the other has."""
    url = "redis://127.0.0.1:1/0"
    inner = CachedStore(MemoryStore(), [RedisTier(url)])
    between = FallbackStore({"a": inner})

    with pytest.raises(ConfigError, match="a cache underneath keeps its"):
        CachedStore(between, [MemoryTier(), RedisTier(url)])

    CachedStore(between, [RedisTier(url, prefix="another:")]).close()


@pytest.mark.parametrize("values", [(1.0, 2, 3), (1, 2.0, 3), (1, 2, 3.0)])
def test_what_is_no_integer_names_nothing(values) -> None:
    """In memory as anywhere else, although a float is equal to an integer."""
    stack = Stack(MemoryTier())
    stack.put(b"new")
    stack.stop_listening()  # so that a hit asks nobody
    key = KEY.object_type, *values, KEY.mimetype

    for _ in range(2):
        with pytest.raises(TypeError, match="must be an integer"):
            stack.store.get_file(*key)
        assert stack.store.get_file(*KEY).read() == b"new"
