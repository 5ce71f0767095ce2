"""The breaker: when it opens, how it probes, what it ignores."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.errors import (
    ConfigError,
    ConflictError,
    CorruptError,
    DeadlineError,
    DeniedError,
    InconclusiveError,
    InvalidError,
    MisconfiguredError,
    NotFoundError,
    StoreError,
    ThrottledError,
    UnavailableError,
)
from tiered_store.key import Key
from tiered_store.policies.breaker import BreakerPolicy, CircuitOpenError
from tiered_store.policies.circuit import Circuit
from tiered_store.policies.outcome import outcome_of
from tiered_store.policies.probes import Permit
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.faults import FaultStore
from tiered_store.units import MIB
from tiered_store.wrappers.breaker import BreakerStore


KEY = Key("testing", 1, 2, 3, "image/png")
DOWN = UnavailableError("down")


class Bench:
    """A circuit, its clock, and what it said."""

    def __init__(self, **options) -> None:
        self.clock = FakeClock()
        self.changes: list[tuple[str, str]] = []
        self.circuit = Circuit(
            BreakerPolicy(**options), lambda *change: self.changes.append(change),
            self.clock,
        )  # fmt: skip

    def call(self, error: StoreError | None = None, seconds: float = 0.0) -> None:
        permit = self.circuit.admit()
        self.clock.advance(seconds)
        self.circuit.settle(permit, error)

    def together(self, *outcomes: StoreError | None, seconds: float = 0.5) -> None:
        """Let as many calls begin at once, each for another object, and end in turn."""
        permits = [self.circuit.admit() for _ in outcomes]
        self.clock.advance(seconds)
        for number, (permit, error) in enumerate(zip(permits, outcomes, strict=True)):
            self.circuit.settle(permit, error, about=number)

    def opened(self) -> Bench:
        while self.circuit.state == "closed":
            self.call(DOWN)
        return self

    def stays_open(self) -> float:
        """Return for how long it refuses, in steps of 10 ms."""
        opened = self.clock.monotonic()
        while self.circuit.state == "open":
            try:
                self.circuit.settle(self.circuit.admit(), InvalidError("x"))
            except CircuitOpenError:
                self.clock.advance(0.01)
        return self.clock.monotonic() - opened

    def probing(self) -> Permit:
        """Let the open time pass and take the one probe."""
        self.clock.advance(1.2 * self.circuit.policy.open_limit)
        return self.circuit.admit()


def test_failures_in_a_row_open_it() -> None:
    """The fifth; a success in between begins the count anew."""
    bench = Bench()
    for error in (DOWN, DOWN, DOWN, DOWN, None, DOWN, DOWN, DOWN, DOWN):
        bench.call(error)
    assert bench.circuit.state == "closed"

    bench.call(DOWN)

    assert bench.circuit.state == "open"
    with pytest.raises(CircuitOpenError, match="5 failures in a row") as raised:
        bench.circuit.admit()
    assert raised.value.failover
    assert not raised.value.retryable


def test_a_rate_of_failures_opens_it() -> None:
    """Half of at least twenty calls, never more than four in a row."""
    bench = Bench()
    for number in range(19):
        bench.call(DOWN if number % 2 else None)
    assert bench.circuit.state == "closed"

    bench.call(DOWN)

    assert bench.circuit.state == "open"


def test_two_failures_of_five_are_noticed() -> None:
    """Never more than one in a row, which a counter of those in a row never sees."""
    bench = Bench()
    for _ in range(4):
        for error in (DOWN, None, DOWN, None, None):
            if bench.circuit.state == "closed":
                bench.call(error)

    assert bench.circuit.state == "open"


def test_one_failure_of_four_is_lived_with() -> None:
    """A retry or the next store makes up for it."""
    bench = Bench()
    for number in range(400):
        bench.call(None if number % 4 else DOWN)

    assert bench.circuit.state == "closed"


def test_the_time_of_day_has_no_effect() -> None:
    """Whoever sets the clock opens, closes and wedges nothing."""

    class NoTimeOfDay(FakeClock):
        def time(self) -> float:
            raise AssertionError("looked at the time of day")

    bench = Bench()
    bench.circuit = Circuit(BreakerPolicy(), lambda *_: None, NoTimeOfDay())
    bench.clock = bench.circuit._clock
    bench.opened()
    for _ in range(3):
        bench.clock.advance(3)
        bench.call()

    assert bench.circuit.state == "closed"


def test_what_is_long_past_does_not_count() -> None:
    """The window slides."""
    bench = Bench(failures=1000)
    for _ in range(15):
        bench.call(DOWN)
    bench.clock.advance(11)
    for number in range(25):
        bench.call(None if number % 5 else DOWN)

    assert bench.circuit.state == "closed"


def test_slow_calls_open_it() -> None:
    """Sixty per cent slow, though every one succeeds."""
    bench = Bench(slow=0.5, window=100)
    for _ in range(8):
        bench.call()
    for _ in range(12):
        bench.call(seconds=0.6)

    assert bench.circuit.state == "open"
    assert "slow" in bench.changes[-1][1]


def test_a_stop_of_this_process_does_not_make_a_store_slow() -> None:
    """A collection of 0.4 s: whatever was under way took as long, all of it at once."""
    bench = Bench()
    for _ in range(100):
        bench.call(seconds=0.002)

    for _ in range(3):  # and now and then another one
        bench.together(*[None] * 30, seconds=0.4)
        for _ in range(100):
            bench.call(seconds=0.002)

    assert bench.circuit.state == "closed"


def test_many_callers_of_a_slow_store_notice_in_their_second_call() -> None:
    """In the first they cannot know whether it was the store that was stopped."""
    bench = Bench()
    for _ in range(100):
        bench.call(seconds=0.002)

    bench.together(*[None] * 16, seconds=0.4)
    assert bench.circuit.state == "closed"
    bench.together(*[None] * 16, seconds=0.4)

    assert bench.circuit.state == "open"


def test_slow_is_measured_against_the_usual() -> None:
    """Without a limit of its own: four times the median, and 250 ms at least."""
    bench = Bench(window=1000)
    for _ in range(30):
        bench.call(seconds=0.2)
    assert bench.circuit.state == "closed"
    bench.clock.advance(1001)
    for _ in range(20):
        bench.call(seconds=1.0)

    assert bench.circuit.state == "open"


def test_quick_calls_of_before_do_not_make_up_for_slow_ones() -> None:
    """A second of a busy day is worth a minute of what a slow store can answer."""
    bench = Bench()
    for _ in range(1000):
        bench.call(seconds=0.002)
    for _ in range(12):
        assert bench.circuit.state == "closed"
        bench.call(seconds=0.302)

    assert bench.circuit.state == "open"
    assert "60% of the last 20 calls were slow" in bench.circuit.reason


def test_what_is_slow_is_learned_from_what_is_usual() -> None:
    """A fifth of a second is slow where two milliseconds are usual, not elsewhere."""
    quick, far = Bench(), Bench()
    for bench, usual in ((quick, 0.002), (far, 0.06)):
        for _ in range(600):
            bench.call(seconds=usual)
        for _ in range(40):
            if bench.circuit.state == "closed":
                bench.call(seconds=usual + 0.17)

    assert quick.circuit.state == "open"
    assert far.circuit.state == "closed"


def test_some_slow_calls_are_lived_with() -> None:
    """Half of them: it takes more than every second one."""
    bench = Bench()
    for number in range(400):
        bench.call(seconds=0.4 if number % 2 else 0.002)

    assert bench.circuit.state == "closed"


def test_slow_calls_are_few_and_far_between() -> None:
    """Twenty in ten seconds there must be."""
    bench = Bench()
    for _ in range(1000):
        bench.call(seconds=0.002)
    for _ in range(100):
        bench.call(seconds=0.302)
        bench.clock.advance(1)

    assert bench.circuit.state == "closed"


def test_a_burst_of_large_objects_is_not_slow() -> None:
    """They have time to come; one that brings little has not."""
    large, small = Bench(), Bench()
    for bench, size in ((large, 16 * MIB), (small, 100_000)):
        for _ in range(1000):
            bench.call(seconds=0.002)
        for _ in range(100):
            if bench.circuit.state == "closed":
                permit = bench.circuit.admit()
                bench.clock.advance(0.5)
                bench.circuit.settle(permit, None, size=size)

    assert large.circuit.state == "closed"
    assert small.circuit.state == "open"


def test_two_calls_in_vain_together_open_it() -> None:
    """Of a black hole each caller pays one round, not those that five in a row take."""
    bench = Bench()
    bench.call()
    bench.clock.advance(1)
    bench.together(DOWN, DOWN)

    assert bench.circuit.state == "open"
    assert "nothing was answered" in bench.circuit.reason


@pytest.mark.parametrize(("alive", "state"), [(0.04, "open"), (0.06, "closed")])
def test_calls_that_began_just_before_it_died_are_in_vain(alive, state) -> None:
    """Under way are as many calls as there are callers, some older than an answer."""
    bench = Bench()
    quick, *lost = (bench.circuit.admit() for _ in range(3))
    bench.clock.advance(alive)
    bench.circuit.settle(quick, None)
    bench.clock.advance(0.5 - alive)
    for number, permit in enumerate(lost):
        bench.circuit.settle(permit, DOWN, about=number)

    assert bench.circuit.state == state


def test_one_caller_pays_twice() -> None:
    """Nobody else is there to wait beside them."""
    bench = Bench()
    bench.together(DOWN)
    assert bench.circuit.state == "closed"
    permit = bench.circuit.admit()
    bench.clock.advance(0.5)
    bench.circuit.settle(permit, DOWN, about="another object")

    assert bench.circuit.state == "open"


@pytest.mark.parametrize(
    "answer",
    [None, NotFoundError("x"), ThrottledError("slow down"), DeniedError("this one")],
    ids=["found", "absent", "throttled", "denied"],
)
def test_an_answer_is_no_silence(answer) -> None:
    """Whatever it is: what waited at the same time may be to blame itself."""
    bench = Bench()
    bench.together(DOWN, answer, DOWN, DOWN)

    assert bench.circuit.state == "closed"


def test_one_object_in_vain_closes_nothing_to_others() -> None:
    """However many wait for it."""
    bench = Bench()
    permits = [bench.circuit.admit() for _ in range(4)]
    bench.clock.advance(0.5)
    for permit in permits:
        bench.circuit.settle(permit, DOWN, about="the same")

    assert bench.circuit.state == "closed"


def test_callers_in_a_hurry_are_no_silence() -> None:
    """They might have been answered, had they waited."""
    bench = Bench()
    bench.together(*[DeadlineError("their time is up")] * 4)

    assert bench.circuit.state == "closed"


def test_what_was_refused_is_no_silence() -> None:
    """It costs nobody a timeout, and five say so."""
    bench = Bench()
    bench.together(*[DOWN] * 4, seconds=0.01)

    assert bench.circuit.state == "closed"


def test_a_store_s_objects_are_told_apart() -> None:
    """By the store that is asked: reads, writes and deletes of two that hang."""
    clock = FakeClock()
    child = FaultStore(MemoryStore(), latency=0.5, clock=clock)
    store = BreakerStore(child, clock=clock)
    child.down()
    for call, circuit in ((store.stat, store.reading), (store.delete, store.writing)):
        for width in (1, 1, 1, 2):
            assert circuit.state == "closed"
            with pytest.raises(UnavailableError):
                call(KEY._replace(width=width))
        assert circuit.state == "open"
    store = BreakerStore(child, clock=clock)
    for width in (1, 1, 1, 2):
        assert store.reading.state == "closed"
        with pytest.raises(UnavailableError):
            store.get(KEY._replace(width=width))
    assert store.reading.state == "open"


@pytest.mark.parametrize(("size", "state"), [(16 * MIB, "closed"), (10, "open")])
def test_a_store_s_large_objects_have_time(size, state) -> None:
    """As their bodies say how large they are."""
    clock = FakeClock()
    child = FaultStore(MemoryStore(), clock=clock)
    store = BreakerStore(child, clock=clock)
    child.child.put(KEY, Body.of(b"x" * size))
    for latency in (0.0,) * 20 + (0.45,) * 12:
        child.latency = latency
        store.get(KEY)

    assert store.reading.state == state


def test_a_silence_is_soon_forgotten() -> None:
    """Two lone calls, a minute apart, are two accidents."""
    bench = Bench()
    bench.together(DOWN)
    bench.clock.advance(60)
    permit = bench.circuit.admit()
    bench.clock.advance(0.5)
    bench.circuit.settle(permit, DOWN, about="another object")

    assert bench.circuit.state == "closed"


@pytest.mark.parametrize(
    "error",
    [
        NotFoundError("x"),
        InvalidError("x"),
        ConflictError("x"),
        CorruptError("x"),
        UnavailableError("no descriptors", local=True),
        DeadlineError("the caller was in a hurry"),
        TypeError("a bug"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_not_the_stores_fault_never_opens_it(error) -> None:
    """Absence, bad requests and trouble of our own."""
    bench = Bench()
    for _ in range(100):
        bench.call(error)

    assert bench.circuit.state == "closed"


def test_a_refusal_opens_it_at_once() -> None:
    """Nobody makes a bucket between two calls."""
    bench = Bench()
    bench.call(MisconfiguredError("no such bucket"))

    assert bench.circuit.state == "open"


def test_one_object_that_is_denied_does_not_close_the_store() -> None:
    """S3 says so of every missing object to whoever may not list."""
    bench = Bench()
    for number in range(100):
        bench.call(None if number % 3 else DeniedError("this one"))
    assert bench.circuit.state == "closed"
    bench.call()
    for _ in range(5):
        bench.call(DeniedError("wrong credentials"))

    assert bench.circuit.state == "open"


def test_large_writes_are_not_slow_ones() -> None:
    """Originals after thumbnails take their time, and that is no illness."""
    child, clock = FaultStore(MemoryStore()), FakeClock()
    store = BreakerStore(child, clock=clock)
    circuit = store.writing
    for seconds in (0.02,) * 50 + (0.45,) * 50:
        permit = circuit.admit()
        clock.advance(seconds)
        circuit.settle(permit, None)

    assert circuit.state == "closed"


def test_throttling_counts_half() -> None:
    """A store that asks for less still works."""
    bench = Bench(failures=1000)
    for number in range(40):
        bench.call(ThrottledError("slow down") if number % 2 else None)

    assert bench.circuit.state == "closed"


def test_a_store_of_several_that_knows_of_none_is_not_to_blame() -> None:
    """Whoever asks for what is not there in an outage would close it to all others."""
    down, absent = UnavailableError("down"), NotFoundError("none")

    half = InconclusiveError("not every store could answer", {"us": down, "eu": absent})
    none = InconclusiveError("not every store could answer", {"us": down, "eu": down})

    assert outcome_of(half) == "neutral"
    assert outcome_of(none) == "failed"


def test_a_slow_call_that_met_the_deadline_counts() -> None:
    """A black hole shows itself to callers in a hurry, too."""
    assert outcome_of(DeadlineError("x"), slow=True) == "failed"
    assert outcome_of(DeadlineError("x"), slow=False) == "neutral"


def test_one_probe_at_a_time() -> None:
    """Of sixteen callers one is let through."""
    bench = Bench().opened()
    bench.clock.advance(2)
    gate = threading.Barrier(16)

    def ask(_: int) -> bool:
        gate.wait()
        try:
            bench.circuit.admit()
        except CircuitOpenError:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(ask, range(16))) == 1


def test_three_probes_in_a_row_close_it() -> None:
    """And an event for each change."""
    bench = Bench().opened()
    for state in ("probing", "probing", "closed"):
        bench.clock.advance(2)
        bench.call()
        assert bench.circuit.state == state

    assert [change[0] for change in bench.changes] == ["open", "probing", "closed"]


def test_a_failed_probe_opens_it_for_twice_as_long() -> None:
    """Doubling, up to a limit, give or take a tenth."""
    bench = Bench(open=1, open_limit=4).opened()
    for seconds in (1, 2, 4, 4):
        assert 0.9 * seconds <= bench.stays_open() <= 1.1 * seconds + 0.01
        bench.circuit.settle(bench.circuit.admit(), DOWN)
        assert bench.circuit.state == "open"


def test_a_long_calm_is_forgiven() -> None:
    """After five minutes closed the next opening is short again."""
    bench = Bench(open=1, open_limit=64).opened()
    for _ in range(3):
        bench.circuit.settle(bench.probing(), DOWN)
    for _ in range(3):
        bench.clock.advance(100)
        bench.call()
    bench.clock.advance(301)
    bench.opened()

    assert bench.stays_open() <= 1.2


def test_a_lost_probe_is_replaced() -> None:
    """A caller that died must not wedge it."""
    bench = Bench(probe_lease=10).opened()
    bench.probing()
    with pytest.raises(CircuitOpenError):
        bench.circuit.admit()
    bench.clock.advance(10)

    assert bench.circuit.admit().probe


def test_a_child_process_does_not_wait_for_its_parents_probe() -> None:
    """A server that forks while a region is being looked at."""
    bench = Bench().opened()
    bench.probing()

    pid = os.fork()
    if pid == 0:  # the child
        status = 1
        try:
            status = 0 if bench.circuit.admit().probe else 2
        finally:
            os._exit(status)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    with pytest.raises(CircuitOpenError):
        bench.circuit.admit()


def test_a_probe_that_was_replaced_does_not_make_room_for_a_third() -> None:
    """Its late result says nothing about the one that is under way."""
    bench = Bench(probe_lease=10).opened()
    lost = bench.probing()
    bench.clock.advance(10)
    bench.circuit.admit()

    bench.circuit.settle(lost, InvalidError("x"))

    with pytest.raises(CircuitOpenError):
        bench.circuit.admit()


def test_late_results_are_ignored() -> None:
    """A call from before the opening says nothing about now."""
    bench = Bench()
    late = bench.circuit.admit()
    bench.opened()
    bench.clock.advance(2)
    probe = bench.circuit.admit()
    bench.circuit.settle(late, DOWN)
    assert bench.circuit.state == "probing"
    bench.circuit.settle(late, None)
    bench.circuit.settle(probe, None)

    assert bench.circuit.state == "probing"


def test_late_failures_do_not_open_it_again() -> None:
    """Timeouts of an outage come in when the store is back and has been found well."""
    bench = Bench()
    late = [bench.circuit.admit() for _ in range(20)]
    bench.opened()
    bench.clock.advance(2)
    for _ in range(3):
        bench.call()
    assert bench.circuit.state == "closed"

    for permit in late:
        bench.circuit.settle(permit, DOWN)

    assert bench.circuit.state == "closed"


def test_a_neutral_probe_leaves_the_place_to_another() -> None:
    """It neither closes nor opens."""
    bench = Bench().opened()
    bench.circuit.settle(bench.probing(), InvalidError("x"))

    assert bench.circuit.state == "probing"
    assert bench.circuit.admit().probe


def test_reading_and_writing_are_judged_apart() -> None:
    """A full disk can still be read."""
    child = FaultStore(MemoryStore())
    store = BreakerStore(child)
    store.put(KEY, Body.of(b"x"))
    child.fail("put", "full")
    with pytest.raises(StoreError):
        store.put(KEY, Body.of(b"y"))

    with pytest.raises(CircuitOpenError):
        store.put(KEY, Body.of(b"y"))
    assert store.get(KEY).read() == b"x"


def test_calls_do_not_wait_for_each_other() -> None:
    """Nothing runs under its lock: a hung call stalls nobody."""
    child = FaultStore(MemoryStore())
    store = BreakerStore(child)
    store.put(KEY, Body.of(b"x"))
    with ThreadPoolExecutor(1) as threads, child.pause("get") as hung:
        waiting = threads.submit(store.get, KEY)
        hung.wait()
        assert store.get(KEY).read() == b"x"
        hung.release()
        waiting.result()


def test_whoever_has_nobody_else_may_ask_a_slow_store() -> None:
    """Any number at once, for it answers; not any more once it fails, too."""
    bench = Bench(open=60)
    bench.circuit.find_slow(0.1)
    for _ in range(3):
        permits = [bench.circuit.admit(trickle=True) for _ in range(8)]
        for permit in permits:
            bench.circuit.settle(permit, None)
    with pytest.raises(CircuitOpenError) as refused:
        bench.circuit.admit()
    assert refused.value.slow

    hurried = [bench.circuit.admit(trickle=True) for _ in range(8)]
    bench.clock.advance(0.3)
    for permit in hurried:
        bench.circuit.settle(permit, DeadlineError("their time is up"))
    assert bench.circuit.slow
    for _ in range(BreakerPolicy().failures):
        bench.circuit.settle(bench.circuit.admit(trickle=True), DOWN)
    bench.circuit.admit(trickle=True)
    with pytest.raises(CircuitOpenError) as refused:
        bench.circuit.admit(trickle=True)
    assert not refused.value.slow


def test_whoever_has_nobody_else_may_ask_beside_a_probe() -> None:
    """A slow store is asked in any case; others wait for what the probe finds."""
    bench = Bench()
    bench.circuit.find_slow(0.1)
    assert bench.probing().probe

    assert not bench.circuit.admit(trickle=True).probe
    with pytest.raises(CircuitOpenError):
        bench.circuit.admit()


@pytest.mark.parametrize(
    "options",
    [{"failures": 0}, {"ratio": 0}, {"slow_ratio": 1.5}, {"open": 5, "open_limit": 1}],
)
def test_values_out_of_range_are_mistakes(options) -> None:
    """Told when it is configured."""
    with pytest.raises(ConfigError, match=next(reversed(options))):
        BreakerStore(MemoryStore(), **options)


def test_an_answer_ends_the_silences_before_it() -> None:
    """Two in vain, with an answer between them, are two objects' own trouble."""
    bench = Bench()
    bench.together(DOWN)
    bench.call()
    bench.clock.advance(0.1)
    permit = bench.circuit.admit()
    bench.clock.advance(0.5)
    bench.circuit.settle(permit, DOWN, about="another")

    assert bench.circuit.state == "closed"


