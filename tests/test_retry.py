"""Retries: who may, how often, how long."""

from __future__ import annotations

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.deadlines import deadline
from tiered_store.errors import (
    ConfigError,
    DeniedError,
    NotFoundError,
    StoreError,
    ThrottledError,
    UnavailableError,
)
from tiered_store.events import Retried
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.recording import Recorder
from tiered_store.tree import observe
from tiered_store.wrapper import Wrapper
from tiered_store.wrappers.retry import RetryStore


KEY = Key("testing", 1, 2, 3, "image/png")


class Flaky(Wrapper):
    """Raises what it was told, one error a call, then works."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__(MemoryStore())
        self.errors = list(errors)
        self.calls = 0
        self.seen: list[bytes] = []

    def _trip(self) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        with body.open() as file:
            self.seen.append(file.read())
        self._trip()
        self.child.put(key, body, reproducible)

    def _get(self, key: Key) -> Body:
        self._trip()
        return self.child.get(key)

    def _delete(self, key: Key) -> None:
        self._trip()
        self.child.delete(key)

    def _url(self, key: Key) -> str:
        self._trip()
        return "flaky://"


def retrying(child: Store, **options: object) -> tuple[RetryStore, FakeClock]:
    clock = FakeClock()
    return RetryStore(child, clock=clock, **options), clock  # type: ignore[arg-type]


def test_an_outage_that_passes_is_not_seen() -> None:
    """Two failures, then success: the caller sees success and two waits."""
    flaky = Flaky(UnavailableError("one"), UnavailableError("two"))
    store, clock = retrying(flaky)

    store.put(KEY, Body.of(b"x"))

    assert store.get(KEY).read() == b"x"
    assert len(clock.slept) == 2


def test_every_attempt_reads_the_body_from_its_start() -> None:
    """A retried put without rewinding would store an empty object."""
    flaky = Flaky(UnavailableError("one"), UnavailableError("two"))
    store, _ = retrying(flaky)

    store.put(KEY, Body.of(b"whole"))

    assert flaky.seen == [b"whole"] * 3


@pytest.mark.parametrize("error", [NotFoundError("x"), DeniedError("x"), KeyError("x")])
def test_answers_refusals_and_bugs_are_not_retried(error: Exception) -> None:
    """Another attempt would bring the same."""
    flaky = Flaky(error)
    store, clock = retrying(flaky)

    with pytest.raises(type(error)):
        store.get(KEY)

    assert (flaky.calls, clock.slept) == (1, [])


def test_giving_up_is_said_on_the_error() -> None:
    """So that whoever is above does not begin again."""
    flaky = Flaky(*[UnavailableError("down") for _ in range(9)])
    store, _ = retrying(flaky, attempts=3)

    with pytest.raises(UnavailableError, match="down") as raised:
        store.get(KEY)

    assert flaky.calls == 3
    assert not raised.value.retryable


def test_nested_retries_do_not_multiply() -> None:
    """Only the outermost retries: three attempts of three are three."""
    flaky = Flaky(*[UnavailableError("down") for _ in range(99)])
    inner, _ = retrying(flaky, attempts=3)
    store, _ = retrying(inner, attempts=3)

    with pytest.raises(UnavailableError):
        store.get(KEY)

    assert flaky.calls == 3


def test_urls_are_never_retried() -> None:
    """They do no I/O, so nothing can pass."""
    flaky = Flaky(UnavailableError("odd"))
    store, _ = retrying(flaky)

    with pytest.raises(UnavailableError):
        store.url(KEY)

    assert flaky.calls == 1


def test_a_store_that_asks_for_time_gets_it() -> None:
    """Retry-After is waited for."""
    store, clock = retrying(Flaky(ThrottledError("slow down", retry_after=7.5)))
    store.delete(KEY)

    assert clock.slept == [7.5]


def test_a_pause_that_does_not_fit_is_not_begun() -> None:
    """No sleep past max_elapsed; the error comes at once."""
    flaky = Flaky(ThrottledError("slow down", retry_after=60))
    store, clock = retrying(flaky, max_elapsed=30)

    with pytest.raises(ThrottledError):
        store.get(KEY)

    assert clock.slept == []


def test_a_deadline_ends_retrying() -> None:
    """Whatever time the policy would allow, the caller's is what counts."""
    flaky = Flaky(ThrottledError("slow down", retry_after=5))
    store, clock = retrying(flaky)

    with deadline(4.0), pytest.raises(ThrottledError):
        store.get(KEY)

    assert clock.slept == []


def test_an_outage_does_not_multiply_traffic() -> None:
    """After the floor is used up, retries are a tenth of the calls."""
    flaky = Flaky(*[UnavailableError("down") for _ in range(10_000)])
    store, _ = retrying(flaky, attempts=3)

    for _ in range(200):
        with pytest.raises(UnavailableError):
            store.get(KEY)

    assert flaky.calls <= 200 + 10 + 20


def test_waits_are_random_below_a_doubling_bound() -> None:
    """Full jitter: between nothing and the bound, which grows to the cap."""
    waits: list[list[float]] = [[], [], []]
    for _ in range(100):
        flaky = Flaky(*[UnavailableError("down") for _ in range(3)])
        store, clock = retrying(flaky, attempts=4, base=1.0, cap=2.0)
        with pytest.raises(NotFoundError):
            store.get(KEY)
        for place, slept in zip(waits, clock.slept, strict=True):
            place.append(slept)

    assert max(waits[2]) <= 2.0
    assert max(waits[0]) <= 1.0 < max(waits[1]) <= 2.0
    assert min(waits[0]) < 0.3


def test_retries_are_events() -> None:
    """Each says which attempt failed, how, and what wait follows."""
    recorder = Recorder()
    store, clock = retrying(Flaky(UnavailableError("one")))
    observe(store, recorder)

    with pytest.raises(NotFoundError):
        store.get(KEY)

    [event] = [event for event in recorder.events if isinstance(event, Retried)]
    assert (event.verb, event.attempt, event.wait) == ("get", 1, clock.slept[0])


def test_no_attempts_are_a_mistake() -> None:
    """Told when it is configured."""
    with pytest.raises(ConfigError, match="attempts"):
        RetryStore(MemoryStore(), attempts=0)


def test_the_context_is_left_as_it_was() -> None:
    """After a failure the next call may retry again."""
    flaky = Flaky(UnavailableError("a"), DeniedError("b"), UnavailableError("c"))
    store, clock = retrying(flaky)

    with pytest.raises(StoreError):
        store.get(KEY)
    with pytest.raises(NotFoundError):
        store.get(KEY)

    assert len(clock.slept) == 2
