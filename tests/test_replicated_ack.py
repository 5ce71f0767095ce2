"""
Writes that return at their quorum, and what is under way behind them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.test_replicated import KEY, NEW, OLD, OTHER, Pair, content
from tests.waiting import until
from tiered_store import deadlines
from tiered_store.backends.memory import MemoryStore
from tiered_store.deadlines import deadline
from tiered_store.errors import ConfigError, PartialWriteError, UnavailableError
from tiered_store.events import Diverged
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.replication.fanout import Outcomes, fan_out
from tiered_store.replication.placement import Reproducible
from tiered_store.workers import Workers
from tiered_store.wrappers.replicated import ReplicatedStore


class Late(Pair):
    """A pair that returns at a quorum of one."""

    def __init__(self, **options: object) -> None:
        super().__init__(ack="quorum", **options)

    def wait(self) -> None:
        """Wait until nothing is under way."""
        assert self.store._writer.stragglers.drain(30) is None


@pytest.fixture
def pair() -> Late:
    return Late()


def test_a_put_returns_at_its_quorum(pair) -> None:
    """What is under way then is behind, for all who read, until it is there."""
    pair.store.put(KEY, OLD)
    pair.wait()
    with pair.us.pause("put") as pause:
        pair.store.put(KEY, NEW)

        assert pair.missed() == {"us": "put"}
        assert pair.contents() == (b"old", b"new, and longer")
        assert pair.store.get(KEY).read() == b"new, and longer"
        pause.release()

    pair.wait()
    assert pair.contents() == (b"new, and longer",) * 2
    assert pair.missed() == {}
    assert pair.events.of(Diverged) == []


def test_a_delete_returns_at_its_quorum(pair) -> None:
    """It is gone from then on, wherever it still lies."""
    pair.store.put(KEY, OLD)
    pair.wait()
    with pair.us.pause("delete") as pause:
        pair.store.delete(KEY)

        assert content(pair.store) is None
        pause.release()

    pair.wait()
    assert pair.contents() == (None, None)
    assert pair.missed() == {}


def test_what_fails_behind_is_not_lost(pair) -> None:
    """It is told, noted with its error, and repaired."""
    pair.us.fail("put", UnavailableError("out of reach"))
    with pair.eu.pause("put") as pause:
        pause.release()
        pair.store.put(KEY, NEW)
    pair.wait()

    (row,) = pair.journal.rows(KEY).values()
    assert (row.replica, row.verb) == ("us", "put")
    assert "out of reach" in str(row.last_error)
    assert [event.replica for event in pair.events.of(Diverged)] == ["us"]
    pair.store.repair()
    assert pair.contents() == (b"new, and longer",) * 2


def test_what_fails_behind_a_write_is_told_though_the_journal_is_away(pair) -> None:
    """The row stays as it was when the write returned, and the next one goes on."""

    def arrive(*_of_it: object) -> None:
        raise UnavailableError("the journal is away")

    pair.journal.arrive = arrive
    with pair.us.pause("put") as pause:
        pair.us.fail("put", UnavailableError("out of reach"))
        pair.store.put(KEY, NEW)
        pause.release()
        pair.wait()

    assert [event.replica for event in pair.events.of(Diverged)] == ["us"]
    assert pair.missed() == {"us": "put"}
    pair.store.put(KEY, NEW)
    pair.wait()


def test_a_bug_behind_a_write_is_logged(pair, caplog) -> None:
    """There is no caller left to raise it to; the replica is repaired all the same."""
    with pair.us.pause("put") as pause:
        pair.us.fail("put", TypeError("a bug"))
        pair.store.put(KEY, NEW)
        pause.release()
        pair.wait()

    assert pair.missed() == {"us": "put"}
    assert "a bug" in caplog.text


def test_below_its_quorum_it_is_told(pair) -> None:
    """Everybody was waited for, in vain."""
    pair.us.down()
    pair.eu.down()

    with pytest.raises(PartialWriteError):
        pair.store.put(KEY, NEW)
    assert pair.missed() == {"us": "in_doubt", "eu": "in_doubt"}


def test_a_drop_is_no_quorum() -> None:
    """A write waits for who is to keep the object, and is not given up before."""
    cheap = Late(reproducible=Reproducible(replicas=["eu"]))
    with cheap.eu.pause("put") as pause, ThreadPoolExecutor(1) as thread:
        put = thread.submit(cheap.store.put, KEY, NEW, True)
        until(lambda: cheap.us.calls["delete"])
        with pytest.raises(TimeoutError):
            put.result(0.1)
        pause.release()
        put.result()
    cheap.wait()

    assert cheap.contents() == (None, b"new, and longer")


def test_who_was_told_of_is_not_told_of_again() -> None:
    """It was late when the caller's time was up, and has failed since."""
    pair = Pair()
    with pair.eu.pause("put") as pause:
        pair.eu.fail("put", UnavailableError("out of reach"))
        with deadline(1):  # in which the other has it, on any machine
            pair.store.put(KEY, NEW)
        pause.release()

    with pair.journal.lease(KEY, 30):  # which comes after the late answer
        assert "out of reach" in str(pair.journal.rows(KEY)["eu"].last_error)
    assert [event.replica for event in pair.events.of(Diverged)] == ["eu"]


