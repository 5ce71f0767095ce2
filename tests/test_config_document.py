"""Files are read safely, exactly, and with a place for everything that is wrong."""

from __future__ import annotations

import os
import sys

from pathlib import Path

import pytest

from tests.configs import REGISTRY, problems, written
from tiered_store.config import build, check, load
from tiered_store.config.composer import parse
from tiered_store.config.problems import Problems
from tiered_store.errors import ConfigError


@pytest.fixture(autouse=True)
def _in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def tree(text: str) -> object:
    """Return *text* as plain values."""
    found = Problems()
    node = parse(text, "x.yml", found)
    assert not found, found.lines()
    assert node is not None
    return node.plain()


def complaints(text: str) -> list[str]:
    """Return what is wrong with *text*, as YAML."""
    found = Problems()
    parse(text, "x.yml", found)
    return found.lines()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("no", "no"),
        ("on", "on"),
        ("12", 12),
        ("-3", -3),
        ("1_000_000", 1_000_000),
        ("010", "010"),
        ("0x1F", 31),
        ("0o17", 15),
        ("12:30", "12:30"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1e999", "1e999"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("2024-01-01", "2024-01-01"),
        ("+", "+"),
        ("e5", "e5"),
        ("'12'", "12"),
        ('"\\u00e9"', "é"),
        ("!!str 12", "12"),
        ("! 12", "12"),
        ("9" * 41, "9" * 41),
        ("|\n  two\n  lines\n", "two\nlines\n"),
        ("[a, {b: c}]", ["a", {"b": "c"}]),
    ],
)
def test_scalar(text: str, value: object) -> None:
    """Scalars mean what YAML 1.2 says, and nothing that looks like a trap."""
    found = tree(f"x: {text}")
    assert found == {"x": value}
    assert type(found["x"]) is type(value)


def test_keys_are_words() -> None:
    """A key is what is written, not what it could mean."""
    assert tree("{1: a, on: b, ~: c, 'x y': d}") == {
        "1": "a",
        "on": "b",
        "~": "c",
        "x y": "d",
    }


def test_alias_copies() -> None:
    """An alias is another copy, and ``<<`` gives way to what is written."""
    text = """
a: &a {x: 1, y: [2]}
b: *a
c: {<<: *a, x: 3}
d: {<<: [{z: 4, x: 5}, *a]}
"""
    assert tree(text) == {
        "a": {"x": 1, "y": [2]},
        "b": {"x": 1, "y": [2]},
        "c": {"x": 3, "y": [2]},
        "d": {"z": 4, "x": 5, "y": [2]},
    }


