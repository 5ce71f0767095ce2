"""Forks survived, exits drained, nothing started before it is needed."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
import traceback
import warnings

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import until
from tiered_store import lifecycle
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.deadlines import deadline
from tiered_store.errors import NotFoundError
from tiered_store.journals.memory import MemoryJournal
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.key import Key
from tiered_store.replication.census import Census
from tiered_store.replication.seen import Seen
from tiered_store.store import Store
from tiered_store.testing import FaultStore
from tiered_store.tiers.memory import MemoryTier
from tiered_store.tiers.store import StoreTier
from tiered_store.wrappers.breaker import BreakerStore
from tiered_store.wrappers.cached import CachedStore
from tiered_store.wrappers.fallback import FallbackStore
from tiered_store.wrappers.hedged import HedgedStore
from tiered_store.wrappers.limit import LimitStore
from tiered_store.wrappers.overlay import OverlayStore
from tiered_store.wrappers.replicated import ReplicatedStore
from tiered_store.wrappers.retry import RetryStore
from tiered_store.wrappers.timeout import TimeoutStore


KEY = Key("testing", 1, 2, 3, "image/png")
OTHER = Key("testing", 2, 2, 3, "image/png")


def run(program: str, *, seconds: float = 30) -> subprocess.CompletedProcess[str]:
    """Run *program* in an interpreter of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def test_a_fork_waits_for_what_another_thread_imports(tmp_path: Path) -> None:
    """In the child its module would be locked for ever: whoever asked would hang."""
    (tmp_path / "sdk.py").write_text("import __main__; __main__.imported()")

    done = run(
        f"""
        import os, sys, threading
        import tiered_store.lifecycle

        sys.path.insert(0, {str(tmp_path)!r})
        begun, forking = threading.Event(), threading.Event()

        def imported():
            begun.set()
            forking.wait()

        os.register_at_fork(before=forking.set)  # asked before those of earlier
        thread = threading.Thread(target=__import__, args=("sdk",))
        thread.start()
        begun.wait()
        child = os.fork()
        if not child:
            import sdk
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        thread.join()
        print("well")
        """
    )

    assert (done.stdout, done.stderr) == ("well\n", "")


def test_a_fork_waits_once_for_what_is_imported_for_ever(tmp_path: Path) -> None:
    """As a program that runs while it is imported; nor do the children's forks wait."""
    (tmp_path / "program.py").write_text("import __main__; __main__.imported()")

    done = run(
        f"""
        import os, sys, threading, time
        from tiered_store import lifecycle

        sys.path.insert(0, {str(tmp_path)!r})
        begun, over, waits = threading.Event(), threading.Event(), []

        def imported():
            begun.set()
            over.wait()

        def forked(work=lambda: None):
            waits.clear()
            child = os.fork()
            if not child:
                work()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            return bool(waits)

        class Clock:
            now = 0
            def monotonic(self):
                return self.now
            def sleep(self, seconds):
                waits.append(seconds)
                self.now += lifecycle._LONGEST_IMPORT / 3

        def grandchild():
            assert not forked()

        thread = threading.Thread(target=__import__, args=("program",))
        thread.start()
        begun.wait()
        lifecycle.time = Clock()
        print(forked(grandchild), forked(), forked(grandchild))
        over.set()
        thread.join()
        """
    )

    assert done.stdout == "True False False\n"
    assert done.stderr == "a fork while another thread imports program\n"


