"""
Rows in tables, changed in transactions that lock one shard of the objects.
"""

from __future__ import annotations

import time

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sqlalchemy import DDL
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from tiered_store import deadlines
from tiered_store.errors import (
    ConfigError,
    DeniedError,
    FullError,
    MisconfiguredError,
    ReadOnlyError,
    StoreError,
)
from tiered_store.journals.identity import born, fresh
from tiered_store.journals.keylocks import Lease
from tiered_store.journals.row import Backlog, Row, Rows, key_of, name_of
from tiered_store.journals.sql.database import Database, Turn
from tiered_store.journals.sql.leases import LeaseTable, SessionLeases
from tiered_store.journals.sql.tables import (
    SHARDS,
    UPGRADES,
    Tables,
    digest_of,
    read,
    shard_of,
    write,
)
from tiered_store.journals.timed import TimedLeases
from tiered_store.key import Key


Result = TypeVar("Result")

_SCHEMA = 2
_ATTEMPTS = 5  # to make the tables, which another process may be making


class Ledger:
    """
    The tables of one journal.

    Raises:
        ConfigError: There is no such database, or no driver for it.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str,
        leases: str | None,
        capacity: int,
        lease_ttl: float,
        timeout: float,
        connections: int,
    ) -> None:
        address = _address(url)
        kind = address.get_backend_name()
        if leases == "session" and kind != "postgresql":
            raise ConfigError(f"leases: session is for PostgreSQL, not for {kind}")
        self._capacity = capacity
        self._tables = Tables(prefix)
        self._database = Database(address, timeout=timeout, connections=connections)
        self._identity: str | None = None
        self._leases: SessionLeases | TimedLeases
        if kind == "postgresql" and leases != "table":
            self._leases = SessionLeases(self._database, self._ready, timeout)
        else:
            table = LeaseTable(self._database, self._tables, lease_ttl)
            self._leases = TimedLeases(table, lease_ttl)

    def lease(self, key: Key, seconds: float) -> Lease | None:
        """Return the lease on *key*, None if it was not to be had in *seconds*."""
        self._ready()
        return self._leases.lease(key, seconds)

    def rows(self, key: Key) -> Mapping[str, Row]:
        """Return the rows of *key* by replica."""
        self._ready()
        digest = {"the_digest": digest_of(name_of(key))}
        found = self._database.look(self._tables.of_key, digest)
        return {row.replica: read(row, key) for row in found}

    def update(self, key: Key, rule: Callable[[Rows], Result], *, must: bool) -> Result:
        """Apply *rule* to the rows of *key*, atomically; a *must* beyond capacity."""
        identity, name = self._ready(), name_of(key)
        digest = digest_of(name)
        shard = {"the_shard": shard_of(digest)}

        def work(turn: Turn) -> Result:
            locked = turn.execute(self._tables.lock, shard).rowcount
            parameters = {"the_digest": digest}
            found = turn.execute(self._tables.with_state, parameters).all()
            if not (locked and found and found[0].identity == identity):
                raise MisconfiguredError(
                    "the tables of the journal were removed or replaced while they "
                    "were in use; start again, and verify the replicas"
                )
            old = {row.replica: read(row, key) for row in found if row.replica}
            new = dict(old)
            result = rule(new)
            growth, size = len(new) - len(old), int(found[0].total)
            if growth > 0 and size + growth > self._capacity and not must:
                raise FullError(
                    f"the journal is full: {size} of {self._capacity} rows; repair, "
                    "or raise its capacity"
                )
            self._write(turn, digest, name, old, new)
            if growth:
                turn.execute(self._tables.grow, {**shard, "the_growth": growth})
            return result

        return self._database.change(work)

    def page(
        self, replica: str | None, after: tuple[str, str], limit: int
    ) -> list[Row]:
        """Return rows, all or those of *replica*, behind *after*."""
        self._ready()
        name, last = after
        place = {**_place(digest_of(name), last), "the_limit": limit}
        statement = self._tables.page
        if replica is not None:
            statement = self._tables.page_of
            place["the_only"] = replica
        found = self._database.look(statement, place)
        return [read(row, key_of(row.name)) for row in found]

    def backlogs(self) -> Mapping[str, Backlog]:
        """Return what each replica has to catch up with."""
        self._ready()
        return {
            found.replica: Backlog(
                rows=found.rows,
                in_doubt=int(found.in_doubt),
                dead=int(found.dead),
                size=int(found.size),
                oldest=found.oldest,
                last_error=self._last_error(found.replica),
            )
            for found in self._database.look(self._tables.backlogs)
        }

    def born(self) -> float | None:
        """Return since when it remembers, in seconds since the epoch, if it knows."""
        return born(self._ready())

    def short_of(self, copies: int) -> int:
        """Return how many objects at least *copies* replicas may lack."""
        self._ready()
        found = self._database.look(self._tables.short, {"the_copies": copies})
        return int(found[0][0])

    def close(self) -> None:
        """Let go of the connections; a later use makes others."""
        self._leases.close()
        self._database.close()

    def _write(self, turn: Turn, digest: str, name: str, old: Rows, new: Rows) -> None:
        added, changed = [], []
        for replica, row in new.items():
            if replica not in old:
                found_by = {"digest": digest, "replica": replica, "name": name}
                added.append({**found_by, **write(row)})
            elif row is not old[replica]:
                changed.append({**_place(digest, replica), **write(row)})
        gone = [_place(digest, replica) for replica in old.keys() - new.keys()]
        for statement, rows in (
            (self._tables.insert, added),
            (self._tables.update, changed),
            (self._tables.delete, gone),
        ):
            if rows:
                turn.execute(statement, rows)

    def _last_error(self, replica: str) -> str | None:
        found = self._database.look(self._tables.last_error, {"the_replica": replica})
        return found[0][0] if found else None

    # -- whether it is there --------------------------------------------------

    def _ready(self) -> str:
        """
        Return who the journal is, whose tables are made if there are none.

        Raises:
            MisconfiguredError: A newer version has made them.
            StoreError: They can be neither read nor made.
        """
        if self._identity is None:
            self._identity = self._found()
        return self._identity

    def _found(self) -> str:
        failure: StoreError | None = None
        for attempt in range(_ATTEMPTS):
            time.sleep(deadlines.bounded(0.05 * attempt))
            identity = self._known()
            if identity is not None:
                return identity
            try:
                self._database.change(self._make)
            except (DeniedError, ReadOnlyError):
                raise
            except StoreError as error:  # another process may have been quicker
                failure = error
        if failure is None:
            failure = MisconfiguredError("the journal's tables do not stay")
        raise failure

    def _known(self) -> str | None:
        if not self._database.has_table(self._tables.state.name):
            return None
        for identity, version in self._database.look(self._tables.identify):
            if version > _SCHEMA:
                raise MisconfiguredError(
                    f"the journal's tables have schema {version}, which a newer "
                    f"version made; this one knows {_SCHEMA}"
                )
            if version < _SCHEMA:
                self._database.change(self._upgrade)
            return str(identity)
        return None

    def _upgrade(self, turn: Turn) -> None:
        """Add what the tables of an older version lack."""
        turn.execute(self._tables.hold)  # another process may be at it
        (found,) = turn.execute(self._tables.identify).all()
        for older in range(found.version, _SCHEMA):
            upgrade = DDL(UPGRADES[older])  # type: ignore[no-untyped-call]  # its own
            turn.execute(upgrade.against(self._tables.pending))
        turn.execute(self._tables.advance, {"the_version": _SCHEMA})

    def _make(self, turn: Turn) -> None:
        self._tables.metadata.create_all(turn.connection)
        shards = [{"shard": number, "size": 0} for number in range(SHARDS)]
        turn.execute(self._tables.shards.insert(), shards)
        state = {"id": 1, "identity": fresh(), "version": _SCHEMA}
        turn.execute(self._tables.state.insert(), state)


def _place(digest: str, replica: str) -> dict[str, Any]:
    return {"the_digest": digest, "the_replica": replica}


def _address(url: str) -> URL:
    try:
        address = make_url(url)
        dialect = address.get_dialect()
        dialect.import_dbapi()
    except NoSuchModuleError as error:
        raise ConfigError(f"url: no such database is known: {error}") from error
    except (ArgumentError, ValueError):  # which may quote a password
        raise ConfigError(
            "url: not a URL of a database; write it like "
            "postgresql+psycopg://user:password@host/name"
        ) from None
    except ImportError as error:
        raise ConfigError(f"url: its driver is missing: {error}") from error
    if dialect.is_async:
        raise ConfigError(f"url: {dialect.driver} is for asyncio; choose another one")
    in_memory = address.database in (None, "", ":memory:")
    if address.get_backend_name() == "sqlite" and in_memory:
        raise ConfigError("url: a database in memory forgets; name a file")
    return address
