"""Puts follow operators only where somebody remembers who missed them."""

from __future__ import annotations

import subprocess
import sys

from pathlib import Path

import pytest

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.test_control import HandControl
from tests.test_failover import KEY, NEW, OLD, OTHER, Regions, decide
from tests.test_failover_properties import Bucket
from tests.thorough import TIMES
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.cli import main
from tiered_store.control.decisions import Decision
from tiered_store.control.standing import WithheldError
from tiered_store.errors import InconclusiveError, NotFoundError, StoreError
from tiered_store.journals.memory import MemoryJournal
from tiered_store.policies.breaker import BreakerPolicy
from tiered_store.testing.faults import FaultStore
from tiered_store.wrappers.fallback import FallbackStore
from tiered_store.wrappers.readonly import ReadOnlyStore


def primary(**options) -> Regions:
    """Return regions of which only ``us`` takes puts by itself, nobody's copies."""
    return Regions(write="primary", control=HandControl(), **options)


@pytest.mark.parametrize("word", ["drain us", "promote eu"])
def test_without_a_journal_puts_stay_with_the_primary(word: str) -> None:
    """Nobody would know what it missed, so it must not miss anything."""
    regions = primary(journal=None)
    decide(regions, word)

    regions.store.put(KEY, NEW)

    assert regions.read() == b"new"  # the process that put it reads it, too
    assert regions.eu.calls["put"] == 0
    decide(regions, "failback us")
    assert regions.read() == b"new"


def test_without_a_journal_an_isolated_primary_stops_puts() -> None:
    """As it does deletes: what is not touched cannot be given anything."""
    regions = primary(journal=None)
    decide(regions, "isolate us")

    with pytest.raises(WithheldError, match="isolated by anna"):
        regions.store.put(KEY, NEW)


@pytest.mark.parametrize("word", ["drain us", "isolate us", "promote eu"])
def test_with_a_journal_puts_follow_operators(word: str) -> None:
    """And the primary is not believed for them until it has been given them."""
    regions = primary()
    for store in (regions.us.child, regions.eu.child):
        store.put(OTHER, OLD)
    decide(regions, word)

    for key in (KEY, OTHER):
        regions.store.put(key, NEW)
    decide(regions, "failback us")

    assert (regions.us.calls["put"], regions.read()) == (0, b"new")
    assert regions.read(OTHER) == b"new"
    assert regions.owed() == {("us", "put")}
    assert regions.store.repair().repaired == 2
    assert regions.us.child.get(OTHER).read() == b"new"


def test_an_outage_does_not_move_puts() -> None:
    """Which is what ``write: primary`` asks for; nothing is marked or in doubt."""
    regions = primary()
    regions.us.down()

    with pytest.raises(StoreError, match="us"):
        regions.store.put(KEY, NEW)

    assert regions.eu.calls["put"] == 0
    assert regions.owed() == set()


def test_a_put_to_the_primary_ends_what_it_missed() -> None:
    """By a process that has not heard of the decision; no repair undoes it."""
    regions = primary()
    decide(regions, "drain us")
    regions.store.put(KEY, OLD)
    decide(regions, "undrain us")

    regions.store.put(KEY, NEW)
    regions.store.repair()

    assert regions.read() == b"new"
    assert regions.eu.child.get(KEY).read() == b"new"


def test_a_drained_primary_takes_what_nobody_else_can() -> None:
    """It is known that the other one is down."""
    regions = primary(breaker=BreakerPolicy(failures=1))
    decide(regions, "drain us")
    regions.eu.down()
    with pytest.raises(StoreError):
        regions.store.put(KEY, OLD)  # which opens its circuit

    regions.store.put(KEY, NEW)

    assert regions.read() == b"new"


def test_a_store_that_is_only_read_is_no_taker() -> None:
    """Though it is in service, and the only one that is."""
    regions = Regions(control=HandControl())
    stores = {
        "us": regions.us,
        "eu": regions.eu,
        "local": ReadOnlyStore(MemoryStore()),
    }
    store = FallbackStore(
        stores, write="failover", journal=regions.journal, control=HandControl()
    )
    with store:
        for name in ("us", "eu"):
            store.control.decide(Decision(verb="drain", name=name, by="anna", at=0.0))
        store._rota.watch.refresh()
        store.put(KEY, NEW)

        assert store.get(KEY).read() == b"new"
        assert store._catch_up("local")(True)  # it is owed nothing


def test_what_was_missed_comes_by_itself_when_a_decision_is_over() -> None:
    """Whoever ends a drain need not think of a repair."""
    regions = primary(breaker=BreakerPolicy())
    regions.us.child.put(OTHER, OLD)
    decide(regions, "drain us")
    regions.store.put(KEY, NEW)
    regions.read(OTHER)

    decide(regions, "undrain us")
    while regions.owed():
        regions.clock.advance(1.1)
        regions.read(OTHER)

    assert regions.us.child.get(KEY).read() == b"new"


