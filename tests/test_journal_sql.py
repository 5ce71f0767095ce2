"""
A journal in a database: what every one promises, on PostgreSQL and on SQLite.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import tempfile
import textwrap

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from sqlalchemy import text

from tests.fleets_of_journals import (
    FleetRules,
    Process,
    TimedRules,
    campaign,
    check_release_in_no_time,
    crowd,
)
from tests.servers.postgres import PostgresServer
from tests.servers.postgres import _starting as starting
from tests.waiting import succeeds, until
from tiered_store.clock import SYSTEM
from tiered_store.config import build
from tiered_store.deadlines import deadline
from tiered_store.errors import (
    ConfigError,
    DeadlineError,
    DeniedError,
    MisconfiguredError,
    ReadOnlyError,
    StoreError,
    UnavailableError,
)
from tiered_store.journals import sql as module
from tiered_store.journals.sql import SQLJournal
from tiered_store.key import Key
from tiered_store.testing.journals import (
    DOWN,
    KEY,
    OTHER,
    PUT,
    JournalConformance,
    held,
    missed,
    write,
)


pytestmark = pytest.mark.servers

_numbers = itertools.count()


@pytest.fixture
def prefix() -> str:
    """The names of one test's tables."""
    return f"journal_{os.getpid()}_{next(_numbers)}_"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A server that a test may freeze and kill, if it starts it again."""
    with starting(tmp_path_factory.mktemp("own")) as start:
        yield start()


@pytest.fixture
def journal(own: PostgresServer, prefix: str) -> Iterator[SQLJournal]:
    """A journal on it, whose quarantine is nothing."""
    journal = SQLJournal(own.url, prefix=prefix, quarantine=0)
    yield journal
    journal.close()


@contextlib.contextmanager
def maker(url: str, clock: object, **given: object) -> Iterator[object]:
    """Yield what makes journals that are closed with the block."""
    with contextlib.ExitStack() as made:

        def make(**options: object) -> SQLJournal:
            journal = SQLJournal(url, quarantine=0, clock=clock, **{**given, **options})
            made.callback(journal.close)
            return journal

        yield make


class TestOnPostgres(JournalConformance, FleetRules):
    @pytest.fixture
    def make(self, postgres_server, prefix, clock):
        with maker(postgres_server.url, clock, prefix=prefix) as make:
            yield make

    @pytest.fixture
    def describe(self, postgres_server, prefix):
        return lambda: (
            f"SQLJournal({postgres_server.url!r}, prefix={prefix!r}, quarantine=0)"
        )


class TestLeasesInATable(TimedRules):
    """As behind a pooler of transactions."""

    @pytest.fixture
    def hasty(self, postgres_server, prefix):
        options = {"prefix": prefix, "leases": "table", "lease_ttl": 0.5}
        with maker(postgres_server.url, SYSTEM, **options) as make:
            yield make

    @pytest.fixture
    def lose(self, postgres_server, prefix):
        return lambda: postgres_server.ask(f"DELETE FROM {prefix}journal_leases")

    @staticmethod
    def leases(journal):
        return journal._ledger._leases

    def test_who_is_killed_keeps_a_lease_for_a_while(
        self, hasty, postgres_server, prefix
    ) -> None:
        """Then somebody else takes it over."""
        journal = hasty()
        journal.rows(KEY)  # so that it need not connect while the lease lasts
        with Process(
            f"SQLJournal({postgres_server.url!r}, prefix={prefix!r}, leases='table', "
            "lease_ttl=2)",
            """
            lease = held(journal, KEY, 0)
            say("held")
            wait()
            """,
        ) as process:
            assert process.line() == "held"
            process.popen.kill()
            process.popen.wait()

        assert journal.lease(KEY, 0) is None
        held(journal, KEY, 60).release()


class TestOnSQLite(JournalConformance):
    """In memory, of the machine: a disk takes milliseconds a transaction."""

    @pytest.fixture
    def url(self) -> Iterator[str]:
        fast = "/dev/shm" if os.path.isdir("/dev/shm") else None
        with tempfile.TemporaryDirectory(dir=fast) as folder:
            yield f"sqlite:///{folder}/journal.db"

    @pytest.fixture
    def make(self, url, clock):
        with maker(url, clock) as make:
            yield make


# -- a database that fails --------------------------------------------------------


def test_a_server_that_is_killed_keeps_the_rows(own, journal) -> None:
    """In the middle of a write, which is settled when it is back."""
    lease = held(journal, KEY, 0)
    mark = journal.begin(KEY, PUT)
    own.kill()

    for use in (
        lambda: journal.rows(KEY),
        lambda: journal.lease(OTHER, 0),
        lambda: journal.settle(mark, {"us": None, "eu": DOWN}),
    ):
        with pytest.raises(UnavailableError):
            use()
    own.start()

    assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}
    journal.settle(mark, {"us": None, "eu": DOWN})
    lease.release()
    assert missed(journal) == {"eu": "put"}


def test_connections_that_broke_while_idle_are_replaced(own, journal) -> None:
    """Nobody sees that a database was restarted at night."""
    held(journal, KEY, 0).release()
    journal.begin(KEY, PUT)
    own.kill()
    own.start()

    held(journal, KEY, 0).release()
    assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}


def test_a_frozen_server_is_waited_for_so_long(own, prefix) -> None:
    """Its timeout, or the caller's deadline if that is less; then it goes on."""
    journal, fresh = (SQLJournal(own.url, prefix=prefix, timeout=0.4) for _ in range(2))
    until(lambda: succeeds(lambda: held(journal, KEY, 0).release()))
    until(lambda: succeeds(lambda: journal.begin(KEY, PUT)))
    own.freeze()
    try:
        for use in (  # each of which ends while it still is frozen
            lambda: journal.rows(KEY),
            lambda: journal.begin(KEY, PUT),
            lambda: journal.lease(KEY, 5),
            lambda: fresh.rows(KEY),
        ):
            with deadline(0.1), pytest.raises(DeadlineError):
                use()
            with pytest.raises(UnavailableError, match=r"within 0\.4 s"):
                use()
    finally:
        own.thaw()

    until(lambda: succeeds(lambda: missed(journal)))
    assert patiently_missed(own, prefix) == {"us": "in_doubt", "eu": "in_doubt"}
    until(lambda: succeeds(lambda: held(journal, KEY, 0).release()))
    journal.close()
    fresh.close()


