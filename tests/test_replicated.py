"""
Writes that are marked, reads that know, and what an outage does to neither.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import threading

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.waiting import longer_and_longer, until
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body, Stat
from tiered_store.deadlines import deadline
from tiered_store.errors import (
    ConfigError,
    DeadlineError,
    DeniedError,
    FullError,
    InconclusiveError,
    InvalidError,
    NotFoundError,
    PartialWriteError,
    StoreError,
    TooLargeError,
    UnavailableError,
    UnsupportedError,
)
from tiered_store.events import CircuitChanged, Diverged, FellBack
from tiered_store.journals.memory import MemoryJournal
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.key import Key
from tiered_store.policies.breaker import BreakerPolicy, CircuitOpenError
from tiered_store.replication.placement import ReadPolicy, Reproducible
from tiered_store.store import Store
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.conformance import StoreConformance
from tiered_store.testing.faults import FaultStore
from tiered_store.testing.recording import Recorder
from tiered_store.tree import label, observe
from tiered_store.wrapper import Wrapper
from tiered_store.wrappers.breaker import BreakerStore
from tiered_store.wrappers.migrating import MigratingStore
from tiered_store.wrappers.replicated import ReplicatedStore


KEY = Key("comics.cover", 5, 30, 40, "image/png")
OTHER = KEY._replace(object_id=6)
OLD, NEW = Body.of(b"old"), Body.of(b"new, and longer")


def leaf(name: str = "x", **options) -> FaultStore:
    return FaultStore(MemoryStore(base_url=f"https://{name}/", **options))


class Pair:
    """Two faulty replicas, ``us`` read first, and a journal."""

    def __init__(self, **options) -> None:
        self.us, self.eu = leaf("us"), leaf("eu")
        self.journal = MemoryJournal()
        self.options = {"journal": self.journal, "breaker": None, **options}
        self.store = self.reopen()
        self.events = Recorder()
        observe(self.store, self.events)

    def reopen(self, **options) -> ReplicatedStore:
        """Return another store over the same replicas, as another process has."""
        replicas = {"us": self.us, "eu": self.eu}
        return ReplicatedStore(replicas, **{**self.options, **options})

    def missed(self, key: Key = KEY) -> dict[str, str]:
        return {name: row.verb for name, row in self.journal.rows(key).items()}

    def contents(self, key: Key = KEY) -> tuple[bytes | None, ...]:
        return tuple(content(fault.child, key) for fault in (self.us, self.eu))


def content(store: Store, key: Key = KEY) -> bytes | None:
    try:
        return store.get(key).read()
    except NotFoundError:
        return None


@pytest.fixture
def pair() -> Pair:
    return Pair()


# -- conformance -------------------------------------------------------------


class TestOneReplica(StoreConformance):
    """replicated({x}) behaves as x."""

    @pytest.fixture
    def store(self, tmp_path) -> Store:
        journal = SQLiteJournal(tmp_path / "journal.db")
        return label(ReplicatedStore({"us": memory()}, journal=journal), "one")


class TestTwoReplicas(StoreConformance):
    @pytest.fixture
    def store(self, tmp_path) -> Store:
        journal = SQLiteJournal(tmp_path / "journal.db")
        replicas = {"us": memory(), "eu": memory()}
        return label(ReplicatedStore(replicas, journal=journal), "two")


class TestWithoutJournal(StoreConformance):
    @pytest.fixture
    def store(self, tmp_path) -> Store:
        replicas = {
            "disk": FileSystemStore(tmp_path / "root", "https://x/", create=True),
            "memory": memory(),
        }
        return label(ReplicatedStore(replicas), "unjournalled")


def memory() -> Store:
    return MemoryStore(base_url="memory://test/")


# -- writing -----------------------------------------------------------------


def test_a_write_reaches_every_replica(pair) -> None:
    """And leaves nothing pending."""
    pair.store.put(KEY, NEW)
    assert pair.contents() == (b"new, and longer",) * 2

    pair.store.delete(KEY)
    assert pair.contents() == (None, None)
    assert pair.missed() == {}


def test_each_replica_reads_its_own_copy_from_the_start(pair) -> None:
    """Replicas do not move each other, whatever the source is."""
    source = io.BytesIO(b"skipped" + b"x" * 500_000)
    source.seek(7)

    pair.store.put_file(source, *KEY, False)

    assert pair.contents() == (b"x" * 500_000,) * 2


def test_replicas_are_written_at_the_same_time(pair) -> None:
    """A put costs the slowest replica, not the sum: both are at it together."""
    with (
        pair.us.pause("put") as us,
        pair.eu.pause("put") as eu,
        ThreadPoolExecutor(1) as thread,
    ):
        written = thread.submit(pair.store.put, KEY, NEW)
        us.wait()
        eu.wait()
        us.release()
        eu.release()
        written.result()


def test_every_replica_is_marked_before_any_is_touched(pair) -> None:
    """A crash at this point leaves rows that tell what to look at."""
    with (
        pair.us.pause("put") as us,
        pair.eu.pause("put") as eu,
        ThreadPoolExecutor(1) as thread,
    ):
        written = thread.submit(pair.store.put, KEY, NEW)
        us.wait()
        eu.wait()
        marked = pair.missed()
        us.release()
        eu.release()
        written.result()

    assert marked == {"us": "in_doubt", "eu": "in_doubt"}


def test_a_put_goes_on_while_a_replica_is_away(pair) -> None:
    """It is acknowledged by the other, and remembered."""
    pair.eu.down()

    pair.store.put(KEY, NEW)

    assert pair.missed() == {"eu": "put"}
    (event,) = pair.events.of(Diverged)
    assert (event.replica, event.key) == ("eu", KEY)
    assert isinstance(event.error, UnavailableError)


def test_below_quorum_it_is_told_and_nothing_is_undone(pair) -> None:
    """What was written stays, and the rest is completed later."""
    pair.store.put(KEY, OLD)
    store = pair.reopen(quorum=2)
    pair.eu.down()

    with pytest.raises(PartialWriteError, match="1 of 2") as raised:
        store.put(KEY, NEW)

    assert raised.value.outcomes["us"] is None
    assert isinstance(raised.value.outcomes["eu"], UnavailableError)
    assert raised.value.retryable
    assert raised.value.ambiguous
    assert pair.contents() == (b"new, and longer", b"old")
    assert pair.missed() == {"eu": "put"}


def test_a_put_that_nobody_took_is_in_doubt(pair) -> None:
    """A request that failed may have arrived; both answers are right."""
    pair.store.put(KEY, OLD)
    pair.us.fail("put")
    pair.eu.fail("put", "timeout", after_apply=True)

    with pytest.raises(PartialWriteError, match=r"0 of 2 .*, 1 needed"):
        pair.store.put(KEY, NEW)

    assert pair.missed() == {"us": "in_doubt", "eu": "in_doubt"}
    assert pair.store.get(KEY).read() == b"old"


def test_a_delete_that_nobody_took_is_an_error_and_is_completed(pair) -> None:
    """While a replica still serves the object, silence would be a lie."""
    pair.store.put(KEY, OLD)
    pair.us.down()
    pair.eu.down()

    with pytest.raises(PartialWriteError, match="0 of 2"):
        pair.store.delete(KEY)

    assert pair.missed() == {"us": "delete", "eu": "delete"}
    with pytest.raises(NotFoundError):
        pair.store.get(KEY)


def test_deleting_the_absent_is_acknowledged(pair) -> None:
    """A replica without the object has done what was asked."""
    pair.us.child.put(KEY, OLD)

    pair.store.delete(KEY)

    assert pair.contents() == (None, None)
    assert pair.missed() == {}


def test_what_is_wrong_everywhere_is_told_as_such(pair) -> None:
    """It changed nothing, so nothing is pending."""
    for fault in (pair.us, pair.eu):
        fault.fail("put", TooLargeError("too large"))

    with pytest.raises(TooLargeError):
        pair.store.put(KEY, NEW)

    assert pair.missed() == {}
    assert pair.events.of(Diverged) == []


def test_what_is_wrong_everywhere_leaves_what_was_pending(pair) -> None:
    """A replica that was behind is so still."""
    pair.eu.fail("delete")
    pair.store.delete(KEY)
    for fault in (pair.us, pair.eu):
        fault.fail("put", InvalidError("no"))

    with pytest.raises(InvalidError):
        pair.store.put(KEY, NEW)

    assert pair.missed() == {"eu": "delete"}


@pytest.mark.parametrize("kind", [InvalidError, CircuitOpenError])
def test_what_may_have_happened_is_not_withdrawn(pair, kind) -> None:
    """Whatever the last word was: an attempt before it may have been made."""
    for fault in (pair.us, pair.eu):
        fault.fail("put", kind("no", ambiguous=True))

    with pytest.raises(StoreError):
        pair.store.put(KEY, NEW)

    assert pair.missed() == {"us": "in_doubt", "eu": "in_doubt"}


def test_a_bug_in_a_replica_passes_through(pair) -> None:
    """And the replica is behind all the same."""
    pair.eu.fail("put", TypeError("a bug"))

    with pytest.raises(TypeError, match="a bug"):
        pair.store.put(KEY, NEW)

    assert pair.missed() == {"eu": "put"}


def test_an_error_of_the_only_replica_is_its_own() -> None:
    """replicated({x}) fails as x does."""
    x = leaf()
    store = ReplicatedStore({"x": x}, journal=MemoryJournal(), breaker=None)
    for error in (FullError("full"), DeniedError("denied")):
        x.fail("put", error)
        with pytest.raises(type(error), match=str(error)):
            store.put(KEY, NEW)


def test_without_a_journal_everybody_must_acknowledge(pair) -> None:
    """Nobody would know what the others missed."""
    store = pair.reopen(journal=None)
    pair.eu.fail("put")

    with pytest.raises(PartialWriteError, match="1 of 2"):
        store.put(KEY, NEW)

    store.put(KEY, NEW)
    assert pair.contents() == (b"new, and longer",) * 2


def test_putting_again_heals(pair) -> None:
    """A replica that takes the next put has missed nothing."""
    pair.eu.fail("put")
    pair.store.put(KEY, OLD)

    pair.store.put(KEY, NEW)

    assert pair.missed() == {}


# -- several writers ---------------------------------------------------------


@pytest.mark.parametrize("shared", [True, False], ids=["one store", "two stores"])
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_writers_of_one_object_follow_each_other(kind, shared, tmp_path) -> None:
    """Replicas that see A, B and B, A would end with different bytes and no error."""
    journal = MemoryJournal()
    if kind == "sqlite":
        journal = SQLiteJournal(tmp_path / "journal.db")
    pair = Pair(journal=journal)
    second = pair.store if shared else pair.reopen()
    with pair.eu.pause("put") as pause, ThreadPoolExecutor(2) as threads:
        first = threads.submit(pair.store.put, KEY, OLD)
        pause.wait()
        after = threads.submit(second.put, KEY, NEW)
        with pytest.raises(TimeoutError):
            after.result(0.1)
        assert pair.us.calls["put"] == 1
        pause.release()
        first.result()
        after.result()

    assert pair.contents() == (b"new, and longer",) * 2
    journal.close()


def test_writers_of_different_objects_do_not_wait(pair) -> None:
    """One that hangs holds up nobody else."""
    with pair.eu.pause("put", key=KEY) as pause, ThreadPoolExecutor(1) as thread:
        hanging = thread.submit(pair.store.put, KEY, NEW)
        pause.wait()
        pair.store.put(OTHER, NEW)
        pause.release()
        hanging.result()


def test_readers_do_not_wait_for_writers(pair) -> None:
    """They get the old object or the new one."""
    pair.store.put(KEY, OLD)
    with pair.us.pause("put") as pause, ThreadPoolExecutor(1) as thread:
        hanging = thread.submit(pair.store.put, KEY, NEW)
        pause.wait()
        assert pair.store.get(KEY).read() in (b"old", b"new, and longer")
        pause.release()
        hanging.result()


def test_many_writers_leave_equal_replicas(tmp_path) -> None:
    """Whoever wins, wins everywhere."""
    pair = Pair(journal=SQLiteJournal(tmp_path / "journal.db"))
    stores = [pair.store, pair.reopen()]
    keys = [KEY, OTHER]

    def work(number: int) -> None:
        for turn in range(15):
            store, key = stores[(number + turn) % 2], keys[turn % 2]
            if (number + turn) % 5:
                store.put(key, Body.of(b"%d" % (number * 100 + turn)))
            else:
                store.delete(key)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(6)))

    for key in keys:
        us, eu = pair.contents(key)
        assert us == eu
    assert list(pair.options["journal"].pending()) == []


# -- deadlines ---------------------------------------------------------------


@contextlib.contextmanager
def late(body: Body) -> Iterator[Pair]:
    """Give a pair of which only us has taken *body* in the time there was."""
    for seconds in longer_and_longer(0.5):
        pair = Pair()
        with pair.eu.pause("put"):
            with contextlib.suppress(StoreError), deadline(seconds):
                pair.store.put(KEY, body)
            if pair.missed() == {"eu": "put"} and pair.eu.calls["put"]:
                yield pair
                return


def test_a_deadline_bounds_a_replica_that_hangs() -> None:
    """The others have acknowledged; the one that hangs is behind, and not believed."""
    with late(NEW) as pair:
        (event,) = pair.events.of(Diverged)
        assert event.replica == "eu"


def test_a_late_answer_does_not_clear() -> None:
    """The caller has gone on, and may have changed the file that was being read."""
    with late(NEW) as pair:
        pass

    with pair.journal.lease(KEY, 10):  # which comes after the late answer
        assert pair.missed() == {"eu": "put"}


def test_the_next_write_waits_for_a_late_one() -> None:
    """Else the late one could land on top of it."""
    with ThreadPoolExecutor(1) as thread:
        with late(OLD) as pair:
            after = thread.submit(pair.store.put, KEY, NEW)
            with pytest.raises(TimeoutError):
                after.result(0.1)
        after.result()

    assert pair.contents() == (b"new, and longer",) * 2
    assert pair.missed() == {}


def test_a_deadline_bounds_the_wait_for_another_writer(pair) -> None:
    """And says that the time is up."""
    with pair.eu.pause("put") as pause, ThreadPoolExecutor(1) as thread:
        hanging = thread.submit(pair.store.put, KEY, NEW)
        pause.wait()
        with pytest.raises(DeadlineError), deadline(0.3):
            pair.store.put(KEY, OLD)
        pause.release()
        hanging.result()


def test_a_slow_replica_leaves_time_for_the_next(pair) -> None:
    """Each has its share of a reader's deadline."""
    pair.eu.child.put(KEY, NEW)
    pair.us.fail("get", DeadlineError("slow"))

    with deadline(30):
        assert pair.store.get(KEY).read() == b"new, and longer"


