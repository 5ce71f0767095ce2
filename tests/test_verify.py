"""Replicas compared, whatever the journal says, and what is put right."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.servers.s3 import S3Server
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body, Stat
from tiered_store.errors import (
    CorruptError,
    DeniedError,
    FullError,
    NotFoundError,
    StoreError,
    UnsupportedError,
)
from tiered_store.journals.keylocks import Lease
from tiered_store.journals.memory import MemoryJournal
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.key import Key
from tiered_store.replication.census import Census
from tiered_store.replication.difference import Compare, Difference
from tiered_store.replication.placement import Reproducible
from tiered_store.replication.verdict import Copy, Judge
from tiered_store.store import Store
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.faults import FaultStore
from tiered_store.wrappers.fallback import FallbackStore
from tiered_store.wrappers.replicated import ReplicatedStore


KEY = Key("comics.cover", 5, 30, 40, "image/png")
OTHER = KEY._replace(object_id=6)
OLD, NEW = Body.of(b"old"), Body.of(b"new, and longer")
HOUR = 3600.0


def content(store: Store, key: Key = KEY) -> bytes | None:
    try:
        return store.get(key).read()
    except NotFoundError:
        return None


class Mirror:
    """Faulty replicas over memory, and what a comparison says of them."""

    def __init__(self, *names: str, born: float = -HOUR, **options) -> None:
        import time

        self.faults = {name: FaultStore(MemoryStore()) for name in names}
        # objects in memory carry the real time: a journal that begins before it
        # remembers their writes, one that begins after it does not
        self.journal = MemoryJournal(clock=FakeClock(time.time() + born))
        self.store = ReplicatedStore(
            self.faults, **{"journal": self.journal, "breaker": None, **options}
        )
        self.told: list[Difference] = []

    def __getitem__(self, name: str) -> Store:
        return self.faults[name].child

    def verify(self, **options):
        self.told.clear()
        return self.store.verify(told=self.told.append, **options)

    def contents(self, key: Key = KEY) -> tuple[bytes | None, ...]:
        return tuple(content(fault.child, key) for fault in self.faults.values())


@pytest.fixture
def pair() -> Mirror:
    return Mirror("us", "eu")


@pytest.fixture
def forgetful() -> Mirror:
    """Its journal began after everything was written."""
    return Mirror("us", "eu", born=HOUR)


# -- what is found -----------------------------------------------------------


def test_equal_replicas_have_nothing_to_tell(pair: Mirror) -> None:
    """Each object is looked at once."""
    for number in range(50):
        pair.store.put(KEY._replace(width=number), NEW)

    report = pair.verify()

    assert (report.objects, report.left, pair.told) == (50, 0, [])
    assert report.read == 2 * 50 * NEW.size


def test_what_differs_is_found_and_left_alone(pair: Mirror) -> None:
    """Missing objects, and other bytes of the same size."""
    for key in (KEY, OTHER):
        pair.store.put(key, OLD)
    pair["eu"].delete(KEY)
    pair["eu"].put(OTHER, Body.of(b"odd"))

    report = pair.verify()

    assert (report.objects, report.different, report.undecided) == (2, 2, 1)
    assert {one.key: dict(one.wrong) for one in pair.told} == {
        KEY: {"eu": "missing"},
        OTHER: {"us": "different", "eu": "different"},
    }
    assert pair.contents() == (b"old", None)
    assert not pair.journal.rows(KEY)


def test_sizes_alone_do_not_see_other_bytes(pair: Mirror) -> None:
    """Which is what was asked for."""
    pair.store.put(KEY, OLD)
    pair["eu"].put(KEY, Body.of(b"odd"))

    assert pair.verify(compare="sizes").left == 0
    assert pair.verify(compare="sizes").read == 0
    assert pair.verify().left == 1


def test_what_the_journal_knows_is_pending_and_no_difference(pair: Mirror) -> None:
    """A repair will see to it."""
    pair.faults["eu"].fail("put")
    pair.store.put(KEY, NEW)

    report = pair.verify()

    assert (report.different, report.pending, report.left) == (0, 1, 1)
    assert pair.told[0].outcome == "pending"


def test_a_writer_is_not_taken_for_a_difference(pair: Mirror) -> None:
    """It is waited for, and what it left is compared."""
    pair.store.put(KEY, OLD)
    with pair.faults["eu"].pause("put") as pause, ThreadPoolExecutor(2) as threads:
        writing = threads.submit(pair.store.put, KEY, NEW)
        pause.wait()
        verifying = threads.submit(pair.verify)
        pause.release()
        writing.result()
        assert verifying.result().left == 0


def test_one_that_is_written_all_the_time_is_busy(pair: Mirror) -> None:
    """Which is not the same as equal."""
    pair["us"].put(KEY, OLD)
    lease = pair.journal.lease(KEY, 0)
    assert lease is not None

    with lease:
        report = pair.verify()

    assert (report.busy, report.left) == (1, 1)


def test_a_replica_that_cannot_say_is_a_failure(pair: Mirror) -> None:
    """Neither the same nor different."""
    pair.store.put(KEY, NEW)
    pair.faults["eu"].fail("get", DeniedError("no"), times=None)

    report = pair.verify(repair=True)

    assert (report.failed, report.different, report.left) == (1, 0, 1)
    assert pair.contents() == (b"new, and longer",) * 2


def test_a_replica_that_cannot_be_listed_ends_it(pair: Mirror) -> None:
    """An outage must not look like an empty bucket."""
    pair.store.put(KEY, NEW)
    pair.faults["eu"].down()

    with pytest.raises(StoreError, match="keys: unavailable on purpose"):
        pair.verify(repair=True, trust="eu")
    assert pair.contents() == (b"new, and longer",) * 2


# -- what is put right by itself ---------------------------------------------


def test_a_copy_that_vanished_is_put_back(pair: Mirror) -> None:
    """It was written since the journal remembers, which knows of no delete."""
    pair.store.put(KEY, NEW)
    pair["eu"].delete(KEY)

    report = pair.verify(repair=True)

    assert (report.different, report.repaired, report.left) == (1, 1, 0)
    assert pair.told[0].done == {"eu": "put"}
    assert pair.contents() == (b"new, and longer",) * 2
    assert pair.verify().left == 0


def test_presence_is_no_evidence_once_the_journal_was_lost(forgetful: Mirror) -> None:
    """It may have been deleted while this replica was away: nothing is copied."""
    forgetful["us"].put(KEY, OLD)

    report = forgetful.verify(repair=True)

    assert (report.undecided, report.repaired, report.left) == (1, 0, 1)
    assert "may have been deleted" in forgetful.told[0].why
    assert forgetful.contents() == (b"old", None)


def test_a_damaged_copy_is_replaced(forgetful: Mirror) -> None:
    """Whatever its age: it is no version of the object."""
    forgetful.store.put(KEY, NEW)
    forgetful.faults["us"].fail("get", CorruptError("bad checksum"), times=2)

    report = forgetful.verify(repair=True, compare="bytes")

    assert (report.repaired, report.left) == (1, 0)
    assert forgetful.told[0].wrong == {"us": "damaged"}
    assert forgetful.contents() == (b"new, and longer",) * 2


def test_the_last_copy_is_never_touched_for_being_damaged(pair: Mirror) -> None:
    """There is nothing to put in its place."""
    pair.store.put(KEY, NEW)
    for fault in pair.faults.values():
        fault.fail("get", CorruptError("bad checksum"), times=None)

    report = pair.verify(repair=True, compare="bytes")

    assert (report.undecided, report.left) == (1, 1)
    assert pair.contents() == (b"new, and longer",) * 2


def test_two_that_differ_need_a_person(pair: Mirror) -> None:
    """Neither is known to be the later one."""
    pair["us"].put(KEY, OLD)
    pair["eu"].put(KEY, NEW)

    assert pair.verify(repair=True).undecided == 1
    assert pair.contents() == (b"old", b"new, and longer")


def test_what_is_pending_is_repaired(pair: Mirror) -> None:
    """First, and then compared."""
    pair.store.put(KEY, OLD)
    pair.faults["eu"].fail("delete")
    pair.store.delete(KEY)
    assert pair.contents() == (None, b"old")

    report = pair.verify(repair=True)

    assert (report.repaired, report.left) == (1, 0)
    assert pair.contents() == (None, None)


def test_a_repair_that_fails_is_left_to_the_journal(pair: Mirror) -> None:
    """Nobody believes the replica from then on, and the next repair goes on."""
    pair.store.put(KEY, NEW)
    pair["eu"].delete(KEY)
    pair.faults["eu"].fail("put")

    report = pair.verify(repair=True)

    assert (report.pending, report.left) == (1, 1)
    assert pair.journal.rows(KEY)["eu"].verb == "put"
    assert pair.store.repair().repaired == 1
    assert pair.contents() == (b"new, and longer",) * 2


def test_it_needs_a_journal_to_repair() -> None:
    """Which keeps it apart from writers; comparing needs none."""
    store = ReplicatedStore({"us": MemoryStore(), "eu": MemoryStore()})
    store.put(KEY, NEW)

    assert store.verify().left == 0
    with pytest.raises(UnsupportedError, match="without a journal"):
        store.verify(repair=True)


# -- whom somebody trusts ----------------------------------------------------


@pytest.mark.parametrize(
    ("trust", "wanted"),
    [
        ("us", (b"old", None)),
        ("eu", (b"new, and longer", b"new, and longer")),
        ("newest", (b"new, and longer", b"new, and longer")),
    ],
)
def test_somebody_may_say_whom_to_trust(forgetful: Mirror, trust, wanted) -> None:
    """What that one has is right, and what it lacks is deleted; or the newest is."""
    forgetful["us"].put(KEY, OLD)
    forgetful["eu"].put(KEY, NEW)
    forgetful["eu"].put(OTHER, NEW)

    report = forgetful.verify(repair=True, trust=trust)

    assert (report.repaired, report.left) == (2, 0)
    first, second = wanted
    assert forgetful.contents() == (first, first)
    assert forgetful.contents(OTHER) == (second, second)


def test_who_is_trusted_is_only_told_without_repair(forgetful: Mirror) -> None:
    """With what would be done."""
    forgetful["us"].put(OTHER, OLD)
    forgetful["eu"].put(KEY, NEW)

    forgetful.verify(trust="us")

    told = {one.key: (one.outcome, dict(one.done)) for one in forgetful.told}
    assert told == {
        KEY: ("reported", {"eu": "delete"}),
        OTHER: ("reported", {"eu": "put"}),
    }
    assert forgetful.contents() == (None, b"new, and longer")


def test_an_empty_replica_is_not_trusted(forgetful: Mirror) -> None:
    """A new disk at the old path would delete everything."""
    forgetful["eu"].put(KEY, NEW)

    with pytest.raises(StoreError, match="us has no object at all"):
        forgetful.verify(repair=True, trust="us")
    assert forgetful.contents() == (None, b"new, and longer")


def test_nobody_unknown_is_trusted(pair: Mirror) -> None:
    """A name that was mistyped must not mean no one."""
    with pytest.raises(ValueError, match="no replica 'ap'; there are us, eu"):
        pair.verify(trust="ap")


# -- beside writers ----------------------------------------------------------


def test_a_write_in_between_wins(forgetful: Mirror) -> None:
    """What was judged is old by the time it is carried out: the write is not undone."""
    forgetful["us"].put(KEY, OLD)
    forgetful["eu"].put(KEY, Body.of(b"odd"))
    resolve = forgetful.journal.resolve

    def and_then_a_write(key, seen, missed):
        noted = resolve(key, seen, missed)
        thread = threading.Thread(target=forgetful.store.put, args=(KEY, NEW))
        thread.start()
        writers.append(thread)
        return noted

    writers: list[threading.Thread] = []
    forgetful.journal.resolve = and_then_a_write

    forgetful.verify(repair=True, trust="us")

    for thread in writers:
        thread.join(30)
    forgetful.store.repair()
    assert forgetful.contents() == (b"new, and longer",) * 2


def test_a_delete_in_between_is_not_undone(pair: Mirror) -> None:
    """It was listed, and is gone when it is looked at."""
    pair.store.put(KEY, NEW)
    pair["eu"].delete(KEY)

    report = pair.verify(repair=True, listed=lambda _: pair.store.delete(KEY))

    assert (report.objects, report.left) == (1, 0)
    assert pair.contents() == (None, None)


def test_what_is_to_be_put_right_is_not_read_meanwhile(forgetful: Mirror) -> None:
    """From the verdict on, the journal says who is behind."""
    forgetful["us"].put(KEY, OLD)
    forgetful["eu"].put(KEY, NEW)
    with forgetful.faults["us"].pause("put") as pause, ThreadPoolExecutor(1) as thread:
        done = thread.submit(forgetful.verify, repair=True, trust="eu")
        pause.wait()
        assert content(forgetful.store) == b"new, and longer"
        pause.release()
        assert done.result().repaired == 1


def test_writers_beside_it_end_equal(tmp_path: Path) -> None:
    """Real files, a real journal, and drift made all the time: nothing is lost."""
    places = {
        name: FileSystemStore(str(tmp_path / name), create=True)
        for name in ("us", "eu")
    }
    store = ReplicatedStore(
        places, journal=SQLiteJournal(str(tmp_path / "journal.db")), breaker=None
    )
    keys = [KEY._replace(width=number) for number in range(20)]
    last: dict[Key, bytes | None] = {}
    done = threading.Event()

    def write() -> None:
        for turn in range(15):
            for number, key in enumerate(keys):
                if (turn + number) % 5 == 4:
                    store.delete(key)
                    last[key] = None
                else:
                    last[key] = f"{turn}.{number}".encode() * 50
                    store.put(key, Body.of(last[key] or b""))
        done.set()

    with ThreadPoolExecutor(2) as threads:
        writing = threads.submit(write)
        while not done.is_set():
            store.verify(repair=True, trust="newest")
        writing.result()
    store.repair()

    assert store.verify().left == 0
    for key in keys:
        assert {content(place, key) for place in places.values()} == {last[key]}
    store.close()


# -- what can be computed again ----------------------------------------------


def fewer(**options) -> Mirror:
    """A mirror that keeps what can be computed again in ``us`` only."""
    return Mirror("us", "eu", reproducible=Reproducible(replicas=["us"]), **options)


def test_one_in_fewer_places_is_as_it_should_be() -> None:
    """And an original in all of them."""
    mirror = fewer()
    mirror.store.put(KEY, NEW, True)
    mirror.store.put(OTHER, NEW)

    assert mirror.verify(repair=True).left == 0
    assert mirror.contents() == (b"new, and longer", None)


def test_what_is_as_it_should_be_is_compared_without_a_lease() -> None:
    """No writer is held up by a comparison, whatever is kept where."""
    mirror = fewer()
    mirror.store.put(KEY, NEW, True)
    mirror.store.put(OTHER, NEW)
    leases: list[Key] = []
    lease = mirror.journal.lease
    mirror.journal.lease = lambda key, seconds: (
        leases.append(key) or lease(key, seconds)
    )

    report = mirror.verify()

    assert (report.objects, report.left, leases) == (2, 0, [])


def test_half_a_list_is_compared_with_nothing(pair: Mirror) -> None:
    """Told to stop while it lists, it has seen nothing, and changes nothing."""
    pair.store.put(KEY, NEW)
    stop = threading.Event()
    keys = pair.faults["us"].keys

    def listed(prefix: str = "") -> Iterator[Key]:
        yield from keys(prefix)
        stop.set()

    pair.store.replicas["us"].keys = listed

    report = pair.verify(repair=True, trust="eu", stop=stop)

    assert (report.objects, pair.told) == (0, [])
    assert pair.contents() == (b"new, and longer",) * 2


def test_an_original_in_fewer_places_is_found() -> None:
    """Replicas that tell what can be computed again say that this one cannot."""
    mirror = fewer()
    mirror.store.put(KEY, NEW)
    mirror["eu"].delete(KEY)

    assert mirror.verify(repair=True).repaired == 1
    assert mirror.contents() == (b"new, and longer",) * 2


def test_a_changed_configuration_demotes() -> None:
    """Copies that are kept too often go, once one is where it belongs."""
    mirror = fewer()
    for name in ("us", "eu"):
        mirror[name].put(KEY, NEW, True)

    report = mirror.verify(repair=True)

    assert mirror.told[0].wrong == {"eu": "surplus"}
    assert (report.repaired, report.left) == (1, 0)
    assert mirror.contents() == (b"new, and longer", None)


def test_a_surplus_copy_is_not_dropped_before_there_is_another() -> None:
    """It is copied where it belongs first; the next time it goes."""
    mirror = fewer()
    mirror["eu"].put(KEY, NEW, True)

    mirror.verify(repair=True)
    assert mirror.contents() == (b"new, and longer",) * 2

    assert mirror.verify(repair=True).left == 0
    assert mirror.contents() == (b"new, and longer", None)


def test_a_changed_configuration_promotes() -> None:
    """A copy that is missing now is made, and says that it can be computed again."""
    pair = Mirror("us", "eu")
    pair["us"].put(KEY, NEW, True)

    assert pair.verify(repair=True).repaired == 1

    assert pair["eu"].get(KEY).reproducible is True
    assert pair.contents() == (b"new, and longer",) * 2


# -- how it is asked for -----------------------------------------------------


def test_it_goes_on_where_another_one_was(pair: Mirror) -> None:
    """Object by object in one order, whatever a replica lists."""
    keys = [KEY._replace(object_id=number) for number in range(100)]
    for key in keys:
        pair.store.put(key, NEW)

    first = pair.verify(limit=40)
    second = pair.verify(after=first.after)

    assert (first.objects, second.objects) == (40, 60)


def test_a_prefix_bounds_it(pair: Mirror) -> None:
    """By object type."""
    pair.store.put(KEY, NEW)
    pair.store.put(KEY._replace(object_type="users.face"), NEW)

    assert pair.verify(prefix="users").objects == 1


def test_it_can_be_stopped(pair: Mirror) -> None:
    """After what is under way, with a place to go on from."""
    for number in range(100):
        pair.store.put(KEY._replace(object_id=number), NEW)
    stop = threading.Event()

    report = pair.verify(stop=stop, parallel=1, progress=lambda _: stop.set())

    assert 0 < report.objects < 100
    assert pair.verify(after=report.after).objects == 100 - report.objects


# -- real servers ------------------------------------------------------------


@pytest.fixture
def buckets(seaweed_server: S3Server) -> Iterator[dict[str, Store]]:
    """Two buckets of a real server."""
    made = {
        name: seaweed_server.store(seaweed_server.make_bucket())
        for name in ("us", "eu")
    }
    yield made
    for store in made.values():
        store.close()


@pytest.mark.servers
def test_buckets_are_compared_without_reading(buckets, tmp_path: Path) -> None:
    """Their ETags are digests; where they differ, the bytes decide."""
    journal = SQLiteJournal(str(tmp_path / "journal.db"))
    store = ReplicatedStore(buckets, journal=journal)
    for number in range(5):
        store.put(KEY._replace(width=number), NEW)
    buckets["eu"].put(KEY._replace(width=1), Body.of(b"odd, and as long"[:15]))
    buckets["eu"].delete(KEY._replace(width=2))

    report = store.verify()
    assert (report.objects, report.different) == (5, 2)
    assert report.read == 5 * NEW.size  # of the two, and of no other

    assert store.verify(repair=True, trust="us").left == 0
    assert store.verify(compare="bytes").left == 0


@pytest.mark.servers
def test_a_bucket_and_a_directory_are_compared_by_their_bytes(
    buckets, tmp_path: Path
) -> None:
    """A directory tells no digest."""
    disk = FileSystemStore(str(tmp_path / "disk"), create=True)
    journal = SQLiteJournal(str(tmp_path / "journal.db"))
    store = ReplicatedStore({"us": buckets["us"], "disk": disk}, journal=journal)
    for number in range(5):
        store.put(KEY._replace(width=number), NEW)
    disk.put(KEY._replace(width=1), Body.of(b"odd, and as long"[:15]))

    report = store.verify(repair=True, trust="us")

    assert (report.objects, report.repaired, report.left) == (5, 1, 0)
    assert report.read > 2 * 5 * NEW.size - 1
    assert content(disk, KEY._replace(width=1)) == b"new, and longer"


# -- memory ------------------------------------------------------------------


def test_memory_does_not_grow_with_the_number_of_objects() -> None:
    """What ten times as many keys cost is on disk."""
    program = textwrap.dedent(
        """
        import resource, sys
        from tiered_store import *
        from tiered_store import Stat
        class Many(MemoryStore):
            def _keys(self, prefix):
                for number in range(int(sys.argv[1])):
                    yield Key("comics.cover", number, 30, 40, "image/png")
            def _stat(self, key):
                return Stat(100, "0" * 32)
        store = ReplicatedStore({"us": Many(), "eu": Many()}, journal=MemoryJournal())
        report = store.verify()
        assert (report.objects, report.left) == (int(sys.argv[1]), 0)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        """
    )

    def peak(count: int) -> int:
        return int(
            subprocess.check_output(
                [sys.executable, "-c", program, str(count)], timeout=100, text=True
            )
        )

    assert peak(30_000) - peak(1_000) < 24 * 1024  # KiB


def test_a_full_disk_is_told() -> None:
    """In the words of a store, not as a bug."""
    with Census() as census:
        census._connection.execute("PRAGMA max_page_count = 4")

        with pytest.raises(FullError, match="the list of objects finds no room"):
            census.add((KEY._replace(width=number) for number in range(5000)), 0)


def test_stores_that_differ_on_purpose_are_not_compared() -> None:
    """A last resort is no replica."""
    store = FallbackStore(
        {"us": MemoryStore(), "local": MemoryStore()},
        write="failover",
        journal=MemoryJournal(),
    )

    with pytest.raises(UnsupportedError, match="differ on purpose"):
        store.verify()


# -- what is right, by itself ------------------------------------------------


def judge(**options) -> Judge:
    names = ("us", "eu", "ap")
    return Judge(**{"names": names, "complete": names, **options})


def test_two_against_one_prove_nothing() -> None:
    """The one may be the newest, which the two missed."""
    old, new = Copy(b"old", 3, 1.0), Copy(b"new", 3, 2.0)

    assert not judge(born=0.0).judge({"us": old, "eu": old, "ap": new}).missed
    newest = judge(trust="newest").judge({"us": old, "eu": old, "ap": new})
    assert newest.missed == {"us": "put", "eu": "put"}


def test_the_newest_needs_all_times() -> None:
    """A place that tells none may have the newest."""
    copies = {"us": Copy(b"old", 3), "eu": Copy(b"new", 3, 2.0), "ap": None}

    assert not judge(trust="newest").judge(copies).missed


def test_clocks_may_differ_by_minutes() -> None:
    """An object that is hardly younger than the journal may be older."""
    found = {"us": Copy(b"new", 3, 1_100.0), "eu": None, "ap": None}

    assert not judge(born=1_000.0).judge(found).missed
    assert judge(born=500.0).judge(found).missed == {"eu": "put", "ap": "put"}


def test_who_is_trusted_and_cannot_say_decides_nothing() -> None:
    """An outage of the one that is right is no deletion."""
    found = {"us": StoreError("away"), "eu": Copy(b"new", 3, 1.0), "ap": None}

    verdict = judge(trust="us").judge(found)

    assert not verdict.missed
    assert verdict.why == "us could not say"


def test_what_nobody_tells_is_where_it_looks_like_it_belongs() -> None:
    """Directories do not say what can be computed again; nothing goes by a guess."""
    copy = Copy(b"new", 3, 1.0)
    kind = judge(complete=("us",))

    assert not kind.judge({"us": copy, "eu": None, "ap": None}).wrong
    assert kind.judge({"us": copy, "eu": copy, "ap": None}).wrong == {"ap": "missing"}
    assert not kind.judge({"us": copy, "eu": copy, "ap": copy}).wrong


def test_a_copy_that_is_not_right_is_never_a_source() -> None:
    """What is left without a row when a verdict is carried out is right."""
    old, new = Copy(b"old", 3, 1.0, True), Copy(b"new", 3, 2.0, True)
    found = {"us": None, "eu": new, "ap": old}

    verdict = judge(complete=("us",), trust="eu").judge(found)

    assert verdict.missed == {"us": "put", "ap": "drop"}


def test_a_copy_that_was_mended_lately_makes_no_object_young() -> None:
    """It is as old as its other copies; so may the delete be that two have missed."""
    found = {"us": Copy(b"new", 3, 1_000.0), "eu": Copy(b"new", 3, 9_000.0), "ap": None}

    verdict = judge(born=5_000.0).judge(found)

    assert verdict.wrong == {"ap": "missing"}
    assert not verdict.missed


def test_copies_that_tell_no_time_are_of_any_age() -> None:
    """Nothing can be concluded from the journal's silence about them."""
    for told in (None, 9_000.0):  # that one may have been mended
        found = {"us": Copy(b"new", 3), "eu": None, "ap": Copy(b"new", 3, told)}

        assert not judge(born=0.0).judge(found).missed