def test_what_a_store_missed_though_it_is_well_comes_by_itself() -> None:
    """One put failed there, and nothing was amiss before or after."""
    regions = Regions(breaker=BreakerPolicy())
    regions.us.child.put(OTHER, OLD)
    regions.us.fail("put")
    regions.store.put(KEY, NEW)
    assert regions.owed()

    while regions.owed():
        regions.clock.advance(1.1)
        regions.read(OTHER)

    assert regions.us.child.get(KEY).read() == b"new"


@pytest.mark.parametrize("journal", [None, MemoryJournal()], ids=["none", "memory"])
def test_what_an_isolated_primary_may_have_is_not_absent(journal) -> None:
    """Somebody else makes the copies, and may not have made this one yet."""
    regions = primary(journal=journal)
    regions.store.put(KEY, NEW)
    decide(regions, "isolate us")

    with pytest.raises(InconclusiveError, match="isolated by anna"):
        regions.read()
    decide(regions, "undrain us")
    with pytest.raises(NotFoundError):
        regions.read(OTHER)


def test_a_copy_read_during_a_drain_is_not_kept_for_ever() -> None:
    """The primary, which takes the puts, may have a newer one."""
    regions = primary(journal=None)
    regions.eu.child.put(KEY, OLD)
    decide(regions, "drain us")

    body = regions.store.get(KEY)

    assert body.provisional


class Decided(RuleBasedStateMachine):
    """
    One who reads and writes, operators that decide, stores that come and go.

    An acknowledged write is what is read then, or an error is.  What the primary is
    given is copied at once; what others are, by nobody but us.
    """

    journal: MemoryJournal | None = None

    def __init__(self) -> None:
        super().__init__()
        us, eu = MemoryStore(), MemoryStore()
        self.faults = {"us": FaultStore(Bucket(us, [eu])), "eu": FaultStore(eu)}
        self.control = HandControl()
        self.store = FallbackStore(
            self.faults,
            write="primary",
            journal=None if self.journal is None else MemoryJournal(),
            control=self.control,
            breaker=BreakerPolicy(failures=2),
            workers=0,
        )
        self.possible: set[bytes | None] = {None}
        self.number = 0

    def teardown(self) -> None:
        self.store.close()

    @rule(
        verb=st.sampled_from(["drain", "isolate", "promote", "undrain", "failback"]),
        name=st.sampled_from(["us", "eu"]),
    )
    def decide(self, verb, name) -> None:
        self.control.decide(Decision(verb=verb, name=name, by="anna", at=0.0))
        self.store._order.standing()
        self.store._rota.watch.refresh()

    @rule(name=st.sampled_from(["us", "eu"]), up=st.booleans())
    def turn(self, name: str, up: bool) -> None:
        fault = self.faults[name]
        fault.heal()
        if not up:
            fault.down()

    @rule()
    def put(self) -> None:
        self.number += 1
        content = str(self.number).encode()
        try:
            self.store.put(KEY, Body.of(content))
        except StoreError:
            self.possible |= {content}
        else:
            self.possible = {content}

    @rule()
    def delete(self) -> None:
        try:
            self.store.delete(KEY)
        except StoreError:
            self.possible |= {None}
        else:
            self.possible = {None}

    @rule()
    def repair(self) -> None:
        if self.journal is not None:
            self.store.repair()

    @rule()
    def read(self) -> None:
        try:
            found = self.store.get(KEY).read()
        except NotFoundError:
            assert None in self.possible
        except StoreError:
            pass
        else:
            assert found in self.possible


class Remembered(Decided):
    """The same with a journal."""

    journal = MemoryJournal()


TestDecided = Decided.TestCase
TestRemembered = Remembered.TestCase
for case in (TestDecided, TestRemembered):
    case.settings = settings(
        max_examples=50 * TIMES, stateful_step_count=30, deadline=None
    )


STACK = """
    version: 1
    default: images
    allow: {{missing-disk-made: a test}}
    stores:
      images:
        type: fallback
        stores: {{us: us, eu: eu}}
        control: {{type: file, path: {folder}/decisions.json}}
        journal: {journal}
      us: {{type: filesystem, path: {folder}/us, create: true}}
      eu: {{type: filesystem, path: {folder}/eu, create: true}}
"""


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tiered_store", *words, "-c", str(folder / "c.yaml")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        input="content",
    )


@pytest.mark.parametrize("journal", ["null", "{type: sqlite, path: FOLDER/j.db}"])
def test_what_was_put_during_a_drain_is_there_after_it(
    tmp_path: Path, journal: str
) -> None:
    """Each step by another process, as at night."""
    told = journal.replace("FOLDER", str(tmp_path))
    config = tmp_path / "c.yaml"
    config.write_text(STACK.format(folder=tmp_path, journal=told))
    name = "comics.cover/5/30x40.png"

    assert main(["drain", "us", "--yes", "-c", str(config)]) == 0
    put = run(tmp_path, "put", "-", name)
    assert put.returncode == 0, put.stderr
    assert main(["undrain", "us", "--yes", "-c", str(config)]) == 0
    got = run(tmp_path, "get", name)

    assert (got.returncode, got.stdout) == (0, "content"), got.stderr