def test_a_deadline_does_not_keep_a_write_from_being_settled(tmp_path) -> None:
    """What was acknowledged in time is, though the journal was busy just then."""

    def put(pair: Pair, seconds: float) -> None:
        with deadline(seconds):
            pair.store.put(KEY, NEW)

    for seconds in longer_and_longer(0.5, 8):
        journal = SQLiteJournal(str(tmp_path / f"journal-{seconds}.db"))
        pair = Pair(journal=journal)
        with pair.eu.pause("put"), ThreadPoolExecutor(1) as thread:
            written = thread.submit(put, pair, seconds)
            until(lambda pair=pair, to=written: pair.eu.calls["put"] or to.done())
            busy = journal._database._writing
            busy.acquire()
            threading.Timer(1.3 * seconds, busy.release).start()
            acknowledged = written.exception() is None
            verbs = [row.verb for row in journal.rows(KEY).values()]
        journal.close()
        if acknowledged:
            break

    assert verbs == ["put"]


# -- reading -----------------------------------------------------------------


def test_a_missed_overwrite_is_never_read(pair) -> None:
    """Also when the replica that missed it is back, first in order, and unrepaired."""
    pair.store.put(KEY, OLD)
    pair.us.down()
    pair.store.put(KEY, NEW)
    pair.us.up()

    for store in (pair.store, pair.reopen()):
        assert store.get(KEY).read() == b"new, and longer"
        assert store.stat(KEY).size == NEW.size


