"""
Follow a control from a process: the last known decisions, without any I/O.

The first use loads the record and starts a thread that looks again and again, so the
decisions that a call sees are no older than the control's ``poll``.  While the control
cannot be reached the last ones hold, until they expire.
"""

from __future__ import annotations

import logging
import weakref

from tiered_store.control.control import Control
from tiered_store.control.decisions import Decision, Decisions
from tiered_store.errors import StoreError
from tiered_store.events import ControlChanged, Decided
from tiered_store.lookout import Lookout
from tiered_store.store import Store


_log = logging.getLogger("tiered_store")


class Watch:
    """
    What *control* said last.

    Args:
        owner: Whose listeners hear of changes.

    Attributes:
        decisions: The last known ones, nothing expired among them.
        error: Why the control could not be read the last time; None if it could.
    """

    def __init__(self, control: Control, owner: Store) -> None:
        self.control = control
        self.decisions = Decisions()
        self.error: StoreError | None = None
        self._owner = weakref.ref(owner)
        self.lookout = Lookout(self, "tiered-store-control", control.poll)

    def current(self) -> Decisions:
        """Return the last known decisions; the first call waits a second at most."""
        if not self.lookout.seen:
            self.lookout.begin()
        return self.decisions

    def refresh(self) -> None:
        """Look once; what cannot be read changes nothing."""
        before, was_lost = self.decisions, self.error is not None
        self.error = None
        now = self.control.clock.time()
        try:
            found = self.control.load()
            if found.is_older(before):
                raise StoreError("the record was lost, or an older one is back")
        except StoreError as error:
            found, self.error = before.at(now), error
        except Exception as error:  # noqa: BLE001 - it must go on looking
            _log.exception("the control could not be read")
            found, self.error = before.at(now), StoreError(repr(error))
        if found != before:  # else it is the same object, which others compare
            self.decisions = found
        self._tell(before, (self.error is not None) != was_lost)

    def close(self) -> None:
        """Look no more; what is known stays."""
        self.lookout.end()

    def _tell(self, before: Decisions, turned: bool) -> None:
        owner = self._owner()
        if owner is None or not owner.listeners:
            return
        if turned:
            owner.emit(ControlChanged(store=str(owner), error=self.error))
        for name in sorted({*before.standing, *self.decisions.standing}):
            was, held = before.standing.get(name), self.decisions.standing.get(name)
            if was != held:
                owner.emit(_decided(str(owner), name, held))


def _decided(store: str, name: str, held: Decision | None) -> Decided:
    if held is None:
        return Decided(store=store, name=name, verb=None)
    return Decided(
        store=store,
        name=name,
        verb=held.verb,
        by=held.by,
        why=held.why,
        until=held.until,
    )
