"""
The top of a configuration: its version, its default and what it defines.
"""

from __future__ import annotations

import re

from collections.abc import Mapping

from tiered_store.config.allowances import WORD as ALLOW
from tiered_store.config.allowances import Allowance, allowances, without_allowances
from tiered_store.config.defaults import WORD as DEFAULTS
from tiered_store.config.interpolate import interpolated
from tiered_store.config.node import Node
from tiered_store.config.preset import expanded
from tiered_store.config.problems import Place, Problems
from tiered_store.wording import nearest, series, unknown


VERSION = 1

SECTIONS = {"store": "stores", "journal": "journals", "control": "controls"}
_KEYS = ("version", "default", *SECTIONS.values(), DEFAULTS, ALLOW)
NAME = re.compile(r"\w[\w-]*")


class Outline:
    """
    What stands at the top of *root*.

    Attributes:
        file: The file as a whole, if it is one.
        default: The name of the store that is meant if none is named, if that is
            known.
        meant: The same, or the name that looks most like what is written.
        definitions: By family and name, the nodes that define something.
        defaults: The node of what all nodes of a type have in common, if there is one.
        allowances: What is meant although it will hurt.
    """

    def __init__(self, root: Node, problems: Problems) -> None:
        self.file = Place(root.place.file) if root.place is not None else None
        self.default: str | None = None
        self.meant: str | None = None
        self.definitions: Mapping[str, Mapping[str, Node]] = {
            noun: {} for noun in SECTIONS
        }
        self.defaults: Node | None = None
        self.allowances: list[Allowance] = []
        self._root = root
        self._problems = problems
        if self._is_ours():
            self._read()

    def _is_ours(self) -> bool:
        """Whether there is any point in looking further."""
        root = self._root
        if not isinstance(root.value, dict):
            if not root.broken:
                message = "expected a mapping with version, default and stores"
                self._problems.add(root.place, "", f"{message}, got {root.shown()}")
            return False
        version = root.entries.get("version")
        if version is None:
            message = f"missing 'version'; begin with version: {VERSION}"
            self._problems.add(self.file, "", message)
            return True
        if type(version.value) is not int or version.value != VERSION:
            message = (
                f"expected {VERSION}, got {version.shown()}; write version: {VERSION}"
            )
            self._problems.add(version.place, version.path, message)
            return False
        return True

    def _read(self) -> None:
        root = self._root
        for key, node in root.entries.items():
            if key not in _KEYS:
                message = unknown("key", key, _KEYS, listed=True)
                self._problems.add(node.key, node.path, message)
        if ALLOW in root.entries:
            self.allowances += allowances(root.entries[ALLOW], "", self._problems)
        self.defaults = root.entries.get(DEFAULTS)
        self.definitions = {
            noun: self._section(section) for noun, section in SECTIONS.items()
        }
        stores = self.definitions["store"]
        if "stores" not in root.entries:
            self._problems.add(
                self.file, "", "missing 'stores': what there is, by name"
            )
        elif stores or root.entries["stores"].value == {}:
            self._read_default(stores)
            self.meant = self.meant or self.default

    def _section(self, section: str) -> Mapping[str, Node]:
        node = self._root.entries.get(section)
        if node is None or node.broken:
            return {}
        if not isinstance(node.value, dict):
            message = f"expected a mapping by name, got {node.shown()}"
            self._problems.add(node.place, node.path, message)
            return {}
        for name, definition in node.entries.items():
            if not NAME.fullmatch(name):
                message = "a name is made of letters, digits, '-' and '_'"
                self._problems.add(definition.key, definition.path, message)
        return {name: self._ready(entry) for name, entry in node.entries.items()}

    def _ready(self, definition: Node) -> Node:
        """Return *definition* without what only this level knows."""
        node = expanded(definition, self._problems)
        return without_allowances(node, self.allowances, self._problems)

    def _read_default(self, stores: Mapping[str, Node]) -> None:
        if not stores:
            empty = self._root.entries["stores"]
            self._problems.add(empty.place, empty.path, "there must be at least one")
            return
        written = self._root.entries.get("default")
        if written is None:
            if len(stores) == 1:
                self.default = next(iter(stores))
            else:
                message = f"missing 'default': one of {series(stores)}"
                self._problems.add(self.file, "", message)
            return
        node = interpolated(written, self._problems)
        if node.broken:
            return
        if not isinstance(node.value, str):
            message = f"expected the name of a store, got {node.shown()}"
            if isinstance(node.value, int | float):
                message += "; put it in quotes"
        elif node.value in stores:
            self.default = node.value
            return
        elif node.sources:
            message = f"unknown store, {node.shown()}; known are: {series(stores)}"
        else:
            message = unknown("store", node.value, stores)
            self.meant = nearest(node.value, stores)
        self._problems.add(node.place, node.path, message)