def test_a_mended_copy_does_not_bring_back_what_was_deleted(forgetful: Mirror) -> None:
    """The journal that knew of it was lost; a damaged copy is replaced since."""
    forgetful["us"].put(KEY, OLD)
    forgetful["eu"].put(KEY, OLD)
    since = forgetful.journal.born()
    assert since is not None
    stat = forgetful.store.replicas["eu"].stat
    forgetful.store.replicas["eu"].stat = lambda key: replace(
        stat(key), modified=since + HOUR
    )
    trio = ReplicatedStore(
        {**forgetful.store.replicas, "ap": MemoryStore()}, journal=forgetful.journal
    )

    assert trio.verify(repair=True).undecided == 1
    assert content(trio.replicas["ap"]) is None


def test_who_is_not_to_have_an_object_is_not_trusted_to_lack_it() -> None:
    """Its absence is how it should be, and deletes no copy elsewhere."""
    copy = Copy(b"new", 3, 1.0, True)
    found = {"us": copy, "eu": None, "ap": copy}

    verdict = judge(complete=("us",), trust="eu").judge(found)

    assert verdict.wrong == {"ap": "surplus"}
    assert not verdict.missed


def test_who_is_trusted_and_damaged_decides_nothing() -> None:
    """Its bytes are what was to be believed."""
    found = {"us": CorruptError("bad"), "eu": Copy(b"new", 3, 1.0), "ap": None}

    verdict = judge(trust="us").judge(found)

    assert not verdict.missed
    assert verdict.why == "us is trusted, and has no sound copy"


