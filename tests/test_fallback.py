"""The next store when one cannot answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body, Stat
from tiered_store.deadlines import deadline, remaining
from tiered_store.errors import (
    ConfigError,
    InconclusiveError,
    InvalidError,
    NotFoundError,
    PartialWriteError,
    UnavailableError,
)
from tiered_store.events import CircuitChanged, FellBack
from tiered_store.key import Key
from tiered_store.policies.breaker import BreakerPolicy
from tiered_store.testing.faults import FaultStore
from tiered_store.testing.recording import Recorder
from tiered_store.tree import label, observe
from tiered_store.wrappers.fallback import FallbackStore
from tiered_store.wrappers.readonly import ReadOnlyStore
from tiered_store.wrappers.retry import RetryStore


KEY = Key("testing", 1, 2, 3, "image/png")


class Pair:
    """Two stores that fail when told to, kept alike by the test."""

    def __init__(self, **options) -> None:
        self.us = FaultStore(MemoryStore(base_url="https://us/"))
        self.eu = FaultStore(MemoryStore(base_url="https://eu/"))
        options.setdefault("breaker", BreakerPolicy(open=60))
        self.store = FallbackStore({"us": self.us, "eu": self.eu}, **options)
        label(self.store, "images")
        self.recorder = Recorder()
        observe(self.store, self.recorder)

    def put_both(self, content: bytes = b"both") -> None:
        for child in (self.us, self.eu):
            child.child.put(KEY, Body.of(content))


def test_an_outage_sends_reads_to_the_next_store() -> None:
    """And an event says so."""
    pair = Pair()
    pair.put_both()
    pair.us.down()

    assert pair.store.get(KEY).read() == b"both"

    [event] = pair.recorder.of(FellBack)
    assert (event.failed, event.verb) == ("us", "get")


def test_a_refusal_sends_reads_to_the_next_store() -> None:
    """Denied here says nothing about there."""
    pair = Pair()
    pair.put_both()
    pair.us.down("denied")

    assert pair.store.get(KEY).read() == b"both"


def test_an_outage_and_an_absence_are_not_absence() -> None:
    """The store that failed might have had it, so we must not say there is none."""
    pair = Pair()
    pair.us.down()

    with pytest.raises(InconclusiveError, match=r"us: .*eu: absent") as raised:
        pair.store.get(KEY)

    assert not isinstance(raised.value, FileNotFoundError)
    assert isinstance(raised.value, UnavailableError)


def test_the_primarys_absence_is_final() -> None:
    """The next store is for outages; it may be behind."""
    pair = Pair()
    pair.eu.child.put(KEY, Body.of(b"stale"))

    with pytest.raises(NotFoundError):
        pair.store.get(KEY)

    assert pair.eu.calls["get"] == 0


def test_a_migrations_old_store_is_asked_about_what_is_missing() -> None:
    """read_on: [not_found] goes on; absence is then everybody's."""
    pair = Pair(read_on=["unavailable", "not_found"])
    pair.eu.child.put(KEY, Body.of(b"old place"))

    assert pair.store.get(KEY).read() == b"old place"
    with pytest.raises(NotFoundError):
        pair.store.get(KEY._replace(object_id=2))
    pair.eu.down()
    with pytest.raises(InconclusiveError):
        pair.store.get(KEY)


class Meanwhile(MemoryStore):
    """An old store from which an object is moved just before it is asked for it."""

    def __init__(self, new: MemoryStore) -> None:
        super().__init__()
        self._new = new

    def _get(self, key: Key) -> Body:
        self._move(key)
        return super()._get(key)

    def _stat(self, key: Key) -> Stat:
        self._move(key)
        return super()._stat(key)

    def _keys(self, prefix: str) -> Iterator[Key]:
        for key in set(super()._keys(prefix)):
            self._move(key)
        return super()._keys(prefix)

    def _move(self, key: Key) -> None:
        if key in set(super()._keys("")):
            self._new.put(key, super()._get(key))
            self.delete(key)


