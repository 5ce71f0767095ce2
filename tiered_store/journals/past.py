"""
What a journal last was, told beside it, so that an older one in its place is noticed.

A file from a backup looks like a journal that knows everything.  But what replicas have
missed since is not in it, and what it says that they missed they may have caught up
with long ago: to act on that can delete the only copy of an object.  So the number of
the last change is told beside it as well, and who finds a journal that is older than
that does not believe it.

One change may have been told and not made, by a process that was killed.  More of them
are gone only if somebody put an older file there, or the machine failed and its disk
had not been waited for.  The latter leaves rows that are right, but for the last ones:
the journal goes on, and from then on is one that began at that moment, for what came
before it cannot tell.
"""

from __future__ import annotations

import functools
import logging

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tiered_store.errors import MisconfiguredError
from tiered_store.journals.identity import fresh, number_of


if TYPE_CHECKING:
    import sqlite3


_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_log = logging.getLogger("tiered_store")


class Past(NamedTuple):
    """
    What was told of a journal.

    Attributes:
        latest: The number of its last change, which may have been lost to a kill.
        in_this_boot: The machine has not been started since.
        in_place: What tells so was not copied, as with a backup of the whole directory.
    """

    latest: int
    in_this_boot: bool
    in_place: bool


class Told(Protocol):
    """Where it is told."""

    def past(self, journal: int) -> Past | None:
        """Return what was told of the number *journal*, None if nothing was."""


def number(identity: str) -> int:
    """Return the number by which the journal of that *identity* is told."""
    return number_of(identity) >> 1 or 1


def examine(
    connection: sqlite3.Connection, told: Told, path: str, *, flush: bool
) -> None:
    """
    See whether the journal in the file *path* is as new as it was *told* to be.

    Args:
        flush: The disk was waited for at each change.

    Raises:
        MisconfiguredError: It was restored from a backup.
    """
    if _suspicion(connection, told) is None:
        return
    connection.execute("BEGIN IMMEDIATE")  # another process may have been quicker
    try:
        suspicion = _suspicion(connection, told)
        if suspicion is not None:
            past, latest = suspicion
            if past.in_place and (flush or past.in_this_boot):
                raise MisconfiguredError(
                    f"the journal {path!r} is an older one, restored from a backup: it "
                    f"ends with change {latest} of {past.latest}; move it away, so "
                    "that a new one begins, and verify the replicas"
                )
            connection.execute("UPDATE journal SET identity = ?", (fresh(),))
            _log.error(_MESSAGES[past.in_place], path, latest, past.latest)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _suspicion(connection: sqlite3.Connection, told: Told) -> tuple[Past, int] | None:
    """Return what was told, and the last change there is, if that is not right."""
    (identity,) = connection.execute("SELECT identity FROM journal").fetchone()
    past = told.past(number(identity))
    if past is None:
        return None
    # asked after that, for it only grows
    (latest,) = connection.execute(
        "SELECT sequence FROM pending WHERE key = ''"
    ).fetchone()
    if past.in_place and past.latest <= latest + 1:
        return None
    return past, latest


_MESSAGES = {
    True: "the journal %r ends with change %d of %d: the machine failed, and its disk "
    "had not been waited for; verify the replicas",
    False: "the journal %r was moved or restored, with its locks; it ends with change "
    "%d, and %d was told; if it is from a backup verify the replicas",
}


@functools.cache
def boot() -> int:
    """Return the number of this run of the machine, 0 if it does not tell."""
    try:
        return number(_BOOT_ID.read_text())
    except OSError:
        return 0
