"""Decisions of operators: where they are kept, how processes follow, what they do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

from dataclasses import replace
from pathlib import Path

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.config import build
from tiered_store.control.control import Control
from tiered_store.control.decisions import Decisions, loaded
from tiered_store.control.file import FileControl
from tiered_store.control.standing import WithheldError, standing
from tiered_store.control.watch import Watch
from tiered_store.errors import (
    CorruptError,
    MisconfiguredError,
    NotFoundError,
    PartialWriteError,
    UnavailableError,
)
from tiered_store.events import ControlChanged, Decided
from tiered_store.journals.memory import MemoryJournal
from tiered_store.key import Key
from tiered_store.policies.breaker import BreakerPolicy
from tiered_store.policies.guard import Guard
from tiered_store.policies.outcome import outcome_of
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.controls import ControlConformance, Make, decision
from tiered_store.testing.faults import FaultStore
from tiered_store.testing.recording import Recorder
from tiered_store.tree import conditions, label, observe
from tiered_store.wrappers.fallback import FallbackStore
from tiered_store.wrappers.replicated import ReplicatedStore


KEY = Key("comics.cover", 5, 30, 40, "image/png")
OTHER = KEY._replace(object_id=6)


class TestFileControl(ControlConformance):
    """The processes of one machine."""

    @pytest.fixture
    def make(self, clock: FakeClock, tmp_path: Path) -> Make:
        return lambda: FileControl(str(tmp_path / "decisions.json"), clock=clock)


class HandControl(Control):
    """A record in memory that a test takes away, or changes behind everybody's back."""

    poll = 0.005

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.content: bytes | None = None
        self.error: Exception | None = None
        self.loads = 0
        self._lock = threading.Lock()

    def _load(self):
        self.loads += 1
        if self.error is not None:
            raise self.error
        return self.content, self.content

    def _swap(self, content, token) -> bool:
        with self._lock:
            if self.content != token:
                return False
            self.content = content
            return True


# -- the record ----------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"format": 1}', b"[" * 10_000, b'"x"', b"\xff\xfe"],
)
def test_what_is_no_record_is_told(content: bytes) -> None:
    """Never an empty record, which would undo every decision."""
    with pytest.raises(CorruptError, match="no record of decisions"):
        loaded(content)


def test_an_unknown_decision_is_no_record() -> None:
    """A typing error by hand must not be taken for anything."""
    record = Decisions().with_(decision())
    content = record.dumped().replace(b'"drain"', b'"drian"')

    with pytest.raises(CorruptError, match="drian"):
        loaded(content)


def test_a_newer_format_is_refused() -> None:
    """What it says cannot be known."""
    content = json.loads(Decisions().with_(decision()).dumped())
    content["format"] = 9

    with pytest.raises(MisconfiguredError, match="newer"):
        loaded(json.dumps(content).encode())


def test_the_history_is_bounded() -> None:
    """A record is read twice a second, by everybody."""
    record = Decisions()
    for _ in range(150):
        record = record.with_(decision("drain")).with_(decision("undrain"))

    assert len(record.history) == 100
    assert record.history[-1].revision == record.revision == 300
    assert len(record.dumped()) < 40_000


# -- the file ------------------------------------------------------------------


def test_a_file_needs_its_directory(tmp_path: Path) -> None:
    """A disk that is not mounted is not a record without decisions."""
    control = FileControl(str(tmp_path / "away" / "decisions.json"))

    with pytest.raises(MisconfiguredError, match="does not exist; make it"):
        control.load()
    with pytest.raises(MisconfiguredError, match="does not exist; make it"):
        control.decide(decision())


def test_a_killed_operator_leaves_the_file_whole(tmp_path: Path) -> None:
    """What was there, or what was decided, and the next one can decide."""
    path = tmp_path / "decisions.json"
    FileControl(str(path)).decide(decision("drain", "us"))
    program = (
        "import os, signal\n"
        "from tiered_store.control.file import FileControl\n"
        "from tiered_store.testing.controls import decision\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"FileControl({str(path)!r}).decide(decision('drain', 'eu'))\n"
    )

    killed = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)

    assert killed.returncode == -9
    assert set(FileControl(str(path)).load().standing) == {"us"}
    FileControl(str(path)).decide(decision("drain", "eu"))
    assert set(FileControl(str(path)).load().standing) == {"us", "eu"}


# -- following -----------------------------------------------------------------


