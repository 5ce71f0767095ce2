"""
A journal in a server of Redis' kind: its options.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from tiered_store.clients.endpoint import Endpoint, Mode
from tiered_store.clock import SYSTEM, Clock
from tiered_store.journals.fleet import FleetJournal
from tiered_store.journals.redis.ledger import Ledger
from tiered_store.journals.redis.server import Durability, Server
from tiered_store.units import Duration, Secret


class RedisJournal(FleetJournal):
    """
    Rows in one hash of a server, and leases that end by themselves.

    A look-up is one round trip; a write costs four: its lease, its mark, its outcome
    and the end of the lease.  All names lie in one slot of a Cluster.

    A lease ends *lease_ttl* seconds after its holder was last heard of.  Who was
    stopped or cut off for longer may meet another writer; it finds out when it ends,
    and leaves what both touched in doubt.  Where a request may still take effect that
    nobody waits for, of a process that died or a call that timed out, the replica is
    looked at again after its *quarantine*, which is also when a crashed write is
    settled.  Replicas end equal.

    Not promised: that such a request is not the last word (it may bring back what a
    later write had replaced), nor that one which takes effect after its quarantine is
    noticed before the replicas are verified.  The clocks of the hosts should agree to
    a few seconds.

    If the server loses rows, by a failover without *replicas* or a *durability* that
    was not enough, the next operation of each process that has seen more fails and
    says so in the log; if it loses all, every operation does until a restart.

    Args:
        url: ``redis://user:password@host:6379/0``, ``rediss://`` with TLS, or
            ``unix:///run/redis.sock``.  In mode sentinel without a host; in mode
            cluster any node.
        mode: One server, a service that sentinels watch, or a Cluster.
        sentinels: Where they are, ``host:port``, at least one.
        service: The name under which they know the master.
        sentinel_username: For the sentinels themselves.
        sentinel_password: For the sentinels themselves.
        nodes: More nodes of the Cluster, ``host:port``, in case the first is down.
        prefix: Begins every name; journals on one server are told apart by it.
        durability: What the server must promise.  ``process``: it may be killed
            (``appendonly yes``; while its disk is slow, ``appendfsync everysec`` holds
            back up to two seconds, and ``always`` nothing).  ``power``: its machine may
            fail, too (``appendfsync always``).  ``snapshot``: it may lose what changed
            since it was last saved.
        replicas: Of the server, how many must have a row before a write begins.  At
            0 a failover may lose the last ones.
        capacity: Rows, about 500 bytes each.
        lease_ttl: Seconds after which the lease of a process that is not heard of ends.
        quarantine: Seconds in which a request may still take effect after nobody waits
            for it any more.
        timeout: Seconds without a byte sent or received, after which it has failed.
        connect_timeout: Seconds to connect, the name resolved and all addresses tried.
        connections: At most, to each server.

    Raises:
        ConfigError: The options do not fit together.
    """

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
        prefix: str = "tiered-store:journal",
        durability: Durability = "process",
        replicas: int = 0,
        capacity: int = 1_000_000,
        lease_ttl: Duration = 30.0,
        quarantine: Duration = 60.0,
        timeout: Duration = 1.0,
        connect_timeout: Duration = 1.0,
        connections: int = 100,
        clock: Clock = SYSTEM,
    ) -> None:
        problems = []
        if replicas < 0:
            problems.append(f"replicas: must not be negative, is {replicas}")
        if not prefix or set(prefix) & set("{}"):
            problems.append(f"prefix: some text without braces, not {prefix!r}")
        super().__init__(
            capacity=capacity,
            lease_ttl=lease_ttl,
            quarantine=quarantine,
            clock=clock,
            problems=problems,
        )
        self.url = None if url is None else Secret(url)
        self.mode = mode
        self.sentinels = tuple(sentinels)
        self.service = service
        self.sentinel_username = sentinel_username
        self.sentinel_password = (
            None if sentinel_password is None else Secret(sentinel_password)
        )
        self.nodes = tuple(nodes)
        self.prefix = prefix
        self.durability = durability
        self.replicas = replicas
        self.timeout = timeout
        self.connect_timeout = connect_timeout
        self.connections = connections
        self._endpoint = Endpoint.of(self, self.url)
        self._ledger = Ledger(
            self._server,
            prefix,
            durability=durability,
            capacity=capacity,
            lease_ttl=lease_ttl,
        )

    @property
    def place(self) -> Hashable:
        """Where the rows are."""
        return self.url, self.sentinels, self.service, self.nodes, self.prefix

    def _server(self, tag: str) -> Server:
        return Server(
            self._connect,
            tag,
            patience=self._endpoint.patience,
            timeout=self.timeout,
            replicas=self.replicas,
        )

    def _connect(self) -> Any:
        """Return a client of redis-py; override it to talk through one of yours."""
        from tiered_store.clients.redis import connect

        return connect(self._endpoint)