def test_the_next_write_waits_for_what_is_under_way(pair) -> None:
    """Else what is under way could land on top of it."""
    with pair.us.pause("put") as pause:
        pair.store.put(KEY, OLD)
        with pytest.raises(UnavailableError), deadline(0.2):
            pair.store.put(KEY, NEW)
        pair.store.put(OTHER, NEW)
        pause.release()
    pair.wait()
    pair.store.put(KEY, NEW)
    pair.wait()

    assert pair.contents() == (b"new, and longer",) * 2


def test_a_repair_leaves_alone_what_is_under_way(pair) -> None:
    """It will be there, or fail, before long."""
    with pair.us.pause("put") as pause:
        pair.store.put(KEY, NEW)
        assert pair.store.repair().busy == 1
        pause.release()
    pair.wait()


def test_the_callers_file_is_its_own_again(pair, tmp_path) -> None:
    """What is under way is a copy of what it was."""
    path = tmp_path / "upload"
    path.write_bytes(b"as it was" * 100_000)
    with path.open("r+b") as file, pair.us.pause("put") as pause:
        pair.store.put_file(file, *KEY, False)
        file.seek(0)
        file.write(b"something else" * 100_000)
        pause.release()
        pair.wait()

    assert pair.contents() == (b"as it was" * 100_000,) * 2


def test_what_is_under_way_has_time(pair) -> None:
    """The caller's deadline was for the caller."""
    left = []
    put = pair.us.child.put
    pair.us.child.put = lambda *words: (left.append(deadlines.remaining()), put(*words))
    with pair.us.pause("put") as pause:
        with deadline(30):
            pair.store.put(KEY, NEW)
        pause.release()
    pair.wait()

    assert left == [None]
    assert pair.missed() == {}


class Quick(Workers):
    """Threads, the first of which has done its work before the next is wanted."""

    def __init__(self) -> None:
        super().__init__("test", 2)
        self._done = threading.Event()

    def offer(self, work: Callable[[], None]) -> bool:
        taken = super().offer(lambda: (work(), self._done.set()))
        assert self._done.wait(60)
        return taken


class Settled:
    """A change of which both calls are needed."""

    def is_enough(self, outcomes: Outcomes) -> bool:
        return False

    def settle(self, outcomes: Outcomes) -> None:
        self.outcomes = dict(outcomes)

    def arrive(self, name: str, error: BaseException | None) -> None:
        raise AssertionError(f"{name} was waited for")

    def end(self) -> None:
        self.ended = True


def test_who_is_back_before_the_next_is_sent_does_not_end_the_wait() -> None:
    """All that were sent by then are back, and one is not sent yet."""
    change, workers = Settled(), Quick()
    release = threading.Event()
    threading.Timer(0.05, release.set).start()

    with deadline(60):
        calls = {"us": lambda: None, "eu": lambda: until(release.is_set)}
        fan_out(calls, workers, change)

    assert change.outcomes == {"us": None, "eu": None}
    until(lambda: change.ended)
    workers.close()


