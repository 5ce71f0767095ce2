"""
What a write leaves behind in a journal.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tiered_store.journals.journal import Journal
from tiered_store.journals.row import Intent, is_gone
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.journals.steps import (
    DELETE,
    DOWN,
    KEY,
    OTHER,
    PUT,
    missed,
    write,
)


class MarkingRules:
    """A write is marked before it begins, and what it came to afterwards."""

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

    def test_a_replica_nobody_knows_any_more_misses_the_write_too(
        self, journal: Journal
    ) -> None:
        """When it is configured again, it is behind by this write, not by the last."""
        write(journal, DELETE, failed=("eu",))

        write(journal, {"us": "put"})

        assert missed(journal) == {"eu": "put"}

    def test_who_is_not_known_any_more_misses_a_delete_as_one(
        self, journal: Journal
    ) -> None:
        """So that what it has is not taken for the object when it is known again."""
        write(journal, failed=("eu",))
        write(journal, {"us": "delete"})

        assert missed(journal) == {"eu": "delete"}
        assert is_gone(journal.rows(KEY))

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

    def test_a_withdrawn_write_keeps_what_is_kept_in_fewer_places(
        self, journal: Journal
    ) -> None:
        """A doubt before it is settled by looking, and spreads no copies."""
        journal.begin(KEY, {"us": "put", "eu": "drop"})
        journal.withdraw(journal.begin(KEY, {"us": "put", "eu": "drop"}))

        assert journal.rows(KEY)["eu"].intent == "drop"
