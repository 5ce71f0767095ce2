"""The commands that bring replicas up to date: what an operator does at night."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import until
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.body import Body
from tiered_store.cli import main
from tiered_store.journals.row import NEVER
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.key import Key
from tiered_store.layout import object_name
from tiered_store.store import Store


MIRROR = """
    version: 1
    default: images
    stores:
      images: {{type: cached, tiers: [{{type: memory}}], origin: regions}}
      regions:
        type: replicated
        replicas: {{us: us, eu: eu}}
        journal: {{type: sqlite, path: {folder}/journal.db}}
      us: {{type: filesystem, path: {folder}/us, create: true}}
      eu: {{type: filesystem, path: {folder}/eu}}
"""
TWO_MIRRORS = """
    version: 1
    default: both
    stores:
      both:
        type: routed
        routes: {{covers: covers, pages: pages}}
        rules: [{{to: covers, object_type: comics.cover}}]
        default: pages
      covers:
        type: replicated
        replicas: {{us: us, eu: eu}}
        journal: {{type: sqlite, path: {folder}/journal.db}}
      pages:
        type: replicated
        replicas: {{us: us, eu: eu}}
        journal: {{type: sqlite, path: {folder}/pages.db}}
      us: {{type: filesystem, path: {folder}/us, create: true}}
      eu: {{type: filesystem, path: {folder}/eu}}
"""
Captured = pytest.CaptureFixture[str]


def key(number: int) -> Key:
    """Return the key of an object."""
    return Key("comics.cover", number, 30, 40, "image/png")


class Place:
    """A mirror of two directories, ``eu`` of which comes and goes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "stack.yaml"
        self.config.write_text(textwrap.dedent(MIRROR).format(folder=folder))

    def store(self) -> Store:
        """Return the stack, as another process would have it."""
        from tiered_store import load

        return load(self.config)

    def write(self, count: int, size: int = 100) -> None:
        """Store *count* objects while ``eu`` is not mounted."""
        with self.store() as store:
            for number in range(count):
                store.put(key(number), Body.of(number.to_bytes(2, "big") * size))

    def mount(self) -> None:
        """Have ``eu`` back."""
        (self.folder / "eu").mkdir()

    def held(self, replica: str) -> dict[int, bytes]:
        """Return what *replica* has."""
        store = FileSystemStore(str(self.folder / replica))
        return {one.object_id: store.get(one).read() for one in store.keys()}

    def journal(self) -> SQLiteJournal:
        """Return the journal."""
        return SQLiteJournal(str(self.folder / "journal.db"))

    def left(self) -> int:
        """Return how many rows there are."""
        journal = self.journal()
        rows = len(list(journal.pending()))
        journal.close()
        return rows

    def bury(self, number: int) -> None:
        """Make a dead letter of the row of an object."""
        journal = self.journal()
        row = journal.rows(key(number))["eu"]
        journal.blame(row, "5 GiB at most", NEVER)
        journal.close()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A place that every command finds."""
    made = Place(tmp_path)
    monkeypatch.setenv("TIERED_STORE_CONFIG", str(made.config))
    return made


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the real command; what is left of it ends with the test."""
    begun: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        begun.append(
            subprocess.Popen(
                [sys.executable, "-m", "tiered_store", *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def lines(out: str) -> list[dict[str, Any]]:
    """Return the JSON in each line of *out*."""
    return [json.loads(line) for line in out.splitlines()]


# -- repair ------------------------------------------------------------------


def test_what_was_missed_is_repaired(place: Place, capsys: Captured) -> None:
    """Status 0, and what was done is told."""
    place.write(5)
    place.mount()

    assert main(["repair"]) == 0

    assert place.held("eu") == place.held("us")
    assert len(place.held("eu")) == 5
    assert capsys.readouterr().out == "images.origin: 5 repaired, 1000 B\n"


def test_a_program_is_told_in_json(place: Place, capsys: Captured) -> None:
    """What was done, and what is left."""
    place.write(3)
    place.mount()

    assert main(["repair", "--json", "--limit", "2"]) == 1

    (told,) = lines(capsys.readouterr().out)
    assert (told["store"], told["repaired"]) == ("images.origin", 2)
    assert told["left"]["eu"]["rows"] == 1


def test_what_cannot_be_repaired_is_status_one(place: Place, capsys: Captured) -> None:
    """With the reason."""
    place.write(2)

    assert main(["repair"]) == 1

    shown = capsys.readouterr().out
    assert "eu: 2 left: " in shown
    assert "no such directory" in shown


def test_a_dry_run_lists_and_changes_nothing(place: Place, capsys: Captured) -> None:
    """Row by row, without a lease or a copy."""
    place.write(3)
    place.mount()

    assert main(["repair", "--dry-run", "--json", "--limit", "2"]) == 1

    told = lines(capsys.readouterr().out)
    assert [one["object"] for one in told] == [object_name(key(n)) for n in range(2)]
    assert (told[0]["replica"], told[0]["verb"], told[0]["bytes"]) == ("eu", "put", 200)
    assert place.held("eu") == {}
    assert main(["repair"]) == 0
    assert main(["repair", "--dry-run"]) == 0


@pytest.mark.parametrize("where", ["images", "images.origin", "regions"])
def test_the_mirror_is_found_by_name_and_by_path(place: Place, where: str) -> None:
    """As status and tree call it, or as the configuration does."""
    place.write(1)
    place.mount()

    assert main(["repair", where, "--replica", "eu"]) == 0
    assert place.left() == 0


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["repair", "us"], "no mirror in 'us'"),
        (["repair", "images.nowhere"], "nothing at 'images.nowhere'"),
        (["repair", "--replica", "ap"], "no replica 'ap'; there are eu, us"),
        (["repair", "--rate", "0"], "--rate: expected a number"),
        (["repair", "--bandwidth", "much"], "--bandwidth: expected a size"),
        (["repair", "--every", "0s"], "--every: expected a duration"),
        (["forget"], "name the objects, or say --dead, or --all"),
    ],
)
def test_wrong_usage_is_status_two(
    place: Place, words: list[str], why: str, capsys: Captured
) -> None:
    """Before anything is touched."""
    assert main(words) == 2
    assert why in capsys.readouterr().err