def test_a_server_that_freezes_while_it_is_met_is_waited_for_so_long(
    own, prefix
) -> None:
    """SQLAlchemy asks it who it is, and would wait for that for ever."""
    journal = SQLJournal(own.url, prefix=prefix, timeout=0.4)
    database = journal._ledger._database
    begin = database._begin_session

    def begin_and_freeze(connection) -> None:
        begin(connection)
        own.freeze()

    database._begin_session = begin_and_freeze
    try:
        with pytest.raises(UnavailableError, match=r"within 0\.4 s"):
            journal.rows(KEY)
    finally:
        own.thaw()

    database._begin_session = begin
    until(lambda: succeeds(lambda: missed(journal)))
    assert patiently_missed(own, prefix) == {}
    journal.close()


def test_a_commit_without_an_answer_is_ambiguous(own, prefix) -> None:
    """It may be there; what was not yet to be committed is not."""
    journal = SQLJournal(own.url, prefix=prefix, timeout=1)
    until(lambda: succeeds(lambda: journal.begin(OTHER, PUT)))
    frozen: list[bool] = []

    def rule(rows, fresh) -> None:
        own.freeze()
        frozen.append(True)

    while not frozen:  # in time
        try:
            with pytest.raises(UnavailableError) as raised:
                journal._update(KEY, rule)
        finally:
            own.thaw()

    assert raised.value.ambiguous
    assert patiently_missed(own, prefix, OTHER) == {"us": "in_doubt", "eu": "in_doubt"}
    journal.close()


