"""Forks survived, exits drained, nothing started before it is needed."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading

import pytest


def run(program: str, *, seconds: float = 30) -> subprocess.CompletedProcess[str]:
    """Run *program* in an interpreter of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def test_a_stack_made_before_a_fork_works_in_the_child() -> None:
    """As gunicorn --preload makes one, while its threads and locks are in use."""
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
