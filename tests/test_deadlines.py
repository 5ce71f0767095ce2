"""A deadline holds across every layer below it, and only ever shrinks."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.deadlines import bounded, check, deadline, remaining, share
from tiered_store.errors import DeadlineError, UnavailableError
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.tree import label
from tiered_store.workers import Workers
from tiered_store.wrapper import Wrapper


KEY = Key("comics.cover", 5, 30, 40, "image/png")


def left() -> float:
    """Return what is left, which there must be."""
    seconds = remaining()
    assert seconds is not None
    return seconds


def test_without_a_deadline_there_is_all_the_time() -> None:
    """Nothing is bounded that nobody bounded."""
    assert remaining() is None
    assert bounded(5.0) == 5.0
    check()


def test_time_runs_inside_and_not_afterwards() -> None:
    """It ends with its block, whatever happened in it."""
    with deadline(60):
        assert 50 < left() <= 60
        assert 50 < bounded(100) <= 60
        assert bounded(5) == 5
        check()
    assert remaining() is None
    with pytest.raises(ZeroDivisionError), deadline(60):
        raise ZeroDivisionError
    assert remaining() is None


@pytest.mark.parametrize("seconds", [0, -1, 0.0])
def test_when_it_is_up_it_says_so(seconds: float) -> None:
    """Never less than nothing is left."""
    with deadline(seconds):
        assert remaining() == 0.0
        assert bounded(5) == 0.0
        with pytest.raises(DeadlineError, match="the caller's time is up"):
            check()


def test_a_deadline_within_another_only_shrinks() -> None:
    """Somebody below cannot give themselves more, and what was left is left after."""
    with deadline(60):
        with deadline(100):
            assert left() <= 60
        with deadline(10):
            assert left() <= 10
            with deadline(50):
                assert left() <= 10
        assert left() > 50
    with deadline(0), deadline(60), pytest.raises(DeadlineError):
        check()


def test_it_wraps_a_function_too() -> None:
    """A fresh deadline each call."""

    @deadline(60)
    def seconds() -> float:
        return left()

    assert seconds() > 50
    assert seconds() > 50


def test_it_holds_in_the_threads_that_stores_use() -> None:
    """Workers carry it along; another thread of the program has its own time."""
    workers = Workers("test", 1)
    seen: list[float | None] = []
    with deadline(60):
        assert 50 < workers.start(left).result(60) <= 60
        stranger = threading.Thread(target=lambda: seen.append(remaining()))
        stranger.start()
        stranger.join()
    assert workers.start(remaining).result(60) is None
    assert seen == [None]
    workers.close()


def test_a_deadline_in_a_thread_does_not_leak_to_its_next_work() -> None:
    """Each work has the context of who brought it."""
    workers = Workers("test", 1)
    with deadline(0):
        assert workers.start(remaining).result(60) == 0.0
    assert workers.start(remaining).result(60) is None
    workers.close()


def test_tasks_have_their_own() -> None:
    """An event loop runs many callers in one thread."""

    async def seconds(given: float) -> float:
        with deadline(given):
            await asyncio.sleep(0)
            return left()

    async def both() -> list[float]:
        return await asyncio.gather(seconds(60), seconds(1000))

    few, many = asyncio.run(both())
    assert few <= 60 < 900 < many


@pytest.mark.parametrize("verb", ["put", "get", "url", "delete", "stat", "keys"])
def test_no_store_begins_what_there_is_no_time_for(verb: str) -> None:
    """And the error says which was asked for what."""
    store = label(MemoryStore(base_url="https://x/"), "images")
    calls = {
        "put": lambda: store.put(KEY, Body.of(b"x")),
        "keys": lambda: list(store.keys()),
    }
    call = calls.get(verb, lambda: getattr(store, verb)(KEY))

    with deadline(0), pytest.raises(DeadlineError, match=f"^images: {verb}") as caught:
        call()

    assert (caught.value.retryable, caught.value.failover) == (False, False)


# -- shares ----------------------------------------------------------------------


def test_a_share_is_an_equal_part_of_what_is_left() -> None:
    """The rest is for those who are asked next."""
    with deadline(60):
        with share(3):
            assert 15 < left() <= 20
            with share(2):
                assert left() <= 10
        with share(1):
            assert left() > 50
        assert left() > 50


@pytest.mark.parametrize("parts", [3, 1, 0])
def test_without_a_deadline_there_is_nothing_to_share(parts: int) -> None:
    """Everybody has all the time."""
    with share(parts):
        assert remaining() is None


def test_a_share_used_up_is_an_outage_of_the_one_who_used_it() -> None:
    """There is time for the others, so they are tried; it says who was slow."""
    with (
        deadline(60),
        pytest.raises(UnavailableError, match="its share") as caught,
        share(2),
    ):
        raise DeadlineError("the caller's time is up").at("images.us", "get", KEY)

    error = caught.value
    assert not isinstance(error, DeadlineError)
    assert (error.retryable, error.failover) == (True, True)
    assert (error.store, error.verb, error.key) == ("images.us", "get", KEY)
    assert isinstance(error.__cause__, DeadlineError)


def test_when_all_the_time_is_up_a_share_does_not_hide_it() -> None:
    """Then nobody else can help."""
    with deadline(0), pytest.raises(DeadlineError, match="the caller's"), share(2):
        check()


def test_what_else_happens_in_a_share_passes_through() -> None:
    """Only time is a matter of shares."""
    with deadline(60), pytest.raises(UnavailableError, match="down"), share(2):
        raise UnavailableError("down")
    with pytest.raises(DeadlineError), share(2):  # of somebody without a deadline
        raise DeadlineError("a server said so")


class Slow(Wrapper):
    """Takes all the time it is given."""

    def _get(self, key: Key) -> Body:
        seconds = left()
        time.sleep(seconds + 0.001)
        return super()._get(key)


def test_a_slow_store_costs_its_share() -> None:
    """What a parent of several stores does with it."""
    slow: Store = Slow(MemoryStore())
    with deadline(2):
        with pytest.raises(UnavailableError, match="its share"), share(20):
            slow.get(KEY)
        assert left() > 0.5


def test_the_context_is_restored_where_it_was_changed() -> None:
    """A generator that is closed elsewhere must not end another's deadline."""
    context = contextvars.copy_context()

    def inner() -> float:
        with deadline(60):
            return left()

    assert context.run(inner) <= 60
    assert context.run(remaining) is None


def test_a_deadline_may_be_endless() -> None:
    """Whoever waits for a lock under it does not overflow."""
    with deadline(float("inf")):
        left = remaining()
        assert left is not None
        assert threading.Event().wait(min(left, 0)) is False
        assert left <= threading.TIMEOUT_MAX
    with pytest.raises(ValueError, match="number"), deadline(float("nan")):
        pass
