"""A second request when the first takes longer than reads usually do."""

from __future__ import annotations

import itertools
import random
import threading
import time

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.test_control import HandControl
from tests.waiting import until
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.control.decisions import Decision
from tiered_store.deadlines import deadline, remaining
from tiered_store.errors import (
    ConfigError,
    DeadlineError,
    InconclusiveError,
    MisconfiguredError,
    NotFoundError,
    UnavailableError,
)
from tiered_store.events import CircuitChanged
from tiered_store.journals.memory import MemoryJournal
from tiered_store.key import Key
from tiered_store.policies.breaker import BreakerPolicy, CircuitOpenError
from tiered_store.policies.circuit import Circuit
from tiered_store.policies.guard import guard
from tiered_store.policies.hedging import Hedge
from tiered_store.policies.turns import in_turn
from tiered_store.replication.placement import ReadPolicy
from tiered_store.store import Store
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.faults import FaultStore
from tiered_store.testing.recording import Recorder
from tiered_store.tree import label, observe
from tiered_store.workers import Workers
from tiered_store.wrappers.fallback import FallbackStore
from tiered_store.wrappers.hedged import HedgedStore
from tiered_store.wrappers.replicated import ReplicatedStore


KEY = Key("testing", 1, 2, 3, "image/png")


def replicated(stores: dict[str, Store], after: float) -> Store:
    return ReplicatedStore(
        stores, journal=MemoryJournal(), read=ReadPolicy(hedge_after=after)
    )


def fallback(stores: dict[str, Store], after: float) -> Store:
    return FallbackStore(stores, hedge_after=after)


class Regions:
    """Two stores with the same object, which a test holds back."""

    def __init__(self, kind: Callable[..., Store], after: float = 0.01) -> None:
        self.us, self.eu = FaultStore(MemoryStore()), FaultStore(MemoryStore())
        for region in (self.us, self.eu):
            region.child.put(KEY, Body.of(b"x"))
        self.store = kind({"us": self.us, "eu": self.eu}, after)
        label(self.store, "images")
        self.recorder = Recorder()
        observe(self.store, self.recorder)


@pytest.fixture(params=[replicated, fallback], ids=lambda kind: kind.__name__)
def kind(request) -> Callable[..., Store]:
    return request.param


def _mirror(stores: dict[str, Store], after: float | None, policy, **options) -> Store:
    return ReplicatedStore(
        stores,
        journal=MemoryJournal(),
        read=ReadPolicy(hedge_after=after),
        breaker=policy,
        **options,
    )


def _succession(
    stores: dict[str, Store], after: float | None, policy, **options
) -> Store:
    return FallbackStore(stores, hedge_after=after, breaker=policy, **options)


@pytest.fixture(params=[_mirror, _succession], ids=["replicated", "fallback"])
def mirrored(request) -> Callable[..., Store]:
    return request.param


def test_a_late_answer_is_not_waited_for(kind) -> None:
    """The next store has it."""
    regions = Regions(kind)
    with regions.us.hang("get"):
        assert regions.store.get(KEY).read() == b"x"
        until(lambda: regions.us.calls["get"])  # in a thread, which may be late itself

    assert (regions.us.calls["get"], regions.eu.calls["get"]) == (1, 1)


def test_an_answer_in_time_costs_one_request(kind) -> None:
    """Nobody else is asked."""
    regions = Regions(kind, after=60)

    assert regions.store.get(KEY).read() == b"x"
    assert regions.eu.calls["get"] == 0


def test_the_first_may_yet_win(kind) -> None:
    """Whoever answers first, asked late or not."""
    regions = Regions(kind)
    second = regions.eu.hang("get")
    first = regions.us.pause("get")
    opener = threading.Thread(target=lambda: (second.wait(), first.release()))
    opener.start()

    assert regions.store.get(KEY).read() == b"x"
    opener.join(60)
    second.release()


def test_the_loser_is_closed(kind) -> None:
    """Its body is dropped when it comes, and what was opened with it."""
    closed = threading.Event()

    class Held(Body):
        size = 1

        def open(self, offset: int = 0):
            raise AssertionError("nobody wants it")

        def __del__(self) -> None:
            closed.set()

    class Slow(MemoryStore):
        def _get(self, key: Key) -> Body:
            assert release.wait(60)
            return Held()

    release = threading.Event()
    eu = MemoryStore()
    eu.put(KEY, Body.of(b"x"))
    store = kind({"us": Slow(), "eu": eu}, 0.01)

    assert store.get(KEY).read() == b"x"
    release.set()

    assert closed.wait(60)


