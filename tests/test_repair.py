"""
What brings replicas up to date, and what it must never do.
"""

from __future__ import annotations

import threading

from concurrent.futures import ThreadPoolExecutor

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.deadlines import deadline
from tiered_store.errors import (
    CorruptError,
    DeadlineError,
    DeniedError,
    NotFoundError,
    PartialWriteError,
    TooLargeError,
    UnavailableError,
)
from tiered_store.events import Repaired, RepairFailed
from tiered_store.journals.memory import MemoryJournal
from tiered_store.key import Key
from tiered_store.policies.breaker import BreakerPolicy
from tiered_store.replication.placement import Reproducible
from tiered_store.replication.report import RepairReport
from tiered_store.store import Store
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.faults import FaultStore
from tiered_store.testing.recording import Recorder
from tiered_store.tree import observe
from tiered_store.wrappers.replicated import ReplicatedStore


KEY = Key("comics.cover", 5, 30, 40, "image/png")
OTHER = KEY._replace(object_id=6)
OLD, NEW = Body.of(b"old"), Body.of(b"new, and longer")


class Mirror:
    """Faulty replicas by name, read in this order, with a journal and a clock."""

    def __init__(self, *names: str, **options) -> None:
        self.clock = FakeClock()
        self.journal = MemoryJournal(clock=self.clock)
        self.faults = {name: FaultStore(MemoryStore()) for name in names}
        self.store = ReplicatedStore(
            self.faults,
            journal=self.journal,
            clock=self.clock,
            **{"breaker": None, **options},
        )
        self.events = Recorder()
        observe(self.store, self.events)

    def __getitem__(self, name: str) -> FaultStore:
        return self.faults[name]

    def missed(self, key: Key = KEY) -> dict[str, str]:
        return {name: row.verb for name, row in self.journal.rows(key).items()}

    def contents(self, key: Key = KEY) -> tuple[bytes | None, ...]:
        return tuple(content(fault.child, key) for fault in self.faults.values())

    def crash(self, intent: str, contents: tuple[bytes | None, ...]) -> None:
        """Begin a write of all replicas that never ends, and leave *contents*."""
        self.journal.begin(KEY, dict.fromkeys(self.faults, intent))
        for fault, left in zip(self.faults.values(), contents, strict=True):
            if left is None:
                fault.child.delete(KEY)
            else:
                fault.child.put(KEY, Body.of(left))

    def leave_behind(self, name: str, verb: str = "put") -> None:
        """Let *name* miss a put of ``old``, or a delete."""
        self[name].fail(verb)
        if verb == "put":
            self.store.put(KEY, OLD)
        else:
            self.store.delete(KEY)


def content(store: Store, key: Key = KEY) -> bytes | None:
    try:
        return store.get(key).read()
    except NotFoundError:
        return None


@pytest.fixture
def pair() -> Mirror:
    return Mirror("us", "eu")


# -- what a replica missed ---------------------------------------------------


def test_what_was_missed_is_copied(pair) -> None:
    """From a replica that is not behind; afterwards nothing is pending."""
    pair["us"].down()
    pair.store.put(KEY, OLD)
    pair.store.put(KEY, NEW)
    pair.store.put(OTHER, OLD)
    pair["us"].up()

    report = pair.store.repair()

    copied = len(b"new, and longer") + len(b"old")
    assert report == RepairReport(objects=2, repaired=2, copied=copied)
    assert pair.contents() == (b"new, and longer",) * 2
    assert list(pair.store.pending()) == []
    heard = [(event.replica, event.verb) for event in pair.events.of(Repaired)]
    assert heard == [("us", "put")] * 2


def test_what_was_deleted_is_deleted(pair) -> None:
    """However long the replica was away."""
    pair.store.put(KEY, OLD)
    pair["us"].down()
    pair.store.delete(KEY)
    pair.clock.advance(365 * 86400)
    pair["us"].up()

    pair.store.repair()

    assert pair.contents() == (None, None)
    assert pair.missed() == {}
    assert [event.verb for event in pair.events.of(Repaired)] == ["delete"]


