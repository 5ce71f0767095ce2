"""
A journal in Redis: what every one promises, and which servers it trusts.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import shutil
import textwrap
import time

from collections.abc import Iterator

import pytest
import yaml

from tests.fleets_of_journals import FleetRules, Process, TimedRules, campaign, crowd
from tests.servers.process import free_port
from tests.servers.redis import (
    ClusterSetup,
    RedisServer,
    RedisServers,
    SentinelSetup,
)
from tests.servers.redis import _starting as starting
from tests.waiting import PATIENT, succeeds, until
from tiered_store.config import build
from tiered_store.deadlines import deadline
from tiered_store.errors import (
    ConfigError,
    CorruptError,
    DeadlineError,
    FullError,
    MisconfiguredError,
    UnavailableError,
)
from tiered_store.journals import redis as module
from tiered_store.journals.redis import RedisJournal
from tiered_store.testing.journals import (
    DELETE,
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

# every second, its default, holds back what comes while the disk is slow
LASTING = ("--appendfsync", "always", "--appendonly", "yes")
_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server that keeps what it is told, for all tests that leave it well."""
    with starting(tmp_path_factory.mktemp("journals")) as start:
        yield start(*LASTING)


@pytest.fixture
def own(redis_servers: RedisServers) -> RedisServer:
    """One that a test may harm."""
    return redis_servers(*LASTING)


@pytest.fixture
def prefix() -> str:
    """The names of one test."""
    return f"journal-{next(_numbers)}"


class TestRedisJournal(JournalConformance, FleetRules, TimedRules):
    @pytest.fixture
    def make(self, server, prefix, clock):
        with contextlib.ExitStack() as made:

            def make(**options: object) -> RedisJournal:
                journal = RedisJournal(
                    server.url, prefix=prefix, quarantine=0, clock=clock, **options
                )
                made.callback(journal.close)
                return journal

            yield make

    @pytest.fixture
    def describe(self, server, prefix):
        return lambda: (
            f"RedisJournal({server.url!r}, prefix={prefix!r}, quarantine=0, "
            "lease_ttl=1)"
        )

    @pytest.fixture
    def hasty(self, make):
        return lambda lease_ttl=0.5: make(lease_ttl=lease_ttl)

    @pytest.fixture
    def lose(self, server, prefix):
        def lose() -> None:
            assert server.ask(
                "DEL", f"{{{prefix}}}:lease:comics.cover 5 30 40 image/png"
            )

        return lose

    @staticmethod
    def leases(journal):
        return journal._ledger._leases


def test_all_names_are_in_one_slot_of_a_cluster(cluster_setup: ClusterSetup) -> None:
    """Whatever it is asked, one node can answer."""
    for node in cluster_setup.nodes:
        node.ask("CONFIG", "SET", "appendonly", "yes")
    journal = RedisJournal(
        cluster_setup.url, mode="cluster", prefix="clustered", quarantine=0, **PATIENT
    )
    for number in range(20):
        key = KEY._replace(object_id=number)
        with held(journal, key, 0):
            write(journal, failed=("eu",), key=key)
        journal.blame(journal.rows(key)["eu"], "refused", 1.0)

    assert len(list(journal.pending("eu"))) == 20
    assert journal.backlogs()["eu"].last_error == "refused"
    assert journal.short_of(1) == 20
    assert all(journal.clear(row) for row in journal.pending())
    anxious = RedisJournal(cluster_setup.url, mode="cluster", replicas=1, timeout=2)
    with pytest.raises(UnavailableError, match="0 of 1 replicas"):
        anxious.begin(KEY, PUT)
    for each in (journal, anxious):
        each.close()
    for node in cluster_setup.nodes:
        node.ask("CONFIG", "SET", "appendonly", "no")


# -- which server it trusts ----------------------------------------------------


