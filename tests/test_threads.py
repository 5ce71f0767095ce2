"""Many threads at once: no connection too many, and no thread for a call."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.servers.proxy import Proxy
from tests.servers.redis import RedisServer
from tests.servers.s3 import S3Server
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.tiers.memory import MemoryTier
from tiered_store.tiers.redis import RedisTier
from tiered_store.tiers.tier import Tier
from tiered_store.wrappers.cached import CachedStore
from tiered_store.wrappers.replicated import ReplicatedStore
from tiered_store.wrappers.retry import RetryStore


KEYS = [Key("testing", number, 2, 3, "image/png") for number in range(32)]
PATIENT = {"timeout": 60.0, "connect_timeout": 60.0}
CONTENT = os.urandom(20_000)


@pytest.fixture
def keep() -> Iterator[Callable[[Any], Any]]:
    """Close what it is given, at the end."""
    with contextlib.ExitStack() as stack:
        yield lambda thing: stack.enter_context(contextlib.closing(thing))


def crowd(number: int, work: Callable[[Key], object]) -> None:
    """Do *work* for each of so many keys, all at once."""
    together = threading.Barrier(number)

    def one(key: Key) -> None:
        together.wait(60)
        work(key)

    with ThreadPoolExecutor(number) as threads:
        list(threads.map(one, KEYS[:number]))


@pytest.mark.servers
@pytest.mark.parametrize("engine", ["boto3", "obstore"])
@pytest.mark.parametrize("number", [8, 32])
def test_threads_at_s3_have_a_connection_each_and_keep_it(
    seaweed_server: S3Server,
    keep: Callable[[Any], Any],
    caplog: pytest.LogCaptureFixture,
    number: int,
    engine: str,
) -> None:
    """A pool that is too small opens one for a call and logs that it is discarded."""
    proxy = keep(Proxy(seaweed_server.ports[0]))
    bucket = seaweed_server.make_bucket()
    with seaweed_server.store(bucket) as direct:
        for key in KEYS[:number]:
            direct.put(key, Body.of(CONTENT))
    options = {"endpoint_url": proxy.url, "engine": engine, **PATIENT}
    store = keep(seaweed_server.store(bucket, **options))

    def work(key: Key) -> None:
        for _ in range(10):
            assert store.get(key).read() == CONTENT
        if engine == "boto3":  # which puts, whatever reads
            store.put(key, Body.of(CONTENT))

    with caplog.at_level(logging.WARNING):
        crowd(number, work)

    # obstore opens another while it waits for one that is about to be free
    assert proxy.connections <= (number if engine == "boto3" else 2 * number)
    assert [record for record in caplog.records if "urllib3" in record.name] == []


@pytest.mark.servers
def test_threads_that_come_together_share_one_pool(
    moto_server: S3Server, keep: Callable[[Any], Any]
) -> None:
    """Who begins first makes it; the others' would be left with their connections."""
    found: list[Any] = []
    for _ in range(5):
        store = keep(moto_server.store("any", engine="obstore"))
        crowd(8, lambda _, store=store: found.append(store._obstore._ready()))

    assert len(set(map(id, found))) == 5


@pytest.mark.servers
@pytest.mark.parametrize("number", [8, 32])
def test_threads_at_redis_have_a_connection_each_and_keep_it(
    redis_server: RedisServer, keep: Callable[[Any], Any], number: int
) -> None:
    """None is opened for a call; besides theirs there are those that listen."""

    def opened() -> int:
        with redis_server.client() as client:
            return int(client.info("stats")["total_connections_received"])

    tier = RedisTier(redis_server.url, prefix=f"{number}-threads:", timeout=60.0)
    store = keep(CachedStore(MemoryStore(), [tier]))
    store.put(KEYS[0], Body.of(CONTENT))
    assert store.get(KEYS[0]).read() == CONTENT
    before = opened()

    def work(key: Key) -> None:
        store.put(key, Body.of(CONTENT))
        for _ in range(20):
            assert store.get(key).read() == CONTENT

    crowd(number, work)

    asked_with = 1
    assert opened() - before <= number + asked_with


def test_no_thread_is_started_for_a_call(
    tmp_path: Path, keep: Callable[[Any], Any]
) -> None:
    """Pools are bounded and named, and what is idle is used again."""
    names = begun(keep(_mirrored(tmp_path)), callers=8, times=25)

    workers = {f"replicated-{number}" for number in range(1, 5)}
    assert set(names) <= {*workers, "tiered-store-control"}
    assert len(names) == len(set(names))  # none was begun again


@pytest.mark.servers
@pytest.mark.parametrize("number", [8, 32])
def test_no_thread_is_started_for_a_call_to_servers(
    tmp_path: Path,
    redis_server: RedisServer,
    seaweed_server: S3Server,
    keep: Callable[[Any], Any],
    number: int,
) -> None:
    """Nor with Redis, either engine of S3, and more callers than any pool has."""
    bucket = seaweed_server.make_bucket()
    replicas = {
        engine: seaweed_server.store(bucket, prefix=engine, engine=engine, **PATIENT)
        for engine in ("boto3", "obstore")
    }
    tier = RedisTier(redis_server.url, prefix=f"{number}-workers:", timeout=60.0)
    stack = keep(_mirrored(tmp_path, replicas, [MemoryTier(), tier]))
    stack.put(KEYS[0], Body.of(CONTENT))  # connected, and listening

    names = begun(stack, callers=number, times=3)

    workers = {f"replicated-{one}" for one in range(1, 5)}
    assert set(names) <= {*workers, "tiered-store-control"}
    assert len(names) == len(set(names))


def begun(stack: Store, *, callers: int, times: int) -> list[str]:
    """Return the names of the threads that are begun while so many call so often."""
    started: list[threading.Thread] = []

    def note(*_: object) -> None:  # called in each thread that is begun from now on
        started.append(threading.current_thread())
        sys.setprofile(None)

    def work(key: Key) -> None:
        for _ in range(times):
            stack.put(key, Body.of(CONTENT))
            assert stack.get(key).read() == CONTENT
            stack.delete(key)

    threading.setprofile(note)
    try:
        crowd(callers, work)
    finally:
        threading.setprofile(None)  # type: ignore[arg-type]  # which ends it
    return [one.name for one in started if "ThreadPool" not in one.name]


def _mirrored(
    folder: Path,
    replicas: Mapping[str, Store] | None = None,
    tiers: Sequence[Tier] = (),
) -> Store:
    files = {
        name: FileSystemStore(str(folder / name), create=True) for name in ("us", "eu")
    }
    journal = SQLiteJournal(str(folder / "journal.sqlite"))
    mirror = ReplicatedStore(replicas or files, journal=journal, workers=4)
    return RetryStore(CachedStore(mirror, tiers or [MemoryTier()]))
