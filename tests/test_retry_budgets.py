"""What retries may cost, leaf by leaf, with the calls of each leaf counted."""

from __future__ import annotations

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.errors import StoreError
from tiered_store.journals.memory import MemoryJournal
from tiered_store.key import Key
from tiered_store.policies.routing import Rule
from tiered_store.store import Store
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.faults import FaultStore
from tiered_store.tree import label
from tiered_store.wrappers.fallback import FallbackStore
from tiered_store.wrappers.replicated import ReplicatedStore
from tiered_store.wrappers.retry import RetryStore
from tiered_store.wrappers.routed import RoutedStore


KEY = Key("testing", 1, 2, 3, "image/png")
CALLS = 500


def leaves(*names: str) -> dict[str, FaultStore]:
    return {name: FaultStore(MemoryStore()) for name in names}


def asked(*stores: FaultStore) -> int:
    return sum(sum(store.calls.values()) for store in stores)


def fail(store: Store, calls: int = 1, key: Key = KEY) -> None:
    for _ in range(calls):
        with pytest.raises(StoreError):
            store.get(key)


@pytest.mark.parametrize("kind", [FallbackStore, ReplicatedStore])
def test_two_regions_cost_six_at_once_and_two_and_a_fifth_for_long(kind) -> None:
    """Three attempts in two regions; then retries are a tenth, in each of them."""
    regions = leaves("us", "eu")
    inner = kind(regions, journal=MemoryJournal(), breaker=None)
    store = RetryStore(inner, attempts=3, clock=FakeClock())
    for one in regions.values():
        one.down()

    fail(store)
    assert asked(*regions.values()) == 6
    fail(store, CALLS)

    most = 2.2 * (CALLS + 1) + 2 * 10  # which each may have at once
    assert 2 * (CALLS + 1) < asked(*regions.values()) <= most


def test_stacked_retries_do_not_multiply_over_two_regions() -> None:
    """Only the outermost retries, though each region has its own as well."""
    regions = leaves("us", "eu")
    inner = {name: RetryStore(one, clock=FakeClock()) for name, one in regions.items()}
    store = RetryStore(FallbackStore(inner, breaker=None), clock=FakeClock())
    for one in regions.values():
        one.down()

    fail(store)

    assert asked(*regions.values()) == 6


def test_who_retries_one_leaf_shares_its_budget() -> None:
    """Two stacks over one bucket do not double what it bears."""
    (us,) = leaves("us").values()
    stacks = [RetryStore(us, attempts=2, clock=FakeClock()) for _ in range(2)]
    us.down()

    for store in stacks:
        fail(store, CALLS)

    assert asked(us) <= 1.1 * 2 * CALLS + 10


def test_a_leaf_that_is_down_uses_up_its_own_budget_alone() -> None:
    """What passes at another one is still tried again."""
    shards = leaves("a", "b")
    routed = RoutedStore(
        shards, rules=[Rule(to="a", object_type="testing")], default="b"
    )
    store = label(RetryStore(routed, attempts=2, clock=FakeClock()), "images")
    shards["a"].down()
    fail(store, CALLS)
    other = KEY._replace(object_type="other")
    shards["b"].put(other, Body.of(b"x"))

    for _ in range(10):
        shards["b"].fail("get", times=1)
        assert store.get(other).read() == b"x"


def test_a_retry_that_one_leaf_cannot_bear_costs_no_other_one() -> None:
    """A mirror's put fails in both; the budget of one of them is used up."""
    regions = leaves("us", "eu")
    alone = RetryStore(regions["eu"], attempts=2, clock=FakeClock())
    mirror = ReplicatedStore(regions, breaker=None)
    both = RetryStore(mirror, attempts=2, budget=0.1, clock=FakeClock())
    for one in regions.values():
        one.down()
    fail(alone, 102)
    regions["eu"].calls.clear()

    fail(both, 5)  # which earn too little for one retry of eu
    regions["us"].calls.clear()
    fail(RetryStore(regions["us"], attempts=2, clock=FakeClock()), 10)

    assert asked(regions["eu"]) == 5
    assert asked(regions["us"]) == 20


def test_each_call_earns_a_share_of_a_retry() -> None:
    """Of a leaf that is well, too: what fails now and then is tried again for ever."""
    (us,) = leaves("us").values()
    us.child.put(KEY, Body.of(b"x"))
    store = RetryStore(us, attempts=2, clock=FakeClock())
    us.down()
    fail(store, 30)  # all that may be had at once, and what that earned
    us.up()
    for _ in range(CALLS):
        store.get(KEY)

    us.fail("get")
    assert store.get(KEY).read() == b"x"
