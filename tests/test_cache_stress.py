"""The campaign of :mod:`tests.cache_stress`, briefly, and who judges it."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from pathlib import Path
from typing import Any

import pytest

from tests.cache_judge import LATE, Doubts, History, Write, judge
from tests.cache_stress import KEYS


def campaign(*options: str) -> dict[str, Any]:
    """Run it, which must end well, and return what was counted."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.cache_stress", *options],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.servers
@pytest.mark.parametrize(
    ("seconds", "wrongs"),
    [
        ("3.2", []),  # two rounds
        ("6.4", ["evict", "kill-feeds", "kill-writers"]),
    ],
    ids=["plain", "wronged and killed"],
)
def test_processes_that_share_a_server_end_right(seconds: str, wrongs: Any) -> None:
    """Nothing fails, nothing is left behind, and what is behind is so for no time."""
    flags = [f"--{wrong}" for wrong in wrongs]

    counts = campaign("--seconds", seconds, "--seed", str(len(wrongs)), *flags)

    assert [counts[what] for what in ("failed", "late", "wrong")] == [0, [], []]
    assert counts["worst_stale_ms"] < 2000
    assert counts["read"] > 100
    assert counts["wrote"] > 20
    assert counts["last"] == 4 * len(KEYS)
    assert ("claims evicted" in counts) == ("evict" in wrongs)
    assert ("feeds killed" in counts) == ("kill-feeds" in wrongs)
    assert (counts["deaths"] > 0) == ("kill-writers" in wrongs)


# -- the judge -----------------------------------------------------------------------


@pytest.fixture
def history() -> History:
    return History(
        [
            Write(3, "b", at=30.0),  # whoever wrote it died
            Write(1, "a", at=10.0, acknowledged=11.0),
            Write(5, "-", at=50.0, acknowledged=52.0),
            Write(8, "c", at=80.0, acknowledged=81.0),
        ]
    )


def test_a_read_is_stale_once_somebody_was_told(history: History) -> None:
    """From the acknowledgement of any later write on, whatever came in between."""
    assert history.stale("a", 31.0, 31.1) == 0.0
    assert history.stale("a", 53.0, 53.1) == 1.0
    assert history.stale("b", 53.0, 53.1) == 1.0
    assert history.stale("-", 83.0, 83.1) == 2.0
    assert history.stale("c", 99.0, 99.1) == 0.0


def test_a_read_is_late_once_the_origin_has_another(history: History) -> None:
    """Whether anybody was told or not."""
    assert history.replaced("a", 29.0, 29.1) == 0.0
    assert history.replaced("a", 33.0, 33.1) == 3.0
    assert history.replaced("b", 49.0, 51.0) == 0.0
    assert history.replaced("b", 55.0, 55.1) == 5.0
    assert history.current == "c"


def test_absence_is_that_of_the_last_delete(history: History) -> None:
    """Or of before the first write; the one that puts the read right counts."""
    assert history.replaced("-", 5.0, 5.1) == 0.0
    assert history.replaced("-", 12.0, 12.1) == 2.0
    assert history.replaced("-", 49.0, 50.5) == 0.0
    assert history.replaced("-", 70.0, 70.1) == 0.0
    assert history.replaced("-", 85.0, 85.1) == 5.0


def test_what_nobody_wrote_is_an_error(history: History) -> None:
    """It is none of the writes at all."""
    with pytest.raises(KeyError):
        history.stale("z", 1.0, 1.1)


def test_only_two_faults_at_once_are_an_excuse() -> None:
    """A dead writer, and its claim evicted, until somebody writes again."""
    claims = [(5.0, 1), (5.0, 2), (5.0, 3)]
    lines = [
        line.split()
        for line in (
            "began 1 4.0 4.0 x",
            "began 2 4.0 4.0 x",
            "wrote 2 4.0 6.0 7",  # it did not die
            "began 3 6.0 6.0 x",  # it was not evicted
            "began 4 4.0 4.0 x",
            "began 1 8.0 8.0 y",
            "wrote 1 8.0 9.0 8",
        )
    ]
    doubts = Doubts(lines, claims)

    assert [doubts.covers(1, when) for when in (4.5, 6.0, 9.5)] == [False, True, False]
    assert not any(doubts.covers(index, 6.5) for index in (0, 2, 3, 4))


def test_what_was_read_is_held_against_what_was_written() -> None:
    """Late reads and wrong objects, and how many of everything there was."""
    order = [
        ["1", "0", "a", str(time.time() - 9)],
        ["2", "0", "b", str(time.time() - 5)],
    ]
    now = time.monotonic()
    lines = [
        ["wrote", "0", str(now - 10), str(now - 9), "1"],
        ["wrote", "0", str(now - 6), str(now - 4), "2"],
        ["read", "0", str(now - 4.5), str(now - 4.5), "a"],
        ["read", "0", str(now - 3), str(now - 3), "a"],
        ["read", "1", str(now), str(now), "-"],
        ["last", "0", str(now), str(now), "a"],
        ["last", "1", str(now), str(now), "-"],
    ]

    counts = judge(lines, order, [])

    assert (counts["read"], counts["wrote"], counts["last"]) == (3, 2, 2)
    assert [case[:2] for case in counts["late"]] == [(0, "a")]
    assert counts["late"][0][2] > LATE
    assert counts["wrong"] == [(0, "a")]
    assert counts["stale"] == 1
    assert 900 < counts["worst_stale_ms"] < 1100
