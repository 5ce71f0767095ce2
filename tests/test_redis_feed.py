"""Hearing what other processes write, knowing when one did not, and being woken."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import uuid
import weakref

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.servers.redis import (
    ClusterSetup,
    RedisServer,
    RedisServers,
    SentinelSetup,
)
from tests.tiers import Listener, content, entry
from tests.waiting import longer_and_longer, succeeds, until
from tiered_store.clients.feed import Feed
from tiered_store.deadlines import deadline
from tiered_store.errors import UnavailableError
from tiered_store.key import Key
from tiered_store.tiers.redis import RedisTier


pytestmark = pytest.mark.servers

KEY = Key("testing", 1234, 405, 640, "image/jpeg")
SECONDS = 60.0

Tiers = Callable[..., RedisTier]


@pytest.fixture
def tiers(redis_server: RedisServer) -> Iterator[Tiers]:
    """Make tiers that hear each other, and no other test's."""
    with_prefix = {"prefix": f"{uuid.uuid4().hex}:"}
    made: list[RedisTier] = []

    def make(url: str | None = redis_server.url, **options: Any) -> RedisTier:
        # or a machine that is busy for a moment has a gap that nobody made
        patient = {"timeout": 20.0, "heartbeat": 20.0, "breaker": None}
        made.append(RedisTier(url, **{**with_prefix, **patient, **options}))
        return made[-1]

    yield make
    for tier in made:
        tier.close()


@pytest.fixture
def own(redis_servers: RedisServers) -> RedisServer:
    """A server that a test may harm."""
    return redis_servers()


def listening(tier: RedisTier) -> Listener:
    """Return a listener of *tier* that misses nothing from now on."""
    listener = Listener()
    tier.subscribe(listener)
    until(lambda: succeeds(lambda: tier.look(KEY)))
    until(lambda: tier.online)
    until(lambda: listener.heard)
    listener.heard.clear()
    return listener


def hears(listener: Listener, *expected: Key | str) -> None:
    """Wait for what *listener* is to be told, and check that it is no more."""
    until(lambda: len(listener.heard) >= len(expected))
    assert listener.heard == list(expected)
    listener.heard.clear()


# -- what is told --------------------------------------------------------------


def test_nothing_is_believed_before_everything_is_heard(tiers: Tiers) -> None:
    """The first acknowledgement ends a gap like any other."""
    tier, listener = tiers(), Listener()
    tier.subscribe(listener)
    assert listener.heard == []
    assert not tier.online

    tier.look(KEY)

    hears(listener, "torn", "mended")
    until(lambda: tier.online)
    assert threading.get_ident() not in listener.threads


@pytest.mark.parametrize("protocol", [2, 3])
def test_writes_of_others_are_told(
    tiers: Tiers, redis_server: RedisServer, protocol: int
) -> None:
    """Both ends of each, and whatever drops a copy."""
    listener = listening(tiers(f"{redis_server.url}?protocol={protocol}"))
    other = tiers()
    elsewhere = KEY._replace(object_type="a/b.c", object_id=-5, mimetype="x/y+z")

    claim = other.begin(KEY, SECONDS)
    hears(listener, KEY)
    other.end(claim, entry(b"new"))
    hears(listener, KEY)
    other.end(other.begin(elsewhere, SECONDS), None)
    hears(listener, elsewhere, elsewhere)
    other.delete(KEY)
    hears(listener, KEY)
    other.leave(other.begin(KEY, SECONDS))
    hears(listener, KEY, KEY)


@pytest.mark.parametrize("mode", ["sentinel", "cluster"])
def test_writes_of_others_are_told_wherever_they_happen(
    mode: str,
    tiers: Tiers,
    sentinel_setup: SentinelSetup,
    cluster_setup: ClusterSetup,
) -> None:
    """In a Cluster every node passes on what any of them is told."""
    options: dict[str, Any] = {"mode": mode, "url": cluster_setup.url}
    if mode == "sentinel":
        options |= {"url": None, "sentinels": sentinel_setup.addresses}
        options |= {"service": sentinel_setup.service}
    listener = listening(tiers(**options))
    other = tiers(**options)

    for number in range(12):
        key = KEY._replace(object_id=number)
        other.end(other.begin(key, SECONDS), None)
        hears(listener, key, key)


