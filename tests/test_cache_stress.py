"""
Processes that are wronged read nothing old when all is calm again.

At length: ``make soak``.
"""

from __future__ import annotations

import json
import subprocess
import sys

from pathlib import Path
from typing import Any

import pytest


ROOT = Path(__file__).parent.parent
WRONGS = "--evict", "--kill-feeds", "--kill-writers"


def campaign(*options: str) -> dict[str, Any]:
    """Run a campaign, and return what it counted."""
    words = [sys.executable, "-m", "tests.cache_stress", "--seconds", "6", *options]
    done = subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counted: dict[str, Any] = json.loads(done.stdout)
    return counted


@pytest.mark.servers
def test_processes_that_are_left_alone_agree() -> None:
    """Four processes, memory in each: every object is what the origin has."""
    counted = campaign("--seed", "1")

    assert counted["read"] > 200
    assert counted["wrong"] == []
    assert counted["worst_stale_ms"] < 2000


@pytest.mark.servers
def test_processes_that_are_wronged_agree() -> None:
    """Keys evicted, feeds cut, writers killed: a stale read is short, none stays."""
    counted = campaign("--seed", "2", *WRONGS)

    assert counted["deaths"] > 0
    assert counted["evicted"] > 0
    assert counted["feeds killed"] > 0
    assert counted["wrong"] == []
    assert counted["worst_stale_ms"] < 2000
