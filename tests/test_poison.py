"""What could not be dropped is not believed until it is, whatever ends meanwhile."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.boards import Board
from tests.fleets import KEY, on_board
from tests.servers.proxy import Proxy
from tests.servers.redis import RedisServer
from tests.waiting import PATIENT, until
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.caching import poison as poisons
from tiered_store.caching.poison import Poison
from tiered_store.errors import ClosedError, FullError, UnavailableError
from tiered_store.events import CacheHit, CachePoisoned
from tiered_store.journals.journal import Journal
from tiered_store.journals.memory import MemoryJournal
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.key import Key
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.faults import FaultStore
from tiered_store.testing.recording import Recorder
from tiered_store.tiers.memory import MemoryTier
from tiered_store.tiers.redis import RedisTier
from tiered_store.tiers.store import StoreTier
from tiered_store.tree import observe
from tiered_store.wrappers.cached import CachedStore


OTHER = KEY._replace(object_id=2)
SECONDS = 60.0  # after which another process's write is over


class Place:
    """Where copies are that cannot always be dropped."""

    def __init__(self) -> None:
        self.up = True
        self.hold = threading.Event()
        self.hold.set()
        self.attempts = 0
        self.dropped: list[Key] = []
        self.cleared = 0

    def drop(self, key: Key) -> None:
        self._ask()
        self.dropped.append(key)

    def clear(self) -> None:
        self._ask()
        self.cleared += 1

    def _ask(self) -> None:
        self.attempts += 1
        self.hold.wait(30)
        if not self.up:
            raise UnavailableError("refused")


class BrokenJournal(MemoryJournal):
    """Cannot be used while it is *broken*."""

    broken = False

    def rows(self, key: Key) -> Any:
        self._check()
        return super().rows(key)

    def begin(self, *args: Any, **kwargs: Any) -> Any:
        self._check()
        return super().begin(*args, **kwargs)

    def _check(self) -> None:
        if self.broken:
            raise UnavailableError("the journal cannot be read")


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["memory", "sqlite"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Journal:
    if request.param == "memory":
        return MemoryJournal()
    return SQLiteJournal(str(tmp_path / "journal.db"))


Make = Callable[..., Poison]


@pytest.fixture
def make(place: Place, clock: FakeClock) -> Iterator[Make]:
    made: list[Poison] = []

    def make(journal: Journal, *, durable: bool = False) -> Poison:
        made.append(
            Poison(
                journal,
                place.drop,
                place.clear,
                durable=durable,
                seconds=SECONDS,
                clock=clock,
            )
        )
        return made[-1]

    yield make
    place.hold.set()
    place.up = True
    for poison in made:
        poison.close()


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried again by itself while the test lasts."""
    monkeypatch.setattr(poisons, "_SOONEST", 600.0)


# -- what is remembered ----------------------------------------------------------


def test_what_is_well_is_believed(make: Make, journal: Journal, place: Place) -> None:
    """Nobody is asked, and no thread is started."""
    before = threading.enumerate()
    poison = make(journal)

    assert not poison.taints(KEY)

    assert not place.attempts
    assert threading.enumerate() == before


def test_what_could_not_be_dropped_is_dropped_behind(
    make: Make, journal: Journal, place: Place
) -> None:
    """Again and again, although nobody asks for it; meanwhile it is not believed."""
    poison = make(journal)
    place.up = False

    poison.add(KEY)
    until(lambda: place.attempts > 2)
    assert poison.taints(KEY)
    assert not poison.taints(OTHER)

    place.up = True
    until(lambda: not poison.taints(KEY))
    assert set(place.dropped) == {KEY}


@pytest.mark.usefixtures("slowly")
def test_whoever_asks_has_it_dropped(
    make: Make, journal: Journal, place: Place
) -> None:
    """An object that somebody wants does not wait for its turn."""
    poison = make(journal)
    place.up = False
    poison.add(KEY)
    until(lambda: place.attempts)
    assert not poison.cure(KEY)

    place.up = True

    assert poison.cure(KEY)
    assert not poison.taints(KEY)