@pytest.mark.parametrize("hedge", [None, 30.0])
@pytest.mark.parametrize("verb", ["get", "stat"])
def test_what_is_moved_while_it_is_looked_for_is_not_absent(verb, hedge) -> None:
    """The new store lacked it, then the old one did; nobody ever did not have it."""
    new = MemoryStore()
    old = Meanwhile(new)
    store = FallbackStore(
        {"new": new, "old": old},
        read_on=["unavailable", "not_found"],
        hedge_after=hedge,
    )
    old.put(KEY, Body.of(b"moved"))

    assert getattr(store, verb)(KEY).size == 5
    store.close()


def test_what_is_moved_while_all_is_listed_is_listed() -> None:
    """The store where objects move to comes last."""
    new = MemoryStore()
    old = Meanwhile(new)
    store = FallbackStore(
        {"new": new, "old": old}, read_on=["unavailable", "not_found"]
    )
    old.put(KEY, Body.of(b"moved"))

    assert list(store.keys()) == [KEY]


def test_who_is_asked_again_and_cannot_say_leaves_it_open() -> None:
    """It may have it by now."""
    pair = Pair(read_on=["unavailable", "not_found"], breaker=None)
    for answer in ("absent", "unavailable"):
        pair.us.fail("get", answer)

    with pytest.raises(InconclusiveError):
        pair.store.get(KEY)
    with pytest.raises(NotFoundError):
        pair.store.get(KEY)


def test_a_hit_wins_over_later_outages() -> None:
    """Three stores: one fails, one says absent, one has it."""
    a, b, c = (FaultStore(MemoryStore()) for _ in range(3))
    store = FallbackStore({"a": a, "b": b, "c": c})
    c.child.put(KEY, Body.of(b"here"))
    a.down()

    assert store.get(KEY).read() == b"here"


def test_a_request_that_is_wrong_is_not_tried_elsewhere() -> None:
    """It would be wrong there, too."""
    pair = Pair()
    pair.us.fail("get", lambda: InvalidError("wrong everywhere"))

    with pytest.raises(InvalidError):
        pair.store.get(KEY)

    assert pair.eu.calls["get"] == 0


def test_a_bug_passes_through() -> None:
    """A TypeError is not an outage."""
    pair = Pair()
    pair.us.fail("get", lambda: TypeError("a bug"))

    with pytest.raises(TypeError):
        pair.store.get(KEY)


def test_a_store_that_is_down_is_soon_not_asked() -> None:
    """Five failures open its circuit; the sixth read costs it nothing."""
    pair = Pair()
    pair.put_both()
    pair.us.down()
    for _ in range(20):
        assert pair.store.get(KEY).read() == b"both"

    assert pair.us.calls["get"] == 5
    [event] = pair.recorder.of(CircuitChanged)
    assert (event.store, event.side, event.state) == ("images.us", "read", "open")


def test_when_all_circuits_are_open_a_trickle_goes_through() -> None:
    """Our own statistics must not fail everything for ever."""
    pair = Pair()
    pair.put_both()
    for child in (pair.us, pair.eu):
        child.down()
    for _ in range(12):
        with pytest.raises(UnavailableError):
            pair.store.get(KEY)
    pair.us.up()

    assert pair.store.get(KEY).read() == b"both"


def test_a_put_goes_to_the_primary_alone() -> None:
    """The others are kept alike by somebody else."""
    pair = Pair()

    pair.store.put(KEY, Body.of(b"new"))

    assert (pair.us.calls["put"], pair.eu.calls["put"]) == (1, 0)
    pair.us.down()
    with pytest.raises(UnavailableError):
        pair.store.put(KEY, Body.of(b"newer"))


def test_a_delete_goes_everywhere() -> None:
    """A deleted object must not come back from the last resort."""
    pair = Pair()
    pair.put_both()

    pair.store.delete(KEY)

    pair.us.down()
    pair.us.up()
    for child in (pair.us.child, pair.eu.child):
        with pytest.raises(NotFoundError):
            child.get(KEY)