def test_an_error_that_took_its_time_is_a_silence() -> None:
    """A gateway's 504 costs its callers what no answer does."""
    bench = Bench()
    bench.together(UnavailableError("504"), UnavailableError("500"), seconds=1.0)

    assert bench.circuit.state == "open"


def test_the_calls_of_a_busy_past_do_not_water_down_the_present() -> None:
    """Two of five fail now; that a thousand did not, a window ago, is no comfort."""
    bench = Bench()
    for _ in range(1000):
        bench.call()
    bench.clock.advance(bench.circuit.policy.window + 1)
    for number in range(20):
        if bench.circuit.state == "closed":
            bench.call(DOWN if number % 5 in (0, 2) else None)

    assert bench.circuit.state == "open"


def test_the_failures_of_a_bad_past_do_not_count() -> None:
    """Those of before are gone with their calls: one of four is lived with again."""
    bench = Bench()
    for number in range(19):
        bench.call(DOWN if number % 2 else None)
    bench.clock.advance(bench.circuit.policy.window + 1)
    for number in range(60):
        bench.call(None if number % 4 else DOWN)

    assert bench.circuit.state == "closed"


def test_whoever_has_nobody_else_waits_for_the_probe() -> None:
    """It is finding out already, and a store that is down helps nobody."""
    bench = Bench().opened()
    bench.probing()

    with pytest.raises(CircuitOpenError, match="another call is the probe"):
        bench.circuit.admit(trickle=True)


