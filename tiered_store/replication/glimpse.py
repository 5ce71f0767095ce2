"""
What a journal has pending, for whoever must not ask it: giving out a URL costs no I/O.

A journal on this machine is simply looked into.  Of one behind a network a thread keeps
what it saw last, from the first URL on.  What this process has written since is known
beside that; what others have, half a second later.
"""

from __future__ import annotations

import logging
import threading
import time

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tiered_store import lifecycle
from tiered_store.errors import StoreError, UnavailableError
from tiered_store.journals.journal import Journal
from tiered_store.journals.row import Intent, Row
from tiered_store.key import Key
from tiered_store.lookout import Lookout


_EVERY = 0.5  # seconds
_SHARE = 0.2  # of a thread's time that looking takes at most
_STALE = 5.0  # seconds after which what was seen is not believed
_MOST = 20_000  # rows that are kept

_log = logging.getLogger("tiered_store")


@dataclass(frozen=True, slots=True)
class _Sight:
    """
    The rows as they were at the time *began*.

    Attributes:
        suspects: Replicas that may be behind for any object, as there were too many
            rows to keep.
    """

    began: float
    rows: Mapping[Key, Mapping[str, Row]] = field(default_factory=dict)
    suspects: frozenset[str] = frozenset()


class Glimpse:
    """The rows of *journal* without asking it, or nothing where nobody can know."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._sight: _Sight | None = None
        self._own: dict[Key, tuple[float, Mapping[str, Row]]] = {}
        self.lookout = Lookout(self, "tiered-store-pending", _EVERY, share=_SHARE)
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Take a lock of one's own; what is known stays."""
        self._lock = threading.Lock()

    def rows(self, key: Key) -> Mapping[str, Row]:
        """
        Return what is pending for *key*, as far as that is known here.

        Raises:
            StoreError: It is not: the journal was not heard of for some seconds.
        """
        if self._journal.local:
            return self._journal.rows(key)
        if not self.lookout.seen:
            self.lookout.begin()
        own = self._own.get(key)
        sight = self._sight
        if sight is None or time.monotonic() - sight.began > _STALE:
            raise UnavailableError("nobody knows what is pending: no journal to be had")
        if own is not None and own[0] >= sight.began:
            return own[1]
        found = sight.rows.get(key, {})
        if found or not sight.suspects:
            return found
        return {name: _behind(name, key, "put") for name in sight.suspects}

    def note(self, key: Key, behind: Iterable[str], intent: Intent) -> None:
        """Say who missed a write of *key* that this process has made."""
        if not self.lookout.begun:
            return  # nobody has asked for a URL yet
        rows = {name: _behind(name, key, intent) for name in behind}
        if rows or self.knows(key):
            with self._lock:
                self._own[key] = time.monotonic(), rows

    def knows(self, key: Key) -> bool:
        """Tell whether something was pending for *key* when it was last seen."""
        sight = self._sight
        return key in self._own or (sight is not None and key in sight.rows)

    def refresh(self) -> None:
        """Look once; what cannot be read changes nothing."""
        began = time.monotonic()
        found: dict[Key, dict[str, Row]] = {}
        suspects: frozenset[str] = frozenset()
        try:
            for count, row in enumerate(self._journal.pending()):
                if count == _MOST:
                    suspects = frozenset(self._journal.backlogs())
                    break
                found.setdefault(row.key, {})[row.replica] = row
        except StoreError:
            return
        except Exception:  # noqa: BLE001 - it must go on looking
            _log.exception("the journal could not be read")
            return
        self._sight = _Sight(began, found, suspects)
        with self._lock:
            self._own = {
                key: noted for key, noted in self._own.items() if noted[0] >= began
            }

    def close(self) -> None:
        """Look no more."""
        self.lookout.end()


def _behind(name: str, key: Key, intent: Intent) -> Row:
    return Row(
        replica=name,
        key=key,
        verb=intent,
        intent=intent,
        sequence=0,
        since=0.0,
        reproducible=False,
    )
