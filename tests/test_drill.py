"""What a drill finds, in topologies that hold and in one that does not."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.servers.process import heed_interrupts
from tests.servers.s3 import S3Server
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.memory import MemoryStore
from tiered_store.backends.s3 import S3Store
from tiered_store.body import Body
from tiered_store.cli import main
from tiered_store.config import load
from tiered_store.deadlines import deadline
from tiered_store.drill.alike import Alike
from tiered_store.drill.leaf import FAULTS, Leaf
from tiered_store.drill.ledger import Record
from tiered_store.drill.page import page
from tiered_store.drill.report import Outcome, Report, failures, requirement
from tiered_store.drill.run import drill, plan
from tiered_store.drill.seen import failover, seen_of
from tiered_store.drill.stage import Stage, leaves
from tiered_store.drill.workload import Call, Workload
from tiered_store.errors import CorruptError, DeadlineError, UnavailableError
from tiered_store.journals.memory import MemoryJournal
from tiered_store.key import Key
from tiered_store.wrappers.cached import CachedStore


KEY = Key("comics.cover", 5, 30, 40, "image/png")
OTHER = KEY._replace(object_id=6)
CONFIG = Path(__file__).parent.parent / "config"
OUTAGES = ("down", "black-hole", "slow", "erroring", "losing")
HOLDS = ("reads=100%", "writes=100%", "wrong=0", "stale=0", "untrue=0", "lost=0")
HARMLESS = ("wrong=0", "stale=0", "untrue=0", "lost=0", "resurrected=0")

MIRROR = """
    version: 1
    default: images
    stores:
      images:
        type: replicated
        replicas: {{us: us, eu: eu}}
        journal: {{type: sqlite, path: {folder}/journal.db}}
      us: {{type: filesystem, path: {folder}/us, timeout: 1s}}
      eu: {{type: filesystem, path: {folder}/eu, timeout: 1s}}
"""
ALONE = """
    version: 1
    stores:
      images: {{type: filesystem, path: {folder}/images}}
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Write a configuration, ``{folder}`` in it for the test's own directory."""

    def write(text: str) -> Path:
        path = tmp_path / "stack.yaml"
        path.write_text(textwrap.dedent(text).format(folder=tmp_path))
        return path

    return write


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the shipped configurations ask for, of no use but to be well formed."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        _well_formed(monkeypatch, tmp_path_factory.mktemp("drills"))
        yield


def _well_formed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@127.0.0.1:1/0")
    for region in ("US", "EU"):
        monkeypatch.setenv(f"{region}_BUCKET", "pictures")
        monkeypatch.setenv(f"{region}_ACCESS_KEY", "key")
        monkeypatch.setenv(f"{region}_SECRET_KEY", "hunter2")
    monkeypatch.setenv("DEMO_OUTPUT", str(tmp_path))


def required(*texts: str) -> list:
    return [requirement(text) for text in texts]


class Play:
    """A drill that is held to one thing after the other."""

    def __init__(self, config: Path, **options: Any) -> None:
        self._drill = partial(drill, config, **options)
        self.report = self._drill()

    def missed(self, *texts: str, but: tuple[str, ...] = ()) -> list[str]:
        """
        Return which of *texts* do not hold, outcomes of the faults *but* left out.

        All scenarios at once can be too much for a machine that has other things to do
        as well, so that what is healthy is late.  What did not hold is played again,
        and has to.
        """
        wanted = required(*texts)
        doubtful = [
            one
            for one in self.report.outcomes
            if one.fault not in but and list(failures([one], wanted))
        ]

        def again(one: Outcome) -> list[Outcome]:
            alone = self._drill(faults=(one.fault,), places=(one.place,), parallel=1)
            return alone.outcomes

        with ThreadPoolExecutor(2) as pool:
            replayed = [one for ones in pool.map(again, doubtful) for one in ones]
        return list(failures(replayed, wanted))


# -- whole drills --------------------------------------------------------------


def test_a_mirror_with_a_journal_holds(written) -> None:
    """Users notice neither a lost region nor its return."""
    play = Play(written(MIRROR), faults=OUTAGES, parallel=10)
    report = play.report

    assert play.missed(*HOLDS, "resurrected=0", "converge=10s") == []
    assert {one.place for one in report.outcomes} == {"images.us", "images.eu"}
    assert all(one.reads > 20 and one.writes for one in report.outcomes)
    holes = [one for one in report.outcomes if one.fault == "black-hole"]
    assert all(one.paid for one in holes), "somebody waited for the timeout"
    down = [one for one in report.outcomes if one.fault == "down"]
    assert all(one.by_hand for one in down), "nothing repairs by itself"
    assert "by hand" in page(report)