class Follower:
    """A store that follows a control of the test's own."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.control = HandControl(clock)
        self.store = label(FallbackStore({"us": MemoryStore()}), "images")
        self.events = Recorder()
        observe(self.store, self.events)
        self.watch = Watch(self.control, self.store)


@pytest.fixture
def follower():
    made = Follower()
    yield made
    made.watch.close()


def test_a_watch_is_free_until_it_is_used() -> None:
    """Constructors do no I/O and start no thread."""
    before = set(threading.enumerate())  # other tests' may still be about to end
    follower = Follower()

    assert follower.control.loads == 0
    started = set(threading.enumerate()) - before
    assert "tiered-store-control" not in {one.name for one in started}
    follower.watch.current()
    assert follower.control.loads
    follower.watch.close()


def test_the_first_use_knows_the_decisions(follower: Follower) -> None:
    """A process that is started during a drain must not begin with the drained."""
    follower.control.decide(decision())

    assert set(follower.watch.current().standing) == {"us"}


def test_a_decision_arrives_without_being_asked_for(follower: Follower) -> None:
    """Idle processes too: the first call after an hour follows it."""
    follower.watch.current()

    follower.control.decide(decision())

    (event,) = follower.events.wait_for(Decided)
    assert (event.store, event.name, event.verb) == ("images", "us", "drain")
    assert (event.by, event.why) == ("ana@ops", "a cable")
    assert set(follower.watch.current().standing) == {"us"}


def test_row_64_a_lost_control_changes_nothing(follower: Follower) -> None:
    """The last known decisions hold, an event says so, and the way back is told."""
    follower.control.decide(decision())
    follower.watch.current()

    follower.control.error = UnavailableError("gone")
    (lost,) = follower.events.wait_for(ControlChanged)
    assert "gone" in str(lost.error)
    assert set(follower.watch.current().standing) == {"us"}
    assert follower.watch.error is lost.error

    follower.control.error = None
    follower.control.decide(decision("undrain"))
    *_, found = follower.events.wait_for(ControlChanged, 2)
    assert found.error is None
    follower.events.wait_for(Decided, 2)
    assert follower.watch.current().standing == {}


@pytest.mark.parametrize("content", [None, b"garbage", b""])
def test_row_64_a_record_that_was_lost_is_held(follower: Follower, content) -> None:
    """A Redis that restarted empty must not send traffic to a drained region."""
    follower.control.decide(decision())
    follower.watch.current()

    follower.control.content = content
    follower.events.wait_for(ControlChanged)

    assert set(follower.watch.current().standing) == {"us"}


def test_row_64_an_older_record_is_not_believed(follower: Follower) -> None:
    """A replica that lagged, or a backup."""
    follower.control.decide(decision("drain", "eu"))
    older = follower.control.content
    follower.control.decide(decision("drain", "us"))
    follower.watch.current()

    follower.control.content = older
    follower.events.wait_for(ControlChanged)

    assert set(follower.watch.current().standing) == {"us", "eu"}


def test_a_record_that_was_begun_again_is_followed(follower: Follower) -> None:
    """After a loss an operator's next decision is the truth, whatever its number."""
    for _ in range(3):
        follower.control.decide(decision("drain", "us"))
    follower.watch.current()
    follower.events.wait_for(Decided)

    follower.control.content = None
    follower.control.decide(decision("drain", "eu"))

    follower.events.wait_for(Decided, 3)
    assert set(follower.watch.current().standing) == {"eu"}


def test_a_record_that_went_back_is_followed_once_somebody_decides(
    follower: Follower,
) -> None:
    """A backup is some decisions old, and the operator's next one counts at once."""
    follower.control.decide(decision("drain", "eu"))
    older = follower.control.content
    for _ in range(3):
        follower.control.decide(decision("drain", "ap"))
    follower.watch.refresh()

    follower.control.content = older
    follower.watch.refresh()
    assert set(follower.watch.decisions.standing) == {"eu", "ap"}
    follower.control.decide(decision("drain", "us"))
    follower.watch.refresh()

    assert set(follower.watch.decisions.standing) == {"eu", "us"}
    assert follower.watch.error is None


def test_a_decision_expires_without_the_control() -> None:
    """It was meant for an hour, and nobody can be asked to end it."""
    clock = FakeClock()
    follower = Follower(clock)
    follower.control.decide(decision(until=clock.time() + 3600))
    assert set(follower.watch.current().standing) == {"us"}
    follower.control.error = UnavailableError("gone")
    follower.events.wait_for(ControlChanged)

    clock.advance(3600)

    *_, ended = follower.events.wait_for(Decided, 2)
    assert ended.verb is None
    assert follower.watch.current().standing == {}
    follower.watch.close()


