"""Faults on purpose: what a test asks for is what happens, and nothing else."""

from __future__ import annotations

import threading

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.errors import (
    ConfigError,
    DeniedError,
    NotFoundError,
    StoreError,
    ThrottledError,
    UnavailableError,
)
from tiered_store.events import Operation
from tiered_store.key import Key
from tiered_store.testing import FakeClock, FaultStore, Recorder
from tiered_store.tree import observe


KEY = Key("comics.cover", 1, 30, 40, "image/png")
OTHER = Key("comics.cover", 2, 30, 40, "image/png")
BODY = Body.of(b"0123456789")


@pytest.fixture
def store() -> FaultStore:
    return FaultStore(MemoryStore(base_url="https://x/"))


def outcome(work: Callable[[], object]) -> str:
    try:
        work()
    except StoreError as error:
        return type(error).__name__
    return "done"


def test_without_faults_it_behaves_as_its_child(store: FaultStore) -> None:
    """A fault store that is told nothing changes nothing, and counts."""
    store.put(KEY, BODY)
    assert store.get(KEY).read() == b"0123456789"
    assert store.stat(KEY).size == 10
    assert list(store.keys()) == [KEY]
    store.delete(KEY)
    with pytest.raises(NotFoundError):
        store.get(KEY)
    assert store.calls == {"put": 1, "get": 2, "stat": 1, "keys": 1, "delete": 1}


def test_fails_as_often_as_told_and_in_order(store: FaultStore) -> None:
    """Scripted failures are taken oldest first, one a call, then it works again."""
    store.fail("put", "throttled")
    store.fail("put", "denied", times=2)
    answers = [outcome(lambda: store.put(KEY, BODY)) for _ in range(4)]
    assert answers == ["ThrottledError", "DeniedError", "DeniedError", "done"]


def test_fails_only_the_verb_and_key_it_was_told(store: FaultStore) -> None:
    """Other objects and other verbs do not use a failure up."""
    store.put(KEY, BODY)
    store.put(OTHER, BODY)
    store.fail("get", key=OTHER)
    assert store.get(KEY).read() == b"0123456789"
    store.delete(KEY)
    with pytest.raises(UnavailableError, match="unavailable on purpose"):
        store.get(OTHER)


def test_any_verb_spares_urls(store: FaultStore) -> None:
    """A URL costs no I/O, so only a script that names it fails it."""
    store.fail(None, times=None)
    assert store.url(KEY).startswith("https://x/")
    store.fail("url", "unsupported")
    assert outcome(lambda: store.url(KEY)) == "UnsupportedError"
    assert outcome(lambda: list(store.keys())) == "UnavailableError"


def test_errors_are_kinds_classes_functions_or_copies(store: FaultStore) -> None:
    """Each raise is a fresh error, so that its path and flags are its own."""
    mine = ThrottledError("mine", retry_after=3.0)
    store.fail("get", mine, times=2)
    seen = []
    for _ in range(2):
        with pytest.raises(ThrottledError, match="mine") as caught:
            store.get(KEY)
        seen.append(caught.value)
        assert caught.value.retry_after == 3.0
    assert seen[0] is not seen[1]
    assert mine not in seen
    assert mine.store is None
    store.fail("get", PermissionError)
    store.fail("get", lambda: ValueError("a bug"))
    with pytest.raises(DeniedError):
        store.get(KEY)
    with pytest.raises(ValueError, match="a bug"):
        store.get(KEY)


def test_failing_after_apply_is_ambiguous(store: FaultStore) -> None:
    """A put that timed out may have happened, says so, and did."""
    store.fail("put", after_apply=True)
    with pytest.raises(UnavailableError) as caught:
        store.put(KEY, BODY)
    assert caught.value.ambiguous
    assert store.child.get(KEY).read() == b"0123456789"
    store.fail("put")
    with pytest.raises(UnavailableError) as caught:
        store.put(OTHER, BODY)
    assert not caught.value.ambiguous
    with pytest.raises(NotFoundError):
        store.child.get(OTHER)


