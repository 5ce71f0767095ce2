"""
What is wrong with a configuration: where, what, and what instead.
"""

from __future__ import annotations

import re

from dataclasses import dataclass


_USERINFO = re.compile(r"(://)[^/\s'\"@]*:[^/\s'\"]*@")
_SHORT = 4  # characters; what is shorter is hidden as a whole word only


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A character of a file; lines and columns count from 1, 0 is the whole file."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


def plain_place(place: Place | None) -> dict[str, object]:
    """Return *place* as values that JSON knows, null for what cannot be told."""
    return {
        "file": place.file if place else None,
        "line": (place.line or None) if place else None,
        "column": (place.column or None) if place else None,
    }


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: ``images.yml:17:20 stores.us: unknown key 'buckt'``."""

    place: Place | None
    path: str
    message: str

    def plain(self) -> dict[str, object]:
        """Return it as values that JSON knows."""
        return {
            **plain_place(self.place),
            "path": self.path,
            "message": self.message,
        }

    def __str__(self) -> str:
        where = " ".join(str(part) for part in (self.place, self.path) if part)
        return f"{where}: {self.message}" if where else self.message


class Problems:
    """
    All that is wrong with one configuration.

    Nothing secret is ever said: passwords in URLs are struck out of every message,
    and what was given to :meth:`hide` out of those that other code worded.
    """

    def __init__(self) -> None:
        self._found: list[Problem] = []
        self._secrets: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, place: Place | None, path: str, message: str) -> None:
        """Note that *message* is to be said about *path*, once."""
        line = _USERINFO.sub(r"\1****@", " ".join(message.splitlines()))
        problem = Problem(place, path, line)
        if problem not in self._found[-100:]:  # a shared journal's, for example
            self._found.append(problem)

    def hide(self, secret: str) -> None:
        """Never show *secret*."""
        if secret:
            self._secrets |= {secret, repr(secret)[1:-1]}

    def veiled(self, message: str) -> str:
        """Return *message*, which somebody else worded, without any secret in it."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            pattern = re.escape(secret)
            if len(secret) < _SHORT:
                pattern = rf"(?<!\w){pattern}(?!\w)"
            message = re.sub(pattern, "****", message)
        return message

    def listed(self) -> list[Problem]:
        """Return them in the order of the file."""
        return sorted(self._found, key=lambda found: found.place or Place(""))

    def lines(self) -> list[str]:
        """Return them as lines, in the order of the file."""
        return [str(problem) for problem in self.listed()]
