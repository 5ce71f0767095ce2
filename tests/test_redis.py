"""Objects in Redis: real servers, and every way they let one down."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import subprocess
import sys
import threading
import time

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import trustme

from redis.exceptions import ConnectionError as LostError
from redis.exceptions import RedisClusterException

from tests.servers.redis import (
    ClusterSetup,
    RedisServer,
    RedisServers,
    SentinelSetup,
)
from tests.waiting import PATIENT, longer_and_longer, succeeds, until
from tiered_store import envelope
from tiered_store.backends.redis import RedisStore
from tiered_store.body import Body
from tiered_store.clients.link import Link
from tiered_store.clients.redis import one_at_a_time
from tiered_store.deadlines import deadline
from tiered_store.errors import (
    ConfigError,
    CorruptError,
    DeadlineError,
    DeniedError,
    FullError,
    MisconfiguredError,
    NotFoundError,
    ReadOnlyError,
    StoreError,
    TooLargeError,
    UnavailableError,
)
from tiered_store.key import Key
from tiered_store.layout import object_name
from tiered_store.store import Store
from tiered_store.testing.conformance import StoreConformance
from tiered_store.units import Secret


pytestmark = pytest.mark.servers

KEY = Key("testing", 1234, 405, 640, "image/jpeg")
NAME = b"tiered-store:testing/1234/405x640.jpe"
BODY = Body.of(b"a picture")
KEYS = [KEY._replace(object_id=number) for number in range(24)]


class FakeRedisStore(RedisStore):
    """Talks to a server that is no more than a dictionary in this process."""

    def __init__(self, **options: Any) -> None:
        super().__init__("redis://fake", **options)
        self.server = fakeredis.FakeServer()

    def _connect(self) -> Any:
        return fakeredis.FakeRedis(server=self.server)


@pytest.fixture
def fake() -> Iterator[FakeRedisStore]:
    with FakeRedisStore() as store:
        yield store


@pytest.fixture
def own(redis_servers: RedisServers) -> RedisServer:
    """A server that a test may harm."""
    return redis_servers()


@pytest.fixture
def store(own: RedisServer) -> Iterator[RedisStore]:
    """A store on the server that a test may harm."""
    with RedisStore(own.url, **PATIENT) as store:
        yield store


def _sentinel_store(setup: SentinelSetup, **options: Any) -> RedisStore:
    return RedisStore(
        mode="sentinel", sentinels=setup.addresses, service=setup.service, **options
    )


def _raised(kind: type[StoreError], call: Any, *args: Any) -> StoreError:
    with pytest.raises(kind) as raised:
        call(*args)
    assert type(raised.value) is kind
    return raised.value


# -- conformance ---------------------------------------------------------------


class _Emptied(StoreConformance):
    """On a server that other tests use too: under a prefix, emptied afterwards."""

    @contextlib.contextmanager
    def emptied(self, store: RedisStore) -> Iterator[RedisStore]:
        try:
            yield store
        finally:
            store.close()
            with type(store)(
                store.server_url,
                mode=store.mode,
                sentinels=store.sentinels,
                service=store.service,
                prefix=store.prefix,
                **PATIENT,
            ) as again:
                for key in [*again.keys()]:
                    again.delete(key)


class TestStandalone(_Emptied):
    @pytest.fixture
    def store(self, redis_server: RedisServer) -> Iterator[Store]:
        url = redis_server.url
        with self.emptied(
            RedisStore(url, "https://x/", prefix="alone:", timeout=5)
        ) as store:
            yield store


class TestSentinel(_Emptied):
    @pytest.fixture
    def store(self, sentinel_setup: SentinelSetup) -> Iterator[Store]:
        with self.emptied(_sentinel_store(sentinel_setup, timeout=5)) as store:
            yield store


class TestCluster(_Emptied):
    @pytest.fixture
    def store(self, cluster_setup: ClusterSetup) -> Iterator[Store]:
        url = cluster_setup.url
        with self.emptied(RedisStore(url, mode="cluster", timeout=5)) as store:
            yield store


class TestFake(StoreConformance):
    @pytest.fixture
    def store(self, fake: FakeRedisStore) -> Store:
        return fake


# -- what is stored ------------------------------------------------------------


def test_an_object_is_one_string_under_a_name_people_can_read(
    store: RedisStore, own: RedisServer
) -> None:
    """Operators find it by prefix, type, id, size and extension."""
    store.put(KEY, BODY)

    with own.client() as client:
        assert client.keys() == [NAME]
        assert client.type(NAME) == b"string"


def test_stat_does_not_move_the_body(store: RedisStore, own: RedisServer) -> None:
    """Only the header travels, whatever the size."""
    store.put(KEY, Body.of(bytes(1_000_000)))
    store.stat(KEY)
    with own.client() as client:
        before = client.info("stats")["total_net_output_bytes"]
        found = store.stat(KEY)
        sent = client.info("stats")["total_net_output_bytes"] - before

    assert found.size == 1_000_000
    assert found.etag == store.get(KEY).version
    assert found.modified == pytest.approx(time.time(), abs=60)
    assert sent < 100_000


def test_every_put_is_a_new_version(fake: FakeRedisStore) -> None:
    """The same version means the same bytes; another write means another version."""
    fake.put(KEY, BODY)
    first = fake.get(KEY).version
    assert fake.get(KEY).version == first

    fake.put(KEY, BODY)

    assert fake.get(KEY).version != first


def test_only_what_is_reproducible_expires(store: RedisStore, own: RedisServer) -> None:
    """An original that was acknowledged does not go away by itself."""
    with RedisStore(own.url, ttl=30.0, **PATIENT) as expiring, own.client() as client:
        expiring.put(KEY, BODY, reproducible=True)
        assert 20_000 < client.pttl(NAME) <= 30_000

        expiring.put(KEY, BODY, reproducible=False)
        assert client.pttl(NAME) == -1


def test_an_expired_object_is_absent(own: RedisServer) -> None:
    """Not corrupt, not empty: gone."""
    with RedisStore(own.url, ttl=0.001, **PATIENT) as store:
        store.put(KEY, BODY, reproducible=True)
        until(lambda: own.ask("EXISTS", NAME) == 0)

        _raised(NotFoundError, store.get, KEY)
        _raised(NotFoundError, store.stat, KEY)
        assert list(store.keys()) == []


def test_what_is_too_large_is_refused_before_it_is_read(fake: FakeRedisStore) -> None:
    """The limit is this store's own, so another place may take it."""
    with FakeRedisStore(max_object=10) as store:
        store.put(KEY, Body.of(b"0123456789"))

        error = _raised(TooLargeError, store.put, KEY, Body.of(b"0123456789!"))

        assert error.failover
        assert not error.retryable
        assert store.get(KEY).read() == b"0123456789"