@pytest.mark.usefixtures("slowly")
def test_what_is_back_says_so(make: Make, journal: Journal, place: Place) -> None:
    """Then nobody waits for the next round."""
    poison = make(journal)
    place.up = False
    poison.add(KEY)
    until(lambda: place.attempts)

    place.up = True
    poison.deliver()

    until(lambda: not poison.taints(KEY))


def test_a_write_under_way_stays_poisoned(
    make: Make, journal: Journal, place: Place
) -> None:
    """Its copies are dropped, and may be there again before it ends."""
    poison = make(journal)
    poison.begin(KEY)

    assert not poison.cure(KEY)
    assert place.dropped
    assert poison.sweep()
    assert poison.taints(KEY)

    poison.finish(KEY)
    until(lambda: not poison.taints(KEY))


def test_the_last_of_several_writes_ends_it(make: Make, journal: Journal) -> None:
    """The others may have made room for copies of what it replaces."""
    poison = make(journal)
    poison.begin(KEY)
    poison.begin(KEY)
    poison.finish(KEY)

    assert not poison.cure(KEY)
    assert poison.taints(KEY)

    poison.finish(KEY)
    until(lambda: not poison.taints(KEY))


def test_a_write_that_ends_while_copies_are_dropped_has_them_dropped_again(
    make: Make, journal: Journal, place: Place
) -> None:
    """Somebody may have filled in the meantime, before it ended."""
    poison = make(journal)
    place.hold.clear()
    poison.begin(KEY)
    poison.deliver()
    until(lambda: place.attempts)

    poison.finish(KEY)
    place.hold.set()
    until(lambda: not poison.taints(KEY))

    assert place.dropped == [KEY, KEY]


def test_a_write_that_begins_while_copies_are_dropped_stays_poisoned(
    make: Make, journal: Journal, place: Place
) -> None:
    """The drop was for the write before it."""
    poison = make(journal)
    place.hold.clear()
    poison.add(KEY)
    until(lambda: place.attempts)

    poison.begin(KEY)
    place.hold.set()
    until(lambda: place.dropped)

    assert poison.sweep()
    assert poison.taints(KEY)
    poison.finish(KEY)
    until(lambda: not poison.taints(KEY))


@pytest.mark.usefixtures("slowly")
def test_one_that_stays_does_not_keep_others(
    make: Make, journal: Journal, place: Place
) -> None:
    """However many there are, each is tried."""
    keys = [KEY._replace(object_id=number) for number in range(1100)]
    poison = make(journal)
    stubborn, drop = keys[3], poison._drop
    place.hold.clear()
    for key in keys:
        poison.add(key)

    def refuse(key: Key) -> None:
        if key == stubborn:
            raise UnavailableError("refused")
        drop(key)

    poison._drop = refuse
    place.hold.set()
    assert poison.sweep()

    assert [key for key in keys if poison.taints(key)] == [stubborn]
    poison._drop = drop


# -- what others wrote -----------------------------------------------------------


@pytest.mark.usefixtures("slowly")
def test_what_a_dead_process_wrote_is_forgotten_after_its_time(
    make: Make, journal: Journal, place: Place, clock: FakeClock
) -> None:
    """It might be writing yet; until then each drop is for the time before it only."""
    make(journal, durable=True).begin(KEY)
    poison = make(journal, durable=True)

    assert poison.taints(KEY)
    assert not poison.cure(KEY)
    clock.advance(SECONDS - 1)
    assert not poison.cure(KEY)
    assert len(place.dropped) == 2
    clock.advance(1)

    assert poison.cure(KEY)
    assert not poison.taints(KEY)