@pytest.mark.parametrize(
    ("options", "durability", "advice"),
    [
        ((), "process", "CONFIG SET appendonly yes"),
        (("--save", "60 1"), "process", "CONFIG SET appendonly yes"),
        ((), "snapshot", "CONFIG SET appendonly yes"),
        (("--appendonly", "yes"), "power", "CONFIG SET appendfsync always"),
        (
            (*LASTING, "--maxmemory-policy", "allkeys-lru"),
            "process",
            "CONFIG SET maxmemory-policy noeviction",
        ),
        (
            (*LASTING, "--replicaof", "127.0.0.1", "1"),
            "process",
            "the address of that",
        ),
    ],
    ids=["forgets", "snapshots", "nothing", "power", "evicts", "replica"],
)
def test_a_server_that_may_lose_it_is_refused(
    redis_servers, options, durability, advice
) -> None:
    """Before anything is written there, with what to change."""
    server = redis_servers(*options)
    journal = RedisJournal(server.url, durability=durability, **PATIENT)

    for use in (
        lambda: journal.begin(KEY, PUT),
        lambda: journal.rows(KEY),
        lambda: journal.lease(KEY, 0),
    ):
        with pytest.raises(MisconfiguredError, match=advice):
            use()

    assert server.ask("DBSIZE") == 0
    journal.close()


def test_an_outage_of_the_journal_is_told_as_its_own() -> None:
    """Else whoever reads the error of a put would look for a replica that is down."""
    journal = RedisJournal(f"redis://127.0.0.1:{free_port()}")

    with pytest.raises(UnavailableError, match=r"^the journal's server: .*refused"):
        journal.begin(KEY, PUT)
    journal.close()


def test_all_that_is_wrong_is_told_at_once(redis_servers) -> None:
    """Each with the command that cures it."""
    server = redis_servers("--maxmemory-policy", "volatile-ttl")
    journal = RedisJournal(server.url, durability="power", **PATIENT)

    with pytest.raises(MisconfiguredError) as raised:
        journal.begin(KEY, PUT)

    for cure in (
        "maxmemory-policy noeviction",
        "appendonly yes",
        "appendfsync always",
    ):
        assert f"CONFIG SET {cure}" in str(raised.value)
        server.ask("CONFIG", "SET", *cure.split())
    journal.begin(KEY, PUT)
    journal.close()


def test_snapshots_are_enough_for_who_says_so(redis_servers) -> None:
    """It may lose what changed since the last one."""
    journal = RedisJournal(
        redis_servers("--save", "60 1").url, durability="snapshot", **PATIENT
    )

    journal.begin(KEY, PUT)
    journal.close()


def test_a_server_that_tells_nobody_its_settings(own) -> None:
    """As those that somebody else runs do; what is not known is not believed."""
    own.ask("ACL", "SETUSER", "default", "-config")
    journal = RedisJournal(own.url, **PATIENT)
    journal.begin(KEY, PUT)
    journal.close()
    strict = RedisJournal(own.url, durability="power", **PATIENT)

    with pytest.raises(MisconfiguredError, match=r"appendfsync.*allow CONFIG GET"):
        strict.begin(KEY, PUT)
    strict.close()


def test_who_answers_after_an_outage_is_looked_at_again(own) -> None:
    """It may be another server, or have been started otherwise."""
    journal = RedisJournal(own.url, **PATIENT)
    journal.begin(KEY, PUT)
    own.process.kill()
    with pytest.raises(UnavailableError):
        journal.rows(KEY)
    own.process.command[-1] = "no"
    own.process.start()

    with pytest.raises(MisconfiguredError, match="appendonly"):
        journal.rows(KEY)
    journal.close()


def test_a_journal_of_before_is_taken_over(own) -> None:
    """It says so, so that older processes which start again refuse it."""
    name = "{tiered-store:journal}:rows"
    journal = RedisJournal(own.url, **PATIENT)
    journal.begin(KEY, PUT)
    own.ask("HSET", name, "schema", 1)
    other = RedisJournal(own.url, **PATIENT)

    assert other.rows(KEY)["us"].size == 0
    assert own.ask("HGET", name, "schema") == b"2"
    journal.close()
    other.close()