def test_keys_of_others_are_passed_over(fake: FakeRedisStore) -> None:
    """Other prefixes, and names that no key makes; a glob in a prefix is no glob."""
    with FakeRedisStore(prefix="a[b]*:") as store:
        store.put(KEY, BODY)
        client = store._connect()
        for name in ("ab:testing/1/1x1.png", "a[b]x:testing/1/1x1.png", "a[b]*:readme"):
            client.set(name, b"x")
        client.set(b"a[b]*:\xff/1/1x1.png", b"x")
        store.put(KEY._replace(object_type="te*"), BODY)

        assert {key.object_type for key in [*store.keys()]} == {"testing", "te*"}
        assert [key.object_type for key in store.keys("te*")] == ["te*"]


def test_two_prefixes_are_two_stores(own: RedisServer) -> None:
    """Neither sees, lists or deletes what the other has."""
    with (
        RedisStore(own.url, prefix="a:", **PATIENT) as a,
        RedisStore(own.url, prefix="b:", **PATIENT) as b,
    ):
        a.put(KEY, BODY)
        b.delete(KEY)

        _raised(NotFoundError, b.get, KEY)
        assert list(b.keys()) == []
        assert a.get(KEY).read() == BODY.read()


def test_keys_of_a_cluster_come_from_every_master(cluster_setup: ClusterSetup) -> None:
    """A listing that forgets a master would look like lost objects."""
    with RedisStore(
        cluster_setup.url, mode="cluster", prefix="spread:", **PATIENT
    ) as store:
        for key in KEYS:
            store.put(key, BODY)
        placed = [
            sum(name.startswith(b"spread:") for name in node.ask("KEYS", "*"))
            for node in cluster_setup.nodes
        ]
        assert all(placed)
        assert sum(placed) == len(KEYS)

        assert sorted(store.keys()) == sorted(KEYS)
        for key in KEYS:
            store.delete(key)
        assert list(store.keys()) == []


# -- bytes that are not what was stored ----------------------------------------


def _flip(sealed: bytes, at: int) -> bytes:
    return sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]


@pytest.mark.parametrize("at", [0, 3, 4, 8, 16, 24, 32, 40, -1])
def test_a_flipped_bit_is_noticed(fake: FakeRedisStore, at: int) -> None:
    """In the header and in the body, at every read."""
    fake.put(KEY, BODY)
    client = fake._connect()
    sealed = client.get(NAME)
    client.set(NAME, _flip(sealed, at % len(sealed)))

    _raised(CorruptError, fake.get, KEY)
    if at % len(sealed) < envelope.HEADER_SIZE:
        _raised(CorruptError, fake.stat, KEY)


