"""
A small disk of a test's own, which it may fill and make read-only.
"""

from __future__ import annotations

import contextlib
import os
import subprocess

from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """
    Have a real file system in *folder*.

    Only an administrator may mount one.  Where nobody may the test counts as skipped,
    and in CI it fails: what decides must not pass over it unseen.
    """
    folder.mkdir()
    ran = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up(f"a file system cannot be mounted here: {ran.stderr.strip()}")
    yield folder
    # lazily, since a store that was not closed may be reading still
    subprocess.run(["umount", "--lazy", folder], check=False, capture_output=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """One mebibyte, and few files."""
    with mounted(tmp_path / "disk", "size=1m,nr_inodes=40") as folder:
        yield folder