def test_several_at_once_share_the_work(place: Place, start: Start) -> None:
    """Each object is copied once, and all of them end well."""
    place.write(200)
    place.mount()

    begun = [start("repair", "--json") for _ in range(3)]
    told = [lines(process.communicate(timeout=60)[0])[0] for process in begun]

    assert [process.returncode for process in begun] == [0, 0, 0]
    assert sum(one["repaired"] for one in told) == 200
    assert place.held("eu") == place.held("us")


def test_one_that_is_killed_is_gone_on_with(place: Place, start: Start) -> None:
    """SIGKILL in the middle: what was done is done, the next one does the rest."""
    place.write(100)
    place.mount()
    first = start("repair", "--rate", "5", "--parallel", "2")
    until(lambda: 100 - place.left() >= 5)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    left = place.left()
    assert 0 < left < 100

    second = start("repair", "--json")
    (told,) = lines(second.communicate(timeout=60)[0])

    assert second.returncode == 0
    assert told["repaired"] == left
    assert place.held("eu") == place.held("us")


def test_sigterm_ends_it_cleanly(place: Place, start: Start) -> None:
    """It says what is left, and leaves no half object and no lease."""
    place.write(100)
    place.mount()
    process = start("repair", "--rate", "5", "--json")
    until(lambda: place.left() < 100)

    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)

    (told,) = lines(out)
    assert (process.returncode, err) == (1, "")
    assert told["repaired"] + told["left"]["eu"]["rows"] == 100
    assert len(place.held("eu")) == told["repaired"]
    assert not list((place.folder / "eu").rglob("*.part"))
    assert main(["repair"]) == 0


def test_a_watch_repairs_whatever_comes(place: Place, start: Start) -> None:
    """Until it is told to end, which is no failure."""
    place.write(3)
    process = start("repair", "--watch", "--every", "50ms", "--json")
    until(lambda: _attempts(place) > 0, 60)  # it has seen the outage
    place.mount()
    until(lambda: place.left() == 0)
    (place.folder / "eu").rename(place.folder / "away")
    place.write(2)
    (place.folder / "away").rename(place.folder / "eu")
    until(lambda: place.left() == 0)

    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (0, "")
    assert sum(one["repaired"] for one in lines(out)) == 5
    assert place.held("eu") == place.held("us")


def _attempts(place: Place) -> int:
    journal = place.journal()
    attempts = max((row.attempts for row in journal.pending()), default=0)
    journal.close()
    return attempts


# -- dead letters ------------------------------------------------------------


