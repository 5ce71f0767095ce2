"""
The type that a node names, and what it takes.
"""

from __future__ import annotations

from tiered_store.config.decode import Decoder
from tiered_store.config.node import Node
from tiered_store.config.problems import Problems
from tiered_store.config.registry import Family
from tiered_store.config.schema import Schema
from tiered_store.errors import ConfigError
from tiered_store.wording import nearest, series


class Lookup:
    """Finds schemas; whatever stands in the way is a problem of the node."""

    def __init__(self, decoder: Decoder, problems: Problems) -> None:
        self._decoder = decoder
        self._problems = problems

    def schema(self, family: Family, node: Node) -> Schema | None:
        """Return what the type of *node* takes, or None if that cannot be said."""
        if not isinstance(node.value, dict):
            message = f"expected a mapping with a type, got {node.shown()}"
            if not node.sources and node.value in family:
                message += f"; write {{type: {node.value}}}"
            self._decoder.fail(node, message)
            return None
        kind = node.entries.get("type")
        if kind is None:
            self._untyped(family, node)
            return None
        if kind.broken:
            return None
        if not isinstance(kind.value, str):
            message = f"expected the name of a {family.noun} type, got {kind.shown()}"
            self._decoder.fail(kind, message)
            return None
        if kind.sources and kind.value not in family:
            words = series(family.words())
            message = f"unknown {family.noun} type, {kind.shown()}; known are: {words}"
            self._decoder.fail(kind, message)
            return None
        return self.found(family, kind.value, kind)

    def _untyped(self, family: Family, node: Node) -> None:
        for key, entry in node.entries.items():
            if entry.value in family and nearest("type", (key,)) is not None:
                message = f"unknown key {key!r}; did you mean 'type'?"
                self._decoder.fail(entry, message, at=entry.key)
                return
        words = series(family.words())
        self._decoder.fail(node, f"missing 'type': one of {words}", at=node.start)

    def found(self, family: Family, word: str, node: Node) -> Schema | None:
        """Return what *word* takes, or None after blaming *node*."""
        try:
            return self._decoder.schema(family.find(word))
        except ConfigError as error:
            self._decoder.fail(node, self._problems.veiled(str(error)))
        except (NameError, TypeError, ValueError) as error:
            self._decoder.fail(
                node, f"type {word!r} has no readable signature: {error}"
            )
        return None
