"""What a repair makes of one object, case by case."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.test_repair import KEY, NEW, OLD, Mirror
from tiered_store import lingering
from tiered_store.errors import DeadlineError, UnavailableError
from tiered_store.events import Repaired, RepairFailed
from tiered_store.policies.breaker import CircuitOpenError
from tiered_store.replication.mending import Selection
from tiered_store.replication.placement import Reproducible


LATE = UnavailableError("timed out", ambiguous=True)


@pytest.fixture
def pair() -> Mirror:
    return Mirror("us", "eu")


@pytest.fixture
def trio() -> Mirror:
    return Mirror("us", "eu", "ap")


def miss(mirror: Mirror, *names: str) -> None:
    """Let replicas miss a put of what is new."""
    for name in names:
        mirror[name].fail("put")
    mirror.store.put(KEY, NEW)


# -- a replica that is behind ---------------------------------------------------


def test_of_several_that_missed_an_object_one_may_be_repaired_alone(trio) -> None:
    """The other may be where nothing is to be written just now."""
    miss(trio, "us", "eu")

    assert trio.store.repair("eu").repaired == 1
    assert trio.missed() == {"us": "put"}


def test_who_was_just_repaired_is_a_source(trio) -> None:
    """The only one by then is away: the pass need not wait for its return."""
    miss(trio, "us", "eu")
    with (
        trio["us"].pause("put", after_apply=True) as pause,
        ThreadPoolExecutor(1) as thread,
    ):
        repair = thread.submit(trio.store.repair)
        pause.wait()
        trio["ap"].down()
        pause.release()

        assert repair.result().repaired == 2
    assert trio.contents() == (NEW.read(),) * 3


def test_a_source_that_cannot_say_keeps_a_row(trio) -> None:
    """It may have what another one, which should have it, is without."""
    miss(trio, "eu")
    trio["us"].fail("get")
    trio["ap"].child.delete(KEY)

    assert trio.store.repair().failed == 1
    assert trio.missed() == {"eu": "put"}
    assert trio.store.repair().repaired == 1
    assert trio.contents() == (NEW.read(), NEW.read(), None)


def test_who_knows_no_other_replica_clears_nothing(pair) -> None:
    """Its configuration lacks the one that has the object."""
    miss(pair, "us")
    alone = Mirror("us")
    alone.store._journal = pair.journal

    report = alone.store.repair()

    assert (report.failed, report.repaired) == (1, 0)
    assert "no replica that is not behind" in pair.journal.rows(KEY)["us"].last_error
    assert pair.missed() == {"us": "put"}


def test_a_replica_that_is_down_is_not_noted_as_tried(pair) -> None:
    """Every note is a change of the journal, for every row that it has."""
    pair.journal.quarantine = 60.0
    keys = [KEY._replace(width=width) for width in range(3)]
    for key in keys:
        pair["us"].fail("put")
        pair.store.put(key, NEW)
    pair["us"].down(CircuitOpenError("known to be down"))
    tried = []
    attempt = pair.journal.attempt
    pair.journal.attempt = lambda row: tried.append(row) or attempt(row)

    mending = pair.store._mending()
    reports = [mending.mend(key, Selection()) for key in keys]

    assert [one.down for one in reports] == [1, 1, 1]
    assert len(tried) == 1


@pytest.mark.parametrize(("verb", "side"), [("put", "us"), ("get", "eu")])
@pytest.mark.parametrize("kind", [DeadlineError, CircuitOpenError])
def test_whoever_was_not_asked_is_not_blamed(pair, verb, side, kind) -> None:
    """Neither the target nor the source; a dead letter must be of the row's making."""
    miss(pair, "us")
    pair[side].fail(verb, kind("not asked"))

    report = pair.store.repair()

    assert (report.down, report.failed) == (1, 0)
    assert pair.journal.rows(KEY)["us"].attempts == 0
    assert pair.events.of(RepairFailed) == []


def test_an_outage_of_weeks_is_waited_for_as_patiently_as_one_of_hours(pair) -> None:
    """Thousands of attempts are no number that cannot be computed with."""
    miss(pair, "us")
    row = pair.journal.rows(KEY)["us"]
    pair.journal.blame(row._replace(attempts=5000), "down", 0.0)
    pair["us"].down()

    assert pair.store.repair().failed == 1
    assert 0 < pair.journal.rows(KEY)["us"].retry_at - pair.clock.time() <= 60


# -- what may still land --------------------------------------------------------


@pytest.mark.parametrize("verb", ["put", "delete"])
def test_a_repair_that_timed_out_is_waited_for(pair, verb) -> None:
    """It may land on top of the next one, or of a write."""
    pair.journal.quarantine = 60.0
    pair.leave_behind("us", verb)
    pair["us"].fail(verb, LATE)
    assert pair.store.repair().failed == 1

    assert pair.store.repair().quarantined == 1
    pair.clock.advance(61)
    assert pair.store.repair().repaired == 1


