"""The two strings of an answer, however they arrive."""

from __future__ import annotations

import socket
import threading

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

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


SIZES = [0, 1, 2, 3, 4, 999, 16_300, 20_000, 99_999, 100_000]
START = len(answer(HEADER, LARGE)) - len(LARGE) - 2  # what comes before the bytes
OTHERS = [
    b"*2\r\n$-1\r\n$-1\r\n",
    b"*2\r\n_\r\n_\r\n",
    b"*2\r\n$3\r\nabc\r\n$-1\r\n",
    b"*2\r\n$%d\r\n%b\r\n$-1\r\n" % (START - 17, b"x" * (START - 17)),
    b"*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
    b"-WRONGTYPE it is no hash\r\n",
    b"-LOADING\r\n",
    b"$3\r\nabc\r\n",
    b"*2\r\n:1\r\n$1\r\na\r\n",
    b"?",
    answer(b"x" * 20_000, b"y"),
]


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


@pytest.mark.parametrize("other", OTHERS)
def test_anything_else_is_left_for_others(other: bytes) -> None:
    connected = hasty(other)

    assert pair(connected) is None
    assert left(connected) == other


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("before", SIZES)
def test_two_strings_after_two_others(
    ends: tuple[socket.socket, socket.socket], before: int, size: int
) -> None:
    """What comes first of a large one is expected again, and need not come again."""
    ours, theirs = ends
    ours.settimeout(30)
    connected = HastySocket(ours, 30)

    for content in (LARGE[:before], LARGE[:size], LARGE[:size]):
        theirs.sendall(answer(HEADER, content))
        assert pair(connected) == [HEADER, content]


@pytest.mark.parametrize("cut", [1, 50, 130, 138, 139, 140, 200, 90_000])
def test_a_large_one_after_another_may_be_cut_anywhere(cut: int) -> None:
    whole = answer(HEADER, LARGE)
    connected = hasty(whole, whole[:cut], whole[cut:])
    pair(connected)

    found = pair(connected)

    assert found == [HEADER, LARGE] or (found is None and left(connected) == whole)


@pytest.mark.parametrize("other", [*OTHERS, b"-%b\r\n" % (b"x" * (START - 3))])
def test_anything_else_after_a_large_one_is_left_for_others(other: bytes) -> None:
    """Nobody waits for more of what has arrived, though it be as long as expected."""
    connected = hasty(answer(HEADER, LARGE), other)
    pair(connected)

    assert pair(connected) is None
    assert left(connected) == other


@pytest.mark.parametrize("place", [0, 200, 99_000])
def test_an_end_in_the_middle_is_an_error(place: int) -> None:
    with pytest.raises(ConnectionResetError, match="closed"):
        pair(hasty(*filter(None, [answer(HEADER, LARGE)[:place]])))


@pytest.mark.parametrize("size", [16_384, 20_000])  # as much as there is room for
def test_silence_ends_with_the_timeout(
    ends: tuple[socket.socket, socket.socket], size: int
) -> None:
    ours, theirs = ends
    ours.settimeout(0.05)
    theirs.sendall(answer(HEADER, LARGE)[:size])

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
    ours.settimeout(30)
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


def stuffed(ours: socket.socket) -> int:
    """Send until nothing more fits; return how much that was."""
    ours.setblocking(False)
    sent = 0
    with suppress(BlockingIOError):
        while True:
            sent += ours.send(LARGE)
    return sent


def test_what_finds_no_room_at_all_is_sent_when_there_is_some(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    sent = stuffed(ours)
    ours.settimeout(30)
    arrived = bytearray()

    def receive() -> None:
        while piece := theirs.recv(65_536):
            arrived.extend(piece)

    receiver = threading.Thread(target=receive)
    with ThreadPoolExecutor(1) as sender:
        sending = sender.submit(HastySocket(ours, 30).send, [b"first", b"last"])
        receiver.start()
        sending.result()
    ours.shutdown(socket.SHUT_WR)
    receiver.join()

    assert arrived[sent:] == b"firstlast"


@pytest.mark.parametrize("patience", [0.05, None])
def test_finding_no_room_ends_with_the_time(
    ends: tuple[socket.socket, socket.socket], patience: float | None
) -> None:
    """However patient the socket itself is."""
    ours, _ = ends
    stuffed(ours)
    connected = HastySocket(ours, 3600)
    connected.settimeout(patience)

    with deadline(0.05 if patience is None else 3600), pytest.raises(TimeoutError):
        connected.send([b"first", b"last"])


def test_silence_after_the_beginning_of_a_large_one_ends_with_the_timeout(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    ours.settimeout(0.05)
    connected = HastySocket(ours, 0.05)
    theirs.sendall(answer(HEADER, LARGE))
    pair(connected)
    theirs.sendall(answer(HEADER, LARGE)[:START])

    with pytest.raises(TimeoutError):
        pair(connected)
