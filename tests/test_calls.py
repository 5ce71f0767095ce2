"""
How many functions of ours a read passes.

Behind a region or a cache the processor has forgotten them by the time of the next
read, and each costs microseconds, which no loop around one call shows.  A number is the
same on any machine; whoever needs more of them raises it, and says why.
"""

from __future__ import annotations

import sys

from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import tiered_store

from tiered_store import CachedStore, FileSystemStore, Store, build
from tiered_store.body import Body
from tiered_store.key import Key
from tiered_store.tree import walk


OURS = str(Path(tiered_store.__file__).parent)
KEY = Key("comics.cover", 1, 405, 640, "image/jpeg")


def functions_of(call: Callable[[], Any]) -> list[str]:
    """Return the names of our functions that *call* passes, in this thread."""
    passed: list[str] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(OURS):
            passed.append(frame.f_code.co_qualname)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before)
    return passed


@pytest.fixture
def store(tmp_path) -> Iterator[Store]:
    """The layers of ``config/production.yaml``, without Redis, above memory."""
    journal = {"type": "sqlite", "path": str(tmp_path / "journal.sqlite")}
    control = {"type": "file", "path": str(tmp_path / "decisions.json")}
    images = {
        "type": "cached",
        "tiers": [{"type": "memory", "capacity": "1MiB", "ttl": "5m"}],
        "stale_if_error": "1d",
        "negative_ttl": "10s",
        "retry": {"attempts": 3},
        "origin": {
            "type": "replicated",
            "replicas": {"us": {"type": "memory"}, "eu": {"type": "memory"}},
            "quorum": 1,
            "journal": journal,
            "control": control,
        },
    }
    with build({"version": 1, "stores": {"images": images}}) as store:
        store.put(KEY, Body.of(b"x" * 1000))
        store.get(KEY)  # what is done once is done
        yield store


def test_what_passes_a_read_on_is_few_functions(store) -> None:
    """A breaker, a mirror with its journal and decisions, and a store in memory."""
    [cache] = (one for one in walk(store) if isinstance(one, CachedStore))
    cache.origin.get(KEY)

    passed = functions_of(lambda: cache.origin.get(KEY))

    assert len(passed) <= 37, passed


def test_a_miss_that_is_kept_is_few_functions_more(store) -> None:
    """One fetch for all who ask, and the copy dated, named and weighed."""
    [cache] = (one for one in walk(store) if isinstance(one, CachedStore))
    for tier in cache.tiers:
        tier.clear()

    passed = functions_of(lambda: store.get(KEY))

    assert len(passed) <= 86, passed


def test_a_hit_is_one_function(store) -> None:
    """What is in memory is handed out by the cache before a key is made."""
    [cache] = (one for one in walk(store) if isinstance(one, CachedStore))

    passed = functions_of(lambda: cache.get_file(*KEY))

    assert passed == ["CachedStore.get_file"]


def test_a_hit_in_a_directory_is_few_functions(tmp_path: Path) -> None:
    """Four questions of the cache, a breaker, a file, and a digest of what it holds."""
    tier = {"type": "filesystem", "path": str(tmp_path / "tier"), "create": True}
    cached = {"type": "cached", "tiers": [tier], "origin": {"type": "memory"}}
    with build({"version": 1, "stores": {"images": cached}}) as store:
        store.put(KEY, Body.of(b"x" * 1000))
        store.get(KEY)

        passed = functions_of(lambda: store.get_file(*KEY).close())

    assert len(passed) <= 51, passed


def test_a_file_is_opened_by_few_functions(tmp_path: Path) -> None:
    """Its path, and the reader that closes it."""
    with FileSystemStore(str(tmp_path)) as store:
        store.put(KEY, Body.of(b"x" * 100_000))

        passed = functions_of(lambda: store.get_file(*KEY).close())

    assert len(passed) <= 4, passed