def test_dead_letters_are_listed(place: Place, capsys: Captured) -> None:
    """Each with the object and the reason."""
    place.write(3)
    place.bury(1)

    assert main(["pending", "--dead", "--json"]) == 0

    (told,) = lines(capsys.readouterr().out)
    assert (told["object"], told["dead"]) == (object_name(key(1)), True)
    assert told["last_error"] == "5 GiB at most"
    main(["pending", "--json"])
    assert len(lines(capsys.readouterr().out)) == 3
    main(["status"])
    assert "Dead letters" in capsys.readouterr().out


def test_dead_letters_are_tried_when_somebody_says_so(place: Place) -> None:
    """Not before."""
    place.write(2)
    place.bury(1)
    place.mount()

    assert main(["repair"]) == 1
    assert place.left() == 1
    assert main(["repair", "--dead"]) == 0
    assert place.held("eu") == place.held("us")


def test_nothing_is_dropped_without_a_word(place: Place, capsys: Captured) -> None:
    """What is at risk is told first, and a script must say that it means it."""
    place.write(2)
    place.bury(1)

    done = subprocess.run(
        [sys.executable, "-m", "tiered_store", "forget", "--dead"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 2
    assert "it is believed again" in done.stdout
    assert "say --yes" in done.stderr
    assert place.left() == 2
    assert main(["forget", "--dead", "--yes"]) == 0
    assert "1 of 1 dropped" in capsys.readouterr().out
    assert place.left() == 1


def test_a_row_is_dropped_by_name(place: Place, capsys: Captured) -> None:
    """Of one replica or all; one that is not there is told."""
    place.write(2)
    name = object_name(key(0))

    assert main(["forget", name, "--replica", "eu", "--yes"]) == 0
    assert place.left() == 1
    assert main(["forget", name, "--yes"]) == 0
    assert "nothing is pending there" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["repair"],
        ["repair", "--dry-run"],
        ["repair", "--dry-run", "--watch"],
        ["pending"],
        ["forget", "--dead", "--yes"],
        ["forget", object_name(key(0)), "--yes"],
    ],
)
def test_a_journal_that_is_elsewhere_is_not_made(
    words: list[str], place: Place, capsys: Captured
) -> None:
    """On the wrong machine an empty one would say that there is nothing to repair."""
    file = place.folder / "journal.db"

    assert main(words) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"tiered-store: images.origin: no journal at {file}: it is on another machine, "
        "or was never used; ask where the services run\n"
    )
    assert not file.exists()


def test_the_mirrors_whose_journals_are_here_are_repaired(
    place: Place, capsys: Captured
) -> None:
    """And the other one is told, by the status as well."""
    place.config.write_text(textwrap.dedent(TWO_MIRRORS).format(folder=place.folder))
    place.mount()
    with place.store() as store:
        store.put(key(0), Body.of(b"cover"))

    assert main(["repair"]) == 1
    said = capsys.readouterr()
    assert said.out == "both.covers: 0 repaired, 0 B\n"
    assert "both.pages: no journal at " in said.err
    assert main(["repair", "both.covers"]) == 0


def test_a_watch_goes_on_where_nothing_was_written_yet(
    place: Place, start: Start
) -> None:
    """It is started with the services, and may be first."""
    place.mount()
    running = start("repair", "--watch", "--every", "50ms")

    until((place.folder / "journal.db").exists)
    place.write(1)
    running.send_signal(signal.SIGTERM)

    assert running.wait(60) == 0


def test_a_replica_that_is_gone_for_good_is_forgotten(
    place: Place, capsys: Captured
) -> None:
    """Its name is in no configuration any more, only in the journal."""
    place.write(30)
    place.config.write_text(
        textwrap.dedent(MIRROR)
        .format(folder=place.folder)
        .replace("us: us, eu: eu", "us: us")
    )
    assert main(["status", "--strict"]) == 1
    assert "not configured" in capsys.readouterr().out

    assert main(["forget", "--replica", "eu", "--all", "--yes"]) == 0

    out = capsys.readouterr().out
    assert "images.origin.eu: put of 10 more: it is believed again" in out
    assert "30 of 30 dropped" in out
    assert place.left() == 0
    assert main(["status", "--strict"]) == 0


def test_a_pipe_gets_lines(place: Place, capsys: Captured) -> None:
    """Which can be cut and counted."""
    place.write(2)

    main(["pending", "--limit", "1"])

    (line,) = capsys.readouterr().out.splitlines()
    replica, verb, name, *_ = line.split("\t")
    assert (replica, verb, name) == ("images.origin.eu", "put", object_name(key(0)))
