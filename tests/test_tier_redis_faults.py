"""What is believed, and what it costs, when the server is not what it was."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import textwrap
import threading
import uuid

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import yaml

import tiered_store.tiers.redis

from tests.servers.redis import RedisServer, RedisServers, SentinelSetup
from tests.tiers import content, entry
from tests.waiting import PATIENT, longer_and_longer, until
from tiered_store.clients.lines import Lines
from tiered_store.config import build
from tiered_store.deadlines import deadline, remaining
from tiered_store.errors import (
    ConfigError,
    DeadlineError,
    DeniedError,
    FullError,
    ReadOnlyError,
    StoreError,
    UnavailableError,
)
from tiered_store.key import Key
from tiered_store.layout import object_name
from tiered_store.policies.breaker import BreakerPolicy, CircuitOpenError
from tiered_store.testing.clock import FakeClock
from tiered_store.tiers.redis import RedisTier
from tiered_store.tiers.redis.scripts import MARK
from tiered_store.units import Secret


pytestmark = pytest.mark.servers

KEY = Key("testing", 1234, 405, 640, "image/jpeg")
OLD, NEW = b"old" * 1000, b"new" * 1000
SECONDS = 60.0

Tiers = Callable[..., RedisTier]


@pytest.fixture
def own(redis_servers: RedisServers) -> RedisServer:
    """A server that a test may harm."""
    return redis_servers()


@pytest.fixture
def tiers(own: RedisServer) -> Iterator[Tiers]:
    """Make tiers that share the server that a test may harm; each ends with it."""
    made: list[RedisTier] = []

    def make(url: str | None = own.url, **options: Any) -> RedisTier:
        patient = {**PATIENT, "heartbeat": 0.1}
        made.append(RedisTier(url, **{**patient, **options}))
        return made[-1]

    yield make
    for tier in made:
        tier.close()


@pytest.fixture
def tier(tiers: Tiers) -> RedisTier:
    return tiers(breaker=None)


def data(tier: RedisTier, key: Key = KEY) -> str:
    """Return where the server has the copy of *key*."""
    return f"{tier.prefix}{{:{object_name(key)}}}"


def fill(tier: RedisTier, bytes_: bytes = OLD, key: Key = KEY) -> None:
    """Make *bytes_* the current copy, whatever was there."""
    leased = tier.lease(key, SECONDS, refresh=True)
    assert leased.state == "own"
    assert tier.fill(key, leased.token, entry(bytes_))


def raised(call: Callable[[], object]) -> StoreError | None:
    """Return the store error that *call* raises, if it does."""
    try:
        call()
    except StoreError as error:
        return error
    return None


def calls_of(tier: RedisTier) -> list[Callable[[], object]]:
    """Return everything that a tier does, each to be called once."""
    claim = tier.begin(KEY, SECONDS)
    tier.end(claim, None)
    leased = tier.lease(KEY, SECONDS)
    return [
        lambda: tier.look(KEY),
        lambda: tier.look(KEY, body=False),
        lambda: tier.current(KEY, 1),
        lambda: tier.lease(KEY, SECONDS),
        lambda: tier.fill(KEY, leased.token, entry(NEW)),
        lambda: tier.fail(KEY, leased.token, absent=True),
        lambda: tier.begin(KEY, SECONDS),
        lambda: tier.end(claim, entry(NEW)),
        lambda: tier.leave(claim),
        lambda: tier.delete(KEY),
        lambda: tier.clear(),
    ]


# -- restarts and failovers ----------------------------------------------------


def test_what_a_restart_brings_back_is_not_believed(
    own: RedisServer, tiers: Tiers
) -> None:
    """It was saved before a write, and nobody who wrote is asked again."""
    writer, reader = tiers(), tiers()
    fill(writer, OLD)
    own.ask("SAVE")
    claim = writer.begin(KEY, SECONDS)
    assert writer.end(claim, entry(NEW))
    assert content(reader.look(KEY)) == NEW

    own.process.kill()
    own.process.start()

    assert own.ask("HGET", data(writer), "d") == OLD
    for tier in (reader, writer, tiers()):
        until(lambda tier=tier: raised(lambda: tier.look(KEY)) is None)
        looked = tier.look(KEY)
        assert looked.entry is None
        assert looked.rejected
    leased = reader.lease(KEY, SECONDS, rejected=reader.look(KEY).rejected)
    assert reader.fill(KEY, leased.token, entry(NEW))
    assert content(writer.look(KEY)) == NEW


def test_leases_that_a_restart_brings_back_are_worth_nothing(
    own: RedisServer, tiers: Tiers
) -> None:
    """What was fetched before a write that the server forgot was fetched too early."""
    reader, writer = tiers(breaker=None), tiers(breaker=None)
    slow = reader.lease(KEY, SECONDS)
    own.ask("SAVE")
    assert writer.end(writer.begin(KEY, SECONDS), entry(NEW))

    own.process.kill()
    own.process.start()
    until(lambda: raised(lambda: reader.look(KEY)) is None)
    reader.fill(KEY, slow.token, entry(OLD))

    assert content(reader.look(KEY)) is None
    assert content(writer.look(KEY)) is None


def test_claims_that_a_restart_brings_back_publish_nothing(
    own: RedisServer, tiers: Tiers
) -> None:
    """Another wrote at the same time, and the server forgot it."""
    one, two = tiers(breaker=None), tiers(breaker=None)
    claim = one.begin(KEY, SECONDS)
    own.ask("SAVE")
    two.end(two.begin(KEY, SECONDS), entry(NEW))

    own.process.kill()
    own.process.start()
    until(lambda: raised(lambda: one.look(KEY)) is None)
    one.end(claim, entry(OLD))

    assert content(one.look(KEY)) is None
    assert content(two.look(KEY)) is None


def test_a_restarted_server_knows_no_script(own: RedisServer, tiers: Tiers) -> None:
    """It is told again, and whoever asks does not notice."""
    tier = tiers()
    fill(tier)
    until(lambda: tier.online)
    own.process.kill()
    own.process.start()
    until(lambda: raised(lambda: tier.look(KEY)) is None)

    fill(tier, NEW)

    assert content(tier.look(KEY)) == NEW
    assert b"number_of_cached_scripts:0" not in own.ask("INFO", "memory")


def test_a_server_that_is_no_master_is_not_asked(
    own: RedisServer, tiers: Tiers
) -> None:
    """It may lag behind; a copy that it has may be older than a write."""
    fill(tiers(), OLD)
    own.ask("REPLICAOF", "127.0.0.1", "1")

    tier = tiers()

    assert isinstance(raised(lambda: tier.look(KEY)), ReadOnlyError)
    assert isinstance(raised(lambda: tier.look(KEY)), CircuitOpenError)
    assert not tier.online


def test_a_master_that_becomes_a_replica_is_left(
    own: RedisServer, tiers: Tiers
) -> None:
    """Whoever is connected notices within a heartbeat, or as soon as they change."""
    tier = tiers(breaker=None)
    fill(tier, OLD)
    until(lambda: tier.online)

    own.ask("REPLICAOF", "127.0.0.1", "1")

    assert isinstance(raised(lambda: tier.begin(KEY, SECONDS)), ReadOnlyError)
    until(lambda: not tier.online)
    until(lambda: isinstance(raised(lambda: tier.look(KEY)), ReadOnlyError))
    own.ask("REPLICAOF", "NO", "ONE")
    until(lambda: tier.online)


def test_a_failover_begins_another_epoch(own_sentinel_setup: SentinelSetup) -> None:
    """Who takes over may lack the last writes, so none of its copies is believed."""
    setup = own_sentinel_setup
    options: dict[str, Any] = {
        "mode": "sentinel",
        "sentinels": setup.addresses,
        "service": setup.service,
        "timeout": 1.0,
        "connect_timeout": 1.0,
    }
    tier = RedisTier(**options)
    fill(tier, OLD)
    until(lambda: tier.online)
    until(lambda: setup.replica.ask("EXISTS", data(tier)) == 1)

    setup.master.process.freeze()
    until(lambda: not tier.online)
    until(lambda: tier.online)

    assert setup.replica.ask("HGET", data(tier), "d") == OLD
    looked = tier.look(KEY)
    assert looked.entry is None
    assert looked.rejected
    fill(tier, NEW)
    setup.master.process.thaw()
    for _ in range(100):
        assert content(tier.look(KEY)) == NEW
    assert setup.replica.ask("HGET", data(tier), "d") == NEW
    tier.close()


def test_idle_connections_to_who_was_master_are_not_used(
    redis_servers: RedisServers,
) -> None:
    """It lives on as a replica, and answers; the feed knows who is master now."""
    old, new = redis_servers(), redis_servers()
    name = [old]

    class NamedTier(RedisTier):
        def _connect(self) -> Any:
            client = super()._connect()
            kind = client.connection_pool.connection_class

            class Resolved(kind):  # type: ignore[misc,valid-type]  # as DNS would
                def _connect(self) -> Any:
                    self.port = name[0].port
                    return super()._connect()

            client.connection_pool.connection_class = Resolved
            return client

    tier = NamedTier(old.url, timeout=5.0)
    fill(tier, OLD)
    until(lambda: tier.online)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: tier.look(KEY), range(100)))

    name[0] = new
    old.ask("CLIENT", "KILL", "TYPE", "pubsub")
    until(lambda: new.ask("PUBSUB", "CHANNELS"))
    until(lambda: tier.online)

    for _ in range(20):
        assert tier.look(KEY).entry is None
    tier.close()


def test_another_server_than_the_one_listened_to_is_noticed(
    redis_servers: RedisServers,
) -> None:
    """The feed goes where the connections go; until it is there nothing is believed."""
    old, new = redis_servers(), redis_servers()
    name = [old]

    class NamedTier(RedisTier):
        def _connect(self) -> Any:
            client = super()._connect()
            kind = client.connection_pool.connection_class

            class Resolved(kind):  # type: ignore[misc,valid-type]  # as DNS would
                def _connect(self) -> Any:
                    self.port = name[0].port
                    return super()._connect()

            client.connection_pool.connection_class = Resolved
            return client

    tier = NamedTier(old.url, timeout=5.0, heartbeat=60.0)
    fill(tier, OLD)
    until(lambda: tier.online)
    name[0] = new
    old.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    assert tier.look(KEY).entry is None
    claim = tier.begin(KEY, SECONDS)

    assert new.ask("EXISTS", data(tier) + "l") == 1
    until(lambda: new.ask("PUBSUB", "CHANNELS"))
    until(lambda: tier.online)
    assert tier.end(claim, entry(NEW))
    assert content(tier.look(KEY)) == NEW
    tier.close()


# -- forgetting everything -----------------------------------------------------


def test_everything_is_forgotten_at_once(own: RedisServer, tiers: Tiers) -> None:
    """By every process, and by those that come later; without visiting each copy."""
    one, two = tiers(), tiers()
    fill(one)
    assert content(two.look(KEY)) == OLD
    until(lambda: one.online and two.online)
    slow = two.lease(KEY, SECONDS, refresh=True)
    claim = two.begin(KEY._replace(object_id=2), SECONDS)

    one.clear()

    assert one.look(KEY).entry is None
    until(lambda: two.look(KEY).entry is None)
    assert tiers().look(KEY).entry is None
    assert own.ask("HGET", data(one), "d") == OLD
    two.fill(KEY, slow.token, entry(OLD))
    two.end(claim, entry(OLD))
    for tier in (one, two):
        until(lambda tier=tier: tier.online)
        assert tier.look(KEY).entry is None
        assert tier.look(claim.key).entry is None
    leased = one.lease(KEY, SECONDS, rejected=one.look(KEY).rejected)
    one.fill(KEY, leased.token, entry(NEW))
    assert content(two.look(KEY)) == NEW


def test_who_cannot_listen_asks_each_time(own: RedisServer, tiers: Tiers) -> None:
    """It would not hear that everything was forgotten."""
    own.ask("ACL", "SETUSER", "deaf", "on", ">pw", "~*", "&*", "+@all")
    deaf, other = tiers(f"redis://deaf:pw@127.0.0.1:{own.port}/0"), tiers()
    fill(deaf)
    until(lambda: deaf.online)
    own.ask("ACL", "SETUSER", "deaf", "-subscribe")
    own.ask("CLIENT", "KILL", "TYPE", "pubsub")
    until(lambda: not deaf.online)
    assert content(deaf.look(KEY)) == OLD

    other.clear()

    assert deaf.look(KEY).entry is None
    assert not deaf.online


def test_what_is_forgotten_while_a_feed_is_mended_stays_forgotten(
    own: RedisServer, tiers: Tiers
) -> None:
    """The mark was asked for before, and answered after."""
    tier = tiers(heartbeat=60.0)
    fill(tier)
    until(lambda: tier.online)
    server = tier._server
    run = server._known.run if server._known else None
    tier._feed.close()
    ask = server._feeds.ask

    def slow(*args: Any) -> Any:
        answer = ask(*args)
        server._feeds.ask = ask  # type: ignore[method-assign]
        tier.clear()
        return answer

    server._feeds.ask = slow  # type: ignore[method-assign]
    server.mend(run)

    assert tier.look(KEY).entry is None


def test_a_mark_that_is_lost_is_another_one(own: RedisServer, tiers: Tiers) -> None:
    """A server without memory may evict it; then everything is forgotten, together."""
    one, two = tiers(), tiers()
    fill(one)
    assert content(two.look(KEY)) == OLD
    until(lambda: one.online and two.online)
    own.ask("DEL", f"{one.prefix}mark")

    until(lambda: one.look(KEY).entry is None)
    until(lambda: two.look(KEY).entry is None)
    until(lambda: one.online and two.online)
    fill(one, NEW)

    assert content(two.look(KEY)) == NEW
    assert content(tiers().look(KEY)) == NEW


def test_two_that_find_no_mark_agree_on_one(own: RedisServer, tiers: Tiers) -> None:
    """Whoever comes first makes it."""
    several = [tiers() for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda tier: tier.look(KEY), several))

    fill(several[0])

    for tier in several:
        assert content(tier.look(KEY)) == OLD
    name = f"{several[0].prefix}mark"
    marks = [
        own.ask("EVAL", MARK.text, 1, name, mark, "channel", "said") for mark in "ab"
    ]
    assert marks == [own.ask("GET", name)] * 2


# -- servers that let one down -------------------------------------------------


@pytest.mark.timeout(60)
def test_a_frozen_server_costs_one_timeout(own: RedisServer, tiers: Tiers) -> None:
    """Then nobody waits, for as long as the breaker is open."""
    clock = FakeClock()
    tier = tiers(timeout=0.1, connect_timeout=0.1, clock=clock, heartbeat=60.0)
    calls: list[Callable[[], object]] = []
    while not calls:
        with contextlib.suppress(UnavailableError):  # too slow for this short timeout
            calls = calls_of(tier)
        clock.advance(1.2)
    until(lambda: tier.online)
    own.process.freeze()
    failures = [raised(call) for call in calls * 50]
    own.process.thaw()

    assert type(failures[0]) is UnavailableError
    assert {type(error) for error in failures[1:]} == {CircuitOpenError}

    def is_back() -> bool:
        clock.advance(1.2)  # and again, if that was too slow
        return all(raised(call) is None for call in calls)

    until(is_back)


@pytest.mark.timeout(60)
def test_a_server_that_never_answered_costs_one_timeout(
    own: RedisServer, tiers: Tiers
) -> None:
    """It accepts connections, and that is all."""
    tier = tiers(timeout=0.1, connect_timeout=0.1, clock=FakeClock())
    own.process.freeze()
    failures = [raised(lambda: tier.look(KEY)) for _ in range(500)]
    own.process.thaw()

    assert sum(type(error) is UnavailableError for error in failures) <= 1
    assert sum(type(error) is CircuitOpenError for error in failures) >= 499


@pytest.mark.timeout(60)
def test_the_breaker_doubles_up_to_a_little(own: RedisServer, tiers: Tiers) -> None:
    """A server that comes back is used again within seconds."""
    clock = FakeClock()
    tier = tiers(clock=clock)
    tier.look(KEY)
    own.process.kill()
    waits = []
    for _ in range(6):
        until(lambda: isinstance(raised(lambda: tier.look(KEY)), CircuitOpenError))
        before = clock.monotonic()
        while isinstance(raised(lambda: tier.look(KEY)), CircuitOpenError):
            clock.advance(0.05)
        waits.append(clock.monotonic() - before)
    own.process.start()
    clock.advance(5.6)
    assert raised(lambda: tier.look(KEY)) is None

    assert max(waits) < 5.6


@pytest.mark.timeout(60)
def test_a_refused_connection_is_an_outage(own: RedisServer, tiers: Tiers) -> None:
    """For everything a tier does; and it comes back by itself."""
    tier = tiers(breaker=None)
    calls = calls_of(tier)
    own.process.kill()

    for call in calls:
        error = raised(call)
        assert type(error) is UnavailableError
        assert error.retryable
        assert not error.local

    own.process.start()
    assert tier.look(KEY).entry is None
    until(lambda: tier.online)


@pytest.mark.timeout(60)
def test_a_deadline_leaves_half_of_the_time_to_others(
    own: RedisServer, tiers: Tiers
) -> None:
    """Who waits for a cache wants to ask the origin yet."""
    for seconds in longer_and_longer(0.5):
        tier = tiers(timeout=20.0, clock=FakeClock())
        tier.look(KEY)
        own.process.freeze()
        with deadline(seconds):
            error = raised(partial(tier.look, KEY))
            assert raised(partial(tier.look, KEY))
            left = remaining() or 0.0
        own.process.thaw()
        if left > 0.2 * seconds:  # and not the half, as a busy machine wants some too
            break

    assert type(error) is UnavailableError
    assert isinstance(raised(lambda: tier.look(KEY)), CircuitOpenError)


def test_who_is_in_a_hurry_says_nothing_of_the_server(
    own: RedisServer, tiers: Tiers
) -> None:
    """It might have answered others in time."""
    tier = tiers(timeout=20.0, clock=FakeClock())
    tier.look(KEY)
    own.process.freeze()
    with deadline(0.004):
        assert isinstance(raised(lambda: tier.look(KEY)), UnavailableError)
    with deadline(0.0):
        assert isinstance(raised(lambda: tier.look(KEY)), DeadlineError)
    own.process.thaw()

    assert raised(lambda: tier.look(KEY)) is None


def test_many_in_a_hurry_say_something_together(own: RedisServer, tiers: Tiers) -> None:
    """Or each would pay half of its time, for as long as the server is frozen."""
    tier = tiers(timeout=20.0, clock=FakeClock())
    tier.look(KEY)
    own.process.freeze()

    def hurried() -> Exception | None:
        with deadline(0.06):
            return raised(lambda: tier.look(KEY))

    first = hurried()
    until(lambda: isinstance(hurried(), CircuitOpenError))
    own.process.thaw()

    assert not isinstance(first, CircuitOpenError)


def test_those_in_a_hurry_are_not_counted_across_an_answer(
    own: RedisServer, tiers: Tiers
) -> None:
    """A server that answers in between is slow for them, and well."""
    tier = tiers(timeout=20.0, clock=FakeClock())
    tier.look(KEY)
    for _ in range(12):
        own.process.freeze()
        with deadline(0.03):
            assert isinstance(raised(lambda: tier.look(KEY)), UnavailableError)
        own.process.thaw()
        assert raised(lambda: tier.look(KEY)) is None


def test_a_full_server_drops_and_serves_and_takes_nothing(
    own: RedisServer, tiers: Tiers
) -> None:
    """Who wants to fill or write learns that; what must be dropped is dropped."""
    tier = tiers(clock=FakeClock())
    fill(tier, OLD)
    second = KEY._replace(object_id=2)
    leased = tier.lease(second, SECONDS)
    claim = tier.begin(second._replace(object_id=3), SECONDS)
    own.ask("CONFIG", "SET", "maxmemory", "1mb")  # it has more already

    assert content(tier.look(KEY)) == OLD
    assert isinstance(raised(lambda: tier.lease(KEY, 1, refresh=True)), FullError)
    assert isinstance(
        raised(lambda: tier.fill(second, leased.token, entry(NEW))), FullError
    )
    assert own.ask("KEYS", f"*{object_name(second)}*") == []  # and nobody waits
    assert not tier.end(claim, entry(NEW))
    assert own.ask("KEYS", f"*{object_name(claim.key)}*") == []
    tier.end(tier.begin(KEY, SECONDS), None)
    assert own.ask("EXISTS", data(tier)) == 0

    own.ask("CONFIG", "SET", "maxmemory", "0")
    fill(tier, NEW)


def test_a_full_server_notes_writes_all_the_same(
    own: RedisServer, tiers: Tiers
) -> None:
    """What is under way is doomed, and nobody begins."""
    tier, other = tiers(), tiers()
    slow = other.lease(KEY, SECONDS)
    own.ask("CONFIG", "SET", "maxmemory", "1mb")

    claim = tier.begin(KEY, SECONDS)
    second = other.begin(KEY, SECONDS)

    assert other.lease(KEY, SECONDS).state == "writing"
    assert isinstance(
        raised(lambda: other.fill(KEY, slow.token, entry(OLD))), FullError
    )
    tier.end(claim, None)
    assert other.lease(KEY, SECONDS).state == "writing"
    own.ask("CONFIG", "SET", "maxmemory", "0")
    assert not other.end(second, entry(OLD))
    assert tier.look(KEY).entry is None
    assert other.lease(KEY, SECONDS).state == "own"


def test_a_server_that_is_loading_is_out(
    redis_servers: RedisServers, tiers: Tiers
) -> None:
    """After a restart a large snapshot takes minutes."""
    own = redis_servers(
        *("--enable-debug-command", "yes"),
        *("--loading-process-events-interval-bytes", "1024"),
    )
    tier = tiers(own.url, breaker=None)
    with ThreadPoolExecutor(1) as threads:
        for number in range(300):
            key = KEY._replace(object_id=number)
            tier.put(key, entry(os.urandom(20_000)))
        calls = calls_of(tier)
        own.ask("CONFIG", "SET", "key-load-delay", "10000")  # microseconds
        reload = threads.submit(own.ask, "DEBUG", "RELOAD", socket_timeout=60)
        until(lambda: own.ask("INFO", "persistence")["loading"] == 1)

        for call in calls:
            assert type(raised(call)) is UnavailableError
        own.ask("CONFIG", "SET", "key-load-delay", "0")
        reload.result()
    until(lambda: tier.online)
    assert raised(lambda: tier.look(KEY)) is None


def test_a_server_that_refuses_some_is_well(own: RedisServer, tiers: Tiers) -> None:
    """It answers at once; what it refuses may be one command only."""
    own.ask("ACL", "SETUSER", "reader", "on", ">pw", "~*", "&*", "+@all", "-evalsha")
    tier = tiers(f"redis://reader:pw@127.0.0.1:{own.port}/0", clock=FakeClock())
    fill(tiers())

    for _ in range(3):
        assert isinstance(raised(lambda: tier.begin(KEY, SECONDS)), DeniedError)
        assert content(tier.look(KEY)) == OLD


def test_wrong_credentials_stop_the_asking(
    redis_servers: RedisServers, tiers: Tiers
) -> None:
    """And show nowhere."""
    own = redis_servers("--requirepass", "hunter2")
    tier = tiers(f"redis://:hunter3@127.0.0.1:{own.port}/0", clock=FakeClock())

    error = raised(lambda: tier.look(KEY))

    assert isinstance(error, DeniedError)
    assert "hunter" not in str(error)
    assert isinstance(raised(lambda: tier.look(KEY)), CircuitOpenError)
    assert "hunter" not in repr(tier.__dict__["url"])
    right = tiers(f"redis://:hunter2@127.0.0.1:{own.port}/0?protocol=2")
    fill(right)
    assert content(right.look(KEY)) == OLD
    until(lambda: right.online)


def test_a_unix_socket_is_a_server_too(
    redis_servers: RedisServers, tiers: Tiers, tmp_path: Any
) -> None:
    """Feed and all."""
    path = tmp_path / "redis.sock"
    redis_servers("--unixsocket", str(path))
    tier = tiers(f"unix://{path}")

    fill(tier)

    assert content(tier.look(KEY)) == OLD
    until(lambda: tier.online)


def two_nodes(redis_servers: RedisServers) -> list[RedisServer]:
    """Return a Cluster of a test's own, that serves what is covered."""
    nodes = [
        redis_servers(
            *("--cluster-enabled", "yes"), *("--cluster-require-full-coverage", "no")
        )
        for _ in range(2)
    ]
    for number, (node, start) in enumerate(zip(nodes, (0, 8192), strict=True)):
        node.ask("CLUSTER", "ADDSLOTSRANGE", start, start + 8191)
        node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    nodes[1].ask("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
    for node in nodes:
        until(lambda node=node: b"cluster_known_nodes:2" in raw(node, "CLUSTER INFO"))
        until(lambda node=node: b"cluster_slots_ok:16384" in raw(node, "CLUSTER INFO"))
        until(lambda node=node: b"cluster_state:ok" in raw(node, "CLUSTER INFO"))
    return nodes


def test_a_cluster_without_one_of_its_nodes(
    redis_servers: RedisServers, tiers: Tiers
) -> None:
    """What the others have is served; each node has a breaker of its own."""
    nodes = two_nodes(redis_servers)
    keys = [KEY._replace(object_id=number) for number in range(30)]
    tier = tiers(nodes[0].url, mode="cluster", timeout=0.5, clock=FakeClock())
    for key in keys:
        assert tier.put(key, entry(OLD))
    slots = {key: nodes[0].ask("CLUSTER", "KEYSLOT", data(tier, key)) for key in keys}
    nodes[1].process.freeze()

    outcomes = [(key, type(raised(lambda key=key: tier.look(key)))) for key in keys * 3]
    nodes[1].process.thaw()

    alive = [outcome for key, outcome in outcomes if slots[key] < 8192]
    dead = [outcome for key, outcome in outcomes if slots[key] >= 8192]
    assert set(alive) == {type(None)}
    assert set(dead) == {UnavailableError, CircuitOpenError}
    assert dead.count(UnavailableError) == 1


def test_who_takes_over_in_a_cluster_is_found(
    redis_servers: RedisServers, tiers: Tiers
) -> None:
    """By asking again, behind everybody's back, once a node is out."""
    nodes = two_nodes(redis_servers)
    keys = [KEY._replace(object_id=number) for number in range(30)]
    tier = tiers(nodes[0].url, mode="cluster", breaker=None)
    for key in keys:
        assert tier.put(key, entry(OLD))
    nodes[1].process.kill()
    nodes[0].ask("CLUSTER", "DELSLOTSRANGE", 8192, 16383)
    nodes[0].ask("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)

    def refilled(key: Key) -> bool:
        """Fill it, again if the epoch ends meanwhile, as it does once they are told."""
        if raised(lambda: tier.look(key)) is not None:
            return False
        fill(tier, NEW, key)
        return content(tier.look(key)) == NEW

    for key in keys:
        until(lambda key=key: refilled(key))


def raw(server: RedisServer, words: str) -> bytes:
    with server.client() as client:
        client.response_callbacks.clear()
        return bytes(client.execute_command(*words.split()))


def test_a_slot_that_moves_is_followed(
    redis_servers: RedisServers, tiers: Tiers
) -> None:
    """While it does and when it has; nothing old is found on the way."""
    nodes = two_nodes(redis_servers)
    names = [node.ask("CLUSTER", "MYID").decode() for node in nodes]
    tier = tiers(nodes[0].url, mode="cluster")
    fill(tier, OLD)
    slot = nodes[0].ask("CLUSTER", "KEYSLOT", data(tier))
    here, there = (0, 1) if slot < 8192 else (1, 0)
    nodes[there].ask("CLUSTER", "SETSLOT", slot, "IMPORTING", names[here])
    nodes[here].ask("CLUSTER", "SETSLOT", slot, "MIGRATING", names[there])

    error = raised(lambda: tier.begin(KEY, SECONDS))
    assert isinstance(error, UnavailableError)  # whoever writes remembers to drop it
    assert not isinstance(error, CircuitOpenError)

    for name in nodes[here].ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
        port = nodes[there].port
        nodes[here].ask("MIGRATE", "127.0.0.1", port, name, 0, 1000)
    for node in (nodes[there], nodes[here]):
        node.ask("CLUSTER", "SETSLOT", slot, "NODE", names[there])
    tier.delete(KEY)
    assert content(tier.look(KEY)) is None
    tier.end(tier.begin(KEY, SECONDS), entry(NEW))
    fill(tier, NEW)
    assert content(tier.look(KEY)) == NEW
    assert nodes[there].ask("EXISTS", data(tier)) == 1


def test_a_server_is_not_taken_for_a_cluster(own: RedisServer, tiers: Tiers) -> None:
    """What an operator must change is said."""
    tier = tiers(own.url, mode="cluster")

    error = raised(lambda: tier.look(KEY))

    assert "Cluster mode is not enabled" in str(error)
    assert isinstance(raised(lambda: tier.look(KEY)), CircuitOpenError)


# -- options -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"ttl": 0.0}, "ttl: must be a millisecond or more, not 0.0"),
        ({"ttl": float("nan")}, "ttl: expected seconds >= 0, got nan"),
        ({"jitter": 1.5}, "jitter: must be between 0 and 1, not 1.5"),
        ({"jitter": float("nan")}, "jitter: expected a number, got nan"),
        ({"max_object": 0}, "max_object: must be more than zero"),
        ({"max_object": 1 << 30}, "at most 8MiB"),
        ({"heartbeat": 0.0}, "heartbeat: must be positive, not 0.0"),
        ({"timeout": 0.0}, "timeout must be more than zero"),
        ({"url": None}, "url is missing"),
        ({"mode": "sentinel"}, "mode sentinel needs sentinels"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_asked(
    options: dict[str, Any], problem: str
) -> None:
    """With the option's name."""
    with pytest.raises(ConfigError) as raised:
        RedisTier(**{"url": "redis://x", **options})

    assert problem in str(raised.value)


def test_options_can_be_read_back() -> None:
    """As they were given, secrets hidden."""
    options: dict[str, Any] = {
        "mode": "sentinel",
        "sentinels": ("a:1",),
        "service": "images",
        "sentinel_username": "u",
        "nodes": (),
        "prefix": "p:",
        "ttl": 5.0,
        "jitter": 0.5,
        "max_object": 7,
        "timeout": 1.0,
        "connect_timeout": 2.0,
        "connections": 3,
        "heartbeat": 4.0,
        "breaker": BreakerPolicy(),
    }
    tier = RedisTier("redis://:pw@/0", sentinel_password="pw", **options)

    assert {name: getattr(tier, name) for name in options} == options
    assert tier.url == Secret("redis://:pw@/0")
    assert tier.sentinel_password == Secret("pw")
    assert tier.children() == {}


SNIPPETS = re.findall(
    r"\.\. code-block:: yaml\n\n((?:   .*\n|\n)+)",
    tiered_store.tiers.redis.__doc__ or "",
)


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_the_yaml_of_the_module_builds_it(snippet: str) -> None:
    """In the words of its constructor."""
    described = yaml.safe_load(textwrap.dedent(snippet))
    origin = {"type": "memory"}
    stores = {"images": {"type": "cached", "tiers": [described], "origin": origin}}

    with build({"version": 1, "default": "images", "stores": stores}) as store:
        (tier,) = store.tiers  # type: ignore[attr-defined]

        assert type(tier) is RedisTier
        assert tier.mode == described.get("mode", "standalone")


def test_a_constructor_does_nothing() -> None:
    """No thread, no connection, not even the SDK."""
    script = """
import sys, threading
from tiered_store.tiers.redis import RedisTier
from tiered_store.tiers.redis.scripts import MARK
tier = RedisTier("redis://192.0.2.1")
assert "redis" not in sys.modules
assert threading.active_count() == 1
tier.close()
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


# -- one tier for all ----------------------------------------------------------


def test_threads_share_a_tier(own: RedisServer, tiers: Tiers) -> None:
    """Each has its own answers, over no more connections than there are threads."""
    tier = tiers()
    keys = [KEY._replace(object_id=number) for number in range(16)]
    for key in keys:
        tier.put(key, entry(str(key).encode() * 1000))

    def check(number: int) -> None:
        key = keys[number % 16]
        for _ in range(50):
            assert content(tier.look(key)) == str(key).encode() * 1000

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(check, range(64)))
    assert own.client().info("clients")["connected_clients"] <= 16 + 1 + 1 + 1


def test_more_calls_than_connections_are_this_process_own_trouble(
    own: RedisServer, tiers: Tiers
) -> None:
    """Row 56: the breaker takes no notice, and nobody queues."""
    tier = tiers(connections=1, timeout=30.0, heartbeat=60.0)
    fill(tier)
    until(lambda: tier.online)
    lines = tier._server._lines
    assert isinstance(lines, Lines)
    own.process.freeze()
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(tier.look, KEY)
        until(lambda: not lines._idle)

        error = raised(lambda: tier.look(KEY))

        own.process.thaw()
        assert content(first.result()) == OLD
    assert isinstance(error, UnavailableError)
    assert error.local
    assert content(tier.look(KEY)) == OLD


def test_the_feed_needs_none_of_the_connections(own: RedisServer, tiers: Tiers) -> None:
    """Busy callers must not keep it from being mended."""
    tier = tiers(connections=1)
    fill(tier)
    until(lambda: tier.online)
    lines = tier._server._lines
    assert isinstance(lines, Lines)
    line, _ = lines._take(None)

    own.ask("CLIENT", "KILL", "TYPE", "pubsub")
    until(lambda: not tier.online)

    until(lambda: tier.online)
    lines._drop(line)


def test_connections_that_went_stale_are_replaced_unnoticed(
    own: RedisServer, tiers: Tiers
) -> None:
    """A server that closes idle connections costs nobody an error."""
    tier = tiers(breaker=None)
    barrier = threading.Barrier(8)

    def together(_: int) -> None:
        barrier.wait(30)
        tier.look(KEY)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(together, range(8)))
    for call in calls_of(tier)[:-1]:
        own.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert raised(call) is None


def test_a_fork_makes_connections_of_its_own(own: RedisServer) -> None:
    """Parent and child that shared one would read each other's answers."""
    script = f"""
import os, sys, time
from tests.tiers import content, entry
from tests.waiting import PATIENT, until
from tiered_store.key import Key
from tiered_store.tiers.redis import RedisTier
from tiered_store.tiers.redis.scripts import MARK

tier = RedisTier({own.url!r}, timeout=20.0)
key = Key("fork", 1, 1, 1, "image/png")
assert tier.put(key, entry(b"parent"))
while not tier.online:
    time.sleep(0.001)
child = os.fork()
assert tier.online is bool(child)
name = key._replace(object_id=2 if child else 3)
mine = b"p" * 5000 if child else b"c" * 7000
for _ in range(300):
    assert tier.put(name, entry(mine))
    assert content(tier.look(name)) == mine
assert content(tier.look(key)) == b"parent"
while not tier.online:
    time.sleep(0.001)
if not child:
    os._exit(0)
_, status = os.waitpid(child, 0)
tier.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script],
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path])},
    )

    assert (done.returncode, done.stderr) == (0, b"")


def test_closing_leaves_nothing(own: RedisServer) -> None:
    """No connection, no thread; using it afterwards is a bug."""
    tier = RedisTier(own.url, prefix=f"{uuid.uuid4().hex}:", **PATIENT)
    barrier = threading.Barrier(4)

    def together(_: int) -> None:
        barrier.wait(30)
        tier.look(KEY)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(together, range(4)))
    until(lambda: tier.online)
    assert own.client().info("clients")["connected_clients"] > 4

    tier.close()

    assert not tier.online
    until(lambda: own.client().info("clients")["connected_clients"] == 1)
    with pytest.raises(ValueError, match="closed"):
        tier.look(KEY)
    tier.close()


def test_closing_leaves_nothing_in_a_cluster(redis_servers: RedisServers) -> None:
    """At any node."""
    nodes = two_nodes(redis_servers)

    def connections() -> int:
        return sum(
            connection.get("lib-name") == "redis-py"
            for node in nodes
            for connection in node.client().client_list()
        )

    before = connections()
    tier = RedisTier(nodes[0].url, mode="cluster", **PATIENT)
    for number in range(30):
        tier.look(KEY._replace(object_id=number))
    until(lambda: tier.online)
    assert connections() > before + 2

    tier.close()

    until(lambda: connections() == before)
