"""Numbers on the command line are within bounds, or refused before anything happens."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import re
import resource

from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer

from tiered_store.cli import main
from tiered_store.cli.amounts import Default, duration, number, size, whole, word
from tiered_store.cli.program import COMMANDS


STACK = """
version: 1
stores:
  images:
    type: replicated
    replicas: {us: {type: filesystem, path: us}, eu: {type: filesystem, path: eu}}
    journal: {type: sqlite, path: journal.db}
"""
ABSURD = ("nan", "inf", "-1", "1e400", "x", "", "9" * 5000, "-0s", "1e-9", "½", "\0")


def numeric() -> list[tuple[str, str, Any]]:
    """Return every option that is a number: its command, its name, itself."""
    found = []
    for command, module in COMMANDS.items():
        function = getattr(importlib.import_module(module), command)
        hints = get_type_hints(function, include_extras=True)
        for name, hint in hints.items():
            plain, *marks = get_args(hint) or (hint,)
            if not {int, float} & {plain, *get_args(plain)}:
                continue
            [mark] = marks
            spelled = [f"--{name.replace('_', '-')}"]  # unless it says otherwise
            for flag in (mark.default, *(mark.param_decls or ())):
                spelled += [flag] if str(flag).startswith("--") else []
            found.append((command, spelled[-1], mark))
    return found


NUMERIC = numeric()


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand beside a mirror of two directories that are not there yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIERED_STORE_CONFIG", "stack.yaml")
    (tmp_path / "stack.yaml").write_text(STACK)
    return tmp_path


def test_they_are_found() -> None:
    """Else the tests below would pass, having nothing to look at."""
    assert {("drain", "--for"), ("repair", "--rate"), ("serve", "--port")} <= {
        (command, option) for command, option, _ in NUMERIC
    }


@pytest.mark.parametrize(
    ("command", "option"), [(command, option) for command, option, _ in NUMERIC]
)
def test_an_absurd_number_is_refused_at_once(
    command: str,
    option: str,
    stack: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Status 2, one sentence with the option, what it takes, and what it was."""
    assert main([command, f"{option}=nan"]) == 2

    said = capsys.readouterr().err
    assert re.fullmatch(
        rf"tiered-store: {option}: expected a (whole number|number|size|duration) "
        rf"from \S+ to \S+(, such as .+)?, got 'nan'; "
        rf"see tiered-store {command} --help\n",
        said,
    )
    assert [path.name for path in stack.iterdir()] == ["stack.yaml"]


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["drain", "us", "--for", "0s"], "--for"),
        (["repair", "--every", "0"], "--every"),
        (["repair", "--rate", "0"], "--rate"),
        (["verify", "--bandwidth", "0"], "--bandwidth"),
        (["verify", "--parallel", "0"], "--parallel"),
        (["pending", "--limit", "0"], "--limit"),
        (["check", "--connect", "--timeout", "0s"], "--timeout"),
        (["serve", "--timeout", "0s"], "--timeout"),
        (["drill", "--patience", "2m"], "--patience"),
        (["drill", "stack.yaml", "--require", "lost=-1"], "--require"),
    ],
)
def test_what_would_never_do_anything(
    words: list[str],
    option: str,
    stack: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A drain that is over before it begins was reported as done."""
    assert main(words) == 2

    assert capsys.readouterr().err.startswith(f"tiered-store: {option}: ")


@pytest.mark.parametrize("option", ["--ttl", "--reproducible-ttl"])
def test_nothing_may_be_meant(option: str) -> None:
    """Browsers that ask each time are a wish; what is read is checked all the same."""
    [mark] = [each for _, name, each in NUMERIC if name == option]

    assert mark.parser("0s") == 0.0


def test_a_default_is_a_number_like_any_other() -> None:
    """Also in a process that is given it, as the workers of ``serve`` are."""
    default = Default("1h30m")

    assert default == pickle.loads(pickle.dumps(default)) == copy.deepcopy(default)
    assert str(pickle.loads(pickle.dumps(default))) == "1h30m"
    assert type(duration()(default)) is float


def test_the_defaults_are_shown_as_they_are_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Not as a number of unknown unit."""
    assert main(["serve", "--help"]) == 0

    said = capsys.readouterr().out
    assert {"5m", "1m", "30s", "64"} <= set(re.findall(r"\[default: (\S+)\]", said))


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (duration(), "1h30m", 5400.0),
        (duration(), "2", 2.0),
        (duration(), 2.5, 2.5),
        (size("1KiB", "1TiB"), "20MiB", 20 * 1024**2),
        (size("1KiB", "1TiB"), "1TiB", 1024**4),
        (number(0.001, 10), "1e-3", 0.001),
        (whole(0, 9), " 9 ", 9),
        (word(("quick", "bytes")), "bytes", "bytes"),
    ],
)
def test_what_is_within_is_taken(parse: Any, text: Any, value: object) -> None:
    """Bounds included; a default comes as the number that it is."""
    assert parse(text) == value