def test_an_error_of_the_hedge_does_not_count_against_a_hit(kind) -> None:
    """The first is only slow."""
    regions = Regions(kind)
    regions.eu.down()
    first = regions.us.pause("get")
    timer = threading.Timer(0.05, first.release)
    timer.start()

    assert regions.store.get(KEY).read() == b"x"
    timer.join()


def test_an_absence_of_the_hedge_is_not_the_answer(kind) -> None:
    """It is heard, and the first is waited for, which failed in the end."""
    regions = Regions(kind)
    regions.eu.child.delete(KEY)
    first = regions.us.pause("get")
    timer = threading.Timer(0.05, first.release, [lambda: UnavailableError("late")])
    timer.start()

    with pytest.raises(InconclusiveError):
        regions.store.get(KEY)
    timer.join()


def test_all_say_absent_then_it_is(kind) -> None:
    """In whatever order they say so."""
    regions = Regions(kind)
    regions.us.child.delete(KEY)
    regions.eu.child.delete(KEY)

    with pytest.raises(NotFoundError):
        regions.store.get(KEY)


def test_the_deadline_holds_while_both_are_late(kind) -> None:
    """Nobody waits longer than the caller has time."""
    regions = Regions(kind)
    with (
        regions.us.hang("get"),
        regions.eu.hang("get"),
        deadline(0.1),
        pytest.raises(DeadlineError),
    ):
        regions.store.get(KEY)


def test_a_bug_passes_through(kind) -> None:
    """A TypeError is no late answer."""
    regions = Regions(kind, after=60)
    regions.us.fail("get", lambda: TypeError("a bug"))

    with pytest.raises(TypeError):
        regions.store.get(KEY)


def test_hedges_have_a_budget() -> None:
    """Ten at once, then one in twenty: slowness everywhere is not doubled."""
    us, eu = FaultStore(MemoryStore()), FaultStore(MemoryStore())
    for region in (us, eu):
        region.child.put(KEY, Body.of(b"x"))
    store = FallbackStore({"us": us, "eu": eu}, breaker=None, hedge_after=0.001)

    for number in range(10):
        with us.hang("get"):  # so that the second is not too late, ever
            store.get(KEY)
        assert eu.calls["get"] == number + 1
    us.latency = 0.01
    for _ in range(50):
        store.get(KEY)

    assert 10 <= eu.calls["get"] <= 10 + 60 // 20


def test_a_store_that_is_always_late_is_not_asked_any_more() -> None:
    """That is not what hedges are for: its circuit opens, and slow probes keep it."""
    clock = FakeClock()
    us, eu = FaultStore(MemoryStore(), clock=clock), FaultStore(MemoryStore())
    for region in (us, eu):
        region.child.put(KEY, Body.of(b"x"))
    policy = BreakerPolicy(open=0.05, open_limit=0.05)
    store = ReplicatedStore(
        {"us": guard(us, policy, clock), "eu": guard(eu, policy, clock)},
        journal=MemoryJournal(),
        read=ReadPolicy(hedge_after=0.001),
        breaker=None,
        clock=clock,
    )
    label(store, "images")
    recorder = Recorder()
    observe(store, recorder)
    us.latency = 0.03

    for _ in range(200):
        assert store.get(KEY).read() == b"x"
        clock.advance(0.005)

    changes = [event.state for event in recorder.of(CircuitChanged)]
    assert changes[0] == "open"
    assert "closed" not in changes
    assert changes.count("probing") > 5
    assert us.calls["get"] < 100


@pytest.mark.parametrize("hedge_after", [None, 0.005])
@pytest.mark.parametrize("trouble", ["down", "slow", "absent"])
def test_a_slow_store_is_better_than_nobody(
    trouble: str, hedge_after, mirrored
) -> None:
    """Its circuit is open, but it answers, and the next one does not any more."""
    us, eu = FaultStore(MemoryStore()), FaultStore(MemoryStore())
    for region in (us, eu):
        region.child.put(KEY, Body.of(b"x"))
    store = mirrored(
        {"us": us, "eu": eu}, hedge_after, BreakerPolicy(slow=0.01, calls=5, open=60)
    )
    us.latency = 0.02
    while store.children()["us"].reading.state == "closed":
        store.get(KEY)
    if trouble == "down":
        eu.down()
    elif trouble == "slow":
        eu.latency = 0.02
    else:
        eu.child.delete(KEY)

    with ThreadPoolExecutor(4) as readers:
        found = list(readers.map(lambda _: store.get(KEY).read(), range(24)))

    assert found == [b"x"] * 24


