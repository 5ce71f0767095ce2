"""Repair behind the callers' backs: when it begins, who does it, and how it ends."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import textwrap
import threading

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.waiting import until
from tiered_store import build
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.cli.drawing import draw
from tiered_store.errors import ConfigError, UnavailableError
from tiered_store.events import Repaired
from tiered_store.journals.memory import MemoryJournal
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.key import Key
from tiered_store.policies.breaker import BreakerPolicy
from tiered_store.replication.background import OWNER
from tiered_store.replication.pace import RepairPolicy
from tiered_store.store import Store
from tiered_store.testing.faults import FaultStore
from tiered_store.testing.recording import Recorder
from tiered_store.tree import label, observe
from tiered_store.wrappers.replicated import ReplicatedStore


KEY = Key("comics.cover", 5, 30, 40, "image/png")
OFTEN = RepairPolicy(every=0.01, rate=None, bandwidth=None)


def threads() -> set[threading.Thread]:
    """Return the threads that repair; other tests may have left some that end soon."""
    return {one for one in threading.enumerate() if one.name.startswith("repair-")}


def content(store: Store, key: Key = KEY) -> bytes:
    return store.get(key).read()


class Mirror:
    """Two faulty replicas, repaired all the time."""

    def __init__(self, **options) -> None:
        self.us, self.eu = FaultStore(MemoryStore()), FaultStore(MemoryStore())
        self.journal = MemoryJournal()
        given = {"journal": self.journal, "repair": OFTEN, "breaker": None, **options}
        self.store = label(
            ReplicatedStore({"us": self.us, "eu": self.eu}, **given), "images"
        )

    def leave_behind(self, count: int = 1) -> None:
        self.eu.down()
        for number in range(count):
            self.store.put(KEY._replace(width=number), Body.of(b"content"))


Make = Callable[..., Mirror]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make mirrors, which are closed with the test."""
    made: list[Mirror] = []

    def make(**options) -> Mirror:
        made.append(Mirror(**options))
        return made[-1]

    yield make
    for mirror in made:
        mirror.us.heal()
        mirror.eu.heal()
        mirror.store.close()


def test_nothing_begins_before_the_first_call(make: Make) -> None:
    """A stack that is made and not used has no thread, nor has one that forks first."""
    before = threads()
    mirror = make()
    assert threads() <= before

    mirror.store.put(KEY, Body.of(b"content"))

    (begun,) = threads() - before
    mirror.store.get(KEY)
    assert threads() - before == {begun}


def test_a_replica_that_returns_is_brought_up_to_date(make: Make) -> None:
    """Nobody calls anything."""
    mirror = make()
    mirror.leave_behind(3)
    heard = Recorder()
    observe(mirror.store, heard)

    mirror.eu.up()

    until(lambda: not list(mirror.store.pending()))
    assert content(mirror.eu.child, KEY._replace(width=2)) == b"content"
    assert len(heard.of(Repaired)) == 3


def test_what_an_earlier_process_left_is_repaired(make: Make, tmp_path: Path) -> None:
    """The first call of any kind begins it."""
    journal = SQLiteJournal(str(tmp_path / "journal.db"))
    mirror = make(journal=journal)
    mirror.us.put(KEY, Body.of(b"content"))
    journal.lack(KEY, ["eu"])

    mirror.store.get(KEY)

    until(lambda: not list(journal.pending()))
    assert content(mirror.eu.child) == b"content"


def test_one_of_all_repairs_at_a_time(make: Make) -> None:
    """While somebody else has the lease nothing is done; then it is."""
    mirror = make()
    lease = mirror.journal.lease(OWNER, 0)
    assert lease is not None
    asked = threading.Event()
    take = mirror.journal.lease

    def watched(key: Key, seconds: float):
        if key == OWNER:
            asked.set()
        return take(key, seconds)

    mirror.journal.lease = watched  # type: ignore[method-assign]
    with lease:
        mirror.leave_behind()
        mirror.eu.up()
        asked.clear()
        assert asked.wait(30)
        asked.clear()
        assert asked.wait(30)
        assert len(list(mirror.store.pending())) == 1

    until(lambda: not list(mirror.store.pending()))


