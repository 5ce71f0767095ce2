"""Whatever sessions do with their images, against a model of what must be there."""

from __future__ import annotations

import copy
import io
import itertools
import logging

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from tests.test_imageattach import Base, Later, User
from tiered_store.backends.memory import MemoryStore
from tiered_store.errors import UnavailableError
from tiered_store.imageattach import bridge
from tiered_store.key import Key
from tiered_store.testing import FaultStore


from sqlalchemy_imageattach.context import store_context  # isort: skip  # revived


Size = tuple[int, int]
Pictures = dict[int, dict[Size, bytes]]  # by user, the original's first
NUMBERS = st.integers(1, 2)
SIZES = st.sampled_from([(40, 30), (30, 40)])


def key_of(number: int, size: Size) -> Key:
    return Key("user-picture", number, *size, "image/png")


def database() -> Engine:
    """Return an empty one, in memory."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    # or sqlite3 begins late, and a savepoint commits
    event.listen(engine, "connect", lambda c, _: setattr(c, "isolation_level", None))
    event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN"))
    Base.metadata.create_all(engine)
    return engine


class Sessions(RuleBasedStateMachine):
    """
    One session that writes, with savepoints, and another that only begins and ends.

    Attributes:
        committed: What the database has.
        now: What it will have if the session commits.
        points: The savepoints, each with what there was before it.
        stale: Keys whose bytes may be newer, as they could not be put back.
    """

    def __init__(self) -> None:
        super().__init__()
        self.engine, self.another = database(), database()
        self.memory = FaultStore(MemoryStore(base_url="https://x/"))
        self.images = bridge(self.memory, clock=Later())
        self.current = store_context(self.images)
        self.current.__enter__()
        self.session = Session(self.engine)
        self.other = Session(self.another)
        self.committed: Pictures = {}
        self.now: Pictures = {}
        self.points: list[tuple[Any, Pictures]] = []
        self.stale: set[Key] = set()
        self.numbers = itertools.count()
        logging.disable(logging.CRITICAL)  # of what could not be deleted

    def teardown(self) -> None:
        logging.disable(logging.NOTSET)
        self.session.close()
        self.other.close()
        self.current.__exit__(None, None, None)
        self.engine.dispose()
        self.another.dispose()

    def content(self, number: int, size: Size) -> bytes:
        return f"{number} {size} {next(self.numbers)}".encode()

    def store(self, number: int, size: Size, content: bytes, original: bool) -> None:
        user = self.session.get(User, number)
        if user is None:
            user = User(id=number)
            self.session.add(user)
            self.session.flush()
        user.picture.from_raw_file(
            io.BytesIO(content), size=size, mimetype="image/png", original=original
        )
        self.session.flush()

    @rule(number=NUMBERS, size=SIZES)
    def add_or_replace(self, number: int, size: Size) -> None:
        content = self.content(number, size)
        self.store(number, size, content, original=True)
        self.now[number] = {size: content}

    @precondition(lambda self: self.now)
    @rule(last=st.booleans(), width=st.sampled_from([10, 20]))
    def make_a_thumbnail(self, last: bool, width: int) -> None:
        number, size = max(self.now) if last else min(self.now), (width, width)
        if size not in self.now[number]:
            content = self.content(number, size)
            self.store(number, size, content, original=False)
            self.now[number][size] = content

    @precondition(lambda self: self.now)
    @rule(last=st.booleans())
    def remove(self, last: bool) -> None:
        number = max(self.now) if last else min(self.now)
        self.session.delete(self.session.get(User, number))
        self.session.flush()
        del self.now[number]

    @rule(number=NUMBERS, size=SIZES, after_apply=st.booleans())
    def fail_to_store(self, number: int, size: Size, after_apply: bool) -> None:
        self.memory.fail("put", after_apply=after_apply)
        try:
            self.store(number, size, self.content(number, size), original=True)
        except UnavailableError:
            self.roll_back()
        else:
            raise AssertionError("it was stored")

    @precondition(lambda self: len(self.points) < 3)
    @rule()
    def set_a_savepoint(self) -> None:
        self.points.append((self.session.begin_nested(), copy.deepcopy(self.now)))

    @precondition(lambda self: self.points)
    @rule()
    def release_a_savepoint(self) -> None:
        self.points.pop()[0].commit()

    @precondition(lambda self: self.points)
    @rule()
    def roll_back_to_a_savepoint(self) -> None:
        point, self.now = self.points.pop()
        point.rollback()

    @rule(failing=st.sampled_from([0, 0, 0, 1, 2]))
    def commit(self, failing: int = 0) -> None:
        if failing:
            self.memory.fail("delete", times=failing)
        self.session.commit()
        self.committed = copy.deepcopy(self.now)
        self.ended()

    @rule()
    def roll_back(self) -> None:
        self.session.rollback()
        self.now = copy.deepcopy(self.committed)
        self.ended()

    @rule(failing=st.sampled_from(["put", "delete"]))
    def roll_back_while_the_store_fails(self, failing: Any) -> None:
        self.memory.fail(failing, times=None)
        self.roll_back()
        if failing == "put":
            for key, content in self.expected(self.committed).items():
                if self.memory.get(key).read() != content:
                    self.stale.add(key)

    @rule()
    def close(self) -> None:
        self.session.close()
        self.now = copy.deepcopy(self.committed)
        self.ended()
        self.session = Session(self.engine)

    @rule(commits=st.booleans())
    def end_elsewhere(self, commits: bool) -> None:
        self.other.connection()
        if commits:
            self.other.commit()
        else:
            self.other.rollback()

    def ended(self) -> None:
        """Nothing is there that no row names, but what could not be deleted."""
        self.points.clear()
        self.memory.heal()
        expected = self.expected(self.committed)
        found = set(self.memory.keys(""))
        assert found - set(expected) <= set(self.images.undone), "left behind"
        assert not set(expected) & set(self.images.undone), "to be deleted late"

    def expected(self, pictures: Pictures) -> dict[Key, bytes]:
        return {
            key_of(number, size): content
            for number, sizes in pictures.items()
            for size, content in sizes.items()
        }

    @invariant()
    def what_is_or_will_be_named_is_there(self) -> None:
        now = self.expected(self.now)
        for key, content in now.items():
            found = self.memory.get(key).read()
            if found == content:
                self.stale.discard(key)
            assert found == content or key in self.stale, key
        there = set(self.memory.keys(""))
        assert (
            set(self.expected(self.committed)) <= there
        )  # or a rollback would lose it


TestSessions = Sessions.TestCase
TestSessions.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
