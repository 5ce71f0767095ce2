"""A piece says what it is and where it belongs."""

from __future__ import annotations

import random

import pytest
import xxhash

from tiered_store.body import Body
from tiered_store.digests import Digests, only_tag
from tiered_store.errors import CorruptError
from tiered_store.framing import PIECE, TAG, sealed, unsealed


HEADER = b"header"
CONTENT = random.Random(1).randbytes(2 * PIECE + 3)


def digests_of(size: int, header: bytes = HEADER) -> Digests:
    return Digests(header, size, xxhash.xxh3_128(header))


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 3])
def test_what_was_sealed_passes(size: int) -> None:
    """Byte for byte."""
    content = CONTENT[:size]
    stored = sealed(Body.of(content), digests_of(size)).read()

    found = unsealed(Body.of(stored), len(HEADER), lambda _: digests_of(size))
    assert found.read() == content


@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_piece_may_lie_in_other_bytes(size: int) -> None:
    """It is not copied to be checked; what is returned is bytes of its own."""
    piece = digests_of(size).seal(0, True, CONTENT[:size])
    content = digests_of(size).unseal(
        0, True, memoryview(HEADER + piece)[len(HEADER) :]
    )

    assert type(content) is bytes
    assert content == CONTENT[:size]


@pytest.mark.parametrize("size", [0, 1, 100])
def test_the_tag_of_an_only_piece_is_that_of_a_piece(size: int) -> None:
    """Whether it is cut apart already or not."""
    piece = digests_of(size).seal(0, True, CONTENT[:size])

    assert only_tag(xxhash.xxh3_128(HEADER), CONTENT[:size]) == piece[-TAG:]


@pytest.mark.parametrize("size", [0, 1, 100])
def test_what_is_not_what_was_sealed_does_not_pass(size: int) -> None:
    """Flipped, cut off, longer, or with another header."""
    piece = digests_of(size).seal(0, True, CONTENT[:size])
    flipped = [
        piece[:at] + bytes([piece[at] ^ 1]) + piece[at + 1 :]
        for at in range(len(piece))
    ]
    for bad in (*flipped, piece[:-1], piece[1:], b"", piece + b"x", piece + piece):
        with pytest.raises(CorruptError, match=r"bytes 0 to .* do not match"):
            digests_of(size).unseal(0, True, bad)
    with pytest.raises(CorruptError, match="do not match"):
        digests_of(size, b"HEADER").unseal(0, True, piece)


def test_pieces_know_their_place() -> None:
    """The one before it, or the last one, is another."""
    digests = digests_of(len(CONTENT))
    piece = digests.seal(1, False, CONTENT[:PIECE])

    assert digests.unseal(1, False, piece) == CONTENT[:PIECE]
    for index, last in ((0, False), (2, False), (1, True)):
        with pytest.raises(CorruptError, match="do not match"):
            digests.unseal(index, last, piece)
