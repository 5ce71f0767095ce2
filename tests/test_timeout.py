"""A timeout bounds what a hung store costs, and says what may have happened."""

from __future__ import annotations

import os
import threading
import warnings

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.waiting import longer_and_longer, until
from tiered_store import deadlines
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.errors import (
    ConfigError,
    CorruptError,
    DeadlineError,
    DeniedError,
    NotFoundError,
    UnavailableError,
)
from tiered_store.key import Key
from tiered_store.testing import FaultStore
from tiered_store.wrapper import Wrapper
from tiered_store.wrappers.timeout import TimeoutStore


KEY = Key("comics.cover", 1, 30, 40, "image/png")
BODY = Body.of(b"0123456789" * 50_000)
SOON, LATE = 0.05, 30.0


@pytest.fixture
def child() -> Iterator[FaultStore]:
    with FaultStore(MemoryStore(base_url="https://x/")) as store:
        yield store


def calls_of(store: TimeoutStore) -> dict[str, Callable[[], object]]:
    return {
        "put": lambda: store.put(KEY, BODY),
        "get": lambda: store.get(KEY),
        "delete": lambda: store.delete(KEY),
        "stat": lambda: store.stat(KEY),
        "keys": lambda: list(store.keys("")),
    }


@pytest.mark.parametrize("verb", ["put", "get", "delete", "stat", "keys"])
def test_a_hung_store_is_unavailable(child: FaultStore, verb: str) -> None:
    """No answer is an outage, and a change without an answer may have happened."""
    store = TimeoutStore(child, SOON)
    child.hang()
    with pytest.raises(UnavailableError, match=r"no answer within 0.05 s") as caught:
        calls_of(store)[verb]()
    assert not isinstance(caught.value, DeadlineError)
    assert caught.value.ambiguous is (verb in {"put", "delete"})
    assert caught.value.retryable
    assert caught.value.failover


@pytest.mark.parametrize("verb", ["put", "get"])
def test_the_callers_shorter_deadline_is_final(child: FaultStore, verb: str) -> None:
    """The store is not to blame for a caller in a hurry, and no attempt may follow."""
    store = TimeoutStore(child, LATE)
    child.hang()
    for seconds in longer_and_longer(SOON):
        with deadlines.deadline(seconds), pytest.raises(DeadlineError) as caught:
            calls_of(store)[verb]()
        if store._patience.lost:  # else it was not even asked
            break
    assert caught.value.ambiguous is (verb == "put")


def test_a_child_that_heeds_the_deadline_ends_by_itself(child: FaultStore) -> None:
    """Its own DeadlineError is of our making unless the caller's time was shorter."""
    store = TimeoutStore(child, LATE)
    child.fail("get", DeadlineError, times=2)
    with pytest.raises(UnavailableError, match="no answer within 30 s") as caught:
        store.get(KEY)
    assert not isinstance(caught.value, DeadlineError)
    with deadlines.deadline(LATE / 2), pytest.raises(DeadlineError):
        store.get(KEY)


def test_the_child_sees_how_much_time_it_has() -> None:
    """Whatever is below bounds its sockets by the same deadline."""
    seen = []

    class Noting(Wrapper):
        def _put(self, key: Key, body: Body, reproducible: bool) -> None:
            seen.append(deadlines.remaining())

    TimeoutStore(Noting(MemoryStore()), LATE).put(KEY, BODY)
    assert seen[0] is not None
    assert 0 < seen[0] <= LATE


def test_answers_and_errors_in_time_pass_through(child: FaultStore) -> None:
    """A child that answers is what it is without a timeout."""
    store = TimeoutStore(child, LATE)
    with pytest.raises(NotFoundError):
        store.get(KEY)
    store.put(KEY, BODY)
    assert store.get(KEY).read() == BODY.read()
    assert store.stat(KEY).size == BODY.size
    child.fail("delete", "denied")
    with pytest.raises(DeniedError):
        store.delete(KEY)
    store.delete(KEY)


def test_listings_come_in_pages(child: FaultStore) -> None:
    """Each hundred keys have their time, however many there are."""
    keys = {KEY._replace(object_id=number) for number in range(250)}
    for key in keys:
        child.put(key, Body.of(b""))
    listed = list(TimeoutStore(child, LATE).keys(""))
    assert set(listed) == keys
    assert len(listed) == 250


