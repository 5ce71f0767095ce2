"""Values from outside come in after parsing, as text, and are never shown."""

from __future__ import annotations

import contextlib
import os

from pathlib import Path

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tests.configs import REGISTRY, LeafStore, of_leaf
from tiered_store.config import build
from tiered_store.errors import ConfigError


FORMS = "write ${env:NAME}, ${env:NAME:-default} or ${file:/path}; $${ for a plain ${"


@pytest.fixture(autouse=True)
def _in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BUCKET", "img")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("UNSET", raising=False)


def leaf(**options: object) -> LeafStore:
    """Return a leaf that is built with *options*."""
    store = build(
        {"version": 1, "stores": {"x": {"type": "leaf", "bucket": "b", **options}}},
        registry=REGISTRY,
    )
    assert isinstance(store, LeafStore)
    return store


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${env:BUCKET}", "img"),
        ("a-${env:BUCKET}-${env:UNSET:-b}-c", "a-img-b-c"),
        ("${env:BUCKET:-other}", "img"),
        ("${env:EMPTY}", ""),
        ("${env:EMPTY:-other}", "other"),
        ("${env:UNSET:-}", ""),
        ("${env:UNSET:-a: [b] # c}", "a: [b] # c"),
        ("$${env:BUCKET}", "${env:BUCKET}"),
        ("$$${env:BUCKET}", "$${env:BUCKET}"),
        ("$5 and $BUCKET and $(x)", "$5 and $BUCKET and $(x)"),
    ],
)
def test_references(text: str, value: str) -> None:
    """Variables and their defaults are put in; everything else stays."""
    assert leaf(bucket=text).bucket == value


def test_file(tmp_path: Path) -> None:
    """A secret is read from a file, without the line break that editors leave."""
    for content, value in [(b"s3cret\n", "s3cret"), (b"a\nb\r\n", "a\nb"), (b"", "")]:
        (tmp_path / "key").write_bytes(content)
        store = leaf(secret_key=f"${{file:{tmp_path}/key}}")
        assert store.secret_key is not None
        assert store.secret_key.reveal() == value  # type: ignore[union-attr] # a Secret


def test_text_becomes_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable is text, so where a number is asked for, it is read as one."""
    for name, value in [("N", "3"), ("R", "0.25"), ("B", "true"), ("S", "2KiB")]:
        monkeypatch.setenv(name, value)
    store = leaf(
        attempts="${env:N}", ratio="${env:R}", public="${env:B}", size="${env:S}"
    )
    assert (store.attempts, store.ratio, store.public, store.size) == (
        3,
        0.25,
        True,
        2048,
    )


def test_type_and_names_may_come_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which store is used may depend on where it runs."""
    monkeypatch.setenv("WHICH", "b")
    monkeypatch.setenv("TYPE", "leaf")
    store = build(
        {
            "version": 1,
            "default": "${env:WHICH}",
            "stores": {
                "a": {"type": "memory"},
                "b": {"type": "${env:TYPE}", "bucket": "x"},
            },
        },
        registry=REGISTRY,
    )
    assert isinstance(store, LeafStore)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "${env:UNSET}",
            "environment variable UNSET is not set; set it, or give a default: "
            "${env:UNSET:-default}",
        ),
        ("${env:BUCKET", f"a '${{' that is never closed; {FORMS}"),
        ("${BUCKET}", f"unknown reference ${{...}} without a kind; {FORMS}"),
        ("${}", f"unknown reference ${{...}} without a kind; {FORMS}"),
        ("${evn:BUCKET}", f"unknown kind of reference 'evn'; {FORMS}"),
        ("${env:}", f"${{env:...}} needs the name of a variable; {FORMS}"),
        ("${env:A B}", f"${{env:...}} needs the name of a variable; {FORMS}"),
        (
            "${file:key}",
            "${file:...} needs an absolute path, such as /run/secrets/x",
        ),
        (
            "${file:/no/such}",
            "secret file /no/such cannot be read: no such file or directory",
        ),
        ("${file:/dev/zero}", "secret file /dev/zero is no regular file"),
        ("${file:/}", "secret file / is no regular file"),
        (
            "${file:/a\0b}",
            "secret file '/a\\x00b' cannot be read: its name has a null character",
        ),
        (
            "${env:UNSET:-${env:HOME}}",
            "a reference inside another; one stands by itself",
        ),
    ],
)
def test_wrong_references(text: str, said: str) -> None:
    """What cannot be put in is named, with what to do instead."""
    with pytest.raises(ConfigError) as caught:
        leaf(bucket=text)
    assert caught.value.problems == (f"stores.x.bucket: {said}",)