def test_a_bug_in_a_control_does_not_end_the_watch(follower: Follower) -> None:
    """A thread that died in silence would follow nothing any more."""
    follower.watch.current()
    follower.control.error = ZeroDivisionError("a bug")
    follower.events.wait_for(ControlChanged)

    follower.control.error = None
    follower.control.decide(decision())

    follower.events.wait_for(Decided)


def test_row_63_a_child_process_follows_on_its_own() -> None:
    """gunicorn forks after it has loaded; a thread is not inherited."""
    follower = Follower()
    follower.watch.current()

    pid = os.fork()
    if pid == 0:  # the child
        status = 1
        try:
            follower.events.clear()
            follower.control.decide(decision())
            follower.watch.current()
            follower.events.wait_for(Decided)
            status = 0
        finally:
            os._exit(status)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert follower.watch.current().standing == {}
    follower.watch.close()


def test_row_63_a_process_that_follows_ends(tmp_path: Path) -> None:
    """With the control hanging, and without close()."""
    program = (
        "import threading\n"
        "from tiered_store import FallbackStore, MemoryStore, Key\n"
        "from tiered_store.control.file import FileControl\n"
        "class Hanging(FileControl):\n"
        "    def _load(self):\n"
        "        threading.Event().wait()\n"
        f"control = Hanging({str(tmp_path / 'decisions.json')!r})\n"
        "store = FallbackStore({'us': MemoryStore()}, control=control)\n"
        "list(store.keys())\n"
        "print('done')\n"
    )

    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert (ran.stdout, ran.stderr) == ("done\n", "")


def test_a_store_that_is_forgotten_is_not_followed() -> None:
    """Nobody has to close it for its thread to end."""
    follower = Follower()
    follower.watch.current()
    thread = follower.watch.lookout.thread
    del follower.watch

    thread.join(60)

    assert not thread.is_alive()


# -- who is asked --------------------------------------------------------------


def record(*decisions: str) -> Decisions:
    """Return the record of decisions such as ``drain us``."""
    found = Decisions()
    for words in decisions:
        verb, name = words.split()
        found = found.with_(replace(decision(), verb=verb, name=name))
    return found


@pytest.mark.parametrize(
    ("decisions", "read", "write", "spare"),
    [
        ((), "us eu ap", "us eu ap", ""),
        (("drain us",), "eu ap us", "eu ap", "us"),
        (("isolate us",), "eu ap", "eu ap", ""),
        (("promote ap",), "ap us eu", "ap us eu", ""),
        (("promote ap", "drain us"), "ap eu us", "ap eu", "us"),
        (("drain us", "drain eu", "drain ap"), "us eu ap", "", "us eu ap"),
        (("drain us", "isolate eu"), "ap us", "ap", "us"),
        (("isolate us", "isolate eu", "isolate ap"), "", "", ""),
        (("drain other",), "us eu ap", "us eu ap", ""),
    ],
)
def test_what_decisions_make_of_an_order(decisions, read, write, spare) -> None:
    """One rule for every store with several places."""
    found = standing(("us", "eu", "ap"), record(*decisions))

    assert " ".join(found.read) == read
    assert " ".join(found.write) == write
    assert " ".join(found.spare) == spare


class Regions:
    """Two faulty places below a store that follows decisions."""

    def __init__(self, kind: str) -> None:
        self.us, self.eu = (
            FaultStore(MemoryStore(base_url=f"https://{name}/"))
            for name in ("us", "eu")
        )
        self.control = HandControl()
        places = {"us": self.us, "eu": self.eu}
        if kind == "replicated":
            self.store = ReplicatedStore(
                places, journal=MemoryJournal(), control=self.control
            )
        else:
            self.store = FallbackStore(places, control=self.control)

    def decide(self, *decisions: str) -> None:
        """Decide, and return once the store knows."""
        for words in decisions:
            verb, name = words.split()
            self.control.decide(replace(decision(), verb=verb, name=name))
        self.store._rota.watch.refresh()
        self.us.calls.clear()
        self.eu.calls.clear()

    def content(self) -> bytes:
        with self.store.get_file(*KEY) as file:
            return file.read()


