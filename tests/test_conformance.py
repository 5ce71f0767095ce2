"""
The conformance table: every built-in store, one line each.
"""

from __future__ import annotations

import pytest

from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.memory import MemoryStore
from tiered_store.store import Store
from tiered_store.testing.conformance import StoreConformance
from tiered_store.tree import label
from tiered_store.wrappers.breaker import BreakerStore


def memory() -> Store:
    return MemoryStore(base_url="memory://test/")


class TestMemory(StoreConformance):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class TestFileSystem(StoreConformance):
    @pytest.fixture
    def store(self, tmp_path) -> Store:
        return FileSystemStore(tmp_path / "root", "https://x/", create=True)


WRAPPED = {
    "breaker": lambda: BreakerStore(memory()),
}


class TestWrapped(StoreConformance):
    @pytest.fixture(params=WRAPPED)
    def store(self, request) -> Store:
        return label(WRAPPED[request.param](), request.param)
