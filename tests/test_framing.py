"""Pieces are sealed one by one and know their place."""

from __future__ import annotations

import hashlib

import pytest

from tiered_store.body import Body
from tiered_store.errors import CorruptError
from tiered_store.framing import PIECE, TAG, Frame, content_size, sealed, unsealed


CONTENT = bytes(range(256)) * 1024 * 3 + b"the end"


class Plain(Frame):
    """A frame that says nothing of its size, and counts."""

    def __init__(self, header: bytes = b"head") -> None:
        self.header = header
        self.sealings: list[int] = []

    def seal(self, index: int, last: bool, content: bytes) -> bytes:
        self.sealings.append(index)
        return content + self._tag(index, last, content)

    def unseal(self, index: int, last: bool, sealed: bytes) -> bytes:
        content = sealed[:-TAG]
        if sealed[-TAG:] != self._tag(index, last, content):
            raise CorruptError(f"piece {index}")
        return content

    def _tag(self, index: int, last: bool, content: bytes) -> bytes:
        place = f"{index}{last}".encode()
        return hashlib.blake2b(place + content, digest_size=TAG).digest()


def test_sealing_is_read_piece_by_piece_and_once() -> None:
    """Small reads do not seal a piece again, and the size was known before."""
    frame = Plain()
    body = sealed(Body.of(CONTENT), frame)
    stored = b"".join(body.chunks(10_000))
    assert len(stored) == body.size == 4 + len(CONTENT) + 4 * TAG
    assert frame.sealings == [0, 1, 2, 3]
    assert body.version is None  # each put is stored differently
    assert unsealed(Body.of(stored), 4, Plain).read() == CONTENT


def test_pieces_in_another_order_do_not_pass() -> None:
    """Each knows its number."""
    stored = sealed(Body.of(CONTENT[:PIECE] + bytes(PIECE) + b"x"), Plain()).read()
    head, step = 4, PIECE + TAG
    first, second = stored[head : head + step], stored[head + step : head + 2 * step]
    swapped = stored[:head] + second + first + stored[head + 2 * step :]
    with pytest.raises(CorruptError, match="piece 0"):
        unsealed(Body.of(swapped), 4, Plain)


def test_an_object_cut_off_at_a_border_does_not_pass() -> None:
    """The last piece says that it is the last, even if nothing else tells the size."""
    stored = sealed(Body.of(CONTENT), Plain()).read()
    body = unsealed(Body.of(stored[: 4 + 2 * (PIECE + TAG)]), 4, Plain)
    with body.open() as file:
        assert file.read(PIECE) == CONTENT[:PIECE]
        with pytest.raises(CorruptError, match="piece 1"):
            file.read(1)
    with pytest.raises(CorruptError, match="piece 0"):
        unsealed(Body.of(stored[: 4 + PIECE + TAG]), 4, Plain)


class Telling(Plain):
    """Says when something was spoiled."""

    spoilt = 0

    def spoiled(self) -> None:
        self.spoilt += 1


def test_without_reading_ahead_the_header_is_enough() -> None:
    """A piece is only checked when a reader comes to it, and the frame hears of it."""
    stored = bytearray(sealed(Body.of(CONTENT), Plain()).read())
    stored[4 + PIECE + TAG] ^= 1
    frame = Telling()
    body = unsealed(Body.of(bytes(stored)), 4, lambda _: frame, ahead=False)
    with body.open() as file:
        assert file.read(PIECE) == CONTENT[:PIECE]
        assert frame.spoilt == 0
        with pytest.raises(CorruptError, match="piece 1"):
            file.read(1)
    assert frame.spoilt == 1
    with body.open(2 * PIECE) as file:
        assert file.read() == CONTENT[2 * PIECE :]
    assert unsealed(Body.of(b"head" + Plain().seal(0, True, b"x")), 4, Plain).size == 1


def test_an_object_that_shrinks_while_it_is_read_is_spoiled() -> None:
    """The bytes that are missing are told like those that are wrong."""
    stored = sealed(Body.of(CONTENT), Plain()).read()
    shrunk = Body.of(stored[:-1])
    shrunk.size += 1
    frame = Telling()
    body = unsealed(shrunk, 4, lambda _: frame, ahead=False)
    with pytest.raises(CorruptError, match="1 bytes too early"):
        body.read()
    assert frame.spoilt == 1


def test_only_sizes_that_can_be_are_believed() -> None:
    """A size tells how much content there is, or that something is missing."""
    known = {
        sealed(Body.of(bytes(size)), Plain()).size: size
        for size in (0, 1, 2, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 1)
    }
    assert {size: content_size(size, 4) for size in known} == known
    step = PIECE + TAG
    for size in (0, 3, 4, 19, 4 + step + 1, 4 + step + TAG, 4 + 2 * step + TAG):
        with pytest.raises(CorruptError, match="no whole object"):
            content_size(size, 4)


def test_a_source_that_ends_early_is_not_sealed() -> None:
    """What is shorter than it said cannot become a whole object."""
    liar = Body.of(b"short")
    liar.size = 9
    with pytest.raises(CorruptError, match="4 bytes too early"):
        sealed(liar, Plain()).read()
