"""The command that compares replicas: what it prints, and what survives its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

from pathlib import Path
from typing import Any

import pytest

from tests.waiting import until
from tiered_store import load
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.body import Body
from tiered_store.cli import main
from tiered_store.key import Key
from tiered_store.layout import object_name, path_name


MIRROR = """
    version: 1
    default: images
    stores:
      images:
        type: replicated
        replicas: {{us: us, eu: eu}}
        journal: {{type: sqlite, path: {folder}/journal.db}}
      us: {{type: filesystem, path: {folder}/us, create: true}}
      eu: {{type: filesystem, path: {folder}/eu, create: true}}
"""
Captured = pytest.CaptureFixture[str]


def key(number: int) -> Key:
    """Return the key of an object."""
    return Key("comics.cover", number, 30, 40, "image/png")


class Place:
    """A mirror of two directories."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "stack.yaml"
        self.config.write_text(textwrap.dedent(MIRROR).format(folder=folder))
        self.us = FileSystemStore(str(folder / "us"), create=True)
        self.eu = FileSystemStore(str(folder / "eu"), create=True)

    def write(self, count: int) -> None:
        """Store *count* objects."""
        with load(self.config) as store:
            for number in range(count):
                store.put(key(number), Body.of(b"content"))

    def age(self, number: int) -> None:
        """Have an object be older than the journal, wherever it is."""
        for replica in ("us", "eu"):
            path = self.folder / replica / path_name(key(number))
            if path.exists():
                os.utime(path, (time.time() - 86400,) * 2)

    def lose_journal(self) -> None:
        """Take it away, while nobody uses it."""
        for path in self.folder.glob("journal.db*"):
            path.unlink()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A place that every command finds."""
    made = Place(tmp_path)
    monkeypatch.setenv("TIERED_STORE_CONFIG", str(made.config))
    return made


def told(captured: Captured) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the differences and what was said in the end."""
    *differences, end = map(json.loads, captured.readouterr().out.splitlines())
    return differences, end


def test_the_same_is_status_zero(place: Place, capsys: Captured) -> None:
    """In one line."""
    place.write(3)

    assert main(["verify"]) == 0

    out = capsys.readouterr().out
    assert out == "images: 3 compared, 42 B read: the same\n"


def test_differences_are_told_and_are_status_one(
    place: Place, capsys: Captured
) -> None:
    """Object by object, with what would be done and why."""
    place.write(3)
    place.eu.put(key(1), Body.of(b"another"))
    place.us.delete(key(2))

    assert main(["verify", "--json"]) == 1

    differences, end = told(capsys)
    by_name = {one["object"]: one for one in differences}
    assert by_name[object_name(key(1))]["wrong"] == {
        "us": "different",
        "eu": "different",
    }
    assert by_name[object_name(key(1))]["outcome"] == "undecided"
    assert by_name[object_name(key(2))]["wrong"] == {"us": "missing"}
    assert (end["objects"], end["different"], end["left"]) == (3, 2, 2)
    assert main(["verify"]) == 1
    out = capsys.readouterr().out
    assert "comics.cover/1/30x40.png\tundecided\t" in out
    assert "say whom to --trust" in out


def test_a_lost_journal_makes_nobody_believe_in_presence(
    place: Place, capsys: Captured
) -> None:
    """
    A replica was away during a delete, and the journal that knew of it is gone.

    By itself nothing is copied back; whoever knows which one was away says so.
    """
    place.write(3)
    place.eu.delete(key(1))  # as the delete left it, which us has missed
    for number in range(3):
        place.age(number)
    place.lose_journal()

    assert main(["verify", "--repair", "--json"]) == 1
    differences, end = told(capsys)
    assert end["undecided"] == 1
    assert "may have been deleted" in differences[0]["why"]
    assert main(["verify", "--trust", "eu"]) == 1
    assert "would delete us" in capsys.readouterr().out
    assert place.us.get(key(1)).read() == b"content"

    assert main(["verify", "--trust", "eu", "--repair"]) == 0
    assert sorted(place.us.keys()) == sorted(place.eu.keys()) == [key(0), key(2)]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--compare", "colours"], "--compare: expected 'quick', 'sizes' or 'bytes'"),
        (["--trust", "ap"], "no replica 'ap'; there are eu, us"),
        (["--rate", "-1"], "--rate: expected a number"),
        (["us"], "no mirror in 'us'"),
    ],
)
def test_wrong_usage_is_status_two(
    place: Place, words: list[str], why: str, capsys: Captured
) -> None:
    """Before anything is touched."""
    assert main(["verify", *words]) == 2
    assert why in capsys.readouterr().err