def test_repeating_changes_nothing(pair) -> None:
    """Nothing pending, nothing asked."""
    pair.store.put(KEY, NEW)
    calls = dict(pair["us"].calls)

    assert pair.store.repair() == RepairReport()
    assert pair["us"].calls == calls


def test_a_copy_says_what_the_write_said() -> None:
    """A repaired thumbnail is stored as cheaply as the others."""
    said: list[bool] = []

    class Listening(MemoryStore):
        def _put(self, key: Key, body: Body, reproducible: bool) -> None:
            said.append(reproducible)
            super()._put(key, body, reproducible)

    us, eu = FaultStore(Listening()), MemoryStore()
    store = ReplicatedStore({"us": us, "eu": eu}, journal=MemoryJournal())
    us.fail("put")
    store.put(KEY, NEW, True)

    store.repair()

    assert said == [True]


def test_a_copy_is_never_taken_from_who_is_behind() -> None:
    """Two that are behind have nothing to give each other."""
    trio = Mirror("us", "eu", "ap")
    trio.store.put(KEY, OLD)
    for name in ("us", "eu"):
        trio[name].fail("put")
    trio.store.put(KEY, NEW)
    trio["ap"].down()

    report = trio.store.repair()

    assert report.failed == 2
    assert trio.missed() == {"us": "put", "eu": "put"}
    assert trio.contents() == (b"old", b"old", b"new, and longer")
    trio["ap"].up()
    assert trio.store.repair().repaired == 2
    assert trio.contents() == (b"new, and longer",) * 3


def test_a_repaired_replica_can_be_copied_from() -> None:
    """The next one in the same pass need not wait for the source."""
    trio = Mirror("us", "eu", "ap")
    for name in ("us", "eu"):
        trio[name].fail("put")
    trio.store.put(KEY, NEW)
    trio["ap"].fail("get", after_apply=False)  # once: us fails, eu succeeds

    assert trio.store.repair().failed == 1
    trio["ap"].down()
    assert trio.store.repair().repaired == 1
    assert trio.contents() == (b"new, and longer",) * 3


def test_what_fails_stays_with_its_error(pair) -> None:
    """And with the time from which another attempt makes sense, ever longer."""
    pair.leave_behind("us")
    pair["us"].down()
    waits = []
    for _ in range(12):
        assert pair.store.repair().failed == 1
        waits.append(pair.journal.rows(KEY)["us"].retry_at - pair.clock.time())

    row = pair.journal.rows(KEY)["us"]
    assert row.attempts == 12
    assert "unavailable on purpose" in str(row.last_error)
    assert 0.5 <= waits[0] <= 1
    assert 30 <= waits[-1] <= 60


def test_what_fails_for_itself_waits_longer(pair) -> None:
    """Ten minutes at most; no outage will pass."""
    pair.leave_behind("us")
    for _ in range(15):
        pair["us"].fail("put", TooLargeError("5 GiB at most"))
        pair.store.repair()

    row = pair.journal.rows(KEY)["us"]
    assert 300 <= row.retry_at - pair.clock.time() <= 600


def test_what_failed_lately_is_not_due(pair) -> None:
    """A pass that runs all the time does not hammer."""
    pair.leave_behind("us")
    pair["us"].down()
    pair.store.repair()
    pair["us"].up()

    assert pair.store.repair(due=True) == RepairReport()
    pair.clock.advance(1.01)
    assert pair.store.repair(due=True).repaired == 1


def test_one_failure_stops_only_itself(pair) -> None:
    """The other objects are repaired."""
    for key in (KEY, OTHER):
        pair["us"].fail("put", key=key)
        pair.store.put(key, NEW)
    pair["us"].fail("put", key=KEY)

    report = pair.store.repair()
    assert (report.objects, report.repaired, report.failed) == (2, 1, 1)
    assert pair.missed() == {"us": "put"}


def test_a_torn_copy_leaves_the_old_object(pair) -> None:
    """And the row."""
    pair.store.put(KEY, OLD)
    pair["us"].fail("put")
    pair.store.put(KEY, NEW)
    pair["eu"].tear(0.5)

    assert pair.store.repair().failed == 1
    assert pair.contents() == (b"old", b"new, and longer")


