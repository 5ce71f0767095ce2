"""Moving while both are in use."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body, Stat
from tiered_store.errors import DeniedError, NotFoundError, UnavailableError
from tiered_store.foreign import ForeignStore
from tiered_store.key import Key
from tiered_store.testing.faults import FaultStore
from tiered_store.tiers.memory import MemoryTier
from tiered_store.wrapper import Wrapper
from tiered_store.wrappers.cached import CachedStore
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


class Meanwhile(Wrapper):
    """A store after whose next answer, and before anything else, *happens*."""

    happens: Callable[[], None] | None = None

    def _answered_now(self) -> None:
        happens, self.happens = self.happens, None
        if happens is not None:
            happens()

    def _get(self, key: Key) -> Body:
        try:
            return self.child.get(key)
        finally:
            self._answered_now()

    def _stat(self, key: Key) -> Stat:
        try:
            return self.child.stat(key)
        finally:
            self._answered_now()

    def _keys(self, prefix: str) -> Iterator[Key]:
        yield from list(self.child.keys(prefix))
        self._answered_now()


class Moving:
    """Two stores, and an object that is moved when somebody has been asked."""

    def __init__(self) -> None:
        self.old = Meanwhile(MemoryStore())
        self.new = Meanwhile(MemoryStore())
        self.store = MigratingStore(self.old, self.new)
        self.old.child.put(KEY, Body.of(b"there all the time"))

    def move(self) -> None:
        self.new.child.put(KEY, self.old.child.get(KEY))
        self.old.child.delete(KEY)


QUESTIONS: dict[str, Callable[[MigratingStore], object]] = {
    "get": lambda store: store.get(KEY).read(),
    "stat": lambda store: store.stat(KEY).size,
    "keys": lambda store: list(store.keys()),
}


@pytest.mark.parametrize("asked", ["old", "new"])
@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_what_is_moved_meanwhile_is_never_absent(
    ask: Callable[[MigratingStore], object], asked: str
) -> None:
    """Between the questions to the new store and to the old one it was in neither."""
    moving = Moving()
    before = ask(moving.store)
    getattr(moving, asked).happens = moving.move

    assert ask(moving.store) == before == ask(moving.store)


def test_an_outage_while_it_is_looked_for_again_is_no_absence() -> None:
    """Nobody knows then where it is."""
    move = Move()
    move.old.child.delete(KEY)
    move.new.fail("get", error=NotFoundError("none"))
    move.new.fail("get", error=UnavailableError("away"))

    with pytest.raises(UnavailableError, match="away"):
        move.store.get(KEY)


def test_a_delete_that_fails_half_way_may_have_happened() -> None:
    """So a cache above does not go on serving what is gone."""
    move = Move()
    cached = CachedStore(move.store, [MemoryTier()])
    assert cached.get(KEY).read() == b"old"
    move.new.fail("delete", error=DeniedError("not yours"))

    with pytest.raises(DeniedError) as raised:
        cached.delete(KEY)

    assert raised.value.ambiguous
    with pytest.raises(NotFoundError):
        cached.get(KEY)


def test_it_can_do_what_it_can_do() -> None:
    """A list of half of the objects, and half of a delete, are neither."""
    silent = ForeignStore(MemoryStore())

    assert "keys" not in MigratingStore(silent, MemoryStore()).capabilities()
    assert "keys" not in MigratingStore(MemoryStore(), silent).capabilities()
    assert "keys" in MigratingStore(MemoryStore(), MemoryStore()).capabilities()