def test_a_replica_that_is_away_is_status_one(place: Place, capsys: Captured) -> None:
    """It does not look like an empty one."""
    place.write(1)
    (place.folder / "eu").rename(place.folder / "away")
    (place.folder / "eu").write_text("no directory")

    assert main(["verify", "--repair", "--trust", "us"]) == 1
    assert "no such directory" in capsys.readouterr().err


def start(*words: str) -> subprocess.Popen[str]:
    """Start the real command."""
    return subprocess.Popen(
        [sys.executable, "-m", "tiered_store", "verify", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_one_that_ends_early_is_gone_on_with(
    place: Place, number: signal.Signals, capsys: Captured
) -> None:
    """Nothing is looked at twice but what was under way; what was found counts on."""
    count = 1000
    place.write(count)
    place.eu.delete(key(0))
    notes = place.folder / "notes.json"
    words = ["--json", "--resume", str(notes)]
    first = start(*words, "--rate", "100", "--parallel", "1")
    try:
        until(lambda: notes.exists())
        first.send_signal(number)
        out, _ = first.communicate(timeout=60)
    finally:
        first.kill()
    if number == signal.SIGTERM:
        assert first.returncode == 1
        assert json.loads(out.splitlines()[-1])["ended"] is True
    (seen,) = json.loads(notes.read_text())["reports"].values()
    assert 0 < seen["objects"] < count

    assert main(["verify", *words]) == 1

    differences, end = told(capsys)
    assert (end["objects"], end["different"]) == (count, 1)
    assert differences == []  # it was found before
    assert not notes.exists()


def test_notes_of_another_comparison_are_refused(
    place: Place, capsys: Captured
) -> None:
    """Half of one and half of another would say nothing."""
    place.write(3)
    notes = place.folder / "notes.json"
    assert main(["verify", "--resume", str(notes), "--limit", "1"]) == 0
    assert main(["verify", "--resume", str(notes), "--repair"]) == 2
    assert "of another comparison" in capsys.readouterr().err
    notes.write_text("{}")
    assert main(["verify", "--resume", str(notes)]) == 2
    assert "is no such file" in capsys.readouterr().err


def test_two_repairs_at_once_converge(place: Place) -> None:
    """Whoever has the lease puts it right, and the other one finds it so."""
    place.write(100)
    for number in range(0, 100, 2):
        place.eu.delete(key(number))
    for number in range(1, 100, 2):
        place.eu.put(key(number), Body.of(b"another"))
    words = ["--repair", "--trust", "us"]

    begun = [start(*words) for _ in range(3)]
    for process in begun:
        process.communicate(timeout=60)

    assert main(["verify", *words]) == 0
    assert {place.eu.get(one).read() for one in place.eu.keys()} == {b"content"}
    assert len(list(place.eu.keys())) == 100


def test_a_repair_that_is_killed_loses_nothing(place: Place) -> None:
    """What it had noted is in the journal: nobody believes it, and a repair goes on."""
    place.write(300)
    for number in range(300):
        place.eu.put(key(number), Body.of(b"another"))
    process = start("--repair", "--trust", "us", "--rate", "200", "--parallel", "1")
    try:
        until(lambda: place.eu.get(key(0)).read() == b"content")
    finally:
        process.kill()
        process.communicate()

    assert main(["verify", "--repair", "--trust", "us"]) == 0
    assert {place.eu.get(one).read() for one in place.eu.keys()} == {b"content"}
    with load(place.config) as store:
        assert store.get(key(299)).read() == b"content"
