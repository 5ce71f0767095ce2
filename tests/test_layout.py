"""Names on disk and in the bucket are those of the original, and can be read back."""

from __future__ import annotations

import hashlib
import mimetypes

from enum import IntEnum, StrEnum
from typing import Any

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from tiered_store.errors import InvalidError
from tiered_store.extensions import EXTENSIONS, MIMETYPES
from tiered_store.key import Key
from tiered_store.layout import (
    extension,
    key_of_object,
    key_of_path,
    mimetype_of,
    object_name,
    path_name,
    plain_path,
)


class Kind(StrEnum):
    """Of objects, as an application may have them."""

    ONE = "one"


class Number(IntEnum):
    """A size, as an application may have them."""

    ONE = 1


def accepted_keys() -> st.SearchStrategy[Key]:
    """Every key that the constructor accepts, the unlikely ones often."""

    def made(values: tuple[str, int, int, int, str]) -> Key | None:
        try:
            return Key(*values)
        except InvalidError:
            return None

    letters = st.characters(exclude_categories="CZ", exclude_characters="/\\")
    printable = st.characters(min_codepoint=33, max_codepoint=126)
    segments = st.text(letters, min_size=1) | st.from_regex(
        r"\A([\w. -]{1,6}|-?\d+|\d+\.\d+x\d+\.jpe)\Z",
        alphabet=st.characters(codec="ascii"),
    )
    invented = st.builds(
        "{}/{}".format,
        st.text(printable.filter("/".__ne__), min_size=1),
        st.text(printable, min_size=1),
    )
    integers = st.integers() | st.integers(-2000, 2000)
    types = st.lists(segments, min_size=1, max_size=3).map("/".join)
    mimes = st.sampled_from(sorted(EXTENSIONS)) | invented
    values = st.tuples(types, integers, integers, integers, mimes)
    return values.map(made).filter(bool)  # type: ignore[return-value]  # some are not


@pytest.mark.parametrize(
    ("key", "path", "name"),
    [
        (
            Key("testing", 1234, 405, 640, "image/jpeg"),
            "testing/234/1/1234.405x640.jpe",
            "testing/1234/405x640.jpe",
        ),
        (
            Key("comics.cover", 5, 30, 40, "image/png"),
            "comics.cover/5/0/5.30x40.png",
            "comics.cover/5/30x40.png",
        ),
        (
            Key("t", -7, 1, 2, "image/gif"),
            "t/993/-1/-7.1x2.gif",
            "t/-7/1x2.gif",
        ),
        (
            Key("t", 2**128 - 1, 1, 2, "image/svg+xml"),
            f"t/455/{2**128 // 1000}/{2**128 - 1}.1x2.svg",
            f"t/{2**128 - 1}/1x2.svg",
        ),
        (
            Key("a/b", 1000, 0, -1, "application/x-none"),
            "a/b/0/1/1000.0x-1.application%2Fx-none",
            "a/b/1000/0x-1.application%2Fx-none",
        ),
    ],
)
def test_names_are_the_originals(key: Key, path: str, name: str) -> None:
    """Byte for byte, so that people adopt the library over data they have."""
    assert path_name(key) == path
    assert object_name(key) == name
    assert key_of_path(path) == key
    assert key_of_object(name) == key


@settings(deadline=None)
@given(accepted_keys())
def test_every_name_can_be_read_back(key: Key) -> None:
    """What was put is listed as what it was, whatever its values."""
    same = key._replace(mimetype="text/javascript")
    expected = same if key.mimetype == "application/javascript" else key

    assert key_of_path(path_name(key)) == expected
    assert key_of_object(object_name(key)) == expected


@settings(deadline=None)
@given(accepted_keys())
def test_a_name_without_a_key_is_the_same(key: Key) -> None:
    """Or what was put would not be found."""
    assert plain_path("/r", "t", 1, 2, 3, "image/jpeg") == "/r/t/1/0/1.2x3.jpe"
    assert plain_path("/r", *key) in (None, f"/r/{path_name(key)}")


@pytest.mark.parametrize(
    "values",
    [
        ("", 1, 2, 3, "image/jpeg"),
        ("..", 1, 2, 3, "image/jpeg"),
        ("a/../../b", 1, 2, 3, "image/jpeg"),
        ("a\0", 1, 2, 3, "image/jpeg"),
        (Kind.ONE, 1, 2, 3, "image/jpeg"),
        (1, 1, 2, 3, "image/jpeg"),
        ("t", True, 2, 3, "image/jpeg"),
        ("t", "../../1", 2, 3, "image/jpeg"),
        ("t", 1, 2.0, 3, "image/jpeg"),
        ("t", 1, 2, Number.ONE, "image/jpeg"),
        ("t", 10**5000, 2, 3, "image/jpeg"),
        ("t", 1, 2, 3, "image"),
        ("t", 1, 2, 3, "IMAGE/JPEG"),
        ("t", 1, 2, 3, None),
        ("t", 1, 2, 3, ["image/jpeg"]),
    ],
)
def test_only_a_plain_key_has_a_name_at_once(values: Any) -> None:
    """What has to be looked at, put right or refused is for the key to see."""
    assert plain_path("/r", *values) is None


