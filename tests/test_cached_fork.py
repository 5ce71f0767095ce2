"""Forks: neither parent nor child serves what the other has replaced."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from tests.boards import Board
from tests.fleets import KEY, on_board
from tests.servers.redis import RedisServer
from tests.waiting import until
from tiered_store.body import Body


PREAMBLE = """
import os, random, sys, threading, time
from tests.fleets import KEY
from tests.waiting import PATIENT, until
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.body import Body
from tiered_store.tiers.memory import MemoryTier
from tiered_store.tiers.redis import RedisTier
from tiered_store.tiers.store import StoreTier
from tiered_store.wrappers.cached import CachedStore


class Counting(FileSystemStore):
    # how often it was read, by all processes
    def _get(self, key):
        with open(self.path + "/reads", "ab") as reads:
            reads.write(b"x")
        time.sleep(self.slow)
        return super()._get(key)

    slow = 0.0

    @property
    def reads(self):
        try:
            return os.path.getsize(self.path + "/reads")
        except FileNotFoundError:
            return 0


origin = Counting(FOLDER + "/origin", create=True)
shared = RedisTier(URL, prefix=FOLDER + ":", ttl=60, **PATIENT)
tiers = [MemoryTier(ttl=60), shared]
store = CachedStore(origin, tiers)
NONE = KEY._replace(object_id=99)

def put(content, key=KEY):
    store.put(key, Body.of(content))

def get(key=KEY):
    with store.get_file(*key) as file:
        return file.read()

def warm(content, key=KEY):
    # until memory serves it
    assert get(key) == content
    until(lambda: shared.online)
    def hit():
        before = origin.reads
        assert get(key) == content
        return tiers[0].get(key) is not None and origin.reads == before
    until(hit)

class Baton:
    def __init__(self):
        self.ends = os.pipe()
    def give(self):
        os.write(self.ends[1], b"x")
    def take(self):
        assert os.read(self.ends[0], 1) == b"x"

def forked(work):
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException:
        import traceback
        traceback.print_exc()
    os._exit(1)

def ended(*children):
    for child in children:
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
"""


def run(server: RedisServer, folder: Path, script: str) -> None:
    """Run *script* in a process that may fork; it must end well and say nothing."""
    start = f"URL, FOLDER = {server.url!r}, {str(folder)!r}"
    done = subprocess.run(
        [
            *(sys.executable, "-X", "dev", "-W", "ignore::DeprecationWarning"),
            *("-c", start + PREAMBLE + textwrap.dedent(script)),
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path])},
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.servers
def test_neither_serves_what_the_other_replaced(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Both have it in memory at the fork, and only the parent listens then."""
    run(
        redis_server,
        tmp_path,
        """
        put(b"old")
        warm(b"old")
        to_child, to_parent = Baton(), Baton()

        def child():
            to_child.take()
            assert get() == b"new"
            assert get() == b"new"
            warm(b"new")
            put(b"newer")
            assert get() == b"newer"
            to_parent.give()
            to_child.take()
            until(lambda: get() == b"newest")
            warm(b"newest")

        pid = forked(child)
        put(b"new")
        to_child.give()
        to_parent.take()
        until(lambda: get() == b"newer")
        warm(b"newer")
        put(b"newest")
        assert get() == b"newest"
        to_child.give()
        ended(pid)
        store.close()
        """,
    )