def test_loses_an_acknowledged_change(store: FaultStore) -> None:
    """What a broken server does: it says yes and does nothing."""
    store.lose("put")
    store.put(KEY, BODY)
    with pytest.raises(NotFoundError):
        store.get(KEY)
    store.put(KEY, BODY)
    store.lose("delete")
    store.delete(KEY)
    assert store.get(KEY).read() == b"0123456789"


def test_torn_body_dies_in_every_reader(store: FaultStore) -> None:
    """A reader gets the bytes before the tear, then an error; the next is whole."""
    store.put(KEY, BODY)
    store.tear(4)
    body = store.get(KEY)
    for _ in range(2):
        with body.open() as file:
            assert file.read(4) == b"0123"
            with pytest.raises(UnavailableError):
                file.read(1)
    assert store.get(KEY).read() == b"0123456789"


def test_a_tear_may_be_a_share_of_the_size(store: FaultStore) -> None:
    """Half way is half way at any size."""
    store.put(KEY, BODY)
    store.tear(0.5, "corrupt")
    with store.get(KEY).open() as file:
        assert file.read(5) == b"01234"
        assert outcome(lambda: file.read(1)) == "CorruptError"


def test_flipped_byte_is_silent(store: FaultStore) -> None:
    """Corruption says nothing, wherever a reader starts."""
    store.put(KEY, BODY)
    store.flip(3)
    body = store.get(KEY)
    wrong = bytes([ord("3") ^ 0xFF])
    assert body.read() == b"012" + wrong + b"456789"
    with body.open(3) as file:
        assert file.read(2) == wrong + b"4"
    with body.open(4) as file:
        assert file.read() == b"456789"


def test_down_until_up(store: FaultStore) -> None:
    """An outage fails everything but URLs, and ends when told."""
    store.put(KEY, BODY)
    store.down("denied")
    assert outcome(lambda: store.get(KEY)) == "DeniedError"
    assert outcome(lambda: store.put(KEY, BODY)) == "DeniedError"
    assert outcome(lambda: store.stat(KEY)) == "DeniedError"
    assert outcome(lambda: store.delete(KEY)) == "DeniedError"
    assert store.url(KEY)
    store.up()
    assert store.get(KEY).read() == b"0123456789"


def test_pause_holds_a_call_where_it_is_asked_to(store: FaultStore) -> None:
    """Before the child nothing has happened; behind it everything has."""
    with ThreadPoolExecutor() as pool:
        with store.pause("put") as before:
            putting = pool.submit(store.put, KEY, BODY)
            before.wait()
            assert outcome(lambda: store.get(KEY)) == "NotFoundError"
        putting.result(60)
        with store.pause("delete", after_apply=True) as behind:
            deleting = pool.submit(store.delete, KEY)
            behind.wait()
            assert outcome(lambda: store.get(KEY)) == "NotFoundError"
            assert not deleting.done()
        deleting.result(60)


def test_pause_can_end_in_an_error(store: FaultStore) -> None:
    """A server that hung may close the connection at last."""
    with ThreadPoolExecutor() as pool:
        hung = store.hang()
        reading = pool.submit(store.get, KEY)
        hung.wait()
        hung.release(lambda: UnavailableError("closed at last"))
        with pytest.raises(UnavailableError, match="closed at last"):
            reading.result(60)


def test_pause_nobody_reaches_is_an_assertion(store: FaultStore) -> None:
    """A test that waits for a call which never comes says so."""
    with store.pause("get") as pause, pytest.raises(AssertionError, match="no call"):
        pause.wait(0.01)


def test_stalled_body_goes_on_when_released(store: FaultStore) -> None:
    """A slow server stops in the middle of a body, not before it."""
    store.put(KEY, BODY)
    stall = store.stall(5)
    with ThreadPoolExecutor() as pool, store.get(KEY).open() as file, stall:
        assert file.read(5) == b"01234"
        reading = pool.submit(file.read, 5)
        stall.wait()
        assert not reading.done()
        stall.release()
        assert reading.result(60) == b"56789"


