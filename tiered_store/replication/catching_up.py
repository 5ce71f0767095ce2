"""
Bring one store up to date, behind the backs of those who ask whether it is.
"""

from __future__ import annotations

import contextvars
import threading

from collections.abc import Callable, Iterable

from tiered_store import lifecycle
from tiered_store.errors import NotFoundError, StoreError
from tiered_store.journals.row import Row
from tiered_store.policies.circuit import Circuit
from tiered_store.replication.report import RepairReport
from tiered_store.store import Store
from tiered_store.workers import Workers


class CatchUp:
    """
    One pass of *repair* at a time.

    What is written while it goes on it need not see: whoever has a row is not read.
    """

    def __init__(self, repair: Callable[[], RepairReport], workers: Workers) -> None:
        self._repair = repair
        self._workers = workers
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Forget the parent's pass."""
        self._lock = threading.Lock()
        self._busy = False
        self._done = False
        self._left = False

    def begin(self, thorough: bool) -> bool:
        """
        Say whether a pass has come through since the last yes; begin one if not.

        Args:
            thorough: It must have left nothing, such as what may yet take effect.
        """
        with self._lock:
            if self._done:
                self._done = False
                if not (thorough and self._left):
                    return True
            if self._busy:
                return False
            self._busy = True
        # without the deadline of whoever happens to ask
        if not contextvars.Context().run(self._workers.offer, self._run):
            self._busy = False
        return False

    def _run(self) -> None:
        try:
            report = self._repair()
            self._left = bool(report.quarantined or report.busy)
            self._done = not (report.failed or report.down)
        except StoreError:
            pass  # the journal cannot be used; the next pass may find it
        finally:
            self._busy = False


def is_back(store: Store, circuit: Circuit, rows: Iterable[Row]) -> bool:
    """
    Say whether *circuit*, of reads of *store*, is closed; look again if it is time to.

    No read asks for what it is behind for, and that may be all that is read.

    Args:
        rows: What it is behind for.
    """
    for row in rows:
        if circuit.state == "closed" or circuit.refuses():
            break
        try:
            store.get(row.key)
        except NotFoundError:
            continue  # which is an answer
        except StoreError:
            break
    return circuit.state == "closed"
