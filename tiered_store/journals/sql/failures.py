"""
What an error of a database means.
"""

from __future__ import annotations

import re
import sqlite3

from collections.abc import Mapping
from typing import Any

from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)

from tiered_store.errors import (
    ConflictError,
    DeniedError,
    FullError,
    MisconfiguredError,
    ReadOnlyError,
    StoreError,
    UnavailableError,
)
from tiered_store.journals.database import meaning


# Of the SQL standard, and PostgreSQL's own; the longest beginning decides.
_BY_STATE: Mapping[str, type[StoreError]] = {
    "08": UnavailableError,  # the connection
    "0A": MisconfiguredError,  # what this database cannot do
    "23": ConflictError,
    "25006": ReadOnlyError,  # a standby, or one that was told so
    "28": DeniedError,
    "3D": MisconfiguredError,  # no such database
    "3F": MisconfiguredError,
    "40": UnavailableError,  # serialization, a deadlock
    "42": MisconfiguredError,  # no such table or column
    "42501": DeniedError,
    "53": UnavailableError,  # too many connections, no memory
    "53100": FullError,  # the disk
    "55": UnavailableError,  # a lock that was not to be had in time
    "57": UnavailableError,  # cancelled, or shutting down
    "58": UnavailableError,  # the system below it
    "XX": UnavailableError,
}
# What drivers say when the server refused before it had a state to tell.
_BY_TEXT: Mapping[str, type[StoreError]] = {
    "password authentication failed": DeniedError,
    "no password supplied": DeniedError,
    "no pg_hba.conf entry": DeniedError,
    "is not permitted to log in": DeniedError,
    "does not exist": MisconfiguredError,
    "certificate verify failed": MisconfiguredError,
    "does not support SSL": MisconfiguredError,
}
_SECRET = re.compile(r"://\S*@")


def failure_of(error: SQLAlchemyError, *, committing: bool = False) -> StoreError:
    """Return what *error* means; it is ambiguous if a transaction was *committing*."""
    original = getattr(error, "orig", None)
    message = f"the journal's database: {_told(original or error)}"
    if isinstance(original, sqlite3.Error) and not isinstance(error, IntegrityError):
        return meaning(original, message)
    lost = bool(getattr(error, "connection_invalidated", False))
    state = state_of(original)
    if state is not None and not lost:
        for length in (5, 2):
            kind = _BY_STATE.get(state[:length])
            if kind is not None:
                return kind(message, ambiguous=committing)
    for text, kind in _BY_TEXT.items():
        if text in message and not lost:
            return kind(message)
    if lost or isinstance(error, OperationalError | InterfaceError):
        return UnavailableError(message, ambiguous=committing)
    if isinstance(error, IntegrityError):
        return ConflictError(message)
    if isinstance(error, DBAPIError):
        return StoreError(f"unclassified {type(error).__name__}: {message}")
    return MisconfiguredError(message)  # SQLAlchemy refuses how it is used


def state_of(error: BaseException | None) -> str | None:
    """Return the SQLSTATE of a driver's *error*, wherever that driver keeps it."""
    for name in ("sqlstate", "pgcode"):
        state = getattr(error, name, None)
        if isinstance(state, str):
            return state
    details: Any = error.args[0] if error is not None and error.args else None
    state = details.get("C") if isinstance(details, dict) else None  # pg8000
    return state if isinstance(state, str) else None


def _told(error: BaseException) -> str:
    """Return what *error* says in a line, without the statement and any secret."""
    details: Any = error.args[0] if error.args else None
    text = details.get("M") if isinstance(details, dict) else str(error)
    line = " ".join(str(text).partition("\nLINE ")[0].split())
    return _SECRET.sub("://****@", line)[:300] or type(error).__name__
