"""What the benchmarks conclude from what they measured; measuring needs the peers."""

from __future__ import annotations

import json
import math
import os
import re
import socket
import socketserver
import subprocess
import sys
import threading

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

import pytest

import benchmarks

from benchmarks.__main__ import main
from benchmarks.gate import Gate
from benchmarks.markdown import BEGIN, END
from benchmarks.outcome import Outcome
from benchmarks.page import page
from benchmarks.plan import GROUPS, rounds_of
from benchmarks.results import OURS, Goal, Row, Unit, shown
from benchmarks.sampling import share, side_by_side
from benchmarks.steady import awake
from tests.waiting import until


def _row(
    goal: Goal | None,
    values: Mapping[str, Sequence[float]],
    unit: Unit = "s",
    **rest: Mapping[str, str],
) -> Row:
    return Row(
        group="it",
        name="a <row>",
        floor="floor",
        goal=goal,
        values=values,
        unit=unit,
        **rest,
    )


RATIO = Goal(kind="ratio", limit=2.0)


def test_ratios_are_those_within_a_round() -> None:
    """A round in which everything was slow counts no more than another."""
    row = _row(RATIO, {"floor": [1.0, 10.0, 1.0], OURS: [1.5, 15.0, 1.5]})

    ratio = row.ratio(OURS)

    assert ratio is not None
    assert (ratio.low, ratio.middle, ratio.high) == (1.5, 1.5, 1.5)


@pytest.mark.parametrize(
    ("goal", "unit", "floor", "ours", "met", "broken"),
    [
        (RATIO, "s", 1.0, 2.0, True, False),
        (RATIO, "s", 1.0, 3.9, False, False),
        (RATIO, "s", 1.0, 4.1, False, True),
        (Goal(kind="ratio", limit=2.0, broken=6.0), "s", 1.0, 5.9, False, False),
        (Goal(kind="ratio", limit=2.0, broken=6.0), "s", 1.0, 6.1, False, True),
        (Goal(kind="value", limit=1.0), "s", 1.0, 100.0, False, False),
        (Goal(kind="extra", limit=1.0), "s", 1.0, 100.0, False, False),
        (Goal(kind="extra", limit=1.0), "s", 1.0, 2.0, True, False),
        (Goal(kind="value", limit=1.3), "x", 1.0, 1.2, True, False),
        (Goal(kind="value", limit=1.3), "x", 1.0, 9.0, False, True),
        (Goal(kind="gain", limit=6.0), "%", 60.0, 66.5, True, False),
        (Goal(kind="gain", limit=6.0), "%", 60.0, 61.0, False, False),
        (Goal(kind="gain", limit=6.0), "%", 60.0, 59.0, False, True),
        (Goal(kind="gain", limit=-1.0), "%", 60.0, 59.5, True, False),
    ],
)
def test_only_ratios_at_twice_their_goal_are_broken(
    goal, unit, floor, ours, met, broken
) -> None:
    """Wall clocks on somebody's machine fail no build."""
    row = _row(goal, {"floor": [floor], OURS: [ours]}, unit)

    assert (row.met, row.broken) == (met, broken)


def test_ahead_means_of_everybody() -> None:
    """One peer that is quicker, and the goal is not met."""
    goal = Goal(kind="ratio", limit=2.0, ahead=True)
    values = {"floor": [1.0], OURS: [1.9], "slow": [5.0]}

    assert _row(goal, values).met
    assert not _row(goal, {**values, "quick": [1.8]}).met


def test_what_could_not_be_measured_is_broken() -> None:
    """A row without ours is no success; one without a peer is none of ours."""
    ours = _row(RATIO, {"floor": [1.0]}, failed={OURS: "it raised"})
    peer = _row(RATIO, {"floor": [1.0], OURS: [1.0]}, failed={"peer": "it raised"})

    assert (ours.met, ours.broken) == (False, True)
    assert (peer.met, peer.broken) == (True, False)