def test_too_many_lost_calls_fail_at_once(child: FaultStore) -> None:
    """A hung store must not collect threads; when they come back it is asked again."""
    store = TimeoutStore(child, SOON, abandoned=2)
    hung = child.hang("get")
    while child.calls["get"] < 2:
        with pytest.raises(UnavailableError, match="no answer"):
            store.get(KEY)
        # a thread that began too late asks nobody, and comes back
        until(lambda: store._patience.lost == child.calls["get"])
    with pytest.raises(UnavailableError, match="not asked: 2 earlier calls") as caught:
        store.put(KEY, BODY)
    assert not caught.value.ambiguous
    assert child.calls == {"get": 2}
    assert store.url(KEY)  # direct

    child.heal()
    hung.release()
    until(lambda: not store._patience.lost)
    store._patience.seconds = LATE
    store.put(KEY, BODY)


def test_a_stalled_body_is_unavailable(child: FaultStore) -> None:
    """A body that stops coming raises; closing it does not wait for it either."""
    store = TimeoutStore(child, LATE)
    child.put(KEY, BODY)
    stall = child.stall(300_000)
    file = store.get_file(*KEY)
    assert file.read(300_000) == BODY.read()[:300_000]
    store._patience.seconds = SOON
    with pytest.raises(UnavailableError, match="no answer"):
        file.read(1)
    with pytest.raises(UnavailableError, match="earlier read"):
        file.read(1)
    file.close()
    assert child.open_readers == 1  # the thread that still stands there has it

    stall.release()
    until(lambda: child.open_readers == 0)


def test_a_body_that_fails_in_time_says_why(child: FaultStore) -> None:
    """Only silence is a timeout; the reader can still be closed and asked again."""
    store = TimeoutStore(child, LATE)
    child.put(KEY, BODY)
    child.tear(10, "corrupt")
    with store.get_file(*KEY) as file:
        for _ in range(2):
            file.seek(10)
            with pytest.raises(CorruptError, match="on purpose"):
                file.read(1)
    assert child.open_readers == 0


def test_bodies_can_be_read_from_anywhere(child: FaultStore) -> None:
    """A timed body is a body like any other."""
    store = TimeoutStore(child, LATE)
    child.put(KEY, BODY)
    body, content = store.get(KEY), BODY.read()
    with body.open(499_990) as file:
        assert file.read() == content[499_990:]
        file.seek(5)
        assert file.read(10) == content[5:15]
    assert b"".join(body.chunks()) == content
    assert body.stat().size == len(content)


class Stuck(MemoryStore):
    """Begins to read what it is given when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        self.go.wait()
        super()._put(key, body, reproducible)


def test_a_put_left_behind_gets_no_more_bytes(tmp_path: Path) -> None:
    """A caller may change its file after the call; nobody stores what it is then."""
    child = Stuck()
    store = TimeoutStore(child, SOON)
    path = tmp_path / "upload"
    path.write_bytes(b"what was to be stored")
    with path.open("rb") as file, pytest.raises(UnavailableError):
        store.put_file(file, *KEY, False)
    path.write_bytes(b"WHAT IS IN THE FILE N")

    child.go.set()
    until(lambda: not store._patience.lost)
    with pytest.raises(NotFoundError):
        child.get(KEY)


def test_a_file_is_stored_through_a_timeout(tmp_path: Path) -> None:
    """Lending a body and not taking it back changes nothing."""
    store = TimeoutStore(MemoryStore(), LATE)
    path = tmp_path / "upload"
    path.write_bytes(BODY.read())
    with path.open("rb") as file:
        store.put_file(file, *KEY, False)
    assert store.get(KEY).read() == BODY.read()


def test_a_child_process_has_lost_nothing(child: FaultStore) -> None:
    """The calls that hang are the parent's."""
    store = TimeoutStore(child, SOON, abandoned=1)
    child.hang("get")
    while not child.calls["get"]:
        with pytest.raises(UnavailableError):
            store.get(KEY)
    store._patience.seconds = LATE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            store.put(KEY, BODY)
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize("options", [{"seconds": 0}, {"seconds": 1, "abandoned": 0}])
def test_wrong_options_are_named(options: dict[str, int]) -> None:
    """No time at all is a mistake, and so is a cap that is always reached."""
    with pytest.raises(ConfigError, match=r"seconds|abandoned"):
        TimeoutStore(MemoryStore(), **options)