def test_a_replica_known_to_be_down_is_not_blamed() -> None:
    """Its rows wait; that they could not be tried says nothing about them."""
    pair = Mirror("us", "eu", breaker=BreakerPolicy(failures=1, open=60.0))
    pair["us"].down()
    for number in range(4):
        pair.store.put(KEY._replace(width=number), NEW)
    calls = pair["us"].calls["put"]

    report = pair.store.repair()

    assert (report.down, report.failed) == (4, 0)
    assert pair["us"].calls["put"] == calls
    assert {row.attempts for row in pair.store.pending()} == {0}


def test_a_row_nobody_can_serve_goes_if_nobody_has_anything(pair) -> None:
    """The replica is without the object as all others are."""
    pair.journal.lack(KEY, ["us"])  # by a reader that a delete overtook

    assert pair.store.repair().repaired == 1
    assert [event.verb for event in pair.events.of(Repaired)] == ["none"]


def test_the_last_old_copy_is_not_destroyed(pair) -> None:
    """Somebody took the good one away behind our back: a person must decide."""
    pair.store.put(KEY, OLD)
    pair["us"].fail("put")
    pair.store.put(KEY, NEW)
    pair["eu"].child.delete(KEY)

    assert pair.store.repair().failed == 1
    assert pair.contents() == (b"old", None)
    assert "no replica has the object" in str(pair.journal.rows(KEY)["us"].last_error)
    with pytest.raises(NotFoundError):
        pair.store.get(KEY)


def test_rows_of_a_replica_nobody_knows_wait(pair) -> None:
    """It may be configured again."""
    pair.journal.lack(KEY, ["gone"])

    assert pair.store.repair() == RepairReport(objects=1)
    assert pair.missed() == {"gone": "put"}


# -- writes that did not end -------------------------------------------------


@pytest.mark.parametrize(
    "left",
    [
        (b"old", b"old"),
        (b"new", b"old"),
        (b"old", b"new"),
        (b"new", b"new"),
        (None, b"new"),
        (b"new", None),
        (None, None),
    ],
    ids=str,
)
@pytest.mark.parametrize("intent", ["put", "delete"])
def test_a_crash_is_settled_on_one_value(pair, intent, left) -> None:
    """That of the first replica that has one; a delete is completed."""
    pair.crash(intent, left)

    report = pair.store.repair()

    wanted = next((value for value in left if value is not None), None)
    if intent == "delete":
        wanted = None
    assert pair.contents() == (wanted, wanted)
    assert pair.missed() == {}
    assert (report.failed, report.busy) == (0, 0)


def test_a_crash_is_settled_while_a_replica_is_away(pair) -> None:
    """On what the others have; it is behind then, and told when it returns."""
    pair.crash("put", (b"old", b"new"))
    pair["us"].down()

    pair.store.repair()

    assert pair.missed() == {"us": "put"}
    assert content(pair.store) == b"new"
    pair["us"].up()
    pair.store.repair()
    assert pair.contents() == (b"new", b"new")


def test_that_there_is_none_takes_the_word_of_all(pair) -> None:
    """The one that is away may have the only copy."""
    pair.crash("put", (None, b"new"))
    pair["eu"].down()

    report = pair.store.repair()

    assert report.failed == 2
    assert pair.missed() == {"us": "in_doubt", "eu": "in_doubt"}
    pair["eu"].up()
    pair.store.repair()
    assert pair.contents() == (b"new", b"new")


def test_who_was_behind_before_the_crash_is_no_source(pair) -> None:
    """Else a put that failed would bring deleted bytes back."""
    pair.store.put(KEY, OLD)
    pair.leave_behind("us", "delete")
    pair.crash("put", (b"old", None))

    pair.store.repair()

    assert pair.contents() == (None, None)
    assert pair.missed() == {}