def test_a_stack_made_before_a_fork_works_in_the_child() -> None:
    """Row 63: as gunicorn --preload does, while its threads and locks are in use."""
    done = run(
        """
        import os, sys, threading, tempfile, warnings
        from tiered_store import *
        warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads
        folder = tempfile.mkdtemp()
        us = FileSystemStore(folder + "/us", create=True)
        eu = FileSystemStore(folder + "/eu", create=True)
        journal = SQLiteJournal(folder + "/journal.db")
        regions = ReplicatedStore({"us": us, "eu": eu}, journal=journal)
        cached = CachedStore(FallbackStore({"regions": regions}), [MemoryTier()])
        images = RetryStore(cached)
        key = lambda number: Key("testing", number, 1, 1, "image/png")
        stop = threading.Event()
        def work(seed):
            number = seed
            while not stop.is_set():
                number += 10
                images.put(key(number % 50), Body.of(b"parent"))
                images.get(key(number % 50)).read()
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads: thread.start()
        failed = 0
        for round in range(8):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    with deadline(10):
                        images.put(key(1000 + round), Body.of(b"child"))
                        assert images.get(key(1000 + round)).read() == b"child"
                    status = 0
                finally:
                    os._exit(status)
            failed += os.waitpid(child, 0)[1] != 0
        stop.set()
        for thread in threads: thread.join()
        assert all(images.get(key(1000 + n)).read() == b"child" for n in range(8))
        sys.exit(failed)
        """,
        seconds=100,
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "journal",
    [
        "SQLiteJournal(folder + '/journal.db')",
        "SQLJournal(f'sqlite:///{folder}/journal.db')",
    ],
)
def test_a_journal_that_is_read_at_a_fork_is_read_in_the_child(
    tmp_path: Path, journal: str
) -> None:
    """SQLite has locks for the whole process, which a reader holds now and then."""
    done = run(
        f"""
        import os, threading, warnings
        from tiered_store import SQLiteJournal, SQLJournal
        warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads
        folder = {str(tmp_path)!r}
        journal = {journal}
        journal.backlogs()
        stop = threading.Event()
        def read():
            while not stop.is_set():
                journal.backlogs()
        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads: thread.start()
        for _ in range(15):
            child = os.fork()
            if child == 0:
                journal.backlogs()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        for thread in threads: thread.join()
        """,
        seconds=100,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_an_exit_says_what_is_left() -> None:
    """It drains for a bounded time, and goes on when one cannot be drained."""
    done = run(
        """
        from tiered_store import lifecycle
        class Queue:
            def drain(self, seconds):
                assert 0 < seconds <= lifecycle.EXIT_SECONDS
                return "three copies for eu"
        class Broken:
            def drain(self, seconds):
                raise RuntimeError("cannot")
        kept = Queue(), Broken()
        for thing in kept: lifecycle.drain_at_exit(thing)
        """
    )

    assert done.returncode == 0
    assert "three copies for eu" in done.stderr
    assert "could not be drained" in done.stderr


def test_a_hung_store_does_not_keep_a_process() -> None:
    """Its threads are daemons."""
    done = run(
        """
        import threading
        from tiered_store import *
        from tiered_store.testing import FaultStore
        slow = FaultStore(MemoryStore())
        slow.hang("put")
        replicas = {"us": slow, "eu": MemoryStore()}
        store = ReplicatedStore(replicas, journal=MemoryJournal())
        with deadline(0.2):
            try:
                store.put(Key("testing", 1, 1, 1, "image/png"), Body.of(b"x"))
            except StoreError as error:
                print(type(error).__name__)
        """
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "program",
    [
        "import tiered_store",
        "from tiered_store import *",
        "from tiered_store import *; "
        "ReplicatedStore({'a': MemoryStore(), 'b': MemoryStore()}); "
        "CachedStore(MemoryStore(), [MemoryTier()]); TimeoutStore(MemoryStore(), 1)",
    ],
)
def test_nothing_starts_a_thread_by_itself(program) -> None:
    """Neither an import nor a constructor."""
    done = run(f"{program}\nimport threading; print(threading.active_count())")

    assert (done.stdout.strip(), done.stderr) == ("1", "")
    assert threading.active_count() >= 1


# -- forks while a lock is held ------------------------------------------------------

STACKS: dict[str, Callable[[Path], Store]] = {
    "memory": lambda _: MemoryStore(),
    "filesystem": lambda path: FileSystemStore(str(path)),
    "fault": lambda _: FaultStore(MemoryStore()),
    "breaker": lambda _: BreakerStore(MemoryStore()),
    "retry": lambda _: RetryStore(FaultStore(MemoryStore())),
    "hedged": lambda _: HedgedStore(MemoryStore()),
    "limit": lambda _: LimitStore(MemoryStore(), 2),
    "timeout": lambda _: TimeoutStore(MemoryStore(), 10),
    "overlay": lambda _: OverlayStore(below=MemoryStore(), above=MemoryStore()),
    "fallback": lambda _: FallbackStore({"a": MemoryStore(), "b": MemoryStore()}),
    "cached": lambda path: CachedStore(
        MemoryStore(), [MemoryTier(), StoreTier(FileSystemStore(str(path)))]
    ),
    "replicated": lambda _: ReplicatedStore(
        {"a": MemoryStore(), "b": MemoryStore()}, journal=MemoryJournal()
    ),
    "sqlite": lambda path: ReplicatedStore(
        {"a": MemoryStore(), "b": MemoryStore()},
        journal=SQLiteJournal(str(path / "journal.db")),
    ),
}
LOCKS = (type(threading.Lock()), type(threading.RLock()), threading.Condition)


def locks_of(thing: object) -> list[Any]:
    """Return the locks that *thing* itself holds as attributes."""
    values = [
        getattr(thing, name, None)
        for kind in type(thing).__mro__
        for name in getattr(kind, "__slots__", ())
    ]
    values += vars(thing).values() if hasattr(thing, "__dict__") else ()
    return [value for value in values if isinstance(value, LOCKS)]


@contextmanager
def held_elsewhere(locks: list[Any]) -> Iterator[None]:
    """Hold *locks* in another thread, as one in the middle of something does."""
    taken, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with ExitStack() as held:
            for lock in locks:
                held.enter_context(lock)
            taken.set()
            let_go.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert taken.wait(60)
    try:
        yield
    finally:
        let_go.set()
        holder.join()


def in_a_child(work: Callable[[], None]) -> None:
    """Do *work* in a forked process; it must end well, and soon."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads
        child = os.fork()
    if child == 0:
        watchdog = threading.Timer(20, os._exit, (99,))
        watchdog.daemon = True
        watchdog.start()
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, "it waited for a lock for ever" if status == 99 else "it failed"


@pytest.mark.parametrize("kind", [Seen, Census])
def test_a_fork_waits_for_the_lists_of_those_who_verify(
    kind: type[Seen | Census],
) -> None:
    """SQLite's locks are the whole process's; a child would wait for them for ever."""
    ended = threading.Event()

    def list_some() -> None:
        keys = [Key("comics.cover", number, 1, 1, "image/png") for number in range(99)]
        with kind() as lists:
            for key in keys:
                if isinstance(lists, Seen):
                    lists.add(key)
                else:
                    lists.add([key], 0)

    def go_on() -> None:
        while not ended.is_set():
            list_some()

    threads = [threading.Thread(target=go_on) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(8):
            in_a_child(list_some)
    finally:
        ended.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("kind", STACKS)
def test_a_child_waits_for_no_lock_of_its_parent(tmp_path: Path, kind: str) -> None:
    """The thread that holds one at the fork does not exist in the child."""
    gc.collect()
    before = set(map(id, lifecycle._forkable))
    store = STACKS[kind](tmp_path)
    with deadline(10):
        store.put(KEY, Body.of(b"parent"))
        assert store.get(KEY).read() == b"parent"
    locks = [
        lock
        for thing in lifecycle._forkable
        if id(thing) not in before and not hasattr(thing, "before_fork")
        for lock in locks_of(thing)
    ]
    assert locks or kind == "filesystem"

    def work() -> None:
        with deadline(10):
            assert store.get(KEY).read() == b"parent"
            store.put(OTHER, Body.of(b"child"))
            assert store.get(OTHER).read() == b"child"
            store.delete(KEY)
            with pytest.raises(NotFoundError):
                store.get(KEY)

    with held_elsewhere(locks):
        in_a_child(work)
    store.close()


def test_everybody_is_told_of_a_fork_whoever_fails() -> None:
    """In the child alone; a stranger's failure is not a lock that hangs."""
    done = run(
        """
        import os, sys
        from tiered_store import lifecycle
        class Forked:
            told = 0
            def __init__(self, number): self.number = number
            def after_fork(self):
                self.told += 1
                if self.number % 2: raise ValueError(f"bad {self.number}")
        things = [Forked(number) for number in range(20)]
        for thing in things: lifecycle.survive_fork(thing)
        child = os.fork()
        if child == 0:
            os._exit([thing.told for thing in things] != [1] * 20)
        assert os.waitpid(child, 0)[1] == 0
        assert [thing.told for thing in things] == [0] * 20
        """
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr.count("did not survive a fork") == 10


def test_what_is_gone_is_not_kept_for_a_fork_or_an_exit() -> None:
    """A program that makes many stores does not keep them all."""
    gc.collect()
    before = len(lifecycle._forkable), len(lifecycle._drainable)
    stores = [CachedStore(MemoryStore(), [MemoryTier()]) for _ in range(20)]
    assert len(lifecycle._forkable) > before[0]

    del stores
    gc.collect()
    # what other tests left may go meanwhile
    assert len(lifecycle._forkable) <= before[0]
    assert len(lifecycle._drainable) <= before[1]


# -- exits -----------------------------------------------------------------------------


def test_an_exit_waits_for_all_together_no_longer_than_it_may() -> None:
    """Who comes last gets what is left, and one that has finished says nothing."""
    done = run(
        """
        import threading, time
        from tiered_store import lifecycle
        lifecycle.EXIT_SECONDS = 0.3
        given = []
        class Slow:
            def __init__(self, name): self.name = name
            def drain(self, seconds):
                given.append(seconds)
                threading.Event().wait(seconds)
                return f"work of {self.name}"
        class Done:
            def drain(self, seconds): return None
        kept = [Slow("one"), Slow("two"), Slow("three"), Done()]
        for thing in kept: lifecycle.drain_at_exit(thing)
        import atexit
        lifecycle.atexit.unregister(lifecycle._at_exit)
        atexit.register(lambda: print(sum(given) <= 0.3, min(given) == 0.0))
        atexit.register(lifecycle._at_exit)
        """
    )

    assert (done.returncode, done.stdout) == (0, "True True\n")
    for name in ("one", "two", "three"):
        assert f"exiting with work left: work of {name}" in done.stderr
    assert done.stderr.count("work left") == 3


def test_an_exit_without_work_is_silent() -> None:
    """As nearly every exit is."""
    done = run(
        """
        from tiered_store import *
        store = RetryStore(CachedStore(MemoryStore(), [MemoryTier()]))
        store.put(Key("testing", 1, 1, 1, "image/png"), Body.of(b"x"))
        """
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_work_within_work_does_not_wait_for_the_fork_that_waits_for_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Who is in the midst of something goes on with it."""
    work = lifecycle.Undisturbed()

    def fork() -> None:
        work.before_fork()
        work.after_fork_in_parent()

    with work:
        fork_soon = threading.Thread(target=fork)
        fork_soon.start()
        until(lambda: not work._gate.acquire(blocking=False) or work._gate.release())
        with work:
            pass
    fork_soon.join()

    assert not caplog.records  # of a fork that waited in vain


def test_a_fork_goes_on_while_another_thread_registers() -> None:
    """What is registered is counted once more."""

    class Growing(set[str]):
        def __iter__(self) -> Iterator[str]:
            for thing in super().__iter__():
                self.add("another")
                yield thing

    assert set(lifecycle._those_of(Growing({"one"}))) == {"one", "another"}
