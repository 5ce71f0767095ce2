"""What comes in the middle of a write, a repair, or a comparison of replicas."""

from __future__ import annotations

import sqlite3

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.test_control import Regions
from tests.test_replicated import KEY, NEW, OLD, OTHER, Pair
from tiered_store.errors import FullError, MisconfiguredError
from tiered_store.journals.sqlite import SQLiteJournal


KEYS = [KEY._replace(width=width) for width in range(4)]


# -- operators decide, in the middle of a repair -------------------------------


@pytest.fixture
def regions() -> Iterator[Regions]:
    """A mirror whose first replica has missed four objects."""
    made = Regions("replicated")
    made.decide("isolate us")
    for key in KEYS:
        made.store.put(key, NEW)
    made.decide("undrain us")
    yield made
    made.store.close()


def test_an_isolation_in_the_middle_of_a_repair_ends_it_there(regions: Regions) -> None:
    """Not only the next pass: one may take hours."""
    with regions.us.pause("put") as pause, ThreadPoolExecutor(1) as thread:
        repair = thread.submit(regions.store.repair, parallel=1)
        pause.wait()
        regions.decide("isolate us")
        pause.release()
        report = repair.result()

    assert (report.repaired, report.down) == (1, 3)
    assert regions.us.calls == {}


def test_an_isolation_in_the_middle_of_a_comparison_ends_it_there(
    regions: Regions,
) -> None:
    """As a repair, and as a reader of what may be damaged there."""
    report = regions.store.verify(
        repair=True, parallel=1, listed=lambda _: regions.decide("isolate us")
    )

    assert (report.objects, report.repaired) == (4, 0)
    assert regions.us.calls == {}


def test_a_drain_in_the_middle_of_two_repairs_stops_neither(regions: Regions) -> None:
    """What a drained replica missed is brought there meanwhile, once."""
    with regions.us.pause("put") as pause, ThreadPoolExecutor(1) as thread:
        first = thread.submit(regions.store.repair, due=True, parallel=1)
        pause.wait()
        regions.decide("drain us")
        second = regions.store.repair(due=True)
        regions.decide("isolate us", "undrain us")
        pause.release()
        total = second + first.result()

    assert (total.repaired, total.busy) == (4, 1)
    assert list(regions.store.pending()) == []
    assert all(regions.us.child.get(key).read() == NEW.read() for key in KEYS)


# -- the journal ends, in the middle of a write ----------------------------------


class File(Pair):
    """A pair whose journal is a file, which may stop taking changes."""

    def __init__(self, folder: Path, **options: object) -> None:
        self.file = SQLiteJournal(str(folder / "journal.db"), **options)
        super().__init__(journal=self.file)
        self.journal = self.file

    def say(self, pragma: str) -> None:
        """Have every connection be as *pragma* says, from now on."""
        database = self.file._database
        connect = type(database)._connect

        def connected() -> sqlite3.Connection:
            connection = connect(database)
            connection.execute(f"PRAGMA {pragma}")
            return connection

        database.close()
        database._connect = connected


def fill(journal: SQLiteJournal) -> None:
    """Mark more than any disk of a few pages has room for."""
    for number in range(1000):
        journal.begin(OTHER._replace(width=number), {"us": "put"})


@pytest.fixture
def file(tmp_path: Path) -> Iterator[File]:
    made = File(tmp_path)
    made.store.put(KEY, OLD)
    yield made
    made.store.close()


def test_a_write_that_all_took_is_acknowledged_by_a_read_only_journal(
    file: File,
) -> None:
    """It cannot be settled, and whichever replica is asked has it."""
    with file.eu.pause("put") as pause, ThreadPoolExecutor(1) as thread:
        put = thread.submit(file.store.put, KEY, NEW)
        pause.wait()
        file.say("query_only = 1")
        pause.release()
        put.result()

    assert file.store.get(KEY).read() == NEW.read()
    with pytest.raises(MisconfiguredError, match="readonly"):
        file.store.put(OTHER, NEW)
    assert file.contents(OTHER) == (None, None)
    file.say("query_only = 0")
    assert file.store.repair().repaired == 2
    assert file.missed() == {}


@pytest.mark.parametrize("verb", ["put", "delete"])
def test_a_write_that_one_missed_is_none_for_a_read_only_journal(
    file: File, verb: str
) -> None:
    """Nobody would know who missed it: it is an error, and completed afterwards."""
    with file.us.pause(verb) as pause, ThreadPoolExecutor(1) as thread:
        file.eu.fail(verb)
        if verb == "put":
            change = thread.submit(file.store.put, KEY, NEW)
        else:
            change = thread.submit(file.store.delete, KEY)
        pause.wait()
        file.say("query_only = 1")
        pause.release()
        with pytest.raises(MisconfiguredError, match="readonly") as raised:
            change.result()

    assert raised.value.ambiguous
    assert file.missed() == {"us": "in_doubt", "eu": "in_doubt"}
    with pytest.raises(MisconfiguredError, match="readonly"):
        file.store.repair()
    file.say("query_only = 0")
    file.store.repair()
    file.store.repair()
    assert file.missed() == {}
    assert file.contents() == ((NEW.read() if verb == "put" else None),) * 2


def test_a_write_goes_on_though_its_journal_is_full_by_now(tmp_path: Path) -> None:
    """Its own rows fill it: the next one is refused, and no replica hears of that."""
    file = File(tmp_path, capacity=2)
    with file.eu.pause("put") as pause, ThreadPoolExecutor(1) as thread:
        put = thread.submit(file.store.put, KEY, NEW)
        pause.wait()
        with pytest.raises(FullError, match="2 of 2 rows"):
            file.store.put(OTHER, NEW)
        pause.release()
        put.result()

    assert file.contents(OTHER) == (None, None)
    file.store.put(OTHER, NEW)
    assert file.contents() == file.contents(OTHER) == (NEW.read(),) * 2
    file.store.close()


def test_a_disk_that_is_full_in_the_middle_of_a_write_loses_nothing(
    file: File,
) -> None:
    """What is settled needs less room than before; what begins finds none."""
    with file.eu.pause("put") as pause, ThreadPoolExecutor(1) as thread:
        put = thread.submit(file.store.put, KEY, NEW)
        pause.wait()
        file.say("max_page_count = 1")  # no more than there are
        with pytest.raises(FullError, match="disk is full"):
            fill(file.file)
        pause.release()
        put.result()

    assert file.missed() == {}
    assert file.contents() == (NEW.read(),) * 2
