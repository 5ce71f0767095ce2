"""
A drawing of a stack as a graph, for programs that lay out graphs.

What is shared is one box, with an arrow from everybody who has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tiered_store.cli.drawing import Drawn, Link


@dataclass(slots=True)
class Graph:
    """
    Boxes and arrows.

    Attributes:
        boxes: By identifier, the lines of each.
        arrows: From one to another, with the role of the latter.
    """

    boxes: dict[str, list[str]] = field(default_factory=dict)
    arrows: list[tuple[str, str, str]] = field(default_factory=list)
    _shared: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, drawn: Drawn) -> Graph:
        """Return the graph of *drawn*."""
        graph = cls()
        graph._add(drawn)
        return graph

    def dot(self) -> str:
        """Return it in the language of Graphviz."""
        lines = ["digraph stack {", '  node [shape=box, fontname="sans-serif"];']
        for box, words in self.boxes.items():
            lines.append(f'  {box} [label="{_escaped(words, chr(92) + "n")}"];')
        for start, end, role in self.arrows:
            lines.append(f'  {start} -> {end} [label="{_quoted(role)}"];')
        return "\n".join([*lines, "}", ""])

    def mermaid(self) -> str:
        """Return it in the language of Mermaid, which many pages render."""
        lines = ["flowchart TD"]
        for box, words in self.boxes.items():
            lines.append(f'  {box}["{"<br>".join(map(_entities, words))}"]')
        for start, end, role in self.arrows:
            lines.append(f'  {start} -->|"{_entities(role)}"| {end}')
        return "\n".join([*lines, ""])

    def _add(self, drawn: Drawn) -> str:
        if drawn.shared:
            return self._shared[drawn.label]
        box = f"n{len(self.boxes)}"
        self.boxes[box] = list(_lines(drawn))
        if drawn.label:
            self._shared[drawn.label] = box
        for child in drawn.below:
            self.arrows.append((box, self._add(child), child.role))
        return box


def _lines(drawn: Drawn) -> Iterator[str]:
    yield drawn.label or drawn.role
    for link in drawn.links:
        yield _words(link)


def _words(link: Link) -> str:
    return " ".join([link.kind, *(f"{k}={v}" for k, v in link.options.items())])


def _escaped(words: list[str], line_break: str) -> str:
    return line_break.join(map(_quoted, words))


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _entities(text: str) -> str:
    for character, entity in (("&", "amp"), ('"', "quot"), ("<", "lt"), (">", "gt")):
        text = text.replace(character, f"&{entity};")
    return text
