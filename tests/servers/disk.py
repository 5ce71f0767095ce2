"""
A small disk of a test's own, which it may fill and make read-only.
"""

from __future__ import annotations

import subprocess

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one mebibyte; without one the test counts as skipped."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = "size=1m,nr_inodes=40"
    ran = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        pytest.skip(f"a file system cannot be mounted here: {ran.stderr.strip()}")
    yield folder
    # lazily, since a store that was not closed may be reading still
    subprocess.run(["umount", "--lazy", folder], check=False, capture_output=True)