def test_a_surplus_copy_goes_however_old_it_is() -> None:
    """Nothing can return by that; and it is only dropped where it is."""
    copy = Copy(b"new", 3, 1.0, True)
    found = {"us": copy, "eu": copy, "ap": None}

    verdict = judge(complete=("us",), born=1_000.0).judge(found)

    assert (verdict.wrong, verdict.missed) == ({"eu": "surplus"}, {"eu": "drop"})


def test_a_surplus_copy_stays_while_its_object_is_in_question() -> None:
    """It may have been deleted, or be missing: then it is a copy of it."""
    copy = Copy(b"new", 3, 1.0, True)
    found = {"us": None, "eu": copy, "ap": copy}

    verdict = judge(complete=("us", "eu"), born=1_000.0).judge(found)

    assert verdict.wrong == {"us": "missing", "ap": "surplus"}
    assert not verdict.missed


def test_a_surplus_copy_with_other_bytes_makes_nobody_different() -> None:
    """It is not compared, as it goes anyway."""
    new, old = Copy(b"new", 3, 2.0, True), Copy(b"old", 3, 1.0, True)

    verdict = judge(complete=("us", "eu")).judge({"us": new, "eu": new, "ap": old})

    assert verdict.wrong == {"ap": "surplus"}


def test_what_is_damaged_in_one_place_is_missing_in_the_others() -> None:
    """There is such an object, and no copy of it can be read."""
    verdict = judge().judge({"us": CorruptError("bad"), "eu": None, "ap": None})

    assert verdict.wrong == {"us": "damaged", "eu": "missing", "ap": "missing"}
    assert not verdict.missed