def test_a_crash_after_a_deletion_nobody_took_leaves_it_deleted(pair) -> None:
    """All were behind, so the object was gone, and the put never counted."""
    pair.store.put(KEY, OLD)
    pair["us"].fail("delete")
    pair["eu"].fail("delete")
    with pytest.raises(PartialWriteError):
        pair.store.delete(KEY)
    pair.crash("put", (b"new", b"old"))

    pair.store.repair()

    assert pair.contents() == (None, None)


def test_a_crash_leaves_reproducible_objects_where_they_belong() -> None:
    """The place that keeps them is asked first, and the other is not given a copy."""
    for left, wanted in (
        ((b"old", b"new"), (None, b"new")),
        ((None, b"new"), (None, b"new")),
        ((b"old", None), (b"old", b"old")),
    ):
        pair = Mirror("us", "eu", reproducible=Reproducible(replicas=["eu"]))
        pair.journal.begin(KEY, {"us": "drop", "eu": "put"}, reproducible=True)
        for name, value in zip(("us", "eu"), left, strict=True):
            if value is not None:
                pair[name].child.put(KEY, Body.of(value))

        pair.store.repair()

        assert pair.contents() == wanted
        assert pair.missed() == {}


def test_doubt_whose_copies_cannot_be_read_stays(pair) -> None:
    """And is noted."""
    pair.crash("put", (b"old", b"old"))
    for fault in pair.faults.values():
        fault.tear(0.5)

    assert pair.store.repair().failed == 2
    assert pair.journal.rows(KEY)["us"].attempts == 1


# -- beside others -----------------------------------------------------------


def test_a_repair_waits_for_no_writer(pair) -> None:
    """What is being written is passed over: its writer settles it."""
    pair.leave_behind("us")
    with pair["eu"].pause("put") as pause, ThreadPoolExecutor(1) as thread:
        writing = thread.submit(pair.store.put, KEY, NEW)
        pause.wait()
        assert pair.store.repair() == RepairReport(objects=1, busy=1)
        pause.release()
        writing.result()

    assert pair.contents() == (b"new, and longer",) * 2


def test_a_writer_waits_for_a_repair(pair) -> None:
    """Else the old bytes under way would land on top of the new ones."""
    pair.leave_behind("us")
    with pair["us"].pause("put") as pause, ThreadPoolExecutor(2) as threads:
        repairing = threads.submit(pair.store.repair)
        pause.wait()
        writing = threads.submit(pair.store.put, KEY, NEW)
        with pytest.raises(TimeoutError):
            writing.result(0.1)
        pause.release()
        repairing.result()
        writing.result()

    assert pair.contents() == (b"new, and longer",) * 2
    assert pair.missed() == {}


def test_what_may_still_land_waits_and_is_told(pair) -> None:
    """Nobody is at it, so it is not busy: time must pass."""
    pair.journal.quarantine = 60.0
    pair["us"].fail("put", UnavailableError("timed out", ambiguous=True))
    pair.store.put(KEY, NEW)

    report = pair.store.repair()

    assert (report.quarantined, report.busy, report.repaired) == (1, 0, 0)
    pair.clock.advance(61)
    assert pair.store.repair().repaired == 1


def test_a_repair_never_clears_what_a_later_write_marked(pair) -> None:
    """Should its lease have been lost, the row it knows is not the one there is."""
    pair.leave_behind("us")
    with pair["us"].pause("put") as pause, ThreadPoolExecutor(1) as thread:
        repairing = thread.submit(pair.store.repair)
        pause.wait()
        pair.journal.begin(KEY, {"us": "put", "eu": "put"})
        pause.release()
        assert repairing.result() == RepairReport(objects=1, busy=1)

    assert pair.missed() == {"us": "in_doubt", "eu": "in_doubt"}


def test_several_repairs_share_the_work(pair) -> None:
    """Each row is done once."""
    pair["us"].down()
    for number in range(40):
        pair.store.put(KEY._replace(width=number), NEW)
    pair["us"].up()
    before = pair["us"].calls["put"]

    with ThreadPoolExecutor(3) as threads:
        reports = list(threads.map(lambda _: pair.store.repair(), range(3)))

    assert sum(report.repaired for report in reports) == 40
    assert pair["us"].calls["put"] - before == 40
    assert list(pair.store.pending()) == []


