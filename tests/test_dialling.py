"""Connections are made in time: names, addresses that race, and what is left over."""

from __future__ import annotations

import socket
import threading

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.waiting import until
from tiered_store import dialling
from tiered_store.deadlines import deadline
from tiered_store.dialling import Names, dial


HOST = "region-us.example"
LONG = 3600.0


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port that drops whoever knocks, since its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        crowd = [socket.socket() for _ in range(4)]
        for one in crowd:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for one in crowd:
            one.close()


@pytest.fixture
def refusing() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class NameServer:
    """Answers when it is told to, with *ports* of this host."""

    def __init__(self, *ports: int) -> None:
        self.asked: list[str] = []
        self.answering = threading.Event()
        self._ports = ports

    def __call__(self, host: str, *rest: Any) -> list[Any]:
        self.asked.append(host)
        self.answering.wait()
        if not self._ports:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        kind = socket.AF_INET, socket.SOCK_STREAM, 0, ""
        return [(*kind, ("127.0.0.1", port)) for port in self._ports]


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Have names resolved as given."""
    servers: list[NameServer] = []

    def name_server(*ports: int, answering: bool = True) -> NameServer:
        server = NameServer(*ports)
        servers.append(server)
        if answering:
            server.answering.set()
        monkeypatch.setattr(dialling, "names", Names(server))
        return server

    yield name_server
    for server in servers:
        server.answering.set()


def test_an_address_is_not_resolved(resolved: Any, listening: int) -> None:
    """It needs no thread either."""
    server = resolved(answering=False)

    with dial("127.0.0.1", listening, LONG, socket.socket) as connected:
        assert connected.getpeername()[1] == listening
        assert connected.gettimeout() == LONG
    assert not server.asked


@pytest.mark.parametrize("bound", ["patience", "deadline"])
def test_a_name_server_that_is_silent_is_waited_for_in_time(
    resolved: Any, bound: str
) -> None:
    """By the shorter of the two."""
    resolved(answering=False)

    caller, patience = (0.1, LONG) if bound == "deadline" else (LONG, 0.1)

    late = pytest.raises(TimeoutError, match=r"region-us.example.* not resolved")
    with deadline(caller), late:
        dial(HOST, 1, patience, socket.socket)


def test_what_is_resolved_late_is_there_for_the_next(
    resolved: Any, listening: int
) -> None:
    """All who ask meanwhile wait for one answer, in one thread."""
    server = resolved(listening, answering=False)
    for _ in range(3):
        with deadline(0.05), pytest.raises(TimeoutError):
            dial(HOST, listening, LONG, socket.socket)

    with ThreadPoolExecutor(4) as callers:
        dialled = [
            callers.submit(dial, HOST, listening, LONG, socket.socket) for _ in range(4)
        ]
        server.answering.set()
        for one in dialled:
            one.result(60).close()

    assert set(server.asked) == {HOST}
    assert len(server.asked) <= 5  # those who came after the answer asked again


def test_a_slow_name_server_is_no_outage(resolved: Any, listening: int) -> None:
    """An answer that comes when nobody waits any more is kept for whoever asks next."""
    server = resolved(listening, answering=False)
    with pytest.raises(TimeoutError):
        dial(HOST, listening, 0.05, socket.socket)
    server.answering.set()
    until(lambda: dialling.names._late)
    server.answering.clear()

    dial(HOST, listening, LONG, socket.socket).close()

    assert server.asked == [HOST]
    with pytest.raises(TimeoutError):  # and for nobody else
        dial(HOST, listening, 0.05, socket.socket)


def test_a_name_is_resolved_anew_each_time(resolved: Any, listening: int) -> None:
    """Nothing is kept, so a name that moves is followed."""
    server = resolved(listening)
    for _ in range(3):
        dial(HOST, listening, LONG, socket.socket).close()
    assert server.asked == [HOST] * 3


def test_a_name_that_is_not_there_says_so(resolved: Any) -> None:
    """To each, as an error of its own."""
    resolved()
    for _ in range(2):
        with pytest.raises(socket.gaierror, match="no such name"):
            dial(HOST, 1, LONG, socket.socket)


def test_only_so_many_names_hang() -> None:
    """Threads are bounded; who comes then is told at once, and later is served."""
    server = NameServer(1)
    names = Names(server)
    for number in range(32):
        with pytest.raises(TimeoutError):
            names.addresses(f"{number}.example", 1, 0.001)

    with pytest.raises(socket.gaierror, match="32 other names are being resolved"):
        names.addresses(HOST, 1, LONG)

    server.answering.set()
    until(lambda: len(names._late) == 32)
    assert names.addresses(HOST, 1, LONG)


def test_a_child_process_resolves_by_itself() -> None:
    """What its parent waits for would never come."""
    server = NameServer(1)
    names = Names(server)
    with pytest.raises(TimeoutError):
        names.addresses(HOST, 1, 0.001)

    names.after_fork()  # as a fork does in the child

    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(names.addresses, HOST, 1, LONG)
        until(lambda: len(server.asked) == 2)
        server.answering.set()
        assert answer.result(60)


def test_a_deaf_address_costs_no_more_than_its_turn(
    resolved: Any, deaf: int, listening: int
) -> None:
    """The next one is tried while it is silent."""
    resolved(deaf, listening)
    with dial(HOST, 1, LONG, socket.socket) as connected:
        assert connected.getpeername()[1] == listening


def test_addresses_that_refuse_are_passed_over(
    resolved: Any, refusing: int, deaf: int, listening: int
) -> None:
    """In whatever order they come."""
    resolved(refusing, deaf, refusing, listening)
    with dial(HOST, 1, LONG, socket.socket) as connected:
        assert connected.getpeername()[1] == listening


def test_who_is_slow_may_still_win(resolved: Any, listening: int, deaf: int) -> None:
    """Others that are tried meanwhile, and fail, do not end it."""
    resolved(listening, deaf)
    with dial(HOST, 1, LONG, socket.socket) as connected:
        assert connected.getpeername()[1] == listening


def test_row_06_all_addresses_share_the_time(resolved: Any, deaf: int) -> None:
    """Eight of them take no longer than one, where the SDKs give each all of it."""
    resolved(*[deaf] * 8)
    with deadline(0.3), pytest.raises(TimeoutError):
        dial(HOST, 1, LONG, socket.socket)
    with pytest.raises(TimeoutError):
        dial(HOST, 1, 0.3, socket.socket)


def test_when_all_refuse_it_is_refused(resolved: Any, refusing: int) -> None:
    """Which is an outage, and not a matter of time."""
    resolved(refusing, refusing)
    with pytest.raises(ConnectionRefusedError):
        dial(HOST, 1, LONG, socket.socket)


def test_it_is_set_as_asked_and_bound(listening: int) -> None:
    """Options hold before it connects."""
    keep = (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    with dial(
        *("127.0.0.1", listening, LONG, socket.socket),
        options=[keep],
        source=("127.0.0.1", 0),
    ) as connected:
        assert connected.getsockopt(*keep[:2])
