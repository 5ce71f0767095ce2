"""
Clients of redis-py that wait as long as they are told and never retry.

Only this module imports the SDK, and it is imported when a client is made.
"""

from __future__ import annotations

import socket
import threading

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import Connection, SSLConnection, parse_url
from redis.exceptions import ConnectionError  # noqa: A004 - as the SDK names it
from redis.retry import Retry
from redis.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from tiered_store import deadlines
from tiered_store.clients.endpoint import (
    PORT,
    SENTINEL_PORT,
    Endpoint,
    addresses,
    revealed,
)
from tiered_store.clients.haste import hasty
from tiered_store.dialling import dial


try:
    from redis.maint_notifications import MaintNotificationsConfig
except ImportError:  # redis-py before 7 knows no such thing
    _QUIET: dict[str, Any] = {}
else:
    # it would stretch our timeouts to ten seconds when a server asks for it
    _QUIET = {"maint_notifications_config": MaintNotificationsConfig(enabled=False)}

_READ_SIZE = 128 * 1024  # redis-py's 32 KiB cost a tenth more at 100 KB
_Options = Mapping[str, Any]


def connect(endpoint: Endpoint) -> Any:
    """
    Return a new client of *endpoint*; only for a Cluster this does I/O.

    No wait is longer than the caller's deadline.
    """
    url = revealed(endpoint.url)
    found: dict[str, Any] = dict(parse_url(url)) if url else {}
    kind = found.pop("connection_class", Connection)
    if endpoint.mode == "sentinel":
        return _of_sentinel(endpoint, kind, found)
    if endpoint.mode == "cluster":
        return _of_cluster(endpoint, kind, found)
    return _of_server(endpoint, kind, found)


def _of_server(endpoint: Endpoint, kind: type[Any], found: _Options) -> Redis:
    pool = ConnectionPool(
        connection_class=_hasty(kind, endpoint),
        **_options(endpoint),
        **found,
    )
    return Redis.from_pool(pool)


def _of_sentinel(endpoint: Endpoint, kind: type[Any], found: _Options) -> Redis:
    tls = kind is SSLConnection
    sentinel = {
        "username": endpoint.sentinel_username,
        "password": revealed(endpoint.sentinel_password),
        **{name: value for name, value in found.items() if name.startswith("ssl_")},
    }
    finder = Sentinel([])
    finder.sentinels = [
        _of_server(endpoint, kind, {**sentinel, "host": host, "port": port})
        for host, port in addresses(endpoint.sentinels, SENTINEL_PORT)
    ]
    managed = SentinelManagedSSLConnection if tls else SentinelManagedConnection
    pool = SentinelConnectionPool(
        endpoint.service,
        finder,
        connection_class=_hasty(managed, endpoint),
        **_options(endpoint),
        **found,
    )
    client = _FoundRedis(connection_pool=pool)
    client.sentinels = finder.sentinels
    return client


class _FoundRedis(Redis):
    """A client that closes the sentinels' connections with its own."""

    sentinels: Sequence[Redis] = ()

    def close(self) -> None:
        super().close()
        self.connection_pool.disconnect()
        for sentinel in self.sentinels:
            sentinel.close()


def _of_cluster(endpoint: Endpoint, kind: type[Any], found: _Options) -> RedisCluster:
    known = addresses(endpoint.nodes, PORT)
    if "host" in found:
        known.insert(0, (found["host"], found.get("port", PORT)))
    (host, port), *others = known
    options = _options(endpoint)
    cluster = RedisCluster(
        # only with a URL does it let us choose the class of its connections
        url=f"redis://[{host}]:{port}" if ":" in host else f"redis://{host}:{port}",
        startup_nodes=[ClusterNode(*address) for address in others],
        connection_class=_hasty(kind, endpoint),
        retry=options.pop("retry"),
        require_full_coverage=False,  # what is covered can be served
        **options,
        **{
            name: value
            for name, value in found.items()
            if name not in {"host", "port", "db"}
        },
    )
    manager: Any = cluster.nodes_manager
    manager.initialize = one_at_a_time(manager.initialize, endpoint.patience)
    return cluster


def one_at_a_time(refresh: Callable[..., Any], seconds: float) -> Callable[..., None]:
    """
    Return *refresh* for many threads, each of which waits for its turn *seconds*.

    The SDK lets them queue without end: sixteen waited twelve seconds for three nodes
    that were frozen.  Who waited while another succeeded has nothing left to do.

    Raises:
        ConnectionError: The turn did not come in time.
    """
    turn = threading.Lock()
    successes = 0

    def refresh_once(*args: Any, **kwargs: Any) -> None:
        nonlocal successes
        before = successes
        if not turn.acquire(timeout=deadlines.bounded(seconds)):
            raise ConnectionError("the nodes of the Cluster are still being asked")
        try:
            if successes == before:
                refresh(*args, **kwargs)
                successes += 1
        finally:
            turn.release()

    return refresh_once


def _hasty(kind: type[Any], endpoint: Endpoint) -> type[Any]:
    kinds: tuple[type[Any], ...] = (kind,)
    if kind is Connection:
        kinds = (_Dialled,)
    elif issubclass(kind, Connection):  # and not that of a unix socket
        kinds = (kind, _Dialled)
    return hasty(kinds, endpoint.connect_timeout)


class _Dialled(Connection):
    """A connection whose name, and all of its addresses, are tried in time."""

    socket_connect_timeout: float

    def _connect(self) -> socket.socket:
        options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
        if self.socket_keepalive:
            options.append((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))
            for option, value in self.socket_keepalive_options.items():
                options.append((socket.IPPROTO_TCP, option, value))
        return dial(
            self.host,
            self.port,
            self.socket_connect_timeout,
            socket.socket,
            options=options,
            family=self.socket_type,
        )


def _options(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "socket_timeout": endpoint.timeout,
        "socket_connect_timeout": endpoint.connect_timeout,
        "socket_read_size": _READ_SIZE,
        "max_connections": endpoint.connections,
        "retry": Retry(NoBackoff(), 0),  # ten of them by default
        **_QUIET,
    }