def test_a_stack_s_own_repair_is_what_converges(written) -> None:
    """With its limits, and the time until it looks again."""
    journal = "journal: {{type: memory}}\n        repair: {{every: 2s, rate: 500}}"
    text = re.sub(r"journal: .*", journal, MIRROR)
    report = drill(written(text), faults=("down",), requirements=required("lost=0"))

    assert report.failures == []
    for one in report.outcomes:
        assert not one.by_hand
        assert one.converged is not None
        assert one.converged >= 3.0


def test_a_journal_in_memory_stays_one(written, tmp_path: Path) -> None:
    """A process that begins later has another one, and so it is in a drill."""
    text = re.sub(r"journal: .*", "journal: {{type: memory}}", MIRROR)
    stage = Stage(written(text), None, tmp_path)

    with stage.built() as one, stage.built() as other:
        assert isinstance(one.journal, MemoryJournal)
        assert one.journal is not other.journal


def test_copies_that_a_cache_has_yet_to_drop_are_waited_for(written) -> None:
    """It drops them once it can, so whoever reads then has lost nothing."""
    config = written(
        """
        version: 1
        default: images
        stores:
          images:
            type: cached
            tiers: [{{type: redis, url: "redis://localhost:1/0", ttl: 1d}}]
            origin: place
          place: {{type: filesystem, path: "{folder}/place"}}
        """
    )

    [outcome] = drill(config, faults=["down"], places=["tiers.0"]).outcomes

    assert outcome.converged is not None
    assert (outcome.lost, outcome.resurrected) == (0, 0)


def test_what_cannot_be_read_in_the_end_is_lost(written) -> None:
    """Though nobody said that it is absent."""
    config = written(
        """
        version: 1
        default: images
        stores:
          images: {{type: fault, tear_rate: 1, child: place}}
          place: {{type: filesystem, path: "{folder}/place"}}
        """
    )

    [outcome] = drill(config, faults=["erroring"]).outcomes

    assert outcome.untrue == 0
    assert outcome.lost > 0


def test_one_place_alone_fails_with_the_reason(written, tmp_path: Path, capsys) -> None:
    """In words that say what to change, and with the exit status for CI."""
    path = written(ALONE)

    words = [
        "--faults",
        "down,losing,corrupting",
        "--html",
        str(tmp_path / "page.html"),
    ]
    assert main(["drill", str(path), *words, "--require", *HOLDS]) == 1

    shown = capsys.readouterr()
    assert "Lost, Returned: " in shown.out
    assert re.search(r"\d requirements are not met", shown.out)
    said = shown.err
    assert re.search(r"images down: \d+ of \d+ reads failed, and reads=100% is", said)
    assert "put it into a replicated store" in said
    assert re.search(r"images losing: lost: \d+, and lost=0 is required", said)
    assert re.search(r"images corrupting: wrong: \d+", said)
    assert "type: verified does" in said
    assert "reads=100% is required" in (tmp_path / "page.html").read_text()


@pytest.fixture(scope="module")
def shipped(environment: None) -> Mapping[str, Play]:
    """The drills of what people copy, all at once, for most of each is waiting."""
    plays = {
        "production": partial(Play, CONFIG / "production.yaml", parallel=20),
        "failover": partial(
            Play,
            CONFIG / "failover.yaml",
            faults=("down", "black-hole", "slow", "erroring", "corrupting"),
            alike=[("us", "eu")],
            parallel=10,
        ),
        "demo": partial(
            Play,
            CONFIG / "demo.yaml",
            faults=("down", "erroring", "losing"),
            places=("east", "west"),
            parallel=6,
        ),
    }
    with ThreadPoolExecutor(len(plays)) as pool:
        played = list(pool.map(lambda play: play(), plays.values()))
    return dict(zip(plays, played, strict=True))