def test_a_drained_store_is_not_asked_because_another_is_late(mirrored) -> None:
    """Traffic was moved away from it; it is asked when nobody else can answer."""
    us, eu = FaultStore(MemoryStore()), FaultStore(MemoryStore())
    for region in (us, eu):
        region.child.put(KEY, Body.of(b"x"))
    control = HandControl()
    control.decide(Decision(verb="drain", name="us", by="anna", at=0.0))
    store = mirrored({"us": us, "eu": eu}, 0.001, None, control=control)
    eu.latency = 0.02
    try:
        assert store.get(KEY).read() == b"x"
        assert us.calls["get"] == 0
        eu.down()
        assert store.get(KEY).read() == b"x"
    finally:
        store.close()


def test_a_slow_store_keeps_its_share_of_a_deadline() -> None:
    """Although it was passed over when its turn came."""
    slow = CircuitOpenError("slow")
    slow.slow = True
    seen: list[float] = []

    def ask(name: str) -> str:
        seen.append(remaining() or 0.0)
        if name == "us":
            raise slow
        return name

    with deadline(60):
        list(in_turn(["us", "eu"], ask))

    assert seen[1] < 31


def test_what_is_usual_is_learned_from_the_quickest() -> None:
    """Until anything is known it is a quarter of a second."""
    hedge = Hedge("p95", circuits={}, workers=Workers("test", 4))
    assert hedge.delay("us") == 0.25
    for number in range(100):
        hedge._note("us", 0.0, 0.2 + number / 1000, 0.25)
        hedge._note("eu", 0.0, 0.002 + number / 100_000, 0.25)

    assert 0.002 < hedge.delay("us") < 0.004


def test_what_is_usual_of_a_primary_is_not_learned_from_others() -> None:
    """A last resort that is quick, and old, must not make it one that is slow."""
    us, local = FaultStore(MemoryStore()), FaultStore(MemoryStore())
    us.child.put(KEY, Body.of(b"new"))
    local.child.put(KEY, Body.of(b"old"))
    policy = BreakerPolicy(failures=1, open=0.01, open_limit=0.01)
    store = FallbackStore({"us": us, "local": local}, hedge_after="p95", breaker=policy)
    us.latency = 0.01
    us.down()
    for _ in range(40):
        assert store.get(KEY).read() == b"old"
    us.up()
    while store.children()["us"].reading.state != "closed":
        store.get(KEY)

    found = [store.get(KEY).read() for _ in range(60)]

    assert store.children()["us"].reading.state == "closed"
    assert found.count(b"new") >= 40


def test_one_store_is_asked_again() -> None:
    """By the wrapper: another connection may be quicker."""
    child = FaultStore(MemoryStore())
    child.child.put(KEY, Body.of(b"x"))
    store = HedgedStore(child, after=0.01)

    with child.pause("get"):
        assert store.get(KEY).read() == b"x"

    assert child.calls["get"] == 2
    store.close()


def test_a_hedge_is_no_retry() -> None:
    """An error in time is told at once, one after the second was asked is not."""
    asked: Callable[[], object] = lambda: None  # noqa: E731

    class Second(MemoryStore):
        def _get(self, key: Key) -> Body:
            asked()
            return super()._get(key)

    child = FaultStore(Second())
    child.child.put(KEY, Body.of(b"x"))
    child.fail("get")
    with HedgedStore(child, after=60) as store, pytest.raises(UnavailableError):
        store.get(KEY)
    assert child.calls["get"] == 1

    child = FaultStore(Second())
    child.child.put(KEY, Body.of(b"x"))
    store = HedgedStore(child, after=0.01)
    first = child.pause("get")
    asked = lambda: first.release(lambda: UnavailableError("late"))  # noqa: E731
    assert store.get(KEY).read() == b"x"
    store.close()


def test_a_stop_of_this_process_does_not_make_a_store_slow() -> None:
    """All reads under way are late at once, of a store that is as quick as ever."""
    clock = FakeClock()
    circuit = Circuit(BreakerPolicy(), lambda *_: None, clock)
    hedge = Hedge(
        0.1, circuits={"us": circuit}, workers=Workers("test", 0), clock=clock
    )
    for _ in range(30):
        hedge._note("us", 1.0, 3.0, 0.1)
    assert circuit.state == "closed"

    hedge._note("us", 3.1, 3.4, 0.1)

    assert circuit.state == "open"


