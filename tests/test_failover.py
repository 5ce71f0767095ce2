"""Writes that go on in the next store, and a store that comes back."""

from __future__ import annotations

import re

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.test_control import HandControl
from tests.waiting import until
from tiered_store.backends.memory import MemoryStore
from tiered_store.backends.s3 import S3Store
from tiered_store.body import Body
from tiered_store.config import build
from tiered_store.control.decisions import Decision
from tiered_store.control.standing import WithheldError
from tiered_store.deadlines import deadline, remaining
from tiered_store.errors import (
    ConfigError,
    InconclusiveError,
    InvalidError,
    NotFoundError,
    PartialWriteError,
    StoreError,
    UnavailableError,
)
from tiered_store.events import Diverged, FailedBack, FellBack, Repaired
from tiered_store.journals.memory import MemoryJournal
from tiered_store.key import Key
from tiered_store.policies.breaker import BreakerPolicy
from tiered_store.store import Store
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.faults import FaultStore
from tiered_store.testing.recording import Recorder
from tiered_store.tree import label, observe
from tiered_store.wrapper import Wrapper
from tiered_store.wrappers.fallback import FallbackStore
from tiered_store.wrappers.readonly import ReadOnlyStore


KEY = Key("testing", 1, 2, 3, "image/png")
OTHER = KEY._replace(object_id=2)
OLD, NEW, NEWER = Body.of(b"old"), Body.of(b"new"), Body.of(b"newer")


_opened: list[FallbackStore] = []


@pytest.fixture(autouse=True)
def _closing() -> Iterator[None]:
    """Leave no thread that follows decisions."""
    yield
    while _opened:
        _opened.pop().close()


class Regions:
    """Two stores that fail when told to; nobody keeps them alike."""

    def __init__(self, **options) -> None:
        self.clock = FakeClock()
        self.us = FaultStore(MemoryStore(base_url="https://us/"))
        self.eu = FaultStore(MemoryStore(base_url="https://eu/"))
        self.journal = MemoryJournal(clock=self.clock)
        options = {
            "write": "failover",
            "journal": self.journal,
            "breaker": None,
            "clock": self.clock,
            **options,
        }
        self.store = FallbackStore({"us": self.us, "eu": self.eu}, **options)
        _opened.append(self.store)
        label(self.store, "images")
        self.recorder = Recorder()
        observe(self.store, self.recorder)

    def read(self, key: Key = KEY) -> bytes:
        return self.store.get(key).read()

    def owed(self) -> set[tuple[str, str]]:
        return {(row.replica, row.verb) for row in self.journal.pending()}


# -- writing -----------------------------------------------------------------


def test_a_put_goes_to_the_primary_alone_and_marks_nothing() -> None:
    """While nothing is amiss the journal is looked at and left alone."""
    regions = Regions()

    regions.store.put(KEY, NEW)

    assert (regions.us.calls["put"], regions.eu.calls["put"]) == (1, 0)
    assert regions.journal._sequence == 0


def test_a_put_goes_to_the_next_store() -> None:
    """It is acknowledged, and what the primary missed is remembered and told."""
    regions = Regions()
    regions.us.down()

    regions.store.put(KEY, NEW)

    assert regions.eu.child.get(KEY).read() == b"new"
    assert regions.owed() == {("us", "put")}
    [fell] = regions.recorder.of(FellBack)
    assert (fell.verb, fell.failed) == ("put", "us")
    [diverged] = regions.recorder.of(Diverged)
    assert diverged.replica == "us"


def test_the_journal_is_marked_before_the_next_store_is_asked() -> None:
    """A process that dies in between leaves what a repair needs to know."""
    regions = Regions()
    regions.us.down()
    seen: list[set[tuple[str, str]]] = []

    def note() -> Exception:
        seen.append(regions.owed())
        return UnavailableError("down, too")

    regions.eu.fail("put", note)
    with pytest.raises(PartialWriteError):
        regions.store.put(KEY, NEW)

    assert seen == [{("us", "in_doubt"), ("eu", "in_doubt")}]