def test_production_passes_its_own_drill(shipped: Mapping[str, Play]) -> None:
    """
    What people copy survives a region, and its Redis, without a call failing.

    A region that lies costs a read now and then, of an object that is being written.
    """
    play = shipped["production"]
    report = play.report

    assert play.missed(*HARMLESS, "writes=100%", "reads=97%") == []
    assert play.missed("reads=100%", but=("corrupting",)) == []
    assert {one.place for one in report.outcomes} == {
        "images.tiers.1",
        "images.origin.us",
        "images.origin.eu",
    }
    assert "hunter2" not in page(report) + json.dumps(report.plain())


def test_failover_passes_its_own_drill(shipped: Mapping[str, Play]) -> None:
    """
    Where S3 keeps the buckets alike, no call fails while a region is away.

    While one fails now and then, or lies, an object may be in that one alone for the
    moment; then three attempts can all meet with an error.
    """
    play = shipped["failover"]

    assert play.missed(*HARMLESS, "writes=100%", "reads=97%", "converge=30s") == []
    assert not any(one.by_hand for one in play.report.outcomes)
    assert play.missed("reads=100%", but=("erroring", "corrupting")) == []


def test_the_demo_passes_its_own_drill(shipped: Mapping[str, Play]) -> None:
    """
    Losing either region, which is what it shows.

    Not a slow one: the breaker around its mirror takes that for slow, and the last
    resort has nothing.
    """
    assert shipped["demo"].missed(*HOLDS, "resurrected=0") == []


@pytest.mark.usefixtures("environment")
def test_places_that_nobody_keeps_alike_are_no_fallback(capsys) -> None:
    """The same file where nobody replicates: in words, and in JSON for programs."""
    words = ["--faults", "down", "--place", "us", "--json", "reads=100%", "lost=0"]

    assert main(["drill", str(CONFIG / "failover.yaml"), *words]) == 1

    found = json.loads(capsys.readouterr().out)
    assert (found["passed"], found["live"], found["seed"]) == (False, False, 0)
    (outcome,) = found["outcomes"]
    assert (outcome["place"], outcome["fault"], outcome["lost"]) == (
        "images.us",
        "down",
        0,
    )
    assert outcome["reads_right"] < 1
    (failure,) = found["failures"]
    assert "images.us down: " in failure
    assert "nothing else has what this place has" in failure


@pytest.mark.servers
def test_live_that_is_interrupted_leaves_nothing_behind(
    written, moto_server: S3Server
) -> None:
    """Ctrl-C in the middle of a fault; and what is the user's own is not touched."""
    bucket = moto_server.make_bucket()
    text = f"""
        version: 1
        stores:
          images:
            type: s3
            bucket: {bucket}
            endpoint_url: {moto_server.endpoint_url}
            access_key: {moto_server.access_key}
            secret_key: {moto_server.secret_key}
    """
    command = [sys.executable, "-m", "tiered_store", "drill", str(written(text))]
    running = subprocess.Popen(
        [*command, "--live", "--faults", "down,slow"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=heed_interrupts,
    )
    with moto_server.store(bucket) as store:
        store.put(KEY, Body.of(b"mine"))
        ends = time.monotonic() + 60
        while len(list(store.keys())) < 5:  # it has begun
            assert time.monotonic() < ends
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=90)

        assert running.returncode == 130
        assert list(store.keys()) == [KEY]
        assert store.get(KEY).read() == b"mine"


def test_what_a_killed_drill_left_is_removed_by_the_next(
    written, tmp_path: Path, capsys
) -> None:
    """But for what may be a drill's that is under way, and what is the user's own."""
    place = tmp_path / "place"
    text = """
        version: 1
        stores:
          images: {{type: filesystem, path: "{folder}/place", create: true}}
    """
    left, fresh = (f"drill-{number:012x}.drill.picture" for number in (1, 2))
    own = "drill-team.photo"
    with FileSystemStore(str(place), create=True) as store:
        for name in (left, fresh, own):
            store.put(KEY._replace(object_type=name), Body.of(b"x"))
        for name in (left, own):
            for path in (place / name).rglob("*"):
                if path.is_file():
                    os.utime(path, (0, time.time() - 7200))

        main(["drill", str(written(text)), "--live", "--faults", "down"])

        assert {key.object_type for key in store.keys()} == {fresh, own}