def test_who_holds_a_row_too_long_is_waited_for_so_long(own, journal) -> None:
    """Somebody stopped in the middle of a transaction; others do not hang on it."""
    journal.begin(KEY, PUT)
    hasty = SQLJournal(own.url, prefix=journal.prefix, timeout=0.3)
    until(lambda: succeeds(lambda: hasty.rows(KEY)))

    def rule(rows, fresh) -> None:
        with pytest.raises(UnavailableError) as raised:
            hasty.begin(KEY, PUT)
        assert not raised.value.ambiguous
        with deadline(0.1), pytest.raises(DeadlineError):
            hasty.begin(KEY, PUT)

    journal._update(KEY, rule)
    until(lambda: succeeds(lambda: hasty.begin(KEY, PUT)))
    hasty.close()


def patiently_missed(own, prefix: str, key: Key = KEY) -> dict[str, str]:
    """Return what is in the tables, as somebody reads who is in no hurry."""
    journal = SQLJournal(own.url, prefix=prefix)
    try:
        return missed(journal, key)
    finally:
        journal.close()


POSTGRES = "postgresql+psycopg://{}@127.0.0.1:{}/{}"
OTHER_DRIVER = POSTGRES.replace("psycopg", "pg8000")


@pytest.mark.parametrize(
    ("url", "kind", "told"),
    [
        (POSTGRES.format("postgres", 1, "postgres"), UnavailableError, "refused"),
        (POSTGRES.format("postgres", "PORT", "nix"), MisconfiguredError, "nix"),
        (POSTGRES.format("nobody", "PORT", "postgres"), MisconfiguredError, "nobody"),
        (POSTGRES.format("limited", "PORT", "postgres"), DeniedError, "permission"),
        (POSTGRES.format("locked", "PORT", "postgres"), DeniedError, "log in"),
        (POSTGRES.format("reader", "PORT", "postgres"), ReadOnlyError, "read-only"),
        (OTHER_DRIVER.format("postgres", 1, "postgres"), UnavailableError, "127.0"),
        (OTHER_DRIVER.format("postgres", "PORT", "nix"), MisconfiguredError, "nix"),
        (OTHER_DRIVER.format("limited", "PORT", "postgres"), DeniedError, "permission"),
        ("sqlite:////nowhere/journal.db", MisconfiguredError, "unable to open"),
    ],
)
def test_what_a_database_says_is_in_our_words(roles, url, kind, told) -> None:
    """Whichever driver says it; an outage is one, and the rest is not."""
    journal = SQLJournal(url.replace("PORT", str(roles.port)), prefix="strange_")

    for use in (
        lambda: journal.begin(KEY, PUT),
        lambda: journal.rows(KEY),
        lambda: journal.lease(KEY, 0),
    ):
        with pytest.raises(StoreError, match=told) as raised:
            use()
        assert type(raised.value) is kind
    journal.close()


@pytest.fixture(scope="module")
def roles(postgres_server: PostgresServer) -> PostgresServer:
    """A server that knows some who may less than others."""
    for statement in (
        "CREATE ROLE limited LOGIN",
        "CREATE ROLE locked NOLOGIN",
        "CREATE ROLE reader LOGIN",
        "ALTER ROLE reader SET default_transaction_read_only = on",
        "GRANT CREATE ON SCHEMA public TO reader",
    ):
        postgres_server.ask(statement)
    return postgres_server


def test_another_driver_will_do(postgres_server, prefix) -> None:
    """Whatever SQLAlchemy has for the database."""
    url = postgres_server.url.replace("psycopg", "pg8000")
    journal = SQLJournal(url, prefix=prefix, timeout=30)

    with held(journal, KEY, 0):
        write(journal, failed=("eu",))
    assert missed(journal) == {"eu": "put"}
    journal.close()


def test_a_file_that_somebody_else_locks_is_busy(tmp_path) -> None:
    """For a bounded time."""
    url = f"sqlite:///{tmp_path}/journal.db"
    journal, hasty = SQLJournal(url), SQLJournal(url, timeout=0.1)
    journal.begin(KEY, PUT)
    until(lambda: succeeds(lambda: hasty.rows(KEY)))

    def locked() -> bool:
        with pytest.raises(UnavailableError) as raised:
            hasty.begin(KEY, PUT)
        return "locked" in raised.value.message  # else nobody found out in time

    journal._update(KEY, lambda rows, fresh: until(locked))
    journal.close()
    hasty.close()