@pytest.mark.usefixtures("slowly")
def test_the_time_of_each_write_counts_from_its_own_begin(
    make: Make, journal: Journal, clock: FakeClock
) -> None:
    """A row that was written anew is of somebody who is alive."""
    writer, poison = make(journal, durable=True), make(journal, durable=True)
    writer.begin(KEY)
    assert not poison.cure(KEY)
    clock.advance(SECONDS - 1)
    writer.begin(KEY)
    clock.advance(1)

    assert not poison.cure(KEY)
    clock.advance(SECONDS)
    assert poison.cure(KEY)


@pytest.mark.usefixtures("slowly")
def test_whoever_ends_does_not_end_it_for_another_process(
    make: Make, journal: Journal, clock: FakeClock
) -> None:
    """There is one row an object; one of them may be in the middle of its write."""
    writer, poison = make(journal, durable=True), make(journal, durable=True)
    writer.begin(KEY)
    poison.begin(KEY)
    poison.finish(KEY)

    assert not poison.cure(KEY)
    assert writer.taints(KEY)
    clock.advance(SECONDS)
    assert poison.cure(KEY)


@pytest.mark.usefixtures("slowly")
def test_a_write_of_which_nobody_knows_the_end_has_its_time(
    make: Make, journal: Journal, place: Place, clock: FakeClock
) -> None:
    """It may have its effect when the copies have long been dropped."""
    poison = make(journal)
    poison.add(KEY, over=False)
    until(lambda: place.dropped)

    assert not poison.cure(KEY)
    clock.advance(SECONDS)

    assert poison.cure(KEY)


@pytest.mark.usefixtures("slowly")
def test_a_child_does_not_end_its_parents_write(make: Make, journal: Journal) -> None:
    """It has the parent's rows, and none of its threads."""
    poison = make(journal)
    poison.begin(KEY)
    poison.after_fork()

    assert not poison.cure(KEY)
    assert poison.taints(KEY)


# -- too much, or nowhere to write it down ----------------------------------------


def test_more_than_can_be_remembered_is_everything(make: Make, place: Place) -> None:
    """Nothing is believed until all of it was dropped at once."""
    poison = make(MemoryJournal(capacity=2))
    place.up = False
    for number in range(3):
        poison.add(KEY._replace(object_id=number))
    unheard = KEY._replace(object_id=99)
    until(lambda: place.attempts > 2)
    assert poison.taints(unheard)

    place.up = True
    until(lambda: not poison.taints(unheard))
    assert place.cleared == 1
    until(lambda: len(set(place.dropped)) == 2)


def test_everything_is_not_dropped_within_a_write(make: Make, place: Place) -> None:
    """The one that could not be noted is among those under way."""
    poison = make(MemoryJournal(capacity=1))
    place.up = False
    poison.add(OTHER)
    poison.begin(KEY)
    place.up = True

    assert poison.sweep()
    assert not place.cleared
    assert poison.taints(KEY)

    poison.finish(KEY)
    until(lambda: not poison.taints(KEY))
    assert place.cleared == 1


def test_nobody_waits_until_everything_is_dropped(make: Make, place: Place) -> None:
    """It may take as long as listing a directory; readers go on without."""
    poison = make(MemoryJournal(capacity=1))
    place.up = False
    poison.add(OTHER)
    poison.add(KEY)
    until(lambda: place.attempts)
    place.hold.clear()
    place.up = True

    with ThreadPoolExecutor(1) as threads:
        assert not threads.submit(poison.cure, KEY).result(60)

    place.hold.set()
    until(lambda: not poison.taints(KEY))


def test_a_child_drops_everything_itself(make: Make, place: Place) -> None:
    """The thread that was about to is its parent's."""
    poison, childs = make(MemoryJournal(capacity=1)), Place()
    place.up = False
    poison.add(OTHER)
    poison.add(KEY)
    place.hold.clear()
    before = place.attempts
    until(lambda: place.attempts > before)
    poison._drop, poison._clear = childs.drop, childs.clear
    poison._workers.after_fork()
    poison.after_fork()

    until(lambda: poison.cure(KEY))

    assert childs.cleared == 1