def test_a_returned_primary_is_not_believed_before_it_is_repaired() -> None:
    """It has an older object under this key, and is right about all others."""
    regions = Regions()
    for key in (KEY, OTHER):
        regions.store.put(key, OLD)
    regions.us.fail("put")
    regions.store.put(KEY, NEW)

    assert regions.read() == b"new"
    assert regions.read(OTHER) == b"old"
    assert regions.us.calls["get"] == 1

    report = regions.store.repair()
    assert (report.repaired, report.failed) == (1, 0)
    assert regions.us.child.get(KEY).read() == b"new"
    assert [event.replica for event in regions.recorder.of(Repaired)] == ["us"]


def test_who_has_it_is_believed_for_good() -> None:
    """A cache may keep what the only current store says."""
    regions = Regions()
    regions.us.fail("put")
    regions.store.put(KEY, NEW)

    assert not regions.store.get(KEY).provisional
    regions.us.down()
    regions.eu.child.put(OTHER, OLD)
    assert regions.store.get(OTHER).provisional


def test_what_is_in_doubt_is_not_kept_for_good() -> None:
    """Both timed out, so either may be the object; a repair decides which."""
    regions = Regions()
    regions.store.put(KEY, OLD)
    for region in (regions.us, regions.eu):
        region.fail("put", UnavailableError("timed out", ambiguous=True))
    with pytest.raises(PartialWriteError):
        regions.store.put(KEY, NEW)
    assert {verb for _, verb in regions.owed()} == {"in_doubt"}

    assert regions.store.get(KEY).provisional


def test_a_url_may_name_what_was_deleted() -> None:
    """The only store that has URLs has not heard of it; it is asked no object."""
    us = FaultStore(MemoryStore(base_url="https://us/"))
    store = FallbackStore(
        {"us": us, "eu": MemoryStore()}, write="failover", journal=MemoryJournal()
    )
    _opened.append(store)
    store.put(KEY, OLD)
    us.down()
    store.delete(KEY)

    assert store.url(KEY).startswith("https://us/")


def test_if_the_only_current_store_is_down_nothing_old_is_told() -> None:
    """The primary is up, and its object is not what was acknowledged."""
    regions = Regions()
    regions.store.put(KEY, OLD)
    regions.us.fail("put")
    regions.store.put(KEY, NEW)
    regions.eu.down()

    with pytest.raises(UnavailableError):
        regions.read()


def test_a_new_object_is_not_absent_because_the_primary_lacks_it() -> None:
    """The primary's absence is final only where it missed nothing."""
    regions = Regions()
    regions.us.fail("put")
    regions.store.put(KEY, NEW)

    assert regions.read() == b"new"
    with pytest.raises(NotFoundError):
        regions.read(OTHER)


def test_a_put_to_the_returned_primary_ends_what_it_missed() -> None:
    """What is older elsewhere is not read then."""
    regions = Regions()
    regions.us.fail("put")
    regions.store.put(KEY, NEW)

    regions.store.put(KEY, NEWER)

    assert regions.us.child.get(KEY).read() == b"newer"
    assert regions.owed() == {("eu", "put")}
    regions.us.down()
    with pytest.raises(StoreError):
        regions.read()


def test_a_delete_is_remembered() -> None:
    """Nobody brings it back, not the primary, not a repair."""
    regions = Regions()
    regions.store.put(KEY, OLD)
    regions.us.down()
    regions.store.delete(KEY)
    regions.us.up()

    with pytest.raises(NotFoundError):
        regions.read()
    assert KEY not in list(regions.store.keys())
    regions.store.repair()
    with pytest.raises(NotFoundError):
        regions.us.child.get(KEY)
    assert regions.owed() == set()