# -- the command ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--faults", "fire"], "no 'fire'; there are: down, black-hole"),
        (["--place", "ap"], "no place 'ap'; there are: images"),
        (["--alike", "us,images"], "no place 'us'; there are: images"),
        (["--require", "reads"], "is none of reads, writes"),
        (["--require", "reeds=1"], "is none of reads, writes"),
        (["--require", "reads=all"], "needs a share, as in 99.9%"),
        (["--require", "reads=101%"], "needs a share, as in 99.9%"),
        (["--require", "lost=few"], "needs a number"),
        (["--require", "failover=soon"], "needs a duration, as in 2s"),
        (["--patience", "0s"], "--patience: expected a duration from 100ms to 60s"),
        (["--html", "/no/page.html", "--place", "ap"], "cannot write '/no/page.html'"),
    ],
)
def test_what_is_no_drill_is_told(written, capsys, words, message) -> None:
    """Before anything is played."""
    assert main(["drill", str(written(ALONE)), *words]) == 2
    assert message in capsys.readouterr().err


def test_a_page_is_replaced_by_a_whole_one_or_not_at_all(written, capsys) -> None:
    """A drill that could not begin leaves the last one's page."""
    path = written(ALONE)
    kept = path.with_name("page.html")
    kept.write_text("old")

    assert main(["drill", str(path), "--html", str(kept), "--place", "ap"]) == 2

    assert kept.read_text() == "old"
    assert set(path.parent.iterdir()) == {path, kept}


def test_a_wrong_configuration_is_told(written, capsys) -> None:
    """With its place, as always."""
    path = written("version: 1\nstores:\n  images: {{type: filesytem}}\n")

    assert main(["drill", str(path)]) == 2
    assert "unknown store type 'filesytem'" in capsys.readouterr().err


# -- the stage -----------------------------------------------------------------


@pytest.mark.usefixtures("environment")
def test_nothing_of_the_users_is_touched(tmp_path: Path) -> None:
    """Every place is a scratch one, below the wrappers and options of the file."""
    stage = Stage(CONFIG / "production.yaml", None, tmp_path)

    with stage.built() as stack:
        assert isinstance(stack.children()["child"], CachedStore)
        stack.put(KEY, Body.of(b"x"))
        assert stack.get(KEY).read() == b"x"
        assert {leaf.kind for leaf in leaves(stack)} == {"s3", "_elsewhere"}
        assert "X-Amz-Signature" in stack.url(KEY)
    assert {path.name.rstrip("-1234567890") for path in tmp_path.iterdir()} >= {
        "journal"
    }
    with stage.built() as another:
        assert another.get(KEY).read() == b"x", "places outlive a process"


def test_a_plan_names_every_leaf_and_fault(written) -> None:
    """Shared leaves once."""
    path = written(MIRROR)

    scenarios = plan(path, None, tuple(FAULTS))

    assert len(scenarios) == 2 * len(FAULTS)
    assert {one.place for one in plan(path, None, ("down",), places=("eu",))} == {
        "images.eu"
    }


@pytest.mark.parametrize(
    ("real", "error"),
    [(S3Store("pictures"), CorruptError), (FileSystemStore("/x"), None)],
    ids=["checked", "unchecked"],
)
def test_a_wrong_byte_is_noticed_where_it_would_be(real, error) -> None:
    """S3 has checksums, a directory has none."""
    leaf = Leaf(MemoryStore(), real)
    leaf.put(KEY, Body.of(b"content"))
    leaf.begin("corrupting")

    if error is None:
        assert leaf.get(KEY).read() not in (b"content", b"")
    else:
        with pytest.raises(error):
            leaf.get(KEY).read()
    leaf.heal()
    assert leaf.get(KEY).read() == b"content"


def test_a_black_hole_lasts_as_long_as_the_real_one() -> None:
    """Its own timeout, or the deadline of whoever calls it."""
    leaf = Leaf(MemoryStore(), S3Store("pictures", timeout=0.05))
    leaf.begin("black-hole")

    with pytest.raises(UnavailableError, match="timed out") as caught:
        leaf.put(KEY, Body.of(b"x"))
    assert caught.value.ambiguous
    with pytest.raises(DeadlineError), deadline(0.01):
        leaf.get(KEY)


def test_who_is_kept_alike_gets_what_it_missed_when_it_is_back() -> None:
    """As a bucket's replication does; never over something newer."""
    us, eu = (Leaf(MemoryStore(), MemoryStore()) for _ in range(2))
    Alike([us, eu])
    us.put(KEY, Body.of(b"one"))
    assert eu.get(KEY).read() == b"one"

    eu.begin("down")
    us.put(KEY, Body.of(b"two"))
    us.put(OTHER, Body.of(b"other"))
    us.delete(OTHER)
    assert eu.child.get(KEY).read() == b"one"
    eu.heal()

    assert eu.get(KEY).read() == b"two"
    assert list(eu.keys()) == [KEY]


