"""A key is valid by construction, however it was made."""

from __future__ import annotations

import copy
import enum
import pickle
import uuid

from dataclasses import dataclass
from typing import Any

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from tiered_store.errors import InvalidError
from tiered_store.key import Key


KEY = Key("comics.cover", 5, 30, 40, "image/png")


class Kind(str, enum.Enum):  # noqa: UP042 - as applications do
    """As applications name their types; its format() is not its value."""

    COVER = "comics.cover"


class Number(enum.IntEnum):
    """As applications name fixed sizes."""

    FIVE = 5


@dataclass
class Image:
    """What the original library hands over."""

    object_type: str = "comics.cover"
    object_id: int = 5
    width: int = 30
    height: int = 40
    mimetype: str = "image/png"


def test_it_is_the_tuple_of_its_values() -> None:
    """So it crosses to the contract and back, and a dictionary finds it by them."""
    plain = ("comics.cover", 5, 30, 40, "image/png")

    assert plain == KEY
    assert hash(KEY) == hash(plain)
    assert {KEY: 1}[plain] == 1  # type: ignore[index]  # which is the point
    assert Key(*KEY) == KEY
    assert str(KEY) == "comics.cover/5/30x40 (image/png)"


def test_it_is_made_of_anything_with_the_attributes() -> None:
    """And is not made again of itself."""
    assert Key.of(Image()) == KEY
    assert Key.of(KEY) is KEY
    with pytest.raises(InvalidError):
        Key.of(Image(object_type="../up"))
    with pytest.raises(AttributeError):
        Key.of(object())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "number", [0, -1, -(2**70), 2**64, uuid.UUID(int=2**128 - 1).int, 10**3000]
)
def test_any_integer_is_an_id(number: int) -> None:
    """UUIDs and negative ones included."""
    assert Key("t", number, 1, 1, "image/png").object_id == number


@pytest.mark.parametrize("field", ["object_id", "width", "height"])
def test_an_integer_that_cannot_be_printed_is_refused(field: str) -> None:
    """It could not become a name; the interpreter would raise later, elsewhere."""
    with pytest.raises(InvalidError, match=f"{field} is too large: 20001 bits"):
        KEY._replace(**{field: 1 << 20_000})

    str(KEY._replace(**{field: (1 << 12_000) - 1}))


HOSTILE_TYPES = [
    *("", ".", "..", "/", "/a", "a/", "a//b", "../a", "a/..", "a/../b", "./a", "a/."),
    *("a\\b", "..\\a", "a\0b", "a\nb", "a\r\nb", "a\tb", "a\x7fb", "a\x85b"),
    *("a\u2028b", "a\u202eb", "a\udc80b", "a\u200bb", "\ufeffa"),
]


@pytest.mark.parametrize("object_type", HOSTILE_TYPES)
def test_a_type_that_could_lead_elsewhere_is_refused(object_type: str) -> None:
    """Upwards, to the root, to nowhere, or into the next line of a log."""
    with pytest.raises(InvalidError, match="not an object type") as caught:
        Key(object_type, 1, 1, 1, "image/png")

    assert not caught.value.failover
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "object_type",
    ["a", "_a", "a.b", "...", "..a", ".a", "a/b.c/d", "é", "a b", "100%?"],
)
def test_a_type_that_is_merely_unusual_is_kept(object_type: str) -> None:
    """Data that exists may be called so."""
    assert Key(object_type, 1, 1, 1, "image/png").object_type == object_type


@pytest.mark.parametrize(
    "mimetype",
    [
        *("", "/", "image/", "/png", "png", "jpe", "image/png\r\nX-Evil: yes"),
        *("image/ png", "image/png\0", "image/pn\u00e9", "image/png\n"),
    ],
)
def test_what_is_no_mimetype_is_refused(mimetype: str) -> None:
    """A header could be split by it, or two of them could share one extension."""
    with pytest.raises(InvalidError, match="not a mimetype"):
        Key("t", 1, 1, 1, mimetype)


def test_mimetypes_that_differ_in_case_are_one() -> None:
    """RFC 6838 says so, and they have one name, so they must have one key."""
    assert Key("t", 1, 1, 1, "IMAGE/Png") == Key("t", 1, 1, 1, "image/png")


def test_kinds_of_strings_and_integers_become_plain_ones() -> None:
    """Equal keys have equal names; an enumeration formats as something else."""
    for key in (
        Key(Kind.COVER, Number.FIVE, 30, 40, "image/png"),
        KEY._replace(object_type=Kind.COVER, object_id=Number.FIVE),
    ):
        assert key == KEY
        assert [type(value) for value in key] == [str, int, int, int, str]
        assert str(key) == str(KEY)
    assert str(Key("t", True, False, True, "a/b")) == "t/1/0x1 (a/b)"


@pytest.mark.parametrize(
    "values",
    [
        (None, 1, 1, 1, "image/png"),
        (b"type", 1, 1, 1, "image/png"),
        (1, 1, 1, 1, "image/png"),
        ("type", None, 1, 1, "image/png"),
        ("type", "1", 1, 1, "image/png"),
        ("type", 1.0, 1, 1, "image/png"),
        ("type", 1, None, 1, "image/png"),
        ("type", 1, 1, 1.5, "image/png"),
        ("type", 1, 1, 1, None),
        ("type", 1, 1, 1, b"image/png"),
    ],
    ids=repr,
)
def test_values_of_other_types_are_bugs(values: Any) -> None:
    """No store error: nobody may retry it, fail over, or take it for absence."""
    with pytest.raises(TypeError, match="must be") as caught:
        Key(*values)

    assert not isinstance(caught.value, OSError)


def test_a_changed_key_is_checked_as_well() -> None:
    """By whatever way a named tuple can be made."""
    for change in (
        {"object_type": "../up"},
        {"object_type": "/root"},
        {"mimetype": "png"},
    ):
        with pytest.raises(InvalidError):
            KEY._replace(**change)  # type: ignore[arg-type]
    with pytest.raises(InvalidError):
        Key._make(("..", 1, 1, 1, "image/png"))
    assert type(KEY._replace(width=31)) is Key


def test_it_travels() -> None:
    """Through pickle and copy, which make it anew."""
    for twin in (pickle.loads(pickle.dumps(KEY)), copy.deepcopy(KEY), copy.copy(KEY)):
        assert twin == KEY
        assert type(twin) is Key


@settings(deadline=None)
@given(st.text(), st.text())
def test_whatever_is_accepted_stays_below_where_it_is_put(
    object_type: str, mimetype: str
) -> None:
    """No string gets through that could be more than names of folders."""
    try:
        key = Key(object_type, 1, 1, 1, mimetype)
    except InvalidError:
        return

    assert all(part not in ("", ".", "..") for part in key.object_type.split("/"))
    assert key.object_type.isprintable()
    assert "\\" not in key.object_type
    assert key.mimetype.isascii()
    assert key.mimetype.isprintable()
    assert " " not in key.mimetype
    assert Key(*key) == key


def test_two_names_of_one_type_are_one_key() -> None:
    """They share a stored name, so a cache or a journal must not tell them apart."""
    script = Key("page", 1, 2, 3, "application/javascript")

    assert script == Key("page", 1, 2, 3, "text/javascript")