# -- what a comparison must not overlook ---------------------------------------


def test_what_is_pending_and_nobody_lists_is_pending(pair: Mirror) -> None:
    """A write that nobody is known to have taken; of types that are asked for."""
    for key in (KEY, KEY._replace(object_type="users.picture")):
        pair.journal.begin(key, {"us": "put", "eu": "put"})

    assert pair.verify(prefix="comics").pending == 1
    assert [one.key for one in pair.told] == [KEY]
    assert pair.verify(prefix="comics", repair=True).repaired == 1
    assert {row.key.object_type for row in pair.journal.pending()} == {"users.picture"}


def test_what_is_pending_is_pending_though_all_are_equal(pair: Mirror) -> None:
    """Something may still land; and no reader believes whoever is behind."""
    pair.store.put(KEY, NEW)
    pair.journal.begin(KEY, {"us": "put", "eu": "put"})

    assert pair.verify().pending == 1
    assert pair.verify(repair=True).repaired == 1
    assert list(pair.journal.pending()) == []


def test_what_it_reads_counts_for_its_bandwidth() -> None:
    """Compared by their bytes, all of them come over the network."""
    clock = FakeClock()
    mirror = Mirror("us", "eu", clock=clock)
    for number in range(64):
        mirror.store.put(KEY._replace(width=number), Body.of(bytes(1000)))
    began = clock.monotonic()

    mirror.verify(compare="bytes", bandwidth=1000, parallel=1)

    assert clock.monotonic() - began > 64