class CircuitMachine(RuleBasedStateMachine):
    """Whatever happens in whatever order, the invariants of the circuit hold."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(open=1, open_limit=8)
        self.permits: list[Permit] = []
        self.probes: list[tuple[Permit, float]] = []
        self.answered = -1.0
        self.vain: dict[int, float] = {}  # by object, when the call ended

    @rule()
    def admit(self) -> None:
        circuit, now = self.bench.circuit, self.bench.clock.monotonic()
        was, again = circuit.state, circuit._open_until
        refuses = circuit.refuses()
        try:
            permit = circuit.admit()
        except CircuitOpenError:
            assert was != "closed"
            assert refuses
            return
        assert not refuses
        assert not (was == "open" and now < again)
        self.permits.append(permit)
        if permit.probe:
            lease = circuit.policy.probe_lease
            for other, since in self.probes:
                alive = other.generation == permit.generation and other in self.permits
                assert not (alive and now < since + lease)
            self.probes.append((permit, now))

    @precondition(lambda self: self.permits)
    @rule(
        pick=st.integers(0, 100),
        error=st.sampled_from([None, DOWN, DOWN, DeniedError("x"), InvalidError("x")]),
        about=st.integers(0, 2),
    )
    def settle(self, pick: int, error: StoreError | None, about: int) -> None:
        permit = self.permits.pop(pick % len(self.permits))
        circuit = self.bench.circuit
        before = circuit.state
        stale = permit.generation != circuit._generation
        circuit.settle(permit, error, about=about)
        if stale:
            assert circuit.state == before
        elif before == "closed":
            self._judge(permit, error, about)
        elif circuit.state == "closed":
            self.vain.clear()

    def _judge(self, permit: Permit, error: StoreError | None, about: int) -> None:
        """Two objects waited for, and nothing else, is what silence is."""
        circuit, now = self.bench.circuit, self.bench.clock.monotonic()
        if error is None or isinstance(error, DeniedError):
            self.answered = now
            self.vain.clear()
        vain = error is DOWN and now - permit.started >= 0.25
        moment = permit.started + 0.1 * (now - permit.started)
        if vain and moment > self.answered:
            self.vain[about] = now
        recent = [ended for ended in self.vain.values() if ended >= now - 10]
        if len(recent) > 1:
            assert circuit.state == "open"
        if circuit.state == "open" and "nothing was" in circuit.reason:
            assert len(recent) > 1
            assert error is DOWN

    @rule(error=st.sampled_from([None, DOWN, InvalidError("x")]))
    def read_a_body(self, error: StoreError | None) -> None:
        """Which breaks, or not, whenever it likes."""
        self.bench.circuit.note(error)

    @rule(seconds=st.floats(0.01, 1))
    def be_found_slow(self, seconds: float) -> None:
        self.bench.circuit.find_slow(seconds)

    @rule()
    def trickle(self) -> None:
        """Somebody has nowhere else to go: one of them at a time."""
        circuit = self.bench.circuit
        was = circuit.state
        with contextlib.suppress(CircuitOpenError):
            permit = circuit.admit(trickle=True)
            assert permit.probe or circuit.slow or was in ("open", "closed")
            if permit.probe:
                circuit.settle(permit, InvalidError("x"))
                return
            circuit.settle(permit, None)
            if was == "closed":
                self._judge(permit, None, 0)
            else:
                assert circuit.state == was

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.bench.clock.advance(seconds)

    @invariant()
    def changes_alternate(self) -> None:
        allowed: dict[str, Callable[[str], bool]] = {
            "closed": lambda after: after == "open",
            "open": lambda after: after == "probing",
            "probing": lambda after: after in ("open", "closed"),
        }
        states = ["closed", *(state for state, _ in self.bench.changes)]
        for before, after in itertools.pairwise(states):
            assert allowed[before](after)

    def teardown(self) -> None:
        """It can always be closed again: nothing wedges."""
        bench = self.bench
        for _ in range(50):
            bench.clock.advance(20)
            with contextlib.suppress(CircuitOpenError):
                bench.call()
        assert bench.circuit.state == "closed"


TestCircuitMachine = CircuitMachine.TestCase
TestCircuitMachine.settings = settings(max_examples=60, deadline=None)


# -- writes --------------------------------------------------------------------


class Writing(Bench):
    """A circuit of writes, which take as long as their bodies."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.circuit = Circuit(
            BreakerPolicy(**options),
            lambda *change: self.changes.append(change),
            self.clock,
            judged="size",
        )

    def write(self, size: int, seconds: float, calls: int = 1) -> None:
        for _ in range(calls):
            if self.circuit.state == "closed":
                permit = self.circuit.admit()
                self.clock.advance(seconds)
                self.circuit.settle(permit, None, size=size)


