"""
Who may work on an object, and threads that do.
"""

from __future__ import annotations

import threading

from concurrent.futures import ThreadPoolExecutor

from tiered_store.journals.journal import Journal
from tiered_store.testing.journals.steps import KEY, OTHER, Make, held, write


class LeasingRules:
    """One at a time, and every step is whole."""

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