@pytest.mark.parametrize("left", [0, 2, 20, envelope.HEADER_SIZE, -1])
def test_a_truncated_object_is_corrupt(fake: FakeRedisStore, left: int) -> None:
    """Even when nothing is left: an empty string is not what was stored."""
    fake.put(KEY, BODY)
    client = fake._connect()
    client.set(NAME, client.get(NAME)[:left])

    _raised(CorruptError, fake.get, KEY)
    if 0 <= left < envelope.HEADER_SIZE:
        _raised(CorruptError, fake.stat, KEY)


def test_an_object_that_grew_is_corrupt(fake: FakeRedisStore) -> None:
    """Somebody appended to it."""
    fake.put(KEY, BODY)
    fake._connect().append(NAME, b"!")

    _raised(CorruptError, fake.get, KEY)


def test_a_foreign_value_is_corrupt_and_can_be_replaced(fake: FakeRedisStore) -> None:
    """It is a store: what it cannot read is not called absent, nor in the way."""
    client = fake._connect()
    for plant in (
        lambda: client.set(NAME, b"\x80\x04\x95 a pickle, say, that nobody loads"),
        lambda: client.hset(NAME, "a", "hash"),
        lambda: client.rpush(NAME, "a list"),
    ):
        client.delete(NAME)
        plant()
        _raised(CorruptError, fake.get, KEY)
        _raised(CorruptError, fake.stat, KEY)

        fake.put(KEY, BODY)
        assert fake.get(KEY).read() == BODY.read()

        client.delete(NAME)
        plant()
        fake.delete(KEY)
        _raised(NotFoundError, fake.get, KEY)


def test_another_objects_bytes_are_corrupt(fake: FakeRedisStore) -> None:
    """A whole value under the wrong name is not what was stored there."""
    fake.put(KEYS[0], BODY)
    client = fake._connect()
    client.rename(fake.prefix + object_name(KEYS[0]), NAME)

    _raised(CorruptError, fake.get, KEY)
    _raised(CorruptError, fake.stat, KEY)


# -- servers that let one down -------------------------------------------------


def _unavailable(store: Store, *, ambiguous: bool) -> None:
    """An outage is an outage for every verb, and never absence."""
    for call in (
        lambda: store.put(KEY, BODY),
        lambda: store.get(KEY),
        lambda: store.stat(KEY),
        lambda: store.delete(KEY),
        lambda: list(store.keys()),
    ):
        error = _raised(UnavailableError, call)
        assert error.retryable
        assert error.failover
        assert not error.local
        assert error.ambiguous is ambiguous


def test_a_server_that_refuses_and_one_that_comes_back(
    store: RedisStore, own: RedisServer
) -> None:
    """No client has to be made anew by anybody."""
    store.put(KEY, BODY)
    own.process.kill()
    _unavailable(store, ambiguous=False)

    own.process.start()

    _raised(NotFoundError, store.get, KEY)  # it kept nothing on disk
    store.put(KEY, BODY)
    assert store.get(KEY).read() == BODY.read()


@pytest.mark.timeout(50)  # the SDK's own patience is a minute for each call
def test_a_frozen_server_costs_the_timeout(own: RedisServer) -> None:
    """Connections are accepted and nothing answers: the worst kind of outage."""
    with RedisStore(own.url, timeout=0.05) as store:
        until(lambda: succeeds(lambda: store.put(KEY, BODY)))
        own.process.freeze()
        _unavailable(store, ambiguous=True)
        own.process.thaw()

        found: list[bytes] = []
        until(lambda: succeeds(lambda: found.append(store.get(KEY).read())))
        assert found == [BODY.read()]


@pytest.mark.timeout(50)
def test_a_deadline_shortens_every_wait(own: RedisServer) -> None:
    """A timeout of minutes holds nobody longer than their own time."""
    with RedisStore(own.url, timeout=60) as store:
        store.put(KEY, BODY)
        own.process.freeze()
        for seconds in longer_and_longer(0.1, 3):
            with deadline(seconds):
                error = _raised(DeadlineError, store.put, KEY, BODY)
            if error.ambiguous:  # else nothing was sent yet
                break
        own.process.thaw()

    assert not error.retryable


def test_nothing_is_tried_twice() -> None:
    """A command that may have worked is not for us to repeat."""
    with _stub_server(lambda connection: connection.close()) as (port, questions):
        with RedisStore(f"redis://127.0.0.1:{port}/?protocol=2", **PATIENT) as store:
            error = _raised(UnavailableError, store.put, KEY, BODY)

        assert error.ambiguous
        assert len(questions) == 1


@pytest.mark.timeout(50)
def test_a_deadline_bounds_a_body_that_trickles() -> None:
    """Each byte in time does not make the whole in time."""
    ended = threading.Event()

    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"$1000000\r\n")
        while not ended.wait(0.01):
            connection.sendall(b"x")

    with (
        _stub_server(trickle) as (port, _),
        RedisStore(f"redis://127.0.0.1:{port}/?protocol=2", timeout=60) as store,
    ):
        with deadline(0.2):
            _raised(DeadlineError, store.get, KEY)
        ended.set()


