"""
YAML to a tree of plain values with their places, and nothing else.

The scalars are those of YAML 1.2: ``no`` is a text, ``010`` is one, ``12:30`` is no
number of minutes, ``1_000`` is a number.  Tags other than ``!!str`` are refused, as
are duplicate keys.  Aliases and ``<<`` copy.
"""

from __future__ import annotations

import math
import re

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import yaml

from tiered_store.config.bounded import Bounded, Stop
from tiered_store.config.node import Node, Scalar, below
from tiered_store.config.problems import Place, Problems
from tiered_store.config.syntax import explain
from tiered_store.wording import brief


_TEXT = ("!", "tag:yaml.org,2002:str")
_COLLECTION = (None, "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_CONSTANTS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(
    r"[-+]?(0|[1-9][0-9]*(_[0-9]+)*)|0x[0-9a-fA-F]+|0o[0-7]+", re.ASCII
)
_LINE_BREAK = re.compile(r"\r\n|\n|\r")
_FLOAT = re.compile(
    r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?", re.ASCII
)


def parse(text: str, file: str, problems: Problems) -> Node | None:
    """Return the tree of *text*, which stands in *file*, or None if it has none."""
    try:
        return _Composer(text, file, problems).document()
    except Stop:
        return None


class _Mark(Protocol):
    index: int


class _Composer(Bounded):
    """
    One document, composed from parser events.

    PyYAML's own composer recurses as deep as the input says and keeps of a
    duplicate key only the last value.
    """

    def __init__(self, text: str, file: str, problems: Problems) -> None:
        super().__init__(problems)
        self._file = file
        self._anchors: dict[str, Node] = {}
        self._lines = [0, *(found.end() for found in _LINE_BREAK.finditer(text))]
        try:
            self._loader = yaml.SafeLoader(text)
        except yaml.reader.ReaderError as error:
            place = place_at(file, text[: error.position])
            character = f"U+{ord(text[error.position]):04X}"
            problems.add(place, "", f"a character that is no text: {character}")
            raise Stop from None

    def document(self) -> Node | None:
        """Return its root, or None if there is none."""
        self._next()
        if isinstance(self._next(), yaml.StreamEndEvent):
            self._problems.add(Place(self._file), "", "empty; begin with version: 1")
            return None
        root = self._node(self._next(), "", None, 0)
        self._next()
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            place = self._place(after.start_mark)
            self._problems.add(place, "", "a second document; one file holds one")
        return root

    def _next(self) -> yaml.Event:
        try:
            event: yaml.Event = self._loader.get_event()  # type: ignore[no-untyped-call] # of PyYAML
        except yaml.YAMLError as error:
            mark, message = explain(error)
            self._problems.add(self._place(mark), "", message)
            raise Stop from None
        except (ValueError, OverflowError):  # numbers that are none, inside escapes
            mark = self._loader.get_mark()
            self._problems.add(self._place(mark), "", "no YAML: not a character")
            raise Stop from None
        return event

    def _place(self, mark: _Mark | None) -> Place:
        if mark is None:
            return Place(self._file)
        # the parser takes U+0085, U+2028 and U+2029 for line breaks; no editor does
        line = bisect_right(self._lines, mark.index)
        return Place(self._file, line, mark.index - self._lines[line - 1] + 1)

    def _node(
        self, event: yaml.Event, path: str, key: Place | None, depth: int
    ) -> Node:
        place = self._place(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor or "", path, place, key, depth)
        self._count(place, path, depth)
        if isinstance(event, yaml.MappingStartEvent):
            node = Node(self._mapping(path, depth), path, place, key)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = Node(self._sequence(path, depth), path, place, key)
        else:
            assert isinstance(event, yaml.ScalarEvent)
            node = self._scalar(event, path, place, key)
        allowed = (*_TEXT, *_COLLECTION)
        if event.tag not in allowed:
            tag = brief(event.tag.replace("tag:yaml.org,2002:", "!!"))
            message = f"tag {tag}: tags are not supported; put a text in quotes"
            self._problems.add(place, path, message)
            node = replace(node, broken=True)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _scalar(
        self, event: yaml.ScalarEvent, path: str, place: Place, key: Place | None
    ) -> Node:
        try:
            event.value.encode()
        except UnicodeEncodeError:
            self._problems.add(place, path, "half a character: an escaped surrogate")
            return Node(None, path, place, key, broken=True)
        plain = event.style is None and event.tag is None
        value = resolved(event.value) if plain else event.value
        return Node(value, path, place, key)

    def _sequence(self, path: str, depth: int) -> list[Node]:
        items: list[Node] = []
        while True:
            event = self._next()
            if isinstance(event, yaml.SequenceEndEvent):
                return items
            items.append(self._node(event, below(path, len(items)), None, depth + 1))

    def _mapping(self, path: str, depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        merged: list[Node] = []
        merge: Node | None = None
        while True:
            event = self._next()
            if isinstance(event, yaml.MappingEndEvent):
                break
            place = self._place(event.start_mark)
            if not isinstance(event, yaml.ScalarEvent):
                self._problems.add(place, path, "a key is a word, nothing else")
                raise Stop
            key = event.value
            where = below(path, key)
            node = self._node(self._next(), where, place, depth + 1)
            if key == "<<" and event.style is None:
                if merge is not None:
                    self._duplicate(merge, place, where, key)
                merge = node
                merged += node.value if isinstance(node.value, list) else [node]
            elif key in entries:
                self._duplicate(entries[key], place, where, key)
            else:
                entries[key] = node
        for node in merged:
            self._merge(node, entries, path, depth)
        return entries

    def _duplicate(self, first: Node, place: Place, path: str, key: str) -> None:
        line = first.key.line if first.key else 0
        message = f"duplicate key {brief(key)}; the first is on line {line}"
        self._problems.add(place, path, message)

    def _merge(
        self, node: Node, entries: dict[str, Node], path: str, depth: int
    ) -> None:
        if not isinstance(node.value, dict):
            if not node.broken:
                self._problems.add(node.place, path, "only mappings can be merged")
            return
        for key, entry in node.entries.items():
            if key not in entries:
                where = below(path, key)
                copied = self._copied(entry, where, entry.key, depth + 1, node.key)
                entries[key] = copied

    def _alias(
        self, name: str, path: str, place: Place, key: Place | None, depth: int
    ) -> Node:
        if name not in self._anchors:
            message = f"alias *{brief(name)[1:-1]}: no such anchor stands above it"
            self._problems.add(place, path, message)
            return Node(None, path, place, key, broken=True)
        return self._copied(self._anchors[name], path, key, depth, place)

    def _copied(
        self, node: Node, path: str, key: Place | None, depth: int, alias: Place | None
    ) -> Node:
        self._count(alias, path, depth)
        value: Scalar | dict[str, Node] | list[Node] = node.value
        if isinstance(value, dict):
            value = {
                name: self._copied(
                    entry, below(path, name), entry.key, depth + 1, alias
                )
                for name, entry in value.items()
            }
        elif isinstance(value, list):
            value = [
                self._copied(item, below(path, index), None, depth + 1, alias)
                for index, item in enumerate(value)
            ]
        return replace(node, value=value, path=path, key=key)


def resolved(text: str) -> Scalar:
    """Return what a plain scalar of *text* means."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) > 40:
        return text
    if _INTEGER.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text


def place_at(file: str, text: str) -> Place:
    """Return the place right after *text*, the beginning of *file*."""
    return Place(file, text.count("\n") + 1, len(text) - text.rfind("\n"))