def test_a_durable_journal_that_is_full_refuses(make: Make, tmp_path: Path) -> None:
    """What could not be written down must not begin; that leaves nothing behind."""
    journal = SQLiteJournal(str(tmp_path / "journal.db"), capacity=1)
    poison = make(journal, durable=True)
    poison.begin(OTHER)

    with pytest.raises(FullError):
        poison.begin(KEY)

    assert not poison.taints(KEY)
    poison.finish(OTHER)
    until(lambda: not poison.taints(OTHER))
    poison.add(KEY)  # which nothing under way keeps any more
    until(lambda: not poison.taints(KEY))


def test_a_journal_that_cannot_be_read_says_nothing_good(make: Make) -> None:
    """What might be in it is not believed, whoever it is about."""
    journal = BrokenJournal()
    poison = make(journal, durable=True)
    journal.broken = True

    assert poison.taints(KEY)
    assert not poison.cure(KEY)
    with pytest.raises(UnavailableError):
        poison.begin(KEY)

    journal.broken = False
    assert not poison.taints(KEY)


def test_without_a_promise_a_broken_journal_stops_nobody(
    make: Make, place: Place
) -> None:
    """Instead nothing is believed until everything was dropped."""
    journal = BrokenJournal()
    poison = make(journal)
    journal.broken = True
    poison.begin(KEY)
    poison.finish(KEY)
    journal.broken = False

    until(lambda: not poison.taints(KEY))
    assert place.cleared == 1


# -- ends ------------------------------------------------------------------------


def test_closing_tries_once_more(make: Make, place: Place, caplog: Any) -> None:
    """And says what is left, if that was in vain."""
    kept, lost = make(MemoryJournal()), make(MemoryJournal())
    place.up = False
    kept.add(KEY)
    lost.add(OTHER)
    until(lambda: place.attempts > 3)
    with caplog.at_level(logging.ERROR, "tiered_store"):
        lost.close()
    assert "copies that a cache could not drop" in caplog.text

    caplog.clear()
    place.up = True
    kept.close()

    assert KEY in place.dropped
    assert not caplog.text


def test_what_is_closed_does_no_more(make: Make, place: Place) -> None:
    """Nor does what is under way complain that its tiers are closed too."""
    poison = make(MemoryJournal())

    def closed_meanwhile(key: Key) -> None:
        poison._closed = True
        raise ClosedError("the tier is closed")

    poison._drop = closed_meanwhile
    poison.add(KEY)
    until(lambda: poison._closed and not poison._delivering)
    poison._drop = place.drop
    poison.close()
    poison.add(OTHER)

    assert not poison._delivering
    assert not place.attempts


def test_an_exit_does_not_try_what_is_closed(make: Make, place: Place) -> None:
    """It has been tried for the last time, and its tiers are closed too."""
    poison = make(MemoryJournal())
    poison.begin(KEY)
    poison.close()
    poison._delivering = True  # as its thread has not seen yet

    assert poison.drain(1.0) is None
    assert not place.attempts


@pytest.mark.parametrize("durable", [False, True])
def test_an_exit_says_what_is_left(durable: bool, tmp_path: Path) -> None:
    """Once more is tried; what a durable journal knows is not lost."""
    done = run(
        f"""
        tier = FaultStore(MemoryStore())
        journal = SQLiteJournal({str(tmp_path / "j.db")!r}) if {durable} else None
        store = CachedStore(MemoryStore(), [StoreTier(tier)], journal=journal)
        tier.down()
        store.put(KEY, Body.of(b"new"))
        """
    )

    assert done.returncode == 0
    assert ("copies that a cache could not drop" in done.stderr) is not durable


# -- through the cache ---------------------------------------------------------------


def read(store: CachedStore, key: Key = KEY) -> bytes:
    return store.get(key).read()


