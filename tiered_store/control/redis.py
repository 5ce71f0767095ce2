"""
Decisions in a Redis or Valkey server, Sentinel or Cluster, that a fleet shares.

.. code-block:: yaml

   type: redis
   url: redis://10.0.0.1:6379/0
   name: images:decisions

It need not be the most durable server there is: a record that is lost or goes back
changes nothing for processes that have seen it, until somebody decides again.
"""

from __future__ import annotations

import hashlib

from collections.abc import Hashable, Sequence
from typing import Any

from tiered_store.clients.endpoint import Endpoint, Mode
from tiered_store.clients.link import Link
from tiered_store.clock import SYSTEM, Clock
from tiered_store.control.control import Control
from tiered_store.errors import ConfigError
from tiered_store.units import Duration, Secret


_SWAP = """
if redis.sha1hex(redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


class RedisControl(Control):
    """
    Decisions under one *name* of a server.

    Args:
        url: ``redis://user:password@host:6379/0``, ``rediss://`` with TLS, or
            ``unix:///run/redis.sock``.  In mode sentinel without a host; in mode
            cluster any node.
        sentinels: Where they are, ``host:port``, at least one.
        service: The name under which they know the master.
        sentinel_username: For the sentinels themselves.
        sentinel_password: For the sentinels themselves.
        nodes: More nodes of the Cluster, ``host:port``, in case the first is down.
        name: Of the record; fleets on one server are told apart by it.
        poll: Between looks of a process that follows it.
        timeout: Seconds without a byte sent or received, after which it has failed.
        connect_timeout: Seconds to connect, the name resolved and all addresses tried.
    """

    connections = 4  # one looks, and somebody may decide

    def __init__(
        self,
        url: Secret | str | None = None,
        *,
        mode: Mode = "standalone",
        sentinels: Sequence[str] = (),
        service: str | None = None,
        sentinel_username: str | None = None,
        sentinel_password: Secret | str | None = None,
        nodes: Sequence[str] = (),
        name: str = "tiered-store:decisions",
        poll: Duration = 0.5,
        timeout: Duration = 1.0,
        connect_timeout: Duration = 1.0,
        clock: Clock = SYSTEM,
    ) -> None:
        if not name:
            raise ConfigError("name: some text")
        if poll <= 0:
            raise ConfigError(f"poll: must be more than zero, not {poll!r}")
        self.url = None if url is None else Secret(url)
        self.mode = mode
        self.sentinels = tuple(sentinels)
        self.service = service
        self.sentinel_username = sentinel_username
        self.sentinel_password = (
            None if sentinel_password is None else Secret(sentinel_password)
        )
        self.nodes = tuple(nodes)
        self.name = name
        self.poll = poll
        self.timeout = timeout
        self.connect_timeout = connect_timeout
        self.clock = clock
        self._endpoint = Endpoint.of(self, self.url)
        self._link = Link(self._connect, self._endpoint.patience)

    @property
    def where(self) -> str:
        return f"{self.name!r} in Redis"

    @property
    def place(self) -> Hashable:
        """Which server, and which name there."""
        where = self._endpoint
        url = None if self.url is None else self.url.reveal()
        return url, where.mode, where.sentinels, where.service, where.nodes, self.name

    def _load(self) -> tuple[bytes | None, str]:
        content = self._link.command("GET", self.name)
        if isinstance(content, str):  # a URL that asks for decoding
            content = content.encode()
        # the name that the server itself gives to the content, no secret
        token = hashlib.sha1(content or b"", usedforsecurity=False).hexdigest()
        return content, token

    def _swap(self, content: bytes, token: str) -> bool:
        return bool(self._link.command("EVAL", _SWAP, 1, self.name, token, content))

    def close(self) -> None:
        self._link.close()

    def _connect(self) -> Any:
        from tiered_store.clients.redis import connect

        return connect(self._endpoint)
