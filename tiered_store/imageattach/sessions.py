"""
What each session has stored and deleted, and what becomes of it at its end.

The original keeps one set of images for all sessions.  Here each session has a ledger
of its own, followed by listeners beside the original's.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import threading
import weakref

from dataclasses import dataclass, field
from typing import Any

from tiered_store.body import Body
from tiered_store.errors import NotFoundError, StoreError
from tiered_store.imageattach.bridged import Bridged
from tiered_store.key import Key


_log = logging.getLogger("tiered_store.imageattach")


_numbers = itertools.count()


@dataclass(slots=True, eq=False)
class Entry:
    """An image that a session is about to store or to delete, and through what."""

    bridge: Bridged
    image: Any
    replaced: Body | None = None
    reproducible: bool = False
    number: int = field(default_factory=lambda: next(_numbers))  # in order
    _key: Key | None = None

    @property
    def key(self) -> Key | None:
        """Return its name; None while the database has not given it a number."""
        if self._key is None:
            with contextlib.suppress(TypeError, NotImplementedError):
                self._key = Key.of(self.image)
        return self._key


@dataclass(slots=True)
class Ledger:
    """
    What one session has done since its last commit.

    Attributes:
        rolling: It is being rolled back, of which the end will be told.
    """

    stored: list[Entry] = field(default_factory=list)
    deleted: list[Entry] = field(default_factory=list)
    rolling: bool = False

    def concerns(self, bridge: Bridged, key: Key) -> bool:
        """Tell whether it is about *key*."""
        return any(
            entry.bridge is bridge and entry.key == key
            for entry in (*self.stored, *self.deleted)
        )

    def wants(self, gone: Entry) -> bool:
        """Tell whether what *gone* names is stored by an image that is not deleted."""
        last = {id(entry.image): entry.number for entry in self.deleted}
        return any(
            entry.bridge is gone.bridge
            and entry.key == gone.key
            and entry.number > last.get(id(entry.image), -1)
            for entry in self.stored
        )


_ledgers: weakref.WeakKeyDictionary[Any, Ledger] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def concerns(bridge: Bridged, key: Key) -> bool:
    """Tell whether a transaction that has not ended stored or deleted *key*."""
    with _lock:
        ledgers = list(_ledgers.values())
    return any(ledger.concerns(bridge, key) for ledger in ledgers)


@functools.cache
def follow() -> None:
    """Listen to sessions and images from now on."""
    from sqlalchemy import event
    from sqlalchemy.orm import Session
    from sqlalchemy_imageattach.entity import Image

    event.listen(Image, "after_insert", _before_put, propagate=True, insert=True)
    event.listen(Image, "after_insert", _after_put, propagate=True)
    event.listen(Image, "after_delete", _after_delete, propagate=True)
    event.listen(Session, "after_commit", _committed)
    event.listen(Session, "after_rollback", _rolling_back)
    event.listen(Session, "after_soft_rollback", _rolled_back)
    event.listen(Session, "after_transaction_end", _ended)


def _before_put(mapper: Any, connection: Any, image: Any) -> None:
    """
    Note what is about to be put; if that fails it may be there all the same.

    Called once the row is in, ahead of the original's own listener, which puts.  Where
    the row is refused there was no put: the object of that name is somebody else's.
    """
    store = _behind(getattr(image, "store", None))
    if not isinstance(store, Bridged):
        return
    image.store = store  # whose rollback may happen in another context
    ledger = _ledger_of(image)
    entry = Entry(store, image, reproducible=not image.original)
    if entry.key is not None and ledger.concerns(store, entry.key):
        entry.replaced = _kept(store, entry.key)
    ledger.stored.append(entry)


def _after_put(mapper: Any, connection: Any, image: Any) -> None:
    """Take it out of the original's set, which one of any session would act upon."""
    from sqlalchemy_imageattach.entity import BaseImageQuery

    for entry in list(BaseImageQuery._stored_images):
        if entry[0] is image and isinstance(entry[1], Bridged):
            BaseImageQuery._stored_images.discard(entry)


def _after_delete(mapper: Any, connection: Any, image: Any) -> None:
    from sqlalchemy_imageattach.context import ContextError, get_current_store
    from sqlalchemy_imageattach.entity import BaseImageQuery

    try:
        store = get_current_store()
    except ContextError:
        return
    if isinstance(store, Bridged):
        BaseImageQuery._deleted_images.discard((image, store))
        _ledger_of(image).deleted.append(Entry(store, image))


def _behind(store: Any) -> Any:
    """Return the store that ``current_store`` stands for, or *store* itself."""
    from sqlalchemy_imageattach.context import LocalProxyStore

    if isinstance(store, LocalProxyStore):
        return store.get_current_object()
    return store


def _ledger_of(image: Any) -> Ledger:
    from sqlalchemy.orm import object_session

    with _lock:
        return _ledgers.setdefault(object_session(image), Ledger())


def _kept(store: Bridged, key: Key) -> Body | None:
    """Return a copy of what will be overwritten."""
    try:
        body = store.tiered.get(key)
    except NotFoundError:
        return None
    with body.open() as file:
        return Body.copy(file)


def _committed(session: Any) -> None:
    if session.in_nested_transaction():  # nothing is final yet
        return
    with _lock:
        ledger = _ledgers.pop(session, None)
    if ledger is None:
        return
    _retry([*ledger.stored, *ledger.deleted])
    for entry in ledger.deleted:
        if entry.key is not None and not ledger.wants(entry):
            entry.bridge.delete_later(entry.key)


def _rolling_back(session: Any) -> None:
    with _lock:
        if session in _ledgers:
            _ledgers[session].rolling = True


def _rolled_back(session: Any, previous_transaction: Any) -> None:
    """Undo what the session no longer has; a savepoint takes only its own along."""
    from sqlalchemy import inspect

    with _lock:
        ledger = _ledgers.get(session)
        if ledger is None:
            return
        ledger.rolling = False
        gone = [e for e in ledger.stored if inspect(e.image).session is not session]
        ledger.stored = [e for e in ledger.stored if e not in gone]
        ledger.deleted = [e for e in ledger.deleted if inspect(e.image).deleted]
        if previous_transaction.parent is None:
            del _ledgers[session]
    _retry(gone)
    _undo(gone)


def _ended(session: Any, transaction: Any) -> None:
    """Undo what was never committed, when a session is just closed."""
    if transaction.parent is not None:
        return
    with _lock:
        ledger = _ledgers.get(session)
        if ledger is None or ledger.rolling:
            return
        del _ledgers[session]
    _undo(ledger.stored)


def _undo(stored: list[Entry]) -> None:
    for entry in reversed(stored):
        if entry.key is None:  # it never came so far
            continue
        if entry.replaced is None:
            entry.bridge.delete_later(entry.key)
            continue
        try:
            entry.bridge.tiered.put(entry.key, entry.replaced, entry.reproducible)
        except StoreError:
            _log.exception("a replaced image could not be put back: %s", entry.key)


def _retry(entries: list[Entry]) -> None:
    for bridge in {id(entry.bridge): entry.bridge for entry in entries}.values():
        bridge.retry()
