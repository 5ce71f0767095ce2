"""A memory store keeps what it acknowledged, within its bytes."""

from __future__ import annotations

import os
import threading
import warnings

from concurrent.futures import ThreadPoolExecutor

import pytest

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body, Stat
from tiered_store.errors import (
    ConfigError,
    FullError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
    UnsupportedError,
)
from tiered_store.key import Key
from tiered_store.testing import FaultStore


KEY = Key("comics.cover", 1, 30, 40, "image/png")


def key(number: int) -> Key:
    """Return the key of object *number*."""
    return KEY._replace(object_id=number)


def put(store: MemoryStore, number: int, content: bytes) -> None:
    """Put *content* as object *number*."""
    store.put(key(number), Body.of(content))


def test_what_can_be_computed_again_says_so_when_it_is_read() -> None:
    """As its last put did."""
    store = MemoryStore()
    for reproducible in (True, False):
        store.put(KEY, Body.of(b"x"), reproducible)

        assert store.get(KEY).reproducible is reproducible


def test_it_is_full_to_the_byte_and_not_beyond() -> None:
    """It refuses and does not evict: what was acknowledged stays."""
    store = MemoryStore(capacity=10)
    put(store, 1, b"x" * 6)
    put(store, 2, b"y" * 4)

    with pytest.raises(FullError, match=r"1 bytes do not fit: 10 of 10") as caught:
        put(store, 3, b"z")

    assert (caught.value.failover, caught.value.retryable) == (True, False)
    assert store.get(key(1)).read() == b"x" * 6
    assert store.get(key(2)).read() == b"y" * 4
    put(store, 4, b"")
    store.delete(key(2))
    put(store, 3, b"z" * 4)


def test_replacing_counts_the_difference() -> None:
    """The old bytes make room for the new ones; a put that fails leaves them."""
    store = MemoryStore(capacity=10)
    put(store, 1, b"x" * 10)
    put(store, 1, b"y" * 10)
    put(store, 1, b"z" * 3)
    put(store, 2, b"a" * 7)

    with pytest.raises(FullError):
        put(store, 1, b"b" * 4)

    assert store.get(key(1)).read() == b"zzz"
    for _ in range(3):
        store.delete(key(1))
    put(store, 1, b"c" * 3)


def test_what_could_never_fit_is_too_large() -> None:
    """And it is not even read."""
    origin = FaultStore(MemoryStore())
    origin.put(KEY, Body.of(b"x" * 11))
    store = MemoryStore(capacity=10)

    with pytest.raises(TooLargeError, match="11 bytes exceed the capacity 10"):
        store.put(KEY, origin.get(KEY))

    assert origin.open_readers == 0
    store.put(KEY, Body.of(b"x" * 10))


def test_a_body_that_dies_leaves_the_old_object() -> None:
    """Copied from another store that went away half way."""
    origin = FaultStore(MemoryStore())
    origin.put(KEY, Body.of(b"x" * 100))
    origin.tear(0.5)
    store = MemoryStore(capacity=100)
    put(store, 1, b"old")

    with pytest.raises(UnavailableError):
        store.put(KEY, origin.get(KEY))

    assert store.get(KEY).read() == b"old"
    put(store, 2, b"y" * 97)


def test_every_put_is_another_version() -> None:
    """Also of the same bytes; a reader keeps the one it has."""
    store = MemoryStore()
    put(store, 1, b"one")
    first = store.get(KEY)
    put(store, 1, b"one")
    second = store.get(KEY)
    store.delete(KEY)
    put(store, 1, b"two")

    versions = [first.version, second.version, store.get(KEY).version]
    assert len(set(versions)) == 3
    assert None not in versions
    assert first.read() == b"one"
    found = store.stat(KEY)
    assert found == Stat(3, versions[2], found.modified)
    assert found.modified


def test_a_hit_shares_the_bytes() -> None:
    """It costs the same at any size."""
    content = b"x" * 1000
    store = MemoryStore()
    put(store, 1, content)

    assert store.get(KEY).read() is content


def test_urls_need_a_base() -> None:
    """Somebody has to serve them; capabilities say so."""
    bare, served = MemoryStore(), MemoryStore(base_url="https://x/memory")

    with pytest.raises(UnsupportedError, match="base_url"):
        bare.url(KEY)
    assert served.url(KEY) == "https://x/memory/comics.cover/1/30x40.png"
    assert served.capabilities() - bare.capabilities() == {"url"}


@pytest.mark.parametrize("capacity", [-1, -(2**40)])
def test_a_negative_capacity_is_a_mistake(capacity: int) -> None:
    """None at all is a choice."""
    with pytest.raises(ConfigError, match="capacity"):
        MemoryStore(capacity=capacity)
    with pytest.raises(TooLargeError):
        put(MemoryStore(capacity=0), 1, b"x")


def test_listing_bears_changes() -> None:
    """What changes meanwhile may or may not be seen, and breaks nothing."""
    store = MemoryStore()
    for number in range(50):
        put(store, number, b"x")

    listed = set()
    for number, found in enumerate(store.keys("comics.")):
        listed.add(found)
        store.delete(found)
        put(store, 1000 + number, b"x")
    assert {key(number) for number in range(50)} <= listed


def test_the_bytes_add_up_under_threads() -> None:
    """However puts, overwrites and deletes of one key interleave."""
    store = MemoryStore(capacity=10_000)

    def work(seed: int) -> None:
        for turn in range(300):
            number = (seed * 7 + turn) % 5
            try:
                put(store, number, b"x" * ((seed + turn) * 37 % 4000))
            except FullError:
                store.delete(key(number))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    for number in range(5):
        store.delete(key(number))
    put(store, 1, b"x" * 10_000)


def test_a_child_process_has_its_own_copy() -> None:
    """With a lock of its own, and the right sum, whatever the parent was doing."""
    store = MemoryStore(capacity=10)
    put(store, 1, b"x" * 6)
    stop = threading.Event()
    held = threading.Event()

    def hold() -> None:
        with store._lock:
            store._size += 4  # as in the middle of a put
            held.set()
            stop.wait(60)
            store._size -= 4

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads
        child = os.fork()
    if child == 0:
        status = 1
        try:
            put(store, 2, b"y" * 4)
            store.delete(key(1))
            put(store, 3, b"z" * 6)
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    stop.set()
    holder.join()
    assert [found.object_id for found in store.keys("")] == [1]


class Model(RuleBasedStateMachine):
    """Against a dictionary, with the bytes counted anew each time."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore(capacity=30)
        self.known: dict[int, bytes] = {}

    @rule(number=st.integers(0, 3), content=st.binary(max_size=35))
    def put(self, number: int, content: bytes) -> None:
        others = sum(len(kept) for at, kept in self.known.items() if at != number)
        try:
            put(self.store, number, content)
        except TooLargeError:
            assert len(content) > 30
        except FullError:
            assert others + len(content) > 30
        else:
            assert others + len(content) <= 30
            self.known[number] = content

    @rule(number=st.integers(0, 3))
    def delete(self, number: int) -> None:
        self.store.delete(key(number))
        self.known.pop(number, None)

    @invariant()
    def is_alike(self) -> None:
        assert {found.object_id for found in self.store.keys()} == set(self.known)
        for number in range(4):
            try:
                found = self.store.get(key(number)).read()
            except NotFoundError:
                assert number not in self.known
            else:
                assert found == self.known[number]


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=40, deadline=None)
