"""
What a stack does as a store of the original library.
"""

from __future__ import annotations

import logging
import threading

from collections.abc import Callable, Mapping
from typing import Any

from tiered_store.body import Readable
from tiered_store.clock import Clock
from tiered_store.errors import NotFoundError, StoreError
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.urls import is_signed


_SKEW = 60.0  # seconds that clocks of a fleet and its stores may differ
_log = logging.getLogger("tiered_store.imageattach")


class Bridged:
    """
    What a bridge does; mixed into the original's ``Store``.

    Args:
        concerns: Tells whether a transaction that has not ended is about an object.

    Attributes:
        tiered: The stack.
        undone: What could not be deleted at the end of a transaction, and why.
    """

    def __init__(
        self,
        tiered: Store,
        clock: Clock,
        concerns: Callable[[Bridged, Key], bool],
    ) -> None:
        self.tiered = tiered
        self._concerns = concerns
        self._clock = clock
        self._undone: dict[Key, tuple[StoreError, float]] = {}
        self._lock = threading.Lock()

    @property
    def undone(self) -> Mapping[Key, StoreError]:
        """Return the deletions that are still to be made, and why they failed."""
        with self._lock:
            return {key: error for key, (error, _) in self._undone.items()}

    def put_file(
        self,
        file: Readable,
        object_type: str,
        object_id: int,
        width: int,
        height: int,
        mimetype: str,
        reproducible: bool,
    ) -> None:
        """Store *file*."""
        key = Key(object_type, object_id, width, height, mimetype)
        with self._lock:
            self._undone.pop(key, None)  # it is wanted again
        self.tiered.put_file(file, *key, reproducible)

    def get_file(self, *values: Any) -> Any:
        """Return the file of an image."""
        return self.tiered.get_file(*values)

    def get_url(self, *values: Any) -> str:
        """Return the URL of an image, to which anything may be appended."""
        url = self.tiered.get_url(*values)
        return f"{url}#" if is_signed(url) else url

    def delete_file(self, *values: Any) -> None:
        """Delete an image; one that a transaction is about is left to its end."""
        key = Key(*values)
        if not self._concerns(self, key):
            self.tiered.delete(key)

    def delete_later(self, key: Key) -> None:
        """Delete *key*, or keep in mind that it is to be, without raising."""
        self._delete(key, self._clock.time())

    def retry(self) -> None:
        """
        Try again what could not be deleted; done at each end of a transaction.

        What was written since then, by whichever process, is wanted: what a store says
        is younger than the deletion, or not for sure older, stays.
        """
        with self._lock:
            undone = dict(self._undone)
        for key, (_, since) in undone.items():
            if not self._concerns(self, key) and self._is_older(key, since):
                self._delete(key, since)

    def _delete(self, key: Key, since: float) -> None:
        try:
            self.tiered.delete(key)
        except StoreError as error:
            with self._lock:
                self._undone[key] = error, since
            _log.exception("an image is left behind, and tried again: %s", key)
        else:
            with self._lock:
                self._undone.pop(key, None)

    def _is_older(self, key: Key, since: float) -> bool:
        try:
            modified = self.tiered.stat(key).modified
        except NotFoundError:  # but a copy may be in a cache
            return True
        except StoreError:
            return False
        return modified is not None and modified < since - _SKEW

    def __repr__(self) -> str:
        return f"bridge({self.tiered!r})"
