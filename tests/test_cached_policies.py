"""How long copies are good for, and what happens then; time is handed in."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.boards import Board, BoardTier
from tests.waiting import PATIENT, until
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.errors import (
    ConfigError,
    DeniedError,
    NotFoundError,
    UnavailableError,
)
from tiered_store.events import CacheFilled, CacheHit, StaleServed
from tiered_store.key import Key
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.faults import FaultStore
from tiered_store.testing.recording import Recorder
from tiered_store.tiers.memory import MemoryTier
from tiered_store.tiers.redis import RedisTier
from tiered_store.tiers.store import StoreTier
from tiered_store.tiers.tier import Tier
from tiered_store.tree import observe
from tiered_store.wrappers.cached import CachedStore


KEY = Key("testing", 1, 2, 3, "image/png")


class Stack:
    """A cache with one tier of a minute's ttl and no jitter, over a faulty origin."""

    def __init__(self, tier: Tier, clock: FakeClock, **options: Any) -> None:
        self.origin = FaultStore(MemoryStore())
        self.clock = clock
        self.store = CachedStore(self.origin, [tier], clock=clock, **options)
        self.recorder = Recorder()
        observe(self.store, self.recorder)

    @property
    def reads(self) -> int:
        return self.origin.calls["get"]

    def get(self) -> bytes | None:
        try:
            with self.store.get_file(*KEY) as file:
                return file.read()
        except NotFoundError:
            return None

    def change(self, content: bytes) -> None:
        """Change the object without the cache knowing."""
        self.origin.child.put(KEY, Body.of(content))


@pytest.fixture(
    params=[
        *("memory", "directory", "shared"),
        pytest.param("redis", marks=pytest.mark.servers),
    ]
)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    stacks: list[Stack] = []

    def make(ttl: float | None = 60, jitter: float = 0, **options: Any) -> Stack:
        clock = FakeClock()
        tier: Tier
        if request.param == "memory":
            tier = MemoryTier(ttl=ttl, jitter=jitter, clock=clock)
        elif request.param == "directory":
            store = FileSystemStore(str(tmp_path / "cache"), create=True)
            tier = StoreTier(store, ttl=ttl, jitter=jitter, clock=clock)
        elif request.param == "shared":
            tier = BoardTier(Board(clock), ttl=ttl)
            tier.jitter = jitter
        else:
            url = request.getfixturevalue("redis_server").url
            prefix = f"{tmp_path.name}:{len(stacks)}:"
            times = {"ttl": ttl, "jitter": jitter, "clock": clock}
            tier = RedisTier(url, prefix=prefix, **times, **PATIENT)
        stack = Stack(tier, clock, **options)
        if isinstance(tier, BoardTier):
            tier.connect()
        stacks.append(stack)
        return stack

    yield make
    for stack in stacks:
        stack.store.close()


def test_a_copy_is_believed_for_its_ttl(make) -> None:
    """Until then what somebody changes behind our backs is not seen, and then it is."""
    stack = make()
    stack.change(b"one")
    assert stack.get() == b"one"
    stack.change(b"two")

    stack.clock.advance(59)
    assert stack.get() == b"one"
    stack.clock.advance(2)
    assert stack.get() == b"two"


def test_copies_made_together_do_not_end_together(make) -> None:
    """A share of the ttl is left to chance, or their origin is asked all at once."""
    stack = make(jitter=0.5)
    keys = [KEY._replace(object_id=number) for number in range(100)]
    for key in keys:
        stack.origin.child.put(key, Body.of(b"one"))
        stack.store.get(key)

    def fetched_after(seconds: float) -> int:
        stack.clock.advance(seconds)
        before = stack.reads
        for key in keys:
            stack.store.get(key)
        return stack.reads - before

    assert fetched_after(29) == 0
    assert 10 < fetched_after(16) < 90  # half of them, the chances being even


