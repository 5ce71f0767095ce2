"""
Objects, intents and steps that the rules of journals are told in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tiered_store.errors import UnavailableError
from tiered_store.journals.journal import Journal
from tiered_store.journals.keylocks import Lease
from tiered_store.journals.row import Intent
from tiered_store.key import Key


Make = Callable[..., Journal]

KEY = Key("comics.cover", 5, 30, 40, "image/png")
OTHER = KEY._replace(object_id=6)
PUT: Mapping[str, Intent] = {"us": "put", "eu": "put"}
DELETE: Mapping[str, Intent] = {"us": "delete", "eu": "delete"}
DOWN = UnavailableError("down")
LATE = UnavailableError("timed out", ambiguous=True)
MANY = 260  # objects with two rows each are more than a page


def missed(journal: Journal, key: Key = KEY) -> dict[str, str]:
    """Return by replica what it missed of *key*."""
    return {name: row.verb for name, row in journal.rows(key).items()}


def write(
    journal: Journal,
    intents: Mapping[str, Intent] = PUT,
    *,
    failed: tuple[str, ...] = (),
    error: BaseException = DOWN,
    key: Key = KEY,
) -> None:
    """Note a write of *key* that every replica took but those that *failed*."""
    mark = journal.begin(key, intents)
    journal.settle(mark, {name: error if name in failed else None for name in intents})


def held(journal: Journal, key: Key, seconds: float) -> Lease:
    """Return the lease on *key*, which is to be had in *seconds*."""
    lease = journal.lease(key, seconds)
    assert lease is not None
    return lease