def test_a_missed_delete_is_never_undone(pair) -> None:
    """A replica that returns with the object is not asked."""
    pair.store.put(KEY, OLD)
    pair.us.down()
    pair.store.delete(KEY)
    pair.us.up()

    for store in (pair.store, pair.reopen()):
        with pytest.raises(NotFoundError):
            store.get(KEY)
        assert list(store.keys()) == []
    assert pair.us.calls["get"] == 0


def test_a_known_deletion_needs_no_answer(pair) -> None:
    """It is absent even while nobody can be asked."""
    pair.store.put(KEY, OLD)
    pair.us.down()
    pair.store.delete(KEY)
    pair.eu.down()

    with pytest.raises(NotFoundError):
        pair.store.get(KEY)


def test_a_hit_wins_whatever_else_is_broken(pair) -> None:
    """And whoever could not answer is an event."""
    pair.store.put(KEY, NEW)
    pair.us.down()

    assert pair.store.get(KEY).read() == b"new, and longer"
    (event,) = pair.events.of(FellBack)
    assert (event.verb, event.failed) == ("get", "us")


@pytest.mark.parametrize("error", [UnavailableError, NotFoundError, UnsupportedError])
@pytest.mark.parametrize("verb", ["get", "stat"])
def test_a_replica_that_fails_is_asked_once(verb, error) -> None:
    """What it said counts; asking it again would double the load of an outage."""
    us, eu = Asked(error), Asked(None)
    store = ReplicatedStore({"us": us, "eu": eu}, journal=MemoryJournal())

    found = getattr(store, verb)(KEY)

    assert found.size == len("old")
    assert (us.asked, eu.asked) == ([verb], [verb])


