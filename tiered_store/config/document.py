"""
A file, or what a program has in its place, to a tree of plain values.
"""

from __future__ import annotations

import math
import os

from collections.abc import Mapping

from tiered_store.config.bounded import Bounded, Stop
from tiered_store.config.composer import parse, place_at
from tiered_store.config.node import Node, below
from tiered_store.config.problems import Place, Problems


LARGEST = 1024 * 1024  # bytes of a file


def read(path: str | os.PathLike[str], problems: Problems) -> Node | None:
    """Return the tree of the file at *path*, or None if there is none to be had."""
    name = os.fspath(path)
    file = name if name.isprintable() else repr(name)
    try:
        if "\0" in str(name):
            raise ValueError("its name has a null character")
        with open(name, "rb") as stream:
            content = stream.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        problems.add(Place(file), "", f"cannot be read: {why[:1].lower()}{why[1:]}")
        return None
    if len(content) > LARGEST:
        problems.add(Place(file), "", f"larger than {LARGEST // 1024} KiB")
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        read_so_far = content[: error.start].decode("utf-8-sig", "replace")
        problems.add(place_at(file, read_so_far), "", "not UTF-8; save it as that")
        return None
    return parse(text, file, problems)


def from_plain(value: object, problems: Problems) -> Node | None:
    """Return the tree of *value*, made of mappings, sequences and plain scalars."""
    try:
        return _Converter(problems).node(value, "", 0)
    except Stop:
        return None


class _Converter(Bounded):
    def node(self, value: object, path: str, depth: int) -> Node:
        self._count(None, path, depth)
        if isinstance(value, Mapping):
            return Node(
                {
                    str(key): self.node(entry, below(path, str(key)), depth + 1)
                    for key, entry in value.items()
                },
                path,
            )
        if isinstance(value, list | tuple):
            items = enumerate(value)
            return Node(
                [self.node(x, below(path, i), depth + 1) for i, x in items], path
            )
        if isinstance(value, float) and not math.isfinite(value):
            self._problems.add(None, path, f"not a finite number: {value}")
            return Node(None, path, broken=True)
        huge = isinstance(value, int) and value.bit_length() > 256
        if value is None or (isinstance(value, str | int | float) and not huge):
            return Node(value, path)
        kind = type(value).__name__
        self._problems.add(None, path, f"expected a plain value, got an object: {kind}")
        return Node(None, path, broken=True)