@pytest.mark.usefixtures("slowly")
def test_what_was_written_meanwhile_is_dropped_when_the_feed_returns() -> None:
    """Although nobody reads or writes it any more: others may hold it."""
    fleet = on_board(Board())
    writer, reader = fleet.join(), fleet.join()
    writer.put(b"old")
    assert (writer.get(), reader.get()) == (b"old", b"old")
    writer.shared.fate = lambda step: "before"
    writer.shared.tear()
    writer.put(b"new")
    assert writer.get() == b"new"
    assert reader.get() == b"old"  # nobody could tell

    writer.shared.fate = lambda step: None
    writer.shared.connect()

    until(lambda: reader.get() == b"new")
    fleet.close()


@pytest.mark.usefixtures("slowly")
def test_an_unknown_end_that_could_not_be_told_keeps_its_time() -> None:
    """The shared tier forgot who writes, and what was written may land any time."""
    clock, fleet = FakeClock(), on_board(Board())
    writer, reader = fleet.join(write_lease=30, clock=clock), fleet.join()
    writer.put(b"old")
    writer.shared.fate = lambda step: "before" if step == "leave" else None
    fleet.origin.fail("put", UnavailableError("timed out", ambiguous=True))
    with pytest.raises(UnavailableError):
        writer.put(b"new")
    writer.shared.fate = lambda step: None
    writer.shared.board.places.clear()  # the claim is lost
    writer.store._keeper.poison.sweep()
    assert reader.get() == b"old"

    fleet.origin.child.put(KEY, Body.of(b"new"))
    clock.advance(30)
    assert writer.get() == b"new"

    until(lambda: reader.get() == b"new")
    fleet.close()


def test_a_write_that_cannot_be_noted_leaves_the_origin_alone(tmp_path: Path) -> None:
    """With a journal that promises to outlive the process, it fails before."""
    origin, tier = MemoryStore(), FaultStore(MemoryStore())
    journal = SQLiteJournal(str(tmp_path / "journal.db"), capacity=1)
    store = CachedStore(origin, [StoreTier(tier, breaker=None)], journal=journal)
    store.put(KEY, Body.of(b"old"))
    tier.down()
    store.put(OTHER, Body.of(b"first"))

    with pytest.raises(FullError):
        store.put(KEY, Body.of(b"new"))
    with pytest.raises(FullError):
        store.delete(KEY)

    assert origin.get(KEY).read() == b"old"
    assert read(store, OTHER) == b"first"
    store.close()


def test_a_journal_is_not_asked_for_writes_that_drop(tmp_path: Path) -> None:
    """While the tiers are well, a journal that is not breaks nothing but belief."""
    folder = tmp_path / "gone"
    folder.mkdir()
    store = CachedStore(
        MemoryStore(),
        [StoreTier(MemoryStore())],
        journal=SQLiteJournal(str(folder / "journal.db")),
    )
    store.put(KEY, Body.of(b"old"))
    read(store)
    shutil.rmtree(folder)

    store.put(KEY, Body.of(b"new"))

    assert [read(store), read(store)] == [b"new", b"new"]
    store.close()


def test_a_process_killed_within_its_write_leaves_nothing_to_believe(
    tmp_path: Path,
) -> None:
    """The directory was away; when it is back, it still has the old copy."""
    journal, cache = tmp_path / "journal.db", tmp_path / "cache"
    before = killed_within_its_write(
        tmp_path, f"StoreTier(FileSystemStore({str(cache)!r}, create=True))"
    )
    cache.rename(tmp_path / "away")
    before.communicate("go on\n", timeout=60)
    assert before.returncode == -signal.SIGKILL
    (tmp_path / "away").rename(cache)
    assert any(b"old" in path.read_bytes() for path in cache.rglob("*.png"))

    origin = FileSystemStore(str(tmp_path / "origin"))
    tiers = [StoreTier(FileSystemStore(str(cache)))]
    store = CachedStore(
        origin, tiers, journal=SQLiteJournal(str(journal)), write_lease=0.3
    )

    assert [read(store), read(store)] == [b"new", b"new"]
    heals(store)


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    proxy = Proxy(redis_server.port)
    yield proxy
    proxy.close()


