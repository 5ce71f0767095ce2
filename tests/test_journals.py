"""
What every journal promises, and what the SQLite file does besides.
"""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import subprocess
import sys
import textwrap
import threading

from concurrent.futures import ThreadPoolExecutor

import pytest

from tiered_store.deadlines import deadline
from tiered_store.errors import (
    ConfigError,
    FullError,
    MisconfiguredError,
    StoreError,
    UnavailableError,
)
from tiered_store.journals.journal import Journal
from tiered_store.journals.memory import MemoryJournal
from tiered_store.journals.row import Row, is_gone, key_of, name_of
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.key import Key
from tiered_store.testing.clock import FakeClock


KEY = Key("comics.cover", 5, 30, 40, "image/png")
OTHER = KEY._replace(object_id=6)
PUT = {"us": "put", "eu": "put"}
DELETE = {"us": "delete", "eu": "delete"}
DOWN = UnavailableError("down")


def missed(journal: Journal, key: Key = KEY) -> dict[str, str]:
    return {name: row.verb for name, row in journal.rows(key).items()}


def write(
    journal: Journal, intents=PUT, *, failed: tuple[str, ...] = (), key: Key = KEY
) -> None:
    mark = journal.begin(key, intents)
    journal.settle(mark, {name: DOWN if name in failed else None for name in intents})