def test_a_delete_that_nobody_took_is_an_error() -> None:
    """And is completed: the object is gone for readers from now on."""
    regions = Regions()
    regions.store.put(KEY, OLD)
    for region in (regions.us, regions.eu):
        region.fail("delete")

    with pytest.raises(PartialWriteError, match="not deleted everywhere"):
        regions.store.delete(KEY)

    with pytest.raises(NotFoundError):
        regions.read()


def test_a_put_that_nobody_took_is_an_error_that_names_all() -> None:
    """Both reasons, and that it may have happened."""
    regions = Regions()
    regions.us.down("denied")
    regions.eu.down()

    with pytest.raises(PartialWriteError, match=r"us: denied.*eu: unavailable") as got:
        regions.store.put(KEY, NEW)

    assert got.value.ambiguous


def test_a_put_that_nobody_was_asked_for_leaves_nothing() -> None:
    """All circuits are open, and one call at a time looks whether that is so."""
    regions = Regions(breaker=BreakerPolicy(failures=1, open=60))
    for region in (regions.us, regions.eu):
        region.down()
    with pytest.raises(PartialWriteError):
        regions.store.put(KEY, NEW)
    rows = regions.owed()
    regions.us.up()

    regions.store.put(KEY, NEWER)

    assert rows == {("us", "in_doubt"), ("eu", "in_doubt")}
    assert regions.us.child.get(KEY).read() == b"newer"


def test_what_is_wrong_everywhere_is_not_tried_elsewhere() -> None:
    """Nor marked."""
    regions = Regions()
    regions.us.fail("put", lambda: InvalidError("wrong everywhere"))

    with pytest.raises(InvalidError):
        regions.store.put(KEY, NEW)

    assert regions.eu.calls["put"] == 0
    assert regions.owed() == set()


def test_a_bug_passes_through_and_leaves_doubt() -> None:
    """Nobody knows what it did before it broke."""
    regions = Regions()
    regions.us.down()
    regions.eu.fail("put", lambda: TypeError("a bug"))

    with pytest.raises(TypeError):
        regions.store.put(KEY, NEW)

    assert regions.owed() == {("us", "in_doubt"), ("eu", "in_doubt")}


def test_the_next_store_has_time_left() -> None:
    """Under a deadline the primary may use its share, not everything."""
    regions = Regions()
    shares: list[float | None] = []

    def too_late() -> UnavailableError:
        shares.append(remaining())
        return UnavailableError("timed out", ambiguous=True)

    regions.us.fail("put", too_late)
    with deadline(9.0):
        regions.store.put(KEY, NEW)

    assert shares[0] is not None
    assert shares[0] <= 4.5
    assert regions.read() == b"new"


def test_a_store_that_cannot_be_written_is_neither_asked_nor_believed() -> None:
    """While the primary is behind nobody knows what the read-only copy has."""
    us, eu = FaultStore(MemoryStore()), FaultStore(MemoryStore())
    copy = MemoryStore()
    copy.put(KEY, OLD)
    store = FallbackStore(
        {"us": us, "copy": ReadOnlyStore(copy), "eu": eu},
        write="failover",
        journal=MemoryJournal(),
        clock=FakeClock(),
    )
    us.fail("put")
    store.put(KEY, NEW)

    assert store.get(KEY).read() == b"new"
    eu.down()
    with pytest.raises(UnavailableError):
        store.get(KEY)
    eu.up()
    assert store.repair().repaired == 1
    assert copy.get(KEY).read() == b"old"


# -- URLs, lists, explanations -----------------------------------------------


def test_a_url_is_of_a_store_that_is_not_behind() -> None:
    """By what is known, without asking any."""
    regions = Regions()
    regions.us.fail("put")
    regions.store.put(KEY, NEW)

    assert regions.store.url(KEY).startswith("https://eu/")
    assert regions.store.url(OTHER).startswith("https://us/")


