"""
Permissions, tried on an object of our own.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid

from typing import Any

from tiered_store.body import Body
from tiered_store.connecting.finding import Attempt, told
from tiered_store.errors import NotFoundError, StoreError
from tiered_store.key import Key
from tiered_store.node import kind_of
from tiered_store.store import Store


SCRATCH = "tiered-store-check"  # begins the type of every object that is put
_CONTENT = b"tiered-store check --connect; may be deleted\n"


def scratch_key() -> Key:
    """Return a name that nobody has, or will have."""
    return Key(f"{SCRATCH}.{uuid.uuid4().hex}", 1, 1, 1, "text/plain")


def read(store: Store, at: Attempt) -> None:
    """Try what only reads: the truth about an object that is not there, a listing."""
    key = scratch_key()

    def absent() -> bool:
        try:
            store.get(key)
        except NotFoundError:
            return True
        return False

    found = at.attempt("get", absent)
    if found is not None:
        if found:
            at.note("get", "ok", "absent is told from failed")
        else:
            at.note("get", "failed", "it has an object that nobody put")
    _list(store, at, key)


def write(store: Store, at: Attempt) -> None:
    """Try to put, get, stat, list and delete one object; it is gone afterwards."""
    key = scratch_key()
    began = time.time()
    try:
        if at.done("put", lambda: store.put(key, Body.of(_CONTENT), False)):
            _see(store, at, key, began)
    finally:
        at.done("delete", lambda: store.delete(key))
        _sweep(store, key)


def _see(store: Store, at: Attempt, key: Key, began: float) -> None:
    content = at.attempt("get", lambda: store.get(key).read())
    if content is not None:
        if content == _CONTENT:
            at.note("get", "ok")
        else:
            at.note("get", "failed", "what is read is not what was put")
    stat = at.attempt("stat", lambda: store.stat(key))
    if stat is not None:
        at.note("stat", "ok")
        if kind_of(type(store)) == "filesystem" and stat.modified is not None:
            clock(at, stat.modified - (began + time.time()) / 2)
    _list(store, at, key, there=True)


def _list(store: Store, at: Attempt, key: Key, *, there: bool = False) -> None:
    if "keys" not in store.capabilities():
        return
    listed = at.attempt("list", lambda: list(store.keys(key.object_type)))
    if listed is None:
        return
    if there and key not in listed:
        at.note("list", "warning", "what was just put is not listed yet")
    else:
        at.note("list", "ok")


def clock(at: Attempt, ahead: float) -> None:
    """Note how far ahead of ours the clock over there is, in seconds."""
    if abs(ahead) < 2:
        at.note("clock", "ok", f"within {max(abs(ahead), 0.1):.1f} s")
        return
    state = "failed" if abs(ahead) > 900 else "warning"  # S3 refuses what is older
    at.note(
        "clock",
        state,  # type: ignore[arg-type] # one of the two
        f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's; "
        "let both follow NTP",
    )


def _sweep(store: Any, key: Key) -> None:
    """Remove the directories that a file of ours needed."""
    if kind_of(type(store)) != "filesystem":
        return
    top = os.path.join(os.path.expanduser(store.path), key.object_type)
    with contextlib.suppress(OSError):
        for folder, _, _ in os.walk(top, topdown=False):
            os.rmdir(folder)


def lacking(store: Store) -> str | None:
    """Return why *store* has no URL for objects, None if it has."""
    try:
        store.url(scratch_key())
    except StoreError as error:
        return told(error)
    return None