def test_a_replica_that_is_down_is_not_hammered(make: Make) -> None:
    """However often it is looked at: an open circuit lets nothing through."""
    mirror = make(breaker=BreakerPolicy(failures=1, open=3600.0, open_limit=3600.0))
    mirror.leave_behind(20)
    calls = mirror.eu.calls["put"]
    passes: list[None] = []
    page = mirror.journal._page

    def counted(replica, after, limit):
        if after == ("", ""):
            passes.append(None)
        return page(replica, after, limit)

    mirror.journal._page = counted  # type: ignore[method-assign]

    until(lambda: len(passes) >= 5)

    assert mirror.eu.calls["put"] == calls
    assert {row.attempts for row in mirror.store.pending()} == {0}


def test_a_journal_that_fails_is_told_once_and_waited_for(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning, not one every half minute of an outage."""

    class Away(MemoryJournal):
        failures = 3

        def _page(self, *where):
            if self.failures:
                self.failures -= 1
                raise UnavailableError("nobody there")
            return super()._page(*where)

    journal = Away()
    mirror = make(journal=journal)
    with caplog.at_level(logging.WARNING, "tiered_store"):
        mirror.leave_behind()
        mirror.eu.up()
        until(lambda: not journal._rows)

    (record,) = caplog.records
    assert "images cannot be repaired: nobody there" in record.getMessage()


def test_closing_ends_it_and_tells_what_is_left(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """In one line, with who missed how much."""
    mirror = make()
    before = threads()
    mirror.leave_behind(3)

    with caplog.at_level(logging.WARNING, "tiered_store"):
        mirror.store.close()

    until(lambda: threads() <= before)
    (record,) = caplog.records
    assert "objects missed by replicas of images" in record.getMessage()
    assert "3 by eu" in record.getMessage()


def test_what_others_are_writing_is_not_missed(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that ends beside busy ones tells no loss."""
    mirror = make()
    mirror.leave_behind(3)
    mirror.journal.begin(KEY._replace(width=99), {"us": "put", "eu": "put"})

    with caplog.at_level(logging.WARNING, "tiered_store"):
        mirror.store.close()

    (record,) = caplog.records
    missed, in_doubt = record.getMessage().split("; ")
    assert missed.endswith("missed by replicas of images, for the next: 3 by eu")
    assert in_doubt.startswith("writes under way elsewhere or not ended")
    assert in_doubt.endswith("1 by eu, 1 by us")


def test_closing_repairs_what_can_be(make: Make) -> None:
    """A replica that is just back need not wait for the next process."""
    mirror = make(repair=RepairPolicy(every=3600.0))
    mirror.leave_behind(3)
    mirror.eu.up()

    mirror.store.close()

    assert not mirror.journal._rows


def test_a_store_that_is_forgotten_is_not_repaired_for_ever() -> None:
    """Its thread goes with it."""
    before = threads()
    mirror = Mirror()
    mirror.store.put(KEY, Body.of(b"content"))
    assert len(threads() - before) == 1

    del mirror

    until(lambda: gc.collect() >= 0 and threads() <= before)


def test_it_needs_a_journal() -> None:
    """Which says what is to be repaired."""
    with pytest.raises(ConfigError, match="repair: needs a journal"):
        ReplicatedStore({"us": MemoryStore(), "eu": MemoryStore()}, repair=OFTEN)
    with pytest.raises(ConfigError, match="every: must be positive"):
        RepairPolicy(every=0)


def test_it_is_configured_in_yaml(tmp_path: Path) -> None:
    """With durations and sizes as people write them, and drawn as they are."""
    node = {
        "type": "replicated",
        "replicas": {"us": {"type": "memory"}, "eu": {"type": "memory"}},
        "journal": {"type": "memory"},
        "repair": {"every": "5s", "rate": 10, "bandwidth": "1MiB", "parallel": 2},
    }
    with build({"version": 1, "default": "it", "stores": {"it": node}}) as store:
        assert isinstance(store, ReplicatedStore)
        assert store.repair_policy == RepairPolicy(
            every=5.0, rate=10, bandwidth=2**20, parallel=2
        )
        drawn = str(draw(store).plain())
        assert "'repair.every': '5s'" in drawn
        assert "'repair.bandwidth': '1MiB'" in drawn


# -- processes ---------------------------------------------------------------


def run(program: str) -> subprocess.CompletedProcess[str]:
    """Run *program* in an interpreter of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


STACK = """
import os, sys, threading, time, warnings
from tiered_store import *
from tiered_store.testing import FaultStore
warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads
folder = {folder!r}
us = FileSystemStore(folder + "/us", create=True)
eu = FileSystemStore(folder + "/eu")
policy = RepairPolicy(every={every})
def made():
    journal = SQLiteJournal(folder + "/journal.db")
    store = ReplicatedStore({{"us": us, "eu": eu}}, journal=journal, repair=policy)
    return label(store, "images")
key = lambda number: Key("testing", number, 1, 1, "image/png")
store = made()
def repairing():
    return [one for one in threading.enumerate() if one.name.startswith("repair-")]
"""


def stack(folder: Path, every: float = 0.02) -> str:
    return STACK.format(folder=str(folder), every=every)


def test_an_exit_says_what_is_left_and_the_next_one_finishes_it(
    tmp_path: Path,
) -> None:
    """Nothing is waited for that cannot be done."""
    first = run(stack(tmp_path) + "store.put(key(1), Body.of(b'content'))\n")
    assert first.returncode == 0
    assert "exiting with work left" in first.stderr
    assert "1 by eu" in first.stderr
    (tmp_path / "eu").mkdir()

    second = run(
        stack(tmp_path)
        + "store.get(key(1))\n"
        + "while list(store.pending()): time.sleep(0.01)\n"
    )

    assert (second.returncode, second.stderr) == (0, "")
    found = FileSystemStore(str(tmp_path / "eu"))
    assert content(found, Key("testing", 1, 1, 1, "image/png")) == b"content"


def test_an_exit_does_not_wait_for_a_replica_that_hangs(tmp_path: Path) -> None:
    """It is bounded, whatever a repair waits for."""
    done = run(
        stack(tmp_path)
        + textwrap.dedent(
            """
            from tiered_store import lifecycle
            lifecycle.EXIT_SECONDS = 1.0
            store.put(key(1), Body.of(b"content"))
            os.makedirs(folder + "/eu")
            begun = threading.Event()
            def hang(*arguments):
                begun.set()
                threading.Event().wait()
            eu._put = hang
            assert begun.wait(30)
            """
        )
    )

    assert done.returncode == 0
    assert "does not end" in done.stderr


def test_a_forked_child_starts_its_own_and_one_is_the_owner(tmp_path: Path) -> None:
    """The parent's thread is not there; its repairs go on, and so do the child's."""
    done = run(
        stack(tmp_path)
        + textwrap.dedent(
            """
            store.put(key(1), Body.of(b"content"))
            assert len(repairing()) == 1
            child = os.fork()
            if not child:
                assert repairing() == []
                store.put(key(2), Body.of(b"content"))
                assert len(repairing()) == 1
                os.makedirs(folder + "/eu")
                while list(store.pending()): time.sleep(0.01)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            assert len(repairing()) == 1
            sys.exit(os.waitstatus_to_exitcode(status))
            """
        )
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_a_killed_owner_is_followed(tmp_path: Path) -> None:
    """Its lease ends with it, and the next process repairs."""
    program = stack(tmp_path) + textwrap.dedent(
        """
        from tiered_store.replication.background import OWNER
        store.put(key(1), Body.of(b"content"))
        lease = store.journal.lease(OWNER, 10)
        print("held", flush=True)
        time.sleep(60)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"held\n"
        (tmp_path / "eu").mkdir()
        os.kill(owner.pid, 9)

    done = run(
        stack(tmp_path)
        + "store.get(key(1))\n"
        + "while list(store.pending()): time.sleep(0.01)\n"
    )

    assert (done.returncode, done.stderr) == (0, "")