# -- the judgement -------------------------------------------------------------


def test_a_read_is_judged_by_what_was_possible() -> None:
    """Old and new while a write is under way; afterwards only the new."""
    record = Record(KEY)
    old, new = record.next(0), record.next(0)
    record.begin(old)
    record.acknowledge(old)

    with record.reading() as seen:
        record.begin(new)
        assert record.judge(old, seen) == record.judge(new, seen) == "right"
        assert record.judge(None, seen) == "absent"
        assert record.judge(b"never stored", seen) == "wrong"
    record.acknowledge(new)
    with record.reading() as seen:
        assert record.judge(old, seen) == "stale"
        record.begin(None)
        assert record.judge(None, seen) == "right"


def test_a_deleted_object_that_is_read_is_stale() -> None:
    """And what was overwritten by nobody is not there."""
    record = Record(KEY)
    content = record.next(0)
    record.begin(content)
    record.acknowledge(content)
    record.begin(None)
    record.acknowledge(None)

    with record.reading() as seen:
        assert record.judge(content, seen) == "stale"
        assert record.judge(None, seen) == "right"
    assert record.certain


def test_a_write_that_failed_leaves_both_possible() -> None:
    """Nobody knows whether it happened."""
    record = Record(KEY)
    old, new = record.next(0), record.next(0)
    record.begin(old)
    record.acknowledge(old)
    record.begin(new)

    assert record.possible == {old, new}
    assert not record.certain


class LyingStore(MemoryStore):
    """Gives everybody the bytes of the first put, as a bad cache does."""

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        if key not in set(self.keys()):
            super()._put(key, body, reproducible)


def test_a_workload_notices_a_store_that_lies() -> None:
    """A drill that cannot fail would prove nothing."""
    work = Workload(LyingStore(), 0, 5.0)
    work.fill()
    for record in work.records:
        work._write_one(record, delete=False)
        work._read_one(record)

    fates = [call.fate for call in work.calls if call.kind == "read"]
    assert set(fates) == {"stale"}


def calls(*given: tuple[float, float, str]) -> list[Call]:
    return [Call("read", at, seconds, fate) for at, seconds, fate in given]  # type: ignore[arg-type]


def test_every_fate_is_counted_once_where_it_belongs() -> None:
    """From the moment of the fault on; what came before is only what is usual."""
    before = Call("read", 0.0, 0.01, "absent")
    fates = ("right", "unsure", "absent", "stale", "wrong", "failed", "late")
    reads = [Call("read", 1.0, 0.01, fate) for fate in fates]
    writes = [
        Call("write", 1.0, 0.5, "failed", "why"),
        Call("write", 1.0, 0.01, "right"),
    ]

    seen = seen_of([before, *reads, *writes], 0.5, 2.0)

    assert (seen.reads, seen.reads_failed) == (7, 5)
    assert (seen.writes, seen.writes_failed) == (2, 1)
    assert (seen.unsure, seen.untrue, seen.stale, seen.wrong) == (1, 1, 1, 1)
    assert (seen.paid, seen.slowest, seen.first_error) == (1, 0.5, "why")


def test_the_time_to_fail_over_is_that_of_most_users() -> None:
    """A single probe that pays is nobody's outage; all waiting at once is."""
    well = [(at / 50, 0.001, "right") for at in range(200)]
    blocked = [(1.0, 2.0, "right")] * 3

    assert failover(calls(*well), 1.0, 4.0, 0.1) == 0.0
    assert failover(calls(*well, (2.0, 1.0, "right")), 1.0, 4.0, 0.1) == 0.0
    before = [one for one in well if one[0] < 1.0 or one[0] > 3.0]
    assert failover(calls(*before, *blocked), 1.0, 4.0, 0.1) == pytest.approx(2.0)
    early = [one for one in well if one[0] < 1.0]
    nearly = [(1.0, 2.85, "right")] * 3
    assert failover(calls(*early, *nearly), 1.0, 4.0, 0.1) is None
    failing = [(at / 50, 0.001, "failed") for at in range(50, 200)]
    assert failover(calls(*failing), 1.0, 4.0, 0.1) is None