def test_a_copy_is_refreshed_behind_its_reader(make) -> None:
    """Within the window it is served at once, and the next reader sees the new one."""
    stack = make(stale_while_revalidate=30)
    stack.change(b"one")
    stack.get()
    stack.change(b"two")
    stack.clock.advance(70)

    with stack.origin.pause("get") as asked:
        assert stack.get() == b"one"  # although the origin does not answer
        asked.wait()
        assert stack.get() == b"one"

    until(lambda: stack.get() == b"two")
    assert stack.reads == 2  # one for many
    assert stack.recorder.of(StaleServed)


def test_a_copy_beyond_the_window_is_not_served(make) -> None:
    """Whoever comes later waits for the origin."""
    stack = make(stale_while_revalidate=30)
    stack.change(b"one")
    stack.get()
    stack.change(b"two")

    stack.clock.advance(91)

    assert stack.get() == b"two"


def test_a_refresh_that_fails_leaves_the_copy(make) -> None:
    """The origin is down: what is there is served until its window ends."""
    stack = make(stale_while_revalidate=30)
    stack.change(b"one")
    stack.get()
    stack.clock.advance(70)
    stack.origin.down()

    assert [stack.get(), stack.get()] == [b"one", b"one"]

    stack.clock.advance(30)
    with pytest.raises(UnavailableError):
        stack.get()


def test_a_refresh_ends_with_its_store(make, caplog: pytest.LogCaptureFixture) -> None:
    """What it finds closed when it goes on is no failure of anybody's."""
    stack = make(stale_while_revalidate=30)
    stack.change(b"one")
    stack.get()
    stack.clock.advance(70)

    with stack.origin.pause("get") as asked:
        assert stack.get() == b"one"
        asked.wait()
        stack.store.close()

    assert stack.store._keeper._errands.drain(60) is None
    assert not caplog.text


def test_an_old_copy_is_better_than_an_outage(make) -> None:
    """``stale_if_error``: only when the origin fails, and said to who listens."""
    stack = make(stale_if_error=3600)
    stack.change(b"one")
    stack.get()
    stack.clock.advance(70)
    stack.origin.down()

    assert stack.get() == b"one"

    (served,) = stack.recorder.of(StaleServed)
    assert isinstance(served.error, UnavailableError)
    assert served.age == pytest.approx(70)
    stack.origin.up()
    stack.change(b"two")
    assert stack.get() == b"two"


def test_an_old_copy_has_its_end(make) -> None:
    """After that, an outage is an outage."""
    stack = make(stale_if_error=100)
    stack.change(b"one")
    stack.get()
    stack.clock.advance(161)
    stack.origin.down()

    with pytest.raises(UnavailableError):
        stack.get()


def test_absence_is_no_error(make) -> None:
    """What somebody deleted behind our backs does not come back as an old copy."""
    stack = make(stale_if_error=3600)
    stack.change(b"one")
    stack.get()
    stack.origin.child.delete(KEY)
    stack.clock.advance(61)

    assert stack.get() is None


def test_an_outage_is_not_told_as_an_absence_of_long_ago(make) -> None:
    """Remembered absence ends with its time: the object may be there by now."""
    stack = make(stale_if_error=3600, stale_while_revalidate=3600, negative_ttl=10)
    assert stack.get() is None
    stack.change(b"one")
    stack.clock.advance(12)
    stack.origin.down()

    with pytest.raises(UnavailableError):
        stack.get()


def test_an_old_copy_is_never_one_from_before_a_write(make) -> None:
    """Serving what is stale is about time, not about what was overwritten."""
    stack = make(stale_if_error=3600, stale_while_revalidate=3600)
    stack.change(b"one")
    stack.get()
    stack.store.put(KEY, Body.of(b"two"))
    stack.origin.down()

    with pytest.raises(UnavailableError):
        stack.get()


def test_a_refusal_is_not_hidden(make) -> None:
    """An error that no other place could answer either is the reader's to see."""
    stack = make(stale_if_error=3600)
    stack.change(b"one")
    stack.get()
    stack.clock.advance(70)
    stack.origin.down(lambda: DeniedError("not you", failover=False))

    with pytest.raises(DeniedError):
        stack.get()


