"""
Rows in one hash of a server.
"""

from __future__ import annotations

import logging
import uuid

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from tiered_store.clients.endpoint import Endpoint, Mode, revealed
from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import (
    ConfigError,
    CorruptError,
    FullError,
    MisconfiguredError,
    UnavailableError,
)
from tiered_store.journals.journal import Journal
from tiered_store.journals.keylocks import Lease
from tiered_store.journals.redis import notes, scripts
from tiered_store.journals.redis.server import Durability, Server
from tiered_store.journals.row import Backlog, Row, Rows, key_of, name_of
from tiered_store.journals.sequences import Sequences
from tiered_store.journals.timed import TimedLeases
from tiered_store.key import Key
from tiered_store.units import Duration, Secret


Result = TypeVar("Result")

_SCHEMA = 1
_KNOWN = 10_000  # objects whose rows are remembered as this process left them
_log = logging.getLogger("tiered_store")


class RedisJournal(Journal):
    """
    Rows in one hash of a server, and leases that end by themselves.

    A look-up is one round trip; a write costs four: its lease, its mark, its outcome
    and the end of the lease.  All names lie in one slot of a Cluster.

    A lease ends *lease_ttl* seconds after its holder was last heard of.  Who was
    stopped or cut off for longer may meet another writer; it finds out when it ends,
    and leaves what both touched in doubt.  What a crashed write left is settled once
    it has been in *quarantine*.  Not promised: if such a writer dies before it finds
    out, and its request takes effect after the quarantine, its replica differs until
    it is verified.

    If the server loses rows, by a failover without *replicas* or a *durability* that
    was not enough, the next operation of each process that has seen more fails and
    says so in the log; if it loses all, every operation does until a restart.

    Args:
        url: ``redis://user:password@host:6379/0``, ``rediss://`` with TLS, or
            ``unix:///run/redis.sock``.  In mode sentinel without a host; in mode
            cluster any node.
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
        connect_timeout: Seconds to connect, for each address of a host.
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
        if capacity < 1:
            problems.append(f"capacity: must be at least 1, not {capacity}")
        if durability not in ("snapshot", "process", "power"):
            problems.append(
                f"durability: snapshot, process or power, not {durability!r}"
            )
        if replicas < 0:
            problems.append(f"replicas: must not be negative, is {replicas}")
        if not lease_ttl >= 0.1:
            problems.append(f"lease_ttl: must be 100ms or more, not {lease_ttl!r}")
        if not prefix or set(prefix) & set("{}"):
            problems.append(f"prefix: some text without braces, not {prefix!r}")
        if problems:
            raise ConfigError(problems)
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
        self.capacity = capacity
        self.lease_ttl = lease_ttl
        self.quarantine = quarantine
        self.timeout = timeout
        self.connect_timeout = connect_timeout
        self.connections = connections
        self.clock = clock
        self._endpoint = self._described()
        self._hash = self._named("rows")
        self._server = self._made()
        self._leases = TimedLeases(_Book(self), lease_ttl)
        self._sequences = Sequences()
        self._identity: bytes | None = None
        self._examined = False
        self._changes = 0
        self._known: dict[str, bytes] = {}

    @property
    def place(self) -> Hashable:
        """Where the rows are."""
        return (revealed(self.url), self.sentinels, self.service, self.prefix)

    def _described(self) -> Endpoint:
        return Endpoint(
            url=self.url,
            mode=self.mode,
            sentinels=self.sentinels,
            service=self.service,
            sentinel_username=self.sentinel_username,
            sentinel_password=self.sentinel_password,
            nodes=self.nodes,
            timeout=self.timeout,
            connect_timeout=self.connect_timeout,
            connections=self.connections,
        )

    def _connect(self) -> Any:
        """Return a client of redis-py; override it to talk through one of yours."""
        from tiered_store.clients.redis import connect

        return connect(self._endpoint)

    def _made(self) -> Server:
        return Server(
            self._connect,
            self._hash,
            patience=self._endpoint.patience,
            timeout=self.timeout,
            replicas=self.replicas,
        )

    def _named(self, name: str) -> str:
        return f"{{{self.prefix}}}:{name}"

    # -- what a store asks ---------------------------------------------------

    def lease(self, key: Key, seconds: float) -> Lease | None:
        self._ready()
        return self._leases.lease(key, seconds)

    def rows(self, key: Key) -> Mapping[str, Row]:
        identity, seen = self._ready(), self._changes
        words = ("HMGET", self._hash, name_of(key), "identity", "changes")
        note, found, changes = self._ask(*words)
        self._check(identity, found)
        self._watch(seen, int(changes))
        return notes.read(key, note or b"")

    def backlogs(self) -> Mapping[str, Backlog]:
        counts = self._counts()
        return {
            name: self._backlog(name, rows, counts.get(f"doubt {name}", 0))
            for kind, name, rows in _split(counts)
            if kind == "rows" and rows > 0
        }

    def short_of(self, copies: int) -> int:
        return sum(
            objects
            for kind, lacking, objects in _split(self._counts())
            if kind == "lacking" and int(lacking) >= copies
        )

    def close(self) -> None:
        self._leases.close()
        old, self._server = self._server, self._made()
        old.close()

    # -- rows ----------------------------------------------------------------

    def _update(self, key: Key, rule: Callable[[Rows, int], Result]) -> Result:
        identity, name = self._ready(), name_of(key)
        seen = self._changes
        note = self._known.pop(name, b"")
        while True:
            old = notes.read(key, note)
            new = dict(old)
            result = rule(new, self._sequences.next())
            after = notes.write(new)
            verdict, told, changes = self._write(identity, name, note, after, old, new)
            if verdict == b"replaced":
                self._check(identity, told)
            self._watch(seen, int(changes))
            if verdict == b"done":
                self._remember(name, after)
                return result
            if verdict == b"full":
                raise FullError(
                    f"the journal {self.prefix!r} is full: {int(told)} of "
                    f"{self.capacity} rows; repair, or raise its capacity"
                )
            note = bytes(told)

    def _write(
        self,
        identity: bytes,
        name: str,
        note: bytes,
        after: bytes,
        old: Rows,
        new: Rows,
    ) -> Any:
        """Replace *note* by *after*, if it is still what is there, and count."""
        counts = notes.counted(old, new)
        scores = notes.scored(old, new)
        keys = [self._hash, self._named("names"), self._named("counts")]
        keys += [self._named(order) for order in scores]
        arguments: list[Any] = [identity, name, note, after, len(new) - len(old)]
        arguments += [self.capacity, len(counts)]
        for count in counts.items():
            arguments += count
        arguments += ["" if score is None else repr(score) for score in scores.values()]
        return self._asked(
            lambda: self._server.run(
                scripts.UPDATE, keys, arguments, confirmed=note != after
            )
        )

    def _remember(self, name: str, note: bytes) -> None:
        """Keep what a write marked, which it will want to settle: a round trip less."""
        if len(self._known) >= _KNOWN:
            self._known.clear()
        if note:
            self._known[name] = note

    def _page(
        self, replica: str | None, after: tuple[str, str], limit: int
    ) -> list[Row]:
        self._ready()
        name, last = after
        start = f"[{name}" if name else "-"
        found: list[Row] = []
        while len(found) < limit:
            page = (start, "+", "LIMIT", 0, limit)
            names = _texts(self._ask("ZRANGEBYLEX", self._named("names"), *page))
            if not names:
                break
            found += [
                row
                for row in self._rows_of(names)
                if replica in (None, row.replica)
                and (name_of(row.key), row.replica) > (name, last)
            ]
            start = f"({names[-1]}"
        return found

    def _rows_of(self, names: Sequence[str]) -> list[Row]:
        noted = self._ask("HMGET", self._hash, *names)
        return [
            row
            for name, note in zip(names, noted, strict=True)
            for _, row in sorted(notes.read(key_of(name), note or b"").items())
        ]

    def _counts(self) -> dict[str, int]:
        self._ready()
        found = self._ask("HGETALL", self._named("counts"))
        return {name.decode(): int(count) for name, count in found.items()}

    def _backlog(self, replica: str, rows: int, in_doubt: int) -> Backlog:
        oldest = self._first("ZRANGE", f"since:{replica}", replica)
        failed = self._first("ZREVRANGE", f"failed:{replica}", replica)
        return Backlog(
            rows=rows,
            in_doubt=in_doubt,
            oldest=self.clock.time() if oldest is None else oldest.since,
            last_error=None if failed is None else failed.last_error,
        )

    def _first(self, order: str, name: str, replica: str) -> Row | None:
        names = _texts(self._ask(order, self._named(name), 0, 0))
        rows = self._rows_of(names) if names else []
        return next((row for row in rows if row.replica == replica), None)

    # -- whether it is still the same journal ---------------------------------

    def _ready(self) -> bytes:
        """
        Return who the journal is, on a server that can be trusted with it.

        Raises:
            MisconfiguredError: It cannot, or a newer version has written there.
        """
        if not self._examined:
            self._server.examine(self.durability)
            self._examined = True
        if self._identity is None:
            fresh = uuid.uuid4().hex
            identity, schema, changes = self._server.run(
                scripts.OPEN, [self._hash], [fresh, _SCHEMA], confirmed=True
            )
            if int(schema) > _SCHEMA:
                raise MisconfiguredError(
                    f"the journal {self.prefix!r} has schema {int(schema)}, which a "
                    f"newer version wrote; this one knows {_SCHEMA}"
                )
            self._changes = int(changes)
            self._identity = bytes(identity)
        return self._identity

    def _ask(self, *words: Any) -> Any:
        return self._asked(lambda: self._server.ask(*words))

    def _asked(self, question: Callable[[], Result]) -> Result:
        try:
            return question()
        except UnavailableError:
            self._examined = False  # whoever answers next may be another one
            raise

    def _check(self, identity: bytes, found: bytes | None) -> None:
        if found != identity:
            raise MisconfiguredError(
                f"the journal {self.prefix!r} was removed or replaced while it was in "
                "use; start again, and verify the replicas"
            )

    def _watch(self, seen: int, changes: int) -> None:
        """
        Raise if there are fewer *changes* than were *seen* before it was asked.

        Raises:
            CorruptError: Once; from then on what is left is the journal.
        """
        if changes < seen:
            self._changes = changes
            self._known.clear()
            message = (
                f"the journal {self.prefix!r} went back from change {seen} to "
                f"{changes}: its server has lost rows; verify the replicas"
            )
            _log.error(message)
            raise CorruptError(message)
        self._changes = max(self._changes, changes)


class _Book:
    """The leases of *journal*, each a string that expires."""

    def __init__(self, journal: RedisJournal) -> None:
        self._journal = journal
        self._milliseconds = int(journal.lease_ttl * 1000)

    def take(self, name: str, owner: str, number: int) -> bool:
        arguments = [owner, number, self._milliseconds]
        return bool(self._run(scripts.TAKE, [name], arguments))

    def renew(self, held: Sequence[tuple[str, int]], owner: str) -> None:
        for start in range(0, len(held), 500):
            batch = held[start : start + 500]
            numbers = [number for _, number in batch]
            names = [name for name, _ in batch]
            self._run(scripts.RENEW, names, [owner, self._milliseconds, *numbers])

    def drop(self, name: str, owner: str, number: int) -> None:
        self._run(scripts.DROP, [name], [owner, number])

    def _run(self, script: str, names: Sequence[str], arguments: Sequence[Any]) -> Any:
        journal = self._journal
        keys = [journal._named(f"lease:{name}") for name in names]
        return journal._server.run(script, keys, arguments)


def _texts(found: Sequence[bytes]) -> list[str]:
    return [one.decode() for one in found]


def _split(counts: Mapping[str, int]) -> Iterator[tuple[str, str, int]]:
    """Yield kind, of what, and count."""
    for name, count in counts.items():
        kind, _, what = name.partition(" ")
        yield kind, what, count