@pytest.fixture
def mirror():
    made = Regions("replicated")
    yield made
    made.store.close()


@pytest.fixture
def places():
    made = Regions("fallback")
    for place in (made.us, made.eu):
        place.put(KEY, Body.of(b"x"))
    yield made
    made.store.close()


def test_a_drained_replica_is_neither_read_nor_written(mirror: Regions) -> None:
    """What it misses is remembered, and repaired while it is still drained."""
    mirror.store.put(KEY, Body.of(b"old"))
    mirror.decide("drain us")

    mirror.store.put(KEY, Body.of(b"new"))

    assert mirror.content() == b"new"
    assert mirror.store.url(KEY).startswith("https://eu/")
    assert mirror.us.calls == {}
    assert mirror.store.status().replicas["us"].rows == 1
    assert mirror.store.repair().repaired == 1
    assert mirror.us.child.get(KEY).read() == b"new"


def test_a_drained_replica_is_a_last_resort_for_reads(mirror: Regions) -> None:
    """Users come first: it is there, and may have what nobody else can give."""
    mirror.store.put(KEY, Body.of(b"x"))
    mirror.decide("drain us")
    mirror.eu.down()

    assert mirror.content() == b"x"


def test_a_drained_replica_is_a_last_resort_for_writes(mirror: Regions) -> None:
    """Once all others are known to be down."""
    mirror.decide("drain us")
    mirror.eu.down()
    for _ in range(BreakerPolicy().failures):
        with pytest.raises(PartialWriteError, match="drained by ana@ops"):
            mirror.store.put(OTHER, Body.of(b"x"))

    mirror.store.put(KEY, Body.of(b"x"))

    assert mirror.content() == b"x"


def test_absence_is_asked_of_a_drained_replica_too(mirror: Regions) -> None:
    """It may have what another one lost without anybody knowing."""
    mirror.store.put(KEY, Body.of(b"x"))
    mirror.eu.child.delete(KEY)
    mirror.decide("drain us")

    assert mirror.content() == b"x"


def test_an_isolated_replica_is_not_touched(mirror: Regions) -> None:
    """Not by a repair, not as a last resort, not for a listing."""
    mirror.store.put(KEY, Body.of(b"old"))
    mirror.decide("isolate us")

    mirror.store.put(KEY, Body.of(b"new"))
    mirror.store.delete(OTHER)
    assert mirror.content() == b"new"
    assert mirror.store.url(KEY).startswith("https://eu/")
    assert list(mirror.store.keys()) == [KEY]
    assert mirror.store.repair().down == 2
    mirror.eu.down()
    with pytest.raises(UnavailableError):
        mirror.content()

    assert mirror.us.calls == {}


def test_an_isolated_replica_comes_back_by_repair(mirror: Regions) -> None:
    """A delete that it missed does not return."""
    mirror.store.put(KEY, Body.of(b"x"))
    mirror.decide("isolate us")
    mirror.store.delete(KEY)

    mirror.decide("undrain us")

    with pytest.raises(NotFoundError):
        mirror.content()
    assert mirror.store.repair().repaired == 1
    with pytest.raises(NotFoundError):
        mirror.us.child.get(KEY)


def test_an_object_that_only_an_isolated_replica_has_is_not_absent(
    mirror: Regions,
) -> None:
    """Others are behind, so nobody who may be asked knows."""
    mirror.eu.down()
    mirror.store.put(KEY, Body.of(b"x"))
    mirror.eu.up()
    mirror.decide("isolate us")

    with pytest.raises(
        UnavailableError, match=r"d: us is isolated by .*; eu is behind"
    ):
        mirror.content()


def test_no_url_is_of_a_replica_that_is_behind(mirror: Regions) -> None:
    """The one that is not must not be touched, and an old object is worse than none."""
    mirror.store.put(KEY, Body.of(b"old"))
    mirror.eu.down()
    mirror.store.put(KEY, Body.of(b"new"))
    mirror.decide("isolate us")

    with pytest.raises(UnavailableError, match="behind for it, or isolated: us is i"):
        mirror.store.url(KEY)
    assert mirror.store.url(OTHER).startswith("https://eu/")


def test_a_promoted_replica_is_read_first(mirror: Regions) -> None:
    """And its URLs are given out."""
    mirror.store.put(KEY, Body.of(b"x"))
    mirror.decide("promote eu")

    assert mirror.content() == b"x"
    assert mirror.us.calls == {}
    assert mirror.store.url(KEY).startswith("https://eu/")


