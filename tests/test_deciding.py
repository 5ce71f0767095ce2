"""The commands that move traffic: what they say, decide and refuse."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import textwrap

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tiered_store.body import Body
from tiered_store.cli import main
from tiered_store.config import load
from tiered_store.control.decisions import Decision
from tiered_store.control.file import FileControl
from tiered_store.errors import StoreError
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.key import Key
from tiered_store.wrappers.cached import CachedStore


KEY = Key("comics.cover", 5, 30, 40, "image/png")
STACK = """
    version: 1
    default: images
    stores:
      images:
        type: cached
        tiers: [{{type: memory, ttl: 60s}}]
        origin: regions
      regions:
        type: replicated
        replicas: {{us: us, eu: eu}}
        breaker: null
        journal: {{type: sqlite, path: {folder}/journal.db}}
        control: {{type: file, path: {folder}/decisions.json}}
      us: {{type: filesystem, path: {folder}/us, create: true}}
      eu: {{type: filesystem, path: {folder}/eu}}
      plain:
        type: replicated
        replicas: {{us: us, eu: eu}}
        journal: {{type: sqlite, path: {folder}/plain.db}}
      bare: {{type: fallback, stores: {{us: us, eu: eu}}}}
      loose:
        type: fallback
        stores: {{us: us, eu: eu}}
        control: {{type: file, path: {folder}/decisions.json}}
      going-on:
        type: fallback
        stores: {{us: us, eu: eu}}
        write: failover
        journal: {{type: sqlite, path: {folder}/going-on.db}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a stack that every command finds, both regions there."""
    config = tmp_path / "stack.yaml"
    config.write_text(textwrap.dedent(STACK).format(folder=tmp_path))
    monkeypatch.setenv("TIERED_STORE_CONFIG", str(config))
    (tmp_path / "eu").mkdir()
    for name in ("journal", "plain", "going-on"):
        with closing(SQLiteJournal(str(tmp_path / f"{name}.db"))) as journal:
            journal.backlogs()  # which makes it, as a service has
    return tmp_path


def record(folder: Path) -> dict[str, Decision]:
    """Return what holds."""
    return dict(FileControl(str(folder / "decisions.json")).load().standing)


def put(folder: Path, number: int = 5) -> None:
    """Store an object, as an application does."""
    source = folder / "source"
    source.write_bytes(b"content")
    assert main(["put", str(source), f"comics.cover/{number}/30x40.png"]) == 0


def reported(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """Return the JSON that a command prints."""
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def behind(folder: Path, count: int) -> None:
    """Store *count* objects that only ``us`` has."""
    shutil.rmtree(folder / "eu")
    for number in range(count):
        put(folder, number)
    (folder / "eu").mkdir()


def test_a_drain_is_decided(folder: Path, capsys) -> None:
    """With who, why and until when; every process of the machine finds it."""
    words = ["drain", "us", "--why", "a cable", "--for", "2h", "--by", "ana@ops"]

    assert main(words) == 0

    held = record(folder)["us"]
    assert (held.verb, held.by, held.why) == ("drain", "ana@ops", "a cable")
    assert held.until is not None
    assert held.until - held.at == pytest.approx(7200)
    said = capsys.readouterr().out
    assert "in service: eu" in said
    assert "us is drained until 2" in said
    with load(folder / "stack.yaml") as store:
        assert isinstance(store, CachedStore)
        store.put(KEY, Body.of(b"content"))
    assert not list((folder / "us").rglob("*.png"))
    assert list((folder / "eu").rglob("*.png"))


def test_without_a_control_a_file_beside_the_journal_is_one(folder: Path) -> None:
    """Whoever shares an SQLite journal shares a machine, so nobody need set it up."""
    assert main(["drain", "us", "-s", "plain"]) == 0

    assert set(FileControl(str(folder / "plain.db-decisions.json")).load().standing)
    with load(folder / "stack.yaml", "plain") as store:
        store.put(KEY, Body.of(b"content"))
    assert not list((folder / "us").rglob("*.png"))
    assert record(folder) == {}, "another store's control"


def test_who_decides_is_known_without_being_asked(folder: Path) -> None:
    """At night nobody types their name."""
    assert main(["promote", "eu"]) == 0

    assert "@" in record(folder)["eu"].by


def test_a_dry_run_decides_nothing(folder: Path, capsys) -> None:
    """And says what would be."""
    behind(folder, 3)
    capsys.readouterr()

    assert main(["isolate", "us", "--dry-run"]) == 0

    said = capsys.readouterr().out
    assert "3 objects have no current copy in service, and cannot be read then" in said
    assert "pending: us 0, eu 3" in said
    assert record(folder) == {}


def test_what_is_at_risk_needs_a_word(folder: Path, capsys) -> None:
    """Who cannot be asked must have said so."""
    behind(folder, 1)

    assert main(["isolate", "us"]) == 1
    assert "at risk; say --yes" in capsys.readouterr().err
    assert record(folder) == {}

    assert main(["isolate", "us", "--yes"]) == 0
    assert record(folder)["us"].verb == "isolate"


def test_a_drained_region_is_still_read(folder: Path, capsys) -> None:
    """So the risk is another one, and is said."""
    behind(folder, 1)
    capsys.readouterr()

    assert main(["drain", "us", "--yes"]) == 0

    said = capsys.readouterr().out
    assert "1 object has no current copy in service, and can still be read" in said


def test_a_missed_delete_is_no_copy_at_risk(folder: Path, capsys) -> None:
    """Nobody wants that object back."""
    put(folder)
    shutil.move(folder / "eu", folder / "away")
    assert main(["rm", "comics.cover/5/30x40.png"]) == 0
    shutil.move(folder / "away", folder / "eu")
    capsys.readouterr()

    found = reported(capsys, "isolate", "us", "--dry-run")

    assert found["stores"][0]["only_copies"] == 0
    assert found["stores"][0]["pending"] == {"us": 0, "eu": 1}


@pytest.mark.parametrize(
    ("verb", "fate"),
    [("drain", "can still be read from there"), ("isolate", "cannot be read then")],
)
def test_what_is_kept_in_one_place_on_purpose_is_at_risk(
    folder: Path, capsys, verb: str, fate: str
) -> None:
    """The journal has no row of it, for nobody missed anything."""
    config = folder / "stack.yaml"
    apart = "reproducible: {replicas: [us], quorum: 1}\n    control: {type: file"
    config.write_text(config.read_text().replace("control: {type: file", apart, 1))

    assert main([verb, "us"]) == 1
    said = capsys.readouterr()
    assert f"computed again is kept in us alone, and {fate}" in said.out
    assert "at risk; say --yes" in said.err

    found = reported(capsys, verb, "eu")
    assert found["stores"][0]["apart"] == []


@pytest.mark.parametrize("first", ["drain", "isolate"])
@pytest.mark.parametrize("second", ["drain", "isolate"])
def test_the_last_region_stays(folder: Path, capsys, first: str, second: str) -> None:
    """Whatever --yes says."""
    assert main([first, "us"]) == 0

    assert main([second, "eu", "--yes"]) == 1

    assert "eu is the last place in service; undrain" in capsys.readouterr().err
    assert set(record(folder)) == {"us"}


def test_undrain_ends_it(folder: Path, capsys) -> None:
    """Twice is told."""
    main(["drain", "us"])

    assert main(["undrain", "us"]) == 0
    assert record(folder) == {}
    assert main(["undrain", "us"]) == 1
    assert "nothing was decided about us" in capsys.readouterr().err


def test_failback_ends_a_promotion(folder: Path, capsys) -> None:
    """And says which."""
    main(["promote", "eu", "--why", "us is slow"])
    capsys.readouterr()

    assert main(["failback", "us"]) == 0

    assert "ends: eu is promoted by" in capsys.readouterr().out
    assert record(folder) == {}


def test_json_for_scripts(folder: Path, capsys) -> None:
    """All that is said, in one value."""
    found = reported(capsys, "drain", "us", "--why", "a cable", "--by", "ana")

    assert (found["verb"], found["name"], found["by"]) == ("drain", "us", "ana")
    assert (found["decided"], found["revision"], found["until"]) == (True, 1, None)
    assert found["stores"] == [
        {
            "store": "images.origin",
            "serving": ["eu"],
            "only_copies": 0,
            "alike": True,
            "pending": {"us": 0, "eu": 0},
            "apart": [],
            "ends": [],
            "error": None,
        }
    ]


def test_a_journal_of_outages_does_not_know_every_copy(folder: Path, capsys) -> None:
    """With ``write: failover`` what was put before is copied by somebody else."""
    assert main(["drain", "us", "-s", "going-on", "--dry-run"]) == 0

    said = capsys.readouterr().out
    assert "every object" not in said
    assert "ask whoever makes the copies" in said


def test_a_decision_that_is_replaced_is_told(folder: Path, capsys) -> None:
    """Who drains for good what another one has drained for two hours should know."""
    assert main(["drain", "us", "--for", "2h", "--by", "ana"]) == 0
    capsys.readouterr()

    assert main(["drain", "us", "--by", "bob"]) == 0

    assert "  ends: us is drained by ana at 2" in capsys.readouterr().out
    assert record(folder)["us"].until is None


def test_a_journal_that_is_elsewhere_is_not_made(folder: Path, capsys) -> None:
    """An empty one would say that nothing is at risk, and be one from then on."""
    (folder / "going-on.db").unlink()

    assert main(["status", "-s", "going-on"]) == 0  # what operators do first
    said = capsys.readouterr().out
    missing = f"no journal at {folder}/going-on.db: it is on another machine"
    assert missing in said
    assert main(["drain", "us", "-s", "going-on", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert f"unknown, for the journal cannot say: {missing}" in said
    assert main(["drain", "us", "-s", "going-on"]) == 1
    assert not (folder / "going-on.db").exists()


def test_without_a_journal_the_risk_is_unknown(folder: Path, capsys) -> None:
    """Which is not the same as none, and needs a word."""
    assert main(["drain", "us", "-s", "loose", "--dry-run"]) == 0

    assert "at risk: unknown, for there is no journal" in capsys.readouterr().out
    assert main(["drain", "us", "-s", "loose"]) == 1
    assert "nobody knows what is at risk; say --yes" in capsys.readouterr().err
    assert record(folder) == {}
    assert main(["drain", "us", "-s", "loose", "--yes"]) == 0
    assert record(folder)["us"].verb == "drain"


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["drain", "ap"], 2, "no place is called 'ap'; there are: eu, us"),
        (["drain", "us", "--for", "soon"], 2, "--for: "),
        (["drain", "us", "-s", "bare"], 1, "there is no control; add control: {type:"),
    ],
)
def test_what_cannot_be_decided(
    folder: Path, capsys, words: list[str], status: int, message: str
) -> None:
    """Who, what, what instead."""
    assert main(words) == status

    assert message in capsys.readouterr().err
    assert record(folder) == {}


def test_a_control_that_cannot_be_used_is_told(folder: Path, capsys) -> None:
    """Nothing has been decided then."""
    (folder / "decisions.json").write_text("garbage")

    assert main(["drain", "us"]) == 1

    said = capsys.readouterr().err
    path = folder / "decisions.json"
    assert (
        f"images.origin: its control cannot be read: {str(path)!r}: no record of "
        "decisions (Expecting value: line 1 column 1 (char 0)); remove it, and decide "
        "again; nothing was decided, and what was decided before still holds"
    ) in said


def test_a_control_that_is_no_file_is_named(folder: Path, capsys) -> None:
    """The operating system says no name."""
    path = folder / "decisions.json"
    path.mkdir()

    assert main(["drain", "us"]) == 1
    assert f"{str(path)!r}: Is a directory; nothing was dec" in capsys.readouterr().err
    assert main(["status"]) == 1
    assert f"{str(path)!r}: Is a directory" in capsys.readouterr().out


def test_who_decides_on_an_old_sight_is_told(folder: Path) -> None:
    """While one thinks about it, another operator decides about the other region."""
    behind(folder, 1)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tiered_store", "isolate", "us"]
    asked = subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    try:
        assert asked.stdout is not None
        said = b""
        while b"all the same?" not in said:
            piece = asked.stdout.read(1000)
            assert piece, said
            said += piece
        assert main(["promote", "eu", "--by", "bob"]) == 0

        os.write(ours, b"y\n")
        _, error = asked.communicate(timeout=60)
    finally:
        asked.kill()
        asked.wait()
        os.close(ours)
        os.close(theirs)

    assert asked.returncode == 1
    assert b"bob decided promote eu meanwhile; look again" in error
    assert set(record(folder)) == {"eu"}


def test_status_says_who_decided_what(folder: Path, capsys) -> None:
    """When, why and until when; and who ended it."""
    main(["drain", "us", "--why", "a cable", "--for", "2h", "--by", "ana"])
    capsys.readouterr()

    assert main(["status"]) == 0
    said = capsys.readouterr().out
    for word in ("images.origin.us", "drained", "ana", "a cable"):
        assert word in said

    main(["undrain", "us", "--by", "bob"])
    capsys.readouterr()
    found = reported(capsys, "status")["conditions"]
    (last,) = [one for one in found if one["section"] == "decisions"]
    assert last["state"] == "well"
    assert last["facts"]["last"].startswith("us undrained by bob at 2")


def test_status_says_that_the_control_is_lost(folder: Path, capsys) -> None:
    """The operator must know that nobody hears them."""
    (folder / "decisions.json").write_text("garbage")

    assert main(["status"]) == 1

    assert "no record of decisions" in capsys.readouterr().out


def test_a_risk_that_the_journal_cannot_tell_is_one(folder: Path, capsys) -> None:
    """Unknown is not nothing."""
    (folder / "journal.db").write_bytes(b"this is no database, and long enough" * 99)

    assert main(["drain", "us"]) == 1
    assert "at risk: unknown, for the journal cannot say" in capsys.readouterr().out
    assert record(folder) == {}


def test_a_drain_outlives_every_process(folder: Path) -> None:
    """A restart must not bring traffic back."""
    put(folder)
    main(["isolate", "us"])
    shutil.rmtree(folder / "eu")

    with (
        load(folder / "stack.yaml", "regions") as store,
        pytest.raises(StoreError, match="eu"),
    ):
        store.get(KEY)
