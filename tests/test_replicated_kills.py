"""
Processes killed at any step and any instruction lose nothing and bring nothing back.
"""

from __future__ import annotations

import json
import subprocess
import sys

from collections import Counter
from pathlib import Path
from typing import Any

import pytest


pytestmark = pytest.mark.timeout(600)  # each is some hundred processes

ROOT = Path(__file__).parent.parent
STEPS = {
    *("lease-after", "begin-before", "begin-after", "put-before", "put-half"),
    *("put-after", "delete-before", "delete-after", "settle-before", "settle-after"),
    *("release-before", "release-after"),
}


def campaign(folder: Path, *options: str, of: str = "kills") -> dict[str, Any]:
    """Return what a campaign counted, that found nothing wrong."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.{of}", str(folder), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=590,
        check=False,
    )
    print(done.stdout)  # noqa: T201 - the counts, with the seed
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_killed_writers_leave_what_can_be_settled(tmp_path: Path) -> None:
    """
    Two writers a round on the same objects, a replica away now and then, and SIGKILL.

    No acknowledged write is lost, no deleted object returns, no replica stays
    different.  A longer campaign: ``python -m tests.kills FOLDER --rounds 2500``.
    """
    counts = campaign(tmp_path, "--rounds", "80")

    assert counts["kills"] == 160
    assert counts["acknowledged"] > 160
    assert counts["in_doubt"] > 0
    assert counts["behind"] > 0
    assert Counter(counts["steps"]).keys() >= STEPS


def test_killed_writers_to_servers_do_so_too(tmp_path: Path) -> None:
    """
    A request may reach a real server when whoever sent it is dead.

    The other replica is a directory; ``make soak`` has two buckets too.
    """
    counts = campaign(tmp_path, "--rounds", "10", "--replicas", "mixed")

    assert counts["kills"] == 20
    assert counts["acknowledged"] > 0


def test_writers_of_the_same_objects_leave_equal_replicas(tmp_path: Path) -> None:
    """With the last acknowledged bytes, and nothing to repair; reads saw no others."""
    counts = campaign(tmp_path, "--processes", "3", "--rounds", "20", of="writers")

    assert counts == {"seed": 0, "writes": 240, "reads": 240}