@pytest.mark.servers
def test_what_is_gone_stays_gone_in_the_child(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """A delete is a write; and absence is a copy."""
    run(
        redis_server,
        tmp_path,
        """
        store = CachedStore(origin, tiers, negative_ttl=60)
        put(b"old")
        warm(b"old")
        other = KEY._replace(object_id=2)
        for _ in range(3):
            try: get(other)
            except FileNotFoundError: pass
        baton = Baton()

        def child():
            baton.take()
            try: get()
            except FileNotFoundError: pass
            else: raise AssertionError("it is gone")
            assert get(other) == b"new"

        pid = forked(child)
        store.delete(KEY)
        put(b"new", other)
        baton.give()
        ended(pid)
        store.close()
        """,
    )


@pytest.mark.servers
@pytest.mark.parametrize("used", [True, False], ids=["warm", "cold"])
def test_a_stack_that_was_made_before_its_workers(
    redis_server: RedisServer, tmp_path: Path, used: bool
) -> None:
    """As a preloading server does: each hears, leases and fills for itself."""
    run(
        redis_server,
        tmp_path,
        f"""
        count, used = 3, {used}
        keys = [KEY._replace(object_id=number) for number in range(count)]
        origin.put(KEY._replace(object_id=50), Body.of(b"cold"))
        if used:
            for key in keys:
                put(b"old", key)
                warm(b"old", key)
        go = Baton()

        def worker(number):
            go.take()
            origin.slow = 0.3
            assert get(KEY._replace(object_id=50)) == b"cold"
            origin.slow = 0.0
            put(b"of %d" % number, keys[number])
            for other, key in enumerate(keys):
                until(lambda: exists(key) and get(key) == b"of %d" % other)
                warm(b"of %d" % other, key)
            assert shared.online

        def exists(key):
            try: get(key)
            except FileNotFoundError: return False
            return True

        children = [forked(lambda: worker(number)) for number in range(count)]
        for _ in children:
            go.give()
        ended(*children)
        for number, key in enumerate(keys):
            until(lambda: get(key) == b"of %d" % number)
        store.close()
        """,
    )


@pytest.mark.servers
def test_workers_fetch_a_cold_object_once(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Four processes with four readers each, forked from one that was warm."""
    run(
        redis_server,
        tmp_path,
        """
        put(b"old")
        warm(b"old")
        cold = KEY._replace(object_id=2)
        origin.put(cold, Body.of(b"content"))
        go = Baton()

        def worker():
            go.take()
            origin.slow = 0.3
            found = []
            threads = [
                threading.Thread(target=lambda: found.append(get(cold)))
                for _ in range(4)
            ]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            assert found == [b"content"] * 4, found

        children = [forked(worker) for _ in range(4)]
        before = origin.reads
        for _ in children:
            go.give()
        ended(*children)
        assert origin.reads == before + 1, origin.reads - before
        store.close()
        """,
    )


@pytest.mark.servers
def test_forks_in_the_midst_of_everything(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Whatever a thread of the parent holds at that moment, the child goes on."""
    run(
        redis_server,
        tmp_path,
        """
        keys = [KEY._replace(object_id=number) for number in range(5)]
        over = threading.Event()

        def storm(seed):
            chance = random.Random(seed)
            while not over.is_set():
                key = chance.choice(keys)
                try:
                    if chance.random() < 0.3: put(b"%f" % chance.random(), key)
                    elif chance.random() < 0.1: store.delete(key)
                    else: get(key)
                except FileNotFoundError: pass

        def child():
            for key in keys:
                mine = b"child %d" % os.getpid()
                own = key._replace(width=os.getpid())
                put(mine, own)
                assert get(own) == get(own) == mine
                try: get(key)
                except FileNotFoundError: pass

        threads = [threading.Thread(target=storm, args=(seed,)) for seed in range(4)]
        for thread in threads: thread.start()
        for _ in range(12):
            ended(forked(child))
        over.set()
        for thread in threads: thread.join()
        store.close()
        """,
    )


@pytest.mark.servers
def test_a_fork_while_a_large_object_arrives(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """The thread that fetches it is the parent's; the child reads on by itself."""
    run(
        redis_server,
        tmp_path,
        """
        content = random.Random(1).randbytes(20_000_000)
        tiers.insert(1, StoreTier(FileSystemStore(FOLDER + "/cache", create=True)))
        store = CachedStore(origin, tiers)
        put(content)
        with store.get_file(*KEY) as file:
            start = file.read(1000)

            def child():
                assert start + file.read() == content
                assert get() == content
                put(b"small")
                assert get() == b"small"

            ended(forked(child))
            assert start + file.read() == content
        until(lambda: get() == b"small")
        store.close()
        """,
    )


# -- in one process, step by step ------------------------------------------------------


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def test_the_second_reader_of_a_child_waits_for_the_first(
    threads: ThreadPoolExecutor,
) -> None:
    """Until the parent's memory is gone, nobody reads from it."""
    fleet = on_board(Board())
    member, other = fleet.join(), fleet.join()
    member.put(b"old")
    assert (member.get(), member.get()) == (b"old", b"old")
    member.shared.deaf = True  # as a child is at first
    other.put(b"new")
    clear, clearing, go_on = member.memory.clear, threading.Event(), threading.Event()

    def slow_clear() -> None:
        clearing.set()
        assert go_on.wait(30)
        clear()

    member.memory.clear = slow_clear
    member.store._keeper.after_fork()
    member.store.after_fork()
    first = threads.submit(member.get)
    assert clearing.wait(30)
    second = threads.submit(member.get)
    wait([second], 0.2)
    go_on.set()

    assert (first.result(30), second.result(30)) == (b"new", b"new")
    fleet.close()


def test_a_child_that_wakes_twice_still_keeps_in_memory(
    threads: ThreadPoolExecutor,
) -> None:
    """The second to come must not undo what the feed has mended since."""
    fleet = on_board(Board())
    member = fleet.join()
    member.put(b"content")
    member.store._keeper.after_fork()
    member.store.after_fork()
    assert member.get() == b"content"
    member.shared.connect()
    until(lambda: member.get() == b"content" and member.memory.get(KEY) is not None)

    member.store._keeper.wake()

    assert member.memory.get(KEY) is not None
    reads = fleet.reads
    assert member.get() == b"content"
    assert fleet.reads == reads
    fleet.close()


def test_a_child_does_not_wait_for_its_parents_writes() -> None:
    """They are not there to end; what the parent does is heard from the feed."""
    fleet = on_board(Board())
    member = fleet.join()
    member.put(b"old")
    with member.store._coherence.writing(KEY):
        member.store._coherence.after_fork()
        member.store._keeper.after_fork()
        member.store.after_fork()
        fleet.origin.child.put(KEY, Body.of(b"new"))
        fleet.members[0].shared.board.places.clear()
        assert member.get() == b"new"
        member.shared.connect()
        until(lambda: member.get() == b"new" and member.memory.get(KEY) is not None)
    fleet.close()