def test_no_url_brings_back_what_was_deleted() -> None:
    """The primary has not heard of it, and would serve the object to whoever asks."""
    regions = Regions()
    for child in (regions.us.child, regions.eu.child):
        child.put(KEY, OLD)
    regions.us.down()
    regions.store.delete(KEY)
    regions.us.up()

    assert regions.owed() == {("us", "delete")}
    assert regions.store.url(KEY).startswith("https://eu/")


def test_no_url_is_better_than_one_of_what_is_old() -> None:
    """The only store that has the object has no URLs."""
    us, local = FaultStore(MemoryStore(base_url="https://us/")), MemoryStore()
    store = FallbackStore(
        {"us": us, "local": local},
        write="failover",
        journal=MemoryJournal(),
        clock=FakeClock(),
    )
    us.fail("put")
    store.put(KEY, NEW)

    with pytest.raises(UnavailableError, match="behind"):
        store.url(KEY)
    assert store.url(OTHER).startswith("https://us/")


def test_a_list_has_what_the_primary_missed() -> None:
    """And lacks what it has not heard is gone."""
    regions = Regions()
    regions.store.put(OTHER, OLD)
    regions.us.down()
    regions.store.put(KEY, NEW)
    regions.store.delete(OTHER)
    regions.us.up()

    assert list(regions.store.keys()) == [KEY]


def test_what_is_pending_is_shown() -> None:
    """For an operator: which store, what, and that there is one copy."""
    regions = Regions()
    regions.us.fail("put")
    regions.store.put(KEY, NEW)

    status = regions.store.status()
    assert (status.rows, status.single_copies) == (1, 1)
    assert [row.key for row in regions.store.pending("us")] == [KEY]
    [finding] = regions.store.findings(KEY)
    assert (finding.place, finding.state) == ("images.us", "behind")


# -- the journal -------------------------------------------------------------


class BrokenJournal(MemoryJournal):
    """Cannot be used."""

    def rows(self, key):
        raise UnavailableError("no journal")

    def begin(self, key, intents, *, reproducible=False, size=0):
        raise UnavailableError("no journal")


def test_without_its_journal_nothing_is_written_or_believed() -> None:
    """A primary may have missed a delete."""
    regions = Regions(journal=BrokenJournal())

    with pytest.raises(UnavailableError, match="no journal"):
        regions.store.put(KEY, NEW)
    with pytest.raises(UnavailableError, match="no journal"):
        regions.read()
    assert regions.us.calls["put"] == 0


def test_degraded_puts_go_to_the_primary_or_nowhere() -> None:
    """What another store took would be forgotten."""
    regions = Regions(journal=BrokenJournal(), journal_errors="degrade")

    regions.store.put(KEY, NEW)
    assert regions.read() == b"new"
    regions.us.down()
    with pytest.raises(UnavailableError):
        regions.store.put(KEY, NEWER)
    assert regions.eu.calls["put"] == 0


def test_a_put_must_be_remembered_before_it_fails_over() -> None:
    """The primary did not take it and the journal is gone: nobody has it."""

    class Half(MemoryJournal):
        def begin(self, key, intents, *, reproducible=False, size=0):
            raise UnavailableError("no journal")

    regions = Regions(journal=Half())
    regions.us.fail("put", UnavailableError("timed out", ambiguous=True))

    with pytest.raises(UnavailableError, match="no journal") as raised:
        regions.store.put(KEY, NEW)

    assert raised.value.ambiguous
    assert regions.eu.calls["put"] == 0


def test_the_journal_hears_that_requests_may_arrive_late() -> None:
    """As it does from a mirror: S3 may still do what nobody waits for."""
    heard: list[bool] = []

    class Hearing(MemoryJournal):
        def expect(self, *, lingering: bool) -> None:
            heard.append(lingering)

    for region in (MemoryStore(), S3Store("bucket")):
        FallbackStore(
            {"us": region, "eu": MemoryStore()}, write="failover", journal=Hearing()
        )

    assert heard == [False, True]