# -- how it is asked for -----------------------------------------------------


def test_one_replica_may_be_repaired_alone(pair) -> None:
    """An unknown one is told, with those there are."""
    for name, key in (("us", KEY), ("eu", OTHER)):
        pair[name].fail("put")
        pair.store.put(key, NEW)

    assert pair.store.repair("eu").repaired == 1
    assert (pair.missed(KEY), pair.missed(OTHER)) == ({"us": "put"}, {})
    with pytest.raises(ValueError, match="no replica 'ap'; there are us, eu"):
        pair.store.repair("ap")


def test_a_pass_is_bounded_and_tells_how_far_it_is(pair) -> None:
    """By objects; the next one goes on."""
    pair["us"].down()
    for number in range(10):
        pair.store.put(KEY._replace(width=number), NEW)
    pair["us"].up()
    heard: list[RepairReport] = []

    report = pair.store.repair(limit=7, parallel=2, progress=heard.append)

    assert (report.objects, report.repaired) == (7, 7)
    assert [told.objects for told in heard] == [1, 2, 3, 4, 5, 6, 7]
    assert pair.store.repair().repaired == 3


def test_a_deadline_ends_a_pass(pair) -> None:
    """Between two objects; what is done is done."""
    pair["us"].down()
    for number in range(3):
        pair.store.put(KEY._replace(width=number), NEW)
    pair["us"].up()

    with pytest.raises(DeadlineError), deadline(0.0):
        pair.store.repair()
    assert pair.store.repair().repaired == 3


def test_a_journal_that_fails_ends_a_pass(pair) -> None:
    """There is nothing to go by."""
    pair.leave_behind("us")

    class Failing(MemoryJournal):
        def complete(self, row):
            raise UnavailableError("the journal is away")

    failing = Failing()
    failing._rows, failing._size = pair.journal._rows, pair.journal._size
    store = ReplicatedStore(pair.faults, journal=failing)
    with pytest.raises(UnavailableError, match="journal is away"):
        store.repair()


def test_the_status_tells_what_is_at_risk(pair) -> None:
    """Rows, age and error of each replica, and objects with a single copy."""
    began = pair.clock.time()
    pair["us"].down()
    pair.store.put(KEY, NEW)
    pair.clock.advance(60)
    pair.store.delete(OTHER)

    status = pair.store.status()

    assert status.rows == 2
    assert status.single_copies == 1
    assert list(status.replicas) == ["us"]
    assert status.replicas["us"].oldest == began
    assert "unavailable on purpose" in str(status.replicas["us"].last_error)
    pair["us"].up()
    pair.store.repair()
    assert pair.store.status().rows == 0


def test_without_a_journal_nothing_is_pending() -> None:
    """And a repair has nothing to do."""
    store = ReplicatedStore({"us": MemoryStore(), "eu": MemoryStore()})

    assert store.repair() == RepairReport()
    assert list(store.pending()) == []
    assert (store.status().rows, store.status().single_copies) == (0, 0)


def test_a_source_that_breaks_is_not_the_targets_fault() -> None:
    """Its circuit stays closed, and the row says who failed."""
    us, eu = FaultStore(MemoryStore()), FaultStore(MemoryStore())
    store = ReplicatedStore({"us": us, "eu": eu}, journal=MemoryJournal())
    eu.fail("put")
    store.put(KEY, Body.of(b"x" * 1000))
    us.tear(0.5, times=None)

    for _ in range(8):
        assert store.repair().failed == 1

    store.put(KEY, Body.of(b"y"))
    assert eu.child.get(KEY).read() == b"y"