def test_a_newer_schema_is_refused(own) -> None:
    """Saying which version it has and which one is known."""
    journal = RedisJournal(own.url, **PATIENT)
    journal.begin(KEY, PUT)
    own.ask("HSET", "{tiered-store:journal}:rows", "schema", 7)
    other = RedisJournal(own.url, **PATIENT)

    with pytest.raises(MisconfiguredError, match=r"schema 7.*knows 2"):
        other.rows(KEY)
    journal.close()
    other.close()


def test_a_server_that_was_emptied_is_refused(own) -> None:
    """Nobody knows what is pending: it would look as if nothing were."""
    journal = RedisJournal(own.url, **PATIENT)
    mark = journal.begin(KEY, PUT)
    own.ask("FLUSHALL")
    fresh = RedisJournal(own.url, **PATIENT)
    fresh.begin(OTHER, PUT)

    for use in (
        lambda: journal.rows(KEY),
        lambda: journal.begin(KEY, PUT),
        lambda: journal.settle(mark, {"us": None, "eu": None}),
    ):
        with pytest.raises(MisconfiguredError, match="removed or replaced"):
            use()
    journal.close()
    fresh.close()


def test_a_server_that_went_back_is_told_once(own, caplog, tmp_path) -> None:
    """It has lost rows that this process has seen; what is left is the journal."""
    journal = RedisJournal(own.url, **PATIENT)
    journal.begin(OTHER, PUT)
    first = journal.born()
    saved = tmp_path / "saved"
    shutil.copytree(own.process.folder, saved)
    journal.begin(KEY, PUT)
    own.process.kill()
    shutil.rmtree(own.process.folder / "appendonlydir")
    shutil.copytree(saved / "appendonlydir", own.process.folder / "appendonlydir")
    own.process.start()
    with (
        caplog.at_level(logging.ERROR, "tiered_store"),
        pytest.raises(CorruptError, match=r"from change 2 to 1.*verify"),
    ):
        journal.rows(KEY)

    assert "verify the replicas" in caplog.text
    assert missed(journal) == {}
    journal.begin(KEY, PUT)
    journal.close()
    later = RedisJournal(
        own.url, **PATIENT
    )  # verify concludes nothing from what is older
    assert later.born() > first
    later.close()


def test_what_is_no_row_is_an_error(own) -> None:
    """Never nothing, which would be believed."""
    journal = RedisJournal(own.url, **PATIENT)
    journal.begin(KEY, PUT)
    for garbage in ("garbage", "[]", '{"us":{"colour":1}}', '{"us":7}'):
        own.ask(
            "HSET",
            "{tiered-store:journal}:rows",
            "comics.cover 5 30 40 image/png",
            garbage,
        )
        with pytest.raises(CorruptError):
            journal.rows(KEY)
        with pytest.raises(CorruptError):
            journal.begin(KEY, PUT)
    journal.close()


# -- a server that fails --------------------------------------------------------


def test_a_server_that_is_killed_keeps_the_rows(own) -> None:
    """In the middle of a write, which is settled when it is back."""
    journal = RedisJournal(own.url, quarantine=0, **PATIENT)
    lease = held(journal, KEY, 0)
    mark = journal.begin(KEY, PUT)
    own.process.kill()

    for use in (
        lambda: journal.rows(KEY),
        lambda: journal.lease(OTHER, 0),
        lambda: journal.settle(mark, {"us": None, "eu": DOWN}),
    ):
        with pytest.raises(UnavailableError):
            use()
    own.process.start()

    assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}
    journal.settle(mark, {"us": None, "eu": DOWN})
    lease.release()
    assert missed(journal) == {"eu": "put"}
    journal.close()