def test_alias_has_its_own_path() -> None:
    """What is wrong in a copy is said where it is used and where it is written."""
    found = problems(
        """\
        version: 1
        default: a
        stores:
          a: {type: leaf, bucket: x, window: &w {calls: many}}
          b: {type: leaf, bucket: x, window: *w}
        """
    )
    assert found == [
        "images.yml:4:49 stores.a.window.calls: expected a whole number, got 'many'",
        "images.yml:4:49 stores.b.window.calls: expected a whole number, got 'many'",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:\n\tb: 1\n", "2:1: a tab where only spaces may stand; use spaces"),
        ("a: b: c", "1:5: a ':' that begins no value; indent as above, or put the "
                    "value in quotes"),
        ("a: [1, 2\nb: 3\n", "1:4: a '[' that is never closed, or lacks a ','"),
        ("a: {x: 1\nb: 2\n", "1:4: a '{' that is never closed, or lacks a ','"),
        ("a: 'abc\nb: 2\n", "1:4: a quote that is never closed"),
        ("a: @x", "1:4: a value that begins with '@' needs quotes"),
        ("a: `x", "1:4: a value that begins with '`' needs quotes"),
        ("a: %x", "1:4: a value that begins with '%' needs quotes"),
        ("- a\nb: 1\n", "2:1: this does not continue what stands above; indent "
                        "alike, or use quotes"),
        (" a: 1\nb: 2\n", "2:1: this does not continue what stands above; indent "
                          "alike, or use quotes"),
        ('a: "\\q"', "1:6: an unknown escape; write \\\\ for a backslash, or use "
                     "single quotes"),
        ('a: "\\U99999999"', "1:7: no YAML: not a character"),
        ('a: "\\ud800"', "1:4 a: half a character: an escaped surrogate"),
        ("%YAML 3.0\n---\na: 1", "1:1: no YAML: found incompatible YAML document "
                                 "(version 1.* is required)"),
        ("a: }", "1:4: no YAML: expected the node content, but found '}'"),
        ("a: 1\n---\nb: 2\n", "2:1: a second document; one file holds one"),
        ("a: \x07", "1:4: a character that is no text: U+0007"),
        ("a: *x", "1:4 a: alias *x: no such anchor stands above it"),
        ("a: &x [*x]", "1:8 a[0]: alias *x: no such anchor stands above it"),
        ("a: !!python/object/apply:os.system []",
         "1:4 a: tag '!!python/object/apply:os.system': tags are not supported; "
         "put a text in quotes"),
        ("a: !secret x",
         "1:4 a: tag '!secret': tags are not supported; put a text in quotes"),
        ("? [a]\n: b", "1:3: a key is a word, nothing else"),
        ("a: {<<: 3}", "1:9 a: only mappings can be merged"),
        ("a: 1\nb: 2\na: 3", "3:1 a: duplicate key 'a'; the first is on line 1"),
        ("a:\n  'x y': 1\n  'x y': 1\n", "3:3 a.'x y': duplicate key 'x y'; the first "
                                         "is on line 2"),
        ("", ": empty; begin with version: 1"),
        ("# only a comment\n", ": empty; begin with version: 1"),
    ],
)  # fmt: skip
def test_no_yaml(text: str, said: str) -> None:
    """What is no YAML, or too much of it, is said in words that help."""
    separator = "" if said.startswith(":") else ":"
    assert complaints(text) == [f"x.yml{separator}{said}"]


def test_duplicates_are_all_found() -> None:
    """YAML is silent about a key that is given twice; we are not."""
    assert complaints("a: 1\nb: {c: 1, c: 2}\na: 2\na: 3\n") == [
        "x.yml:2:11 b.c: duplicate key 'c'; the first is on line 2",
        "x.yml:3:1 a: duplicate key 'a'; the first is on line 1",
        "x.yml:4:1 a: duplicate key 'a'; the first is on line 1",
    ]


def test_a_second_merge_is_a_duplicate() -> None:
    """Which of two would win, YAML does not say; a list says it."""
    assert complaints(
        "a:\n  <<: {b: 1}\n  <<: {b: 2}\nc: {<<: [{b: 1}, {b: 2}]}\n"
    ) == [
        "x.yml:3:3 a.'<<': duplicate key '<<'; the first is on line 2",
    ]


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\u0085"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_are_those_of_an_editor(odd: str, end: str) -> None:
    """What YAML once took for the end of a line is none to anybody else."""
    assert complaints(f"a: 'x{odd}y'{end}b: {{{odd}'c': *d}}{end}") == [
        "x.yml:2:11 b.c: alias *d: no such anchor stands above it"
    ]