@contextlib.contextmanager
def _stub_server(
    answer: Callable[[socket.socket], None],
) -> Iterator[tuple[int, list[bytes]]]:
    """A server that answers SET and GET as told; yield its port and what was asked."""

    def serve() -> None:
        with contextlib.suppress(OSError):  # closed by the end of the test
            while True:
                with listening.accept()[0] as connection, contextlib.suppress(OSError):
                    greet(connection)

    def greet(connection: socket.socket) -> None:
        while words := connection.recv(10_000):
            if b"CLIENT" in words:
                connection.sendall(b"+OK\r\n" * words.count(b"CLIENT"))
                continue
            questions.append(words)
            answer(connection)

    questions: list[bytes] = []
    with (
        ThreadPoolExecutor(1) as threads,
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):
        threads.submit(serve)
        try:
            yield listening.getsockname()[1], questions
        finally:
            listening.shutdown(socket.SHUT_RDWR)


def test_the_deadline_of_one_call_does_not_outlive_it(own: RedisServer) -> None:
    """A connection that was in haste is patient again for the next."""
    with RedisStore(own.url, timeout=30, connections=1) as store:
        with deadline(5):
            store.put(KEY, BODY)
        own.process.freeze()
        timer = threading.Timer(0.3, own.process.thaw)
        with deadline(0.05):
            _raised(DeadlineError, store.get, KEY)
        timer.start()

        assert store.get(KEY).read() == BODY.read()
        timer.join()


def test_a_server_that_loads_is_out_for_a_while(
    redis_servers: RedisServers,
) -> None:
    """It answers, and what it answers is no answer."""
    own = redis_servers(
        *("--enable-debug-command", "yes"),
        *("--loading-process-events-interval-bytes", "1024"),
    )
    with RedisStore(own.url, timeout=5) as store, ThreadPoolExecutor(1) as threads:
        for number in range(300):
            key = KEY._replace(object_id=number)
            store.put(key, Body.of(os.urandom(20_000)))
        own.ask("CONFIG", "SET", "key-load-delay", "10000")  # microseconds
        reload = threads.submit(own.ask, "DEBUG", "RELOAD", socket_timeout=60)
        until(lambda: b"loading:1" in _text(own, "INFO", "persistence"))

        _unavailable(store, ambiguous=False)

        own.ask("CONFIG", "SET", "key-load-delay", "0")
        reload.result()
        assert store.get(KEYS[0]).size == 20_000


def test_a_server_busy_with_a_script_is_out_for_a_while(
    store: RedisStore, own: RedisServer
) -> None:
    """BUSY arrives as a plain ResponseError."""
    own.ask("CONFIG", "SET", "busy-reply-threshold", "1")  # milliseconds
    with ThreadPoolExecutor(1) as threads:
        spin = threads.submit(
            own.ask, "EVAL", "while true do end", "0", socket_timeout=60
        )
        until(lambda: _busy(store))
        _unavailable(store, ambiguous=False)

        own.ask("SCRIPT", "KILL")

        assert "killed" in str(spin.exception())
    store.put(KEY, BODY)


def _busy(store: Store) -> bool:
    try:
        store.stat(KEY)
    except UnavailableError as error:
        return "BUSY" in str(error)
    except NotFoundError:
        return False
    raise AssertionError("it should be absent")


def test_a_server_that_cannot_save_reads_on(
    store: RedisStore, own: RedisServer
) -> None:
    """MISCONF refuses writes for a while, and arrives as a plain ResponseError."""
    store.put(KEY, BODY)
    (own.process.folder / "dump.rdb").mkdir()  # in the way of the snapshot
    own.ask("CONFIG", "SET", "save", "3600 1")
    own.ask("BGSAVE")
    until(lambda: b"last_bgsave_status:err" in _text(own, "INFO", "persistence"))

    error = _raised(UnavailableError, store.put, KEY, BODY)

    assert "MISCONF" in str(error)
    assert not error.ambiguous
    assert store.get(KEY).read() == BODY.read()


def test_a_full_server_refuses_writes_and_lets_delete(
    store: RedisStore, own: RedisServer
) -> None:
    """Otherwise nobody could ever make room."""
    store.put(KEY, BODY)
    own.ask("CONFIG", "SET", "maxmemory", "1mb")  # it has more already

    error = _raised(FullError, store.put, KEY, Body.of(b"new"))

    assert not error.retryable
    assert error.failover
    assert store.get(KEY).read() == BODY.read()
    store.delete(KEY)
    _raised(NotFoundError, store.get, KEY)


def test_a_replica_is_read_only(store: RedisStore, own: RedisServer) -> None:
    """Reads go on, writes say why they do not."""
    store.put(KEY, BODY)
    own.ask("REPLICAOF", "127.0.0.1", "1")

    error = _raised(ReadOnlyError, store.put, KEY, BODY)

    assert not error.retryable
    assert not error.ambiguous
    assert store.get(KEY).read() == BODY.read()
    own.ask("REPLICAOF", "NO", "ONE")
    store.put(KEY, BODY)


