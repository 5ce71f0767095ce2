"""
Processes killed at any instruction lose nothing and bring nothing back.
"""

from __future__ import annotations

import json
import subprocess
import sys

from pathlib import Path


ROOT = Path(__file__).parent.parent


def test_killed_writers_leave_what_can_be_settled(tmp_path: Path) -> None:
    """
    Two writers a round on the same objects, a replica away now and then, and SIGKILL.

    No acknowledged write is lost, no deleted object returns, no replica stays
    different.  A longer campaign: ``python -m tests.kills FOLDER --rounds 2500``.
    """
    campaign = subprocess.run(
        [sys.executable, "-m", "tests.kills", str(tmp_path), "--rounds", "40"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert campaign.returncode == 0, campaign.stderr
    counts = json.loads(campaign.stdout)
    assert counts["kills"] == 80
    assert counts["acknowledged"] > 80
    assert counts["in_doubt"] > 0
    assert counts["behind"] > 0