def test_a_delete_that_fails_at_once_has_done_nothing() -> None:
    """The last store is asked first, so the primary still has the object."""
    pair = Pair()
    pair.put_both()
    pair.eu.down()

    with pytest.raises(UnavailableError, match="eu"):
        pair.store.delete(KEY)

    assert pair.store.get(KEY).read() == b"both"


def test_a_delete_that_fails_half_way_says_so() -> None:
    """And repeating it completes it."""
    pair = Pair()
    pair.put_both()
    pair.us.fail("delete")

    with pytest.raises(PartialWriteError, match=r"eu: done; us: unavailable"):
        pair.store.delete(KEY)

    assert pair.store.get(KEY).read() == b"both"
    pair.store.delete(KEY)
    with pytest.raises(NotFoundError):
        pair.store.get(KEY)


def test_a_last_resort_that_cannot_delete_is_passed_over() -> None:
    """A read-only copy cannot be asked to."""
    us = MemoryStore()
    store = FallbackStore({"us": us, "copy": ReadOnlyStore(MemoryStore())})
    store.put(KEY, Body.of(b"x"))

    store.delete(KEY)

    with pytest.raises(NotFoundError):
        store.get(KEY)


def test_urls_follow_health_without_asking() -> None:
    """A circuit that is open sends URLs elsewhere, and nothing is contacted."""
    pair = Pair()
    pair.put_both()
    assert pair.store.url(KEY).startswith("https://us/")
    pair.us.down()
    for _ in range(5):
        pair.store.get(KEY)
    asked = pair.eu.calls["get"] + pair.eu.calls["stat"]

    assert pair.store.url(KEY).startswith("https://eu/")
    assert pair.eu.calls["get"] + pair.eu.calls["stat"] == asked


def test_the_last_store_has_time_left() -> None:
    """Under a deadline each store may use its share, not everything."""
    pair = Pair()
    pair.put_both()
    shares: list[float | None] = []

    def too_late() -> UnavailableError:
        shares.append(remaining())
        return UnavailableError("timed out")

    pair.us.fail("get", too_late)

    with deadline(9.0):
        assert pair.store.get(KEY).read() == b"both"

    assert shares[0] is not None
    assert shares[0] <= 4.5


def test_a_retry_above_tries_every_store_before_it_repeats() -> None:
    """Two stores, three attempts: six requests and not fifty-four."""
    pair = Pair(breaker=None)
    pair.us.down()
    pair.eu.down()
    inner = {
        name: RetryStore(store, base=0.001)
        for name, store in (("us", pair.us), ("eu", pair.eu))
    }
    store = RetryStore(FallbackStore(inner, breaker=None), attempts=3, base=0.001)

    with pytest.raises(UnavailableError):
        store.get(KEY)

    assert pair.us.calls["get"] + pair.eu.calls["get"] == 6


def test_keys_come_from_the_first_store_that_is_up() -> None:
    """A list from half a store would be a lie."""
    pair = Pair()
    pair.put_both()
    pair.us.down()

    assert list(pair.store.keys()) == [KEY]
    pair.eu.down()
    with pytest.raises(InconclusiveError):
        list(pair.store.keys())


def test_a_list_that_breaks_off_is_not_ended_by_another_store() -> None:
    """The first half of one and the whole of the other would name some keys twice."""

    class Breaking(MemoryStore):
        def _keys(self, prefix: str) -> Iterator[Key]:
            yield from super()._keys(prefix)
            raise UnavailableError("reset by peer")

    us, eu = Breaking(), MemoryStore()
    for store in (us, eu):
        store.put(KEY, Body.of(b"x"))
    listed = FallbackStore({"us": us, "eu": eu}).keys()

    assert next(listed) == KEY
    with pytest.raises(UnavailableError, match="reset by peer"):
        next(listed)


def test_no_stores_are_a_mistake() -> None:
    """Told when it is configured."""
    with pytest.raises(ConfigError, match="stores"):
        FallbackStore({})