class Asked(Wrapper):
    """A store that has the object, or raises *error* when it is asked for it."""

    def __init__(self, error: type[StoreError] | None) -> None:
        super().__init__(MemoryStore())
        self.child.put(KEY, OLD)
        self.error = error
        self.asked: list[str] = []

    def _get(self, key: Key) -> Body:
        self._note("get")
        return super()._get(key)

    def _stat(self, key: Key) -> Stat:
        self._note("stat")
        return super()._stat(key)

    def _note(self, verb: str) -> None:
        self.asked.append(verb)
        if self.error is not None:
            raise self.error("not now")


def test_outage_is_not_absence(pair) -> None:
    """A replica that could not answer might have had it."""
    pair.us.down()

    with pytest.raises(InconclusiveError) as raised:
        pair.store.get(KEY)

    assert not isinstance(raised.value, FileNotFoundError)
    assert isinstance(raised.value.outcomes["eu"], NotFoundError)


def test_who_is_behind_is_not_counted(pair) -> None:
    """Absence is known although a replica that missed a put is down."""
    pair.store.put(KEY, NEW)
    pair.eu.fail("put")
    pair.store.put(KEY, OLD)
    pair.us.child.delete(KEY)
    pair.eu.down()

    with pytest.raises(NotFoundError):
        pair.store.get(KEY)


def test_if_only_those_behind_are_up_nothing_is_said(pair) -> None:
    """The bytes they have are old."""
    pair.store.put(KEY, OLD)
    pair.eu.fail("put")
    pair.store.put(KEY, NEW)
    pair.us.down()

    with pytest.raises(UnavailableError):
        pair.store.get(KEY)
    with pytest.raises(UnavailableError):
        pair.store.stat(KEY)


def test_reading_heals(pair) -> None:
    """A replica found without an object that another has is given a row, once."""
    pair.eu.child.put(KEY, NEW)

    for _ in range(2):
        assert pair.store.get(KEY).read() == b"new, and longer"

    assert pair.missed() == {"us": "put"}
    assert pair.us.calls["get"] == 1
    assert [event.replica for event in pair.events.of(Diverged)] == ["us"]


def test_reading_does_not_heal_beside_a_write(pair) -> None:
    """A read racing a delete must not undo it."""
    pair.eu.child.put(KEY, OLD)
    with pair.us.pause("get", after_apply=False) as pause, ThreadPoolExecutor(1) as t:
        reading = t.submit(pair.store.get, KEY)
        pause.wait()
        pair.eu.fail("delete")
        pair.store.delete(KEY)
        pause.release()
        reading.result()

    assert pair.missed() == {"eu": "delete"}


def test_what_is_in_doubt_is_not_the_last_word(pair) -> None:
    """A repair may settle on another copy, so no cache above keeps it for good."""
    pair.store.put(KEY, OLD)
    pair.journal.begin(KEY, {"us": "put", "eu": "put"})

    assert pair.store.get(KEY).provisional
    assert pair.store.stat(KEY).size == OLD.size
    pair.store.repair()
    assert not pair.store.get(KEY).provisional


def test_what_another_replica_missed_is_the_last_word(pair) -> None:
    """It is what that one will be given."""
    pair.eu.fail("put")
    pair.store.put(KEY, NEW)

    assert not pair.store.get(KEY).provisional


