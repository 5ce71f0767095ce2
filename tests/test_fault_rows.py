"""
Rows 57 to 62 of the table of faults, for mirrors and fallbacks alike.

The others are tested where they belong; docs/faults.md says where.
"""

from __future__ import annotations

import threading

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.test_control import HandControl
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.cli import main
from tiered_store.config import load
from tiered_store.control.decisions import Decision
from tiered_store.control.file import FileControl
from tiered_store.deadlines import deadline
from tiered_store.errors import NotFoundError, StoreError, UnavailableError
from tiered_store.events import CircuitChanged, FailedBack
from tiered_store.journals.memory import MemoryJournal
from tiered_store.key import Key
from tiered_store.policies.breaker import BreakerPolicy
from tiered_store.store import Store
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.faults import FaultStore
from tiered_store.testing.recording import Recorder
from tiered_store.tree import observe
from tiered_store.wrapper import Wrapper
from tiered_store.wrappers.fallback import FallbackStore
from tiered_store.wrappers.limit import LimitStore
from tiered_store.wrappers.replicated import ReplicatedStore


KEY = Key("comics.cover", 5, 30, 40, "image/png")
CALLERS = 16
KINDS = ("replicated", "fallback")


class Crowded(Wrapper):
    """
    Counts how many are inside at once, and holds them there until *held* is set free.

    Attributes:
        most: The most there ever were.
    """

    def __init__(self, child: Store) -> None:
        super().__init__(child)
        self.held: threading.Event | None = None
        self.entered = threading.Semaphore(0)
        self.most = 0
        self._inside = 0
        self._lock = threading.Lock()

    def _get(self, key: Key) -> Body:
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
        try:
            self.entered.release()
            if self.held is not None:
                assert self.held.wait(30)
            return self.child.get(key)
        finally:
            with self._lock:
                self._inside -= 1


class Regions:
    """Two places that fail when told to, below a store of either kind."""

    def __init__(self, kind: str, **options) -> None:
        self.us, self.eu = (FaultStore(MemoryStore()) for _ in range(2))
        self.crowd = Crowded(self.us)
        self.journal = MemoryJournal()
        self.kind = kind
        self.options = {"journal": self.journal, **options}
        self.store = self.made()
        self.events = Recorder()
        observe(self.store, self.events)
        self.store.put(KEY, Body.of(b"old"))
        if kind == "fallback":  # somebody else keeps them alike
            self.eu.child.put(KEY, Body.of(b"old"))

    def made(self) -> ReplicatedStore | FallbackStore:
        places = {"us": self.crowd, "eu": self.eu}
        if self.kind == "replicated":
            return ReplicatedStore(places, **self.options)
        return FallbackStore(places, write="failover", **self.options)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Mirror, and fallback."""
    return request.param


def test_row_57_a_returned_region_meets_no_herd(kind: str) -> None:
    """One call at a time finds out whether it is well; all others go elsewhere."""
    regions = Regions(kind, breaker=BreakerPolicy(open=0.001, open_limit=0.001))
    regions.us.down()
    for _ in range(BreakerPolicy().failures):
        assert regions.store.get(KEY).read() == b"old"
    assert regions.events.of(CircuitChanged)[-1].state in ("open", "probing")
    regions.us.up()
    regions.crowd.most = 0
    regions.crowd.entered = threading.Semaphore(0)
    regions.crowd.held = threading.Event()

    with ThreadPoolExecutor(CALLERS) as pool:
        probe = pool.submit(lambda: regions.store.get(KEY).read())
        entered = False
        while not entered:  # until its time to look again has come
            entered = regions.crowd.entered.acquire(timeout=0.01)
            if not entered and probe.done():
                probe = pool.submit(lambda: regions.store.get(KEY).read())
        others = [
            pool.submit(lambda: regions.store.get(KEY).read())
            for _ in range(10 * CALLERS)
        ]
        assert {future.result(30) for future in others} == {b"old"}
        assert regions.crowd.most == 1
        regions.crowd.held.set()
        assert probe.result(30) == b"old"


def test_row_58_a_region_that_comes_and_goes_waits_for_a_person() -> None:
    """And the operator's word ends that, in every process that hears it."""
    clock, control = FakeClock(), HandControl()
    us = FaultStore(MemoryStore())
    store = FallbackStore(
        {"us": us, "eu": MemoryStore()},
        write="failover",
        journal=MemoryJournal(clock=clock),
        control=control,
        clock=clock,
        breaker=BreakerPolicy(failures=1, open=1, open_limit=1, probes=1),
    )
    events = Recorder()
    observe(store, events)
    for child in store.stores.values():
        child.put(KEY, Body.of(b"x"))

    def ask_until(*stages: str) -> str:
        while True:
            clock.advance(1)
            assert store.get(KEY).read() == b"x"
            seen = [event.stage for event in events.of(FailedBack)][-1:]
            if seen and seen[0] in stages:
                return seen[0]

    def goes_and_comes() -> str:
        us.down()
        ask_until("away")
        us.up()
        return ask_until("active", "held")

    assert [goes_and_comes() for _ in range(4)] == [*["active"] * 3, "held"]
    us.calls.clear()
    for _ in range(3600):
        ask_until("held")
    assert not us.calls["get"], "it is up, and nobody relies on it any more"

    control.decide(Decision(verb="failback", name="us", by="ana", at=0.0))
    store._rota.watch.refresh()

    assert ask_until("active") == "active"
    us.calls.clear()
    ask_until("active")
    assert us.calls["get"] == 1
    store.close()


