"""
A rule, its page, and what it finds.
"""

from __future__ import annotations

import inspect
import re
import textwrap

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from tiered_store.config.lint.stack import Stack
from tiered_store.config.node import Node
from tiered_store.config.problems import Place, plain_place


Severity = Literal["error", "warning", "note"]
Found = Iterator[tuple[Node, str]]

_EXAMPLE = re.compile(r"^(Hurts|Better)::\n\n((?:    .*\n|\n)+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that will hurt."""

    rule: str
    place: Place | None
    path: str
    message: str
    severity: Severity = "warning"

    def plain(self) -> dict[str, object]:
        """Return it as values that JSON knows."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            **plain_place(self.place),
            "path": self.path,
            "message": self.message,
        }

    def __str__(self) -> str:
        where = f"{self.place} {self.path}" if self.place else self.path
        return f"{where}: {self.message} [{self.rule}]"


@dataclass(frozen=True, slots=True)
class Rule:
    """
    Something to look for.

    Attributes:
        name: Its identifier, which stays.
        severity: ``error``: data will be lost, or answers wrong; ``check`` fails.
            ``warning``: it will hurt; ``check --strict`` fails.  ``note``: it may hurt.
        look: Yields what hurts, and what to say of it.  Its docstring says why, in a
            stack that ``Hurts`` and one that is ``Better``.
        written: It is about what is written, and looked for although something is
            wrong.  Half a stack hurts in ways that nobody meant.
    """

    name: str
    severity: Severity
    look: Callable[[Stack], Found]
    written: bool = False

    @property
    def summary(self) -> str:
        """Why, in a sentence."""
        return self.why.partition("\n\n")[0]

    @property
    def why(self) -> str:
        """Why it hurts, in paragraphs."""
        before = _EXAMPLE.split(f"{inspect.getdoc(self.look)}\n", maxsplit=1)[0]
        paragraphs = before.strip().split("\n\n")
        return "\n\n".join(" ".join(each.split()) for each in paragraphs)

    def example(self, which: Literal["Hurts", "Better"]) -> str:
        """Return a configuration that it is about, or one that it leaves alone."""
        page = f"{inspect.getdoc(self.look)}\n"
        for word, text in _EXAMPLE.findall(page):
            if word == which:
                stores = textwrap.indent(textwrap.dedent(text).strip(), "  ")
                name = stores.strip().partition(":")[0]
                return f"version: 1\ndefault: {name}\nstores:\n{stores}\n"
        return ""

    def page(self) -> str:
        """Return all there is to say, in Markdown."""
        hurts, better = self.example("Hurts"), self.example("Better")
        return (
            f"## {self.name}\n\n*{self.severity}.* {self.why}\n\n"
            f"What hurts:\n\n```yaml\n{hurts}```\n\n"
            f"What to write instead:\n\n```yaml\n{better}```\n\n"
            f"Where it is meant, say so and why, in the node:\n"
            f"`allow: {{{self.name}: ...}}`.\n"
        )