def test_one_doubt_is_enough_beside_what_is_settled(pair) -> None:
    """Whoever had something late may have what the others are given."""
    ap = leaf("ap")
    replicas = {"us": pair.us, "eu": pair.eu, "ap": ap}
    store = ReplicatedStore(replicas, journal=pair.journal, breaker=None)
    slow = pair.journal.begin(KEY, dict.fromkeys(replicas, "put"))
    late = UnavailableError("timed out", ambiguous=True)
    pair.journal.settle(slow, {"us": late, "eu": None, "ap": None})
    pair.eu.fail("put")
    store.put(KEY, NEW)
    pair.journal.arrive(slow, "us", None)
    assert pair.missed() == {"us": "in_doubt", "eu": "put"}

    assert store.get(KEY).provisional


def test_a_replica_that_cannot_do_it_is_passed_over(pair) -> None:
    """It has not said that it is absent, nor is it an outage."""
    pair.us.fail("stat", "unsupported", times=None)

    with pytest.raises(NotFoundError):
        pair.store.stat(KEY)
    pair.eu.fail("stat", "unsupported", times=None)
    with pytest.raises(UnsupportedError):
        pair.store.stat(KEY)


def test_reads_follow_the_order(pair) -> None:
    """Nearest first, those left out last."""
    store = pair.reopen(read=ReadPolicy(order=["eu"]))
    store.put(KEY, NEW)

    store.get(KEY)
    assert (pair.us.calls["get"], pair.eu.calls["get"]) == (0, 1)


# -- URLs --------------------------------------------------------------------


def test_a_url_is_of_a_replica_that_is_not_behind(pair) -> None:
    """Without asking any replica."""
    assert pair.store.url(KEY).startswith("https://us/")
    pair.us.fail("put")
    pair.store.put(KEY, NEW)
    calls = dict(pair.us.calls), dict(pair.eu.calls)

    assert pair.store.url(KEY).startswith("https://eu/")
    assert pair.store.url(OTHER).startswith("https://us/")
    assert pair.us.calls["get"] + pair.eu.calls["get"] == 0
    assert calls[0].get("stat", 0) == pair.us.calls["stat"] == 0


def test_a_url_is_of_a_replica_that_is_well() -> None:
    """As far as its breaker knows."""
    pair = Pair(breaker=BreakerPolicy(failures=1))
    pair.us.down()
    with pytest.raises(InconclusiveError):
        pair.store.get(KEY)

    assert pair.store.url(KEY).startswith("https://eu/")


def test_a_url_of_a_deleted_object_is_still_a_url(pair) -> None:
    """It may name what is missing, even if every replica has yet to be told."""
    pair.us.fail("delete")
    pair.eu.fail("delete")
    with pytest.raises(PartialWriteError):
        pair.store.delete(KEY)

    assert pair.store.url(KEY).startswith("https://us/")


def test_replicas_without_urls_are_passed_over() -> None:
    """Capabilities add up."""
    replicas = {"us": MemoryStore(), "eu": leaf("eu")}
    store = ReplicatedStore(replicas)

    assert store.url(KEY).startswith("https://eu/")
    assert "url" in store.capabilities()
    with pytest.raises(UnsupportedError):
        ReplicatedStore({"us": MemoryStore()}).url(KEY)


# -- listing -----------------------------------------------------------------


def test_keys_are_those_of_all_replicas(pair) -> None:
    """Each once, whoever has it."""
    third = KEY._replace(width=1)
    for key in (KEY, OTHER):
        pair.store.put(key, NEW)
    pair.eu.child.put(third, NEW)

    assert sorted(pair.store.keys()) == sorted([KEY, OTHER, third])


@pytest.mark.parametrize("down", ["us", "eu"])
def test_keys_are_complete_while_a_replica_is_away(pair, down) -> None:
    """What only that one has is known from the journal, and what was deleted."""
    third = KEY._replace(width=1)
    for key in (KEY, OTHER):
        pair.store.put(key, OLD)
    away, here = (pair.us, pair.eu) if down == "us" else (pair.eu, pair.us)
    here.fail("put", key=third)
    pair.store.put(third, NEW)  # only the one that goes away has it
    here.fail("delete", key=OTHER)
    pair.store.delete(OTHER)
    away.down()

    assert sorted(pair.store.keys()) == sorted([KEY, third])
    assert list(pair.store.keys("comics.c")) != []
    assert list(pair.store.keys("other")) == []


def test_half_a_list_is_an_error(pair) -> None:
    """If nobody could list everything."""
    pair.us.down()
    pair.eu.down()

    with pytest.raises(InconclusiveError):
        list(pair.store.keys())


def test_replicas_that_cannot_list_are_left_out(pair) -> None:
    """Unless none can."""
    pair.store.put(KEY, NEW)
    pair.us.fail("keys", "unsupported", times=None)
    assert list(pair.store.keys()) == [KEY]
    pair.eu.fail("keys", "unsupported", times=None)
    with pytest.raises(UnsupportedError):
        list(pair.store.keys())


# -- reproducible objects ----------------------------------------------------


@pytest.fixture
def cheap() -> Pair:
    """Thumbnails are kept in ``eu`` only."""
    return Pair(reproducible=Reproducible(replicas=["eu"]))


def test_reproducible_objects_are_kept_in_fewer_places(cheap) -> None:
    """Originals everywhere."""
    cheap.store.put(KEY, NEW, True)
    cheap.store.put(OTHER, NEW, False)

    assert cheap.contents(KEY) == (None, b"new, and longer")
    assert cheap.contents(OTHER) == (b"new, and longer",) * 2
    assert cheap.store.get(KEY).read() == b"new, and longer"
    assert cheap.store.url(KEY).startswith("https://eu/")


