"""
What every journal must do, rule by rule.

.. code-block:: python

   class TestMyJournal(JournalConformance):
       @pytest.fixture
       def make(self, clock):
           return lambda **options: MyJournal(clock=clock, **options)

The fixture returns what makes a journal of the *options* that it is given, of which
there is only ``capacity``: an empty one without quarantine.
"""

from __future__ import annotations

import threading

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from tiered_store.errors import ConfigError, FullError, UnavailableError
from tiered_store.journals.journal import Journal
from tiered_store.journals.keylocks import Lease
from tiered_store.journals.row import NEVER, Intent, is_gone, key_of, name_of
from tiered_store.key import Key
from tiered_store.testing.clock import FakeClock


Make = Callable[..., Journal]

KEY = Key("comics.cover", 5, 30, 40, "image/png")
OTHER = KEY._replace(object_id=6)
PUT: Mapping[str, Intent] = {"us": "put", "eu": "put"}
DELETE: Mapping[str, Intent] = {"us": "delete", "eu": "delete"}
DOWN = UnavailableError("down")
LATE = UnavailableError("timed out", ambiguous=True)
MANY = 260  # objects with two rows each are more than a page


def missed(journal: Journal, key: Key = KEY) -> dict[str, str]:
    """Return by replica what it missed of *key*."""
    return {name: row.verb for name, row in journal.rows(key).items()}


def write(
    journal: Journal,
    intents: Mapping[str, Intent] = PUT,
    *,
    failed: tuple[str, ...] = (),
    error: BaseException = DOWN,
    key: Key = KEY,
) -> None:
    """Note a write of *key* that every replica took but those that *failed*."""
    mark = journal.begin(key, intents)
    journal.settle(mark, {name: error if name in failed else None for name in intents})


def held(journal: Journal, key: Key, seconds: float) -> Lease:
    """Return the lease on *key*, which is to be had in *seconds*."""
    lease = journal.lease(key, seconds)
    assert lease is not None
    return lease


