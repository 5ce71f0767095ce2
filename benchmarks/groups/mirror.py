"""
Mirrored writes, the journal's marks, and what a read of a clean object pays for it.
"""

from __future__ import annotations

import itertools
import sqlite3
import time

from collections.abc import Callable, Iterator
from io import BytesIO
from time import perf_counter
from typing import Any

from benchmarks.bench import Bench
from benchmarks.results import NO_NOISE, OURS, Goal, Row
from benchmarks.sampling import Sample, share, timed, undisturbed
from benchmarks.stacks import content_of, key_of
from benchmarks.steady import spent
from tiered_store import MemoryStore, ReplicatedStore, SQLiteJournal
from tiered_store.body import Body
from tiered_store.journals.row import Intent
from tiered_store.key import Key
from tiered_store.wrapper import Wrapper


_CONTENT = content_of(100_000)
_NEAR, _FAR = 0.005, 0.02  # seconds, as far as a region away
_BOTH: dict[str, Intent] = {"us": "put", "eu": "put"}
_MANY = 200  # keys in turn


class _Far(Wrapper):
    """*child*, so many *seconds* away."""

    def __init__(self, seconds: float) -> None:
        super().__init__(MemoryStore())
        self._seconds = seconds

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        time.sleep(self._seconds)
        self.child.put(key, body, reproducible)


def rows(bench: Bench) -> Iterator[Row]:
    """Measure puts, then marks, then look-ups."""
    for name, slowest, ack in (
        ("put to replicas of 5 and 20 ms", _FAR, "all"),
        ("put to them with ack: quorum", _NEAR, "quorum"),
    ):
        yield bench.compare(
            name,
            {
                "the slowest waited for": lambda bench, s=slowest: _put(bench, _Far(s)),
                OURS: lambda bench, a=ack: _put(bench, _mirror(bench, a)),
            },
            floor="the slowest waited for",
            goal=Goal(kind="ratio", limit=1.1, broken=NO_NOISE),
            note="100 KB, an SQLite journal, by the clock, before other processes, "
            "no processor halts",
        )
    yield from _marks(bench)
    yield from _look_ups(bench)


def _marks(bench: Bench) -> Iterator[Row]:
    values, failed = bench.measure(
        {
            "sqlite3, by hand": lambda bench: _each(_bare_mark(bench)),
            OURS: lambda bench: _each(_mark(bench)),
        }
    )
    for number, (part, limit) in enumerate((("median", 50e-6), ("p99", 1e-3))):
        yield bench.row(
            f"journal mark, {part}",
            {name: [own[number] for own in pairs] for name, pairs in values.items()},
            floor="sqlite3, by hand",
            goal=Goal(kind="value", limit=limit),
            failed=failed,
            note="two rows, ahead of a put; by hand: one transaction with "
            "two inserts, which knows nothing of what was there",
        )


def _look_ups(bench: Bench) -> Iterator[Row]:
    yield bench.compare(
        "look-up of a clean object, journal empty",
        {
            "sqlite3 SELECT": _bare_look_up,
            OURS: lambda bench: _look_up(bench, pending=0),
        },
        floor="sqlite3 SELECT",
        goal=Goal(kind="value", limit=1e-6),
    )
    yield bench.compare(
        "look-up of a clean object, 1000 rows pending",
        {
            "sqlite3 SELECT": _bare_look_up,
            OURS: lambda bench: _look_up(bench, pending=1000),
        },
        floor="sqlite3 SELECT",
        note="one indexed look-up",
    )


def _journal(bench: Bench) -> SQLiteJournal:
    journal = SQLiteJournal(str(bench.place("journal") / "journal.db"))
    bench.finally_(journal.close)
    return journal


def _mirror(bench: Bench, ack: Any) -> ReplicatedStore:
    replicas = {"us": _Far(_NEAR), "eu": _Far(_FAR)}
    return bench.keep(ReplicatedStore(replicas, journal=_journal(bench), ack=ack))


def _put(bench: Bench, store: Any) -> Sample:
    numbers = itertools.cycle(range(_MANY))

    def put() -> None:
        store.put_file(BytesIO(_CONTENT), *key_of(next(numbers)), False)

    sample = timed(put, 4 * bench.seconds, clock=perf_counter)

    def before_others() -> float:
        with undisturbed():
            return sample()

    return before_others


def _each(mark: Callable[[int], Callable[[], Any]]) -> Callable[[], Any]:
    """
    Time marks one by one, and tell the median and what 99 in 100 do not exceed.

    What *mark* returns ends one, and is not timed.  The slowest are told by the wall
    clock, for they wait for the disk.
    """

    def sample() -> tuple[float, float]:
        work, waited = [], []
        for number in range(2000):
            used, began = spent(), perf_counter()
            end = mark(number % _MANY)
            waited.append(perf_counter() - began)
            work.append(spent() - used)
            end()
        return share(work, 0.5), share(waited, 0.99)

    return sample


def _mark(bench: Bench) -> Callable[[int], Callable[[], Any]]:
    journal = _journal(bench)
    keys = [key_of(number) for number in range(_MANY)]  # which a caller has

    def mark(number: int) -> Callable[[], Any]:
        begun = journal.begin(keys[number], _BOTH)
        return lambda: journal.settle(begun, dict.fromkeys(_BOTH))

    return mark


def _bare(bench: Bench) -> sqlite3.Connection:
    path = str(bench.place("bare") / "bare.db")
    connection = sqlite3.connect(path, isolation_level=None)
    bench.finally_(connection.close)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(
        "CREATE TABLE pending (key TEXT, replica TEXT, verb TEXT, sequence INTEGER,"
        " PRIMARY KEY (key, replica)) WITHOUT ROWID"
    )
    return connection


def _bare_mark(bench: Bench) -> Callable[[int], Callable[[], Any]]:
    connection = _bare(bench)

    def mark(number: int) -> Callable[[], Any]:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT OR REPLACE INTO pending VALUES (?, ?, 'in_doubt', ?)",
            [(str(number), name, number) for name in _BOTH],
        )
        connection.execute("COMMIT")
        return lambda: connection.execute(
            "DELETE FROM pending WHERE key = ?", (str(number),)
        )

    return mark


def _bare_look_up(bench: Bench) -> Sample:
    connection = _bare(bench)

    def look() -> None:
        connection.execute("SELECT * FROM pending WHERE key = ?", ("5",)).fetchall()

    return timed(look, bench.seconds)


def _look_up(bench: Bench, *, pending: int) -> Sample:
    journal = _journal(bench)
    journal.settle(journal.begin(key_of(0), _BOTH), dict.fromkeys(_BOTH))
    for number in range(1, pending + 1):
        journal.begin(key_of(number), {"us": "put"})
    key = key_of(0)

    return timed(lambda: journal.rows(key), bench.seconds)