def test_a_frozen_server_is_waited_for_so_long(own) -> None:
    """Its timeout, or the caller's deadline if that is less."""
    journal = RedisJournal(own.url, timeout=0.3, connect_timeout=0.3)
    until(lambda: succeeds(lambda: held(journal, KEY, 0).release()))
    until(lambda: succeeds(lambda: journal.begin(KEY, PUT)))
    own.process.freeze()
    try:
        for use in (
            lambda: journal.rows(KEY),
            lambda: journal.begin(KEY, PUT),
            lambda: journal.lease(KEY, 5),
        ):
            with pytest.raises(UnavailableError):
                use()
            with deadline(0.1), pytest.raises(DeadlineError):
                use()
    finally:
        own.process.thaw()
    journal.close()
    patient = RedisJournal(own.url, timeout=60)
    assert missed(patient) == {"us": "in_doubt", "eu": "in_doubt"}
    patient.close()


def test_scripts_are_told_again_to_a_server_that_forgot_them(own) -> None:
    """As after every restart."""
    journal = RedisJournal(own.url, **PATIENT)
    journal.begin(KEY, PUT)
    own.ask("SCRIPT", "FLUSH")

    journal.begin(KEY, DELETE)
    held(journal, KEY, 0).release()
    journal.close()


def test_a_full_server_refuses(redis_servers) -> None:
    """With our word for it; what is there can be settled, which needs no room."""
    server = redis_servers(*LASTING)
    journal = RedisJournal(server.url, **PATIENT)
    mark = journal.begin(KEY, PUT)
    server.ask("CONFIG", "SET", "maxmemory", 1)

    with pytest.raises(FullError, match="maxmemory"):
        journal.begin(OTHER, PUT)

    journal.settle(mark, {"us": None, "eu": None})
    assert missed(journal) == {}
    server.ask("CONFIG", "SET", "maxmemory", 0)
    assert list(journal.pending()) == []
    assert journal.backlogs() == {}
    journal.close()


def test_a_row_is_nothing_before_the_replicas_have_it(own) -> None:
    """A write that could be forgotten by a failover does not begin."""
    journal = RedisJournal(own.url, replicas=1, timeout=2)
    assert missed(journal) == {}

    with pytest.raises(UnavailableError, match="0 of 1 replicas") as raised:
        journal.begin(KEY, PUT)

    assert raised.value.ambiguous
    assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}
    journal.close()


def test_a_failover_keeps_what_the_replica_had(
    own_sentinel_setup: SentinelSetup,
) -> None:
    """The journal goes on with whoever becomes master."""
    setup = own_sentinel_setup
    for server in (setup.master, setup.replica):
        server.ask("CONFIG", "SET", "appendonly", "yes")
    journal = RedisJournal(
        mode="sentinel",
        sentinels=setup.addresses,
        service=setup.service,
        replicas=1,
        quarantine=0,
    )
    mark = journal.begin(KEY, PUT)
    setup.master.process.kill()
    journal.replicas = 0
    journal.close()  # so that it asks the next one for no replica, as it has none
    ends = time.monotonic() + 30
    while True:
        try:
            found = missed(journal)
        except UnavailableError:
            assert time.monotonic() < ends
            time.sleep(0.05)
        else:
            break

    assert found == {"us": "in_doubt", "eu": "in_doubt"}
    journal.settle(mark, {"us": None, "eu": None})
    assert missed(journal) == {}
    journal.close()


# -- over it ----------------------------------------------------------------------


@pytest.mark.timeout(600)
def test_killed_writers_leave_what_can_be_settled(server, tmp_path) -> None:
    """Nothing acknowledged is lost, nothing deleted returns, nothing differs."""
    server.ask("FLUSHALL")

    counts = campaign(tmp_path, server.url, 8)

    assert counts["kills"] == 16
    assert counts["acknowledged"] > 3


@pytest.mark.timeout(600)
def test_writers_of_the_same_objects_leave_equal_replicas(server, tmp_path) -> None:
    """With the last acknowledged bytes, and nothing to repair; reads saw no others."""
    server.ask("FLUSHALL")

    counts = crowd(tmp_path, server.url, 8)

    assert counts == {"seed": 0, "writes": 96, "reads": 96}


