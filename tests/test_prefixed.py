"""A prefix keeps two stacks apart in one store."""

from __future__ import annotations

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.errors import ConfigError, NotFoundError
from tiered_store.key import Key
from tiered_store.wrappers.prefixed import PrefixedStore


KEY = Key("comics.cover", 1, 30, 40, "image/png")
INNER = KEY._replace(object_type="staging.comics.cover")


@pytest.fixture
def child() -> MemoryStore:
    return MemoryStore(base_url="https://x/")


def test_everything_happens_under_the_prefix(child: MemoryStore) -> None:
    """Put, get, stat, url and delete all mean the prefixed object."""
    store = PrefixedStore(child, "staging.")
    store.put(KEY, Body.of(b"staged"))
    assert child.get(INNER).read() == b"staged"
    assert store.get(KEY).read() == b"staged"
    assert store.stat(KEY).size == 6
    assert store.url(KEY) == child.url(INNER)
    store.delete(KEY)
    assert list(child.keys()) == []


def test_what_is_outside_is_not_seen(child: MemoryStore) -> None:
    """An object of the same name without the prefix belongs to somebody else."""
    child.put(KEY, Body.of(b"production"))
    store = PrefixedStore(child, "staging.")
    with pytest.raises(NotFoundError):
        store.get(KEY)
    store.delete(KEY)
    assert child.get(KEY).read() == b"production"
    assert list(store.keys("")) == []


def test_listing_strips_the_prefix_and_narrows_below_it(child: MemoryStore) -> None:
    """Callers never learn of the prefix."""
    store = PrefixedStore(child, "staging/")
    for kind in ("comics.cover", "comics.page", "user"):
        store.put(KEY._replace(object_type=kind), Body.of(b"x"))
    child.put(KEY, Body.of(b"production"))
    assert {key.object_type for key in store.keys("")} == {
        "comics.cover",
        "comics.page",
        "user",
    }
    assert {key.object_type for key in store.keys("comics.")} == {
        "comics.cover",
        "comics.page",
    }
    assert all(Key(*key) == key for key in store.keys(""))


@pytest.mark.parametrize("prefix", ["/", "../", "a//", "a\\", "nul\0"])
def test_a_prefix_that_no_key_may_have_is_refused(
    child: MemoryStore, prefix: str
) -> None:
    """Otherwise every call would fail, and a path could leave its root."""
    with pytest.raises(ConfigError, match="prefix: not an object type"):
        PrefixedStore(child, prefix)


def test_what_no_key_could_name_is_not_ours() -> None:
    """Below "a" the type "a/b" would be "/b", which no caller can have put."""
    child = MemoryStore()
    for kind in ("a", "a/b", "ab"):
        child.put(Key(kind, 1, 1, 1, "image/png"), Body.of(b"x"))

    assert [key.object_type for key in PrefixedStore(child, "a").keys("")] == ["b"]
