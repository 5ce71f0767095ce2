"""
What a replicated store tells its listeners.
"""

from __future__ import annotations

import itertools
import logging

from collections.abc import Iterable, Mapping
from typing import Literal

from tiered_store.errors import StoreError
from tiered_store.events import Diverged, FellBack, Repaired, RepairFailed, Verb
from tiered_store.journals.row import Intent, Row
from tiered_store.key import Key
from tiered_store.policies.guard import Guard
from tiered_store.replication.fanout import UnderwayError
from tiered_store.store import Store


_log = logging.getLogger("tiered_store")


class Teller:
    """Emits the events of *store*."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def fell_back(self, verb: Verb, key: Key, name: str, error: StoreError) -> None:
        """Say that replica *name* could not answer a read."""
        if self._store.listeners:
            self._store.emit(
                FellBack(
                    store=str(self._store), verb=verb, key=key, failed=name, error=error
                )
            )

    def passed_over(
        self,
        verb: Verb,
        key: Key,
        names: Iterable[str],
        until: str,
        stores: Mapping[str, Store],
    ) -> None:
        """Say of *names*, up to *until*, that they were not asked, being down."""
        if not self._store.listeners:
            return
        for name in itertools.takewhile(lambda name: name != until, names):
            store = stores[name]
            if isinstance(store, Guard):
                error = store.reading.refusal().at(str(store), verb, key)
                self.fell_back(verb, key, name, error)

    def diverged(self, key: Key, errors: Mapping[str, StoreError | None]) -> None:
        """Say which replicas missed something that the journal knows."""
        for name, error in errors.items():
            if error is None or isinstance(error, UnderwayError):
                continue
            if self._store.listeners:
                self._store.emit(
                    Diverged(store=str(self._store), replica=name, key=key, error=error)
                )

    def missed(self, key: Key, name: str, error: BaseException) -> None:
        """Say that replica *name* missed a write that has returned already."""
        if isinstance(error, StoreError):
            self.diverged(key, {name: error})
        else:  # a bug, with no caller to raise it to
            _log.error(
                "%s: a write of %s to %s failed", self._store, key, name, exc_info=error
            )

    def not_repaired(self, row: Row, error: Exception, *, dead: bool) -> None:
        """Say that what *row* tells of could not be done, once more."""
        if self._store.listeners:
            self._store.emit(
                RepairFailed(
                    store=str(self._store),
                    replica=row.replica,
                    key=row.key,
                    error=error,
                    attempts=row.attempts + 1,
                    outcome="dead" if dead else "retried",
                )
            )

    def repaired(self, key: Key, name: str, verb: Intent | None) -> None:
        """Say that replica *name* was brought up to date, by nothing if it was."""
        if self._store.listeners:
            done: Literal["put", "delete", "none"] = "none"
            if verb is not None:
                done = "put" if verb == "put" else "delete"
            self._store.emit(
                Repaired(store=str(self._store), replica=name, key=key, verb=done)
            )
