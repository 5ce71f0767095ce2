"""A stack seen as a whole: its paths and who listens."""

from __future__ import annotations

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.errors import UnavailableError
from tiered_store.events import Operation
from tiered_store.key import Key
from tiered_store.testing.faults import FaultStore
from tiered_store.testing.recording import Recorder
from tiered_store.tiers.memory import MemoryTier
from tiered_store.tree import label, observe, walk
from tiered_store.wrappers.cached import CachedStore
from tiered_store.wrappers.fallback import FallbackStore
from tiered_store.wrappers.retry import RetryStore


KEY = Key("testing", 1, 2, 3, "image/png")


def test_a_path_is_made_of_roles() -> None:
    """The breakers that fallback puts there leave their path to their child."""
    us, eu = MemoryStore(), MemoryStore()
    stack = label(
        CachedStore(FallbackStore({"us": us, "eu": eu}), [MemoryTier()]), "images"
    )

    assert (str(us), str(eu)) == ("images.origin.us", "images.origin.eu")
    assert str(stack) == "images"


def test_a_shared_store_keeps_its_first_path_and_is_walked_once() -> None:
    """It is one store, however many names lead to it."""
    shared = MemoryStore()
    stack = label(FallbackStore({"a": RetryStore(shared), "b": shared}), "root")

    assert str(shared) == "root.a.child"
    assert [store for store in walk(stack) if store is shared] == [shared]


def test_errors_carry_the_path_of_who_failed() -> None:
    """And not that of whoever passed it on."""
    leaf = FaultStore(MemoryStore())
    stack = label(RetryStore(leaf, attempts=1), "images")
    leaf.down()

    with pytest.raises(UnavailableError, match=r"^images\.child: get testing/1") as why:
        stack.get(KEY)
    assert why.value.store == "images.child"


def test_a_path_that_was_never_given_is_still_a_word() -> None:
    """A stack in code need not be labelled to be read."""
    stack = FallbackStore({"only": FaultStore(MemoryStore())})

    assert str(stack) == "fallback"
    assert str(stack.stores["only"]) == "fault"


def test_every_store_is_heard_once_an_operation() -> None:
    """Those that are in nobody's file say nothing of their own."""
    recorder = Recorder()
    stack = label(FallbackStore({"us": MemoryStore()}), "images")
    observe(stack, recorder)

    stack.put(KEY, Body.of(b"x"))

    heard = [event.store for event in recorder.of(Operation)]
    assert sorted(heard) == ["images", "images.us"]


def test_a_listener_that_raises_breaks_nothing(caplog) -> None:
    """It is told about, and the next one is called all the same."""
    recorder = Recorder()
    store = MemoryStore()

    def broken(event: object) -> None:
        raise RuntimeError("a listener's bug")

    observe(store, broken)
    stop = observe(store, recorder)
    store.put(KEY, Body.of(b"x"))
    stop()
    store.put(KEY, Body.of(b"y"))

    assert len(recorder.of(Operation)) == 1
    assert "listener" in caplog.text


def test_parents_are_walked_first() -> None:
    """In the order of their roles."""
    us, eu = MemoryStore(), MemoryStore()
    retry = RetryStore(FallbackStore({"us": us, "eu": eu}))
    stack = label(CachedStore(retry, [MemoryTier()]), "a")

    walked = [str(store) for store in walk(stack) if not store.transparent]
    assert walked == ["a", "a.origin", "a.origin.child", *map(str, (us, eu))]


def test_a_stack_can_be_named_again() -> None:
    """As part of another one."""
    leaf = MemoryStore()
    inner = label(RetryStore(leaf), "images")
    label(CachedStore(inner, [MemoryTier()]), "site")

    assert str(leaf) == "site.origin.child"


def test_who_listens_twice_stops_twice() -> None:
    """One must not silence the other; stopping again does nothing."""
    recorder = Recorder()
    store = MemoryStore()
    first, second = observe(store, recorder), observe(store, recorder)

    for stop, heard in ((first, 2), (first, 1), (second, 1), (second, 0)):
        recorder.clear()
        store.put(KEY, Body.of(b"x"))
        assert len(recorder.of(Operation)) == heard
        stop()
    assert store.listeners == ()


def test_whoever_stops_while_being_told_is_told_no_more() -> None:
    """And the others are told all the same."""
    recorder = Recorder()
    store = MemoryStore()
    heard = []

    def once(event: object) -> None:
        heard.append(event)
        stop()

    stop = observe(store, once)
    observe(store, recorder)
    for _ in range(3):
        store.put(KEY, Body.of(b"x"))

    assert len(heard) == 1
    assert len(recorder.of(Operation)) == 3


def test_a_shared_store_tells_each_listener_of_its_stacks() -> None:
    """Each once an operation, whichever stack it came from."""
    shared = MemoryStore()
    one, other = RetryStore(shared), RetryStore(shared)
    here, there = Recorder(), Recorder()
    stop = observe(one, here)
    observe(other, there)
    one.put(KEY, Body.of(b"x"))
    stop()
    one.put(KEY, Body.of(b"y"))

    assert len(here.of(Operation)) == 2  # the wrapper and the store
    assert len(there.of(Operation)) == 2  # the store, twice