def test_the_configuration_of_the_documentation_builds(tmp_path) -> None:
    """And what will hurt in it is nothing."""
    text = (Path(__file__).parent.parent / "docs" / "failover.md").read_text()
    [listing] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    moved = listing.replace("/var/lib/images", str(tmp_path))

    with build(yaml.safe_load(moved)) as store:
        assert store.child.write == "failover"


def test_writes_that_fail_over_need_a_journal() -> None:
    """Told when it is configured, with all else that is wrong."""
    with pytest.raises(ConfigError, match="write: failover needs a journal"):
        FallbackStore({"us": MemoryStore(), "eu": MemoryStore()}, write="failover")


@pytest.mark.parametrize(
    ("stores", "problem"),
    [
        ({"us": MemoryStore()}, "no store but the primary can be written"),
        (
            {"us": MemoryStore(), "copy": ReadOnlyStore(MemoryStore())},
            "no store but the primary can be written",
        ),
        (
            {"copy": ReadOnlyStore(MemoryStore()), "us": MemoryStore()},
            "the primary, copy, cannot be written",
        ),
    ],
)
def test_writes_need_somewhere_to_fail_over_to(stores, problem) -> None:
    """And a primary that is right about what there is."""
    with pytest.raises(ConfigError, match=problem):
        FallbackStore(stores, write="failover", journal=MemoryJournal())


# -- what operators decide ---------------------------------------------------


def decided(*words: str, **options) -> Regions:
    """Return regions about which *words* were decided."""
    control = HandControl()
    regions = Regions(control=control, **options)
    decide(regions, *words)
    return regions


def decide(regions: Regions, *words: str) -> None:
    for verb, name in (word.split() for word in words):
        regions.store.control.decide(
            Decision(verb=verb, name=name, by="anna", at=regions.clock.time())
        )
    regions.store._rota.watch.refresh()


@pytest.mark.parametrize("word", ["drain us", "isolate us", "promote eu"])
def test_a_primary_that_takes_no_puts_is_owed_them(word: str) -> None:
    """By whomever it was decided, it is behind then as in an outage."""
    regions = decided(word)

    regions.store.put(KEY, NEW)

    assert regions.us.calls["put"] == 0
    assert regions.owed() == {("us", "put")}
    assert regions.read() == b"new"
    decide(regions, "failback us")
    assert regions.read() == b"new"
    assert regions.us.calls["get"] == 0
    assert regions.store.repair().repaired == 1


@pytest.mark.parametrize("word", ["drain us", "promote eu"])
def test_what_is_put_meanwhile_is_repaired_meanwhile(word: str) -> None:
    """Nobody waits for the end of a decision with that, unless it says isolate."""
    regions = decided(word)
    regions.store.put(KEY, NEW)

    assert regions.store.repair().repaired == 1


def test_an_isolated_primary_is_not_repaired() -> None:
    """It is not touched at all, and its deletes are remembered as well."""
    regions = decided("isolate us")
    regions.us.child.put(OTHER, OLD)
    regions.store.put(KEY, NEW)
    regions.store.delete(OTHER)

    assert regions.store.repair().repaired == 0
    assert sum(regions.us.calls.values()) == 0
    assert regions.owed() == {("us", "put"), ("us", "delete")}


def test_a_put_that_nobody_may_take_says_who_decided_that() -> None:
    """All are isolated; nothing is pending, as nobody was asked."""
    regions = decided("isolate us", "isolate eu")

    with pytest.raises(WithheldError, match="isolated by anna"):
        regions.store.put(KEY, NEW)
    assert regions.owed() == set()


def test_if_nobody_else_can_a_drained_store_takes_it() -> None:
    """An operator's wish is no reason to lose what could be kept."""
    regions = decided("drain us")
    regions.eu.down()

    with pytest.raises(PartialWriteError):
        regions.store.put(KEY, NEW)
    regions = decided("drain us", breaker=BreakerPolicy(failures=1, open=60))
    regions.eu.down()
    with pytest.raises(PartialWriteError):
        regions.store.put(KEY, NEW)
    regions.store.put(KEY, NEWER)
    assert regions.us.child.get(KEY).read() == b"newer"


