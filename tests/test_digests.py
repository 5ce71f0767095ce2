"""A whole object is checked as its pieces are."""

from __future__ import annotations

import random

import pytest
import xxhash

from tiered_store.body import Body
from tiered_store.digests import Digests
from tiered_store.errors import CorruptError
from tiered_store.framing import PIECE, TAG, sealed, unsealed


HEADER = b"header"
CONTENT = random.Random(1).randbytes(2 * PIECE + 3)


def digests_of(size: int, header: bytes = HEADER) -> Digests:
    return Digests(header, size, xxhash.xxh3_128(header))


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 3])
def test_at_once_or_piece_by_piece(size: int) -> None:
    """Both ways the same bytes."""
    content = CONTENT[:size]
    stored = sealed(Body.of(content), digests_of(size)).read()

    assert digests_of(size).content_of(stored) == content
    found = unsealed(Body.of(stored), len(HEADER), lambda _: digests_of(size))
    assert found.read() == content


@pytest.mark.parametrize("size", [0, 100, PIECE, PIECE + 1])
def test_what_is_not_what_was_sealed_does_not_pass(size: int) -> None:
    """Flipped, cut off, longer, of another size, or with another header."""
    stored = sealed(Body.of(CONTENT[:size]), digests_of(size)).read()
    start = len(HEADER)
    places = {start, start + size // 2, len(stored) - 1, len(stored) - TAG}
    wrong = [stored[:at] + bytes([stored[at] ^ 1]) + stored[at + 1 :] for at in places]
    for bad in (*wrong, stored[:-1], stored[:start], stored + b"x", stored + stored):
        with pytest.raises(CorruptError):
            digests_of(size).content_of(bad)
    with pytest.raises(CorruptError, match=rf"{size} of {size + 1} bytes"):
        digests_of(size + 1).content_of(stored)
    with pytest.raises(CorruptError, match="do not match"):
        digests_of(size, b"HEADER").content_of(stored)


def test_pieces_know_their_place() -> None:
    """Two that were swapped, or a last one that is missing, do not pass."""
    stored = sealed(Body.of(CONTENT), digests_of(len(CONTENT))).read()
    head, step = len(HEADER), PIECE + TAG
    first, rest = stored[head : head + step], stored[head + step :]
    second, third = rest[:step], rest[step:]

    with pytest.raises(CorruptError, match="bytes 0 to 262144 do not match"):
        digests_of(len(CONTENT)).content_of(HEADER + second + first + third)
    with pytest.raises(CorruptError, match="bytes 262144 to 524288 do not match"):
        digests_of(2 * PIECE).content_of(HEADER + first + second)