def test_absence_is_remembered_for_its_own_time(make) -> None:
    """It is asked for once, until it is over; another's put is seen then."""
    stack = make(negative_ttl=10)

    assert [stack.get(), stack.get(), stack.get()] == [None] * 3
    assert stack.reads == 1

    stack.change(b"one")
    stack.clock.advance(11)
    assert stack.get() == b"one"


def test_a_put_ends_absence_at_once(make) -> None:
    """What is put through the cache is seen through the cache."""
    stack = make(negative_ttl=10)
    assert stack.get() is None

    stack.store.put(KEY, Body.of(b"one"))

    assert stack.get() == b"one"


def test_a_delete_is_remembered_as_absence(make) -> None:
    """The next reader need not ask."""
    stack = make(negative_ttl=10)
    stack.store.put(KEY, Body.of(b"one"))

    stack.store.delete(KEY)

    assert stack.get() is None
    assert stack.reads == 0


def test_absence_is_not_remembered_unless_asked_for(make) -> None:
    """By default, what is not there may be there the next moment."""
    stack = make()
    assert stack.get() is None

    stack.change(b"one")

    assert stack.get() == b"one"


def test_a_popular_copy_is_refreshed_before_it_ends(make) -> None:
    """Eagerly enough, a reader has it refreshed while it is still fresh."""
    stack = make(early_refresh=1e9)  # whatever a fetch costs
    stack.origin.latency = 0.001
    stack.change(b"one")

    def advancing(*_: object) -> None:
        stack.clock.advance(0.1)

    with stack.origin.pause("get") as asked, ThreadPoolExecutor(1) as pool:
        reading = pool.submit(stack.get)
        asked.wait()
        advancing()
        asked.release()
        reading.result()
    stack.change(b"two")

    assert stack.get() == b"one"
    until(lambda: stack.get() == b"two")


def test_nothing_is_refreshed_early_unless_asked_for(make) -> None:
    """A copy costs one read of the origin a ttl."""
    stack = make()
    stack.change(b"one")
    for _ in range(59):
        stack.get()
        stack.clock.advance(1)

    assert stack.reads == 1


def test_what_is_put_is_kept_at_once(make) -> None:
    """``on_put: fill`` saves the next reader the origin."""
    stack = make(on_put="fill")

    stack.store.put(KEY, Body.of(b"one"))

    assert stack.get() == b"one"
    assert stack.reads == 0


def test_a_put_that_fails_keeps_nothing(make) -> None:
    """What was not stored is not shown."""
    stack = make(on_put="fill")
    stack.store.put(KEY, Body.of(b"one"))
    stack.origin.fail("put", UnavailableError("refused", ambiguous=False))

    with pytest.raises(UnavailableError):
        stack.store.put(KEY, Body.of(b"two"))

    assert stack.get() == b"one"


def test_only_what_can_be_made_again_is_cached(make) -> None:
    """``cache: reproducible`` leaves originals to the origin."""
    stack = make(cache="reproducible")
    other = Key("testing", 2, 2, 3, "image/png")
    stack.store.put(KEY, Body.of(b"original"), reproducible=False)
    stack.store.put(other, Body.of(b"thumbnail"), reproducible=True)

    for _ in range(3):
        assert stack.get() == b"original"
        assert stack.store.get(other).read() == b"thumbnail"

    assert stack.reads == 3
    assert {event.key for event in stack.recorder.of(CacheHit)} == {other}
    assert {event.key for event in stack.recorder.of(CacheFilled)} == {other}


@pytest.mark.parametrize(
    "option",
    [
        {"stale_while_revalidate": -1},
        {"stale_if_error": -1},
        {"negative_ttl": 0},
        {"early_refresh": -0.1},
        {"fill_lease": 0},
        {"write_lease": -1},
        {"strong": True},
    ],
)
def test_options_that_cannot_be(option) -> None:
    """They are refused before anything is served."""
    (name,) = option

    with pytest.raises(ConfigError, match=name):
        CachedStore(MemoryStore(), [MemoryTier()], **option)
