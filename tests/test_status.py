"""What an operator is told of a stack as a whole, and what scripts read of it."""

from __future__ import annotations

import json
import textwrap

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.cli import main
from tiered_store.condition import Condition
from tiered_store.errors import UnavailableError
from tiered_store.journals.memory import MemoryJournal
from tiered_store.key import Key
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.faults import FaultStore
from tiered_store.tree import conditions, label
from tiered_store.wrapper import Wrapper
from tiered_store.wrappers.replicated import ReplicatedStore


KEY = Key("comics.cover", 5, 30, 40, "image/png")

MIRROR = """
    version: 1
    default: images
    stores:
      images:
        type: cached
        tiers: [{{type: memory}}]
        journal: {{type: sqlite, path: {folder}/purges.db}}
        origin: regions
      regions:
        type: replicated
        replicas: {{us: us, eu: eu}}
        journal: {{type: sqlite, path: {folder}/journal.db}}
      us: {{type: filesystem, path: {folder}/us, create: true}}
      eu: {{type: filesystem, path: {folder}/eu}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a mirror whose ``eu`` is not mounted."""
    config = tmp_path / "stack.yaml"
    config.write_text(textwrap.dedent(MIRROR).format(folder=tmp_path))
    monkeypatch.setenv("TIERED_STORE_CONFIG", str(config))
    return tmp_path


def put(folder: Path, number: int, content: bytes = b"content") -> None:
    """Store an object by the command."""
    source = folder / "source"
    source.write_bytes(content)
    assert main(["put", str(source), f"comics.cover/{number}/30x40.png"]) == 0


def told(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    """Return what the command says to a program."""
    capsys.readouterr()
    main(["status", "--json", *words])
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["conditions"]
    return found


def at(found: list[dict[str, Any]], section: str, place: str) -> dict[str, Any]:
    """Return the one row of *section* about *place*."""
    (one,) = (
        row for row in found if (row["section"], row["place"]) == (section, place)
    )
    return one


def test_who_reads_well_is_told_that_nobody_was_asked(folder: Path, capsys) -> None:
    """A region that is down, and has missed nothing yet, is well for the journal."""
    assert main(["status"]) == 0

    shown = capsys.readouterr().out
    assert "No place was asked: tiered-store check --connect does that." in shown


def test_what_a_replica_missed_is_told(folder: Path, capsys) -> None:
    """By another process than the one that wrote."""
    put(folder, 1)
    put(folder, 2)

    found = told(capsys)

    mirror = at(found, "mirrors", "images.origin")
    assert mirror["state"] == "attention"
    assert mirror["facts"]["rows"] == 2
    assert mirror["facts"]["single copies"] == 2
    eu = at(found, "replicas", "images.origin.eu")
    assert eu["facts"]["rows"] == 2
    assert eu["facts"]["bytes"] == 2 * len(b"content")
    assert eu["facts"]["dead letters"] == 0
    assert eu["facts"]["age"] >= 0
    assert "no such directory" in eu["facts"]["last error"]
    us = at(found, "replicas", "images.origin.us")
    assert (us["state"], us["facts"]) == ("well", {"rows": 0})
    assert at(found, "caches", "images")["facts"] == {"to be dropped": 0}


def test_a_person_reads_tables(folder: Path, capsys) -> None:
    """One for each section, with what there is to say."""
    put(folder, 1)
    capsys.readouterr()

    assert main(["status"]) == 0

    shown = capsys.readouterr().out
    assert "Mirrors" in shown
    assert "Single copies" in shown
    (eu,) = (line for line in shown.splitlines() if "images.origin.eu" in line)
    assert "attention" in eu
    assert "no such directory" in eu


def test_strict_is_for_alarms(folder: Path) -> None:
    """Status 1 until everything has caught up."""
    (folder / "eu").mkdir()
    put(folder, 1)
    assert main(["status", "--strict"]) == 0
    (folder / "eu").rename(folder / "away")
    put(folder, 2)
    assert main(["status"]) == 0
    assert main(["status", "--strict"]) == 1


def test_a_journal_that_cannot_be_used_is_a_failure(folder: Path, capsys) -> None:
    """Nothing pending and not knowing are two things."""
    (folder / "journal.db").write_bytes(b"no journal" * 1000)

    assert main(["status"]) == 1

    assert at(told(capsys), "mirrors", "images.origin")["state"] == "failed"


def test_a_stack_without_memory_has_nothing_to_tell(
    tmp_path: Path, capsys, monkeypatch
) -> None:
    """And says so."""
    config = tmp_path / "stack.yaml"
    config.write_text("version: 1\nstores: {images: {type: memory}}\n")
    monkeypatch.setenv("TIERED_STORE_CONFIG", str(config))

    assert main(["status"]) == 0
    assert "nothing to tell" in capsys.readouterr().out


# -- in code -----------------------------------------------------------------


def test_a_replica_that_is_not_configured_any_more_is_told() -> None:
    """Its rows would wait for ever, and nobody would know."""
    clock = FakeClock()
    journal = MemoryJournal(clock=clock)
    journal.lack(KEY, ["gone"])
    clock.advance(60)
    store = label(
        ReplicatedStore({"us": MemoryStore()}, journal=journal, clock=clock), "images"
    )

    (gone,) = (one for one in conditions(store) if one.place == "images.gone")

    assert gone.facts["note"] == "not configured"
    assert gone.facts["age"] == 60


def test_a_mirror_without_a_journal_says_so() -> None:
    """It cannot know what is pending."""
    store = label(ReplicatedStore({"us": MemoryStore()}), "images")

    mirror = next(conditions(store))

    assert mirror.facts["note"] == "no journal"


def test_a_store_tells_of_itself_and_others_go_on() -> None:
    """Whoever fails says so; those underneath are told all the same."""

    class Broken(Wrapper):
        def conditions(self) -> Iterator[Condition]:
            raise UnavailableError("nobody there")

    mirror = ReplicatedStore({"us": FaultStore(MemoryStore())}, journal=MemoryJournal())

    found = list(conditions(label(Broken(mirror), "images")))

    assert [(one.section, one.state) for one in found] == [
        ("stores", "failed"),
        ("mirrors", "well"),
        ("replicas", "well"),
    ]


def test_what_was_repaired_is_well_again() -> None:
    """The row is gone, and so is the alarm."""
    faults = {name: FaultStore(MemoryStore()) for name in ("us", "eu")}
    store = label(ReplicatedStore(faults, journal=MemoryJournal()), "images")
    faults["us"].fail("put")
    store.put(KEY, Body.of(b"content"))
    assert {one.state for one in conditions(store)} == {"attention", "well"}

    store.repair()

    assert {one.state for one in conditions(store)} == {"well"}