def test_what_is_no_write_is_not_told(tiers: Tiers) -> None:
    """A fill changes nothing for who has a copy."""
    listener = listening(tiers())
    other = tiers()
    other.put(KEY, entry(b"old"))
    other.look(KEY)
    other.fail(KEY, other.lease(KEY, SECONDS, refresh=True).token, absent=False)
    other.delete(KEY)

    hears(listener, KEY)


def test_its_own_writes_are_no_news_to_a_process(tiers: Tiers) -> None:
    """It would drop what it has just written; unless two caches share one tier."""
    tier, other = tiers(), tiers()
    listener = listening(tier)
    tier.end(tier.begin(KEY, SECONDS), entry(b"mine"))
    other.delete(KEY)
    hears(listener, KEY)

    second = listening(tier)
    tier.delete(KEY)
    hears(listener, KEY)
    hears(second, KEY)


def test_who_comes_late_is_told_how_it_stands(tiers: Tiers) -> None:
    """Nothing is being missed already."""
    tier = tiers()
    listening(tier)
    late = Listener()

    tier.subscribe(late)

    assert late.heard == ["mended"]


def test_a_listener_is_held_by_others(tiers: Tiers) -> None:
    """A cache that nobody uses any more goes, and the others are still told."""
    tier, other = tiers(), tiers()
    first, second = listening(tier), listening(tier)
    gone = weakref.ref(first)
    del first
    gc.collect()

    other.delete(KEY)

    hears(second, KEY)
    assert gone() is None


def test_a_listener_that_fails_fails_alone(
    tiers: Tiers, caplog: pytest.LogCaptureFixture
) -> None:
    """The others must hear it all the same, and the feed goes on."""

    class Broken(Listener):
        def overtaken(self, key: Key) -> None:
            raise ValueError("a bug")

    tier, other, broken = tiers(), tiers(), Broken()
    tier.subscribe(broken)
    listener = listening(tier)

    other.end(other.begin(KEY, SECONDS), None)

    hears(listener, KEY, KEY)
    assert "cannot be told" in caplog.text


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"i",
        b"i0123",
        b"i" + b"0" * 16 + b"no/name",
        b"\xff\xfe",
        b"zzz",
        b"f",
        b"a",
    ],
)
def test_what_others_say_on_the_channel_is_passed_over(
    tiers: Tiers, redis_server: RedisServer, message: bytes
) -> None:
    """Nobody of ours says it, and it must not stop the feed."""
    tier, other = tiers(), tiers()
    listener = listening(tier)
    redis_server.ask("PUBLISH", f"{tier.prefix}feed", message)

    other.delete(KEY)

    hears(listener, KEY)


# -- gaps ----------------------------------------------------------------------


def test_a_feed_that_is_cut_is_a_gap(own: RedisServer, tiers: Tiers) -> None:
    """Nobody knows what was said meanwhile; redis-py would not say a word."""
    tier, other = tiers(own.url), tiers(own.url)
    listener = listening(tier)
    for _ in range(5):
        own.ask("CLIENT", "KILL", "TYPE", "pubsub")
        until(lambda: "mended" in listener.heard)
        hears(listener, "torn", "torn", "mended")
        until(lambda: tier.online)

    other.delete(KEY)

    hears(listener, KEY)


def test_a_restart_is_a_gap(own: RedisServer, tiers: Tiers) -> None:
    """Torn when it goes, mended when it is back."""
    tier = tiers(own.url)
    listener = listening(tier)

    own.process.kill()
    until(lambda: listener.heard)
    assert listener.heard == ["torn"]
    assert not tier.online
    own.process.start()

    hears(listener, "torn", "torn", "mended")


@pytest.mark.timeout(60)
def test_a_server_that_falls_silent_is_a_gap(own: RedisServer, tiers: Tiers) -> None:
    """After three heartbeats; and nothing ends that somebody else has to end."""
    tier = tiers(own.url, timeout=0.2, heartbeat=0.1)
    listener = listening(tier)

    own.process.freeze()
    until(lambda: listener.heard[-1:] == ["torn"])
    own.process.thaw()

    until(lambda: listener.heard[-2:] == ["torn", "mended"] and tier.online)


