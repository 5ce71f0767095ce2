"""
Changes that arrive when nobody waits for them any more.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tiered_store.errors import StoreError, UnavailableError
from tiered_store.journals.journal import Journal
from tiered_store.journals.row import Intent, is_gone
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.journals.steps import (
    DELETE,
    DOWN,
    KEY,
    LATE,
    PUT,
    missed,
    write,
)


UNDER_WAY = UnavailableError("under way", ambiguous=True, under_way=True)


class LateRules:
    """What may still be on its way is in quarantine until it cannot be."""

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
        assert {row.last_error for row in careful.rows(KEY).values()} == {None}
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

    def test_who_times_out_in_quarantine_may_be_late_from_then_on(
        self, careful: Journal, clock: FakeClock
    ) -> None:
        """Somebody looked while it was waited for, too early to count from."""
        mark = careful.begin(KEY, PUT)
        careful.settle(mark, dict.fromkeys(PUT, LATE))
        assert not careful.resolve(KEY, careful.rows(KEY), dict.fromkeys(PUT))
        clock.advance(30)
        careful.arrive(mark, "eu", LATE)
        clock.advance(31)

        assert not careful.resolve(KEY, careful.rows(KEY), dict.fromkeys(PUT))
        clock.advance(30)
        assert careful.resolve(KEY, careful.rows(KEY), dict.fromkeys(PUT))

    @pytest.mark.parametrize("error", [DOWN, LATE])
    def test_who_times_out_after_a_later_write_may_land_on_its_repair(
        self, careful: Journal, clock: FakeClock, error: StoreError
    ) -> None:
        """Which waits for whatever may come last, and not only for its own write."""
        slow = careful.begin(KEY, PUT)
        careful.settle(slow, {"us": None, "eu": UNDER_WAY})
        write(careful, failed=("eu",), error=error)
        clock.advance(30)
        careful.arrive(slow, "eu", LATE)
        clock.advance(31)

        assert missed(careful) == {"eu": "put"}
        assert careful.attempt(careful.rows(KEY)["eu"]) is None
        clock.advance(30)
        assert careful.attempt(careful.rows(KEY)["eu"]) is not None

    def test_who_times_out_after_a_sure_failure_may_land_on_its_repair(
        self, careful: Journal, clock: FakeClock
    ) -> None:
        """A row that nothing late was known of waits from when it is."""
        slow = careful.begin(KEY, PUT)
        clock.advance(120)
        write(careful, failed=("eu",))
        clock.advance(120)
        settled = careful.resolve(KEY, careful.rows(KEY), {"us": None, "eu": "put"})
        assert settled
        assert careful.rows(KEY)["eu"].quarantine == 0

        careful.arrive(slow, "eu", LATE)

        assert not careful.clear(careful.rows(KEY)["eu"])
        clock.advance(61)
        assert careful.clear(careful.rows(KEY)["eu"])

    def test_who_took_a_write_late_may_yet_be_given_an_earlier_one(
        self, careful: Journal, clock: FakeClock
    ) -> None:
        """Which timed out there before that write began."""
        write(careful, failed=("eu",), error=LATE)
        mark = careful.begin(KEY, PUT)
        careful.settle(mark, {"us": None, "eu": UNDER_WAY})
        careful.arrive(mark, "eu", None)

        assert missed(careful) == {"eu": "put"}
        assert careful.attempt(careful.rows(KEY)["eu"]) is None
        clock.advance(61)
        assert careful.attempt(careful.rows(KEY)["eu"]) is not None

    def test_who_timed_out_is_waited_for_from_then_on(
        self, careful: Journal, clock: FakeClock
    ) -> None:
        """And not only from when somebody looks: it was heard of."""
        mark = careful.begin(KEY, PUT)
        careful.settle(mark, {"us": None, "eu": UNDER_WAY})
        careful.arrive(mark, "eu", LATE)
        clock.advance(61)

        assert careful.attempt(careful.rows(KEY)["eu"]) is not None

    def test_who_times_out_ends_no_longer_quarantine(
        self, careful: Journal, clock: FakeClock
    ) -> None:
        """Somebody who looked expects late changes for longer, or has another clock."""
        slow = careful.begin(KEY, PUT)
        careful.settle(slow, {"us": None, "eu": UNDER_WAY})
        assert careful.attempt(careful.rows(KEY)["eu"]) is None
        careful.quarantine = 10.0
        careful.arrive(slow, "eu", LATE)
        clock.advance(59)

        assert careful.attempt(careful.rows(KEY)["eu"]) is None

    def test_a_write_that_times_out_ends_no_longer_quarantine(
        self, careful: Journal, clock: FakeClock
    ) -> None:
        """An earlier one, of somebody who expects late changes for longer, goes on."""
        write(careful, failed=("eu",), error=LATE)
        careful.quarantine = 10.0
        write(careful, failed=("eu",), error=LATE)
        clock.advance(59)

        assert careful.attempt(careful.rows(KEY)["eu"]) is None

    def test_who_times_out_beside_a_repair_does_not_end_its_watch(
        self, careful: Journal, clock: FakeClock
    ) -> None:
        """The repair may take longer than what is late, and be late itself."""
        slow = careful.begin(KEY, PUT)
        careful.settle(slow, {"us": None, "eu": UNDER_WAY})
        clock.advance(1)
        assert careful.attempt(careful.rows(KEY)["eu"]) is None
        clock.advance(61)
        assert careful.attempt(careful.rows(KEY)["eu"]) is not None
        careful.arrive(slow, "eu", LATE)
        clock.advance(61)

        assert careful.attempt(careful.rows(KEY)["eu"]) is None
        clock.advance(61)
        assert careful.attempt(careful.rows(KEY)["eu"]) is not None

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

    def test_who_was_under_way_may_be_late_by_when_somebody_looks(
        self, careful: Journal, clock: FakeClock
    ) -> None:
        """Whoever waited for it may have died at any time since it was settled."""
        mark = careful.begin(KEY, PUT)
        careful.settle(mark, {"us": None, "eu": UNDER_WAY})
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