def test_what_keeps_hurting_is_no_failover() -> None:
    """Though most users are well: no call may fail, and for a while none pay."""
    well = [(at / 50, 0.001, "right") for at in range(200)]
    some = [(1 + at * 0.2, 0.001, "failed") for at in range(15)]
    in_turn = [(1 + at * 0.5, 0.4, "right") for at in range(6)]

    assert failover(calls(*well, *some), 1.0, 4.0, 0.1) is None
    assert failover(calls(*well, *some[:5]), 1.0, 4.0, 0.1) == pytest.approx(0.801)
    assert failover(calls(*well, (3.8, 0.001, "failed")), 1.0, 4.0, 0.1) is None
    assert failover(calls(*well, (3.8, 0.4, "failed")), 1.0, 4.0, 0.1) is None
    assert failover(calls(*well, (4.1, 0.4, "failed")), 1.0, 4.0, 0.1) == 0.0
    assert failover(calls(*well, *in_turn), 1.0, 4.0, 0.1) is None
    assert failover(calls(*well, *in_turn[:3]), 1.0, 4.0, 0.1) == pytest.approx(1.4)


def outcome(**changed) -> Outcome:
    given = {
        "place": "images.us",
        "fault": "down",
        "reads": 100,
        "reads_failed": 0,
        "writes": 10,
        "writes_failed": 0,
        **dict.fromkeys(("wrong", "stale", "untrue", "unsure", "lost"), 0),
        **dict.fromkeys(("resurrected", "diverged", "paid"), 0),
        "slowest": 0.1,
        "failover": 0.2,
        "converged": 0.3,
        "first_error": "",
        "began": 0.4,
        "healed": 1.9,
    }
    return Outcome(**{**given, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "changed", "met"),
    [
        ("reads=100%", {}, True),
        ("reads=100%", {"reads_failed": 1}, False),
        ("reads=99%", {"reads_failed": 1}, True),
        ("writes=100%", {"writes_failed": 1}, False),
        ("lost=0", {"lost": 1}, False),
        ("resurrected=0", {"resurrected": 1}, False),
        ("wrong=1", {"wrong": 1}, True),
        ("failover=1s", {"failover": None}, False),
        ("failover=100ms", {}, False),
        ("converge=1s", {"converged": None}, False),
        ("slowest=200ms", {}, True),
        ("reads=100%", {"reads": 0}, True),
    ],
)
def test_a_requirement(text: str, changed: dict, met: bool) -> None:
    """At least a share, at most a number or a time."""
    missed = list(failures([outcome(**changed)], required(text)))

    assert (missed == []) is met
    assert all("images.us down: " in one and text in one for one in missed)


@pytest.mark.parametrize(
    ("changed", "failed", "said", "style"),
    [
        ({}, [], "No call failed and nothing was lost in 1 scenarios.", "held"),
        ({"paid": 5, "failover": None}, [], "No call failed", "held"),
        ({"reads_failed": 1}, [], "Users would have noticed 1 of 1 scenarios.", "hurt"),
        ({"lost": 2}, [], "and 2 objects would be lost, or back.", "hurt"),
        ({"lost": 2}, ["x"], "1 requirement is not met.", "broken"),
    ],
)
def test_a_verdict(changed: dict, failed: list, said: str, style: str) -> None:
    """Green only if nobody would complain."""
    report = Report(
        config="x.yaml",
        seed=1,
        live=False,
        outcomes=[outcome(**changed)],
        failures=failed,
        seconds=1.0,
    )

    text = page(report)

    assert said in text
    assert f'class="verdict {style}"' in text


def test_the_page_needs_nothing_beside_it() -> None:
    """No network, no script, and nothing that a name could break."""
    hurt = outcome(
        place="a<b>",
        reads_failed=3,
        first_error="<script>",
        calls=calls((0, 1, "failed")),
    )
    report = Report(
        config="x.yaml",
        seed=1,
        live=False,
        outcomes=[outcome(), hurt],
        failures=["<it> failed"],
        seconds=1.0,
    )

    text = page(report)

    assert "http" not in text
    assert "<script" not in text
    assert "a&lt;b&gt;" in text
    assert text.count("<svg viewBox") >= 2


def test_loading_is_as_it_was(written) -> None:
    """A drill changes nothing about how a file is read."""
    path = written(MIRROR)
    plan(path, None, ("down",))

    with load(path) as stack:
        assert not leaves(stack)