def test_reading_does_not_spread_reproducible_objects(cheap) -> None:
    """Where they are not kept they are not lacking."""
    cheap.store.put(KEY, NEW, True)
    cheap.store.get(KEY)

    assert cheap.missed() == {}


def test_an_old_copy_elsewhere_is_dropped(cheap) -> None:
    """Else it could be read while the place of the new one is down."""
    cheap.us.child.put(KEY, OLD)
    cheap.us.fail("delete")

    cheap.store.put(KEY, NEW, True)

    assert cheap.missed() == {"us": "drop"}
    assert cheap.store.get(KEY).read() == b"new, and longer"
    cheap.eu.down()
    with pytest.raises(UnavailableError):
        cheap.store.get(KEY)
    cheap.eu.up()
    cheap.store.repair()
    assert cheap.contents() == (None, b"new, and longer")


def test_a_drop_does_not_count_as_acknowledged(cheap) -> None:
    """The object must be somewhere."""
    cheap.eu.down()

    with pytest.raises(PartialWriteError, match="0 of 1"):
        cheap.store.put(KEY, NEW, True)
    assert cheap.missed() == {"us": "in_doubt", "eu": "in_doubt"}


# -- breakers ----------------------------------------------------------------


def test_a_replica_known_to_be_down_costs_nothing() -> None:
    """A breaker stands around each."""
    pair = Pair(breaker=BreakerPolicy(failures=2, open=60.0))
    pair.eu.down()

    for number in range(6):
        pair.store.put(KEY._replace(width=number), NEW)

    assert pair.eu.calls["put"] == 2
    assert pair.missed(KEY._replace(width=5)) == {"eu": "put"}
    (event,) = pair.events.of(CircuitChanged)
    assert (event.side, event.state) == ("write", "open")


def test_breakers_go_by_the_clock_of_their_store() -> None:
    """As all else of it does; the hand of a clock that is given moves them."""
    clock = FakeClock()
    policy = BreakerPolicy(failures=1, open=60.0, probes=1)
    pair = Pair(breaker=policy, clock=clock)
    pair.us.fail("get")
    pair.eu.child.put(KEY, NEW)
    pair.store.get(KEY)
    pair.store.get(KEY)
    asked = pair.us.calls["get"]

    clock.advance(67)
    pair.store.get(KEY)
    assert (asked, pair.us.calls["get"]) == (1, 2)


def test_a_trickle_goes_through_when_all_are_down() -> None:
    """Else nobody would find out that they are back."""
    pair = Pair(breaker=BreakerPolicy(failures=1, open=60.0))
    for fault in (pair.us, pair.eu):
        fault.fail(None, times=2)
    with pytest.raises(PartialWriteError):
        pair.store.put(KEY, NEW)
    with pytest.raises(InconclusiveError):
        pair.store.get(KEY)

    pair.store.put(KEY, NEW)
    assert pair.store.get(KEY).read() == b"new, and longer"


def test_a_write_that_was_never_sent_leaves_nothing() -> None:
    """All circuits open, and their trickle taken: an outage fills no journal."""
    pair = Pair(breaker=BreakerPolicy(failures=1, open=60.0))
    for fault in (pair.us, pair.eu):
        fault.fail("put")
    with pytest.raises(PartialWriteError):
        pair.store.put(KEY, NEW)
    with (
        pair.us.hang("put") as us,
        pair.eu.hang("put") as eu,
        ThreadPoolExecutor(1) as thread,
    ):
        trickling = thread.submit(pair.store.put, KEY, NEW)
        us.wait()
        eu.wait()
        with pytest.raises(PartialWriteError) as raised:
            pair.store.put(OTHER, NEW)
        us.release()
        eu.release()
        trickling.result()

    assert not raised.value.ambiguous
    errors = raised.value.outcomes.values()
    assert all(isinstance(error, CircuitOpenError) for error in errors)
    assert pair.missed(OTHER) == {}


# -- the journal fails -------------------------------------------------------


