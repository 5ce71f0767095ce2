"""Connections that wait no longer than their caller can."""

from __future__ import annotations

from typing import Any

import pytest

from tiered_store.clients.haste import hasty
from tiered_store.deadlines import deadline


class Recorder:
    """A socket that remembers how long it would have waited for what."""

    def __init__(self) -> None:
        self.patience: float | None = 30.0
        self.waits: list[tuple[str, float | None, int]] = []

    def settimeout(self, seconds: float | None) -> None:
        self.patience = seconds

    def sendall(self, piece: Any) -> None:
        self.waits.append(("send", self.patience, len(piece)))

    def recv(self, size: int, flags: int = 0) -> bytes:
        self.waits.append(("recv", self.patience, flags))
        return b"x" * size

    def recv_into(self, buffer: bytearray) -> int:
        self.waits.append(("recv_into", self.patience, len(buffer)))
        return len(buffer)

    def fileno(self) -> int:
        return 7


class Plain:
    """What a connection of redis-py looks like from here."""

    socket_timeout: float | None = 30.0
    socket_connect_timeout = 0.0

    def _connect(self) -> Recorder:
        self.connected_within = self.socket_connect_timeout
        self.recorder = Recorder()
        return self.recorder


@pytest.fixture
def connection() -> Any:
    return hasty((Plain,), 20.0)()


def test_without_a_deadline_the_timeouts_hold(connection: Any) -> None:
    """And they are not even set again."""
    hasty_socket = connection._connect()
    hasty_socket.sendall(b"ping")
    hasty_socket.recv_into(bytearray(8))
    assert hasty_socket.recv(1, 2) == b"x"

    assert connection.connected_within == 20.0
    assert connection.recorder.waits == [
        ("send", 30.0, 4),
        ("recv_into", 30.0, 8),
        ("recv", 30.0, 2),
    ]


def test_a_deadline_shortens_connecting_sending_and_receiving(connection: Any) -> None:
    """Each wait by itself, for as long as is left then."""
    with deadline(5.0):
        hasty_socket = connection._connect()
        hasty_socket.sendall(b"ping")
        hasty_socket.recv_into(bytearray(8))
        hasty_socket.recv(1)

    assert 0 < connection.connected_within <= 5.0
    waits = [patience for _, patience, _ in connection.recorder.waits]
    assert waits == sorted(waits, reverse=True)
    assert all(0 < patience <= 5.0 for patience in waits)


def test_a_long_deadline_stretches_nothing(connection: Any) -> None:
    """The timeout is the server's, the deadline is the caller's."""
    with deadline(500.0):
        hasty_socket = connection._connect()
        hasty_socket.recv_into(bytearray(8))

    assert connection.connected_within == 20.0
    assert connection.recorder.waits == [("recv_into", 30.0, 8)]


def test_after_a_deadline_patience_returns(connection: Any) -> None:
    """A connection that was in haste serves the next caller as any other."""
    hasty_socket = connection._connect()
    with deadline(5.0):
        hasty_socket.recv_into(bytearray(8))
    hasty_socket.recv_into(bytearray(8))

    assert connection.recorder.waits[-1] == ("recv_into", 30.0, 8)


def test_no_time_left_is_not_no_waiting_at_all(connection: Any) -> None:
    """A timeout of zero would turn the socket into a non-blocking one."""
    hasty_socket = connection._connect()
    with deadline(0.0):
        hasty_socket.recv_into(bytearray(8))
        connection._connect()

    assert connection.recorder.patience is not None
    assert connection.connected_within > 0


def test_who_asks_not_to_wait_does_not_wait(connection: Any) -> None:
    """Whether something is there already is a question that takes no time."""
    hasty_socket = connection._connect()
    hasty_socket.settimeout(0)
    with deadline(5.0):
        hasty_socket.recv_into(bytearray(8))

    assert connection.recorder.waits == [("recv_into", 0, 8)]


def test_who_would_wait_for_ever_waits_for_the_deadline(connection: Any) -> None:
    """As a subscriber without a timeout does."""
    hasty_socket = connection._connect()
    hasty_socket.settimeout(None)
    with deadline(5.0):
        hasty_socket.recv_into(bytearray(8))

    assert connection.recorder.waits[0][1] <= 5.0


def test_an_upload_is_sent_in_pieces_each_with_its_own_timeout(connection: Any) -> None:
    """A timeout for the whole would refuse what is large, however fast the network."""
    hasty_socket = connection._connect()
    hasty_socket.sendall(bytes(1_000_000))

    sizes = [size for _, _, size in connection.recorder.waits]
    assert sum(sizes) == 1_000_000
    assert max(sizes) == 256 * 1024


def test_everything_else_is_the_sockets_own(connection: Any) -> None:
    """Polling needs the descriptor."""
    assert connection._connect().fileno() == 7