def test_an_empty_replica_may_be_trusted_to_tell_what_differs(pair: Mirror) -> None:
    """Nothing is deleted by looking."""
    pair["eu"].put(KEY, NEW)

    assert pair.verify(trust="us").different == 1
    assert pair.contents() == (None, b"new, and longer")


def test_where_there_is_nothing_at_all_nothing_is_wrong(pair: Mirror) -> None:
    """Nor is anybody an odd one to trust."""
    assert pair.verify(trust="us", repair=True).left == 0


def test_a_replica_with_few_objects_may_be_trusted(forgetful: Mirror) -> None:
    """One of them shows that it is the right place, wherever it stands in the list."""
    forgetful["us"].put(OTHER, OLD)
    for number in range(3):
        forgetful["eu"].put(KEY._replace(object_id=number), OLD)

    forgetful.verify(trust="us", repair=True)

    assert list(forgetful["eu"].keys()) == [OTHER]


def test_an_original_that_one_of_many_lacks_is_missing_there() -> None:
    """Where it is kept in fewer places than all and more than the fewest."""
    options = Reproducible(replicas=["us"])
    mirror = Mirror("us", "eu", "ap", reproducible=options)
    mirror.store.put(KEY, NEW)
    mirror["ap"].delete(KEY)

    assert mirror.verify().different == 1
    assert dict(mirror.told[0].wrong) == {"ap": "missing"}


