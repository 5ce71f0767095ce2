"""
Stacks that most people want, by name.

.. code-block:: yaml

   images: {preset: one-bucket, bucket: pictures, redis: "${env:REDIS_URL}"}

A preset stands for what is written in its file, with its options put in; other keys
are laid over that.  ``tiered-store presets NAME`` prints the stack to be pasted, and
``tiered-store check --expand`` a whole configuration without any preset.
"""

from __future__ import annotations

import functools
import re

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import resources

from tiered_store.config.composer import parse
from tiered_store.config.node import Node, below
from tiered_store.config.problems import Problems
from tiered_store.wording import unknown


WORD = "preset"

_OPTION = re.compile(r"\$\{option:(\w+)\}")
_QUOTED = re.compile(r'"\$\{option:(\w+)\}"')


@dataclass(frozen=True, slots=True)
class PresetOption:
    """
    What a preset asks for.

    Attributes:
        example: How it may be written, as YAML.
        default: What it is if nobody says.
        optional: What needs it can be left out: the item of a list that it is in, or
            else its key.
    """

    about: str
    example: str
    default: Node | None = None
    optional: bool = False

    @property
    def is_needed(self) -> bool:
        """Whether it must be given."""
        return self.default is None and not self.optional


@dataclass(frozen=True, slots=True)
class Preset:
    """A stack with a name."""

    name: str
    summary: str
    options: Mapping[str, PresetOption]
    store: Node
    text: str

    def file(self) -> str:
        """
        Return a whole configuration to be pasted, with examples for options.

        What can be left out is a comment.
        """
        lines = self.text.partition("\nstore:\n")[2].splitlines()
        stack = "".join(f"  {self._example(line)}\n" for line in lines)
        return f"# {self.summary}\nversion: 1\nstores:\n  images:\n{stack}"

    def asks_for(self) -> str:
        """Return the names of its options, in brackets what may be left out."""
        return " ".join(
            name if option.is_needed else f"[{name}]"
            for name, option in self.options.items()
        )

    def plain(self) -> dict[str, object]:
        """Return it as values that JSON knows."""
        options = {
            name: {
                "about": option.about,
                "example": option.example,
                "required": option.is_needed,
            }
            for name, option in self.options.items()
        }
        return {"name": self.name, "summary": self.summary, "options": options}

    def _example(self, line: str) -> str:
        asked = [self.options[name] for name in _QUOTED.findall(line)]
        for option in asked:
            is_text = "$" in option.example and not option.example.startswith("{")
            shown = f'"{option.example}"' if is_text else option.example
            before, _, after = line.partition(_QUOTED.search(line)[0])  # type: ignore[index] # it was found above
            line = f"{before}{shown}{after}"
        if any(option.optional for option in asked):
            content = line.lstrip()
            return f"{line[: -len(content)]}# {content}"
        return line


@functools.cache
def presets() -> Mapping[str, Preset]:
    """Return every preset, by name."""
    folder = resources.files("tiered_store.config") / "presets"
    found = (_read(file.name, file.read_text()) for file in folder.iterdir())
    return {preset.name: preset for preset in sorted(found, key=lambda x: x.name)}


def without_presets(root: Node, problems: Problems) -> Node:
    """Return the tree of a file with every preset in it put in its place."""
    sections = {
        key: expanded(node, problems) if node.entries else node
        for key, node in root.entries.items()
    }
    return replace(root, value=sections)


def _read(file: str, text: str) -> Preset:
    problems = Problems()
    root = parse(text, file, problems)
    assert root is not None, problems.lines()
    assert not problems, problems.lines()
    options = {
        name: PresetOption(
            about=str(node.entries["about"].value),
            example=str(node.entries["example"].value),
            default=node.entries.get("default"),
            optional="optional" in node.entries,
        )
        for name, node in root.entries["options"].entries.items()
    }
    name, summary = file.removesuffix(".yaml"), str(root.entries["summary"].value)
    return Preset(name, summary, options, root.entries["store"], text)


def expanded(node: Node, problems: Problems) -> Node:
    """Return *node* with every preset in it and underneath put in its place."""
    if isinstance(node.value, list):
        return replace(node, value=[expanded(each, problems) for each in node.value])
    if not isinstance(node.value, dict):
        return node
    entries = {key: expanded(entry, problems) for key, entry in node.value.items()}
    node = replace(node, value=entries)
    asked = entries.get(WORD)
    if asked is None or "type" in entries or isinstance(asked.value, dict):
        return node
    if not isinstance(asked.value, str) or asked.value not in presets():
        shown = asked.value if isinstance(asked.value, str) else asked.shown()
        message = unknown(WORD, shown, presets())
        problems.add(asked.place, asked.path, message)
        return replace(node, broken=True)
    return _Expansion(presets()[asked.value], node, problems).node()


class _Left(Exception):  # noqa: N818 - no error: it is not wanted
    """Something is needed that was not given."""


class _Expansion:
    def __init__(self, preset: Preset, asked: Node, problems: Problems) -> None:
        self._preset = preset
        self._asked = asked
        self._problems = problems

    def node(self) -> Node:
        """Return what was asked for."""
        lacking = [
            name
            for name, option in self._preset.options.items()
            if option.is_needed and name not in self._asked.entries
        ]
        for name in lacking:
            about = self._preset.options[name].about
            message = f"missing {name!r}: {about[:1].lower()}{about[1:]}"
            self._problems.add(self._asked.start, self._asked.path, message)
        if lacking:
            return replace(self._asked, broken=True)
        made = self._put(self._preset.store, self._asked.path)
        known = {WORD, *self._preset.options}
        laid_over = {k: v for k, v in self._asked.entries.items() if k not in known}
        entries = {**made.entries, **laid_over}
        return replace(self._asked, value=entries)

    def _put(self, node: Node, path: str) -> Node:
        """Return *node* of the preset as part of the file, options put in."""
        value = node.value
        if isinstance(value, dict):
            value = dict(self._entries(value, path))
        elif isinstance(value, list):
            value = list(self._items(value, path))
        elif isinstance(value, str) and (asked := _OPTION.fullmatch(value)):
            return self._option(asked[1], path)
        return replace(
            node, value=value, path=path, place=self._asked.place, key=self._asked.key
        )

    def _entries(
        self, entries: Mapping[str, Node], path: str
    ) -> Iterator[tuple[str, Node]]:
        for key, entry in entries.items():
            is_option = isinstance(entry.value, str) and _OPTION.fullmatch(entry.value)
            try:
                yield key, self._put(entry, below(path, key))
            except _Left:
                if not is_option or path.endswith("]"):
                    raise

    def _items(self, items: list[Node], path: str) -> Iterator[Node]:
        kept = 0
        for item in items:
            try:
                put = self._put(item, below(path, kept))
            except _Left:
                continue
            kept += 1
            yield put

    def _option(self, name: str, path: str) -> Node:
        given = self._asked.entries.get(name)
        if given is not None:
            return given
        default = self._preset.options[name].default
        if default is None:
            raise _Left
        return self._put(default, path)