def test_a_child_leaves_its_parents_connections_alone(postgres_server, prefix) -> None:
    """It opens its own, and does not close what it inherited."""
    journal = SQLJournal(postgres_server.url, prefix=prefix)
    database = journal._ledger._database

    def backend() -> int:
        return int(database.look(text("SELECT pg_backend_pid()"))[0][0])

    parents = backend()
    assert backend() == parents

    database.after_fork()

    assert backend() != parents
    where = f"FROM pg_stat_activity WHERE pid = {parents} AND state = 'idle'"
    assert postgres_server.ask(f"SELECT count(*) {where}") == [(1,)]
    journal.close()


def test_no_more_connections_than_asked_for(postgres_server, prefix) -> None:
    """Who finds none waits for one; not for ever."""
    journal = SQLJournal(postgres_server.url, prefix=prefix, connections=1, timeout=0.3)
    until(lambda: succeeds(lambda: journal.rows(KEY)))

    with journal._ledger._database._slot():
        with pytest.raises(UnavailableError, match="all 1 connections") as raised:
            journal.rows(KEY)
        with deadline(0.01), pytest.raises(DeadlineError):
            journal.rows(KEY)

    assert raised.value.local
    until(lambda: succeeds(lambda: missed(journal)))
    journal.close()


def test_what_is_in_use_when_it_is_closed_is_closed_afterwards(journal) -> None:
    """Not some day, when the garbage is collected."""
    database = journal._ledger._database

    def work(turn) -> object:
        journal.close()
        turn.execute(text("SELECT 1"))
        return turn.connection.connection.driver_connection

    assert database.change(work).closed


def test_the_last_lease_ends_the_session_of_one_that_is_closed(journal) -> None:
    """What is held when it is closed is held on until then."""
    first, last = held(journal, KEY, 0), held(journal, Key("a", 1, 2, 3, "b/c"), 0)
    session = journal._ledger._leases._session._connection
    connection = session.connection.driver_connection
    journal.close()

    first.release()
    assert not connection.closed
    last.release()
    assert connection.closed


# -- its tables -------------------------------------------------------------------


def test_the_tables_of_before_are_taken_over(postgres_server, prefix) -> None:
    """With what they know; rows of then have no size."""
    journal = SQLJournal(postgres_server.url, prefix=prefix)
    journal.begin(KEY, PUT, size=7)
    journal.close()
    postgres_server.ask(f"ALTER TABLE {prefix}journal_rows DROP COLUMN size")
    postgres_server.ask(f"UPDATE {prefix}journal SET version = 1")
    others = [SQLJournal(postgres_server.url, prefix=prefix) for _ in range(2)]

    with ThreadPoolExecutor() as threads:
        found = list(threads.map(lambda other: other.rows(KEY), others))

    assert [rows["us"].size for rows in found] == [0, 0]
    others[0].begin(KEY, PUT, size=8)
    assert others[1].backlogs()["us"].size == 8
    for other in others:
        other.close()


def test_a_newer_schema_is_refused(postgres_server, prefix) -> None:
    """Saying which version it has and which one is known."""
    journal = SQLJournal(postgres_server.url, prefix=prefix)
    journal.begin(KEY, PUT)
    postgres_server.ask(f"UPDATE {prefix}journal SET version = 7")
    other = SQLJournal(postgres_server.url, prefix=prefix)

    with pytest.raises(MisconfiguredError, match=r"schema 7.*knows 2"):
        other.rows(KEY)
    journal.close()
    other.close()


@pytest.mark.parametrize("table", ["journal", "journal_shards"])
def test_tables_that_were_emptied_are_refused(postgres_server, prefix, table) -> None:
    """Nobody knows what was pending."""
    journal = SQLJournal(postgres_server.url, prefix=prefix)
    journal.begin(KEY, PUT)
    postgres_server.ask(f"DELETE FROM {prefix}{table}")

    with pytest.raises(MisconfiguredError, match="removed or replaced"):
        journal.begin(KEY, PUT)
    journal.close()