def test_stores_that_do_not_tell_are_compared_without_a_lease(tmp_path: Path) -> None:
    """A directory does not know what can be computed again."""
    places = {
        name: FileSystemStore(str(tmp_path / name), create=True)
        for name in ("us", "eu")
    }
    journal = MemoryJournal()
    store = ReplicatedStore(
        places, journal=journal, reproducible=Reproducible(replicas=["us"])
    )
    store.put(KEY, NEW, True)
    store.put(OTHER, NEW)
    journal.lease = lambda key, seconds: pytest.fail(f"a lease on {key}")

    report = store.verify()

    assert (report.objects, report.left) == (2, 0)


def test_sizes_that_differ_are_seen_by_sizes(pair: Mirror) -> None:
    """And by a digest without reading either."""
    pair.store.put(KEY, OLD)
    pair["eu"].put(KEY, NEW)

    assert pair.verify(compare="sizes").different == 1
    assert pair.verify().read == OLD.size + NEW.size  # once, under the lease


def test_what_was_pending_may_differ_besides() -> None:
    """That a repair did what the journal knew does not make all of them equal."""
    trio = Mirror("us", "eu", "ap")
    trio.faults["eu"].fail("put")
    trio.store.put(KEY, NEW)
    trio["ap"].put(KEY, OLD)

    report = trio.verify(repair=True)

    assert (report.undecided, report.repaired) == (1, 0)
    assert report.copied == NEW.size
    assert trio.contents() == (b"new, and longer", b"new, and longer", b"old")


