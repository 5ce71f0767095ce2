"""
What is allowed and will hurt.

Each rule has an identifier that stays.  A rule is a function of what was built; to
add one, write it and name it in ``_RULES``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tiered_store.config.builder import Builder
from tiered_store.config.node import Node
from tiered_store.config.outline import Outline
from tiered_store.config.problems import Place
from tiered_store.store import Store, kind_of
from tiered_store.tree import walk


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that will hurt."""

    rule: str
    place: Place | None
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.place} {self.path}" if self.place else self.path
        return f"{where}: {self.message} [{self.rule}]"


Found = Iterator[tuple[Node, str]]


def findings(builder: Builder, outline: Outline) -> list[Finding]:
    """Return what will hurt, in the order of the file."""
    found = [
        Finding(rule, node.start, node.path, message)
        for rule, look in _RULES.items()
        for node, message in look(builder, outline)
    ]
    return sorted(found, key=lambda finding: finding.place or Place(""))


def _retry_above_retry(builder: Builder, outline: Outline) -> Found:
    """Only the outermost retry on a path retries."""
    inert: dict[int, str] = {}
    for store, node in builder.stores():
        if kind_of(type(store)) == "retry":
            for other in walk(store):
                if other is not store and kind_of(type(other)) == "retry":
                    inert.setdefault(id(other), node.path)
    for store, node in builder.stores():
        if id(store) in inert:
            yield node, f"never retries below {inert[id(store)]}; remove one of them"


def _fallback_without_timeout(builder: Builder, outline: Outline) -> Found:
    """A store that hangs is no outage until somebody stops waiting for it."""
    for store, node in builder.stores():
        if kind_of(type(store)) == "fallback":
            for role, child in store.children().items():
                if not any(_is_bounded(below) for below in walk(child)):
                    yield (
                        node,
                        f"{role} has no timeout: while it hangs, so does every "
                        "reader; say timeout: 5s there",
                    )


def _is_bounded(store: Store) -> bool:
    kind = kind_of(type(store))
    has_timeout = getattr(store, "timeout", None) is not None
    return kind in {"timeout", "memory"} or has_timeout


def _journal_in_memory(builder: Builder, outline: Outline) -> Found:
    """What a replica missed must outlive the process that knows it."""
    for thing, node in builder.made:
        if type(thing).__name__ == "MemoryJournal":
            yield (
                node,
                "what a replica missed is forgotten when this process ends, and no "
                "other process knows it; use type: sqlite",
            )


def _never_used(builder: Builder, outline: Outline) -> Found:
    """What nobody refers to is a mistake, or is loaded by name."""
    for noun, named in outline.definitions.items():
        for name, node in named.items():
            is_default = noun == "store" and name == outline.default
            if not is_default and (noun, name) not in builder.used:
                hint = " or load it by name" if noun == "store" else ""
                yield node, f"never used by any store; remove it{hint}"


_RULES: dict[str, Callable[[Builder, Outline], Found]] = {
    "retry-above-retry": _retry_above_retry,
    "fallback-without-timeout": _fallback_without_timeout,
    "journal-in-memory": _journal_in_memory,
    "never-used": _never_used,
}