def test_every_missing_variable_is_named() -> None:
    """Nobody wants to start a program once for each variable."""
    with pytest.raises(ConfigError) as caught:
        leaf(
            bucket="${env:UNSET}/${env:UNSET2}/${env:UNSET}",
            size="${env:UNSET}",
            pair=["${env:UNSET}", "x"],
            names=["${env:UNSET3}"],
        )
    assert caught.value.problems == tuple(
        f"stores.x.{where}: environment variable {name} is not set; set it, or give a "
        f"default: ${{env:{name}:-default}}"
        for where, name in [
            ("bucket", "UNSET"),
            ("bucket", "UNSET2"),
            ("size", "UNSET"),
            ("pair[0]", "UNSET"),
            ("names[0]", "UNSET3"),
        ]
    )


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe that nobody writes to does not hang whoever reads."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError) as caught:
        leaf(bucket=f"${{file:{tmp_path}/pipe}}")
    assert str(caught.value) == (
        f"stores.x.bucket: secret file {tmp_path}/pipe is no regular file"
    )


def test_file_that_is_no_secret(tmp_path: Path) -> None:
    """Neither a large file nor one of other bytes is a secret."""
    for name, content, why in [
        ("large", b"x" * 65537, "is larger than 64 KiB"),
        ("bytes", b"\xff", "is not UTF-8"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            leaf(bucket=f"${{file:{tmp_path}/{name}}}")
        assert (
            str(caught.value) == f"stores.x.bucket: secret file {tmp_path}/{name} {why}"
        )


@pytest.mark.parametrize("name", ["environ", "cmdline", "root/proc/self/environ"])
def test_what_the_kernel_makes_up_is_no_secret(name: str) -> None:
    """Whoever may write a file must not send the whole environment somewhere."""
    with pytest.raises(ConfigError) as caught:
        leaf(bucket=f"http://example.com/${{file:/proc/self/{name}}}")
    assert str(caught.value) == (
        f"stores.x.bucket: secret file /proc/self/{name} cannot be read: the kernel "
        "makes it up, and no one put a secret there"
    )


def test_a_secret_as_containers_mount_it(tmp_path: Path) -> None:
    """Links to a directory that is replaced as a whole; an empty file is empty."""
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026" / "key").write_text("hunter2\n")
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "key").symlink_to("..data/key")
    (tmp_path / "empty").touch()
    assert leaf(bucket=f"${{file:{tmp_path}/key}}").bucket == "hunter2"
    assert leaf(bucket=f"${{file:{tmp_path}/empty}}").bucket == ""


def test_variable_that_is_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of other bytes cannot be a value."""
    monkeypatch.setenv("BYTES", "\udcff")
    with pytest.raises(ConfigError) as caught:
        leaf(bucket="${env:BYTES}")
    assert str(caught.value) == (
        "stores.x.bucket: environment variable BYTES is not UTF-8"
    )


def test_keys_are_left_alone() -> None:
    """References are for values: a key is what it says."""
    said = of_leaf("bucket: x, '${env:BUCKET}': y")
    assert len(said) == 1
    assert said[0].startswith("stores.x.'${env:BUCKET}': unknown key '${env:BUCKET}'; ")


def test_descriptors_are_closed(tmp_path: Path) -> None:
    """Reading secrets leaves nothing open, whatever they are."""
    (tmp_path / "key").write_bytes(b"x")
    before = len(os.listdir("/proc/self/fd"))
    for name in ("key", "", "none"):
        with contextlib.suppress(ConfigError):
            leaf(bucket=f"${{file:{tmp_path}/{name}}}")
    assert len(os.listdir("/proc/self/fd")) == before


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8")))
def test_no_value_brings_structure(value: str) -> None:
    """Whatever a variable holds, it is one text where it stands."""
    before = os.environ.get("ANY")
    os.environ["ANY"] = value
    try:
        store = leaf(bucket="${env:ANY}", names=["a", "${env:ANY}"])
    finally:
        del os.environ["ANY"]
        if before is not None:
            os.environ["ANY"] = before
    assert store.bucket == value
    assert store.names == ("a", value)


def test_value_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference inside a value is text: no variable can ask for a file."""
    monkeypatch.setenv("EVIL", "${file:/etc/passwd}")
    assert leaf(bucket="${env:EVIL}").bucket == "${file:/etc/passwd}"
    assert leaf(bucket="${env:UNSET:-$}{env:BUCKET}").bucket == "${env:BUCKET}"