# -- what changes between one list and the next ----------------------------------


def meanwhile(mirror: Mirror, change: Callable[[], object]) -> None:
    """Have *change* made when ``us`` has been listed, and ``eu`` has not."""
    keys = mirror.faults["us"].keys

    def listed(prefix: str = "") -> Iterator[Key]:
        yield from keys(prefix)
        change()

    mirror.store.replicas["us"].keys = listed


@pytest.mark.parametrize("missed", [False, True])
def test_a_late_list_is_not_believed(pair: Mirror, missed: bool) -> None:
    """Objects come, change and go: whom it trusts was listed without them."""
    changed, gone = KEY._replace(width=1), KEY._replace(width=2)
    for key in (changed, gone):
        pair.store.put(key, OLD)

    def change() -> None:
        for key in (KEY, changed):
            if missed:
                pair.faults["us"].fail("put")
            pair.store.put(key, NEW)
        if missed:
            pair.faults["us"].fail("delete")
        pair.store.delete(gone)

    meanwhile(pair, change)
    report = pair.verify(repair=True, trust="us")

    assert (report.left, report.repaired) == (0, 3 if missed else 0)
    assert list(pair.journal.pending()) == []
    for key, wanted in ((KEY, NEW), (changed, NEW), (gone, None)):
        assert pair.contents(key) == ((wanted and wanted.read()),) * 2
    assert bool(pair.told) == missed


