"""URLs that follow what is pending in a journal behind a network, without asking it."""

from __future__ import annotations

import gc
import threading

import pytest

from tests.servers.redis import RedisServer, RedisServers
from tests.waiting import PATIENT
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.errors import UnavailableError
from tiered_store.journals.memory import MemoryJournal
from tiered_store.journals.redis import RedisJournal
from tiered_store.key import Key
from tiered_store.replication import glimpse as module
from tiered_store.replication.glimpse import Glimpse
from tiered_store.store import Store
from tiered_store.testing.faults import FaultStore
from tiered_store.wrappers.fallback import FallbackStore
from tiered_store.wrappers.replicated import ReplicatedStore


LASTING = ("--appendonly", "yes", "--save", "")
KEY = Key("testing", 1, 2, 3, "image/png")
OTHER = KEY._replace(object_id=2)
OLD, NEW = Body.of(b"old"), Body.of(b"new")


class FarJournal(MemoryJournal):
    """One behind a network, that a test takes away and counts the questions to."""

    local = False
    lost = False
    asked = 0

    def rows(self, key):
        self.asked += 1
        return super().rows(key)

    def pending(self, replica=None):
        if self.lost:
            raise UnavailableError("the journal is down")
        return super().pending(replica)


class Regions:
    """Two regions that several processes share."""

    def __init__(self) -> None:
        self.us = FaultStore(MemoryStore(base_url="https://us/"))
        self.eu = FaultStore(MemoryStore(base_url="https://eu/"))
        for store in (self.us.child, self.eu.child):
            store.put(KEY, OLD)

    def stack(self, kind: type[Store], journal) -> Store:
        """Return what one of the processes has."""
        options = {"write": "failover"} if kind is FallbackStore else {}
        return kind(
            {"us": self.us, "eu": self.eu}, journal=journal, breaker=None, **options
        )


@pytest.fixture
def regions() -> Regions:
    return Regions()


@pytest.fixture(params=[ReplicatedStore, FallbackStore])
def kind(request) -> type[Store]:
    return request.param


def test_what_this_process_wrote_is_known_at_once(regions: Regions, kind) -> None:
    """Whoever has put an object shows it, and must not be shown the old one."""
    journal = FarJournal()
    with regions.stack(kind, journal) as store:
        assert store.url(KEY).startswith("https://us/")
        regions.us.down()
        store.put(KEY, NEW)
        assert store.url(KEY).startswith("https://eu/")
        assert store.url(OTHER).startswith("https://us/")
        store.delete(OTHER)
        assert store.url(OTHER).startswith("https://eu/")
        regions.us.up()
        store.put(KEY, OLD)
        assert store.url(KEY).startswith("https://us/")

        between = journal.asked
        for _ in range(100):
            store.url(KEY)
        assert journal.asked == between


def test_without_a_journal_that_answers_no_url_is_a_guess(
    regions: Regions, kind
) -> None:
    """As nothing is read then; what was seen a moment ago is still believed."""
    journal = FarJournal()
    journal.lost = True
    with (
        regions.stack(kind, journal) as store,
        pytest.raises(UnavailableError, match="nobody knows what is pending"),
    ):
        store.url(KEY)


def test_degraded_every_store_is_believed(regions: Regions, kind) -> None:
    """Who prefers an old object to none says so."""
    journal = FarJournal()
    journal.lost = True
    options = {"write": "failover"} if kind is FallbackStore else {}
    store = kind(
        {"us": regions.us, "eu": regions.eu},
        journal=journal,
        journal_errors="degrade",
        **options,
    )
    with store:
        assert store.url(KEY).startswith("https://us/")


def test_what_was_seen_long_ago_is_not_believed() -> None:
    """Others may have written since."""
    journal = FarJournal()
    glimpse = Glimpse(journal)
    glimpse.lookout.begin()
    glimpse.close()
    glimpse.refresh()
    assert glimpse.rows(KEY) == {}

    sight = glimpse._sight
    glimpse._sight = module._Sight(sight.began - 2 * module._STALE)

    with pytest.raises(UnavailableError, match="nobody knows"):
        glimpse.rows(KEY)


def test_more_rows_than_are_kept_make_a_replica_suspect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may be behind for any object then; the others are not."""
    monkeypatch.setattr(module, "_MOST", 3)
    journal = FarJournal()
    for number in range(10):
        journal.lack(KEY._replace(object_id=number), ["us"])
    glimpse = Glimpse(journal)
    glimpse.lookout.begin()
    glimpse.close()
    glimpse.refresh()

    found = glimpse.rows(KEY._replace(object_id=99))

    assert {name: row.behind for name, row in found.items()} == {"us": True}


def test_a_write_is_forgotten_once_it_was_seen() -> None:
    """Else what is repaired would stay behind here, and the memory of it grow."""
    journal = FarJournal()
    glimpse = Glimpse(journal)
    glimpse.lookout.begin()
    glimpse.note(KEY, ["us"], "put")
    assert set(glimpse.rows(KEY)) == {"us"}

    glimpse.refresh()

    assert glimpse.rows(KEY) == {}
    assert glimpse._own == {}
    glimpse.close()


def test_a_store_that_is_forgotten_looks_no_more(regions: Regions) -> None:
    """Its thread ends, though nobody closed it."""
    store = regions.stack(ReplicatedStore, FarJournal())
    store.url(KEY)
    thread = store._reader.glimpse.lookout.thread
    assert thread in threading.enumerate()

    del store
    gc.collect()
    thread.join(60)

    assert not thread.is_alive()


@pytest.fixture
def server(redis_servers: RedisServers) -> RedisServer:
    """One whose journal is kept."""
    return redis_servers(*LASTING)


@pytest.mark.servers
def test_what_others_wrote_is_known_soon(
    regions: Regions, kind, server: RedisServer
) -> None:
    """Two processes, and a Redis that knows what is pending; then it is repaired."""
    with (
        regions.stack(
            kind, RedisJournal(server.url, quarantine=0, **PATIENT)
        ) as writer,
        regions.stack(
            kind, RedisJournal(server.url, quarantine=0, **PATIENT)
        ) as reader,
    ):
        assert reader.url(KEY).startswith("https://us/")
        regions.us.down()
        writer.put(KEY, NEW)
        regions.us.up()
        waiting = threading.Event()

        while not reader.url(KEY).startswith("https://eu/"):
            waiting.wait(0.02)
        assert writer.repair().repaired == 1
        while not reader.url(KEY).startswith("https://us/"):
            waiting.wait(0.02)

        assert regions.us.child.get(KEY).read() == b"new"