def test_tables_that_were_dropped_are_refused(postgres_server, prefix) -> None:
    """Before and after others have taken their place."""
    journal = SQLJournal(postgres_server.url, prefix=prefix)
    journal.begin(KEY, PUT)
    for table in ("journal", "journal_shards", "journal_rows", "journal_leases"):
        postgres_server.ask(f"DROP TABLE {prefix}{table}")
    with pytest.raises(MisconfiguredError, match="does not exist"):
        journal.begin(KEY, PUT)
    other = SQLJournal(postgres_server.url, prefix=prefix)
    other.begin(KEY, PUT)

    with pytest.raises(MisconfiguredError, match="removed or replaced"):
        journal.begin(KEY, PUT)
    journal.close()
    other.close()


def test_who_was_killed_while_making_the_tables_is_followed(
    postgres_server, prefix
) -> None:
    """Some databases make each table by itself."""
    journal = SQLJournal(postgres_server.url, prefix=prefix)
    tables = journal._ledger._tables
    journal._ledger._database.change(
        lambda turn: tables.metadata.create_all(turn.connection)
    )

    journal.begin(KEY, PUT)
    journal.close()


def test_any_name_can_be_kept(postgres_server, prefix) -> None:
    """Also one too long for an index, and two that differ in case only."""
    journal = SQLJournal(postgres_server.url, prefix=prefix)
    keys = [
        Key("t" * 5000, -(10**3000), 1, 1, "image/png"),
        Key("Covers", 1, 1, 1, "image/png"),
        Key("covers", 1, 1, 1, "image/png"),
    ]
    for key in keys:
        journal.begin(key, PUT)

    assert {row.key for row in journal.pending("us")} == set(keys)
    journal.close()


# -- leases that are locks of a session ---------------------------------------------


def test_a_lease_ends_with_its_process(postgres_server, prefix) -> None:
    """Killed, not after some time: who is merely stopped is not taken for dead."""
    journal = SQLJournal(postgres_server.url, prefix=prefix)
    with Process(
        f"SQLJournal({postgres_server.url!r}, prefix={prefix!r}, lease_ttl=0.1)",
        """
        lease = held(journal, KEY, 0)
        say("held")
        wait()
        """,
    ) as process:
        assert process.line() == "held"
        process.popen.send_signal(signal.SIGSTOP)
        assert journal.lease(KEY, 0.5) is None
        process.popen.kill()
        held(journal, KEY, 10).release()
    journal.close()


def test_a_lock_is_released_though_the_time_is_up(postgres_server, prefix) -> None:
    """The caller's deadline is often why it is released."""
    one, other = (SQLJournal(postgres_server.url, prefix=prefix) for _ in range(2))

    with held(one, OTHER, 0):
        check_release_in_no_time(one, other)
        assert other.lease(OTHER, 0) is None

    one.close()
    other.close()


def test_who_lost_its_session_finds_out_when_it_ends(postgres_server, prefix) -> None:
    """Two have written, so nobody knows which bytes are where."""
    one, other = (SQLJournal(postgres_server.url, prefix=prefix) for _ in range(2))
    lost = held(one, KEY, 0)
    also = held(one, OTHER, 0)
    slow = one.begin(KEY, PUT)
    postgres_server.ask(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
    )
    with held(other, KEY, 5):
        other.settle(other.begin(KEY, PUT), {"us": None, "eu": None})
    other.quarantine = 0
    one.settle(slow, {"us": None, "eu": None})

    assert missed(other) == {"us": "in_doubt", "eu": "in_doubt"}
    with held(one, KEY._replace(width=1), 0):  # by a session of its own again
        lost.release()
        also.release()
        assert other.lease(KEY._replace(width=1), 0) is None
    one.close()
    other.close()


