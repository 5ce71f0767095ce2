"""
A stack as a store of the original library.
"""

from __future__ import annotations

import functools
import logging
import threading

from collections.abc import Mapping
from typing import Any

from tiered_store.body import Readable
from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import ConfigError, NotFoundError, StoreError
from tiered_store.foreign import StoreLike, as_store
from tiered_store.imageattach import sessions
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.urls import is_signed


_SKEW = 60.0  # seconds that clocks of a fleet and its stores may differ
_log = logging.getLogger("tiered_store.imageattach")


def bridge(store: Store | StoreLike, *, clock: Clock = SYSTEM) -> Any:
    """
    Return *store* as a real ``sqlalchemy_imageattach.store.Store``.

    ``store_context(bridge(images))`` and everything above it work unchanged, on the
    same data and with the same URLs.  What the original gets wrong with transactions
    is put right for what is stored through it:

    - A transaction that ends takes its own files along, and nobody else's; the
      original's sets of images are one for all sessions, so whoever rolled back first
      deleted what others were about to commit.
    - A put that raised is cleaned up after, since it may have happened all the same.
    - A picture that replaced one of the same size is undone by a rollback: the old
      bytes are put back, or a log says that they could not be.  The original deletes
      both.
    - A deletion that fails after the commit does not raise into it.  It is logged,
      kept in ``undone``, and tried again at the next end of a transaction, unless the
      object may have been written since, which another process may have done.
    - A session that is closed without a commit leaves nothing behind.
    - A signed URL survives the ``_ts`` that the original appends: it ends with a
      ``#``, so that what follows never reaches the server.

    Raises:
        ConfigError: The original cannot be imported; call :func:`revive` first.
    """
    bridged = _bridged_class()(as_store(store), clock)
    sessions.follow()
    return bridged


class Bridged:
    """
    What a bridge does; mixed into the original's ``Store``.

    Attributes:
        tiered: The stack.
        undone: What could not be deleted at the end of a transaction, and why.
    """

    def __init__(self, tiered: Store, clock: Clock) -> None:
        self.tiered = tiered
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
        if not sessions.concerns(self, key):
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
            if not sessions.concerns(self, key) and self._is_older(key, since):
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


@functools.cache
def _bridged_class() -> type[Bridged]:
    try:
        from sqlalchemy_imageattach.store import Store as Original
    except ImportError as error:
        raise ConfigError(
            f"SQLAlchemy-ImageAttach cannot be imported: {error}; call "
            "tiered_store.imageattach.revive() before it is first imported"
        ) from error
    return type("BridgedStore", (Bridged, Original), {})