@pytest.mark.parametrize("options", [{"after": 0}, {"budget": 0}, {"budget": 2}])
def test_wrong_options_are_named(options: dict[str, float]) -> None:
    """Told when it is configured."""
    with pytest.raises(ConfigError):
        HedgedStore(MemoryStore(), **options)


def some_late(late: float, seed: int) -> tuple[list[float], float]:
    """
    Return what 5000 reads took, sorted, and the share of them that was hedged.

    Two stores answer after some 2 ms; of the first, the share *late* after 200 ms.  The
    time is one of their own.
    """
    chance = random.Random(seed)
    hedge = Hedge("p95", circuits={}, workers=Workers("test", 0))
    took: list[float] = []
    second = 0
    for number in range(6000):
        hedge._tokens.earn()
        seconds = 0.002 * chance.lognormvariate(0, 0.2)
        if number >= 1000 and chance.random() < late:
            seconds = 0.2
        delay = hedge.delay("us")
        hedge._note("us", 0.0, seconds, delay)
        if seconds > delay and hedge._tokens.spend():
            other = 0.002 * chance.lognormvariate(0, 0.2)
            hedge._note("eu", 0.0, other, delay)
            seconds = min(seconds, delay + other)
            second += number >= 1000
        if number >= 1000:
            took.append(seconds)
    return sorted(took), second / 5000


@pytest.mark.parametrize("seed", range(5))
def test_the_budget_is_kept_for_reads_that_are_late(seed: int) -> None:
    """With 3 % of them 99 in 100 take what 95 do, and one more read."""
    took, extra = some_late(0.03, seed)

    assert extra <= 0.053  # and the ten that may be had at once
    assert took[4950] <= 1.1 * (took[4750] + 0.002)
    assert sum(seconds > 0.1 for seconds in took) <= 10


class OneAtATime(Workers):
    """Threads, of which the second begins when the first has ended."""

    def __init__(self) -> None:
        super().__init__("test", 2)
        self.ended = [threading.Event()]
        self.ended[0].set()

    def offer(self, work: Callable[[], None]) -> bool:
        before, ended = self.ended[-1], threading.Event()
        self.ended.append(ended)

        def after() -> None:
            assert before.wait(60)
            work()
            ended.set()

        return super().offer(after)


def test_a_hedge_that_comes_too_late_asks_nobody() -> None:
    """The first has answered while its thread woke up: that is no second request."""
    workers = OneAtATime()
    hedge = Hedge(0.01, circuits={}, workers=workers)
    asked: list[str] = []

    def ask(name: str) -> str:
        asked.append(name)
        if name == "us":
            while len(workers.ended) < 3:  # until the hedge is on its way
                threading.Event().wait(0.001)
        return name

    (answer,) = itertools.islice(hedge.answers(["us", "eu"], ask), 1)
    assert workers.ended[2].wait(60)

    assert answer == ("us", "us")
    assert asked == ["us"]
    assert hedge._tokens.left == 1.0
    workers.close()


def test_a_hedge_that_comes_too_late_is_asked_after_an_error() -> None:
    """What the first said is not enough, whenever the second woke up."""
    workers = OneAtATime()
    hedge = Hedge(0.01, circuits={}, workers=workers)

    def ask(name: str) -> str:
        if name == "us":
            while len(workers.ended) < 3:
                threading.Event().wait(0.001)
            raise NotFoundError("none")
        return name

    answers = dict(hedge.answers(["us", "eu"], ask))

    assert isinstance(answers["us"], NotFoundError)
    assert answers["eu"] == "eu"
    workers.close()


class FastClock(FakeClock):
    """Runs three times as fast as time does: who sleeps wakes up late by it."""

    def monotonic(self) -> float:
        return 3 * time.monotonic()


@pytest.mark.parametrize(("clock", "earlier"), [(FastClock(), 20), (FakeClock(), 0)])
def test_a_hedge_is_begun_as_much_earlier_as_threads_wake_up_late(
    clock: FakeClock, earlier: int
) -> None:
    """So that it is sent when its time has come, and not when somebody is awake."""
    hedge = Hedge(
        0.002, budget=1.0, circuits={}, workers=Workers("test", 2), clock=clock
    )
    for _ in range(20):
        asked = threading.Event()
        ask = {"us": lambda event=asked: event.wait(60), "eu": asked.set}
        list(hedge.answers(["us", "eu"], lambda name, ask=ask: ask[name]()))

    assert hedge._late == pytest.approx(earlier * 5e-6)


