"""
Compose blob stores: caches, mirrors and failover behind four methods.

Names are imported when they are first used, so a program pays for what it names:
no SDK is loaded before a stack that talks to it.
"""

from __future__ import annotations

import importlib

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from tiered_store.asynchronous.store import AsyncStore
    from tiered_store.backends.filesystem import FileSystemStore
    from tiered_store.backends.memory import MemoryStore
    from tiered_store.backends.redis import RedisStore
    from tiered_store.backends.s3 import S3Store
    from tiered_store.backends.s3.control import S3Control
    from tiered_store.body import Body, Stat
    from tiered_store.condition import Condition
    from tiered_store.config import build, load, to_yaml
    from tiered_store.control.file import FileControl
    from tiered_store.control.redis import RedisControl
    from tiered_store.deadlines import deadline
    from tiered_store.errors import (
        ClosedError,
        ConfigError,
        ConflictError,
        CorruptError,
        DeadlineError,
        DeniedError,
        FullError,
        InconclusiveError,
        InvalidError,
        MisconfiguredError,
        NotFoundError,
        PartialWriteError,
        ReadOnlyError,
        RefusedError,
        StoreError,
        ThrottledError,
        TooLargeError,
        UnavailableError,
        UnsupportedError,
    )
    from tiered_store.explanation import explain
    from tiered_store.findings import Explanation, Finding
    from tiered_store.foreign import as_store
    from tiered_store.journals.memory import MemoryJournal
    from tiered_store.journals.redis import RedisJournal
    from tiered_store.journals.sql import SQLJournal
    from tiered_store.journals.sqlite import SQLiteJournal
    from tiered_store.key import Key
    from tiered_store.policies.breaker import BreakerPolicy
    from tiered_store.policies.routing import Rule
    from tiered_store.replication.difference import Difference, VerifyReport
    from tiered_store.replication.pace import RepairPolicy
    from tiered_store.replication.placement import ReadPolicy, Reproducible
    from tiered_store.replication.report import RepairReport
    from tiered_store.store import Store
    from tiered_store.tiers.memory import MemoryTier
    from tiered_store.tiers.redis import RedisTier
    from tiered_store.tiers.store import StoreTier
    from tiered_store.tree import conditions, label, observe
    from tiered_store.units import Secret
    from tiered_store.wrapper import Wrapper
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
    from tiered_store.wrappers.routed import RoutedStore
    from tiered_store.wrappers.served import ServedStore
    from tiered_store.wrappers.shadow import ShadowStore
    from tiered_store.wrappers.sharded import ShardedStore
    from tiered_store.wrappers.timeout import TimeoutStore
    from tiered_store.wrappers.verified import VerifiedStore


__all__ = [
    # from a file, or from a mapping, to stores
    "load",
    "build",
    "to_yaml",
    # stores that keep objects
    "MemoryStore",
    "FileSystemStore",
    "S3Store",
    "RedisStore",
    # stores made of stores
    "CachedStore",
    "ReplicatedStore",
    "FallbackStore",
    "RetryStore",
    "BreakerStore",
    "TimeoutStore",
    "HedgedStore",
    "LimitStore",
    "OverlayStore",
    "PrefixedStore",
    "ReadOnlyStore",
    "VerifiedStore",
    "EncryptedStore",
    "CompressedStore",
    "RoutedStore",
    "ShardedStore",
    "MigratingStore",
    "ShadowStore",
    "ServedStore",
    # what they are made with
    "MemoryTier",
    "RedisTier",
    "StoreTier",
    "SQLiteJournal",
    "RedisJournal",
    "SQLJournal",
    "MemoryJournal",
    "FileControl",
    "RedisControl",
    "S3Control",
    "BreakerPolicy",
    "ReadPolicy",
    "RepairPolicy",
    "Reproducible",
    "Rule",
    "Secret",
    # around any of them
    "AsyncStore",
    "as_store",
    "conditions",
    "deadline",
    "explain",
    "label",
    "observe",
    # for authors of stores
    "Store",
    "Wrapper",
    "Key",
    "Body",
    "Stat",
    "Finding",
    "Explanation",
    "Condition",
    # what tools of a mirror say
    "RepairReport",
    "VerifyReport",
    "Difference",
    # errors
    "StoreError",
    "NotFoundError",
    "UnavailableError",
    "ThrottledError",
    "DeadlineError",
    "InconclusiveError",
    "RefusedError",
    "DeniedError",
    "MisconfiguredError",
    "ReadOnlyError",
    "FullError",
    "InvalidError",
    "TooLargeError",
    "ConflictError",
    "CorruptError",
    "PartialWriteError",
    "UnsupportedError",
    "ConfigError",
    "ClosedError",
]

_ELSEWHERE = {
    "load": "config",
    "build": "config",
    "to_yaml": "config",
    "MemoryStore": "backends.memory",
    "FileSystemStore": "backends.filesystem",
    "S3Store": "backends.s3",
    "RedisStore": "backends.redis",
    "CachedStore": "wrappers.cached",
    "ReplicatedStore": "wrappers.replicated",
    "FallbackStore": "wrappers.fallback",
    "RetryStore": "wrappers.retry",
    "BreakerStore": "wrappers.breaker",
    "TimeoutStore": "wrappers.timeout",
    "LimitStore": "wrappers.limit",
    "HedgedStore": "wrappers.hedged",
    "OverlayStore": "wrappers.overlay",
    "PrefixedStore": "wrappers.prefixed",
    "ReadOnlyStore": "wrappers.readonly",
    "VerifiedStore": "wrappers.verified",
    "EncryptedStore": "wrappers.encrypted",
    "CompressedStore": "wrappers.compressed",
    "RoutedStore": "wrappers.routed",
    "ShardedStore": "wrappers.sharded",
    "MigratingStore": "wrappers.migrating",
    "ShadowStore": "wrappers.shadow",
    "ServedStore": "wrappers.served",
    "MemoryTier": "tiers.memory",
    "RedisTier": "tiers.redis",
    "StoreTier": "tiers.store",
    "SQLiteJournal": "journals.sqlite",
    "RedisJournal": "journals.redis",
    "SQLJournal": "journals.sql",
    "MemoryJournal": "journals.memory",
    "FileControl": "control.file",
    "RedisControl": "control.redis",
    "S3Control": "backends.s3.control",
    "BreakerPolicy": "policies.breaker",
    "ReadPolicy": "replication.placement",
    "RepairPolicy": "replication.pace",
    "RepairReport": "replication.report",
    "VerifyReport": "replication.difference",
    "Difference": "replication.difference",
    "Reproducible": "replication.placement",
    "Rule": "policies.routing",
    "Secret": "units",
    "AsyncStore": "asynchronous.store",
    "as_store": "foreign",
    "conditions": "tree",
    "deadline": "deadlines",
    "explain": "explanation",
    "label": "tree",
    "observe": "tree",
    "Store": "store",
    "Wrapper": "wrapper",
    "Key": "key",
    "Body": "body",
    "Stat": "body",
    "Finding": "findings",
    "Explanation": "findings",
    "Condition": "condition",
}


if not TYPE_CHECKING:  # a type checker would believe that every name is here

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = importlib.import_module(f"{__name__}.{_ELSEWHERE.get(name, 'errors')}")
        found = globals()[name] = getattr(module, name)  # so that it is asked once
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
