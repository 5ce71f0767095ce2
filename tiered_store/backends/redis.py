"""
Keep objects in a Redis or Valkey server, a Sentinel service or a Cluster.

.. code-block:: yaml

   type: redis
   url: redis://127.0.0.1:6379/0

.. code-block:: yaml

   type: redis
   mode: sentinel
   sentinels: ["10.0.0.1:26379", "10.0.0.2:26379", "10.0.0.3:26379"]
   service: images

.. code-block:: yaml

   type: redis
   mode: cluster
   url: redis://10.0.0.1:6379
   nodes: ["10.0.0.2:6379", "10.0.0.3:6379"]

It is a store and not a cache: what is torn or foreign is an error and not a miss.
An object is one string, replaced at once: a header and the bytes.
"""

from __future__ import annotations

import re
import time

from collections.abc import Iterator, Sequence
from typing import Any

from tiered_store import envelope
from tiered_store.body import Body, Stat
from tiered_store.clients.endpoint import Endpoint, Mode
from tiered_store.clients.link import Link
from tiered_store.errors import (
    ConfigError,
    CorruptError,
    NotFoundError,
    TooLargeError,
    UnsupportedError,
)
from tiered_store.events import Verb
from tiered_store.key import Key
from tiered_store.layout import key_of_object, object_name
from tiered_store.store import Store
from tiered_store.units import MIB, Duration, Secret, Size
from tiered_store.urls import join_url


_LARGEST = 512 * MIB - envelope.HEADER_SIZE  # where a string ends
_GLOB = re.compile(r"([*?\[\]\\^-])")


class RedisStore(Store):
    """
    Objects as strings of a server that speaks Redis' protocol.

    An acknowledged object is as safe as the server keeps it: one that evicts
    (``maxmemory-policy`` other than ``noeviction``), keeps nothing on disk, or is a
    master cut off from its replicas (``min-replicas-to-write`` bounds that) may
    lose it, and absence is then what it knows.

    An object is in memory whole, up to three times over while it is stored.  The
    servers are waited for as long as *timeout* and *connect_timeout* say (sentinels,
    and the nodes of a Cluster that is out of reach, one after the other) and not
    longer than the caller's deadline.  That does not bound the resolution of names, a
    TLS handshake, and the quarter of a second that redis-py gives a Cluster which
    says it is down.  Nothing is retried here.

    Args:
        url: ``redis://user:password@host:6379/0``, ``rediss://`` with TLS, or
            ``unix:///run/redis.sock``.  In mode sentinel without a host, for
            credentials and database; in mode cluster any node.
        base_url: Where somebody serves the objects; without it there are no URLs.
        mode: One server, a service that sentinels watch, or a Cluster.
        sentinels: Where they are, ``host:port``, at least one.
        service: The name under which they know the master.
        sentinel_username: For the sentinels themselves.
        sentinel_password: For the sentinels themselves.
        nodes: More nodes of the Cluster, ``host:port``, in case the first is down.
        prefix: Begins the name of every object: ``tiered-store:TYPE/ID/WxH.EXT``.
        ttl: Seconds until a *reproducible* object expires; originals never do.
        timeout: Seconds without a byte sent or received, after which it has failed.
        connect_timeout: Seconds to connect, the name resolved and all addresses tried.
        max_object: Bytes of the largest object that is taken.
        connections: At most, to each server; with one more call at once it fails.

    Raises:
        ConfigError: The options do not fit together; every problem at once.
    """

    def __init__(
        self,
        url: Secret | str | None = None,
        base_url: str | None = None,
        *,
        mode: Mode = "standalone",
        sentinels: Sequence[str] = (),
        service: str | None = None,
        sentinel_username: str | None = None,
        sentinel_password: Secret | str | None = None,
        nodes: Sequence[str] = (),
        prefix: str = "tiered-store:",
        ttl: Duration | None = None,
        timeout: Duration = 0.25,
        connect_timeout: Duration = 0.25,
        max_object: Size = 64 * MIB,
        connections: int = 100,
    ) -> None:
        # not named url, which is a verb of every store
        self.server_url = None if url is None else Secret(url)
        self.base_url = base_url
        self.mode = mode
        self.sentinels = tuple(sentinels)
        self.service = service
        self.sentinel_username = sentinel_username
        self.sentinel_password = (
            None if sentinel_password is None else Secret(sentinel_password)
        )
        self.nodes = tuple(nodes)
        self.prefix = prefix
        self.ttl = ttl
        self.timeout = timeout
        self.connect_timeout = connect_timeout
        self.max_object = max_object
        self.connections = connections
        if ttl is not None and not ttl >= 0.001:
            raise ConfigError(f"ttl must be a millisecond or more, not {ttl!r}")
        if not 0 < max_object <= _LARGEST:
            raise ConfigError(
                f"max_object must be more than zero and less than 512MiB, where a "
                f"string of Redis ends, not {max_object!r}"
            )
        self._endpoint = Endpoint.of(self, self.server_url)
        self._link = Link(self._connect, self._endpoint.patience)

    def _connect(self) -> Any:
        """Return a client of redis-py; override it to talk through one of yours."""
        from tiered_store.clients.redis import connect

        return connect(self._endpoint)

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        if body.size > self.max_object:
            raise TooLargeError(
                f"{body.size} bytes exceed max_object {self.max_object}",
                failover=True,  # the limit is this store's own
            )
        name = object_name(key)
        sealed = envelope.seal(name, body.read(), time.time())
        expiry: tuple[str | int, ...] = ()
        if reproducible and self.ttl is not None:
            expiry = ("PX", int(self.ttl * 1000))
        self._link.command("SET", self.prefix + name, sealed, *expiry)

    def _get(self, key: Key) -> Body:
        name = object_name(key)
        sealed = self._link.command("GET", self.prefix + name)
        if sealed is None:
            raise NotFoundError("no such object")
        content, header = envelope.unseal(name, sealed)
        return Body.of(content, header.version)

    def _stat(self, key: Key) -> Stat:
        name = object_name(key)
        stored = self.prefix + name
        start = self._link.command("GETRANGE", stored, 0, envelope.HEADER_SIZE - 1)
        if not start:  # nothing, or an empty string
            if self._link.command("EXISTS", stored):
                raise CorruptError("an empty string has the object's name")
            raise NotFoundError("no such object")
        header = envelope.read_header(name, start)
        return Stat(header.size, header.version, header.modified)

    def _url(self, key: Key) -> str:
        if self.base_url is None:
            raise UnsupportedError("objects in Redis have no URL; give a base_url")
        return join_url(self.base_url, object_name(key))

    def _delete(self, key: Key) -> None:
        # frees the memory behind the answer, and is allowed when that is full
        self._link.command("UNLINK", self.prefix + object_name(key))

    def _keys(self, prefix: str) -> Iterator[Key]:
        pattern = _GLOB.sub(r"\\\1", self.prefix + prefix) + "*"
        for stored in self._link.names(pattern):
            # what is not UTF-8 must not turn into a name that is
            name = stored.decode(errors="surrogateescape").removeprefix(self.prefix)
            key = key_of_object(name)
            if key is not None:
                yield key

    def capabilities(self) -> frozenset[Verb]:
        """Everything, URLs only with a *base_url*."""
        able = super().capabilities()
        return able if self.base_url is not None else able - {"url"}

    def _close(self) -> None:
        self._link.close()
