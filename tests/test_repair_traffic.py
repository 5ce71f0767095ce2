"""
A repair makes way for callers, of other processes as well.
"""

from __future__ import annotations

import pytest

from tests.test_journal_emptiness import Another
from tiered_store.journals.memory import MemoryJournal
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.replication.pace import Pace, Traffic
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.journals import write


def paced(traffic: Traffic, clock: FakeClock) -> Pace:
    return Pace(clock, traffic, rate=None, bandwidth=None, stop=None)


SERVING = """
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.wrappers.replicated import ReplicatedStore
store = ReplicatedStore({"us": MemoryStore(), "eu": MemoryStore()}, journal=journal)
store.put(KEY, Body.of(b"x"), False)
say("serves")
while sys.stdin.readline():
    store.%s
    say("called")
"""


@pytest.mark.parametrize("call", ["get(KEY)", "put(KEY, Body.of(b'y'), False)"])
def test_it_sees_the_callers_of_other_processes(tmp_path, call: str) -> None:
    """Those that share an SQLite journal; they wait for the same disks."""
    path = str(tmp_path / "journal.db")
    journal, clock = SQLiteJournal(path), FakeClock()
    write(journal)
    with Another(path, SERVING % call) as serving:
        assert serving.line() == "serves"
        pace = paced(Traffic(journal), clock)
        pace.wait()
        clock.advance(1.0)  # an object takes a second
        before = clock.monotonic()
        pace.wait()
        assert clock.monotonic() == before

        serving.go()
        assert serving.line() == "called"
        clock.advance(1.0)
        before = clock.monotonic()
        assert pace.yields
        pace.wait()

        assert clock.monotonic() == before + 3.0  # a quarter of the time
        assert not pace.yields
    journal.close()


def test_a_repair_is_no_caller(tmp_path) -> None:
    """Else any two would make way for each other."""
    journal = SQLiteJournal(str(tmp_path / "journal.db"))
    pace = paced(Traffic(journal), FakeClock())
    write(journal)
    journal.rows(("comics.cover", 1, 1, 1, "image/png"))

    assert not pace.yields
    journal.close()


def test_calls_of_its_own_are_seen_with_any_journal() -> None:
    traffic = Traffic(MemoryJournal())
    pace = paced(traffic, FakeClock())
    traffic.called()

    assert pace.yields
