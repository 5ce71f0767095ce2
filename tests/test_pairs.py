"""The two strings of an answer, however they arrive."""

from __future__ import annotations

import socket
import threading

from collections.abc import Iterator

import pytest

from tiered_store import deadline
from tiered_store.clients.haste import HastySocket
from tiered_store.clients.pairs import pair


HEADER = b"\r\n$7\r\n" + bytes(range(112))  # which looks like the middle of an answer
LARGE = bytes(range(256)) * 400


class Pieces:
    """A connection that delivers what it is told to, piece by piece."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def recv_into(self, buffer: memoryview) -> int:
        if not self.pieces:
            return 0
        piece = self.pieces.pop(0)
        fits = piece[: len(buffer)]
        if len(piece) > len(fits):
            self.pieces.insert(0, piece[len(fits) :])
        buffer[: len(fits)] = fits
        return len(fits)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def answer(*strings: bytes) -> bytes:
    return b"*%d\r\n" % len(strings) + b"".join(
        b"$%d\r\n%b\r\n" % (len(string), string) for string in strings
    )


def hasty(*pieces: bytes) -> HastySocket:
    return HastySocket(Pieces(*pieces), None)


def left(connected: HastySocket) -> bytes:
    found, room = b"", bytearray(1000)
    while had := connected.recv_into(room):
        found += room[:had]
    return found


@pytest.mark.parametrize("size", [0, 1, 15_000, 16_300, 16_384, 100_000])
def test_two_strings(size: int) -> None:
    content = LARGE[:size]

    assert pair(hasty(answer(HEADER, content))) == [HEADER, content]


@pytest.mark.parametrize("content", [b"", b"short", LARGE[:20_000]])
def test_it_may_be_cut_anywhere(content: bytes) -> None:
    """A network delivers as it likes; what cannot be told yet is left to the SDK."""
    whole = answer(HEADER, content)
    places = {*range(1, min(len(whole), 200)), *range(len(whole) - 4, len(whole))}

    for place in places:
        connected = hasty(whole[:place], whole[place:])
        found = pair(connected)
        rest = left(connected)
        if found is None:
            assert rest == whole
        else:
            assert found == [HEADER, content]
            assert not rest


def test_a_large_one_may_come_in_many_pieces() -> None:
    whole = answer(HEADER, LARGE)
    pieces = [whole[start : start + 999] for start in range(0, len(whole), 999)]

    assert pair(hasty(*pieces)) == [HEADER, LARGE]


@pytest.mark.parametrize(
    "other",
    [
        b"*2\r\n$-1\r\n$-1\r\n",
        b"*2\r\n_\r\n_\r\n",
        b"*2\r\n$3\r\nabc\r\n$-1\r\n",
        b"*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
        b"-WRONGTYPE it is no hash\r\n",
        b"-LOADING\r\n",
        b"$3\r\nabc\r\n",
        b"*2\r\n:1\r\n$1\r\na\r\n",
        b"?",
        answer(b"x" * 20_000, b"y"),
    ],
)
def test_anything_else_is_left_for_others(other: bytes) -> None:
    connected = hasty(other)

    assert pair(connected) is None
    assert left(connected) == other


@pytest.mark.parametrize("place", [0, 200, 99_000])
def test_an_end_in_the_middle_is_an_error(place: int) -> None:
    with pytest.raises(ConnectionResetError, match="closed"):
        pair(hasty(*filter(None, [answer(HEADER, LARGE)[:place]])))


def test_silence_ends_with_the_timeout(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    ours.settimeout(0.05)
    theirs.sendall(answer(HEADER, LARGE)[:20_000])

    with pytest.raises(TimeoutError):
        pair(HastySocket(ours, 0.05))


def test_silence_ends_with_the_deadline(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    theirs.sendall(answer(HEADER, LARGE)[:20_000])

    with deadline(0.05), pytest.raises(TimeoutError):
        pair(HastySocket(ours, 3600))


def test_what_is_sent_in_pieces_arrives_whole(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """More than a socket takes at once, and pieces of every size."""
    ours, theirs = ends
    pieces = [b"first", b"", LARGE * 30, b"between", LARGE * 5, b"last"]
    arrived = bytearray()

    def receive() -> None:
        while piece := theirs.recv(65_536):
            arrived.extend(piece)

    receiver = threading.Thread(target=receive)
    receiver.start()
    HastySocket(ours, 30).send(pieces)
    ours.shutdown(socket.SHUT_WR)
    receiver.join()

    assert arrived == b"".join(pieces)


def test_sending_ends_with_the_timeout(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, _ = ends
    ours.settimeout(0.05)

    with pytest.raises(TimeoutError):
        HastySocket(ours, 0.05).send([LARGE * 100])