def test_a_bug_of_one_object_does_not_stop_the_others() -> None:
    """Its row keeps what was raised; what comes after it is repaired."""
    us, eu = FaultStore(MemoryStore()), FaultStore(MemoryStore())
    store = ReplicatedStore({"us": us, "eu": eu}, journal=MemoryJournal())
    keys = [KEY._replace(object_id=number) for number in range(3)]
    eu.down()
    for key in keys:
        store.put(key, Body.of(b"x"))
    eu.heal()
    us.fail("get", lambda: KeyError("a bug"), times=None, key=keys[0])

    report = store.repair()

    assert (report.repaired, report.failed) == (2, 1)
    [row] = store.pending()
    assert "a bug" in str(row.last_error)


# -- dead letters ------------------------------------------------------------


def kill(pair: Mirror, name: str = "us", times: int = 20) -> None:
    """Let the repair of the object fail *times*, by an error of its own."""
    pair.leave_behind(name)
    for _ in range(times):
        pair[name].fail("put", TooLargeError("5 GiB at most"))
        pair.store.repair()


def test_what_fails_too_often_is_a_dead_letter(pair) -> None:
    """It is passed over, seen in the status, and tried when somebody says so."""
    kill(pair, times=19)
    assert not pair.journal.rows(KEY)["us"].dead
    pair["us"].fail("put", TooLargeError("5 GiB at most"))

    assert pair.store.repair().dead == 1

    assert pair.store.status().replicas["us"].dead == 1
    assert pair.store.repair() == RepairReport()
    pair.clock.advance(365 * 86400)
    assert pair.store.repair(due=True) == RepairReport()
    assert pair.contents() == (None, b"old")
    assert pair.store.repair(dead=True).repaired == 1
    assert pair.contents() == (b"old", b"old")
    assert pair.store.status().rows == 0


def test_whoever_listens_hears_of_it(pair) -> None:
    """An alert need not ask for the status."""
    kill(pair)

    heard = pair.events.of(RepairFailed)
    assert [event.attempts for event in heard] == list(range(1, 21))
    assert {event.outcome for event in heard[:-1]} == {"retried"}
    assert (heard[-1].outcome, heard[-1].replica) == ("dead", "us")
    assert isinstance(heard[-1].error, TooLargeError)


def test_a_dead_letter_that_fails_again_stays_one(pair) -> None:
    """One more attempt does not mean twenty more."""
    kill(pair)
    pair["us"].fail("put", TooLargeError("5 GiB at most"))

    assert pair.store.repair(dead=True).dead == 1
    assert pair.store.repair() == RepairReport()


def test_an_outage_makes_no_dead_letters(pair) -> None:
    """However long it is: what is back is repaired by itself."""
    pair.leave_behind("us")
    pair["us"].down()
    for _ in range(100):
        pair.store.repair()
    pair["us"].up()

    assert pair.store.repair().repaired == 1


def test_a_refusal_of_everybody_makes_no_dead_letters(pair) -> None:
    """A policy that was wrong for a night is put right, and that is all it takes."""
    pair.leave_behind("us")
    pair["us"].fail("put", DeniedError("no"), times=50)
    for _ in range(50):
        assert pair.store.repair().failed == 1

    assert pair.store.repair().repaired == 1


def test_a_source_that_is_damaged_makes_a_dead_letter(pair) -> None:
    """No outage that passes: somebody has to look at it."""
    pair.leave_behind("us")
    pair["eu"].fail("get", CorruptError("bad checksum"), times=None)
    for _ in range(20):
        pair.store.repair()

    assert pair.journal.rows(KEY)["us"].dead


def test_a_dead_letter_is_still_no_source_and_not_read(pair) -> None:
    """It is given up on, not forgotten."""
    pair.store.put(KEY, NEW)
    kill(pair)

    assert content(pair.store) == b"old"
    assert pair.contents() == (b"new, and longer", b"old")


def test_a_row_can_be_dropped_by_hand(pair) -> None:
    """The replica is believed again, whatever it has."""
    kill(pair)

    row = pair.store.forget(KEY, "us")

    assert row is not None
    assert row.dead
    assert pair.missed() == {}
    assert pair.store.forget(KEY, "us") is None