@pytest.mark.parametrize("compare", ["quick", "bytes", "sizes"])
def test_an_old_version_that_is_just_replaced_is_no_difference(
    pair: Mirror, compare: Compare
) -> None:
    """One replica was looked at before a write, and the other after it."""
    pair.store.put(KEY, OLD)
    stat, looks = pair.store.replicas["eu"].stat, []

    def stat_after_a_write(key: Key) -> Stat:
        if not looks:
            looks.append(key)
            pair.store.put(KEY, NEW)
        return stat(key)

    pair.store.replicas["eu"].stat = stat_after_a_write

    report = pair.verify(repair=True, trust="us", compare=compare)

    assert (report.left, report.repaired, pair.told) == (0, 0, [])
    assert pair.contents() == (b"new, and longer",) * 2


@pytest.mark.parametrize("missed", [False, True])
@pytest.mark.parametrize("verb", ["put", "delete"])
def test_a_verdict_is_not_carried_out_over_a_write(
    pair: Mirror, verb: str, missed: bool
) -> None:
    """It comes after the verdict was noted, and before anybody has acted upon it."""
    pair.store.put(KEY, OLD)
    pair["eu"].delete(KEY)
    lease, between = pair.journal.lease, []

    def lease_after_a_write(key: Key, seconds: float) -> Lease | None:
        if seconds == 0 and not between:
            between.append(key)
            if missed:
                pair.faults["eu"].fail(verb)
            if verb == "put":
                pair.store.put(KEY, NEW)
            else:
                pair.store.delete(KEY)
        return lease(key, seconds)

    pair.journal.lease = lease_after_a_write

    pair.verify(repair=True)

    assert between == [KEY]
    assert pair.contents() == (NEW.read() if verb == "put" else None,) * 2
    assert list(pair.journal.pending()) == []


def test_what_is_missing_is_so_by_sizes_as_well() -> None:
    """And what else differs is not looked for, though it is looked at."""
    trio = Mirror("us", "eu", "ap")
    trio.store.put(KEY, OLD)
    trio["eu"].delete(KEY)
    trio["ap"].put(KEY, Body.of(b"odd"))

    trio.verify(compare="sizes")

    assert dict(trio.told[0].wrong) == {"eu": "missing"}


def test_one_replica_that_cannot_say_makes_a_failure_of_it() -> None:
    """Whatever is known of the others: it decides nothing, and is looked at again."""
    trio = Mirror("us", "eu", "ap")
    trio.store.put(KEY, OLD)
    trio["ap"].delete(KEY)
    trio.faults["eu"].fail("get", DeniedError("no"), times=None)

    report = trio.verify(repair=True)

    assert (report.failed, report.different) == (1, 0)
    assert trio.contents()[2] is None