@settings(deadline=None)
@given(accepted_keys(), accepted_keys())
def test_two_objects_have_two_names(one: Key, other: Key) -> None:
    """Or the second would overwrite the first."""
    for key in (one._replace(mimetype=other.mimetype), other):
        if key != one and "javascript" not in key.mimetype:
            assert path_name(key) != path_name(one)
            assert object_name(key) != object_name(one)


@settings(deadline=None)
@given(st.text())
def test_foreign_names_are_passed_over(name: str) -> None:
    """Whatever lies about is either one of ours exactly, or none."""
    for text in (name, f"t/1/0/{name}", f"t/1/0/1.{name}", f"t/1/0/1.1x1.{name}"):
        key = key_of_path(text)
        assert key is None or path_name(key) == text
        key = key_of_object(text)
        assert key is None or object_name(key) == text


@pytest.mark.parametrize(
    "name",
    [
        *("", "readme", "t/1/0/.0011.part", "t/1/0/1.1x1", "t/1/0/1.1x1.", "/t/1/0"),
        *("t/1/0/01.1x1.png", "t/1/0/1.01x1.png", "t/1/0/1.1x1.PNG", "t/2/0/1.1x1.png"),
        *("t/1/0/+1.1x1.png", "t/1/0/1_0.1x1.png", "t/1/0/\u0661.1x1.png"),
        *("../1/0/1.1x1.png", "/1/0/1.1x1.png", "t//1/0/1.1x1.png", "1/0/1.1x1.png"),
        *("t/1/0/1.1x1.jpg", "t/1/0/1.1x1.jpeg", "t/1/0/1.1x1.unknown"),
        *("t/1/0/1.1x1.image%2Fpng", "t/1/0/1.1x1.a%2fb", "t/1/0/1.1x1.%2F"),
        *(f"t/1/0/{'9' * 5000}.1x1.png", f"t/1/0/1.{'9' * 5000}x1.png"),
        "t/1/0/1.1x1.application%2Fx-\udc80",
    ],
)
def test_names_that_only_look_alike_are_not_objects(name: str) -> None:
    """A listing must not show what a get of the key would not find."""
    assert key_of_path(name) is None
    assert key_of_object(name.replace("/1/0/1.", "/1/")) is None


@pytest.mark.parametrize(
    ("mimetype", "suffix"),
    [
        *[("image/jpeg", ".jpe"), ("image/png", ".png"), ("image/gif", ".gif")],
        *[("image/webp", ".webp"), ("image/svg+xml", ".svg"), ("image/tiff", ".tiff")],
        *[("image/bmp", ".bmp"), ("image/heic", ".heic"), ("image/avif", ".avif")],
        *[("application/pdf", ".pdf"), ("application/json", ".json")],
        *[("application/octet-stream", ".bin"), ("application/zip", ".zip")],
        *[("text/plain", ".txt"), ("text/html", ".html"), ("text/css", ".css")],
        *[("video/mp4", ".mp4"), ("audio/mpeg", ".mp3"), ("text/markdown", ".md")],
        *[("text/javascript", ".js"), ("application/javascript", ".js")],
    ],
)
def test_common_types_have_their_extension(mimetype: str, suffix: str) -> None:
    """Frozen: objects already stored carry these names."""
    assert extension(mimetype) == suffix
    assert mimetype_of(suffix) == mimetype.replace("application/javas", "text/javas")


def test_the_table_never_changes() -> None:
    """Not with the interpreter and not by accident; more may only be added."""
    lines = "\n".join(f"{mime} {suffix}" for mime, suffix in sorted(EXTENSIONS.items()))

    assert len(EXTENSIONS) == 103
    assert hashlib.sha256(lines.encode()).hexdigest() == (
        "4c5b6d769bb3e8c6279bcaaad3cc691e570edefe75145688e45c8f896ef458f7"
    )


def test_only_javascript_has_two_names() -> None:
    """Interpreters disagree which, and the original wrote both as .js."""
    assert len(MIMETYPES) == len(EXTENSIONS) - 1
    assert all(EXTENSIONS[mime] == suffix for suffix, mime in MIMETYPES.items())


def test_the_running_interpreter_agrees_where_it_knows() -> None:
    """The original asked it; image/jpeg was always its own."""
    tables = mimetypes.MimeTypes()  # without the machine's files
    said = {mime: tables.guess_extension(mime) for mime in EXTENSIONS}

    differing = {
        mime: suffix
        for mime, suffix in said.items()
        if suffix is not None and suffix != EXTENSIONS[mime]
    }
    assert set(differing) <= {"image/jpeg"}


def test_the_machine_has_no_say() -> None:
    """Two machines with different mime.types would lose each other's objects."""
    mimetypes.add_type("image/png", ".0png")
    mimetypes.add_type("application/x-none", ".none")
    try:
        assert extension("image/png") == ".png"
        assert extension("application/x-none") == ".application%2Fx-none"
    finally:
        mimetypes.init()


@pytest.mark.parametrize("mimetype", ["image/jpg", "application/rtf", "a/b.c+d;e=f/g"])
def test_a_type_without_an_extension_is_spelled_out(mimetype: str) -> None:
    """The original wrote None for all of them, so the second overwrote the first."""
    suffix = extension(mimetype)

    assert "/" not in suffix
    assert mimetype_of(suffix) == mimetype