def test_a_failback_ends_the_waiting_for_a_person() -> None:
    """In every process that follows, and once: a later outage waits again."""
    regions = returning(failback="manual", control=HandControl())
    wait_for_repair(regions)
    assert stages(regions)[-1] == "held"

    decide(regions, "failback us")
    regions.clock.advance(1.1)
    for _ in range(3):
        regions.read(OTHER)

    assert stages(regions)[-2:] == ["returning", "fading"]


@pytest.mark.parametrize("kept", [0, 1], ids=["begun again", "gone back"])
def test_a_failback_counts_whatever_its_number(kept: int) -> None:
    """Also after the record was lost or restored; what a copy brings back does not."""
    control = HandControl()
    copies = [control.content]
    for at in range(3):
        control.decide(Decision(verb="failback", name="us", by="ana", at=at))
        copies.append(control.content)
    regions = returning(failback="manual", control=control)
    wait_for_repair(regions)
    known = control.content

    control.content = copies[kept]
    decide(regions, "promote us")
    regions.read(OTHER)
    control.content = known
    regions.store._rota.watch.refresh()
    regions.read(OTHER)
    assert stages(regions)[-1] == "held"
    control.content = copies[kept]
    decide(regions, "failback us")
    regions.clock.advance(1.1)
    for _ in range(3):
        regions.read(OTHER)

    assert stages(regions)[-2:] == ["returning", "fading"]


class Late(Wrapper):
    """A store whose puts take their time."""

    def __init__(self, child: Store, clock: FakeClock) -> None:
        super().__init__(child)
        self.seconds = 0.01
        self.clock = clock

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        self.clock.advance(self.seconds)
        self.child.put(key, body, reproducible)


def slow_to_write(**options) -> Regions:
    """Return regions whose primary has become slow, and is given no more puts."""
    regions = Regions(breaker=BreakerPolicy(calls=5), **options)
    late = regions.us.child = Late(regions.us.child, regions.clock)
    for _ in range(10):
        regions.store.put(OTHER, OLD)
    late.seconds = 1.0
    while regions.store.stores["us"].writing.state == "closed":
        regions.store.put(OTHER, OLD)
    return regions


def test_puts_go_on_where_they_are_quick() -> None:
    """A primary whose writes have become slow is owed them, and given them later."""
    regions = slow_to_write()
    calls = regions.us.calls["put"]

    regions.store.put(KEY, NEW)

    assert regions.us.calls["put"] == calls
    assert regions.read() == b"new"
    assert regions.owed() == {("us", "put")}
    assert regions.store.repair().repaired == 1  # though it is slow
    assert regions.us.child.get(KEY).read() == b"new"


def test_a_slow_primary_takes_what_nobody_else_can() -> None:
    """Being late is no reason to fail."""
    regions = slow_to_write()
    regions.eu.down()

    regions.store.put(KEY, NEW)
    regions.store.delete(OTHER)

    assert regions.read() == b"new"


def test_deletes_reach_a_slow_store() -> None:
    """They are small, and what is left undeleted has to be remembered."""
    regions = slow_to_write()

    regions.store.delete(OTHER)

    assert regions.owed() == set()


# -- coming back -------------------------------------------------------------


def returning(**options) -> Regions:
    """Return regions whose primary was away, missed KEY, and has just closed again."""
    policy = BreakerPolicy(failures=1, open=1, probes=1)
    regions = Regions(breaker=policy, **options)
    for child in (regions.us.child, regions.eu.child):
        child.put(OTHER, OLD)
    regions.us.down()
    regions.read(OTHER)
    regions.store.put(KEY, NEW)
    regions.us.up()
    regions.clock.advance(2)
    assert regions.read(OTHER) == b"old"  # which is the probe
    regions.read(OTHER)  # which notices
    return regions


def stages(regions: Regions) -> list[str]:
    return [event.stage for event in regions.recorder.of(FailedBack)]