class JournalContract:
    """The promises of a journal; inherit, and give the fixture ``make``."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def make(self, clock):
        raise NotImplementedError

    @pytest.fixture
    def journal(self, make) -> Journal:
        return make()

    def test_a_write_marks_every_replica_before_it_begins(self, journal) -> None:
        """A crash right after finds a row for each that may have been touched."""
        journal.begin(KEY, PUT)

        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}
        assert not any(row.behind for row in journal.rows(KEY).values())
        assert missed(journal, OTHER) == {}

    def test_a_write_that_all_acknowledged_leaves_nothing(self, journal) -> None:
        """Then nobody is behind."""
        write(journal)

        assert journal.rows(KEY) == {}
        assert list(journal.pending()) == []

    def test_who_missed_a_put_is_behind(self, journal) -> None:
        """With the error, for whoever looks at the status."""
        write(journal, failed=("eu",))

        row = journal.rows(KEY)["eu"]
        assert (row.verb, row.behind, row.last_error) == ("put", True, "down")
        assert "us" not in journal.rows(KEY)

    def test_a_put_that_nobody_took_stays_in_doubt(self, journal) -> None:
        """It may have arrived all the same, or not."""
        write(journal, failed=("us", "eu"))

        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}
        assert journal.rows(KEY)["us"].last_error == "down"

    def test_a_put_is_not_taken_by_a_replica_that_only_drops(self, journal) -> None:
        """That an old copy is gone somewhere does not mean that the new one exists."""
        write(journal, {"us": "put", "eu": "drop"}, failed=("us",))

        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}

    def test_a_copy_that_could_not_be_dropped_is_remembered(self, journal) -> None:
        """It is no deletion: the object exists."""
        write(journal, {"us": "put", "eu": "drop"}, failed=("eu",))

        assert missed(journal) == {"eu": "drop"}
        assert not is_gone(journal.rows(KEY))

    def test_a_delete_is_remembered_though_nobody_took_it(self, journal) -> None:
        """Once asked for, it is completed."""
        write(journal, DELETE, failed=("us", "eu"))

        assert missed(journal) == {"us": "delete", "eu": "delete"}
        assert is_gone(journal.rows(KEY))

    def test_the_last_write_wins(self, journal) -> None:
        """One row a replica and object, whatever happened before."""
        write(journal, DELETE, failed=("eu",))
        write(journal, PUT, failed=("eu",))

        assert missed(journal) == {"eu": "put"}

    def test_rewriting_heals(self, journal) -> None:
        """A replica that takes a later write is clean."""
        write(journal, failed=("eu",))
        write(journal)

        assert journal.rows(KEY) == {}

    @pytest.mark.parametrize("intents", [PUT, DELETE])
    def test_who_was_behind_is_not_believed_in_doubt(self, journal, intents) -> None:
        """It has neither the object as it was nor as it is to become."""
        write(journal, intents, failed=("eu",))

        journal.begin(KEY, PUT)

        rows = journal.rows(KEY)
        assert rows["eu"].prior == intents["eu"]
        assert rows["eu"].behind
        assert not rows["us"].behind

    def test_who_was_behind_stays_so_through_two_doubts(self, journal) -> None:
        """The second write that does not end must not forget what the first knew."""
        write(journal, DELETE, failed=("eu",))
        journal.begin(KEY, PUT)
        journal.begin(KEY, PUT)

        assert journal.rows(KEY)["eu"].behind

    def test_an_earlier_doubt_does_not_make_behind(self, journal) -> None:
        """Old, middle and new are all right then."""
        journal.begin(KEY, PUT)
        journal.begin(KEY, PUT)

        assert not journal.rows(KEY)["eu"].behind

    def test_the_age_is_that_of_the_first_miss(self, journal, clock) -> None:
        """An operator asks since when a replica has been behind."""
        began = clock.time()
        write(journal, failed=("eu",))
        clock.advance(100)
        write(journal, failed=("eu",))

        assert journal.rows(KEY)["eu"].since == began

    def test_a_withdrawn_write_was_never_there(self, journal) -> None:
        """Rows that were there before are again, with what they said."""
        journal.withdraw(journal.begin(KEY, PUT))
        assert journal.rows(KEY) == {}

        write(journal, DELETE, failed=("eu",))
        journal.withdraw(journal.begin(KEY, PUT))
        row = journal.rows(KEY)["eu"]
        assert (row.verb, row.intent, row.prior) == ("delete", "delete", None)

    def test_a_withdrawn_delete_leaves_no_wish_to_delete(self, journal) -> None:
        """An earlier doubt goes on as one, and is settled by what is there."""
        journal.begin(KEY, PUT)
        journal.withdraw(journal.begin(KEY, DELETE))

        rows = journal.rows(KEY)
        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}
        assert {row.intent for row in rows.values()} == {"put"}

    def test_a_write_that_was_overtaken_leaves_all_in_doubt(self, journal) -> None:
        """Two writes at once mean that nobody knows which bytes are where."""
        slow = journal.begin(KEY, PUT)
        write(journal)

        journal.settle(slow, {"us": None, "eu": None})

        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}

    def test_a_replica_nobody_knows_any_more_misses_the_write_too(
        self, journal
    ) -> None:
        """When it is configured again, it is behind by this write, not by the last."""
        write(journal, DELETE, failed=("eu",))

        write(journal, {"us": "put"})

        assert missed(journal) == {"eu": "put"}

    def test_a_row_is_cleared_by_who_knows_it(self, journal) -> None:
        """A slow repair never masks what a later write has marked."""
        write(journal, failed=("eu",))
        known = journal.rows(KEY)["eu"]
        write(journal, failed=("eu",))

        assert not journal.clear(known)
        assert missed(journal) == {"eu": "put"}
        assert journal.clear(journal.rows(KEY)["eu"])
        assert journal.rows(KEY) == {}

    def test_sequences_are_never_used_again(self, journal) -> None:
        """Else a row could be cleared by who knew another one."""
        write(journal, failed=("eu",))
        known = journal.rows(KEY)["eu"]
        journal.clear(known)
        write(journal, failed=("eu",))

        assert journal.rows(KEY)["eu"].sequence > known.sequence
        assert not journal.clear(known)

    def test_a_failed_repair_is_noted(self, journal, clock) -> None:
        """How often, why, and when to try again."""
        write(journal, failed=("eu",))
        row = journal.rows(KEY)["eu"]

        journal.blame(row, "still down", clock.time() + 5)
        journal.blame(journal.rows(KEY)["eu"], "refused", clock.time() + 9)

        row = journal.rows(KEY)["eu"]
        assert (row.attempts, row.last_error) == (2, "refused")
        assert row.retry_at == clock.time() + 9
        journal.blame(dataclasses.replace(row, sequence=0), "other", 0)
        assert journal.rows(KEY)["eu"] == row

    def test_a_reader_notes_who_lacks_an_object(self, journal) -> None:
        """Reading heals."""
        assert journal.lack(KEY, ["eu"])

        assert missed(journal) == {"eu": "put"}

    def test_a_reader_notes_nothing_beside_a_write(self, journal) -> None:
        """What it saw may be what the write is changing right now."""
        journal.begin(KEY, DELETE)

        assert not journal.lack(KEY, ["eu"])
        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}

    def test_doubt_is_resolved_as_it_was_seen(self, journal) -> None:
        """For all replicas in one step."""
        journal.begin(KEY, PUT)

        resolved = journal.resolve(
            KEY, journal.rows(KEY), {"us": None, "eu": "put", "ap": "put"}
        )

        assert resolved
        assert missed(journal) == {"eu": "put", "ap": "put"}
        assert all(row.behind for row in journal.rows(KEY).values())

    def test_doubt_that_has_changed_is_not_resolved(self, journal) -> None:
        """A write came in between and knows better."""
        journal.begin(KEY, PUT)
        seen = journal.rows(KEY)
        journal.begin(KEY, PUT)

        assert not journal.resolve(KEY, seen, {"us": None, "eu": None})
        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}

    def test_what_a_write_said_is_kept_for_the_copy(self, journal) -> None:
        """A repaired thumbnail is kept as cheaply as the others."""
        mark = journal.begin(KEY, PUT, reproducible=True)
        journal.settle(mark, {"us": None, "eu": DOWN})

        assert journal.rows(KEY)["eu"].reproducible

    def test_a_full_journal_refuses(self, make) -> None:
        """Loudly, before anything is written; what has rows may be written again."""
        journal = make(capacity=3)
        write(journal, failed=("us", "eu"))

        with pytest.raises(FullError, match="full: 2 of 3"):
            journal.begin(OTHER, PUT)

        assert journal.rows(OTHER) == {}
        write(journal, failed=("eu",))
        journal.begin(OTHER, PUT)

    def test_a_full_journal_does_not_disturb_readers(self, make) -> None:
        """A read that found a replica lacking has succeeded."""
        journal = make(capacity=1)
        journal.lack(KEY, ["eu"])

        assert not journal.lack(OTHER, ["eu"])

    def test_everything_pending_is_listed_once(self, journal) -> None:
        """However much it is, by object, for one replica or all."""
        keys = [KEY._replace(object_id=number) for number in range(620)]
        for key in keys:
            write(journal, failed=("us", "eu"), key=key)
        write(journal, failed=("eu",), key=OTHER._replace(width=1))

        rows = list(journal.pending())

        assert len(rows) == 2 * 620 + 1
        assert len({(row.key, row.replica) for row in rows}) == len(rows)
        seen: list[Key] = []
        for row in rows:
            if not seen or seen[-1] != row.key:
                seen.append(row.key)
        assert len(seen) == len(set(seen)) == 621
        assert len(list(journal.pending("us"))) == 620
        assert {row.replica for row in journal.pending("eu")} == {"eu"}

    def test_the_backlog_is_summed_up(self, journal, clock) -> None:
        """Rows, doubts, age and the last error of each replica."""
        began = clock.time()
        write(journal, failed=("eu",))
        clock.advance(60)
        journal.begin(OTHER, PUT)
        journal.blame(journal.rows(KEY)["eu"], "refused", clock.time())

        backlogs = journal.backlogs()

        eu, us = backlogs["eu"], backlogs["us"]
        assert (eu.rows, eu.in_doubt, eu.oldest) == (2, 1, began)
        assert eu.last_error == "refused"
        assert (us.rows, us.in_doubt, us.last_error) == (1, 1, None)

    def test_objects_with_few_copies_are_counted(self, journal) -> None:
        """Deleted ones are not at risk."""
        write(journal, failed=("eu",))
        write(journal, DELETE, failed=("eu",), key=OTHER)

        assert journal.short_of(1) == 1
        assert journal.short_of(2) == 0

    @pytest.mark.parametrize(
        "key",
        [
            Key("type with spaces", -(10**40), 1, 1, "image/png"),
            Key("nested/type", 0, 0, -1, "application/x+y"),
            Key("ünïcode 字 %_*'\"", 1, 1, 1, "image/png"),
        ],
        ids=["spaces", "slash", "unicode"],
    )
    def test_unusual_keys_are_kept_apart(self, journal, key) -> None:
        """Any valid key comes back as it was."""
        assert key_of(name_of(key)) == key
        write(journal, failed=("eu",), key=key)

        assert [row.key for row in journal.pending()] == [key]
        assert missed(journal, key) == {"eu": "put"}

    def test_one_holds_a_lease(self, journal) -> None:
        """Of each object; others do not wait for it."""
        lease = journal.lease(KEY, 0)

        assert lease is not None
        assert journal.lease(KEY, 0.01) is None
        with journal.lease(OTHER, 0):
            pass
        lease.release()
        with journal.lease(KEY, 0):
            pass

    def test_a_lease_may_be_released_by_another_thread(self, journal) -> None:
        """The last call of a write to come back ends it."""
        lease = journal.lease(KEY, 0)
        thread = threading.Thread(target=lease.release)
        thread.start()

        with journal.lease(KEY, 10):
            thread.join()

    def test_nothing_is_lost_among_threads(self, make) -> None:
        """Every step is atomic: the count agrees with the rows."""
        journal = make(capacity=1000)
        keys = [KEY._replace(object_id=number) for number in range(8)]

        def work(number: int) -> None:
            for turn in range(12):
                key = keys[(number + turn) % 8]
                with journal.lease(key, 10):
                    write(journal, failed=("eu",) if turn % 2 else (), key=key)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, range(8)))

        rows = list(journal.pending())
        assert len({row.sequence for row in rows}) == len(rows)
        for row in rows:
            assert journal.clear(row)
        left = [KEY._replace(width=number) for number in range(500)]
        for key in left:  # fails early if the count has drifted
            write(journal, failed=("us", "eu"), key=key)

    def test_a_capacity_is_positive(self, make) -> None:
        """Else no write could ever be marked."""
        with pytest.raises(ConfigError, match="capacity"):
            make(capacity=0)


class TestMemoryJournal(JournalContract):
    @pytest.fixture
    def make(self, clock):
        return lambda **options: MemoryJournal(clock=clock, **options)


class TestSQLiteJournal(JournalContract):
    @pytest.fixture
    def make(self, clock, tmp_path):
        made = []

        def make(**options) -> SQLiteJournal:
            options.setdefault("clock", clock)
            made.append(SQLiteJournal(tmp_path / "journal.db", **options))
            return made[-1]

        yield make
        for journal in made:
            journal.close()

    def test_a_constructor_touches_nothing(self, tmp_path) -> None:
        """Constructors are free."""
        SQLiteJournal(tmp_path / "journal.db")

        assert list(tmp_path.iterdir()) == []

    def test_rows_outlive_the_journal(self, make) -> None:
        """Another one on the same file, as after a restart, knows them all."""
        journal = make()
        mark = journal.begin(KEY, PUT, reproducible=True)
        journal.settle(mark, {"us": None, "eu": DOWN})
        before = journal.rows(KEY)
        journal.close()

        assert make().rows(KEY) == before

    def test_a_closed_journal_opens_again(self, journal) -> None:
        """Two stores may share one, and close it one after the other."""
        write(journal, failed=("eu",))
        journal.close()
        journal.close()

        assert missed(journal) == {"eu": "put"}

    def test_journals_on_one_file_see_each_other_at_once(self, make) -> None:
        """No cache stands between a process and what another one has marked."""
        one, other = make(), make()
        write(one, failed=("eu",))
        assert missed(other) == {"eu": "put"}

        write(other)
        assert missed(one) == {}

    def test_journals_on_one_file_share_leases(self, make) -> None:
        """Also in one process, where the operating system's locks would not tell."""
        one, other = make(), make()
        with one.lease(KEY, 0):
            assert other.lease(KEY, 0.01) is None
        with other.lease(KEY, 0):
            assert one.lease(KEY, 0.01) is None

    def test_a_lease_ends_with_the_process_that_holds_it(self, make, tmp_path) -> None:
        """Killed, not after some time: who is merely slow is not taken for dead."""
        journal = make()
        holder = run_with(
            tmp_path,
            """
            lease = journal.lease(KEY, 10)
            print("held", flush=True)
            input()
            """,
        )
        with holder:
            assert holder.stdout.readline() == "held\n"
            assert journal.lease(KEY, 0.05) is None
            with journal.lease(OTHER, 0):
                pass
            holder.kill()
            with journal.lease(KEY, 10):
                pass

    def test_a_fork_has_its_own_connections_and_leases(self, make, tmp_path) -> None:
        """Parent and child go on writing, and exclude each other."""
        journal = make()
        process = run_with(
            tmp_path,
            """
            import os
            journal.begin(KEY, {"us": "put", "eu": "put"})
            lease = journal.lease(KEY, 10)
            child = os.fork()
            if not child:
                busy = journal.lease(KEY, 0.01) is None
                for number in range(100, 150):
                    key = KEY._replace(object_id=number)
                    with journal.lease(key, 10):
                        journal.begin(key, {"child": "put"})
                os._exit(0 if busy and len(journal.rows(KEY)) == 2 else 1)
            for number in range(100, 150):
                journal.begin(KEY._replace(width=number), {"parent": "put"})
            _, status = os.waitpid(child, 0)
            lease.release()
            journal.lease(KEY, 0).release()
            print(os.waitstatus_to_exitcode(status), flush=True)
            """,
        )
        with process:
            output, errors = process.communicate(timeout=60)

        assert (output, errors) == ("0\n", "")
        assert len(list(journal.pending("child"))) == 50
        assert len(list(journal.pending("parent"))) == 50

    def test_a_child_leaves_its_parents_connections_alone(self, journal) -> None:
        """It opens its own, waits for no lock, and does not close what it inherited."""
        database = journal._database
        with database.reading() as parents:
            pass
        database._writing.acquire()

        database.after_fork()

        write(journal, failed=("eu",))
        with database.reading() as childs:
            assert childs is not parents
        assert parents.execute("SELECT count(*) FROM pending").fetchone() == (1,)
        parents.close()

    def test_processes_share_a_file(self, make, tmp_path) -> None:
        """Several may make it at once, and none loses a row."""
        program = """
            input()
            for number in range(40):
                journal.begin(KEY._replace(object_id=number), {sys.argv[2]: "put"})
            """
        names = [str(number) for number in range(4)]
        processes = [run_with(tmp_path, program, name) for name in names]
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        for process in processes:
            with process:
                assert process.communicate(timeout=60) == ("", "")

        journal = make()
        assert [backlog.rows for backlog in journal.backlogs().values()] == [40] * 4
        sequences = {row.sequence for row in journal.pending()}
        assert max(sequences) == 160

    def test_a_missing_directory_is_told(self, tmp_path) -> None:
        """Not made: it may be a disk that is not mounted."""
        journal = SQLiteJournal(tmp_path / "missing" / "journal.db")

        for use in (
            lambda: journal.begin(KEY, PUT),
            lambda: journal.rows(KEY),
            lambda: journal.lease(KEY, 0),
        ):
            with pytest.raises(MisconfiguredError, match=r"missing.*does not exist"):
                use()

    def test_a_newer_schema_is_refused(self, make, tmp_path) -> None:
        """Saying which version it has and which one is known."""
        write(make(), failed=("eu",))
        with sqlite3.connect(tmp_path / "journal.db") as connection:
            connection.execute("PRAGMA user_version = 7")
        connection.close()

        with pytest.raises(MisconfiguredError, match=r"schema 7.*knows 1"):
            make().rows(KEY)

    def test_another_database_is_refused(self, make, tmp_path) -> None:
        """And left as it is."""
        with sqlite3.connect(tmp_path / "journal.db") as connection:
            connection.execute("CREATE TABLE users (name TEXT)")
        connection.close()
        before = (tmp_path / "journal.db").read_bytes()

        with pytest.raises(MisconfiguredError, match="no journal"):
            make().begin(KEY, PUT)

        assert (tmp_path / "journal.db").read_bytes() == before

    def test_a_file_of_something_else_is_refused(self, make, tmp_path) -> None:
        """It is a wrong path, not an outage."""
        (tmp_path / "journal.db").write_bytes(b"no database, but long enough" * 100)

        with pytest.raises(MisconfiguredError, match="not a database"):
            make().begin(KEY, PUT)

    def test_damage_is_told_as_an_outage(self, make, tmp_path) -> None:
        """Never as absence, nor as an error that a store does not know."""
        journal = make()
        for number in range(200):
            write(journal, failed=("eu",), key=KEY._replace(object_id=number))
        with sqlite3.connect(tmp_path / "journal.db") as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        journal.close()
        content = bytearray((tmp_path / "journal.db").read_bytes())
        content[4096:] = b"\xa5" * (len(content) - 4096)
        (tmp_path / "journal.db").write_bytes(content)

        with pytest.raises(UnavailableError, match="malformed") as raised:
            make().begin(KEY, PUT)

        assert not raised.value.retryable

    def test_a_full_disk_is_told(self, make) -> None:
        """Nothing of what did not fit is there."""
        journal = make()
        journal.begin(KEY, PUT)
        with journal._database.reading() as connection:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            connection.execute(f"PRAGMA max_page_count = {pages}")

        def fill() -> None:
            for number in range(1000):
                journal.begin(KEY._replace(object_id=number), PUT)

        with pytest.raises(FullError, match="disk is full"):
            fill()
        assert {len(journal.rows(row.key)) for row in journal.pending()} == {2}

    def test_a_file_that_another_process_locks_is_busy(self, make, tmp_path) -> None:
        """For a bounded time, and worth another attempt; readers go on."""
        journal = make(busy=0.02)
        write(journal, failed=("eu",))
        other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(UnavailableError, match="locked") as raised:
            journal.begin(KEY, PUT)

        assert raised.value.retryable
        assert missed(journal) == {"eu": "put"}
        other.execute("ROLLBACK")
        other.close()
        write(journal)

    def test_a_file_that_goes_away_stops_writes(self, journal, tmp_path) -> None:
        """An empty one in its place would have forgotten what is pending."""
        write(journal, failed=("eu",))
        (tmp_path / "journal.db").rename(tmp_path / "elsewhere.db")

        with pytest.raises(MisconfiguredError, match="removed or replaced"):
            journal.begin(KEY, PUT)

        (tmp_path / "elsewhere.db").rename(tmp_path / "journal.db")
        write(journal)

    @pytest.mark.parametrize(
        ("durability", "level"), [("process", 1), ("power", 2)], ids=str
    )
    def test_durability_decides_about_the_flush(self, make, durability, level) -> None:
        """SQLite's NORMAL or FULL, with a write-ahead log."""
        journal = make(durability=durability)
        write(journal)

        with journal._database.reading() as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    def test_an_unknown_durability_is_refused(self, tmp_path) -> None:
        """With the words there are."""
        with pytest.raises(ConfigError, match="process or power"):
            SQLiteJournal(tmp_path / "journal.db", durability="none")

    def test_a_lock_file_that_cannot_be_made_is_no_absence(self, tmp_path) -> None:
        """A delete must not take a missing file for a missing object."""
        (tmp_path / "journal.db-locks").mkdir()
        journal = SQLiteJournal(tmp_path / "journal.db")

        with pytest.raises(StoreError, match="locks") as raised:
            journal.lease(KEY, 0)

        assert not isinstance(raised.value, FileNotFoundError)


