"""
Where among the paths of an application a site is.
"""

from __future__ import annotations


class Prefix:
    """A path such as ``images``; slashes around it make no difference."""

    def __init__(self, text: str) -> None:
        name = text.strip("/")
        self._start = f"/{name}/" if name else "/"

    def __str__(self) -> str:
        return self._start

    def strip(self, path: str) -> str | None:
        """Return what of *path* is below it; None if it is elsewhere."""
        path = path if path.startswith("/") else f"/{path}"
        if not path.startswith(self._start):
            return None
        return path[len(self._start) :]
