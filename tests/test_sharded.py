"""Objects spread over stores by rendezvous hashing."""

from __future__ import annotations

from collections import Counter

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.errors import ConfigError, NotFoundError, UnavailableError
from tiered_store.foreign import ForeignStore
from tiered_store.key import Key
from tiered_store.testing.faults import FaultStore
from tiered_store.wrappers.sharded import ShardedStore


KEYS = [Key("testing", number, 1, 1, "image/png") for number in range(3000)]


def sharded(*names: str, **weights: float) -> ShardedStore:
    return ShardedStore({name: MemoryStore() for name in names}, weights=weights)


def test_shards_get_equal_shares() -> None:
    """Give or take chance."""
    shares = Counter(sharded("a", "b", "c").shard_of(key) for key in KEYS)

    assert all(900 < share < 1100 for share in shares.values())


def test_a_weight_is_a_share() -> None:
    """A shard of weight two gets twice as much."""
    shares = Counter(sharded("a", "b", a=2.0).shard_of(key) for key in KEYS)

    assert 1.8 < shares["a"] / shares["b"] < 2.2


def test_a_new_shard_takes_its_share_and_nothing_else_moves() -> None:
    """What moves, moves to the new one."""
    before, after = sharded("a", "b", "c"), sharded("d", "c", "b", "a")
    moved = [key for key in KEYS if before.shard_of(key) != after.shard_of(key)]

    assert {after.shard_of(key) for key in moved} == {"d"}
    assert 650 < len(moved) < 850


def test_the_choice_is_the_same_for_ever() -> None:
    """Frozen: objects already stored lie where these say."""
    store = sharded("a", "b", "c", b=1.5)

    chosen = "".join(store.shard_of(key) for key in KEYS[:24])

    assert chosen == "baaaacaacccabaaacbaacbbc"


def test_a_shard_that_is_down_is_an_outage_of_its_objects_alone() -> None:
    """Nobody else is asked, and nobody says they are absent."""
    shards = {name: FaultStore(MemoryStore()) for name in "ab"}
    store = ShardedStore(shards)
    for key in KEYS[:20]:
        store.put(key, Body.of(b"x"))
    shards["a"].down()

    for key in KEYS[:20]:
        if store.shard_of(key) == "a":
            with pytest.raises(UnavailableError):
                store.get(key)
        else:
            assert store.get(key).read() == b"x"
    shards["a"].up()
    store.delete(KEYS[0])
    with pytest.raises(NotFoundError):
        store.get(KEYS[0])


def test_what_was_left_behind_in_moving_is_not_listed() -> None:
    """A copy in the wrong shard is nobody's."""
    store = sharded("a", "b")
    other = {"a": "b", "b": "a"}[store.shard_of(KEYS[0])]
    store.shards[other].put(KEYS[0], Body.of(b"old"))

    assert list(store.keys()) == []


@pytest.mark.parametrize(
    ("names", "weights", "what"),
    [((), {}, "at least one"), ("a", {"b": 1.0}, "no shard"), ("a", {"a": 0}, "posit")],
)
def test_mistakes_are_told(names, weights, what) -> None:
    """When it is configured."""
    with pytest.raises(ConfigError, match=what):
        sharded(*names, **weights)


def test_it_lists_only_if_every_shard_can() -> None:
    """A list of some of the objects is none."""
    silent = ForeignStore(MemoryStore())

    assert "keys" not in ShardedStore({"a": MemoryStore(), "b": silent}).capabilities()
