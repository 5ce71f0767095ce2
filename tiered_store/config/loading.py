"""
From a file or a mapping to the store that it describes.
"""

from __future__ import annotations

import os

from collections.abc import Mapping
from typing import Any

from tiered_store.config.builder import Builder
from tiered_store.config.conflicts import conflicts
from tiered_store.config.defaults import Defaults
from tiered_store.config.document import from_plain, read
from tiered_store.config.lint import Finding, find, rule_named
from tiered_store.config.lint.stack import Stack
from tiered_store.config.node import Node
from tiered_store.config.outline import Outline
from tiered_store.config.preset import without_presets
from tiered_store.config.problems import Problem, Problems, unknown
from tiered_store.config.registry import Registry
from tiered_store.config.yaml_text import dumped
from tiered_store.errors import ConfigError
from tiered_store.store import Store
from tiered_store.tree import label


_REGISTRY = Registry()


def load(
    path: str | os.PathLike[str],
    name: str | None = None,
    *,
    registry: Registry | None = None,
) -> Store:
    """
    Return the store that the file at *path* calls *name*, or its default one.

    Only what that store stands on is built, each name once; two calls share nothing.
    Nothing is contacted.

    Raises:
        ConfigError: Something is wrong; every problem at once, with its place.
    """
    problems = Problems()
    return _built(read(path, problems), name, problems, registry or _REGISTRY)


def build(
    mapping: Mapping[str, Any],
    name: str | None = None,
    *,
    registry: Registry | None = None,
) -> Store:
    """
    Return the store that *mapping*, in the words of a file, describes.

    Raises:
        ConfigError: Something is wrong; every problem at once, with its path.
    """
    problems = Problems()
    return _built(from_plain(mapping, problems), name, problems, registry or _REGISTRY)


def check(
    path: str | os.PathLike[str], *, registry: Registry | None = None
) -> list[str]:
    """Return all that is wrong with the file at *path*, stores in no use included."""
    return [str(problem) for problem in examine(path, registry=registry)[0]]


def examine(
    path: str | os.PathLike[str], *, registry: Registry | None = None
) -> tuple[list[Problem], list[Finding]]:
    """
    Return all that is wrong with the file at *path*, and what is allowed but will hurt.

    Where something is wrong, of the latter only what is so whatever else is meant: a
    secret in plain, a node that nobody refers to.
    """
    problems = Problems()
    registry = registry or _REGISTRY
    root = read(path, problems)
    if root is None:
        return problems.listed(), []
    outline = Outline(root, problems)
    builder = _builder(outline, problems, registry)
    try:
        _build_all(builder, outline, registry)
        _tell_conflicts(builder, problems)
        _tell_allowances(outline, problems)
        found = find(Stack(builder, outline, complete=not problems))
        return problems.listed(), found
    finally:
        builder.close()


def expand_presets(path: str | os.PathLike[str]) -> str:
    """
    Return the file at *path* with every preset put in its place, without comments.

    References are left as they are; nothing from outside is in it.

    Raises:
        ConfigError: It cannot be read, or a preset in it is wrong.
    """
    problems = Problems()
    root = read(path, problems)
    if root is not None:
        root = without_presets(root, problems)
    if root is None or problems:
        raise ConfigError(problems.lines())
    return dumped(root.plain())


def _builder(outline: Outline, problems: Problems, registry: Registry) -> Builder:
    defaults = Defaults(outline.defaults, problems, registry)
    builder = Builder(outline.definitions, defaults, problems, registry)
    builder.check_defaults()
    return builder


def _build_all(builder: Builder, outline: Outline, registry: Registry) -> None:
    for family in (registry.stores, registry.journals, registry.controls):
        for name in outline.definitions[family.noun]:
            builder.defined(family, name)


def _tell_conflicts(builder: Builder, problems: Problems) -> None:
    for node, message in conflicts(builder):
        problems.add(node.start, node.path, message)


def _tell_allowances(outline: Outline, problems: Problems) -> None:
    for allowance in outline.allowances:
        try:
            rule_named(allowance.rule)
        except ValueError as error:
            problems.add(allowance.node.start, allowance.node.path, str(error))


def _built(
    root: Node | None, name: str | None, problems: Problems, registry: Registry
) -> Store:
    if root is None:
        raise ConfigError(problems.lines())
    outline = Outline(root, problems)
    stores = outline.definitions["store"]
    if name is None:
        name = outline.default
    elif name not in stores and stores:
        problems.add(outline.file, "", unknown("store", name, stores))
    builder = _builder(outline, problems, registry)
    if name is None or name not in stores:
        _build_all(builder, outline, registry)  # for what else is wrong
    else:
        store = builder.defined(registry.stores, name)
        _tell_conflicts(builder, problems)
        if isinstance(store, Store) and not problems:
            return label(store, name)
    builder.close()
    raise ConfigError(problems.lines())