def test_row_59_with_all_regions_down_calls_fail_at_once_and_one_looks(
    kind: str,
) -> None:
    """Never absence; and when one is back, it is found without a restart."""
    regions = Regions(kind, breaker=BreakerPolicy(open=60.0))
    regions.us.down()
    regions.eu.down()
    for _ in range(3 * BreakerPolicy().failures):
        with pytest.raises(UnavailableError):
            regions.store.get(KEY)
    asked = regions.us.calls["get"] + regions.eu.calls["get"]

    with ThreadPoolExecutor(CALLERS) as pool:
        failures = [pool.submit(_failure, regions.store) for _ in range(50)]
        kinds = {type(future.result(30)) for future in failures}

    assert NotFoundError not in kinds
    trickled = regions.us.calls["get"] + regions.eu.calls["get"] - asked
    assert trickled <= 2 * 50, "one attempt a call and place, and no retries"
    regions.eu.up()
    assert regions.store.get(KEY).read() == b"old"


def _failure(store: Store) -> StoreError:
    with deadline(10), pytest.raises(StoreError) as caught:
        store.get(KEY)
    return caught.value


def test_row_60_what_was_deleted_in_a_long_outage_stays_deleted(kind: str) -> None:
    """A delete is remembered until every place has heard of it, a year if need be."""
    clock = FakeClock()
    journal = MemoryJournal(clock=clock)
    regions = Regions(kind, journal=journal, clock=clock, breaker=None)
    keys = [KEY._replace(object_id=number) for number in range(50)]
    for key in keys:
        regions.store.put(key, Body.of(b"x"))
        regions.us.child.put(key, Body.of(b"x"))
    regions.us.down()
    for key in keys:
        regions.store.delete(key)

    clock.advance(366 * 86_400)
    regions.us.up()

    for key in keys:
        with pytest.raises(NotFoundError):
            regions.store.get(key)
    regions.store.repair()
    assert not set(keys) & set(regions.us.child.keys())


def test_row_61_a_put_during_a_repair_is_the_last_word(kind: str) -> None:
    """The repair has read an older object, and must not write it over the new one."""
    regions = Regions(kind, breaker=None)
    regions.us.down()
    regions.store.put(KEY, Body.of(b"missed"))
    regions.us.up()

    with (
        regions.us.pause("put") as pause,
        ThreadPoolExecutor(2) as pool,
    ):
        repairing = pool.submit(regions.store.repair)
        pause.wait()  # it has read what it is about to write
        writing = pool.submit(regions.store.put, KEY, Body.of(b"newer"))
        pause.release()
        repairing.result(30)
        writing.result(30)
        regions.store.repair()

    assert regions.store.get(KEY).read() == b"newer"
    assert regions.us.child.get(KEY).read() == b"newer"