def test_without_a_free_thread_nobody_is_asked_early() -> None:
    """The caller would wait for the second and not hear the first."""
    refused = threading.Event()

    class Few(Workers):
        def offer(self, work: Callable[[], None]) -> bool:
            taken = super().offer(work)
            if not taken:
                refused.set()
            return taken

    workers = Few("test", 1)
    hedge = Hedge(0.01, circuits={}, workers=workers)
    asked: list[str] = []

    def ask(name: str) -> str:
        asked.append(name)
        if name == "us":
            assert refused.wait(60)
        return name

    (answer,) = itertools.islice(hedge.answers(["us", "eu"], ask), 1)

    assert answer == ("us", "us")
    assert asked == ["us"]
    assert hedge._tokens.left == 1.0
    workers.close()


def test_a_store_is_not_slow_for_being_a_little_later_than_usual() -> None:
    """Where all reads take two milliseconds, 95 in 100 take hardly longer."""
    circuit = Circuit(BreakerPolicy(), lambda *_: None)
    hedge = Hedge("p95", circuits={"us": circuit}, workers=Workers("test", 0))

    def note(name: str, seconds: float) -> None:
        for number in range(100):
            hedge._note(name, number, number + seconds, hedge.delay("us"))

    note("eu", 0.002)
    note("us", 0.003)
    assert circuit.state == "closed"

    note("us", 0.02)
    assert circuit.state == "open"


def open_circuit() -> Circuit:
    """Return one that stays open for long."""
    policy = BreakerPolicy(open=3600.0, open_limit=3600.0)
    circuit = Circuit(policy, lambda *_: None)
    circuit.settle(circuit.admit(), MisconfiguredError("no such bucket"))
    assert circuit.state == "open"
    return circuit


def test_a_far_store_is_not_slow_for_being_asked_early() -> None:
    """It is as far as ever, and quicker than one that is late."""
    clock = FakeClock()
    circuit = Circuit(BreakerPolicy(), lambda *_: None, clock)
    workers = Workers("test", 4)
    hedge = Hedge(
        0.001, budget=1.0, circuits={"eu": circuit}, workers=workers, clock=clock
    )

    for _ in range(40):
        answered = threading.Event()

        def ask(name: str, answered: threading.Event = answered) -> str:
            if name == "us":
                assert answered.wait(60)
            else:
                clock.advance(0.08)
            return name

        assert next(hedge.answers(["us", "eu"], ask)) == ("eu", "eu")
        answered.set()

    assert circuit.state == "closed"
    workers.close()


def test_the_quickest_that_is_down_does_not_say_what_is_usual() -> None:
    """Or the far region that is left would be found slow in every read."""
    hedge = Hedge("p95", circuits={"us": open_circuit()}, workers=Workers("test", 0))
    near = Hedge("p95", circuits={}, workers=Workers("test", 0))
    for one in (hedge, near):
        for _ in range(100):
            one._note("us", 0.0, 0.002, 0.25)
            one._note("eu", 0.0, 0.08, 0.25)

    assert hedge.delay("eu") >= 0.08
    assert near.delay("eu") < 0.004


def test_whose_circuit_is_open_is_not_asked_early() -> None:
    """It would use up the budget to say so; the next one is."""
    workers = Workers("test", 4)
    hedge = Hedge(0.001, circuits={"eu": open_circuit()}, workers=workers)
    asked: list[str] = []
    answered = threading.Event()

    def ask(name: str) -> str:
        asked.append(name)
        if name == "us":
            assert answered.wait(60)
        return name

    assert next(hedge.answers(["us", "eu", "asia"], ask)) == ("asia", "asia")
    answered.set()

    assert asked == ["us", "asia"]
    workers.close()


def test_whose_circuit_is_open_takes_no_thread() -> None:
    """A read beside a region that is down would change threads for nothing."""
    workers = Workers("test", 4)
    hedge = Hedge(60.0, circuits={"us": open_circuit()}, workers=workers)
    here = threading.current_thread()
    asked: dict[str, bool] = {}

    def ask(name: str) -> str:
        asked[name] = threading.current_thread() is here
        if name == "us":
            raise CircuitOpenError("not asked")
        return name

    answers = [answer for _, answer in hedge.answers(["us", "eu"], ask)]

    assert isinstance(answers[0], CircuitOpenError)
    assert answers[1] == "eu"
    assert asked == {"us": True, "eu": False}
    workers.close()