def test_a_demoted_server_is_left_once(redis_servers: RedisServers) -> None:
    """Behind a name that now leads elsewhere, a new connection finds the master."""
    old, new = redis_servers(), redis_servers()
    name = [old]

    class NamedStore(RedisStore):
        def _connect(self) -> Any:
            client = super()._connect()
            kind = client.connection_pool.connection_class

            class Resolved(kind):  # type: ignore[misc,valid-type]  # as DNS would
                def _connect(self) -> Any:
                    self.port = name[0].port
                    return super()._connect()

            client.connection_pool.connection_class = Resolved
            return client

    with NamedStore(old.url) as store:
        store.put(KEY, BODY)
        old.ask("REPLICAOF", "127.0.0.1", str(new.port))
        name[0] = new

        store.put(KEY, Body.of(b"after"))

        assert new.ask("EXISTS", NAME) == 1
        assert store.get(KEY).read() == b"after"


@pytest.mark.parametrize("credentials", ["", ":wrong@", "nobody:hunter2@"])
@pytest.mark.parametrize("query", ["", "?protocol=2"])
def test_wrong_credentials_are_a_refusal(
    redis_servers: RedisServers, credentials: str, query: str
) -> None:
    """Not an outage, though redis-py derives it from one; and none is shown."""
    own = redis_servers("--requirepass", "hunter2")
    with RedisStore(
        f"redis://{credentials}127.0.0.1:{own.port}/0{query}", **PATIENT
    ) as store:
        error = _raised(DeniedError, store.put, KEY, BODY)

        assert not error.retryable
        for shown in (str(error), repr(store), repr(store.server_url)):
            assert "hunter2" not in shown
            assert "wrong" not in shown

    with RedisStore(
        f"redis://:hunter2@127.0.0.1:{own.port}/0{query}", **PATIENT
    ) as store:
        store.put(KEY, BODY)


def test_a_server_that_repeats_the_password_is_not_repeated(
    redis_servers: RedisServers,
) -> None:
    """One that does not know AUTH answers with what it was given."""
    own = redis_servers("--rename-command", "AUTH", "")
    url = f"redis://:hunter2@127.0.0.1:{own.port}/0?protocol=2"
    with RedisStore(url, **PATIENT) as store:
        error = _raised(MisconfiguredError, store.get, KEY)

    assert "unknown command" in str(error)
    assert "hunter2" not in str(error)
    assert "hunter2" not in str(error.__cause__)


def test_what_may_not_is_denied(store: RedisStore, own: RedisServer) -> None:
    """NOPERM is a refusal, and reads that are allowed go on."""
    own.ask("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@read", "+@connection")
    store.put(KEY, BODY)
    with RedisStore(f"redis://reader:pw@127.0.0.1:{own.port}/0", **PATIENT) as reader:
        assert reader.get(KEY).read() == BODY.read()

        _raised(DeniedError, reader.put, KEY, BODY)
        _raised(DeniedError, reader.delete, KEY)


def test_more_calls_than_connections_is_this_process_own_trouble(
    own: RedisServer,
) -> None:
    """No breaker may take it for the server's, and no other server would help."""
    with RedisStore(own.url, connections=1, timeout=30) as store:
        store.put(KEY, BODY)
        own.process.freeze()
        with ThreadPoolExecutor(1) as threads:
            first = threads.submit(store.get, KEY)
            until(lambda: _in_use(store) == 1)

            error = _raised(UnavailableError, store.get, KEY)

            own.process.thaw()
            assert first.result().read() == BODY.read()
    assert error.local
    assert not error.failover


def _in_use(store: RedisStore) -> int:
    return len(store._link._client.connection_pool._in_use_connections)


def test_a_connection_that_went_stale_is_replaced_unnoticed(
    store: RedisStore, own: RedisServer
) -> None:
    """A server that closes idle connections costs nobody an error."""
    store.put(KEY, BODY)
    own.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    assert store.get(KEY).read() == BODY.read()


def test_a_unix_socket_is_a_server_too(
    redis_servers: RedisServers, tmp_path: Path
) -> None:
    """And one that is missing is an outage, not an absent object."""
    path = tmp_path / "redis.sock"
    with RedisStore(f"unix://{path}", **PATIENT) as store:
        _unavailable(store, ambiguous=False)
        redis_servers("--unixsocket", str(path))

        store.put(KEY, BODY)

        assert store.get(KEY).read() == BODY.read()


