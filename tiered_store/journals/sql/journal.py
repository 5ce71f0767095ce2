"""
A journal in tables: its options.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Literal

from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import ConfigError
from tiered_store.journals.fleet import FleetJournal
from tiered_store.units import Duration, Secret


if TYPE_CHECKING:  # it needs SQLAlchemy, which an extra brings
    from tiered_store.journals.sql.ledger import Ledger


class SQLJournal(FleetJournal):
    """
    Rows in tables of the database at *url*.

    Every look-up is a statement, every change a transaction as durable as the database
    commits.  On PostgreSQL a lease is an advisory lock of a session: it ends with its
    process or host, never while that merely is slow.  Elsewhere it is a row that ends
    *lease_ttl* seconds after its holder was last heard of.

    Either can be lost by a writer that goes on: with the session, when the server
    restarts or the network between fails; or to a pause that is too long.  Such a
    writer may meet another one; it finds out when it ends, and leaves what both touched
    in doubt.  Where a request may still take effect that nobody waits for, of a process
    that died or a call that timed out, the replica is looked at again after its
    *quarantine*, which is also when a crashed write is settled.  Replicas end equal.

    Not promised: that such a request is not the last word (it may bring back what a
    later write had replaced), nor that one which takes effect after its quarantine is
    noticed before the replicas are verified.  The clocks of the hosts should agree to
    a few seconds.

    Args:
        url: Of SQLAlchemy, such as ``postgresql+psycopg://user:password@host/db``.
        prefix: Begins the names of the tables; journals in one database are told apart
            by it.
        leases: ``session`` for PostgreSQL, ``table`` for any database and for one
            behind a pooler of transactions; by default what the database can.
        capacity: Rows, about 300 bytes each.
        lease_ttl: Seconds after which the lease of a process that is not heard of ends,
            where leases are rows.
        quarantine: Seconds in which a request may still take effect after nobody waits
            for it any more.
        timeout: Seconds for any step; after it the database has failed.
        connections: At most, besides one for leases.

    Raises:
        ConfigError: The options do not fit together, or a package is missing.
    """

    def __init__(
        self,
        url: Secret | str,
        *,
        prefix: str = "tiered_store_",
        leases: Literal["session", "table"] | None = None,
        capacity: int = 1_000_000,
        lease_ttl: Duration = 30.0,
        quarantine: Duration = 60.0,
        timeout: Duration = 5.0,
        connections: int = 10,
        clock: Clock = SYSTEM,
    ) -> None:
        problems = []
        if connections < 1:
            problems.append(f"connections: must be at least 1, not {connections}")
        if not timeout > 0:
            problems.append(f"timeout: must be more than zero, not {timeout!r}")
        if not prefix.isidentifier():
            problems.append(f"prefix: letters, digits and _, not {prefix!r}")
        super().__init__(
            capacity=capacity,
            lease_ttl=lease_ttl,
            quarantine=quarantine,
            clock=clock,
            problems=problems,
        )
        self.url = Secret(url)
        self.prefix = prefix
        self.leases = leases
        self.timeout = timeout
        self.connections = connections
        self._ledger = self._opened()

    def _opened(self) -> Ledger:
        try:
            from tiered_store.journals.sql.ledger import Ledger
        except ImportError as error:
            raise ConfigError(
                "the journal needs a package: pip install 'tiered-store[sqlalchemy]'"
            ) from error

        return Ledger(
            self.url.reveal(),
            prefix=self.prefix,
            leases=self.leases,
            capacity=self.capacity,
            lease_ttl=self.lease_ttl,
            timeout=self.timeout,
            connections=self.connections,
        )

    @property
    def place(self) -> Hashable:
        """Where the rows are."""
        return self.url, self.prefix