def wait_for_repair(regions: Regions) -> None:
    """Let the pass that is under way end, and be noticed."""
    catch_up = regions.store._order._recoveries["us"]._catch_up.__self__
    while regions.owed() or catch_up._busy:
        regions.read(OTHER)
    regions.clock.advance(1.1)
    regions.read(OTHER)


def test_a_primary_that_is_back_is_repaired_by_itself() -> None:
    """Row 57: then waited for, then given more and more, then all."""
    regions = returning()
    for _ in range(3):
        regions.read(OTHER)
    wait_for_repair(regions)
    assert regions.us.child.get(KEY).read() == b"new"
    assert stages(regions) == ["away", "returning"]
    asked = regions.us.calls["get"]
    for _ in range(10):
        regions.read(OTHER)
    assert regions.us.calls["get"] == asked

    regions.clock.advance(31)
    regions.read(OTHER)
    assert stages(regions)[-1] == "fading"
    regions.clock.advance(30)
    before = regions.us.calls["get"]
    for _ in range(400):
        regions.read(OTHER)
    assert 120 < regions.us.calls["get"] - before < 280
    regions.clock.advance(31)
    regions.read(OTHER)

    assert stages(regions) == ["away", "returning", "fading", "active"]


def test_a_primary_that_is_behind_for_all_that_is_read_comes_back() -> None:
    """No read would ask it whether it is well, so its repair does."""
    regions = Regions(breaker=BreakerPolicy(failures=1, open=1, probes=2))
    regions.eu.child.put(KEY, OLD)
    regions.us.down()
    regions.read()
    regions.store.put(KEY, NEW)
    until(
        lambda: (
            regions.clock.advance(61)
            or (regions.read() and regions.us.calls["get"] > 3)
        )
    )
    assert stages(regions) == ["away"]

    regions.us.up()
    until(lambda: regions.clock.advance(1.1) or (regions.read() and not regions.owed()))

    assert regions.us.child.get(KEY).read() == b"new"
    until(
        lambda: (
            regions.clock.advance(31)
            or (regions.read() and stages(regions)[-1] == "active")
        )
    )


def test_what_is_put_while_it_comes_back_is_brought_there_as_well() -> None:
    """It went elsewhere, after the pass that made it fit to be read."""
    regions = returning()
    wait_for_repair(regions)
    regions.clock.advance(31)
    regions.read(OTHER)
    assert stages(regions)[-1] == "fading"
    regions.store.put(KEY, NEWER)
    assert regions.owed() == {("us", "put")}

    regions.clock.advance(61)
    regions.read(OTHER)
    assert stages(regions)[-1] == "active"
    wait_for_repair(regions)

    assert regions.us.child.get(KEY).read() == b"newer"


def test_a_put_that_may_arrive_late_is_brought_there_in_the_end() -> None:
    """It was quarantined when all else was repaired, and is not forgotten."""
    regions = returning()
    wait_for_repair(regions)
    regions.store.put(KEY, NEWER)
    rows = regions.journal._rows[KEY]
    rows["us"] = rows["us"]._replace(quarantine=regions.clock.time() + 200)
    while stages(regions)[-1] != "active":
        regions.clock.advance(1.1)
        regions.read(OTHER)
    for _ in range(50):
        regions.clock.advance(1.1)
        regions.read(OTHER)
    assert regions.owed() == {("us", "put")}

    while regions.owed():
        regions.clock.advance(31)
        regions.read(OTHER)

    assert regions.us.child.get(KEY).read() == b"newer"


def test_while_it_is_not_read_it_is_not_written() -> None:
    """Else a reader who is sent elsewhere would miss what was just acknowledged."""
    regions = returning()

    regions.store.put(OTHER, NEW)

    assert regions.eu.child.get(OTHER).read() == b"new"
    assert regions.read(OTHER) == b"new"