def test_a_short_silence_is_none(own: RedisServer, tiers: Tiers) -> None:
    """A slow command of somebody else costs nobody their copies."""
    other = tiers(own.url)
    until(lambda: other.look(KEY) and other.online)
    for heartbeat in longer_and_longer(0.4, 3):
        tier = tiers(own.url, timeout=0.05, heartbeat=heartbeat)
        listener = listening(tier)
        own.process.freeze()
        feed, enough = tier._feed, tier._feed._beats + 2  # so that one was in vain
        until(lambda feed=feed, enough=enough: feed._beats >= enough)
        own.process.thaw()
        if not listener.heard:  # else it was not short, as this thread was late
            break

    other.delete(KEY)

    hears(listener, KEY)


def test_everything_forgotten_is_a_gap(tiers: Tiers) -> None:
    """Whatever is kept nearer is of the old epoch."""
    tier, other = tiers(heartbeat=60.0), tiers()
    listener = listening(tier)

    other.clear()

    until(lambda: "mended" in listener.heard)
    assert listener.heard[0] == "torn"


def test_a_fork_hears_for_itself(own: RedisServer) -> None:
    """The parent misses nothing; the child believes nothing before it hears."""
    script = f"""
import os, sys, time
from tests.tiers import Listener, entry
from tests.waiting import until
from tiered_store.key import Key
from tiered_store.tiers.redis import RedisTier

KEY = Key("fork", 1, 1, 1, "image/png")
tier, other = [RedisTier({own.url!r}, timeout=20.0, heartbeat=20.0) for _ in range(2)]
listener = Listener()
tier.subscribe(listener)
tier.look(KEY)
until(lambda: tier.online)
assert listener.heard == ["torn", "mended"]
for _ in range(3):
    if not os.fork():
        listener.heard.clear()
        assert not tier.online
        late = Listener()
        tier.subscribe(late)
        assert late.heard == []
        tier.look(KEY)
        until(lambda: tier.online)
        assert listener.heard == ["torn", "torn", "mended"], listener.heard
        other.delete(KEY)
        until(lambda: KEY in listener.heard)
        tier.delete(KEY)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
other.delete(KEY)
until(lambda: len(listener.heard) == 9)
assert listener.heard == ["torn", "mended", *[KEY] * 7], listener.heard
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script],
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path])},
    )

    assert (done.returncode, done.stderr) == (0, b"")  # and the exit did not hang


def test_closing_tells_that_nothing_is_heard_any_more(tiers: Tiers) -> None:
    """Before it returns."""
    tier = tiers()
    listener = listening(tier)
    thread = tier._feed._thread
    assert thread is not None

    tier.close()

    assert listener.heard == ["torn"]
    assert not tier.online
    until(lambda: not thread.is_alive())


# sockets that nobody closes are worth a warning in any program
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_tier_that_nobody_closes_goes_all_the_same(own: RedisServer) -> None:
    """Its thread ends, and its connections with it."""
    tier = RedisTier(own.url, heartbeat=0.05)
    listening(tier)
    thread = tier._feed._thread
    assert thread is not None

    del tier

    def gone() -> bool:
        gc.collect()
        return not thread.is_alive()

    until(gone)
    until(lambda: own.client().info("clients")["pubsub_clients"] == 0)


# -- a feed by itself ----------------------------------------------------------


class Scripted:
    """A connection that says what it is told to; then nothing, or an end."""

    def __init__(self, *said: Any) -> None:
        self.said = deque(said)
        self.sent: list[bytes] = []

    def send_packed_command(self, pieces: list[bytes], check_health: bool) -> None:
        self.sent.append(b"".join(pieces))

    def can_read(self, timeout: float) -> bool:
        return bool(self.said)

    def read_response(self, push_request: bool) -> Any:
        said = self.said.popleft()
        if isinstance(said, Exception):
            raise said
        return said

    def disconnect(self) -> None:
        self.sent.append(b"closed")


class Ears:
    """Writes down what happens."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.failing: set[str] = set()

    def _note(self, what: str) -> None:
        self.log.append(what)
        if what in self.failing:
            raise UnavailableError(what)

    def greet(self, connection: Any) -> bytes:
        self._note("greet")
        return b"run"

    def mend(self, run: bytes | None) -> None:
        assert run == b"run"
        self._note("mend")

    def check(self, run: bytes | None) -> None:
        assert run == b"run"
        self._note("check")

    def hear(self, message: bytes) -> None:
        self._note(message.decode())

    def tear(self) -> None:
        self._note("tear")


