"""A limit bounds operations, never files, and never waits for itself."""

from __future__ import annotations

import os
import warnings

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.deadlines import deadline
from tiered_store.errors import (
    ConfigError,
    DeadlineError,
    NotFoundError,
    UnavailableError,
)
from tiered_store.key import Key
from tiered_store.testing import FaultStore
from tiered_store.workers import Workers
from tiered_store.wrapper import Wrapper
from tiered_store.wrappers.limit import LimitStore


KEY = Key("comics.cover", 1, 30, 40, "image/png")
BODY = Body.of(b"0123456789")


@pytest.fixture
def child() -> FaultStore:
    return FaultStore(MemoryStore(base_url="https://x/"))


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as threads:
        yield threads


def test_no_more_than_the_maximum_get_through(
    child: FaultStore, pool: ThreadPoolExecutor
) -> None:
    """The third of three operations gets no turn until one of two has its answer."""
    store = LimitStore(child, 2, wait=0.01)
    with child.pause("get", key=KEY) as one, child.pause("stat", key=KEY) as two:
        calls = [pool.submit(store.get, KEY), pool.submit(store.stat, KEY)]
        one.wait()
        two.wait()
        for refused in (store.delete, lambda _: list(store.keys(""))):
            with pytest.raises(UnavailableError, match="all 2 permits"):
                refused(KEY)
        one.release()
        assert isinstance(calls[0].exception(60), NotFoundError)
        store.delete(KEY)


def test_a_turn_comes_when_a_permit_is_free(
    child: FaultStore, pool: ThreadPoolExecutor
) -> None:
    """Waiting is worth it."""
    store = LimitStore(child, 1)
    with child.hang("get") as hung:
        holding = pool.submit(outcome, store)
        hung.wait()
        waiting = pool.submit(outcome, store)
    assert holding.result(60) == waiting.result(60) == "absent"


def outcome(store: LimitStore) -> str:
    try:
        store.get(KEY)
    except FileNotFoundError:
        return "absent"
    return "found"


def test_waiting_too_long_is_local_trouble(
    child: FaultStore, pool: ThreadPoolExecutor
) -> None:
    """A breaker must not count it, a retry must not add to it, a fallback may help."""
    store = LimitStore(child, 1, wait=0.01)
    with child.hang("get") as hung:
        pool.submit(outcome, store)
        hung.wait()
        with pytest.raises(UnavailableError, match=r"all 1 permits.* 0.01 s") as caught:
            store.put(KEY, BODY)
    error = caught.value
    assert (error.local, error.failover, error.retryable) == (True, True, False)
    assert not error.ambiguous
    assert not isinstance(error, DeadlineError)
    assert child.calls["put"] == 0


def test_a_deadline_ends_the_wait(child: FaultStore, pool: ThreadPoolExecutor) -> None:
    """Waiting for ever means as long as the caller has time."""
    store = LimitStore(child, 1, wait=None)
    with child.hang("get") as hung:
        pool.submit(outcome, store)
        hung.wait()
        with deadline(0.02), pytest.raises(DeadlineError):
            store.put(KEY, BODY)


def test_an_open_file_holds_no_permit(child: FaultStore) -> None:
    """Else a program that reads two files at once would stop at a maximum of one."""
    store = LimitStore(child, 1, wait=0.01)
    store.put(KEY, BODY)
    with store.get_file(*KEY) as first, store.get_file(*KEY) as second:
        assert first.read() == second.read() == b"0123456789"


def test_a_listing_holds_none_between_its_keys(child: FaultStore) -> None:
    """Whoever lists reads what is listed, through the same limit."""
    store = LimitStore(child, 1, wait=0.01)
    for number in range(3):
        store.put(KEY._replace(object_id=number), BODY)
    assert [store.get(key).size for key in store.keys("")] == [10, 10, 10]


def test_permits_come_back_after_failures(child: FaultStore) -> None:
    """An outage must not use them up."""
    store = LimitStore(child, 1, wait=0.01)
    child.fail(None, times=5)
    for call in (store.get, store.stat, store.delete, store.get):
        with pytest.raises(UnavailableError, match="on purpose"):
            call(KEY)
    with pytest.raises(UnavailableError, match="on purpose"):
        list(store.keys(""))
    store.put(KEY, BODY)


def test_urls_need_no_permit(child: FaultStore, pool: ThreadPoolExecutor) -> None:
    """They cost no I/O."""
    store = LimitStore(child, 1, wait=0.01)
    with child.hang("get") as hung:
        pool.submit(outcome, store)
        hung.wait()
        assert store.url(KEY)


class _Detour(Wrapper):
    """Comes back to *entrance* during a put, in its own thread and in another."""

    entrance: LimitStore

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        workers = Workers("detour", 1)
        assert workers.start(lambda: outcome(self.entrance)).result(60) == "absent"
        assert outcome(self.entrance) == "absent"
        workers.close()
        super()._put(key, body, reproducible)


def test_coming_back_to_a_limit_does_not_wait_for_itself() -> None:
    """An operation that holds the only permit goes on with it, in its workers too."""
    detour = _Detour(MemoryStore())
    store = LimitStore(detour, 1, wait=0.05)
    detour.entrance = store
    store.put(KEY, BODY)
    assert store.get(KEY).size == 10


def test_a_child_process_has_all_permits(
    child: FaultStore, pool: ThreadPoolExecutor
) -> None:
    """Those who held them at the fork do not exist in the child."""
    store = LimitStore(child, 1, wait=0.01)
    with child.hang("get") as hung:
        pool.submit(outcome, store)
        hung.wait()
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


@pytest.mark.parametrize("options", [{"maximum": 0}, {"maximum": 1, "wait": -1}])
def test_wrong_options_are_named(options: dict[str, int]) -> None:
    """A limit that lets nobody through is a mistake."""
    with pytest.raises(ConfigError, match=r"maximum|wait"):
        LimitStore(MemoryStore(), **options)