@pytest.mark.servers
def test_a_process_killed_while_the_server_was_away(
    tmp_path: Path, redis_server: RedisServer, proxy: Proxy
) -> None:
    """Whoever shares its journal, or is its next life, does not believe the server."""
    prefix = f"{tmp_path.name}:"
    before = killed_within_its_write(
        tmp_path,
        f"RedisTier('redis://127.0.0.1:{proxy.port}/0', prefix={prefix!r}, **PATIENT)",
    )
    proxy.close()
    before.communicate("go on\n", timeout=60)
    assert before.returncode == -signal.SIGKILL

    origin = FileSystemStore(str(tmp_path / "origin"))
    journal = SQLiteJournal(str(tmp_path / "journal.db"))
    store = CachedStore(
        origin,
        [MemoryTier(), RedisTier(redis_server.url, prefix=prefix, **PATIENT)],
        journal=journal,
        write_lease=0.3,
    )
    assert store._keeper.shared.look(KEY).entry.body.read() == b"old"

    assert [read(store), read(store)] == [b"new", b"new"]
    heals(store)


@pytest.mark.servers
def test_who_shares_a_journal_does_not_believe_what_another_could_not_drop(
    tmp_path: Path, redis_server: RedisServer, proxy: Proxy
) -> None:
    """One of two processes of a machine was cut off, and wrote."""
    prefix, path = f"{tmp_path.name}:", str(tmp_path / "journal.db")
    origin = MemoryStore()
    cut_off, well = (
        CachedStore(
            origin,
            [RedisTier(url, prefix=prefix, **PATIENT)],
            journal=SQLiteJournal(path),
            write_lease=0.5,
        )
        for url in (f"redis://127.0.0.1:{proxy.port}/0", redis_server.url)
    )
    cut_off.put(KEY, Body.of(b"old"))
    assert (read(cut_off), read(well)) == (b"old", b"old")
    proxy.close()
    recorder = Recorder()
    observe(cut_off, recorder)

    cut_off.put(KEY, Body.of(b"new"))

    assert read(well) == b"new"
    assert read(cut_off) == b"new"
    assert recorder.of(CachePoisoned)
    cut_off._keeper.close()
    heals(well)


def heals(store: CachedStore) -> None:
    """Assert that copies are kept and believed again when the write must be over."""
    recorder = Recorder()
    observe(store, recorder)
    until(lambda: read(store) == b"new" and recorder.of(CacheHit))
    assert [read(store), read(store)] == [b"new", b"new"]
    store.close()


def killed_within_its_write(folder: Path, tier: str) -> subprocess.Popen[str]:
    """
    Return a process that has cached the old bytes, and writes when it is told to.

    It is killed as soon as its origin has the new ones.
    """
    process = started(
        f"""
        class Deadly(FileSystemStore):
            def _put(self, key, body, reproducible):
                super()._put(key, body, reproducible)
                if body.read() == b"new":
                    os.kill(os.getpid(), signal.SIGKILL)

        origin = Deadly({str(folder / "origin")!r}, create=True)
        journal = SQLiteJournal({str(folder / "journal.db")!r})
        store = CachedStore(origin, [{tier}], journal=journal)
        store.put(KEY, Body.of(b"old"))
        assert store.get(KEY).read() == store.get(KEY).read() == b"old"
        print("cached", flush=True)
        sys.stdin.readline()
        store.put(KEY, Body.of(b"new"))
        """
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "cached\n"
    return process


PREAMBLE = """
import os, signal, sys
from tests.fleets import KEY
from tests.waiting import PATIENT
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.testing.faults import FaultStore
from tiered_store.tiers.redis import RedisTier
from tiered_store.tiers.store import StoreTier
from tiered_store.wrappers.cached import CachedStore
"""


def started(script: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path])},
    )


def run(script: str) -> subprocess.CompletedProcess[str]:
    process = started(script)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(script, process.returncode, out, err)
