"""
What every journal promises, and what the SQLite file does besides.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
import threading

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.backends.s3 import S3Store
from tiered_store.deadlines import deadline
from tiered_store.errors import (
    ConfigError,
    FullError,
    MisconfiguredError,
    StoreError,
    UnavailableError,
)
from tiered_store.journals.memory import MemoryJournal
from tiered_store.journals.row import Row
from tiered_store.journals.schema import prepare
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.testing.faults import FaultStore
from tiered_store.testing.journals import (
    DOWN,
    KEY,
    OTHER,
    PUT,
    JournalConformance,
    missed,
    write,
)
from tiered_store.wrappers.replicated import ReplicatedStore
from tiered_store.wrappers.timeout import TimeoutStore


_SCHEMA_2 = """
CREATE TABLE state AS SELECT identity, sequence, size
    FROM journal, pending WHERE key = '';
DROP TABLE journal;
DELETE FROM pending WHERE key = '';
PRAGMA user_version = 2;
"""
AS_BEFORE = {  # what makes a file of that schema of one of today
    1: f"{_SCHEMA_2} ALTER TABLE pending DROP COLUMN size; PRAGMA user_version = 1;",
    2: _SCHEMA_2,
}


class TestMemoryJournal(JournalConformance):
    @pytest.fixture
    def make(self, clock):
        return lambda **options: MemoryJournal(clock=clock, **options)


class TestSQLiteJournal(JournalConformance):
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
        rows = "SELECT count(*) FROM pending WHERE key > ''"
        assert parents.execute(rows).fetchone() == (1,)
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

    @pytest.mark.parametrize("schema", [1, 2])
    def test_the_file_of_before_is_taken_over(self, make, tmp_path, schema) -> None:
        """With what it knows, and goes on counting; rows of schema 1 have no size."""
        write(make(), failed=("eu",))
        born = make().born()
        sequence = make().rows(KEY)["eu"].sequence
        with sqlite3.connect(tmp_path / "journal.db") as connection:
            connection.executescript(AS_BEFORE[schema])
        connection.close()

        journal = make(capacity=2)

        assert missed(journal) == {"eu": "put"}
        assert journal.born() == born
        assert journal.rows(KEY)["eu"].size == 0
        with pytest.raises(FullError, match="1 of 2 rows"):
            journal.begin(KEY._replace(object_id=9), PUT)
        assert journal.begin(KEY, PUT, size=8).sequence > sequence
        assert make().rows(KEY)["eu"].size == 8

    def test_a_newer_schema_is_refused(self, make, tmp_path) -> None:
        """Saying which version it has and which one is known."""
        write(make(), failed=("eu",))
        with sqlite3.connect(tmp_path / "journal.db") as connection:
            connection.execute("PRAGMA user_version = 7")
        connection.close()

        with pytest.raises(MisconfiguredError, match=r"schema 7.*knows 3"):
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
        with pytest.raises(ConfigError, match="'process' or 'power'"):
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
    assert not row._replace(verb="in_doubt").behind
    assert not row._replace(verb="in_doubt", prior="in_doubt").behind
    assert row._replace(verb="in_doubt", prior="drop").behind


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


@pytest.mark.parametrize(
    ("replica", "options", "quarantine"),
    [
        (MemoryStore(), {}, 0.0),
        (FaultStore(MemoryStore()), {}, 0.0),
        (TimeoutStore(MemoryStore(), 1.0), {}, 60.0),
        (S3Store("bucket"), {}, 60.0),
        (S3Store("bucket"), {"quarantine": 5.0}, 5.0),
        (MemoryStore(), {"quarantine": 5.0}, 5.0),
    ],
)
def test_a_file_waits_for_requests_where_there_are_any(
    replica, options, quarantine, tmp_path
) -> None:
    """A request to another host may arrive when its sender is dead."""
    journal = SQLiteJournal(str(tmp_path / "journal.db"), **options)
    ReplicatedStore({"us": MemoryStore(), "eu": replica}, journal=journal)

    assert journal.quarantine == quarantine


def test_a_journal_that_another_process_makes_just_now_is_one(tmp_path) -> None:
    """Between two questions about a file that was empty there is no journal yet."""
    path = str(tmp_path / "journal.db")
    other = SQLiteJournal(path)
    quicker = threading.Thread(target=lambda: list(other.pending()))

    class Overtaken(sqlite3.Connection):
        """Another one makes the journal before the last question, if it can."""

        def execute(self, statement, *arguments):
            if "count(*) FROM sqlite_schema" in statement and not quicker.ident:
                quicker.start()
                quicker.join(0.5)  # until it is done, or waits for us
            return super().execute(statement, *arguments)

    connection = sqlite3.connect(
        path, isolation_level=None, factory=Overtaken, check_same_thread=False
    )
    prepare(connection, path, flush=False, busy=5.0)
    quicker.join()
    assert connection.execute("PRAGMA user_version").fetchone() == (3,)
    connection.close()
    other.close()
