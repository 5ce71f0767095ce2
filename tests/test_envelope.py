"""Bytes that say of themselves whether they are whole."""

from __future__ import annotations

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tiered_store.envelope import HEADER_SIZE, read_header, seal, unseal
from tiered_store.errors import CorruptError


NAME = "testing/1234/405x640.jpe"


@given(content=st.binary(max_size=300), modified=st.floats(0, 4e9))
def test_what_is_sealed_comes_back(content: bytes, modified: float) -> None:
    """With its size and its time, to the microsecond."""
    unsealed, header = unseal(NAME, seal(NAME, content, modified))

    assert unsealed == content
    assert header.size == len(content)
    assert header.modified == pytest.approx(modified, abs=2e-6)


@given(content=st.binary(max_size=60), bit=st.integers(0))
def test_every_flipped_bit_is_noticed(content: bytes, bit: int) -> None:
    """Wherever it is; one in the header is noticed without the content."""
    sealed = bytearray(seal(NAME, content, 1.5e9))
    place = bit % (len(sealed) * 8)
    sealed[place // 8] ^= 1 << place % 8

    with pytest.raises(CorruptError):
        unseal(NAME, bytes(sealed))
    if place // 8 < HEADER_SIZE:
        with pytest.raises(CorruptError):
            read_header(NAME, bytes(sealed[:HEADER_SIZE]))


@given(content=st.binary(max_size=60), cut=st.integers(1))
def test_every_truncation_is_noticed(content: bytes, cut: int) -> None:
    """Down to nothing."""
    sealed = seal(NAME, content, 1.5e9)

    with pytest.raises(CorruptError):
        unseal(NAME, sealed[: -(1 + cut % len(sealed))] if cut else sealed)


@given(rubbish=st.binary(max_size=200))
def test_rubbish_is_never_taken_for_an_object(rubbish: bytes) -> None:
    """Whatever else lies there."""
    with pytest.raises(CorruptError):
        unseal(NAME, rubbish)


def test_another_objects_content_is_noticed() -> None:
    """A copy under another name is not what was stored there."""
    sealed = seal(NAME, b"content", 1.5e9)

    with pytest.raises(CorruptError, match="another object"):
        read_header("testing/1234/405x641.jpe", sealed)


def test_more_than_was_stored_is_noticed() -> None:
    """Somebody appended."""
    with pytest.raises(CorruptError, match="holds 8 of 7 bytes"):
        unseal(NAME, seal(NAME, b"content", 1.5e9) + b"!")


def test_every_sealing_has_a_version_of_its_own() -> None:
    """Also of the same content."""
    versions = {unseal(NAME, seal(NAME, b"", 0))[1].version for _ in range(100)}

    assert len(versions) == 100


def test_the_format_is_frozen() -> None:
    """Objects already stored look like this."""
    stored = bytes.fromhex(
        "54536f31 b65ecf68 0700000000000000 00c029f73d540500 69158b625804f5f7"
        "64aacf6a1ab3f255 636f6e74656e74"
    )

    content, header = unseal(NAME, stored)

    assert content == b"content"
    assert (header.size, header.modified) == (7, 1.5e9)
    assert header.version == "f7f50458628b1569"