def test_aliases_that_explode_are_refused() -> None:
    """A few lines cannot become a billion values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert complaints("\n".join(lines)) == [
        "x.yml:4:45: more than 10000 values, what aliases copy included"
    ]


@pytest.mark.parametrize("opened", ["[", "{a: ", "- ", "? ", "- ? "])
def test_depth_is_bounded(opened: str) -> None:
    """However deep a file is nested, it is refused without effort."""
    (said,) = complaints(opened * 20_000)
    assert said.endswith(
        ("nested more than 32 deep", "a key is a word, nothing else")
    ) or said.startswith("x.yml:1:1: ")


def test_deep_flow_is_refused() -> None:
    """The thirty-third level is one too many."""
    assert complaints("[" * 40 + "]" * 40) == ["x.yml:1:34: nested more than 32 deep"]
    assert complaints("[" * 33 + "]" * 33) == []


def test_columns_count_characters() -> None:
    """A place is a character, whatever it takes in bytes."""
    assert complaints("é: [ü, *x]") == [
        "x.yml:1:8 é[1]: alias *x: no such anchor stands above it"
    ]


def test_missing_file() -> None:
    """A file that is not there is named."""
    assert check("no.yml") == ["no.yml: cannot be read: no such file or directory"]
    with pytest.raises(ConfigError) as caught:
        load("no.yml")
    assert str(caught.value) == "no.yml: cannot be read: no such file or directory"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (".", ".: cannot be read: is a directory"),
        ("a\0b", "'a\\x00b': cannot be read: its name has a null character"),
        ("a\nb", "'a\\nb': cannot be read: no such file or directory"),
    ],
)
def test_no_file(name: str, why: str) -> None:
    """Whatever cannot be read is a problem like any other, in one line."""
    assert check(name) == [why]


def test_unreadable_file() -> None:
    """A file that may not be read says so."""
    Path("x.yml").write_text("version: 1")
    Path("loop.yml").symlink_to("loop.yml")
    assert check("loop.yml") == [
        "loop.yml: cannot be read: too many levels of symbolic links"
    ]


def test_path_object() -> None:
    """A path may be an object."""
    written("{version: 1, stores: {a: {type: memory}}}")
    assert str(load(Path("images.yml"))) == "a"


def test_other_encodings() -> None:
    """Only UTF-8 is text; the place of the first other byte is given."""
    Path("x.yml").write_bytes(b"version: 1\nname: caf\xe9\n")
    assert check("x.yml") == ["x.yml:2:10: not UTF-8; save it as that"]
    Path("x.yml").write_bytes("version: 1\n".encode("utf-16"))
    assert check("x.yml") == ["x.yml:1:1: not UTF-8; save it as that"]


def test_byte_order_mark() -> None:
    """A byte order mark is no part of the first key."""
    Path("x.yml").write_bytes(b"\xef\xbb\xbf{version: 1, stores: {a: {type: memory}}}")
    assert check("x.yml") == []
    Path("x.yml").write_bytes(b"\xef\xbb\xbf[a]")
    assert check("x.yml") == [
        "x.yml:1:1: expected a mapping with version, default and stores, got a list"
    ]


def test_large_file() -> None:
    """What is too large to be meant is not parsed."""
    Path("x.yml").write_text("# " + "x" * 1024 * 1024)
    assert check("x.yml") == ["x.yml: larger than 1024 KiB"]


def test_endless_file() -> None:
    """A device delivers no more than is asked for."""
    assert check("/dev/zero") == ["/dev/zero: larger than 1024 KiB"]


def test_descriptors_are_closed() -> None:
    """Reading leaves nothing open."""
    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    for _ in range(10):
        check(written("{version: 1}"))
        check(".")
    after = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    assert after == before


def test_mapping_has_paths() -> None:
    """Without a file the path alone says where."""
    with pytest.raises(ConfigError) as caught:
        build(
            {
                "version": 1,
                "stores": {
                    "a": {
                        "type": "leaf",
                        "bucket": object(),
                        "ratio": float("nan"),
                        "names": (1, "x"),
                        "size": 2**300,
                    }
                },
            },
            registry=REGISTRY,
        )
    assert caught.value.problems == (
        "stores.a.bucket: expected a plain value, got an object: object",
        "stores.a.ratio: not a finite number: nan",
        "stores.a.size: expected a plain value, got an object: int",
        "stores.a.names[0]: expected a text, got 1; put it in quotes",
    )


def test_mapping_that_holds_itself() -> None:
    """A mapping that contains itself is refused like one that is too deep."""
    mapping: dict[str, object] = {"version": 1}
    mapping["stores"] = mapping
    with pytest.raises(ConfigError) as caught:
        build(mapping)
    assert str(caught.value) == "nested more than 32 deep"


@pytest.mark.parametrize("value", [None, 3, "x", [1]])
def test_no_mapping(value: object) -> None:
    """Something else than a mapping is said to be so."""
    shown = {"None": "nothing", "3": "3", "x": "'x'", "[1]": "a list"}[str(value)]
    with pytest.raises(ConfigError) as caught:
        build(value)  # type: ignore[arg-type] # which is the point
    assert str(caught.value) == (
        f"expected a mapping with version, default and stores, got {shown}"
    )