def test_tls_is_spoken_and_whom_it_speaks_to_is_checked(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """A certificate that nobody vouches for is a wrong configuration."""
    authority = trustme.CA()
    trusted = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(trusted)
    with _encrypted(redis_server.port, authority) as port:
        url = f"rediss://127.0.0.1:{port}/0"
        with RedisStore(f"{url}?ssl_ca_certs={trusted}", timeout=5) as store:
            store.put(KEY, Body.of(bytes(700_000)))
            assert store.get(KEY).size == 700_000
            with deadline(20):
                assert store.get(KEY).size == 700_000
            store.delete(KEY)
        with RedisStore(url, timeout=5) as store:
            _raised(MisconfiguredError, store.get, KEY)


@contextlib.contextmanager
def _encrypted(port: int, authority: trustme.CA) -> Iterator[int]:
    """A port that speaks TLS in front of the server on *port*."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    def serve(accepted: socket.socket) -> None:
        # one thread does both ways: a question is sent before its answer comes
        with (
            contextlib.suppress(OSError),
            accepted,
            context.wrap_socket(accepted, server_side=True) as client,
            socket.create_connection(("127.0.0.1", port)) as server,
        ):
            while _passed(client, server):
                pass

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threads.submit(serve, listening.accept()[0])

    with (
        ThreadPoolExecutor(8) as threads,
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):
        threads.submit(accept)
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)


def _passed(client: ssl.SSLSocket, server: socket.socket) -> bool:
    """Pass on what either side has said; say whether both are still there."""
    ready = [client] if client.pending() else select.select([client, server], [], [])[0]
    for source, target in ((client, server), (server, client)):
        if source in ready:
            piece = source.recv(65536)
            target.sendall(piece)
            if not piece:
                return False
    return True


# -- Sentinel ------------------------------------------------------------------


def test_writes_go_on_after_a_failover(own_sentinel_setup: SentinelSetup) -> None:
    """The master dies, a replica is promoted, and the store finds it by itself."""
    setup = own_sentinel_setup
    with _sentinel_store(setup, timeout=5) as store:
        store.put(KEY, Body.of(b"before"))
        until(lambda: setup.replica.ask("EXISTS", NAME) == 1)
        setup.master.process.kill()

        failures = _failures_until_it_works(lambda: store.put(KEYS[0], BODY))

        assert failures
        assert {type(error) for error in failures} == {UnavailableError}
        assert store.get(KEY).read() == b"before"
        assert store.get(KEYS[0]).read() == BODY.read()
        assert setup.replica.ask("EXISTS", NAME) == 1


def test_a_demoted_master_is_left_by_asking_the_sentinels(
    own_sentinel_setup: SentinelSetup,
) -> None:
    """A connection that outlived a failover meets READONLY, and nobody sees it."""
    setup = own_sentinel_setup
    with _sentinel_store(setup, timeout=5) as store:
        store.put(KEY, BODY)
        until(lambda: setup.replica.ask("EXISTS", NAME) == 1)
        setup.replica.ask("REPLICAOF", "NO", "ONE")
        setup.master.ask("REPLICAOF", "127.0.0.1", str(setup.replica.port))
        for sentinel in setup.sentinels:  # what they would know after a failover
            sentinel.ask("SENTINEL", "REMOVE", setup.service)
            port = setup.replica.port
            sentinel.ask("SENTINEL", "MONITOR", setup.service, "127.0.0.1", port, 2)

        store.put(KEY, Body.of(b"after"))

        assert store.get(KEY).read() == b"after"


def test_sentinels_out_of_reach_are_an_outage() -> None:
    """Each is asked in turn, and none of them is anybody's fault."""
    with RedisStore(
        mode="sentinel", sentinels=["127.0.0.1:1", "127.0.0.1:2"], service="images"
    ) as store:
        _unavailable(store, ambiguous=False)


def test_sentinels_are_not_needed_once_connected(
    sentinel_setup: SentinelSetup,
) -> None:
    """They say where the master is; they are not in the way to it."""
    with _sentinel_store(sentinel_setup) as store:
        store.put(KEY, BODY)
        for sentinel in sentinel_setup.sentinels:
            sentinel.process.freeze()
        try:
            assert store.get(KEY).read() == BODY.read()
        finally:
            for sentinel in sentinel_setup.sentinels:
                sentinel.process.thaw()
        store.delete(KEY)


# -- Cluster -------------------------------------------------------------------


def test_a_cluster_serves_what_its_other_nodes_have(
    cluster_setup: ClusterSetup,
) -> None:
    """One frozen node costs the objects that it has, each the timeout."""
    nodes = [node.address for node in cluster_setup.nodes[1:]]
    with RedisStore(
        cluster_setup.url, mode="cluster", nodes=nodes, prefix="frozen:", timeout=0.1
    ) as store:
        for key in KEYS:
            until(lambda key=key: _outcome(lambda: store.put(key, BODY)) == "ok")
        asks = [partial(store.get, key) for key in KEYS]
        cluster_setup.nodes[0].process.freeze()
        try:  # again, as one that is well may be late too
            until(lambda: {_outcome(ask) for ask in asks} == {"ok", "UnavailableError"})
        finally:
            cluster_setup.nodes[0].process.thaw()

        for key in KEYS:
            until(lambda key=key: _outcome(lambda: store.get(key)) == "ok")
        for key in KEYS:
            until(lambda key=key: _outcome(lambda: store.delete(key)) == "ok")


def test_a_cluster_serves_the_slots_that_are_covered(
    redis_servers: RedisServers,
) -> None:
    """What is not covered is an outage of those objects, for as long as it lasts."""
    node = redis_servers(
        *("--cluster-enabled", "yes"), *("--cluster-require-full-coverage", "no")
    )
    node.ask("CLUSTER", "ADDSLOTSRANGE", 0, 13_999)
    until(lambda: b"cluster_state:ok" in _text(node, "CLUSTER", "INFO"))
    with RedisStore(node.url, mode="cluster", **PATIENT) as store:
        outcomes = {key: _outcome(lambda key=key: store.put(key, BODY)) for key in KEYS}
        client = store._link._client
        node.ask("CLUSTER", "ADDSLOTSRANGE", 14_000, 16_383)

        assert set(outcomes.values()) == {"ok", "UnavailableError"}
        for key in KEYS:
            until(lambda key=key: _outcome(lambda: store.put(key, BODY)) == "ok")
        assert store._link._client is client  # others may be using it


def test_a_cluster_out_of_reach_is_an_outage() -> None:
    """Though redis-py has one class for that and for a wrong configuration."""
    nodes = ["127.0.0.1:2", "127.0.0.1:3"]
    with RedisStore("redis://127.0.0.1:1", mode="cluster", nodes=nodes) as store:
        _unavailable(store, ambiguous=False)


def test_a_cluster_whose_nodes_are_all_gone_is_begun_anew() -> None:
    """The SDK asks those it found last, for ever; we ask those that are configured."""

    class Gone:
        closed = False

        def execute_command(self, *words: Any) -> Any:
            raise RedisClusterException("Redis Cluster cannot be connected.")

        def close(self) -> None:
            self.closed = True

    gone = Gone()
    clients = [fakeredis.FakeRedis(server=fakeredis.FakeServer()), gone]
    link = Link(clients.pop, 1)

    _raised(UnavailableError, link.command, "PING")

    assert gone.closed
    assert link.command("PING")
    link.close()


def test_many_threads_wait_together_and_not_in_a_row() -> None:
    """Sixteen threads behind three frozen nodes must not wait sixteen times."""
    asked = threading.Event()
    answer = threading.Event()
    calls = []

    def ask(*args: Any) -> None:
        calls.append(args)
        asked.set()
        answer.wait(60)

    refresh = one_at_a_time(ask, 60)
    hasty = one_at_a_time(ask, 0.01)
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(refresh, "first")
        asked.wait(60)
        others = [threads.submit(refresh, "other") for _ in range(5)]
        until(lambda: sum(other.running() for other in others) == 5)
        answer.set()
        for call in (first, *others):
            call.result()
        assert len(calls) < 6  # who waited has nothing left to do
        answer.clear()
        asked.clear()
        slow = threads.submit(hasty)
        asked.wait(60)
        with pytest.raises(LostError, match="still being asked"):
            hasty()
        answer.set()
        slow.result()


def test_a_cluster_is_not_taken_for_a_server(cluster_setup: ClusterSetup) -> None:
    """What an operator must change is said."""
    with RedisStore(cluster_setup.url, **PATIENT) as store:
        outcomes = [_failure(lambda key=key: store.put(key, BODY)) for key in KEYS]

    moved = [error for error in outcomes if error is not None]
    assert {type(error) for error in moved} == {MisconfiguredError}
    assert "mode cluster" in str(moved[0])


def test_a_server_is_not_taken_for_a_cluster(redis_server: RedisServer) -> None:
    """A wrong configuration, and not an outage that one would wait for."""
    with RedisStore(redis_server.url, mode="cluster", **PATIENT) as store:
        error = _raised(MisconfiguredError, store.get, KEY)

    assert "Cluster mode is not enabled" in str(error)


# -- one client for all --------------------------------------------------------


def test_a_fork_makes_connections_of_its_own(own: RedisServer) -> None:
    """Parent and child that shared a connection would read each other's answers."""
    script = f"""
import os, sys
from tiered_store.backends.redis import RedisStore
from tiered_store.body import Body
from tiered_store.key import Key

store = RedisStore({own.url!r}, timeout=20)
key = Key("fork", 1, 1, 1, "image/png")
store.put(key, Body.of(b"parent"))
child = os.fork()
name = key._replace(object_id=2 if child else 3)
mine = Body.of(b"p" * 5000 if child else b"c" * 7000)
for _ in range(300):
    store.put(name, mine)
    assert store.get(name).read() == mine.read()
assert store.get(key).read() == b"parent"
if not child:
    os._exit(0)
_, status = os.waitpid(child, 0)
store.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script],
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert (done.returncode, done.stderr) == (0, b"")


def test_a_fork_does_not_wait_for_a_lock_of_its_parent(fake: FakeRedisStore) -> None:
    """Another thread may have been connecting in that very moment."""
    link = fake._link
    with link._lock:
        link.after_fork()

        fake.put(KEY, BODY)

    assert fake.get(KEY).read() == BODY.read()


def test_a_client_is_made_once_and_when_first_needed() -> None:
    """Constructors are free, and threads share."""
    made = []

    class Counted(FakeRedisStore):
        def _connect(self) -> Any:
            made.append(threading.get_ident())
            return super()._connect()

    with Counted() as store:
        assert made == []
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda key: store.put(key, BODY), KEYS))
    assert len(made) == 1


def test_who_waits_for_another_to_connect_gives_up() -> None:
    """A server that never answers must not hold every thread one after the other."""
    connecting, go_on = threading.Event(), threading.Event()

    def connect() -> Any:
        connecting.set()
        go_on.wait(60)
        return fakeredis.FakeRedis(server=fakeredis.FakeServer())

    link = Link(connect, 0.01)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(link.command, "PING")
        connecting.wait(60)

        error = _raised(UnavailableError, link.command, "PING")

        assert "still connecting" in str(error)
        go_on.set()
        assert first.result()
    link.close()


def test_a_closed_link_makes_no_connection() -> None:
    """A call that overlaps close leaves nothing open behind."""
    link = Link(lambda: pytest.fail("connected"), 1)
    link.close()

    with pytest.raises(ValueError, match="closed"):
        link.command("PING")


def test_closing_leaves_no_connection(own: RedisServer) -> None:
    """Neither in use nor idle, whoever still holds the client."""
    store = RedisStore(own.url, **PATIENT)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda key: store.put(key, BODY), KEYS))
    client = store._link._client
    assert _connections(own) > 1

    store.close()

    until(lambda: _connections(own) == 1)
    del client


def test_closing_leaves_no_connection_to_a_sentinel_either(
    own_sentinel_setup: SentinelSetup,
) -> None:
    """They are asked over connections of the same client."""
    store = _sentinel_store(own_sentinel_setup)
    store.put(KEY, BODY)
    client = store._link._client
    asked = own_sentinel_setup.sentinels
    before = sum(_connections(sentinel) for sentinel in asked)

    store.close()

    until(lambda: sum(_connections(sentinel) for sentinel in asked) < before)
    del client


def _connections(server: RedisServer) -> int:
    """Count those of redis-py that are open, the one that asks included."""
    with server.client() as client:
        return sum(
            connection.get("lib-name") == "redis-py"
            for connection in client.client_list()
        )


# -- options -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"ttl": 0.0}, "ttl"),
        ({"ttl": -1.0}, "ttl"),
        ({"max_object": 0}, "max_object"),
        ({"max_object": 512 * 1024 * 1024}, "max_object"),
        ({"timeout": 0.0}, "timeout"),
        ({"mode": "sentinel"}, "sentinels"),
    ],
)
def test_options_that_cannot_be_are_refused(
    options: dict[str, Any], problem: str
) -> None:
    """Before anything is connected."""
    with pytest.raises(ConfigError, match=problem):
        RedisStore("redis://127.0.0.1", **options)


def test_the_url_is_kept_as_a_secret() -> None:
    """It is an option like any other, but for its name: url is a verb of stores."""
    store = RedisStore("redis://:hunter2@127.0.0.1/0", "https://x/")

    assert store.server_url == Secret("redis://:hunter2@127.0.0.1/0")
    assert store.url(KEY) == "https://x/testing/1234/405x640.jpe"
    assert "hunter2" not in repr(vars(store))


def test_the_sdk_is_imported_with_the_first_connection() -> None:
    """A process that never reaches a server never pays for it."""
    script = (
        "import sys; from tiered_store.backends.redis import RedisStore;"
        "RedisStore('redis://127.0.0.1'); assert 'redis' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


# -- what the tests above share ------------------------------------------------


def _failure(call: Any) -> StoreError | None:
    try:
        call()
    except StoreError as error:
        return error
    return None


def _outcome(call: Any) -> str:
    error = _failure(call)
    return "ok" if error is None else type(error).__name__


def _failures_until_it_works(call: Any, seconds: float = 30.0) -> list[StoreError]:
    failures: list[StoreError] = []

    def works() -> bool:
        error = _failure(call)
        if error is not None:
            failures.append(error)
        return error is None

    until(works, seconds)
    return failures


def _text(server: RedisServer, *words: str) -> bytes:
    with server.client() as client:
        client.response_callbacks.clear()
        return bytes(client.execute_command(*words))
