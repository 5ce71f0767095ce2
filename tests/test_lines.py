"""Connections used directly: what is sent, what is sent again, and what is not."""

from __future__ import annotations

import contextlib
import threading
import time

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import hiredis
import pytest

from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,  # noqa: A004 - as the SDK names it
    ReadOnlyError,
    ResponseError,
    TimeoutError,  # noqa: A004 - the same
)

from tiered_store import deadlines, errors
from tiered_store.clients.lines import ElsewhereError, Lines
from tiered_store.clients.shield import Shield
from tiered_store.clients.wire import introduced, packed
from tiered_store.errors import StoreError, UnavailableError
from tiered_store.policies.breaker import BreakerPolicy, CircuitOpenError
from tiered_store.policies.circuit import Circuit
from tiered_store.testing.clock import FakeClock


GET = ("GET", "name")
LOST = ConnectionError("Connection closed by server.")
HELLO = {b"role": b"master"}
Answer = Any  # or an exception to raise


class Scripted:
    """A connection whose answers are known; remembers what became of it."""

    def __init__(
        self, *answers: Answer, run: bytes = b"one", hello: Answer = HELLO
    ) -> None:
        self.answers = deque((hello, b"# Server\r\nrun_id:%b\r\n" % run, *answers))
        self.sent: list[bytes] = []
        self.closed = False

    def connect(self) -> None:
        assert not self.sent

    def send_packed_command(self, pieces: list[bytes], check_health: bool) -> None:
        assert not self.closed
        self.sent += pieces

    def read_response(self) -> Any:
        answer = self.answers.popleft()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def disconnect(self) -> None:
        self.closed = True


def lines(*connections: Scripted | BaseException, limit: int = 10) -> Lines:
    """Return lines that dial *connections*, one after the other."""
    left = iter(connections)

    def dial() -> Scripted:
        connection = next(left)
        if isinstance(connection, BaseException):
            raise connection
        return connection

    return Lines(dial, limit)


def ask(asked: Lines, run: bytes | None = None) -> Any:
    """Return the answer to one question."""
    (answer,), _ = asked.ask("name", (GET,), run)
    return answer


# -- what is sent --------------------------------------------------------------

WORDS = st.one_of(st.binary(max_size=50), st.text(max_size=50), st.integers())
LARGE = st.binary(min_size=1, max_size=9).map(lambda seed: seed * 20_000)


@given(st.lists(st.lists(WORDS | LARGE, min_size=1, max_size=6), min_size=1))
def test_commands_are_packed_as_the_protocol_wants(commands: list[list[Any]]) -> None:
    """As hiredis does it, whatever is in them."""
    expected = b"".join(hiredis.pack_command(tuple(words)) for words in commands)

    assert b"".join(packed(commands)) == expected


def test_what_is_large_is_not_copied() -> None:
    """A megabyte more to touch costs as much as sending it."""
    large = bytes(100_000)

    assert any(piece is large for piece in packed([("SET", "name", large), GET]))


def test_a_connection_serves_one_after_the_other() -> None:
    """Made when first needed, and kept."""
    only = Scripted(b"1", b"2", b"3")
    asked = lines(only)

    assert [ask(asked) for _ in range(3)] == [b"1", b"2", b"3"]


def test_answers_come_in_order_and_errors_in_their_place() -> None:
    """One command that was refused says nothing of the next."""
    asked = lines(Scripted(b"1", ResponseError("OOM no"), None))

    (one, error, none), run = asked.ask("name", (GET, GET, GET))

    assert (one, none, run) == (b"1", None, b"one")
    assert isinstance(error, errors.FullError | errors.RefusedError)


# -- what is sent again --------------------------------------------------------


def test_a_connection_closed_while_idle_is_replaced() -> None:
    """All that were idle with it are given up as well; the server may be another."""
    stale, other, fresh = Scripted(b"1", LOST), Scripted(b"1"), Scripted(b"2")
    asked = lines(other, stale, fresh)
    first, _ = asked._take(None)  # so that there are two
    assert ask(asked) == b"1"
    asked._idle.appendleft(first)

    assert ask(asked) == b"2"

    assert stale.closed
    assert other.closed
    assert not fresh.closed