def test_too_many_under_way_are_waited_for() -> None:
    """A replica that is slower than all others cannot take all threads and memory."""
    pair = Late(workers=4)
    with pair.us.hang("put") as pause:
        pair.store.put(KEY, NEW)
        pair.store.put(OTHER, NEW)
        assert not pair.store._writer.stragglers.has_room
        with deadline(2):  # in which the other has it, on any machine
            pair.store.put(KEY._replace(object_id=7), NEW)
        (event,) = pair.events.of(Diverged)  # which was waited for
        assert event.replica == "us"
        pause.release()
    pair.wait()


def test_a_degraded_write_waits_for_all() -> None:
    """Without a journal nobody would know what is under way."""
    pair = Late(journal_errors="degrade")
    pair.journal.capacity = 1  # so that it refuses
    with pair.us.pause("put") as pause:
        with pytest.raises(PartialWriteError), deadline(0.3):
            pair.store.put(KEY, NEW)
        pause.release()


def test_closing_waits_for_what_is_under_way(tmp_path) -> None:
    """Whoever closes a store may end, and must not leave what is nearly done."""
    pair = Late(journal=SQLiteJournal(str(tmp_path / "journal.db")))
    with pair.us.pause("put") as pause:
        pair.store.put(KEY, NEW)
        pause.release()
        pair.store.close()

    assert list(pair.options["journal"].pending()) == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"ack": "most"}, "ack: expected 'all' or 'quorum'"),
        ({"ack": "quorum"}, "ack: quorum needs a journal"),
    ],
)
def test_an_ack_that_cannot_be_is_refused(options, problem) -> None:
    """With what to do instead."""
    with pytest.raises(ConfigError, match=problem):
        ReplicatedStore({"us": MemoryStore()}, **options)


def test_a_child_knows_nothing_of_what_is_under_way(pair) -> None:
    """It is the parent's, whose threads are not in the child."""
    with pair.us.pause("put") as pause:
        pair.store.put(KEY, NEW)
        child = os.fork()
        if child == 0:
            os._exit(0 if pair.store._writer.stragglers.drain(0) is None else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert pair.store._writer.stragglers.drain(0) is not None
        pause.release()
    pair.wait()


# -- the end of a process ----------------------------------------------------

PROGRAM = """
    import logging, sys, threading
    from pathlib import Path
    from tiered_store import lifecycle
    from tiered_store import FileSystemStore, Key, ReplicatedStore, SQLiteJournal
    from tiered_store.body import Body
    from tiered_store.testing.faults import FaultStore

    logging.basicConfig()
    lifecycle.EXIT_SECONDS = float(sys.argv[2])
    lifecycle.end_at_sigterm()
    folder = Path(sys.argv[1])
    stores = {
        name: FaultStore(FileSystemStore(str(folder / name), create=True))
        for name in ("us", "eu")
    }
    journal = SQLiteJournal(str(folder / "journal.db"))
    store = ReplicatedStore(stores, journal=journal, ack="quorum", breaker=None)
    pause = stores["us"].pause("put")
    pause.__enter__()
    store.put(Key(*KEY), Body.of(b"new"))
    timer = threading.Timer(float(sys.argv[3]), pause.release)
    timer.daemon = True
    timer.start()
    print("written", flush=True)
    threading.Event().wait(60)
"""


@pytest.mark.parametrize(
    ("bound", "slow", "left"), [("30", "0.2", False), ("0.2", "50", True)]
)
def test_who_is_told_to_end_drains(tmp_path, bound, slow, left) -> None:
    """Within its bound; what is left is said, and the next process finishes it."""
    program = textwrap.dedent(PROGRAM).replace("KEY", repr(tuple(KEY)))
    command = [sys.executable, "-c", program, str(tmp_path), bound, slow]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 128 + signal.SIGTERM
    said = "work left: writes under way, which a repair will complete: 1 to us"
    assert (said in errors) == left
    journal = SQLiteJournal(str(tmp_path / "journal.db"))
    missed = [(row.replica, row.verb) for row in journal.pending()]
    assert missed == ([("us", "put")] if left else [])
    journal.close()
