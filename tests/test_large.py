"""A large object goes through a whole stack in little memory."""

from __future__ import annotations

import json
import subprocess
import sys

from pathlib import Path

import pytest


ROOT = Path(__file__).parent.parent


@pytest.mark.servers
def test_a_large_object_takes_little_memory(tmp_path: Path) -> None:
    """Both ways, with no parts left behind; ``make soak`` does 5 GiB."""
    command = [sys.executable, "-m", "tests.large", str(tmp_path / "room")]
    done = subprocess.run(
        [*command, "--size", "128MiB"], cwd=ROOT, capture_output=True, timeout=110
    )

    assert done.returncode == 0, (done.stdout, done.stderr)
    assert json.loads(done.stdout)["same"]
