"""
Writes and repairs of one object that met.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tiered_store.journals.journal import Journal
from tiered_store.journals.row import Intent
from tiered_store.testing.journals.steps import (
    DELETE,
    DOWN,
    KEY,
    LATE,
    PUT,
    missed,
    write,
)


class OvertakingRules:
    """Whoever was overtaken says no more than it can know."""

    def test_a_write_that_was_overtaken_leaves_all_in_doubt(
        self, journal: Journal
    ) -> None:
        """Two writes at once mean that nobody knows which bytes are where."""
        slow = journal.begin(KEY, PUT)
        write(journal)

        journal.settle(slow, {"us": None, "eu": None})

        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}

    def test_a_repair_of_what_was_replaced_does_not_begin(
        self, careful: Journal
    ) -> None:
        """It would do what is not to be done any more."""
        write(careful, failed=("eu",))
        replaced = careful.rows(KEY)["eu"]
        write(careful, DELETE, failed=("eu",))

        assert careful.attempt(replaced) is None
        assert missed(careful) == {"eu": "delete"}

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

    def test_who_took_an_overtaken_write_is_not_behind(self, journal: Journal) -> None:
        """It has one of the two, so the object is not as gone as it was before."""
        write(journal, DELETE, failed=("us", "eu"))
        slow = journal.begin(KEY, PUT)
        journal.begin(KEY, PUT)

        journal.settle(slow, {"us": None, "eu": DOWN})

        rows = journal.rows(KEY)
        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}
        assert (rows["us"].behind, rows["eu"].behind) == (False, True)
        assert rows["eu"].prior == "delete"

    def test_a_write_that_was_overtaken_and_nobody_took_leaves_all_believed(
        self, journal: Journal
    ) -> None:
        """What they have is what the other write left, or found."""
        slow = journal.begin(KEY, PUT)
        journal.begin(KEY, PUT)

        journal.settle(slow, {"us": DOWN, "eu": DOWN})

        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}
        assert not any(row.behind for row in journal.rows(KEY).values())

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

    def test_a_withdrawn_write_forgets_nothing_that_came_late(
        self, journal: Journal
    ) -> None:
        """It is still not known what the replica has, nor is it believed."""
        late = journal.begin(KEY, PUT)
        journal.settle(late, {"us": None, "eu": None})
        journal.arrive(late, "eu", None)
        before = journal.rows(KEY)["eu"]

        journal.withdraw(journal.begin(KEY, PUT))

        row = journal.rows(KEY)["eu"]
        assert (row.verb, row.prior) == (before.verb, before.prior)
        assert missed(journal) == {"eu": "in_doubt"}

    def test_a_withdrawn_write_leaves_alone_what_has_overtaken_it(
        self, journal: Journal
    ) -> None:
        """Those are another's rows, who is under way."""
        first = journal.begin(KEY, PUT)
        journal.settle(first, {"us": None, "eu": None})
        second = journal.begin(KEY, PUT)

        journal.withdraw(first)

        assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}
        journal.settle(second, {"us": None, "eu": None})
        assert journal.rows(KEY) == {}
