"""
Bring replicas up to date with what the journal says they missed.

Several repairs may run at once, in one process or many: whoever holds the lease of an
object repairs it, the others pass on.  One that is killed leaves the rows it had not
finished, and the next one goes on there.
"""

from __future__ import annotations

import functools
import itertools

from collections.abc import Callable, Iterator

from tiered_store.clock import Clock
from tiered_store.journals.journal import Journal
from tiered_store.journals.row import Row
from tiered_store.key import Key
from tiered_store.replication.mending import Mending, Selection
from tiered_store.replication.pace import Pace, in_turn
from tiered_store.replication.report import RepairReport
from tiered_store.workers import Workers


class Repair:
    """One pass over the rows of *journal*."""

    def __init__(
        self, journal: Journal, mending: Mending, workers: Workers, clock: Clock
    ) -> None:
        self._journal = journal
        self._mending = mending
        self._workers = workers
        self._clock = clock
        self._passed_over = 0

    def run(
        self,
        selection: Selection,
        pace: Pace,
        *,
        parallel: int,
        progress: Callable[[RepairReport], None] | None,
    ) -> RepairReport:
        """Repair what is pending, *parallel* objects at once, and say what was done."""
        report = RepairReport()
        work = (
            functools.partial(self._mending.mend, key, selection)
            for key in itertools.islice(self._keys(selection), selection.limit)
        )
        for done in in_turn(work, self._workers, pace, parallel=parallel):
            pace.spend(done.copied)
            report += done
            if progress is not None:
                progress(report)
        return report + RepairReport(down=self._passed_over)

    def _keys(self, selection: Selection) -> Iterator[Key]:
        now = self._clock.time()
        for key, rows in itertools.groupby(
            self._journal.pending(selection.replica), key=lambda row: row.key
        ):
            wanted = [row for row in rows if row in selection]
            if selection.due:
                wanted = [row for row in wanted if row.retry_at <= now or row.dead]
            down = [row for row in wanted if self._is_down(row)]
            if len(down) < len(wanted):
                yield key
            else:
                self._passed_over += len(down)

    def _is_down(self, row: Row) -> bool:
        return row.replica in self._mending.down and row.verb != "in_doubt"