@pytest.mark.parametrize("verb", ["put", "delete"])
def test_a_repair_that_surely_failed_is_not_waited_for(pair, verb) -> None:
    """Nothing of it is on its way."""
    pair.journal.quarantine = 60.0
    pair.leave_behind("us", verb)
    pair["us"].fail(verb)
    assert pair.store.repair().failed == 1

    assert pair.store.repair().repaired == 1


def test_what_lingers_is_nothing_where_nothing_can_be_late(pair) -> None:
    """So the journal says, whose quarantine is none."""
    miss(pair, "us")
    put = pair["us"].child.put

    def put_again(*of_it) -> None:
        put(*of_it)
        lingering.note()

    pair["us"].child.put = put_again

    assert pair.store.repair().repaired == 1
    assert pair.missed() == {}


def test_each_row_in_quarantine_is_told_once(trio) -> None:
    """And one that is not is repaired beside it."""
    trio.journal.quarantine = 60.0
    trio["us"].fail("put", LATE)
    trio["eu"].fail("put", LATE)
    trio.store.put(KEY, NEW)
    assert trio.store.repair().quarantined == 2

    trio.clock.advance(61)
    trio["us"].fail("put", LATE)
    assert trio.store.repair("us").failed == 1
    report = trio.store.repair()

    assert (report.quarantined, report.repaired, report.busy) == (1, 1, 0)


def test_a_row_that_was_replaced_is_busy(pair) -> None:
    """Somebody who took the lease over is at it, and nothing may still land."""
    miss(pair, "us")
    row = pair.journal.rows(KEY)["us"]
    attempt = pair.journal.attempt
    pair.journal.quarantine = 60.0
    pair.journal.attempt = lambda _: attempt(row._replace(sequence=-1))

    report = pair.store.repair()

    assert (report.busy, report.quarantined, report.repaired) == (1, 0, 0)


# -- a write that did not end ---------------------------------------------------


def test_a_doubt_that_stays_does_not_blame_who_is_behind(trio) -> None:
    """That one is blamed for itself, and must not be a dead letter in half the time."""
    slow = trio.journal.begin(KEY, dict.fromkeys(trio.faults, "put"))
    trio.journal.settle(slow, {"us": LATE, "eu": None, "ap": None})
    miss(trio, "eu")
    trio.journal.arrive(slow, "us", None)
    assert trio.missed() == {"us": "in_doubt", "eu": "put"}
    trio["ap"].fail("get", times=2)

    assert trio.store.repair().failed == 2
    assert [row.attempts for row in trio.journal.rows(KEY).values()] == [1, 1]


def test_what_nobody_can_say_is_not_taken_for_gone(pair) -> None:
    """Its configuration lacks the replica that was not behind when a write began."""
    pair.store.put(KEY, OLD)
    miss(pair, "us")
    pair.journal.begin(KEY, {"us": "put", "eu": "put"})
    alone = Mirror("us")
    alone["us"].child.put(KEY, OLD)
    alone.store._journal = pair.journal

    assert alone.store.repair().failed == 2
    assert alone.contents() == (OLD.read(),)
    assert pair.missed() == {"us": "in_doubt", "eu": "in_doubt"}


def test_a_delete_that_did_not_end_is_completed_where_a_put_is_late(trio) -> None:
    """Any of the doubts may be the one of the delete."""
    trio.store.put(KEY, OLD)
    late = trio.journal.begin(KEY, dict.fromkeys(trio.faults, "put"))
    trio.journal.settle(late, dict.fromkeys(trio.faults))
    trio.journal.begin(KEY, {"us": "delete", "eu": "delete"})
    trio.journal.arrive(late, "ap", None)

    trio.store.repair()

    assert trio.contents() == (None, None, None)
    assert trio.missed() == {}


def test_who_said_that_there_is_none_is_not_told_to_delete(pair) -> None:
    """Of a put that nobody took there is nothing to undo."""
    pair.crash("put", (None, None))
    pair["us"].calls.clear()

    assert pair.store.repair().repaired == 2
    assert pair["us"].calls["delete"] + pair["eu"].calls["delete"] == 0


def test_who_rightly_lacks_what_is_kept_elsewhere_is_not_told_to_drop_it() -> None:
    """A look has shown that there is nothing to drop."""
    cheap = Mirror("us", "eu", reproducible=Reproducible(replicas=["us"]))
    cheap.journal.begin(KEY, {"us": "put", "eu": "drop"}, reproducible=True)
    cheap["us"].child.put(KEY, NEW)

    assert cheap.store.repair().repaired == 2
    assert cheap["eu"].calls["delete"] == 0


def test_a_doubt_is_told_where_it_is_over(pair) -> None:
    """By whom it was settled without a change, and by whom with one."""
    pair.crash("put", (b"old", b"new"))

    pair.store.repair()

    told = [(event.replica, event.verb) for event in pair.events.of(Repaired)]
    assert told == [("us", "none"), ("eu", "put")]