def test_nothing_is_dropped_beside_a_writer(pair) -> None:
    """Who holds the object knows better."""
    pair.leave_behind("us")
    lease = pair.journal.lease(KEY, 0)
    assert lease is not None

    with lease, pytest.raises(UnavailableError, match="somebody is writing"):
        pair.store.forget(KEY, "us")
    assert pair.missed() == {"us": "put"}


# -- how fast ----------------------------------------------------------------


def behind(pair: Mirror, count: int, size: int = 10) -> None:
    """Let ``us`` miss *count* objects of *size* bytes."""
    pair["us"].down()
    for number in range(count):
        pair.store.put(KEY._replace(width=number), Body.of(bytes(size)))
    pair["us"].up()


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [({"rate": 2}, 4.5), ({"bandwidth": 5}, 18), ({"rate": 2, "bandwidth": 5}, 18)],
)
def test_a_pass_keeps_its_limits(pair, limits, seconds) -> None:
    """Objects and bytes a second, whichever takes longer."""
    behind(pair, 10)
    began = pair.clock.monotonic()

    assert pair.store.repair(parallel=1, **limits).repaired == 10

    assert seconds <= pair.clock.monotonic() - began <= seconds * 1.3


def test_a_pass_yields_to_those_who_wait(pair) -> None:
    """While somebody reads, it works a quarter of the time; else all of it."""
    behind(pair, 10)
    held = OTHER
    pair.store.put(held, OLD)
    began = pair.clock.monotonic()

    def took(_report: RepairReport) -> None:
        pair.clock.advance(1)  # which each object takes

    pair.store.repair(parallel=1, limit=5, progress=took)
    alone = pair.clock.monotonic() - began

    def read(report: RepairReport) -> None:
        took(report)
        pair.store.get(held)

    began = pair.clock.monotonic()
    pair.store.repair(parallel=1, progress=read)
    beside = pair.clock.monotonic() - began

    assert alone == 5
    assert beside >= 3 * alone


def test_a_pass_is_stopped_between_objects(pair) -> None:
    """What is under way is finished, nothing else begins, and the next one goes on."""
    behind(pair, 10)
    stop = threading.Event()

    report = pair.store.repair(parallel=1, stop=stop, progress=lambda _: stop.set())

    assert report.repaired == 1
    assert pair.store.repair().repaired == 9


def test_a_stop_ends_a_pause(pair) -> None:
    """A slow pace does not make a slow end."""
    behind(pair, 2)
    stop = threading.Event()

    with ThreadPoolExecutor(1) as thread:
        first = threading.Event()
        done = thread.submit(
            pair.store.repair,
            parallel=1,
            rate=1e-6,
            stop=stop,
            progress=lambda _: first.set(),
        )
        assert first.wait(30)
        stop.set()
        assert done.result(30).repaired == 1


def test_what_is_down_is_asked_once_in_a_pass() -> None:
    """The other rows of the replica are not even looked at."""
    pair = Mirror("us", "eu", breaker=BreakerPolicy(failures=1, open=60.0))
    behind(pair, 30)
    pair["us"].down()
    with pytest.raises(UnavailableError):
        pair.store.replicas["us"].put(KEY, OLD)
    leases: list[Key] = []
    lease = pair.journal.lease
    pair.journal.lease = lambda key, seconds: leases.append(key) or lease(key, seconds)

    report = pair.store.repair(parallel=1)

    assert report.down == 30
    assert len(leases) <= 2


def test_what_came_late_everywhere_is_settled(pair) -> None:
    """Nobody can be believed then, and one of them must be right."""
    known = {}
    for name in ("us", "eu"):
        mark = pair.journal.begin(KEY, dict.fromkeys(("us", "eu"), "put"))
        failed = UnavailableError("down")
        outcomes = {one: failed if one == name else None for one in ("us", "eu")}
        pair.journal.settle(mark, outcomes)
        known[name] = pair.journal.rows(KEY)[name]
        pair.store.put(KEY, NEW)
    for row in known.values():
        pair.journal.complete(row)
    pair["us"].child.put(KEY, OLD)

    pair.store.repair()
    pair.store.repair()

    assert pair.contents() == (b"old", b"old")
    assert list(pair.journal.pending()) == []