ACK = [b"subscribe", b"feed", 1]


def _stepped(
    *connections: Scripted, steps: int, heartbeat: float = 60.0, **failing: bool
) -> tuple[Ears, Feed]:
    """Take steps as the thread of a feed does, without waiting."""
    ears, left = Ears(), iter(connections)
    ears.failing = set(failing)
    feed = Feed(lambda: next(left), b"feed", heartbeat, ears)
    for _ in range(steps):
        connection = feed._connection
        feed.step(connection is not None and connection.can_read(0))
    return ears, feed


def test_each_acknowledgement_is_a_gap() -> None:
    """A second one says that the first subscription was lost."""
    ears, feed = _stepped(Scripted(ACK, ACK), steps=3)

    assert ears.log == ["greet", "mend", "tear", "mend"]
    assert feed.online


def test_messages_are_heard_one_by_one() -> None:
    """And answers to heartbeats are nobody's news."""
    said = ([b"message", b"feed", b"one"], b"PONG", [b"pong", b""], None)
    ears, feed = _stepped(Scripted(ACK, *said, [b"message", b"feed", b"two"]), steps=7)

    assert ears.log == ["greet", "mend", "one", "two"]
    assert feed.online


@pytest.mark.parametrize("where", ["greet", "mend", "check", "one"])
def test_whatever_goes_wrong_is_a_gap(where: str) -> None:
    """It is told once, and the connection is not used again."""
    spoilt = Scripted(ACK, [b"message", b"feed", b"one"])
    ears, feed = _stepped(
        spoilt, steps=3, heartbeat=60.0 if where != "check" else 1e-9, **{where: True}
    )

    assert ears.log.count("tear") == (where in {"check", "one"})
    assert not feed.online
    assert spoilt.sent[-1] == b"closed"


def test_silence_is_a_gap_after_three_heartbeats() -> None:
    """What is said in between begins the count anew."""
    quiet = Scripted(ACK, b"PONG")
    ears, feed = _stepped(quiet, steps=5, heartbeat=1e-9)
    assert feed.online
    assert quiet.sent.count(b"*1\r\n$4\r\nPING\r\n") == 5
    assert ears.log.count("tear") == 0
    feed.step(False)

    assert not feed.online
    assert ears.log.count("tear") == 1


# -- waiting -------------------------------------------------------------------


def _woken(waiting: Any, call: Callable[[], object]) -> str:
    """Return what who waits is told after *call*."""
    with ThreadPoolExecutor(1) as threads:
        waits = threads.submit(waiting.wait, 60.0)
        until(waits.running)
        call()
        return str(waits.result(30))


def _waits(tier: RedisTier, other: RedisTier, key: Key = KEY) -> tuple[Any, str]:
    """Return how *tier* waits for a fetch of *other*'s, and the token of that."""
    listening(tier)
    own = other.lease(key, SECONDS)
    assert own.state == "own"
    leased = tier.lease(key, SECONDS)
    assert leased.state == "wait"
    return leased.waiting, own.token


@pytest.mark.timeout(50)
def test_who_waits_is_woken_by_how_the_fetch_ends(tiers: Tiers) -> None:
    """At once, and told what it needs not ask."""
    tier, other = tiers(), tiers()
    one, two, three, four = [KEY._replace(object_id=number) for number in range(4)]

    waiting, token = _waits(tier, other, one)
    assert _woken(waiting, lambda: other.fill(one, token, entry(b"x"))) == "look"
    assert content(tier.look(one)) == b"x"

    waiting, token = _waits(tier, other, two)
    assert _woken(waiting, lambda: other.fail(two, token, absent=True)) == "absent"

    waiting, token = _waits(tier, other, three)
    assert _woken(waiting, lambda: other.fail(three, token, absent=False)) == "failed"

    waiting, token = _waits(tier, other, four)
    assert _woken(waiting, lambda: other.begin(four, SECONDS)) == "look"
    assert tier.lease(four, SECONDS).state == "writing"