def test_a_pooler_of_transactions_is_noticed(postgres_server, prefix) -> None:
    """Behind it nobody would hold what it thinks it holds."""
    journal = SQLJournal(postgres_server.url, prefix=prefix)
    held(journal, KEY, 0).release()
    journal._ledger._leases._session._backend += 1

    with pytest.raises(MisconfiguredError, match="leases: table"):
        journal.lease(KEY, 0)
    held(journal, KEY, 0).release()
    journal.close()


def test_journals_of_one_database_do_not_meet(postgres_server, prefix) -> None:
    """Though its locks are for all of it."""
    one = SQLJournal(postgres_server.url, prefix=prefix)
    other = SQLJournal(postgres_server.url, prefix=f"{prefix}2_")
    with held(one, KEY, 0):
        held(other, KEY, 0).release()
    one.close()
    other.close()


# -- over it ------------------------------------------------------------------------


@pytest.mark.timeout(600)
def test_killed_writers_leave_what_can_be_settled(own, tmp_path) -> None:
    """Nothing acknowledged is lost, nothing deleted returns, nothing differs."""
    counts = campaign(tmp_path, own.url, 4)

    assert counts["kills"] == 8
    assert counts["acknowledged"] > 3


@pytest.mark.timeout(600)
def test_writers_of_the_same_objects_leave_equal_replicas(own, tmp_path) -> None:
    """With the last acknowledged bytes, and nothing to repair; reads saw no others."""
    counts = crowd(tmp_path, own.url, 3)

    assert counts == {"seed": 0, "writes": 36, "reads": 36}


# -- how it is made -----------------------------------------------------------------


def test_making_one_touches_nothing(tmp_path) -> None:
    """Constructors are free."""
    SQLJournal(f"sqlite:///{tmp_path}/journal.db")
    SQLJournal("postgresql+psycopg://postgres@127.0.0.1:1/postgres")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"url": "no url"}, "not a URL"),
        ({"url": "nosuchbase://x/y"}, "nosuchbase"),
        ({"url": "mysql+mysqldb://x/y"}, "driver is missing"),
        ({"url": "sqlite://"}, "in memory"),
        ({"url": "sqlite:///:memory:"}, "in memory"),
        ({"url": "postgresql+psycopg_async://x/y"}, "asyncio"),
        ({"url": "sqlite:///x.db", "leases": "session"}, "is for PostgreSQL"),
        ({"url": "sqlite:///x.db", "leases": "no"}, "'session' or 'table'"),
        ({"url": "sqlite:///x.db", "lease_ttl": 0}, "lease_ttl"),
        ({"url": "sqlite:///x.db", "prefix": "a b"}, "prefix"),
        ({"url": "sqlite:///x.db", "timeout": 0}, "timeout"),
        ({"url": "sqlite:///x.db", "connections": 0}, "connections"),
    ],
)
def test_wrong_options_are_refused(options, problem) -> None:
    """With what is right."""
    with pytest.raises(ConfigError, match=problem):
        SQLJournal(**options)


def test_no_secret_is_shown(postgres_server) -> None:
    """Not even in an error, nor for a URL that is none."""
    url = postgres_server.url.replace("postgres@", "nobody:s3cret@")
    journal = SQLJournal(url)
    with pytest.raises(StoreError) as raised:
        journal.rows(KEY)
    assert "s3cret" not in f"{raised.value!r} {vars(journal)}"

    with pytest.raises(ConfigError) as refused:
        SQLJournal("postgresql://me:s3cret@host:port/x")
    assert "s3cret" not in repr(refused.value)
    assert refused.value.__cause__ is None


def test_the_yaml_of_the_module_builds_it(monkeypatch) -> None:
    """As an operator would copy it."""
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://u:p@127.0.0.1:1/x")
    [block] = (module.__doc__ or "").split(".. code-block:: yaml")[1:]
    journal = yaml.safe_load(textwrap.dedent(block.split("\n\n")[1]))
    mirror = {
        "type": "replicated",
        "replicas": {"us": {"type": "memory"}},
        "journal": journal,
    }

    with build({"version": 1, "default": "it", "stores": {"it": mirror}}) as store:
        assert isinstance(store.journal, SQLJournal)
