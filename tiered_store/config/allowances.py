"""
What somebody means although it will hurt, and why.

.. code-block:: yaml

   regions:
     type: replicated
     journal: {type: memory}
     allow: {journal-in-memory: one process; what it holds can be computed again}

A warning is silenced where it is meant, for the node and what is written in it; at
the top of a file, for all of it.  Each rule needs its reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tiered_store.config.node import Node
from tiered_store.config.problems import Problems


WORD = "allow"
_SHORTEST = 3  # words are not counted, but something must be said


@dataclass(frozen=True, slots=True)
class Allowance:
    """A rule that does not hold in what is written at *path* and below."""

    rule: str
    reason: str
    path: str
    node: Node

    def covers(self, path: str) -> bool:
        """Whether what is at *path* is meant."""
        rest = path.removeprefix(self.path)
        return not self.path or (
            path.startswith(self.path) and rest[:1] in ("", ".", "[")
        )


def without_allowances(node: Node, found: list[Allowance], problems: Problems) -> Node:
    """Return *node* without what it allows, which is added to *found*."""
    if isinstance(node.value, list):
        items = [without_allowances(each, found, problems) for each in node.value]
        return replace(node, value=items)
    if not isinstance(node.value, dict):
        return node
    entries = dict(node.value)
    kind = entries.get("type")
    if WORD in entries and kind is not None and not isinstance(kind.value, dict):
        found.extend(allowances(entries.pop(WORD), node.path, problems))
    below = {k: without_allowances(x, found, problems) for k, x in entries.items()}
    return replace(node, value=below)


def allowances(node: Node, path: str, problems: Problems) -> Iterator[Allowance]:
    """Yield what *node* allows in what is at *path*."""
    if not isinstance(node.value, dict):
        message = f"expected a mapping, {{RULE: reason}}, got {node.shown()}"
        problems.add(node.place, node.path, message)
        return
    for rule, reason in node.entries.items():
        if isinstance(reason.value, str) and len(reason.value.strip()) >= _SHORTEST:
            yield Allowance(rule, reason.value, path, reason)
        else:
            problems.add(reason.start, reason.path, f"say why {rule} is meant")
