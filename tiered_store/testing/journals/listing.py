"""
What a journal can be asked, and what is noted apart from writes.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tiered_store.errors import ConfigError, FullError, UnavailableError
from tiered_store.journals.journal import Journal
from tiered_store.journals.row import NEVER, Intent, key_of, name_of
from tiered_store.key import Key
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.journals.steps import (
    DELETE,
    KEY,
    MANY,
    OTHER,
    PUT,
    Make,
    missed,
    write,
)


class ListingRules:
    """Rows are read, counted, listed, cleared and blamed."""

    def test_a_row_is_cleared_by_who_knows_it(self, journal: Journal) -> None:
        """A slow repair never masks what a later write has marked."""
        write(journal, failed=("eu",))
        known = journal.rows(KEY)["eu"]
        write(journal, failed=("eu",))

        assert not journal.clear(known)
        assert missed(journal) == {"eu": "put"}
        assert journal.clear(journal.rows(KEY)["eu"])
        assert journal.rows(KEY) == {}

    def test_what_is_to_be_deleted_has_no_size(self, journal: Journal) -> None:
        """It is told how many bytes are to be copied, whatever a doubt was about."""
        wanted: dict[Key, Intent] = {KEY: "put", OTHER: "delete"}
        for key, verb in wanted.items():
            journal.begin(key, PUT, size=100)
            missed_by: Mapping[str, Intent | None] = {"us": verb, "eu": None}
            assert journal.resolve(key, journal.rows(key), missed_by)

        assert [journal.rows(key)["us"].size for key in (KEY, OTHER)] == [100, 0]
        assert journal.backlogs()["us"].size == 100

    def test_a_row_without_an_error_hides_no_other_ones(self, journal: Journal) -> None:
        """What a replica last failed with is told, whichever row stands first."""
        keys = [KEY._replace(object_id=number) for number in (1, 5, 9)]
        journal.lack(keys[0], ["eu"])
        write(journal, failed=("eu",), key=keys[1])
        journal.lack(keys[2], ["eu"])

        assert journal.backlogs()["eu"].last_error == "down"

    def test_a_row_that_is_gone_is_no_work_for_anybody(self, careful: Journal) -> None:
        """Another repair was quicker: there is nothing to begin, to note or to drop."""
        write(careful, failed=("eu",))
        known = careful.rows(KEY)["eu"]
        assert careful.clear(known)

        assert not careful.clear(known)
        assert careful.attempt(known) is None
        careful.forgo(known)
        careful.blame(known, "down", 1.0)
        assert careful.rows(KEY) == {}

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

    def test_what_met_is_noted_by_a_full_journal(self, make: Make) -> None:
        """It has happened, and would be forgotten: who was overtaken is not refused."""
        journal = make(capacity=2)
        slow, late = journal.begin(KEY, PUT), journal.begin(KEY, PUT)
        journal.settle(late, {"us": None, "eu": None})
        write(journal)
        other = journal.begin(OTHER, PUT)

        journal.settle(slow, {"us": None, "eu": None})
        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}
        write(journal)
        assert journal.resolve(KEY, journal.rows(KEY), {"us": None, "eu": None})
        journal.arrive(late, "eu", None)
        assert missed(journal) == {"eu": "in_doubt"}
        seen = journal.rows(KEY)
        assert journal.resolve(KEY, seen, {"us": "put", "eu": None})
        known = journal.rows(KEY)["us"]
        assert journal.clear(known)
        assert not journal.complete(known)
        assert missed(journal) == {"us": "in_doubt"}

        with pytest.raises(FullError, match="full: 3 of 2"):
            journal.begin(KEY._replace(width=1), PUT)
        journal.settle(other, {"us": None, "eu": None})

    def test_a_full_journal_takes_no_verdict(self, make: Make) -> None:
        """A comparison may find any number of objects, none of which anybody missed."""
        journal = make(capacity=2)
        journal.begin(OTHER, PUT)

        with pytest.raises(FullError, match="full: 2 of 2"):
            journal.resolve(KEY, {}, {"us": "put"})

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

    def test_any_error_can_be_noted(self, journal: Journal) -> None:
        """However long it is, and whatever is in it."""
        write(journal, failed=("eu",), error=UnavailableError("\0\ud800" + "x" * 9999))

        told = journal.rows(KEY)["eu"].last_error
        assert told is not None
        assert told.startswith("??x")
        assert len(told) < 1000

    def test_a_capacity_is_positive(self, make: Make) -> None:
        """Else no write could ever be marked."""
        with pytest.raises(ConfigError, match="capacity"):
            make(capacity=0)