class BrokenJournal(MemoryJournal):
    """One whose steps can be made to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: set[str] = set()

    def _break(self, step: str) -> None:
        if step in self.broken:
            raise UnavailableError(f"the journal cannot {step}")

    def lease(self, key, seconds):
        self._break("lease")
        return super().lease(key, seconds)

    def rows(self, key):
        self._break("read")
        return super().rows(key)

    def begin(self, key, intents, **options):
        self._break("begin")
        return super().begin(key, intents, **options)

    def settle(self, mark, outcomes):
        self._break("settle")
        super().settle(mark, outcomes)


EVERYTHING = {"lease", "read", "begin", "settle"}


@pytest.mark.parametrize("step", ["lease", "begin"])
def test_without_its_journal_nothing_is_written(step) -> None:
    """Rather than acknowledged without it; and the next write is not held up."""
    pair = Pair(journal=BrokenJournal())
    pair.options["journal"].broken = {step}

    for change in (lambda: pair.store.put(KEY, NEW), lambda: pair.store.delete(KEY)):
        with pytest.raises(UnavailableError, match=f"cannot {step}"):
            change()

    assert pair.us.calls["put"] + pair.us.calls["delete"] == 0
    pair.options["journal"].broken = set()
    pair.store.put(KEY, NEW)


def test_without_its_journal_nothing_is_believed() -> None:
    """Any replica might have missed a delete."""
    pair = Pair(journal=BrokenJournal())
    pair.store.put(KEY, NEW)
    pair.options["journal"].broken = EVERYTHING

    with pytest.raises(UnavailableError, match="cannot read"):
        pair.store.get(KEY)


def test_without_its_journal_no_url_is_given() -> None:
    """It could be one of what was deleted; who degrades believes every replica."""
    for options in ({}, {"journal_errors": "degrade"}):
        pair = Pair(journal=BrokenJournal(), **options)
        pair.options["journal"].broken = EVERYTHING

        if options:
            assert pair.store.url(KEY).startswith("https://us/")
        else:
            with pytest.raises(UnavailableError, match="cannot read"):
                pair.store.url(KEY)


def test_rows_of_a_replica_that_is_gone_tell_readers_nothing(pair) -> None:
    """It was taken out of the configuration, and may have missed anything."""
    pair.store.put(KEY, NEW)
    mark = pair.journal.begin(KEY, {"us": "delete", "ap": "delete"})
    pair.journal.settle(mark, {"us": None, "ap": UnavailableError("down")})
    assert pair.missed() == {"ap": "delete"}

    assert pair.store.get(KEY).read() == NEW.read()
    assert pair.store.url(KEY).startswith("https://us/")


def test_a_full_journal_rejects_writes_and_lets_read(pair) -> None:
    """Loudly, before any replica is touched."""
    journal = MemoryJournal(capacity=3)
    store = pair.reopen(journal=journal)
    store.put(OTHER, OLD)
    for fault in (pair.us, pair.eu):
        fault.fail("delete")
    with pytest.raises(PartialWriteError):
        store.delete(KEY)

    with pytest.raises(FullError, match="journal"):
        store.put(OTHER, NEW)

    assert store.get(OTHER).read() == b"old"


def test_a_write_that_all_took_needs_no_settling() -> None:
    """Rows left in doubt do no harm, they only cost a look."""
    pair = Pair(journal=BrokenJournal())
    pair.options["journal"].broken = {"settle"}

    pair.store.put(KEY, NEW)

    assert pair.store.get(KEY).read() == b"new, and longer"


def test_a_write_that_some_missed_must_be_settled() -> None:
    """Else the one that missed it would be believed."""
    pair = Pair(journal=BrokenJournal())
    pair.options["journal"].broken = {"settle"}
    pair.eu.fail("put")

    with pytest.raises(UnavailableError, match="cannot settle") as raised:
        pair.store.put(KEY, NEW)

    assert raised.value.ambiguous


def test_degraded_writes_demand_every_replica() -> None:
    """Instead of the journal."""
    pair = Pair(journal=BrokenJournal(), journal_errors="degrade")
    pair.options["journal"].broken = EVERYTHING

    pair.store.put(KEY, NEW)
    assert pair.store.get(KEY).read() == b"new, and longer"
    pair.eu.fail("put")
    with pytest.raises(PartialWriteError, match="1 of 2"):
        pair.store.put(KEY, OLD)


def test_degraded_writes_leave_alone_what_is_pending() -> None:
    """A remembered delete could be replayed over them."""
    pair = Pair(journal=BrokenJournal(), journal_errors="degrade")
    pair.eu.fail("delete")
    pair.store.delete(KEY)
    pair.options["journal"].broken = {"begin"}

    with pytest.raises(UnavailableError, match="cannot begin"):
        pair.store.put(KEY, NEW)
    pair.store.put(OTHER, NEW)


# -- construction ------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"quorum": 1, "journal": None}, "quorum: 1 of 2 needs a journal"),
        ({"quorum": 3}, "quorum: must be from 1 to 2, not 3"),
        ({"quorum": 0}, "quorum: must be from 1 to 2, not 0"),
        ({"read": ReadPolicy(order=["us", "ap"])}, "read.order: unknown replica 'ap'"),
        (
            {"reproducible": Reproducible(replicas=["ap"])},
            "reproducible: unknown replica 'ap'; there are us, eu",
        ),
        (
            {"reproducible": Reproducible(replicas=["us"], quorum=2)},
            "reproducible.quorum: must be from 1 to 1, not 2",
        ),
    ],
)
def test_a_configuration_that_is_wrong_says_why(pair, options, problem) -> None:
    """Before it serves."""
    with pytest.raises(ConfigError) as raised:
        pair.reopen(**options)

    assert any(problem in said for said in raised.value.problems)


def test_every_problem_is_told_at_once(pair) -> None:
    """Not one a try."""
    with pytest.raises(ConfigError) as raised:
        pair.reopen(quorum=7, read=ReadPolicy(order=["ap", "xx"]))
    assert len(raised.value.problems) == 3
    with pytest.raises(ConfigError, match="at least one"):
        ReplicatedStore({})


def test_a_constructor_starts_nothing(tmp_path) -> None:
    """No thread, no file."""
    threads = threading.active_count()

    store = ReplicatedStore(
        {"us": MemoryStore()}, journal=SQLiteJournal(tmp_path / "journal.db")
    )

    assert threading.active_count() == threads
    assert list(tmp_path.iterdir()) == []
    assert store.quorum == 1


def test_options_can_be_read_back(pair) -> None:
    """As they were given."""
    policy = BreakerPolicy(failures=2)
    store = pair.reopen(quorum=2, breaker=policy, workers=3)

    assert (store.quorum, store.breaker, store.workers) == (2, policy, 3)
    assert store.journal is pair.journal
    assert store.read is None
    assert store.reproducible is None
    assert store.journal_errors == "fail"
    assert pair.reopen(journal=None).quorum == 2


def test_few_threads_are_enough(pair) -> None:
    """Replicas are written one after the other then."""
    store = pair.reopen(workers=0)

    store.put(KEY, NEW)

    assert pair.contents() == (b"new, and longer",) * 2


def test_errors_name_the_replica(pair) -> None:
    """By its path."""
    label(pair.store, "images")
    pair.us.down()
    pair.eu.down()

    with pytest.raises(StoreError) as raised:
        pair.store.put(KEY, NEW)

    assert raised.value.store == "images"
    paths = [error.store for error in raised.value.outcomes.values()]
    assert paths == ["images.us", "images.eu"]


def test_every_combination_of_faults_is_answered_truly() -> None:
    """A put, then a delete or a put, each with any fault at either replica."""
    faults = (None, "before", "after")
    for first in itertools.product(faults, repeat=2):
        for verb in ("put", "delete"):
            for second in itertools.product(faults, repeat=2):
                pair = Pair()
                possible: set[bytes | None] = {None}
                for turn, (did, fates) in enumerate((("put", first), (verb, second))):
                    body = Body.of(b"%d" % turn)
                    new = body.read() if did == "put" else None
                    for fault, fate in zip((pair.us, pair.eu), fates, strict=True):
                        if fate is not None:
                            fault.fail(did, after_apply=fate == "after")
                    try:
                        if did == "put":
                            pair.store.put(KEY, body)
                        else:
                            pair.store.delete(KEY)
                        possible = {new}
                    except PartialWriteError:
                        possible.add(new)
                    for order in (["us"], ["eu"]):
                        store = pair.reopen(read=ReadPolicy(order=order))
                        assert content(store) in possible, (first, verb, second)
                assert pair.store.repair().failed == 0
                us, eu = pair.contents()
                assert us == eu
                assert us in possible
                assert list(pair.journal.pending()) == []


class Late(Wrapper):
    """Reads what it is to store when it is told to, whoever still waits."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.told = threading.Event()
        self.read: list[bytes] = []

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        self.told.wait(60)
        self.read.append(body.read())


