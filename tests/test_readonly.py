"""A read-only store reads and never changes."""

from __future__ import annotations

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.errors import NotFoundError, ReadOnlyError
from tiered_store.key import Key
from tiered_store.testing import FaultStore
from tiered_store.wrappers.readonly import ReadOnlyStore


KEY = Key("comics.cover", 1, 30, 40, "image/png")


def test_changes_are_refused_before_the_child_is_asked() -> None:
    """Nothing may reach a store that must not change, whatever it would do with it."""
    child = FaultStore(MemoryStore())
    store = ReadOnlyStore(child)
    with pytest.raises(ReadOnlyError, match="read-only") as caught:
        store.put(KEY, Body.of(b"new"))
    assert caught.value.failover
    assert not caught.value.retryable
    with pytest.raises(ReadOnlyError):
        store.delete(KEY)
    assert not child.calls


def test_reading_is_the_childs() -> None:
    """What is there can be read, listed and located; absence is still absence."""
    child = MemoryStore(base_url="https://x/")
    child.put(KEY, Body.of(b"old"))
    store = ReadOnlyStore(child)
    assert store.get(KEY).read() == b"old"
    assert store.stat(KEY).size == 3
    assert list(store.keys()) == [KEY]
    assert store.url(KEY) == child.url(KEY)
    with pytest.raises(NotFoundError):
        store.get(KEY._replace(object_id=2))


def test_it_does_not_claim_what_it_refuses() -> None:
    """A composite asks capabilities before it chooses where to write."""
    able = ReadOnlyStore(MemoryStore()).capabilities()
    assert able == {"get", "stat", "keys"}