def test_nobody_is_asked_when_all_are_isolated(mirror: Regions) -> None:
    """Whoever decides that gets what they ask for, in words; nothing is pending."""
    mirror.decide("isolate us", "isolate eu")

    with pytest.raises(PartialWriteError, match="isolated by ana@ops") as caught:
        mirror.store.put(KEY, Body.of(b"x"))
    with pytest.raises(UnavailableError):
        mirror.content()

    assert not caught.value.ambiguous
    assert mirror.store.status().rows == 0


def test_a_drained_store_is_the_last_of_a_fallback(places: Regions) -> None:
    """Reads and URLs go to the next one; puts do not, for nobody remembers them."""
    places.decide("drain us")

    places.store.put(OTHER, Body.of(b"new"))

    assert places.content() == b"x"
    assert places.us.child.get(OTHER).read() == b"new"
    assert places.store.url(KEY).startswith("https://eu/")
    assert places.us.calls == {"put": 1}


def test_a_drained_store_is_asked_before_absence_is_said(places: Regions) -> None:
    """The next one may not have been brought up to date yet."""
    places.eu.child.delete(KEY)
    places.decide("drain us")

    assert places.content() == b"x"


def test_an_isolated_store_is_not_touched(places: Regions) -> None:
    """A delete that cannot be made there is refused, for the object would return."""
    places.decide("isolate us")

    assert places.content() == b"x"
    assert places.store.url(KEY).startswith("https://eu/")
    assert set(places.store.keys()) == {KEY}
    with pytest.raises(WithheldError, match="isolated by ana@ops"):
        places.store.delete(KEY)
    assert places.content() == b"x"
    places.eu.down()
    with pytest.raises(UnavailableError):
        places.content()

    assert places.us.calls == {}


def test_a_promoted_store_is_the_first_of_a_fallback(places: Regions) -> None:
    """For reads; writes follow where a journal remembers what others missed."""
    places.decide("promote eu")

    assert places.content() == b"x"
    assert places.us.calls == {}


def test_open_circuits_are_told_beside_decisions(places: Regions) -> None:
    """By the process that has them, such as a service that shows its status."""
    places.decide("promote us")
    places.us.down()
    for _ in range(BreakerPolicy().failures):
        places.content()

    found = list(conditions(places.store))

    (circuit,) = [one for one in found if one.section == "circuits"]
    assert circuit.state == "attention"
    assert "5 failures in a row" in str(circuit.facts["reads"])
    assert circuit.facts["writes"] is None
    (decided,) = [one for one in found if one.section == "decisions"]
    assert decided.facts["decided"] == "promoted"


def test_a_withheld_store_is_not_an_outage() -> None:
    """A breaker above must not open because of a decision."""
    assert issubclass(WithheldError, UnavailableError)
    assert not WithheldError("").retryable
    assert outcome_of(WithheldError("")) == "neutral"


def test_a_decision_opens_no_breaker_above(places: Regions) -> None:
    """Of a pair that is one place of another store: undone, it is used at once."""
    above = Guard(places.store, BreakerPolicy())
    places.decide("isolate us", "isolate eu")
    for _ in range(2 * BreakerPolicy().failures):
        with pytest.raises(UnavailableError):
            above.get(KEY)
        with pytest.raises(UnavailableError):
            above.put(KEY, Body.of(b"y"))

    places.decide("undrain us")

    assert above.get(KEY).read() == b"x"
    above.put(KEY, Body.of(b"y"))


def test_a_control_in_a_file(tmp_path: Path) -> None:
    """Inline, or by name and shared by several stores."""
    store = build(
        {
            "version": 1,
            "default": "images",
            "controls": {
                "ops": {"type": "file", "path": str(tmp_path / "d"), "poll": "1s"}
            },
            "stores": {
                "images": {
                    "type": "fallback",
                    "stores": {"us": "pair", "local": {"type": "memory"}},
                    "control": "ops",
                },
                "pair": {
                    "type": "replicated",
                    "replicas": {"a": {"type": "memory"}, "b": {"type": "memory"}},
                    "journal": {"type": "memory"},
                    "control": "ops",
                },
            },
        }
    )

    with store:
        assert isinstance(store, FallbackStore)
        assert isinstance(store.control, FileControl)
        assert store.control.poll == 1.0
        pair = store.stores["us"].child
        assert pair.control is store.control