def test_a_round_runs_everybody_once_in_an_order_of_its_own() -> None:
    """Whatever else the machine does hits all of them."""
    order: list[str] = []
    samples = {
        name: lambda name=name: float(len(order.append(name) or order))
        for name in "abcdef"
    }

    values = side_by_side(samples, 10, Random(1), lambda *_: None)

    rounds = ["".join(order[at : at + 6]) for at in range(0, len(order), 6)]
    assert all(sorted(one) == sorted("abcdef") for one in rounds)
    assert len(set(rounds)) > 5
    assert {len(found) for found in values.values()} == {10}  # the first is not counted


def test_a_candidate_that_raises_costs_nobody_else() -> None:
    """It is told of, and the others are measured."""
    failed: list[str] = []

    def broken() -> float:
        raise OSError("gone")

    values = side_by_side(
        {"broken": broken, "well": lambda: 1.0},
        3,
        Random(1),
        lambda name, error: failed.append(f"{name}: {error}"),
    )

    assert values == {"well": [1.0, 1.0, 1.0]}
    assert failed == ["broken: gone"]


def test_json_has_no_infinity() -> None:
    """What took longer than anybody waited is null; the standard knows no Infinity."""
    row = _row(RATIO, {"floor": [1.0], OURS: [1.0], "frozen": [math.inf]})

    text = json.dumps(row.as_json(), allow_nan=False)

    assert json.loads(text)["candidates"]["frozen"]["value"]["median"] is None


def test_a_run_can_be_told_again(tmp_path: Path) -> None:
    """From its JSON, in the documentation, whose figures are then those of one run."""
    rows = [
        _row(RATIO, {"floor": [1.0, 2.0], OURS: [1.5, 4.0], "peer": [3.0, 6.0]}),
        _row(
            Goal(kind="extra", limit=0.3),
            {"floor": [1e-3], OURS: [0.5], "peer": [math.inf]},
            remarks={"peer": "gave up"},
        ),
        _row(None, {"floor": [1.0], OURS: [1.0]}),
    ]
    outcome = Outcome("method", ["it"], rows, machine={"processor": "two of them"})
    (tmp_path / "bench.json").write_text(outcome.as_json())
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n")

    arguments = ["--table", str(tmp_path / "bench.json"), "--into", str(page)]
    assert main(arguments) == main(arguments) == 0

    assert page.read_text().split("\n") == [
        *("before", "", BEGIN, "", "1 of 2 goals are met, on two of them.", ""),
        "| path | floor | ours | goal | others |",
        "| --- | --- | --- | --- | --- |",
        "| a <row> | floor, 1.5 s | 1.75 x (1.50 to 2.00) | ≤ 2 x, met | peer 3.00 x |",
        "| a <row> | floor, 1 ms | +499 ms | ≤ +300 ms, "
        "[not met](#where-the-goals-are-out-of-reach) | peer gave up |",
        *("", END, "", "after", ""),
    ]
    assert [Row.from_json(row.as_json()) for row in rows] == rows


def test_the_documentation_says_where_its_figures_go() -> None:
    """And has the place that goals which are not met refer to."""
    text = (Path(__file__).parents[1] / "docs" / "performance.md").read_text()

    assert text.index(BEGIN) < text.index(END)
    assert "### Where the goals are out of reach\n" in text


def test_the_page_needs_nothing_beside_it() -> None:
    """No script, no link, no font; and names are text, whatever is in them."""
    rows = [_row(RATIO, {"floor": [1.0], OURS: [1.5], "<peer>": [math.inf]})]

    text = page(rows, {"python": "3"}, "method")

    assert not re.search(r'(?i)https?:|src=|href=(?!"#)|url\(|@import|<script', text)
    assert "a &lt;row&gt;" in text
    assert "&lt;peer&gt;" in text
    assert "<b>1</b> of 1 goals are met" in text


def test_the_share_of_a_hundred() -> None:
    """Ninety-nine of a hundred values are not above it."""
    assert share([float(number) for number in range(100)], 0.99) == 99.0
    assert share([1.0], 0.99) == 1.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ns"),
        (203.4e-9, "203 ns"),
        (999.7e-9, "1 µs"),
        (12.34e-6, "12.3 µs"),
        (999.6e-6, "1 ms"),
        (0.25, "250 ms"),
        (4.04, "4.04 s"),
        (math.inf, "too long"),
    ],
)
def test_times_have_three_digits(seconds, text) -> None:
    """In the unit that suits them."""
    assert shown(seconds, "s") == text


