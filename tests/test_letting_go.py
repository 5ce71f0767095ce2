"""What a put was given is let go of when it is over, failed or not, in every stack."""

from __future__ import annotations

import contextlib
import gc
import logging
import weakref

from collections.abc import Callable, Iterator

import pytest

from tests.waiting import until
from tiered_store import (
    BreakerStore,
    CachedStore,
    FallbackStore,
    MemoryStore,
    MemoryTier,
    ReplicatedStore,
    RetryStore,
    Store,
    TimeoutStore,
)
from tiered_store.body import Body, BytesBody
from tiered_store.errors import InvalidError, StoreError, UnavailableError
from tiered_store.journals.memory import MemoryJournal
from tiered_store.key import Key


KEY = Key("testing", 1234, 405, 640, "image/jpeg")


class Down(MemoryStore):
    """Fails in a way that another attempt may mend."""

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        raise UnavailableError("down") from ConnectionResetError("gone")


class Refusing(MemoryStore):
    """Fails in a way that none would."""

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        raise InvalidError("not here")


class Buggy(MemoryStore):
    """Fails in a way that is no answer of a store."""

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        raise RuntimeError("a bug")


Stack = Callable[[Store], Store]
STACKS: dict[str, Stack] = {
    "retry": lambda bad: RetryStore(bad, attempts=2, base=1e-4),
    "timeout": lambda bad: TimeoutStore(bad, 30.0),
    "breaker": BreakerStore,
    "cached": lambda bad: CachedStore(bad, [MemoryTier(capacity=1000)]),
    "mirror": lambda bad: ReplicatedStore({"a": bad, "b": bad}),
    "mirror of one": lambda bad: ReplicatedStore({"a": bad}),
    "mirror, first": lambda bad: ReplicatedStore(
        {"a": bad, "b": MemoryStore()}, quorum=1, journal=MemoryJournal()
    ),
    "mirror, second": lambda bad: ReplicatedStore(
        {"a": MemoryStore(), "b": bad}, quorum=1, journal=MemoryJournal()
    ),
    "mirror, at the quorum": lambda bad: ReplicatedStore(
        {"a": MemoryStore(), "b": bad},
        quorum=1,
        ack="quorum",
        journal=MemoryJournal(),
    ),
    "fallback": lambda bad: FallbackStore({"a": bad, "b": bad}),
    "failover": lambda bad: FallbackStore(
        {"a": bad, "b": bad}, write="failover", journal=MemoryJournal()
    ),
    "failover, taken": lambda bad: FallbackStore(
        {"a": bad, "b": MemoryStore()}, write="failover", journal=MemoryJournal()
    ),
}


@pytest.fixture(autouse=True)
def _nothing_else_keeps_or_collects() -> Iterator[None]:
    gc.disable()
    logging.disable()  # what is captured of it keeps tracebacks
    yield
    logging.disable(logging.NOTSET)
    gc.enable()


@pytest.mark.parametrize("failing", [Down, Refusing, Buggy])
@pytest.mark.parametrize("name", STACKS)
def test_a_put_that_is_over_keeps_no_body(name: str, failing: type[Store]) -> None:
    """It may be megabytes, or a file without a name; in an outage there are many."""
    with STACKS[name](failing()) as store:
        body = BytesBody(b"content")
        kept = weakref.ref(body)
        with contextlib.suppress(StoreError, RuntimeError):
            store.put(KEY, body)
        del body

        until(lambda: kept() is None, 20)
