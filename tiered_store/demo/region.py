"""
A region: a directory that can be taken away, and looked at file by file.
"""

from __future__ import annotations

import hashlib
import os
import shutil

from collections.abc import Mapping
from pathlib import Path


class Region:
    """
    The directory *path*, unless somebody takes it away.

    An outage here is real: whoever reads or writes gets the operating system's error.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path
        self._away = path.with_name(f"{path.name}.away")

    def unmount(self) -> str:
        """Make the directory vanish as a disk does; say what was done."""
        self.path.rename(self._away)
        return f"Unmount {self.name}"

    def forbid(self) -> str:
        """Make the directory unreadable; say what was done."""
        if os.geteuid() == 0:
            return self.unmount()  # nothing is forbidden to root
        self.path.chmod(0)
        return f"Forbid {self.name}"

    def bring_back(self) -> None:
        """Undo either; every file is what it was."""
        if self._away.is_dir() and not self.path.exists():
            self._away.rename(self.path)
        if self.path.is_dir():
            self.path.chmod(0o755)

    def remove(self) -> None:
        """Remove the directory and everything below it."""
        for path in (self.path, self._away):
            shutil.rmtree(path, ignore_errors=True)

    def digests(self) -> Mapping[str, str]:
        """Return the SHA-256 of every file, by its path below the directory."""
        return {
            path.relative_to(self.path).as_posix(): _digest(path)
            for path in sorted(self.path.rglob("*"))
            if path.is_file()
        }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
