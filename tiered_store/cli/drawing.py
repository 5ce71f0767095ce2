"""
A stack as a drawing: who stands on whom, and with which options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.text import Text
from rich.tree import Tree

from tiered_store.config.options import options_of, parts_of
from tiered_store.control.control import Control
from tiered_store.journals.journal import Journal
from tiered_store.node import kind_of
from tiered_store.policies.guard import Guard
from tiered_store.store import Store
from tiered_store.tiers.tier import Tier


@dataclass(frozen=True, slots=True)
class Link:
    """One thing with a type and options."""

    kind: str
    options: Mapping[str, str]


@dataclass(slots=True)
class Drawn:
    """
    A place in a stack.

    Attributes:
        role: What it is to whoever is above.
        label: Its path, by which errors and events name it.
        links: The wrappers around it that nobody named, outermost first, then itself.
        shared: It was drawn before, with what is below it.
    """

    role: str
    label: str
    links: list[Link]
    shared: bool = False
    below: list[Drawn] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """Return it as values that JSON knows."""
        *around, own = [
            {"type": link.kind, "options": dict(link.options)} for link in self.links
        ]
        return {
            "role": self.role,
            "label": self.label,
            **own,
            "inside": around,
            "shared": self.shared,
            "children": [child.plain() for child in self.below],
        }


def draw(root: Store) -> Drawn:
    """Return a drawing of *root* and everything underneath, shared parts once."""
    return _drawn(str(root), root, {})


def _drawn(role: str, store: Store, seen: dict[int, str]) -> Drawn:
    links: list[Link] = []
    while store.transparent and len(store.children()) == 1:
        links.append(_link(store))
        (store,) = store.children().values()
    if id(store) in seen:
        links.append(Link(_link(store).kind, {}))
        return Drawn(role, str(store), links, shared=True)
    seen[id(store)] = str(store)
    drawn = Drawn(role, str(store), [*links, _link(store)])
    children = dict(store.children())
    for name, part in parts_of(store).items():
        path = f"{drawn.label}.{name}"
        drawn.below.append(_part(path, name, part, children.pop(name, None), seen))
    drawn.below += [_drawn(name, child, seen) for name, child in children.items()]
    return drawn


def _part(
    path: str,
    role: str,
    part: Tier | Journal | Control,
    store: Store | None,
    seen: dict[int, str],
) -> Drawn:
    kind = type(part).__name__
    for word in ("Tier", "Journal", "Control"):
        kind = kind.removesuffix(word)
    kind = kind.lower()
    if store is None:
        if id(part) in seen:
            return Drawn(role, seen[id(part)], [Link(kind, {})], shared=True)
        seen[id(part)] = path
        return Drawn(role, path, [Link(kind, options_of(part))])
    drawn = _drawn(role, store, seen)
    drawn.links.insert(0, Link("tier", options_of(part)))
    return drawn


def _link(store: Store) -> Link:
    if isinstance(store, Guard) and type(store) is Guard:
        return Link("breaker", {})  # its options are those of whoever put it there
    return Link(kind_of(type(store)), options_of(store))


def as_tree(drawn: Drawn) -> Tree:
    """Return *drawn* for a terminal."""
    tree = Tree(_line(drawn), guide_style="dim")
    _grow(tree, drawn)
    return tree


def _grow(tree: Tree, drawn: Drawn) -> None:
    for child in drawn.below:
        _grow(tree.add(_line(child)), child)


def _line(drawn: Drawn) -> Text:
    line = Text.assemble((drawn.role, "bold"), ": ")
    for number, link in enumerate(drawn.links):
        line.append(" > " if number else "", "dim")
        line.append(link.kind, "cyan")
        for name, value in link.options.items():
            line.append(f" {name}=", "dim").append(value)
    if drawn.shared:
        line.append(f" (the same as {drawn.label})", "dim italic")
    return line
