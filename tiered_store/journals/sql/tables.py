"""
The tables of a journal, and what is asked of them.

The name of an object may be too long for an index, and a database may not tell its
upper case from its lower case, so rows are found by a digest of it.

Every change of rows locks a shard, which is one of a few dozen: its row also counts
the rows of its objects, so that no row is one that all writers wait for.
"""

from __future__ import annotations

import hashlib

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from tiered_store.journals.row import NEVER, Row
from tiered_store.key import Key


SHARDS = 64
_NAME = 255  # characters of a replica's name


# by the schema that lacks it
UPGRADES = {
    1: "ALTER TABLE %(fullname)s ADD COLUMN size BIGINT DEFAULT 0 NOT NULL",
}


class Tables:
    """Those whose names begin with *prefix*."""

    def __init__(self, prefix: str) -> None:
        self.metadata = MetaData()
        self.state = Table(
            f"{prefix}journal",
            self.metadata,
            Column("id", Integer, primary_key=True, autoincrement=False),
            Column("identity", String(32), nullable=False),
            Column("version", Integer, nullable=False),
        )
        self.shards = Table(
            f"{prefix}journal_shards",
            self.metadata,
            Column("shard", Integer, primary_key=True, autoincrement=False),
            Column("size", BigInteger, nullable=False),
        )
        self.pending = Table(
            f"{prefix}journal_rows",
            self.metadata,
            Column("digest", String(32), primary_key=True),
            Column("replica", String(_NAME), primary_key=True),
            Column("name", Text, nullable=False),
            Column("verb", String(16), nullable=False),
            Column("intent", String(16), nullable=False),
            Column("prior", String(16)),
            Column("sequence", BigInteger, nullable=False),
            Column("since", Double, nullable=False),
            Column("reproducible", Boolean, nullable=False),
            Column("attempts", Integer, nullable=False),
            Column("retry_at", Double, nullable=False),
            Column("last_error", Text),
            Column("quarantine", Double, nullable=False),
            Column("size", BigInteger, nullable=False, server_default="0"),
        )
        self.leases = Table(
            f"{prefix}journal_leases",
            self.metadata,
            Column("digest", String(32), primary_key=True),
            Column("owner", String(32), nullable=False),
            Column("number", BigInteger, nullable=False),
            Column("ends", Double, nullable=False),
        )
        self._of_rows()
        self._of_leases()

    def _of_rows(self) -> None:
        state, shards, pending = self.state, self.shards, self.pending
        columns = [column for column in pending.c if column.name != "digest"]
        shard = shards.c.shard == bindparam("the_shard")
        digest = pending.c.digest == bindparam("the_digest")
        replica = pending.c.replica == bindparam("the_replica")
        total = select(func.sum(shards.c.size)).scalar_subquery().label("total")

        self.identify = select(state.c.identity, state.c.version)
        self.hold = update(state).values(version=state.c.version)
        self.advance = update(state).values(version=bindparam("the_version"))
        # changes nothing, and locks its row in every database, which not all can
        # be asked to do in so many words
        self.lock = update(shards).where(shard).values(size=shards.c.size)
        self.grow = (
            update(shards)
            .where(shard)
            .values(size=shards.c.size + bindparam("the_growth"))
        )
        self.of_key = select(*columns).where(digest)
        self.with_state = select(state.c.identity, total, *columns).select_from(
            state.outerjoin(pending, digest)
        )
        self.insert = insert(pending)
        self.update = update(pending).where(digest, replica)
        self.delete = delete(pending).where(digest, replica)
        self.page = (
            select(*columns)
            .where(
                or_(
                    pending.c.digest > bindparam("the_digest"),
                    and_(digest, pending.c.replica > bindparam("the_replica")),
                )
            )
            .order_by(pending.c.digest, pending.c.replica)
            .limit(bindparam("the_limit"))
        )
        self.page_of = self.page.where(pending.c.replica == bindparam("the_only"))
        doubtful = case((pending.c.verb == "in_doubt", 1), else_=0)
        dead = case((pending.c.retry_at >= NEVER, 1), else_=0)
        self.backlogs = select(
            pending.c.replica,
            func.count().label("rows"),
            func.sum(doubtful).label("in_doubt"),
            func.sum(dead).label("dead"),
            func.sum(pending.c.size).label("size"),
            func.min(pending.c.since).label("oldest"),
        ).group_by(pending.c.replica)
        self.last_error = (
            select(pending.c.last_error)
            .where(replica, pending.c.last_error.is_not(None))
            .order_by(pending.c.retry_at.desc())
            .limit(1)
        )
        lacking = (
            select(pending.c.digest)
            .where(pending.c.intent == "put")
            .group_by(pending.c.digest)
            .having(func.count() >= bindparam("the_copies"))
            .subquery()
        )
        self.short = select(func.count()).select_from(lacking)

    def _of_leases(self) -> None:
        leases = self.leases
        digest = leases.c.digest == bindparam("the_digest")
        owner = leases.c.owner == bindparam("the_owner")
        self.now = select(func.current_timestamp())
        self.first_take = insert(leases)
        self.take = (
            update(leases)
            .where(digest, or_(owner, leases.c.ends < bindparam("the_time")))
            .values(
                owner=bindparam("the_owner"),
                number=bindparam("the_number"),
                ends=bindparam("the_end"),
            )
        )
        self.renew = (
            update(leases)
            .where(digest, owner, leases.c.number == bindparam("the_number"))
            .values(ends=bindparam("the_end"))
        )
        self.drop = delete(leases).where(
            digest, owner, leases.c.number == bindparam("the_number")
        )


def digest_of(name: str) -> str:
    """Return what *name* is found by; nothing comes before all others."""
    if not name:
        return ""
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()


def shard_of(digest: str) -> int:
    """Return the number of the shard that *digest* belongs to."""
    return int(digest[:4], 16) % SHARDS


def read(found: Any, key: Key) -> Row:
    """Return the row of *key* that was *found*."""
    return Row(
        replica=found.replica,
        key=key,
        verb=found.verb,
        intent=found.intent,
        prior=found.prior,
        sequence=found.sequence,
        since=found.since,
        reproducible=bool(found.reproducible),
        attempts=found.attempts,
        retry_at=found.retry_at,
        last_error=found.last_error,
        quarantine=found.quarantine,
        size=found.size,
    )


def write(row: Row) -> dict[str, object]:
    """Return the columns of *row*, without those that find it."""
    return {
        "verb": row.verb,
        "intent": row.intent,
        "prior": row.prior,
        "sequence": row.sequence,
        "since": row.since,
        "reproducible": row.reproducible,
        "attempts": row.attempts,
        "retry_at": row.retry_at,
        "last_error": row.last_error,
        "quarantine": row.quarantine,
        "size": row.size,
    }