def test_a_store_that_is_held_is_still_asked_last() -> None:
    """Waiting for a person must not fail what could be answered."""
    regions = returning(failback="manual")
    assert stages(regions) == ["away", "held"]
    regions.eu.down()

    assert regions.read(OTHER) == b"old"


def test_a_person_ends_the_waiting() -> None:
    """Once what was missed is there; then it fades in as ever."""
    regions = returning(failback="manual")
    wait_for_repair(regions)
    regions.clock.advance(100_000)
    regions.read(OTHER)
    assert stages(regions)[-1] == "held"

    regions.store.fail_back("us")
    regions.clock.advance(1.1)
    for _ in range(3):
        regions.read(OTHER)

    assert stages(regions)[-2:] == ["returning", "fading"]
    with pytest.raises(ValueError, match="no store 'ap'; there are us, eu"):
        regions.store.fail_back("ap")


def test_after_three_returns_it_waits_for_a_person() -> None:
    """And each is waited for twice as long as the one before."""
    regions = Regions(
        write="primary",
        journal=None,
        hold_down=30,
        breaker=BreakerPolicy(failures=1, open=1, open_limit=1, probes=1),
    )
    for child in (regions.us.child, regions.eu.child):
        child.put(OTHER, OLD)
    held: list[float] = []
    for _ in range(3):
        regions.us.down()
        while stages(regions)[-1:] != ["away"]:
            regions.read(OTHER)
        regions.us.up()
        waited = 0.0
        while stages(regions)[-1] != "active":
            regions.clock.advance(1)
            waited += 1
            regions.read(OTHER)
        held.append(waited)
    assert held[0] < held[1] < held[2]

    regions.us.down()
    regions.read(OTHER)
    regions.us.up()
    for _ in range(1000):
        regions.clock.advance(1)
        regions.read(OTHER)

    assert stages(regions)[-1] == "held"
    regions.store.fail_back()
    regions.clock.advance(1.1)
    for _ in range(3):
        regions.read(OTHER)
    assert stages(regions)[-1] == "fading"


def test_what_was_just_put_is_read_from_the_primary() -> None:
    """With ``write: primary`` nobody else need have it while the primary fades in."""
    regions = Regions(
        write="primary",
        journal=None,
        hold_down=30,
        breaker=BreakerPolicy(failures=1, open=1, probes=1),
    )
    for child in (regions.us.child, regions.eu.child):
        child.put(KEY, OLD)
    regions.us.down()
    regions.read()
    regions.us.up()
    regions.clock.advance(2)
    for _ in range(2):
        regions.read()

    regions.store.put(KEY, NEW)

    assert stages(regions)[-1] == "returning"
    assert regions.read() == b"new"


def test_the_only_store_that_is_written_is_used_again_at_once() -> None:
    """The others may be old on purpose: a migration's, a last resort."""
    policy = BreakerPolicy(failures=1, open=1, probes=1)
    regions = Regions(write="primary", journal=None, breaker=policy)
    regions.us.child.put(KEY, NEW)
    regions.eu.child.put(KEY, OLD)
    regions.us.down()
    assert regions.read() == b"old"
    regions.us.up()
    regions.clock.advance(2)

    assert [regions.read() for _ in range(3)] == [b"new"] * 3


def test_absence_elsewhere_is_not_final_while_the_primary_is_not_asked() -> None:
    """It is up, so it is asked before anybody says that there is none."""
    regions = returning()
    third = KEY._replace(object_id=3)
    regions.us.child.put(third, OLD)

    assert regions.read(third) == b"old"
    regions.us.down()
    with pytest.raises(InconclusiveError):
        regions.read(KEY._replace(object_id=4))


def test_a_store_that_was_always_well_has_no_standing_to_regain() -> None:
    """The rule costs nothing."""
    regions = Regions(breaker=BreakerPolicy())
    regions.store.put(KEY, NEW)
    for _ in range(3):
        regions.read()

    assert stages(regions) == []
    assert regions.eu.calls["get"] == 0
