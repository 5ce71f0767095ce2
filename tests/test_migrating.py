"""Moving while both are in use."""

from __future__ import annotations

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.errors import NotFoundError, UnavailableError
from tiered_store.key import Key
from tiered_store.testing.faults import FaultStore
from tiered_store.wrappers.migrating import MigratingStore


KEY = Key("testing", 1, 2, 3, "image/png")


class Move:
    """An old store with one object, a new one without."""

    def __init__(self) -> None:
        self.old = FaultStore(MemoryStore(base_url="https://old/"))
        self.new = FaultStore(MemoryStore(base_url="https://new/"))
        self.old.child.put(KEY, Body.of(b"old"))
        self.store = MigratingStore(self.old, self.new)


def test_what_was_not_moved_is_read_where_it_is() -> None:
    """The old store answers for it."""
    move = Move()

    assert move.store.get(KEY).read() == b"old"
    assert move.store.stat(KEY).size == 3
    assert list(move.store.keys()) == [KEY]


def test_what_is_put_goes_to_the_new_store_alone() -> None:
    """And outranks what the old one has."""
    move = Move()

    move.store.put(KEY, Body.of(b"new"))

    assert move.store.get(KEY).read() == b"new"
    assert list(move.store.keys()) == [KEY]
    assert move.old.calls["put"] == 0


def test_an_outage_of_the_new_store_never_shows_the_old_object() -> None:
    """It may have been overwritten."""
    move = Move()
    move.store.put(KEY, Body.of(b"new"))
    move.new.down()

    with pytest.raises(UnavailableError):
        move.store.get(KEY)


def test_a_delete_reaches_both() -> None:
    """So that nothing is uncovered."""
    move = Move()
    move.store.put(KEY, Body.of(b"new"))

    move.store.delete(KEY)

    with pytest.raises(NotFoundError):
        move.store.get(KEY)


def test_a_delete_that_fails_half_way_uncovers_nothing() -> None:
    """The old object goes first."""
    move = Move()
    move.store.put(KEY, Body.of(b"new"))
    move.new.fail("delete", after_apply=True)

    with pytest.raises(UnavailableError):
        move.store.delete(KEY)

    with pytest.raises(NotFoundError):
        move.store.get(KEY)


def test_a_delete_that_fails_at_once_has_done_nothing() -> None:
    """An outage of the old store is told, and the new object stays."""
    move = Move()
    move.store.put(KEY, Body.of(b"new"))
    move.old.down()

    with pytest.raises(UnavailableError):
        move.store.delete(KEY)

    assert move.store.get(KEY).read() == b"new"


def test_urls_cost_nothing_or_are_right() -> None:
    """By default they name the new store; look: true asks it."""
    move = Move()
    looking = MigratingStore(move.old, move.new, look=True)

    assert move.store.url(KEY).startswith("https://new/")
    assert move.new.calls["stat"] == 0
    assert looking.url(KEY).startswith("https://old/")
    move.store.put(KEY, Body.of(b"new"))
    assert looking.url(KEY).startswith("https://new/")
