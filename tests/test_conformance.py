"""
The conformance table: every built-in store, one line each.

Stores that need a server of their own are in the test files named after them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.memory import MemoryStore
from tiered_store.foreign import ForeignStore
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.store import Store
from tiered_store.testing.conformance import StoreConformance
from tiered_store.testing.faults import FaultStore
from tiered_store.tiers.memory import MemoryTier
from tiered_store.tiers.store import StoreTier
from tiered_store.tree import label
from tiered_store.units import Secret
from tiered_store.wrappers.breaker import BreakerStore
from tiered_store.wrappers.cached import CachedStore
from tiered_store.wrappers.compressed import CompressedStore
from tiered_store.wrappers.encrypted import EncryptedStore
from tiered_store.wrappers.fallback import FallbackStore
from tiered_store.wrappers.hedged import HedgedStore
from tiered_store.wrappers.limit import LimitStore
from tiered_store.wrappers.migrating import MigratingStore
from tiered_store.wrappers.overlay import OverlayStore
from tiered_store.wrappers.prefixed import PrefixedStore
from tiered_store.wrappers.readonly import ReadOnlyStore
from tiered_store.wrappers.replicated import ReplicatedStore
from tiered_store.wrappers.retry import RetryStore
from tiered_store.wrappers.routed import RoutedStore, Rule
from tiered_store.wrappers.served import ServedStore
from tiered_store.wrappers.shadow import ShadowStore
from tiered_store.wrappers.sharded import ShardedStore
from tiered_store.wrappers.timeout import TimeoutStore
from tiered_store.wrappers.verified import VerifiedStore


SECRET = Secret("YW4gZXhhbXBsZTsgbWFrZSBvbmUgb2YgeW91ciBvd24=")


def memory() -> Store:
    return MemoryStore(base_url="https://memory/")


def directory(path: Path) -> Store:
    return FileSystemStore(str(path / "root"), "https://directory/", create=True)


TABLE: dict[str, Callable[[Path], Store]] = {
    "memory": lambda path: memory(),
    "memory without URLs": lambda path: MemoryStore(),
    "filesystem": directory,
    "filesystem fsync": lambda path: FileSystemStore(
        str(path), "https://directory/", fsync=True
    ),
    "foreign": lambda path: ForeignStore(directory(path)),
    "breaker": lambda path: BreakerStore(memory()),
    "cached by memory": lambda path: CachedStore(directory(path), [MemoryTier()]),
    "cached by directory": lambda path: CachedStore(memory(), [directory(path)]),
    "cached by two": lambda path: CachedStore(
        memory(), [MemoryTier(capacity=100_000), StoreTier(directory(path))]
    ),
    "fallback of one": lambda path: FallbackStore({"only": directory(path)}),
    "fallback with an empty one": lambda path: FallbackStore(
        {"first": memory(), "empty": directory(path)},
        read_on=["unavailable", "not_found"],
    ),
    "fallback, writes fail over": lambda path: FallbackStore(
        {"us": memory(), "eu": directory(path)},
        write="failover",
        journal=SQLiteJournal(str(path / "failover.db")),
        hedge_after="p95",
    ),
    "fault": lambda path: FaultStore(memory()),
    "hedged": lambda path: HedgedStore(memory()),
    "limit": lambda path: LimitStore(memory(), 4),
    "overlay": lambda path: OverlayStore(memory(), directory(path)),
    "prefixed": lambda path: PrefixedStore(memory(), "prefix."),
    "retry": lambda path: RetryStore(directory(path)),
    "compressed": lambda path: CompressedStore(directory(path)),
    "encrypted": lambda path: EncryptedStore(directory(path), SECRET),
    "migrating": lambda path: MigratingStore(memory(), directory(path)),
    "readonly": lambda path: ReadOnlyStore(memory()),
    "replicated of one": lambda path: ReplicatedStore({"only": directory(path)}),
    "replicated of two": lambda path: ReplicatedStore(
        {"us": memory(), "eu": directory(path)},
        journal=SQLiteJournal(str(path / "journal.db")),
    ),
    "routed": lambda path: RoutedStore(
        {"png": memory(), "rest": directory(path)},
        rules=[Rule(to="png", mimetype="image/png")],
        default="rest",
    ),
    "served": lambda path: ServedStore(memory(), "https://served/"),
    "shadow": lambda path: ShadowStore(memory(), directory(path)),
    "sharded": lambda path: ShardedStore({"a": memory(), "b": directory(path)}),
    "timeout": lambda path: TimeoutStore(directory(path), 30),
    "verified": lambda path: VerifiedStore(directory(path)),
    "a deep stack": lambda path: RetryStore(
        CachedStore(
            FallbackStore(
                {
                    "regions": ReplicatedStore(
                        {"us": directory(path), "eu": VerifiedStore(memory())},
                        journal=SQLiteJournal(str(path / "journal.db")),
                    ),
                    "local": memory(),
                }
            ),
            [MemoryTier()],
        )
    ),
}


class TestTable(StoreConformance):
    @pytest.fixture(params=TABLE)
    def store(self, request, tmp_path) -> Store:
        return label(TABLE[request.param](tmp_path), request.param)