def test_slow_writes_open_it() -> None:
    """Four times what those of their size usually take; twelve of the last twenty."""
    bench = Writing()
    bench.write(100_000, 0.15, calls=40)
    bench.write(100_000, 0.65, calls=11)
    assert bench.circuit.state == "closed"

    bench.write(100_000, 0.65)

    assert bench.circuit.state == "open"
    assert bench.circuit.slow


def test_originals_after_thumbnails_are_not_slow() -> None:
    """They take as long as they always did, which twenty of them have said."""
    bench = Writing()
    bench.write(10_000, 0.05, calls=40)
    bench.write(50 * MIB, 9.0, calls=40)

    assert bench.circuit.state == "closed"


def test_slow_thumbnails_are_noticed_beside_originals() -> None:
    """What is usual for one size says nothing about another."""
    bench = Writing(window=600)
    bench.write(50 * MIB, 9.0, calls=40)
    bench.write(10_000, 0.05, calls=40)

    bench.write(10_000, 1.0, calls=12)

    assert bench.circuit.state == "open"


def test_a_write_of_half_a_second_is_not_slow() -> None:
    """However quick they usually are: another store would have to be given it, too."""
    bench = Writing()
    bench.write(10_000, 0.01, calls=40)
    bench.write(10_000, 0.45, calls=40)

    assert bench.circuit.state == "closed"


def test_the_patient_ask_a_slow_store_and_not_a_broken_one() -> None:
    """A repair must not give up what is late."""
    slow, broken = Bench(), Bench().opened()
    slow.circuit.find_slow(0.1)

    slow.circuit.settle(slow.circuit.admit(patient=True), None)
    with pytest.raises(CircuitOpenError):
        broken.circuit.admit(patient=True)
