"""
Rows in one hash, changed by a script if they still are what a rule has seen.
"""

from __future__ import annotations

import contextlib
import logging
import time

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from tiered_store.errors import (
    CorruptError,
    FullError,
    MisconfiguredError,
    StoreError,
    UnavailableError,
)
from tiered_store.journals.identity import born, fresh
from tiered_store.journals.keylocks import Lease
from tiered_store.journals.redis import notes, scripts
from tiered_store.journals.redis.leases import LeaseStrings
from tiered_store.journals.redis.server import Durability, Server
from tiered_store.journals.row import Backlog, Row, Rows, key_of, name_of
from tiered_store.journals.timed import TimedLeases
from tiered_store.key import Key


Result = TypeVar("Result")

_SCHEMA = 2  # 1 had rows without a size
_BACK = "back"  # the field that tells since when there are no gaps, if there was one
_ENDLESS = 10**15  # rows, which Lua counts exactly
_KNOWN = 10_000  # objects whose rows are remembered as this process left them
_log = logging.getLogger("tiered_store")


class Ledger:
    """
    What one journal keeps on a server.

    Args:
        serve: Returns the server that keeps the names which begin with a tag.
        prefix: Of its names, all of which are in one slot of a Cluster.
    """

    def __init__(
        self,
        serve: Callable[[str], Server],
        prefix: str,
        *,
        durability: Durability,
        capacity: int,
        lease_ttl: float,
    ) -> None:
        self._serve = serve
        self._prefix = prefix
        self._durability = durability
        self._capacity = capacity
        self._hash = self._named("rows")
        self._server = serve(self._hash)
        self._leases = TimedLeases(LeaseStrings(self._run, lease_ttl), lease_ttl)
        self._identity: bytes | None = None
        self._examined = False
        self._changes = 0
        self._known: dict[str, bytes] = {}

    def lease(self, key: Key, seconds: float) -> Lease | None:
        """Return the lease on *key*, None if it was not to be had in *seconds*."""
        self._ready()
        return self._leases.lease(key, seconds)

    def rows(self, key: Key) -> Mapping[str, Row]:
        """Return the rows of *key* by replica."""
        identity, seen = self._ready(), self._changes
        words = ("HMGET", self._hash, name_of(key), "identity", "changes")
        note, found, changes = self._ask(*words)
        self._check(identity, found)
        self._watch(seen, int(changes))
        return notes.read(key, note or b"")

    def update(self, key: Key, rule: Callable[[Rows], Result], *, must: bool) -> Result:
        """Apply *rule* to the rows of *key*, atomically; a *must* beyond capacity."""
        identity, name = self._ready(), name_of(key)
        seen = self._changes
        note = self._known.pop(name, b"")
        while True:
            old = notes.read(key, note)
            new = dict(old)
            result = rule(new)
            after = notes.write(new)
            capacity = _ENDLESS if must else self._capacity
            verdict, told, changes = self._write(
                identity, name, note, after, old, new, capacity
            )
            if verdict == b"replaced":
                self._check(identity, told)
            self._watch(seen, int(changes))
            if verdict == b"done":
                self._remember(name, after)
                return result
            if verdict == b"full":
                raise FullError(
                    f"the journal {self._prefix!r} is full: {int(told)} of "
                    f"{self._capacity} rows; repair, or raise its capacity"
                )
            note = bytes(told)

    def page(
        self, replica: str | None, after: tuple[str, str], limit: int
    ) -> list[Row]:
        """Return rows, all or those of *replica*, behind *after*."""
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

    def backlogs(self) -> Mapping[str, Backlog]:
        """Return what each replica has to catch up with."""
        counts = self._counts()
        found = {
            name: self._backlog(name, rows, counts)
            for kind, name, rows in _split(counts)
            if kind == "rows" and rows > 0
        }
        return {name: backlog for name, backlog in found.items() if backlog is not None}

    def born(self) -> float | None:
        """Return since when it remembers, in seconds since the epoch, if it knows."""
        identity = self._ready()
        back = self._ask("HGET", self._hash, _BACK)
        return born(identity.decode()) if back is None else float(back)

    def short_of(self, copies: int) -> int:
        """Return how many objects at least *copies* replicas may lack."""
        return sum(
            objects
            for kind, lacking, objects in _split(self._counts())
            if kind == "lacking" and int(lacking) >= copies
        )

    def close(self) -> None:
        """Let go of the connections; a later use makes others."""
        self._leases.close()
        old, self._server = self._server, self._serve(self._hash)
        old.close()

    def _run(self, script: str, names: Sequence[str], arguments: Sequence[Any]) -> Any:
        keys = [self._named(name) for name in names]
        return self._server.run(script, keys, arguments)

    def _named(self, name: str) -> str:
        return f"{{{self._prefix}}}:{name}"

    def _write(
        self,
        identity: bytes,
        name: str,
        note: bytes,
        after: bytes,
        old: Rows,
        new: Rows,
        capacity: int,
    ) -> Any:
        """Replace *note* by *after*, if it is still what is there, and count."""
        counts = notes.counted(old, new)
        scores = notes.scored(old, new)
        keys = [self._hash, self._named("names"), self._named("counts")]
        keys += [self._named(order) for order in scores]
        arguments: list[Any] = [identity, name, note, after, len(new) - len(old)]
        arguments += [capacity, len(counts)]
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

    def _backlog(
        self, replica: str, rows: int, counts: Mapping[str, int]
    ) -> Backlog | None:
        oldest = self._first("ZRANGE", f"since:{replica}", replica)
        failed = self._first("ZREVRANGE", f"failed:{replica}", replica)
        if oldest is None:  # it has caught up since it was counted
            return None
        return Backlog(
            rows=rows,
            in_doubt=counts.get(f"doubt {replica}", 0),
            dead=counts.get(f"dead {replica}", 0),
            size=counts.get(f"size {replica}", 0),
            oldest=oldest.since,
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
            self._server.examine(self._durability)
            self._examined = True
        if self._identity is None:
            identity, schema, changes = self._server.run(
                scripts.OPEN, [self._hash], [fresh(), _SCHEMA]
            )
            if int(schema) > _SCHEMA:
                raise MisconfiguredError(
                    f"the journal {self._prefix!r} has schema {int(schema)}, which a "
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
                f"the journal {self._prefix!r} was removed or replaced while it was in "
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
            with contextlib.suppress(StoreError):  # then its log is all that tells
                self._ask("HSET", self._hash, _BACK, repr(time.time()))
            message = (
                f"the journal {self._prefix!r} went back from change {seen} to "
                f"{changes}: its server has lost rows; verify the replicas"
            )
            _log.error(message)
            raise CorruptError(message)
        self._changes = max(self._changes, changes)


def _texts(found: Sequence[bytes]) -> list[str]:
    return [one.decode() for one in found]


def _split(counts: Mapping[str, int]) -> Iterator[tuple[str, str, int]]:
    """Yield kind, of what, and count."""
    for name, count in counts.items():
        kind, _, what = name.partition(" ")
        yield kind, what, count