def run_with(tmp_path, program: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a Python that has *program*'s ``journal`` and ``KEY``."""
    head = """
        import sys
        from tiered_store.journals.sqlite import SQLiteJournal
        from tiered_store.key import Key
        KEY = Key("comics.cover", 5, 30, 40, "image/png")
        journal = SQLiteJournal(sys.argv[1])
        """
    source = textwrap.dedent(head) + textwrap.dedent(program)
    return subprocess.Popen(
        [sys.executable, "-c", source, str(tmp_path / "journal.db"), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_row_tells_whether_its_replica_is_behind() -> None:
    """Only a doubt that found it up to date leaves it believed."""
    row = Row(replica="eu", key=KEY, verb="put", intent="put", sequence=1, since=0.0)

    assert row.behind
    assert not dataclasses.replace(row, verb="in_doubt").behind
    assert not dataclasses.replace(row, verb="in_doubt", prior="in_doubt").behind
    assert dataclasses.replace(row, verb="in_doubt", prior="drop").behind


def test_a_fork_in_the_middle_of_a_transaction_leaves_the_child_able(tmp_path) -> None:
    """The child would inherit a lock that nobody in it can release."""
    journal = SQLiteJournal(str(tmp_path / "journal.db"))
    journal.begin(KEY, {"us": "put"})
    stop = threading.Event()

    def write_on() -> None:
        while not stop.is_set():
            journal.begin(KEY, {"us": "put"})

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    with deadline(5):
                        journal.begin(KEY, {"us": "put"})
                    status = 0
                finally:
                    os._exit(status)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        writer.join()
    journal.close()


def test_a_deadline_holds_while_others_write(tmp_path) -> None:
    """Also when the wait is for SQLite's own lock."""
    path = str(tmp_path / "journal.db")
    journal = SQLiteJournal(path)
    journal.begin(KEY, {"us": "put"})
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with deadline(0.2), pytest.raises(StoreError):
            journal.begin(KEY, {"us": "put"})
    finally:
        other.execute("ROLLBACK")
        other.close()
    journal.begin(KEY, {"us": "put"})
    journal.close()