def test_it_is_sent_twice_and_no_more() -> None:
    """A server that closes whatever is asked is not well."""
    asked = lines(Scripted(b"1", LOST), Scripted(LOST), Scripted(b"no"))
    ask(asked)

    with pytest.raises(UnavailableError, match="closed by server") as raised:
        ask(asked)

    assert raised.value.ambiguous


def test_a_new_connection_that_fails_is_no_stale_one() -> None:
    """The server is at fault, and another one would be as well."""
    asked = lines(Scripted(LOST), Scripted(b"no"))

    with pytest.raises(UnavailableError):
        ask(asked)


def test_silence_is_not_asked_again() -> None:
    """The time is spent."""
    silent = Scripted(b"1", TimeoutError("Timeout reading from socket"))
    asked = lines(silent, Scripted(b"no"))
    ask(asked)

    with pytest.raises(UnavailableError, match="Timeout"):
        ask(asked)

    assert silent.closed


def test_a_master_that_was_demoted_is_left() -> None:
    """It has changed nothing, and a new connection finds who is master now."""
    demoted = Scripted(b"1", ReadOnlyError("You can't write"))
    asked = lines(demoted, Scripted(b"2", run=b"two"))
    ask(asked)

    assert ask(asked) == b"2"
    assert demoted.closed


def test_a_replica_is_not_asked() -> None:
    """Whatever the protocol, its answer to the first question gives it away."""
    for hello in ({b"role": b"replica"}, [b"proto", 2, b"role", b"replica"]):
        replica = Scripted(b"no", hello=hello)
        with pytest.raises(errors.ReadOnlyError, match="replica"):
            ask(lines(replica))
        assert replica.closed
    assert introduced(Scripted(hello=[b"proto", 2, b"role", b"master"])) == b"one"


def test_a_server_that_does_not_tell_its_run_has_none() -> None:
    """Not every one that speaks the protocol has such a thing."""
    quiet = Scripted()
    quiet.answers[1] = b"# Server\r\nversion:1\r\n"

    assert introduced(quiet) == b""


def test_only_the_server_that_is_wanted_is_asked() -> None:
    """Idle connections to another are closed, a new one that leads there as well."""
    one, other, two = Scripted(b"1"), Scripted(run=b"other"), Scripted(b"2", run=b"two")
    asked = lines(one, other, two)
    assert ask(asked, b"one") == b"1"

    with pytest.raises(ElsewhereError) as raised:
        ask(asked, b"two")

    assert raised.value.local
    assert one.closed
    assert other.closed
    assert len(other.answers) == 0  # it was asked nothing but who it is
    assert ask(asked, b"two") == b"2"