def test_who_waits_in_the_same_process_is_woken_too(tiers: Tiers) -> None:
    """By its own writes as well."""
    tier = tiers()
    waiting, token = _waits(tier, tier)
    assert _woken(waiting, lambda: tier.fill(KEY, token, entry(b"x"))) == "look"

    second = KEY._replace(object_id=2)
    waiting, _ = _waits(tier, tier, second)
    assert _woken(waiting, lambda: tier.delete(second)) == "look"


def test_what_ended_before_the_wait_is_not_waited_for(tiers: Tiers) -> None:
    """Between the answer and the wait there is time for everything."""
    tier, other = tiers(), tiers()
    waiting, token = _waits(tier, other)
    other.fail(KEY, token, absent=True)
    until(lambda: waiting._bell.rung)

    assert waiting.wait(60.0) == "absent"


@pytest.mark.timeout(40)
def test_what_ended_before_the_answer_is_not_waited_for(tiers: Tiers) -> None:
    """Who asks who fetches may be told of the end before it is told of the fetch."""
    tier, other = tiers(), tiers()
    listener = listening(tier)
    own = other.lease(KEY, SECONDS)
    run = tier._server.run

    def slow(*args: Any) -> Any:
        answer = run(*args)
        other.fail(KEY, own.token, absent=True)
        other.delete(KEY._replace(object_id=1))  # which is heard after it
        until(lambda: listener.heard)
        return answer

    tier._server.run = slow  # type: ignore[method-assign]
    leased = tier.lease(KEY, SECONDS)

    assert leased.waiting is not None
    assert leased.waiting.wait(60.0) == "absent"


def test_another_fetch_is_not_the_one_waited_for(tiers: Tiers) -> None:
    """Its object may have been absent before a write, and not be now."""
    tier, other = tiers(), tiers()
    waiting, _ = _waits(tier, other)
    other.end(other.begin(KEY, SECONDS), None)
    next_one = other.lease(KEY, SECONDS)
    second = tier.lease(KEY, SECONDS)
    other.fail(KEY, next_one.token, absent=True)
    assert second.waiting is not None
    until(lambda: waiting._bell.ended[0])

    assert waiting.wait(60.0) == "look"
    assert second.waiting.wait(60.0) == "absent"


def test_who_waits_looks_when_the_feed_is_torn(own: RedisServer, tiers: Tiers) -> None:
    """Nobody may be there to wake it."""
    tier, other = tiers(own.url), tiers(own.url)
    waiting, _ = _waits(tier, other)

    assert (
        _woken(waiting, lambda: own.ask("CLIENT", "KILL", "TYPE", "pubsub")) == "look"
    )


def test_waiting_ends_in_its_time(tiers: Tiers) -> None:
    """And not later than the caller's deadline."""
    tier, other = tiers(), tiers()
    waiting, _ = _waits(tier, other)

    assert waiting.wait(0.001) == "look"
    with deadline(0.001):
        assert waiting.wait(60.0) == "look"
    assert not tier._hearing.bells._bells.get("nothing")


def test_nothing_is_left_of_who_waited(tiers: Tiers) -> None:
    """A million objects must not leave a million bells."""
    tier, other = tiers(), tiers()
    waiting, token = _waits(tier, other)
    assert len(tier._hearing.bells._bells) == 1

    del waiting
    gc.collect()

    assert len(tier._hearing.bells._bells) == 0
    other.fill(KEY, token, entry(b"x"))


def test_an_invalidation_costs_the_same_with_many_copies(tiers: Tiers) -> None:
    """It names one object, and nobody walks through the others."""
    tier, other = tiers(), tiers()
    listener = listening(tier)
    for number in range(200):
        other.begin(KEY._replace(object_id=number), SECONDS)

    until(lambda: len(listener.heard) == 200)

    assert listener.heard == [KEY._replace(object_id=number) for number in range(200)]
