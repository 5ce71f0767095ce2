"""
Nodes to values, by shape; every problem is noted where it is.
"""

from __future__ import annotations

import functools
import json
import math
import re

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from tiered_store.config.leaf import Leaf
from tiered_store.config.node import Node
from tiered_store.config.problems import Place, Problems
from tiered_store.config.registry import Constructor, Family, Registry
from tiered_store.config.schema import (
    Choice,
    Group,
    Listing,
    Part,
    Schema,
    Shape,
    Table,
    schema_of,
    takes_part,
)
from tiered_store.errors import ConfigError
from tiered_store.wording import nearest, unknown


FAILED: Final = object()  # what cannot be made; why has been noted

_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}
# what other versions of YAML take for one
_ANSWERS = {
    **dict.fromkeys(("yes", "on", "y", "t"), "true"),
    **dict.fromkeys(("no", "off", "n", "f"), "false"),
}
# how a constructor begins what it says about one of its options
_ABOUT = re.compile(
    r"([a-z_][a-z0-9_]*)((?:\.[a-z_][a-z0-9_]*)*)(?:(: )|[\s\[.])", re.ASCII
)


class Decoder:
    """
    Makes values, groups and whole objects of nodes.

    Args:
        part: Makes a member of a family.

    Attributes:
        secrets: Nodes that were read as something secret.
        unread: Whether something that may be the name of a part could not be read.
    """

    def __init__(
        self,
        problems: Problems,
        registry: Registry,
        part: Callable[[Family, Node], Any],
    ) -> None:
        self._problems = problems
        self._registry = registry
        self._part = part
        self.secrets: list[Node] = []
        self.unread = False
        self._schemas: dict[Constructor, Schema] = {}

    def schema(self, constructor: Constructor) -> Schema:
        """Return what *constructor* takes."""
        known = self._schemas.get(constructor)
        if known is None:
            known = schema_of(constructor, self._registry)
            self._schemas[constructor] = known
        return known

    def value(self, shape: Shape, node: Node) -> Any:
        """Return what *node* is as a *shape*, or ``FAILED``."""
        if node.broken:
            self.unread |= takes_part(shape)
            return FAILED
        if isinstance(shape, Leaf):
            return self._leaf(shape, node)
        if isinstance(shape, Choice):
            return self._choice(shape, node)
        if isinstance(shape, Part) and isinstance(node.value, str | dict):
            return self._part(shape.family, node)
        if isinstance(shape, Group) and isinstance(node.value, dict):
            return self.made(self.schema(shape.made), node.entries, node)
        if isinstance(shape, Table) and isinstance(node.value, dict):
            table = {k: self.value(shape.item, x) for k, x in node.entries.items()}
            return FAILED if _failed(table.values()) else table
        if isinstance(shape, Listing) and isinstance(node.value, list):
            items = [self.value(shape.item, item) for item in node.value]
            return FAILED if _failed(items) else shape.make(items)
        return self.fail(node, f"expected {shape.words}, got {node.shown()}")

    def made(
        self,
        schema: Schema,
        entries: Mapping[str, Node],
        node: Node,
        *,
        given: Mapping[str, Any] | None = None,
        also: Iterable[str] = (),
    ) -> Any:
        """
        Return what the constructor of *schema* makes of *entries*, or ``FAILED``.

        Args:
            node: Whom to blame for what is missing.
            given: Options that are made already.
            also: Other keys that would have been allowed, for advice.
        """
        given = given or {}
        options = {k: v for k, v in schema.options.items() if k not in given}
        values = dict(given)
        for key, entry in entries.items():
            if key in options:
                values[key] = self.value(options[key].shape, entry)
            else:
                message = unknown("key", key, (*options, *also), listed=True)
                values[key] = self.fail(entry, message, at=entry.key)
        misspelled = {nearest(key, options) for key in entries if key not in options}
        for name, option in options.items():
            if name in misspelled:  # which has been said
                values.setdefault(name, FAILED)
            elif option.required and name not in entries:
                message = f"missing {name!r}: {option.shape.words}"
                values[name] = self.fail(node, message, at=node.start)
        for name in set(schema.unspellable) - set(given):
            message = f"cannot be written in a file: it needs {name!r}, an object"
            values[name] = self.fail(node, message, at=node.start)
        if _failed(values.values()):
            return FAILED
        return self.called(functools.partial(schema.constructor, **values), node)

    def called(self, make: Callable[[], Any], node: Node) -> Any:
        """Return what *make* returns; what it refuses is a problem of *node*."""
        try:
            return make()
        except ConfigError as error:
            complaints = error.problems
        except (ValueError, ImportError, OSError) as error:
            complaints = (str(error) or type(error).__name__,)
        except Exception as error:
            veiled = self._problems.veiled
            error.args = tuple(
                veiled(said) if isinstance(said, str) else said for said in error.args
            )
            error.add_note(f"while {node.path} was made")
            raise
        for complaint in complaints:
            self._blame(node, self._problems.veiled(complaint))
        return FAILED

    def fail(self, node: Node, message: str, *, at: Place | None = None) -> Any:
        """Note *message* about *node* and return ``FAILED``."""
        self._problems.add(at or node.place, node.path, message)
        return FAILED

    def _blame(self, node: Node, complaint: str) -> None:
        """Note *complaint*, at the option that it begins with if it is written."""
        about = _ABOUT.match(complaint)
        if about is None or about[1] not in node.entries:
            self.fail(node, complaint, at=node.start)
            return
        at = node.entries[about[1]]
        for step in about[2].split(".")[1:]:  # ``read.order: ...`` is of the inner one
            at = at.entries.get(step, at)
        self.fail(at, complaint[about.end() :] if about[3] else complaint)

    def _choice(self, choice: Choice, node: Node) -> Any:
        """Return *node* as the shape of *choice* that it most likely is meant for."""
        kinds: tuple[type, ...] = (Leaf, Part)
        if isinstance(node.value, dict):
            typed = "type" in node.value
            kinds = (Part, Group, Table) if typed else (Group, Table, Part)
        elif isinstance(node.value, list):
            kinds = (Listing,)
        for kind in kinds:
            fitting = [shape for shape in choice.shapes if isinstance(shape, kind)]
            if not fitting:
                continue
            shape = max(fitting, key=lambda shape: self._likeness(shape, node))
            if not isinstance(shape, Leaf):
                return self.value(shape, node)
            try:
                return self._valid(shape, node)
            except ValueError:
                continue
        return self.fail(node, _expected(choice.words, _choices(choice), node))

    def _likeness(self, shape: Shape, node: Node) -> int:
        if isinstance(shape, Group):
            return len(node.entries.keys() & self.schema(shape.made).options.keys())
        # a tier may be any store, but not the other way round
        return int(isinstance(shape, Part) and shape.family.noun == "tier")

    def _leaf(self, leaf: Leaf, node: Node) -> Any:
        try:
            return self._valid(leaf, node)
        except ValidationError as error:
            for found in error.errors(include_url=False, include_input=False):
                at = _descended(node, found["loc"])
                if at is node or leaf.secret:
                    bound = None if leaf.secret else _bound(found)
                    words = bound or leaf.words
                    return self.fail(
                        node, _expected(words, leaf.choices, node, leaf.secret)
                    )
                self.fail(at, found["msg"][:1].lower() + found["msg"][1:])
            return FAILED
        except ValueError:
            message = _expected(leaf.words, leaf.choices, node, leaf.secret)
            return self.fail(node, message)

    def _valid(self, leaf: Leaf, node: Node) -> Any:
        """Return *node* as *leaf* takes it, or raise ``ValueError``."""
        within = list(node.nodes())
        if any(each.broken for each in within):
            return FAILED
        # what came from outside is text, whatever is meant by it
        strict = not any(each.sources for each in within)
        if leaf.secret and isinstance(node.value, str):
            self._problems.hide(node.value)
            self.secrets.append(node)
        value = leaf.adapter.validate_json(json.dumps(node.plain()), strict=strict)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("not a finite number")
        return value


