"""
Processes that put, delete and read the same objects at once, and what is left.

.. code-block:: text

   python -m tests.writers FOLDER --processes 3 --rounds 100
   python -m tests.writers FOLDER --journal redis://127.0.0.1:6379/0

In each round every process makes a few changes.  Nobody is killed and nothing fails, so
after it, without any repair, the replicas must be equal,
with bytes that the recorded history allows: those of the last acknowledged writer, or
of one that was at it at the same time.  So must be all that was read meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import time
import traceback

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.histories import Change, History
from tests.kills import KEYS, NAMES, Place, content, made_of, write_all
from tiered_store.body import Body
from tiered_store.journals.row import Row


_SECONDS = 200


def work(place: Place, name: str, changes: int, say: Callable[[str], None]) -> None:
    """Make *changes*, read after each, and *say* from when to when what was what."""
    chance = random.Random(name)
    store, faults = place.open(chance.choice(NAMES))
    for number in range(changes):
        for fault in faults.values():  # so that they overtake each other
            fault.latency = chance.choice([0.0, 0.0, 0.001])
        index = chance.randrange(len(KEYS))
        token = f"{name}.{number}" if chance.random() < 0.7 else "-"
        began = time.monotonic_ns()
        if token == "-":
            store.delete(KEYS[index])
        else:
            store.put(KEYS[index], Body.of(made_of(token)))
        say(f"wrote {index} {token} {began} {time.monotonic_ns()}")
        index = chance.randrange(len(KEYS))
        began = time.monotonic_ns()
        found = content(store, KEYS[index])
        token = "-" if found is None else found.partition(b"/")[0].decode()
        assert found == (None if token == "-" else made_of(token))
        say(f"read {index} {token} {began} {time.monotonic_ns()}")


def started(place: Place, name: str, changes: int) -> tuple[int, int]:
    """Return the process that does :func:`work`, and where it tells."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(_SECONDS)
        status = 1
        try:
            work(place, name, changes, lambda line: write_all(writing, line + "\n"))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writing)
    return child, reading


class Judge:
    """Knows what was written, and what may therefore be read, and be left."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.histories = [History() for _ in KEYS]
        self.counts = {"writes": 0, "reads": 0}

    def hear(self, lines: list[str]) -> None:
        """Raise unless what was read may be, and what is left after a round."""
        told = [Told.of(line) for line in lines]
        for one in (one for one in told if one.what == "wrote"):
            self.counts["writes"] += 1
            change = Change(one.value, one.began, one.over, acknowledged=True)
            self.histories[one.index].changes.append(change)
        for one in (one for one in told if one.what == "read"):
            self.counts["reads"] += 1
            self.histories[one.index].check(one.value, one.began, one.over)
        self._look()

    def _look(self) -> None:
        store, _ = self.place.open()
        left = [row for row in store.pending() if not is_note(row)]
        assert not left, f"something is left to repair: {left}"
        store.journal.close()
        for key, history in zip(KEYS, self.histories, strict=True):
            values = self.place.contents(key)
            assert len(values) == 1, f"{key} differs"
            now = time.monotonic_ns()
            history.check(values.pop(), now, now)
            history.forget(now)


def is_note(row: Row) -> bool:
    """
    Tell whether *row* is what a reader noted.

    It found a replica without what a write was just giving to all, asked the next one
    after that, and noted the first as lacking; which costs a look, and does no harm.
    """
    return row.verb == "put" and not row.size and row.last_error is None


class Told(NamedTuple):
    """What a process said that it did."""

    what: str
    index: int
    value: bytes | None
    began: int
    over: int

    @classmethod
    def of(cls, line: str) -> Told:
        what, index, token, began, over = line.split()
        value = None if token == "-" else made_of(token)
        return cls(what, int(index), value, int(began), int(over))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--journal")
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--changes", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    place = Place(arguments.folder, arguments.journal)
    place.lease_ttl = 30.0  # nobody is killed, and a busy machine must not lose a lease
    judge = Judge(place)
    for number in range(arguments.rounds):
        names = [
            f"{arguments.seed}.{number}.{one}" for one in range(arguments.processes)
        ]
        children = [started(judge.place, one, arguments.changes) for one in names]
        lines: list[str] = []
        for child, reading in children:
            with os.fdopen(reading) as pipe:
                lines += pipe.read().splitlines()
            assert os.waitpid(child, 0)[1] == 0, "a writer failed"
        judge.hear(lines)
    print(json.dumps({"seed": arguments.seed, **judge.counts}))  # noqa: T201


if __name__ == "__main__":
    main()