# -- what remains --------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        LOST,
        TimeoutError("no"),
        BusyLoadingError("LOADING"),
        KeyboardInterrupt(),
        ZeroDivisionError("a bug"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_what_failed_half_way_is_not_used_again(failure: BaseException) -> None:
    """The next one would read somebody else's answer."""
    spoilt = Scripted(failure)
    asked = lines(spoilt, Scripted(b"right"), limit=1)
    expected = UnavailableError if isinstance(failure, LOST.__class__) else None
    kind = expected or (
        UnavailableError if isinstance(failure, TimeoutError) else type(failure)
    )

    with pytest.raises(kind):
        ask(asked)

    assert spoilt.closed
    assert ask(asked) == b"right"


def test_a_connection_that_cannot_be_made_is_not_counted() -> None:
    """Or a server that was out for a while would be out for ever."""
    refused = ConnectionError("Error 111 connecting to x:1. Connection refused.")
    asked = lines(refused, refused, Scripted(b"1"), limit=1)
    for _ in range(2):
        with pytest.raises(UnavailableError) as raised:
            ask(asked)
        assert not raised.value.ambiguous

    assert ask(asked) == b"1"


def test_there_is_a_limit() -> None:
    """It is this process's own, and nobody waits."""
    asked = lines(Scripted(b"1"), Scripted(b"2"), limit=1)
    asked._take(None)

    with pytest.raises(UnavailableError, match="all 1 connections") as raised:
        ask(asked)

    assert raised.value.local


def test_a_child_process_leaves_the_connections_of_its_parent() -> None:
    """Unused and unclosed, for they are the same connections."""
    parents = Scripted(b"1", b"no")
    asked = lines(parents, Scripted(b"2"), limit=1)
    ask(asked)
    with asked._lock:  # another thread had it in that moment
        asked.after_fork()

        assert ask(asked) == b"2"

    assert not parents.closed


def test_what_is_given_back_after_the_end_is_closed() -> None:
    """A call that overlaps close leaves nothing open behind."""
    late = Scripted(b"1")
    asked = lines(late)
    read = late.read_response

    def closing() -> Any:
        asked.close()
        return read()

    late.read_response = closing  # type: ignore[method-assign]
    assert ask(asked) == b"1"

    assert late.closed
    with pytest.raises(ValueError, match="closed"):
        ask(asked)


# -- the breaker ---------------------------------------------------------------


@pytest.fixture
def states() -> list[str]:
    return []


@pytest.fixture
def circuit(states: list[str]) -> Callable[..., Circuit]:
    def make(clock: FakeClock, **options: Any) -> Circuit:
        policy = BreakerPolicy(**{"failures": 1, "probes": 1, **options})
        return Circuit(policy, lambda state, _: states.append(state), clock)

    return make


def _guarded(circuit: Circuit, connections: Iterator[Any]) -> Lines:
    asked = lines(*connections)
    asked._shield = Shield(circuit)
    return asked


@pytest.mark.parametrize(
    ("answer", "opens"),
    [
        (b"1", False),
        (ResponseError("no such thing"), False),
        (ResponseError("MISCONF cannot save"), False),
        (LOST, True),
        (TimeoutError("no"), True),
        (BusyLoadingError("LOADING"), True),
        (ReadOnlyError("You can't write"), True),
        (ZeroDivisionError("a bug"), False),
    ],
    ids=lambda value: str(value),
)
def test_silence_opens_it_and_an_answer_does_not(
    circuit: Callable[..., Circuit], answer: Answer, opens: bool
) -> None:
    """A server that refuses at once costs nobody time."""
    guard = circuit(FakeClock())
    asked = _guarded(guard, iter([Scripted(answer, b"2"), Scripted(b"2")]))
    with contextlib.suppress(StoreError, ZeroDivisionError):
        ask(asked)

    assert guard.state == ("open" if opens else "closed")


def test_who_is_in_a_hurry_and_held_up_says_nothing_of_the_server(
    circuit: Callable[..., Circuit],
) -> None:
    """Its own process stood still, for longer than it could have waited."""
    guard = circuit(FakeClock())
    shield = Shield(guard)

    def stopped() -> None:
        time.sleep(0.06)
        deadlines.check()

    for _ in range(3):
        with deadlines.deadline(0.01), pytest.raises(StoreError):
            shield.call(stopped)

    assert guard.state == "closed"


def test_one_probe_closes_it(
    circuit: Callable[..., Circuit], states: list[str]
) -> None:
    """And nobody is asked before its time."""
    clock = FakeClock()
    asked = _guarded(circuit(clock), iter([Scripted(LOST), Scripted(b"1", b"2")]))
    for expected in (UnavailableError, CircuitOpenError, CircuitOpenError):
        with pytest.raises(expected) as raised:
            ask(asked)
        assert type(raised.value) is expected

    clock.advance(1.2)
    assert ask(asked) == b"1"
    assert ask(asked) == b"2"
    assert states == ["open", "probing", "closed"]


def test_success_counts_where_one_failure_is_not_enough(
    circuit: Callable[..., Circuit],
) -> None:
    """Two failures in a row are not two with a success in between."""
    guard = circuit(FakeClock(), failures=2)
    mixed = [Scripted(LOST), Scripted(b"1", TimeoutError("no")), Scripted(b"2")]
    asked = _guarded(guard, iter(mixed))
    for _ in range(2):
        with pytest.raises(UnavailableError):
            ask(asked)
        ask(asked)

    assert guard.state == "closed"


def test_threads_have_a_connection_each() -> None:
    """As many as are asked at once, and no more."""
    barrier = threading.Barrier(4)

    class Meeting(Scripted):
        def read_response(self) -> Any:
            if len(self.answers) == 1:
                barrier.wait(30)
            return super().read_response()

    asked = lines(*[Meeting(b"%d" % number) for number in range(4)], limit=4)
    seen: list[Any] = []
    threads = [
        threading.Thread(target=lambda: seen.append(ask(asked))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(seen) == [b"0", b"1", b"2", b"3"]
    assert len(asked._idle) == 4