@pytest.fixture
def echo() -> Iterator[tuple[Gate, Callable[[bytes], bytes]]]:
    """A gate before a server that says what it hears, and a call through it."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while piece := self.request.recv(1000):
                self.request.sendall(piece)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        gate = Gate(server.server_address[1], http=True)

        def call(words: bytes) -> bytes:
            with socket.create_connection(("127.0.0.1", gate.port), 10) as line:
                line.settimeout(0.2 if gate.mode == "hole" else 10)
                line.sendall(words)
                return line.recv(1000)

        yield gate, call
        gate.close()
        server.shutdown()


def test_a_gate_lets_through_or_not(echo) -> None:
    """What a fault is called is what it does."""
    gate, call = echo
    assert call(b"GET /") == b"GET /"

    gate.set("hole")
    with pytest.raises(TimeoutError):
        call(b"GET /")
    gate.set("shut")
    with pytest.raises(ConnectionError):
        call(b"GET /")
    gate.set("failing")
    answers = {call(b"GET /")[:12] for _ in range(30)}
    assert answers == {b"GET /", b"HTTP/1.1 503"}
    gate.set("open")
    assert call(b"GET /") == b"GET /"


def test_what_is_compared_with_is_pinned() -> None:
    """A ratio to whatever was released yesterday says nothing of us."""
    listed = (Path(benchmarks.__file__).parent / "requirements.txt").read_text()
    required = [line for line in listed.splitlines() if not line.startswith("#")]

    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in required)
    assert {"boto3", "redis"} <= {line.split("==")[0] for line in required}


def test_less_of_the_same_stays_in_its_order() -> None:
    """Where work grows, the most of it is ours, and nobody is a peer."""
    values = {"1": [1.0], "10": [0.5], "100": [2.0]}
    row = Row(group="it", name="a row", floor="1", own="100", values=values)

    assert row.candidates == ["1", "10", "100"]
    assert row.as_json()["ours"] == "100"


def test_a_page_says_what_is_missing(tmp_path: Path) -> None:
    """Half of a run must not be taken for a whole one."""
    outcome = Outcome("method", ["memory", "redis"], machine={}, seconds={"memory": 1})

    text = outcome.write(tmp_path).read_text()

    assert "Not measured to the end: redis." in text
    assert json.loads((tmp_path / "bench.json").read_text())["missing"] == ["redis"]


def test_each_group_has_a_plan() -> None:
    """And is there."""
    folder = Path(benchmarks.__file__).parent / "groups"
    names = {path.stem for path in folder.glob("*.py")} - {"__init__"}

    assert set(GROUPS) == names
    assert [rounds_of("redis", quick=False, asked=asked) for asked in (None, 2)] == [
        GROUPS["redis"].rounds,
        2,
    ]


def test_a_run_that_is_ended_has_written_what_it_has(tmp_path: Path) -> None:
    """Group by group; ten minutes are not lost to the eleventh."""
    command = [sys.executable, "-m", "benchmarks", "--only", "limits,growth"]
    quick = ["--quick", "--output", str(tmp_path)]
    with subprocess.Popen(
        [*command, *quick],
        cwd=Path(benchmarks.__file__).parent.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as run:
        try:
            until(lambda: (tmp_path / "bench.html").exists())
            run.terminate()
            assert run.wait(60) == 130
        finally:
            run.kill()

    document = json.loads((tmp_path / "bench.json").read_text())
    assert {row["group"] for row in document["rows"]} == {"limits"}
    assert document["missing"] == ["growth"]


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="not of this system")
def test_processors_are_kept_awake_by_whom_all_others_go_before() -> None:
    """They end with the block."""
    with awake() as spinners:
        assert len(spinners) == len(os.sched_getaffinity(0))
        for spinner in spinners:
            until(lambda pid=spinner: os.sched_getscheduler(pid) == os.SCHED_IDLE)

    for spinner in spinners:
        with pytest.raises(ProcessLookupError):
            os.kill(spinner, 0)