@pytest.mark.parametrize("absurd", ABSURD)
def test_nothing_absurd_gets_through(absurd: str) -> None:
    """Through any of them; it is a complaint and no trace of an exception."""
    for _, _, mark in NUMERIC:
        with pytest.raises(typer.BadParameter, match=r"expected a .+, got "):
            mark.parser(absurd)


def test_every_parser_belongs_to_an_option() -> None:
    """An option without one would say what typer says, and take what float() does."""
    assert all(mark.parser is not None for _, _, mark in NUMERIC)
    assert all("within" in repr(mark.parser).lower() for _, _, mark in NUMERIC)


def test_a_word_is_one_of_those_there_are(
    stack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the nearest, as in a configuration."""
    assert main(["verify", "--compare", "byte"]) == 2

    assert (
        "--compare: expected 'quick', 'sizes' or 'bytes', got 'byte'; "
        "did you mean 'bytes'?"
    ) in capsys.readouterr().err


@pytest.fixture
def kept(stack: Path) -> str:
    """Keep an object of a megabyte, and return its name."""
    for folder in ("us", "eu"):
        (stack / folder).mkdir()
    (stack / "one").write_bytes(bytes(2**20))
    name = "comics.cover/5/30x40.png"
    assert main(["put", "one", name]) == 0
    return name


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("nowhere/x", "no such file or directory"),
        ("us", "is a directory"),
        ("stack.yaml/x", "not a directory"),
    ],
)
def test_a_place_that_cannot_be_written(
    place: str, why: str, kept: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong usage, and said before a byte is fetched, as of what is not there."""
    for name in (kept, kept.replace("5", "6")):
        assert main(["get", name, "-o", place]) == 2
        said = capsys.readouterr().err
        assert said == f"tiered-store: cannot write {place!r}: {why}\n"


def test_a_place_that_is_full(
    kept: str, stack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It failed, and what was there before is there still."""
    (stack / "mine").write_bytes(b"before")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    try:
        status = main(["get", kept, "-o", "mine"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert status == 1
    said = capsys.readouterr().err
    assert said == "tiered-store: cannot write 'mine': file too large\n"
    assert (stack / "mine").read_bytes() == b"before"
    assert not list(stack.glob("*.part"))
    assert not list(stack.glob(".*.part"))


def test_a_device_that_is_full(kept: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is no file to replace, and all the same it is named."""
    assert main(["get", kept, "-o", "/dev/full"]) == 1

    said = capsys.readouterr().err
    assert said == "tiered-store: cannot write '/dev/full': no space left on device\n"


def test_options_are_looked_at_by_their_types() -> None:
    """The list above is made of annotations: a command must have them."""
    for command, module in COMMANDS.items():
        function = getattr(importlib.import_module(module), command)
        taken = set(inspect.signature(function).parameters)
        assert taken <= get_type_hints(function).keys()