def test_what_the_caller_writes_after_a_deadline_is_not_stored(tmp_path) -> None:
    """A replica that is left behind gets no more of a file that is not ours."""
    us, eu, journal = Late(), Late(), MemoryJournal()
    store = ReplicatedStore({"us": us, "eu": eu}, journal=journal)
    path = tmp_path / "upload"
    path.write_bytes(b"mine")
    with path.open("r+b") as file:
        with deadline(0.1), pytest.raises(StoreError):
            store.put_file(file, *KEY, False)
        file.seek(0)
        file.write(b"ELSE")
        file.flush()
        us.told.set()
        eu.told.set()
        assert journal.lease(KEY, 10) is not None  # all are back

    assert us.read == eu.read == []


def test_a_list_without_the_only_complete_replica_is_an_error() -> None:
    """What can be computed again is kept in one place; without it nobody can tell."""
    us, eu = FaultStore(MemoryStore()), MemoryStore()
    store = ReplicatedStore(
        {"us": us, "eu": eu},
        journal=MemoryJournal(),
        reproducible=Reproducible(replicas=["us"], quorum=1),
    )
    store.put(KEY, Body.of(b"thumbnail"), reproducible=True)
    us.down()

    with pytest.raises(UnavailableError):
        list(store.keys())


def test_half_a_write_behind_an_open_circuit_is_not_forgotten() -> None:
    """A replica of several parts may have done something before one was not asked."""
    old, new = FaultStore(MemoryStore()), FaultStore(MemoryStore())
    parts = MigratingStore(old, BreakerStore(new, failures=1))
    store = ReplicatedStore({"only": parts, "too": parts}, journal=MemoryJournal())
    old.child.put(KEY, Body.of(b"old"))
    new.child.put(KEY, Body.of(b"new"))
    new.fail("delete", times=None)
    with pytest.raises(StoreError):
        parts.delete(KEY)
    old.child.put(KEY, Body.of(b"old"))

    with contextlib.suppress(StoreError):
        store.delete(KEY)

    assert list(store.pending())


def test_a_deadline_holds_when_every_thread_is_taken() -> None:
    """A replica that hangs takes the threads, not the caller."""
    us = FaultStore(MemoryStore())
    store = ReplicatedStore({"us": us, "eu": MemoryStore()}, workers=2)
    with us.hang("put"):
        for number in range(4):
            with deadline(0.1), pytest.raises(StoreError):
                store.put(KEY._replace(object_id=number), OLD)


def test_threads_cannot_be_negative() -> None:
    """Told when it is configured."""
    with pytest.raises(ConfigError, match="workers"):
        ReplicatedStore({"us": MemoryStore()}, workers=-1)


def test_without_threads_a_write_is_made_under_a_deadline_too() -> None:
    """One replica after the other; each has to keep the deadline itself."""
    us, eu = MemoryStore(), MemoryStore()
    store = ReplicatedStore({"us": us, "eu": eu}, workers=0)
    with deadline(10):
        store.put(KEY, NEW)

    assert us.get(KEY).read() == eu.get(KEY).read() == NEW.read()


def test_a_write_that_all_took_is_settled_if_some_should_be_without_it(cheap) -> None:
    """Who only dropped its copy would be asked, and say that there is none."""
    journal = BrokenJournal()
    store = cheap.reopen(journal=journal)
    cheap.us.fail("delete")
    store.delete(KEY)
    journal.broken = {"settle"}

    with pytest.raises(UnavailableError, match="cannot settle"):
        store.put(KEY, NEW, True)
