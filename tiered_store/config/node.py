"""
A configuration as a tree of plain values, each knowing its place and its path.
"""

from __future__ import annotations

import re

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tiered_store.config.problems import Place
from tiered_store.wording import brief


Scalar = str | int | float | bool | None

_PLAIN_NAME = re.compile(r"[\w-]{1,60}")


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """
    A scalar, a mapping or a list, somewhere in a configuration.

    Attributes:
        path: Where it is in the tree: ``stores.regions.replicas.us``.
        place: Where it is in the file.
        key: Where the key is that it belongs to.
        sources: The references (``${env:NAME}``) its text was made of, if any; such
            a text is never shown.
        broken: What is wrong with it has been said already.
    """

    value: Scalar | dict[str, Node] | list[Node] = field(repr=False)
    path: str = ""
    place: Place | None = None
    key: Place | None = None
    sources: tuple[str, ...] = ()
    broken: bool = False

    @property
    def entries(self) -> dict[str, Node]:
        """The entries of a mapping; none of anything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def start(self) -> Place | None:
        """Where its key is, or itself if it has none."""
        return self.key or self.place

    def nodes(self) -> Iterator[Node]:
        """Yield this node and every node underneath."""
        yield self
        if isinstance(self.value, dict):
            below = list(self.value.values())
        else:
            below = self.value if isinstance(self.value, list) else []
        for node in below:
            yield from node.nodes()

    def without(self, keys: frozenset[str]) -> Node:
        """Return this mapping without *keys*."""
        kept = {key: node for key, node in self.entries.items() if key not in keys}
        return replace(self, value=kept)

    def plain(self) -> object:
        """Return it as ordinary Python values."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def shown(self) -> str:
        """Return it as a message may show it."""
        if self.sources:
            return f"the value of {' and '.join(self.sources)}"
        if isinstance(self.value, dict):
            return "a mapping"
        if isinstance(self.value, list):
            return "a list"
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        return "nothing" if self.value is None else brief(self.value)


def below(path: str, key: str | int) -> str:
    """Return the path of *key* in the mapping or list at *path*."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    segment = key if _PLAIN_NAME.fullmatch(key) else brief(key)
    return f"{path}.{segment}" if path else segment
