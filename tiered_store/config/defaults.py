"""
What all nodes of a type have in common.

.. code-block:: yaml

   defaults:
     stores:
       s3: {region: us-east-1, timeout: 2s}
       retry: {attempts: 5}
     tiers:
       memory: {ttl: 60s}

A node's own key replaces the default's, whatever is in it; ``timeout: false`` takes
away an attribute that is a default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tiered_store.config.interpolate import interpolated
from tiered_store.config.node import Node
from tiered_store.config.problems import Problems
from tiered_store.config.registry import Family, Registry
from tiered_store.wording import unknown


WORD = "defaults"
_NEVER = ("type", "preset", "allow", "child", "origin")


class Defaults:
    """
    The section ``defaults`` of a file.

    Args:
        node: It, or None if there is none.
    """

    def __init__(
        self, node: Node | None, problems: Problems, registry: Registry
    ) -> None:
        self._problems = problems
        self._sections = {f"{family.noun}s": family for family in registry.families}
        self._written: dict[tuple[str, str], Node] = {}
        self._ready: dict[tuple[str, str], Mapping[str, Node]] = {}
        if node is not None:
            self._read(node)

    def of(self, family: Family, word: str) -> Mapping[str, Node]:
        """Return what every *word* of *family* has, by key."""
        which = (family.noun, word)
        if which not in self._ready:
            node = self._written.get(which)
            found = {} if node is None else interpolated(node, self._problems).entries
            self._ready[which] = found
        return self._ready[which]

    def written(self) -> Iterator[tuple[Family, str, Node]]:
        """Yield every family and word of it that has any, and the node of them."""
        families = {family.noun: family for family in self._sections.values()}
        for (noun, word), node in self._written.items():
            yield families[noun], word, node

    def _read(self, node: Node) -> None:
        for section, types in self._mapping(node, "by section").items():
            if section not in self._sections:
                self._say(types, unknown("section", section, self._sections))
                continue
            family = self._sections[section]
            for word, options in self._mapping(types, "by type").items():
                if word not in family:
                    message = unknown(f"{family.noun} type", word, family.words())
                    self._say(options, message)
                else:
                    self._written[family.noun, word] = self._sound(options)

    def _sound(self, options: Node) -> Node:
        entries = self._mapping(options, "of options")
        for key in _NEVER:
            if key in entries:
                self._say(entries[key], "is of each node, and no default")
        return options.without(frozenset(_NEVER))

    def _mapping(self, node: Node, how: str) -> Mapping[str, Node]:
        if not isinstance(node.value, dict) and not node.broken:
            message = f"expected a mapping {how}, got {node.shown()}"
            self._problems.add(node.place, node.path, message)
        return node.entries

    def _say(self, node: Node, message: str) -> None:
        self._problems.add(node.start, node.path, message)