def test_closing_or_healing_releases_what_hangs(store: FaultStore) -> None:
    """No test leaves a thread behind."""
    with ThreadPoolExecutor() as pool:
        for end in (store.heal, store.close):
            hung = store.hang("put")
            putting = pool.submit(store.put, KEY, BODY)
            hung.wait()
            end()
            putting.exception(60)  # or TimeoutError


def test_open_readers_are_counted(store: FaultStore) -> None:
    """A reader that is not closed shows, with a fault in its way or without."""
    store.put(KEY, BODY)
    store.tear(0.5)
    torn, whole = store.get(KEY).open(), store.get(KEY).open()
    assert store.open_readers == 2
    torn.close()
    whole.close()
    whole.close()
    assert (store.opened_readers, store.open_readers) == (2, 0)


def test_same_seed_same_faults_in_any_order() -> None:
    """Chance depends on the seed, the verb, the key and its turn, never on threads."""

    def run(seed: int, keys: list[Key]) -> dict[tuple[Key, int], str]:
        store = FaultStore(
            MemoryStore(), seed=seed, rate=0.5, errors=["denied", "full"]
        )
        return {
            (key, turn): outcome(lambda key=key: store.put(key, BODY))
            for turn in range(50)
            for key in keys
        }

    first = run(1, [KEY, OTHER])
    assert first == run(1, [OTHER, KEY])
    assert first != run(2, [KEY, OTHER])
    assert set(first.values()) == {"DeniedError", "FullError", "done"}


def test_chance_applies_before_it_fails_as_often_as_told() -> None:
    """With an apply rate of one every failing put has happened."""
    store = FaultStore(MemoryStore(), rate=1.0, apply_rate=1.0)
    with pytest.raises(UnavailableError) as caught:
        store.put(KEY, BODY)
    assert caught.value.ambiguous
    assert store.child.get(KEY).read() == b"0123456789"


def test_chance_tears_bodies() -> None:
    """With a tear rate of one no body arrives whole, though every get succeeds."""
    store = FaultStore(MemoryStore(), tear_rate=1.0)
    store.put(KEY, BODY)
    for _ in range(5):
        assert outcome(store.get(KEY).read) == "UnavailableError"
    store.heal()
    assert store.get(KEY).read() == b"0123456789"


def test_latency_is_the_clocks() -> None:
    """A slow store costs a test no time; a URL is never slow."""
    clock = FakeClock()
    slow = FaultStore(MemoryStore(base_url="x"), latency=2.5, clock=clock)
    slow.put(KEY, BODY)
    slow.url(KEY)
    assert clock.slept == [2.5]
    assert clock.monotonic() == 2.5


@pytest.mark.parametrize(
    "options", [{"rate": 1.5}, {"tear_rate": -1}, {"errors": []}, {"errors": ["odd"]}]
)
def test_wrong_options_are_named(options: dict[str, object]) -> None:
    """A share beyond its range, or an unknown kind, is a configuration error."""
    with pytest.raises(ConfigError, match=next(iter(options))):
        FaultStore(MemoryStore(), **options)  # type: ignore[arg-type]


def test_recorder_keeps_events_and_waits_for_them(store: FaultStore) -> None:
    """Events are asked for by their kind, those of other threads too."""
    recorder = Recorder()
    observe(store, recorder)
    thread = threading.Thread(target=store.put, args=(KEY, BODY))
    thread.start()
    found = recorder.wait_for(Operation, 2)
    thread.join()
    assert [event.store for event in found] == ["memory", "fault"]
    assert recorder.of(Operation) == found
    recorder.clear()
    assert recorder.events == []
    with pytest.raises(AssertionError, match="0 of 1 Operation"):
        recorder.wait_for(Operation, seconds=0.01)
