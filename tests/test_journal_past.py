"""
A journal that is older than it is told to be is noticed, and not believed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import sqlite3
import time

from collections.abc import Callable
from pathlib import Path

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.errors import MisconfiguredError, StoreError
from tiered_store.journals import emptiness
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.testing.journals import KEY, OTHER, PUT, missed, write
from tiered_store.wrappers.replicated import ReplicatedStore


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "journal.db")


def lived(path: str, changes: int, **options) -> None:
    """Let a process write to the journal, and end."""
    inside(lambda: [write(SQLiteJournal(path, **options)) for _ in range(changes)])


def inside(work: Callable[[], object]) -> None:
    """Do *work* in a process of its own: this one would keep the locks open."""
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException:
            logging.exception("in the child")
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def back_up(path: str, to: str) -> None:
    """As by ``sqlite3 journal.db '.backup ...'``."""
    source, target = sqlite3.connect(path), sqlite3.connect(to)
    source.backup(target)
    source.close()
    target.close()


def restore(path: str, backup: str) -> None:
    """As by hand: the file is put there, and what belonged to the former one goes."""
    for suffix in ("-wal", "-shm"):
        Path(path + suffix).unlink(missing_ok=True)
    shutil.copyfile(backup, path)


def uses(journal: SQLiteJournal) -> list[Callable[[], object]]:
    return [
        lambda: journal.rows(KEY),
        lambda: journal.begin(KEY, PUT),
        journal.backlogs,
        lambda: list(journal.pending()),
        journal.born,
    ]


@pytest.mark.parametrize("durability", ["process", "power"])
def test_a_backup_is_refused(path: str, durability: str) -> None:
    """For whatever use; what it says was missed may have been repaired since."""
    lived(path, 3, durability=durability)
    back_up(path, path + ".old")
    lived(path, 3, durability=durability)
    restore(path, path + ".old")

    def refused() -> None:
        journal = SQLiteJournal(path, durability=durability)
        for use in uses(journal):
            with pytest.raises(MisconfiguredError, match="change 6 of 12; move it"):
                use()

    inside(refused)


def test_a_new_journal_begins_where_it_was_moved_away(path: str) -> None:
    """As the message says."""
    lived(path, 3)
    back_up(path, path + ".old")
    lived(path, 3)
    restore(path, path + ".old")
    Path(path).rename(path + ".restored")

    lived(path, 1)
    lived(path, 1)


def test_a_change_that_was_told_and_not_made_is_no_backup(path: str) -> None:
    """It was killed between the two; the next change has the same number."""

    def dies() -> None:
        journal = SQLiteJournal(path)
        write(journal)
        journal._emptiness.begin(3)

    inside(dies)
    inside(dies)
    lived(path, 1)


def test_what_the_machine_lost_ends_what_it_can_tell(path: str, caplog) -> None:
    """Its rows go on, but verify must not conclude from what is not there."""
    lived(path, 1)
    lived_with(path, failed="eu")
    back_up(path, path + ".old")
    lived(path, 3)
    restore(path, path + ".old")
    started_anew(path)
    before = time.time()

    inside(
        lambda: check(
            missed(SQLiteJournal(path)) == {"eu": "put"},
            SQLiteJournal(path).born() >= before - 0.01,
        )
    )
    lived(path, 1)

    journal = SQLiteJournal(path)
    assert journal.born() >= before - 0.01
    assert missed(journal) == {}


def test_its_end_is_told_once(path: str, caplog) -> None:
    """Whoever comes next finds a journal that is as new as it is told to be."""
    lived(path, 1)
    back_up(path, path + ".old")
    lived(path, 3)
    restore(path, path + ".old")
    started_anew(path)

    for _ in range(2):
        journal = SQLiteJournal(path)
        journal.rows(KEY)
        journal.close()

    (line,) = caplog.messages
    assert "change 2 of 8: the machine failed" in line


def test_where_the_disk_was_waited_for_the_machine_loses_nothing(path: str) -> None:
    """So it is a backup, even after another start."""
    lived(path, 1, durability="power")
    back_up(path, path + ".old")
    lived(path, 3, durability="power")
    restore(path, path + ".old")
    started_anew(path)

    with pytest.raises(MisconfiguredError, match="restored from a backup"):
        SQLiteJournal(path, durability="power").rows(KEY)


def test_a_backup_of_all_ends_what_it_can_tell(path: str, tmp_path, caplog) -> None:
    """With its locks it fits together, but they tell that they were copied."""
    lived(path, 3)
    other = tmp_path / "restored"
    other.mkdir()
    back_up(path, str(other / "journal.db"))
    shutil.copyfile(path + "-locks", other / "journal.db-locks")
    before = time.time()

    journal = SQLiteJournal(str(other / "journal.db"))
    assert journal.born() >= before - 0.01
    write(journal)
    assert "moved or restored" in caplog.text


def test_one_that_is_made_older_in_use_is_not_written(path: str) -> None:
    """What is known without asking is not believed against what is there."""
    journal = SQLiteJournal(path)
    write(journal)
    back_up(path, path + ".old")
    write(journal)
    back_up(path + ".old", path)
    for _ in range(2):  # the second time nothing is known without asking
        with pytest.raises(MisconfiguredError, match="made an older one while"):
            journal.begin(KEY, PUT)
    journal.close()

    child = SQLiteJournal(path)  # shares what is told
    with pytest.raises(MisconfiguredError):
        child.begin(OTHER, PUT)
    child.close()


def test_a_child_that_is_left_alone_does_not_write_one_that_is_made_older(
    path: str,
) -> None:
    """Its parent had the lock, and took nothing of what was told along."""

    def parent() -> None:
        journal = SQLiteJournal(path)
        write(journal)
        back_up(path, path + ".old")
        write(journal)
        journal.close()
        if os.fork():
            os.kill(os.getpid(), signal.SIGKILL)  # and its child goes on
        os.read(begin, 1)
        try:
            with pytest.raises(MisconfiguredError, match="made an older one while"):
                journal.begin(KEY, PUT)
        except BaseException:
            logging.exception("in the child")
            os._exit(1)
        os.write(told, b".")
        os._exit(0)

    begin, go = os.pipe()
    hear, told = os.pipe()
    child = os.fork()
    if not child:
        os.close(go)
        os.close(hear)
        parent()
    os.waitpid(child, 0)
    os.close(told)
    back_up(path + ".old", path)
    os.close(go)
    assert os.read(hear, 1) == b"."


def test_who_only_looks_makes_no_file(path: str) -> None:
    """It might be of another user, whom those that write cannot follow."""
    journal = SQLiteJournal(path)
    journal.backlogs()
    journal.born()
    assert list(journal.pending()) == []

    assert not Path(f"{path}-locks").exists()


def test_a_full_disk_is_an_error(small_disk: Path) -> None:
    """What is shared lies in memory that the disk must have room for; else it kills."""
    path = str(small_disk / "journal.db")
    journal = SQLiteJournal(path)
    write(journal)  # what SQLite shares has its room
    Path(f"{path}-locks").unlink()
    with (
        (small_disk / "filler").open("wb", buffering=0) as filler,
        contextlib.suppress(OSError),
    ):
        while filler.write(b"x" * 512):
            pass

    def full() -> None:
        with pytest.raises(StoreError):
            SQLiteJournal(path).begin(KEY, PUT)

    inside(full)
    journal.close()


def test_verify_does_not_bring_a_delete_back_by_a_backup(path: str) -> None:
    """What one replica lacks was deleted while nobody remembered."""
    us, eu = MemoryStore(), MemoryStore()

    def mirror() -> ReplicatedStore:
        return ReplicatedStore({"us": us, "eu": eu}, journal=SQLiteJournal(path))

    lived(path, 1)
    back_up(path, path + ".old")
    lived(path, 5)
    restore(path, path + ".old")
    started_anew(path)
    eu.put(KEY, Body.of(b"deleted while eu was away, which a lost row said"), False)

    report = mirror().verify(repair=True)

    assert report.left == 1
    assert list(us.keys("")) == []


def lived_with(path: str, failed: str) -> None:
    inside(lambda: write(SQLiteJournal(path), failed=(failed,)))


def check(*facts: bool) -> None:
    assert all(facts)


def started_anew(path: str) -> None:
    """As after another start of the machine."""
    with Path(f"{path}-locks").open("r+b") as file:
        file.seek(8 * emptiness._BOOT)
        file.write(b"\1" * 8)