class JournalConformance:
    """The promises of a journal; inherit, and give the fixture ``make``."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        """Return the clock that the journal is given."""
        return FakeClock()

    @pytest.fixture
    def make(self, clock: FakeClock) -> Make:
        """Return what makes a journal."""
        raise NotImplementedError

    @pytest.fixture
    def journal(self, make: Make) -> Journal:
        """Return an empty journal."""
        return make()

    @pytest.fixture
    def careful(self, journal: Journal) -> Journal:
        """Return one that expects changes which nobody waits for."""
        journal.quarantine = 60.0
        return journal

    def test_a_write_marks_every_replica_before_it_begins(
        self, journal: Journal
    ) -> None:
        """A crash right after finds a row for each that may have been touched."""
        journal.begin(KEY, PUT)

        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}
        assert not any(row.behind for row in journal.rows(KEY).values())
        assert missed(journal, OTHER) == {}

    def test_a_write_that_all_acknowledged_leaves_nothing(
        self, journal: Journal
    ) -> None:
        """Then nobody is behind."""
        write(journal)

        assert journal.rows(KEY) == {}
        assert list(journal.pending()) == []

    def test_who_missed_a_put_is_behind(self, journal: Journal) -> None:
        """With the error, for whoever looks at the status."""
        write(journal, failed=("eu",))

        row = journal.rows(KEY)["eu"]
        assert (row.verb, row.behind, row.last_error) == ("put", True, "down")
        assert "us" not in journal.rows(KEY)

    def test_a_put_that_nobody_took_stays_in_doubt(self, journal: Journal) -> None:
        """It may have arrived all the same, or not."""
        write(journal, failed=("us", "eu"))

        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}
        assert journal.rows(KEY)["us"].last_error == "down"

    def test_a_put_is_not_taken_by_a_replica_that_only_drops(
        self, journal: Journal
    ) -> None:
        """That an old copy is gone somewhere does not mean that the new one exists."""
        write(journal, {"us": "put", "eu": "drop"}, failed=("us",))

        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}

    def test_a_copy_that_could_not_be_dropped_is_remembered(
        self, journal: Journal
    ) -> None:
        """It is no deletion: the object exists."""
        write(journal, {"us": "put", "eu": "drop"}, failed=("eu",))

        assert missed(journal) == {"eu": "drop"}
        assert not is_gone(journal.rows(KEY))

    def test_a_delete_is_remembered_though_nobody_took_it(
        self, journal: Journal
    ) -> None:
        """Once asked for, it is completed."""
        write(journal, DELETE, failed=("us", "eu"))

        assert missed(journal) == {"us": "delete", "eu": "delete"}
        assert is_gone(journal.rows(KEY))

    def test_what_was_deleted_is_gone_while_a_put_is_in_doubt(
        self, journal: Journal
    ) -> None:
        """Nobody can be believed then, and nobody was told that it is there again."""
        write(journal, DELETE, failed=("us", "eu"))
        mark = journal.begin(KEY, PUT)

        assert is_gone(journal.rows(KEY))
        assert not mark.clean
        journal.settle(mark, {"us": None, "eu": DOWN})
        assert not is_gone(journal.rows(KEY))

    def test_the_last_write_wins(self, journal: Journal) -> None:
        """One row a replica and object, whatever happened before."""
        write(journal, DELETE, failed=("eu",))
        write(journal, PUT, failed=("eu",))

        assert missed(journal) == {"eu": "put"}

    def test_rewriting_heals(self, journal: Journal) -> None:
        """A replica that takes a later write is clean."""
        write(journal, failed=("eu",))
        write(journal)

        assert journal.rows(KEY) == {}

    @pytest.mark.parametrize("intents", [PUT, DELETE])
    def test_who_was_behind_is_not_believed_in_doubt(
        self, journal: Journal, intents: Mapping[str, Intent]
    ) -> None:
        """It has neither the object as it was nor as it is to become."""
        write(journal, intents, failed=("eu",))

        journal.begin(KEY, PUT)

        rows = journal.rows(KEY)
        assert rows["eu"].prior == intents["eu"]
        assert rows["eu"].behind
        assert not rows["us"].behind

    def test_who_was_behind_stays_so_through_two_doubts(self, journal: Journal) -> None:
        """The second write that does not end must not forget what the first knew."""
        write(journal, DELETE, failed=("eu",))
        journal.begin(KEY, PUT)
        journal.begin(KEY, PUT)

        assert journal.rows(KEY)["eu"].behind

    def test_an_earlier_doubt_does_not_make_behind(self, journal: Journal) -> None:
        """Old, middle and new are all right then."""
        journal.begin(KEY, PUT)
        journal.begin(KEY, PUT)

        assert not journal.rows(KEY)["eu"].behind

    def test_the_age_is_that_of_the_first_miss(
        self, journal: Journal, clock: FakeClock
    ) -> None:
        """An operator asks since when a replica has been behind."""
        began = clock.time()
        write(journal, failed=("eu",))
        clock.advance(100)
        write(journal, failed=("eu",))

        assert journal.rows(KEY)["eu"].since == began

    def test_a_withdrawn_write_was_never_there(self, journal: Journal) -> None:
        """Rows that were there before are again, with what they said."""
        journal.withdraw(journal.begin(KEY, PUT))
        assert journal.rows(KEY) == {}

        write(journal, DELETE, failed=("eu",))
        journal.withdraw(journal.begin(KEY, PUT))
        row = journal.rows(KEY)["eu"]
        assert (row.verb, row.intent, row.prior) == ("delete", "delete", None)

    def test_a_withdrawn_delete_leaves_no_wish_to_delete(
        self, journal: Journal
    ) -> None:
        """An earlier doubt goes on as one, and is settled by what is there."""
        journal.begin(KEY, PUT)
        journal.withdraw(journal.begin(KEY, DELETE))

        rows = journal.rows(KEY)
        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}
        assert {row.intent for row in rows.values()} == {"put"}

    def test_a_write_that_was_overtaken_leaves_all_in_doubt(
        self, journal: Journal
    ) -> None:
        """Two writes at once mean that nobody knows which bytes are where."""
        slow = journal.begin(KEY, PUT)
        write(journal)

        journal.settle(slow, {"us": None, "eu": None})

        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}

    def test_a_replica_nobody_knows_any_more_misses_the_write_too(
        self, journal: Journal
    ) -> None:
        """When it is configured again, it is behind by this write, not by the last."""
        write(journal, DELETE, failed=("eu",))

        write(journal, {"us": "put"})

        assert missed(journal) == {"eu": "put"}

    def test_a_row_is_cleared_by_who_knows_it(self, journal: Journal) -> None:
        """A slow repair never masks what a later write has marked."""
        write(journal, failed=("eu",))
        known = journal.rows(KEY)["eu"]
        write(journal, failed=("eu",))

        assert not journal.clear(known)
        assert missed(journal) == {"eu": "put"}
        assert journal.clear(journal.rows(KEY)["eu"])
        assert journal.rows(KEY) == {}

    def test_sequences_are_never_used_again(self, journal: Journal) -> None:
        """Else a row could be cleared by who knew another one."""
        write(journal, failed=("eu",))
        known = journal.rows(KEY)["eu"]
        journal.clear(known)
        write(journal, failed=("eu",))

        assert journal.rows(KEY)["eu"].sequence > known.sequence
        assert not journal.clear(known)

    def test_a_failed_repair_is_noted(self, journal: Journal, clock: FakeClock) -> None:
        """How often, why, and when to try again."""
        write(journal, failed=("eu",))
        row = journal.rows(KEY)["eu"]

        journal.blame(row, "still down", clock.time() + 5)
        journal.blame(journal.rows(KEY)["eu"], "refused", clock.time() + 9)

        row = journal.rows(KEY)["eu"]
        assert (row.attempts, row.last_error) == (2, "refused")
        assert row.retry_at == clock.time() + 9
        journal.blame(row._replace(sequence=0), "other", 0)
        assert journal.rows(KEY)["eu"] == row

    def test_a_reader_notes_who_lacks_an_object(self, journal: Journal) -> None:
        """Reading heals."""
        assert journal.lack(KEY, ["eu"])

        assert missed(journal) == {"eu": "put"}

    def test_a_reader_notes_nothing_beside_a_write(self, journal: Journal) -> None:
        """What it saw may be what the write is changing right now."""
        journal.begin(KEY, DELETE)

        assert not journal.lack(KEY, ["eu"])
        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}

    def test_doubt_is_resolved_as_it_was_seen(self, journal: Journal) -> None:
        """For all replicas in one step."""
        journal.begin(KEY, PUT)

        resolved = journal.resolve(
            KEY, journal.rows(KEY), {"us": None, "eu": "put", "ap": "put"}
        )

        assert resolved
        assert missed(journal) == {"eu": "put", "ap": "put"}
        assert all(row.behind for row in journal.rows(KEY).values())

    def test_doubt_that_has_changed_is_not_resolved(self, journal: Journal) -> None:
        """A write came in between and knows better."""
        journal.begin(KEY, PUT)
        seen = journal.rows(KEY)
        journal.begin(KEY, PUT)

        assert not journal.resolve(KEY, seen, {"us": None, "eu": None})
        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}

    def test_what_a_write_said_is_kept_for_the_copy(self, journal: Journal) -> None:
        """A repaired thumbnail is kept as cheaply as the others."""
        mark = journal.begin(KEY, PUT, reproducible=True)
        journal.settle(mark, {"us": None, "eu": DOWN})

        assert journal.rows(KEY)["eu"].reproducible

    def test_how_large_the_object_is_stays_known(self, journal: Journal) -> None:
        """So that it can be told how much a replica has to catch up with."""
        mark = journal.begin(KEY, {"us": "put", "eu": "put", "ap": "drop"}, size=2**40)
        assert {name: row.size for name, row in journal.rows(KEY).items()} == {
            "us": 2**40,
            "eu": 2**40,
            "ap": 0,
        }
        journal.settle(mark, {"us": None, "eu": DOWN, "ap": DOWN})
        journal.blame(journal.rows(KEY)["eu"], "refused", 0.0)
        journal.settle(journal.begin(OTHER, PUT, size=5), {"us": None, "eu": DOWN})

        assert journal.backlogs()["eu"].size == 2**40 + 5
        assert journal.backlogs()["ap"].size == 0
        write(journal, DELETE, failed=("eu",))
        assert journal.backlogs()["eu"].size == 5

    def test_a_dead_letter_is_counted_until_it_is_written_again(
        self, journal: Journal
    ) -> None:
        """A new object may fare better."""
        write(journal, failed=("eu",))
        journal.blame(journal.rows(KEY)["eu"], "refused", NEVER)

        assert journal.rows(KEY)["eu"].dead
        assert journal.backlogs()["eu"].dead == 1
        write(journal, failed=("eu",))
        assert not journal.rows(KEY)["eu"].dead
        assert journal.backlogs()["eu"].dead == 0

    def test_it_knows_since_when_it_remembers(self, make: Make) -> None:
        """What happened before, nobody may conclude anything from its silence about."""
        born = make().born()

        assert born is not None
        assert born > 1_600_000_000

    def test_a_full_journal_refuses(self, make: Make) -> None:
        """Loudly, before anything is written; what has rows may be written again."""
        journal = make(capacity=3)
        write(journal, failed=("us", "eu"))

        with pytest.raises(FullError, match="full: 2 of 3"):
            journal.begin(OTHER, PUT)

        assert journal.rows(OTHER) == {}
        write(journal, failed=("eu",))
        journal.begin(OTHER, PUT)

    def test_a_full_journal_does_not_disturb_readers(self, make: Make) -> None:
        """A read that found a replica lacking has succeeded."""
        journal = make(capacity=1)
        journal.lack(KEY, ["eu"])

        assert not journal.lack(OTHER, ["eu"])

    def test_everything_pending_is_listed_once(self, journal: Journal) -> None:
        """However much it is, by object, for one replica or all."""
        keys = [KEY._replace(object_id=number) for number in range(MANY)]
        for key in keys:
            journal.begin(key, PUT)
        journal.lack(OTHER._replace(width=1), ["eu"])

        rows = list(journal.pending())

        assert len(rows) == 2 * MANY + 1
        assert len({(row.key, row.replica) for row in rows}) == len(rows)
        seen: list[Key] = []
        for row in rows:
            if not seen or seen[-1] != row.key:
                seen.append(row.key)
        assert len(seen) == len(set(seen)) == MANY + 1
        assert len(list(journal.pending("us"))) == MANY
        assert {row.replica for row in journal.pending("eu")} == {"eu"}

    def test_the_backlog_is_summed_up(self, journal: Journal, clock: FakeClock) -> None:
        """Rows, doubts, age and the last error of each replica."""
        began = clock.time()
        write(journal, failed=("eu",))
        clock.advance(60)
        journal.begin(OTHER, PUT)
        journal.blame(journal.rows(OTHER)["eu"], "earlier", clock.time() - 1)
        journal.blame(journal.rows(KEY)["eu"], "refused", clock.time())

        backlogs = journal.backlogs()

        eu, us = backlogs["eu"], backlogs["us"]
        assert (eu.rows, eu.in_doubt, eu.oldest) == (2, 1, began)
        assert eu.last_error == "refused"
        assert (us.rows, us.in_doubt, us.last_error) == (1, 1, None)

    def test_objects_with_few_copies_are_counted(self, journal: Journal) -> None:
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
    def test_unusual_keys_are_kept_apart(self, journal: Journal, key: Key) -> None:
        """Any valid key comes back as it was."""
        assert key_of(name_of(key)) == key
        write(journal, failed=("eu",), key=key)

        assert [row.key for row in journal.pending()] == [key]
        assert missed(journal, key) == {"eu": "put"}

    # -- changes that nobody waits for ---------------------------------------

    def test_a_doubt_is_not_settled_before_its_quarantine_is_over(
        self, careful: Journal, clock: FakeClock
    ) -> None:
        """Whoever left it may be slow, and not dead."""
        careful.begin(KEY, PUT)
        nothing: Mapping[str, Intent | None] = {"us": None, "eu": None}

        assert not careful.resolve(KEY, careful.rows(KEY), nothing)
        clock.advance(59)
        assert not careful.resolve(KEY, careful.rows(KEY), nothing)
        assert missed(careful) == {"us": "in_doubt", "eu": "in_doubt"}
        clock.advance(2)
        assert careful.resolve(KEY, careful.rows(KEY), nothing)
        assert careful.rows(KEY) == {}

    def test_who_is_slow_may_settle_while_it_is_in_quarantine(
        self, careful: Journal
    ) -> None:
        """It knows how its write went, after all."""
        mark = careful.begin(KEY, PUT)
        careful.resolve(KEY, careful.rows(KEY), {"us": None, "eu": None})

        careful.settle(mark, {"us": None, "eu": None})

        assert careful.rows(KEY) == {}

    def test_a_write_over_a_doubt_is_looked_at_again(
        self, careful: Journal, clock: FakeClock
    ) -> None:
        """What the earlier writer sent may arrive after it."""
        careful.begin(KEY, PUT)
        write(careful)

        assert missed(careful) == {"us": "in_doubt", "eu": "in_doubt"}
        assert not any(row.behind for row in careful.rows(KEY).values())
        assert not careful.resolve(KEY, careful.rows(KEY), {"us": None, "eu": None})
        clock.advance(61)
        assert careful.resolve(KEY, careful.rows(KEY), {"us": None, "eu": None})

    def test_a_write_that_outlasts_a_quarantine_is_looked_at_again(
        self, careful: Journal, clock: FakeClock
    ) -> None:
        """What it was for may have landed on top, before the write was settled."""
        careful.begin(KEY, PUT)
        slow = careful.begin(KEY, PUT)
        clock.advance(61)
        careful.settle(slow, {"us": None, "eu": None})

        rows = careful.rows(KEY)
        assert missed(careful) == {"us": "in_doubt", "eu": "in_doubt"}
        assert careful.resolve(KEY, rows, {"us": None, "eu": "put"})

    def test_a_delete_over_a_doubt_is_remembered(
        self, careful: Journal, clock: FakeClock
    ) -> None:
        """What arrives after it must not bring the object back."""
        careful.begin(KEY, PUT)
        write(careful, DELETE)

        assert is_gone(careful.rows(KEY))
        assert not careful.clear(careful.rows(KEY)["us"])
        clock.advance(61)
        assert careful.clear(careful.rows(KEY)["us"])

    def test_writes_in_quarantine_do_not_prolong_it(
        self, careful: Journal, clock: FakeClock
    ) -> None:
        """An object that is written all the time is settled all the same."""
        careful.begin(KEY, PUT)
        for _ in range(4):
            write(careful)
            clock.advance(16)

        write(careful)

        assert careful.rows(KEY) == {}

    def test_a_replica_where_a_request_timed_out_is_repaired_later(
        self, careful: Journal, clock: FakeClock
    ) -> None:
        """A copy before that might be overwritten by it."""
        write(careful, failed=("eu",), error=LATE)

        assert missed(careful) == {"eu": "put"}
        assert careful.attempt(careful.rows(KEY)["eu"]) is None
        clock.advance(61)
        attempt = careful.attempt(careful.rows(KEY)["eu"])
        assert attempt is not None
        assert careful.complete(attempt)
        assert careful.rows(KEY) == {}

    def test_a_repair_that_did_not_end_may_arrive_late(
        self, careful: Journal, clock: FakeClock
    ) -> None:
        """So its replica is looked at again, whoever writes meanwhile."""
        write(careful, failed=("eu",))
        assert careful.attempt(careful.rows(KEY)["eu"]) is not None
        clock.advance(61)  # it is slow, and may have ended this very moment

        assert careful.attempt(careful.rows(KEY)["eu"]) is None
        write(careful)
        assert missed(careful) == {"eu": "put"}
        clock.advance(61)
        assert careful.attempt(careful.rows(KEY)["eu"]) is not None

    def test_a_repair_that_did_nothing_may_begin_again(self, careful: Journal) -> None:
        """At once; and one that was overtaken leaves all as it is."""
        write(careful, failed=("eu",))
        old = careful.rows(KEY)["eu"]
        attempt = careful.attempt(old)
        assert attempt is not None

        careful.forgo(old)
        assert careful.attempt(careful.rows(KEY)["eu"]) is None
        careful.forgo(attempt)

        assert careful.attempt(careful.rows(KEY)["eu"]) is not None

    def test_without_late_changes_a_repair_is_not_noted(self, journal: Journal) -> None:
        """Which spares a step for each object."""
        write(journal, failed=("eu",))
        row = journal.rows(KEY)["eu"]

        assert journal.attempt(row) is row
        journal.forgo(row)
        assert journal.rows(KEY)["eu"] == row

    def test_a_request_that_timed_out_may_overwrite_what_came_later(
        self, careful: Journal, clock: FakeClock
    ) -> None:
        """So its replica is not believed, if there is another one."""
        write(careful, failed=("eu",), error=LATE)
        write(careful)

        assert missed(careful) == {"eu": "put"}
        assert not careful.clear(careful.rows(KEY)["eu"])
        clock.advance(61)
        assert careful.clear(careful.rows(KEY)["eu"])

    def test_a_repair_of_what_was_replaced_does_not_begin(
        self, careful: Journal
    ) -> None:
        """It would do what is not to be done any more."""
        write(careful, failed=("eu",))
        replaced = careful.rows(KEY)["eu"]
        write(careful, DELETE, failed=("eu",))

        assert careful.attempt(replaced) is None
        assert missed(careful) == {"eu": "delete"}

    def test_who_is_not_known_any_more_misses_a_delete_as_one(
        self, journal: Journal
    ) -> None:
        """So that what it has is not taken for the object when it is known again."""
        write(journal, failed=("eu",))
        write(journal, {"us": "delete"})

        assert missed(journal) == {"eu": "delete"}
        assert is_gone(journal.rows(KEY))

    def test_what_was_seen_of_a_withdrawn_write_settles_nothing(
        self, journal: Journal
    ) -> None:
        """Its rows are as they were before, and say something else."""
        write(journal, DELETE, failed=("us", "eu"))
        mark = journal.begin(KEY, PUT)
        seen = journal.rows(KEY)
        journal.withdraw(mark)

        assert not journal.resolve(KEY, seen, dict.fromkeys(PUT))
        assert missed(journal) == {"us": "delete", "eu": "delete"}

    def test_who_comes_in_quarantine_does_not_prolong_it(
        self, careful: Journal, clock: FakeClock
    ) -> None:
        """Nothing more is to be expected of it, and of the others no longer."""
        mark = careful.begin(KEY, PUT)
        careful.settle(mark, dict.fromkeys(PUT, LATE))
        assert not careful.resolve(KEY, careful.rows(KEY), dict.fromkeys(PUT))
        clock.advance(30)
        careful.arrive(mark, "eu", None)
        clock.advance(31)

        assert careful.resolve(KEY, careful.rows(KEY), dict.fromkeys(PUT))
        assert missed(careful) == {}

    def test_a_withdrawn_write_forgets_no_quarantine(
        self, careful: Journal, clock: FakeClock
    ) -> None:
        """It was never there, but an earlier one was."""
        write(careful, failed=("eu",), error=LATE)
        careful.withdraw(careful.begin(KEY, PUT))

        assert missed(careful) == {"eu": "put"}
        assert not careful.clear(careful.rows(KEY)["eu"])
        clock.advance(61)
        assert careful.clear(careful.rows(KEY)["eu"])

    def test_what_failed_for_sure_is_cleared_at_once(self, careful: Journal) -> None:
        """Only what may have been sent can arrive."""
        write(careful, failed=("eu",))

        assert careful.clear(careful.rows(KEY)["eu"])

    def test_who_took_an_overtaken_write_is_not_behind(self, journal: Journal) -> None:
        """It has one of the two, so the object is not as gone as it was before."""
        write(journal, DELETE, failed=("us", "eu"))
        slow = journal.begin(KEY, PUT)
        journal.begin(KEY, PUT)

        journal.settle(slow, {"us": None, "eu": DOWN})

        rows = journal.rows(KEY)
        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}
        assert (rows["us"].behind, rows["eu"].behind) == (False, True)

    def test_who_missed_the_write_that_came_in_between_stays_behind(
        self, journal: Journal
    ) -> None:
        """Though it took the one that was overtaken; a third may have come since."""
        slow = journal.begin(KEY, PUT)
        write(journal, failed=("us",))

        journal.settle(slow, {"us": None, "eu": None})

        rows = journal.rows(KEY)
        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}
        assert (rows["us"].behind, rows["eu"].behind) == (True, False)

    def test_who_took_the_second_of_two_writes_is_believed(
        self, journal: Journal
    ) -> None:
        """Though it missed the first one, which ended before."""
        first, second = journal.begin(KEY, PUT), journal.begin(KEY, PUT)
        journal.settle(first, {"us": None, "eu": DOWN})

        journal.settle(second, {"us": DOWN, "eu": None})

        rows = journal.rows(KEY)
        assert (rows["us"].behind, rows["eu"].behind) == (True, False)

    def test_a_late_repair_is_not_forgotten_by_the_write_it_met(
        self, journal: Journal
    ) -> None:
        """It may have brought back what the write has just deleted there."""
        write(journal, failed=("us",))
        late = journal.rows(KEY)["us"]
        mark = journal.begin(KEY, DELETE)
        assert not journal.complete(late)

        journal.settle(mark, {"us": None, "eu": None})

        rows = journal.rows(KEY)
        assert (rows["us"].behind, rows["eu"].behind) == (True, False)

    def test_a_repair_that_was_overtaken_leaves_its_replica_behind(
        self, journal: Journal
    ) -> None:
        """It may just have put back what a later write had replaced."""
        write(journal, failed=("eu",))
        known = journal.rows(KEY)["eu"]
        write(journal)

        assert not journal.complete(known)

        row = journal.rows(KEY)["eu"]
        assert (row.verb, row.prior, row.behind) == ("in_doubt", "late", True)
        assert journal.resolve(KEY, journal.rows(KEY), {"us": None, "eu": "put"})
        assert missed(journal) == {"eu": "put"}

    def test_a_repair_among_writes_leaves_its_replica_behind(
        self, journal: Journal
    ) -> None:
        """And the write finds out that somebody came in between."""
        write(journal, failed=("eu",))
        known = journal.rows(KEY)["eu"]
        write(journal)
        mark = journal.begin(KEY, PUT)

        assert not journal.complete(known)
        assert journal.rows(KEY)["eu"].behind
        journal.settle(mark, {"us": None, "eu": None})

        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}

    @pytest.mark.parametrize("intents", [PUT, DELETE])
    def test_who_took_a_write_after_it_was_settled_is_clean(
        self, journal: Journal, intents: Mapping[str, Intent]
    ) -> None:
        """Until then it was behind, like one that failed."""
        mark = journal.begin(KEY, intents)
        journal.settle(mark, {"us": None, "eu": LATE})
        assert missed(journal) == {"eu": intents["eu"]}

        journal.arrive(mark, "eu", None)

        assert journal.rows(KEY) == {}

    def test_who_was_under_way_may_be_late_by_when_somebody_looks(
        self, careful: Journal, clock: FakeClock
    ) -> None:
        """Whoever waited for it may have died at any time since it was settled."""
        mark = careful.begin(KEY, PUT)
        late = UnavailableError("under way", ambiguous=True, under_way=True)
        careful.settle(mark, {"us": None, "eu": late})
        clock.advance(61)

        assert careful.attempt(careful.rows(KEY)["eu"]) is None
        clock.advance(59)
        assert careful.attempt(careful.rows(KEY)["eu"]) is None
        clock.advance(2)
        assert careful.attempt(careful.rows(KEY)["eu"]) is not None

    def test_who_failed_after_a_write_was_settled_stays_behind(
        self, careful: Journal
    ) -> None:
        """With the error; and it can be repaired at once, if nothing can come late."""
        mark = careful.begin(KEY, PUT)
        careful.settle(mark, {"us": None, "eu": LATE})
        careful.arrive(mark, "eu", DOWN)

        row = careful.rows(KEY)["eu"]
        assert (row.verb, row.last_error, row.quarantine) == ("put", "down", 0.0)

    def test_a_write_that_nobody_took_stays_in_doubt_whoever_takes_it_later(
        self, journal: Journal
    ) -> None:
        """Its caller was told that it failed; a repair settles it."""
        mark = journal.begin(KEY, PUT)
        journal.settle(mark, {"us": LATE, "eu": LATE})
        journal.arrive(mark, "eu", None)

        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}

    @pytest.mark.parametrize("error", [None, LATE, DOWN])
    def test_who_took_a_write_after_a_later_one_is_behind(
        self, journal: Journal, error: BaseException | None
    ) -> None:
        """It may have what the later one had replaced; not if it failed for sure."""
        mark = journal.begin(KEY, PUT)
        journal.settle(mark, {"us": None, "eu": LATE})
        write(journal)

        journal.arrive(mark, "eu", error)

        assert missed(journal) == ({} if error is DOWN else {"eu": "in_doubt"})
        assert all(row.behind for row in journal.rows(KEY).values())

    @pytest.mark.parametrize("intents", [PUT, DELETE])
    def test_who_missed_a_write_that_was_overtaken_is_behind(
        self, journal: Journal, intents: Mapping[str, Intent]
    ) -> None:
        """One replica has it, so what the other has is older, or the other write."""
        slow = journal.begin(KEY, intents)
        journal.begin(KEY, PUT)

        journal.settle(slow, {"us": None, "eu": DOWN})

        rows = journal.rows(KEY)
        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}
        assert (rows["us"].behind, rows["eu"].behind) == (False, True)

    def test_a_withdrawn_write_forgets_nothing_that_was_overtaken(
        self, journal: Journal
    ) -> None:
        """It is as it was before."""
        slow = journal.begin(KEY, PUT)
        journal.begin(KEY, PUT)
        journal.settle(slow, {"us": None, "eu": DOWN})

        journal.withdraw(journal.begin(KEY, PUT))

        rows = journal.rows(KEY)
        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}
        assert (rows["us"].behind, rows["eu"].behind) == (False, True)

    def test_a_withdrawn_write_keeps_what_is_kept_in_fewer_places(
        self, journal: Journal
    ) -> None:
        """A doubt before it is settled by looking, and spreads no copies."""
        journal.begin(KEY, {"us": "put", "eu": "drop"})
        journal.withdraw(journal.begin(KEY, {"us": "put", "eu": "drop"}))

        assert journal.rows(KEY)["eu"].intent == "drop"

    def test_any_error_can_be_noted(self, journal: Journal) -> None:
        """However long it is, and whatever is in it."""
        write(journal, failed=("eu",), error=UnavailableError("\0\ud800" + "x" * 9999))

        told = journal.rows(KEY)["eu"].last_error
        assert told is not None
        assert told.startswith("??x")
        assert len(told) < 1000

    # -- leases --------------------------------------------------------------

    def test_one_holds_a_lease(self, journal: Journal) -> None:
        """Of each object; others do not wait for it."""
        lease = journal.lease(KEY, 0)

        assert lease is not None
        assert journal.lease(KEY, 0.01) is None
        with held(journal, OTHER, 0):
            pass
        lease.release()
        with held(journal, KEY, 0):
            pass

    def test_a_lease_may_be_released_by_another_thread(self, journal: Journal) -> None:
        """The last call of a write to come back ends it."""
        lease = held(journal, KEY, 0)
        thread = threading.Thread(target=lease.release)
        thread.start()

        with held(journal, KEY, 10):
            thread.join()

    def test_nothing_is_lost_among_threads(self, make: Make) -> None:
        """Every step is atomic: the count agrees with the rows."""
        journal = make(capacity=100)
        keys = [KEY._replace(object_id=number) for number in range(8)]

        def work(number: int) -> None:
            for turn in range(8):
                key = keys[(number + turn) % 8]
                with held(journal, key, 10):
                    write(journal, failed=("eu",) if turn % 2 else (), key=key)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, range(8)))

        rows = list(journal.pending())
        assert len({row.sequence for row in rows}) == len(rows)
        for row in rows:
            assert journal.clear(row)
        left = [KEY._replace(width=number) for number in range(50)]
        for key in left:  # fails early if the count has drifted
            write(journal, failed=("us", "eu"), key=key)

    def test_a_capacity_is_positive(self, make: Make) -> None:
        """Else no write could ever be marked."""
        with pytest.raises(ConfigError, match="capacity"):
            make(capacity=0)