def _interrupted() -> Exception:
    raise KeyboardInterrupt


def test_row_62_an_interrupted_write_leaves_marks_and_no_lease(kind: str) -> None:
    """Ctrl-C in the middle: what it may have done is known, and others can write."""
    regions = Regions(kind, breaker=None)
    if kind == "fallback":
        regions.us.down()
        regions.eu.fail("put", _interrupted)
    else:
        regions.us.fail("put", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        regions.store.put(KEY, Body.of(b"new"))
    regions.us.up()

    assert regions.journal.rows(KEY), "nobody knows how it ended"
    with deadline(10):
        regions.store.put(KEY, Body.of(b"newer"))
    regions.store.repair()
    assert regions.store.get(KEY).read() == b"newer"
    assert regions.journal.rows(KEY) == {}


@pytest.mark.parametrize("verb", ["put", "get", "delete", "stat"])
def test_row_62_an_interrupted_call_gives_its_permit_back(verb: str) -> None:
    """Or the next Ctrl-C would find nobody served."""
    place = FaultStore(MemoryStore())
    store = LimitStore(place, 1)
    store.put(KEY, Body.of(b"x"))
    place.fail(verb, _interrupted)  # type: ignore[arg-type]
    calls = {
        "put": lambda: store.put(KEY, Body.of(b"x")),
        "get": lambda: store.get(KEY),
        "delete": lambda: store.delete(KEY),
        "stat": lambda: store.stat(KEY),
    }

    with pytest.raises(KeyboardInterrupt):
        calls[verb]()

    with deadline(10):
        store.put(KEY, Body.of(b"y"))
        assert store.get(KEY).read() == b"y"


def test_row_62_an_interrupted_probe_does_not_wedge_the_breaker(kind: str) -> None:
    """Its place is free for the next one at once, or after its lease."""
    policy = BreakerPolicy(
        failures=1, open=0.001, open_limit=0.001, probes=1, probe_lease=0.05
    )
    regions = Regions(kind, breaker=policy)
    regions.us.down()
    assert regions.store.get(KEY).read() == b"old"
    regions.us.up()
    regions.us.fail("get", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        _ask_for_ever(regions.store)  # until its time to look again has come

    closed = False
    while not closed:  # the suite's own timeout is the limit
        regions.store.get(KEY)
        circuits = regions.events.of(CircuitChanged)
        closed = circuits[-1].state == "closed"


def _ask_for_ever(store: Store) -> None:
    while True:
        store.get(KEY)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A file in which a drained region is the last one that has an object."""
    path = tmp_path / "stack.yaml"
    path.write_text(
        f"""
version: 1
stores:
  images:
    type: replicated
    replicas:
      us: {{type: filesystem, path: {tmp_path}/us, create: true}}
      eu: {{type: filesystem, path: {tmp_path}/eu, create: true}}
    journal: {{type: sqlite, path: {tmp_path}/journal.db}}
    control: {{type: file, path: {tmp_path}/decisions.json, poll: 10ms}}
"""
    )
    return path


def test_row_64_operators_and_processes_without_the_control(
    config: Path, tmp_path: Path
) -> None:
    """The file is gone with its disk: processes go on as they were told, and say so."""
    with load(config) as store:
        assert isinstance(store, ReplicatedStore)
        store.put(KEY, Body.of(b"x"))
        assert main(["drain", "us", "-c", str(config)]) == 0
        while not store._rota.now().spare:  # within a second, says the documentation
            threading.Event().wait(0.005)
        (tmp_path / "decisions.json").unlink()
        store._rota.watch.refresh()

        assert store._rota.now().spare == ("us",)
        assert store.get(KEY).read() == b"x"
        (found,) = [one for one in store.conditions() if one.section == "decisions"]
        assert found.facts["decided"] == "nothing", "as the next process will see it"
    assert FileControl(str(tmp_path / "decisions.json")).load().standing == {}