def test_a_writer_that_was_stopped_finds_out(server, prefix) -> None:
    """It lost its lease meanwhile; both writes are in doubt, whoever ends last."""
    options = f"prefix={prefix!r}, lease_ttl=0.3, quarantine=60"
    with Process(
        f"RedisJournal({server.url!r}, {options})",
        """
        lease = held(journal, KEY, 0)
        mark = journal.begin(KEY, PUT)
        say("begun")
        wait()
        journal.settle(mark, {"us": None, "eu": None})
        say("settled")
        """,
    ) as process:
        assert process.line() == "begun"
        process.popen.send_signal(19)
        journal = RedisJournal(server.url, prefix=prefix, lease_ttl=0.3, **PATIENT)
        with held(journal, KEY, 10):
            mark = journal.begin(KEY, PUT)
            journal.settle(mark, {"us": None, "eu": None})
            assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}
            process.popen.send_signal(18)
            process.go()
            assert process.line() == "settled"
        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}
        journal.close()


def test_counts_agree_with_the_rows(server, prefix, tmp_path) -> None:
    """What a status says without looking at any row is what the rows say."""
    journal = RedisJournal(server.url, prefix=prefix, quarantine=0, **PATIENT)
    for number in range(40):
        key = KEY._replace(object_id=number % 7)
        failed = [(), ("us",), ("eu",), ("us", "eu")][number % 4]
        write(journal, (PUT, DELETE)[number % 3 == 0], failed=failed, key=key)
        for row in list(journal.pending())[: number % 3]:
            journal.blame(row, f"error {number}", float(number))
    rows = list(journal.pending())

    backlogs = journal.backlogs()

    for name in ("us", "eu"):
        mine = [row for row in rows if row.replica == name]
        assert backlogs[name].rows == len(mine)
        assert backlogs[name].in_doubt == sum(row.verb == "in_doubt" for row in mine)
        assert backlogs[name].oldest == min(row.since for row in mine)
    size = int(server.ask("HGET", f"{{{prefix}}}:rows", "size"))
    assert size == len(rows)
    for row in rows:
        assert journal.clear(row)
    assert journal.backlogs() == {}
    assert journal.short_of(1) == 0
    assert sorted(server.ask("KEYS", f"{{{prefix}}}*")) == [
        f"{{{prefix}}}:{name}".encode() for name in ("counts", "rows")
    ]
    journal.close()


# -- how it is made ------------------------------------------------------------------


def test_making_one_touches_nothing() -> None:
    """Constructors are free."""
    RedisJournal("redis://127.0.0.1:1")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"url": "redis://x", "durability": "none"}, "'snapshot', 'process' or"),
        ({"url": "redis://x", "replicas": -1}, "replicas"),
        ({"url": "redis://x", "lease_ttl": 0}, "lease_ttl"),
        ({"url": "redis://x", "prefix": "a{b}"}, "braces"),
        ({"url": "http://x"}, "redis://"),
        ({}, "url is missing"),
    ],
)
def test_wrong_options_are_refused(options, problem) -> None:
    """With what is right."""
    with pytest.raises(ConfigError, match=problem):
        RedisJournal(**options)


def test_no_secret_is_shown() -> None:
    """Not even in an error."""
    journal = RedisJournal("redis://:s3cret@127.0.0.1:1", timeout=0.1)

    with pytest.raises(UnavailableError) as raised:
        journal.rows(KEY)

    assert "s3cret" not in f"{raised.value!r} {vars(journal)}"
    journal.close()


SNIPPETS = [
    textwrap.dedent(block.split("\n\n", 1)[1].split("\n\n")[0])
    for block in (module.__doc__ or "").split(".. code-block:: yaml")[1:]
]


@pytest.mark.parametrize("snippet", SNIPPETS, ids=["one", "sentinel", "cluster"])
def test_the_yaml_of_the_module_builds_it(snippet) -> None:
    """As an operator would copy it."""
    mirror = {
        "type": "replicated",
        "replicas": {"us": {"type": "memory"}},
        "journal": yaml.safe_load(snippet),
    }
    with build({"version": 1, "default": "it", "stores": {"it": mirror}}) as store:
        assert isinstance(store.journal, RedisJournal)