def _failed(values: Iterable[Any]) -> bool:
    return any(value is FAILED for value in values)


def _choices(choice: Choice) -> tuple[str, ...]:
    leaves = (shape for shape in choice.shapes if isinstance(shape, Leaf))
    return next((leaf.choices for leaf in leaves), ())


def _bound(found: Mapping[str, Any]) -> str | None:
    """Return the range that a value is outside of, in words."""
    bound = _BOUNDS.get(found["type"])
    return None if bound is None else f"{bound[0]} {found['ctx'][bound[1]]}"


def _expected(
    words: str, choices: tuple[str, ...], node: Node, secret: bool = False
) -> str:
    if secret and not isinstance(node.value, dict | list):
        return f"expected {words}; put it in quotes"
    message = f"expected {words}, got {node.shown()}"
    if node.sources or isinstance(node.value, dict | list):
        return message
    if isinstance(node.value, str):
        if "true or false" in words and node.value.lower() in _ANSWERS:
            return f"{message}; write {_ANSWERS[node.value.lower()]}"
        meant = nearest(node.value, choices)
        return message if meant is None else f"{message}; did you mean {meant!r}?"
    if "a text" in words and node.value is not None:
        return f"{message}; put it in quotes"
    return message


def _descended(node: Node, location: Iterable[int | str]) -> Node:
    """Return the node at *location*; steps that lead nowhere are pydantic's own."""
    for step in location:
        if isinstance(node.value, dict) and step in node.value:
            node = node.value[str(step)]
        elif isinstance(node.value, list) and isinstance(step, int):
            node = node.value[step] if step < len(node.value) else node
    return node
