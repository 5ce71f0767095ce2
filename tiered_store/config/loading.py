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
from tiered_store.config.node import Node
from tiered_store.config.outline import Outline
from tiered_store.config.problems import Problems
from tiered_store.config.registry import INSTALLED, Registry
from tiered_store.errors import ConfigError
from tiered_store.store import Store
from tiered_store.tree import label
from tiered_store.wording import unknown


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
    return _built(read(path, problems), name, problems, registry or INSTALLED)


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
    return _built(from_plain(mapping, problems), name, problems, registry or INSTALLED)


def builder_of(outline: Outline, problems: Problems, registry: Registry) -> Builder:
    """Return what builds the definitions of *outline*; its defaults are looked at."""
    defaults = Defaults(outline.defaults, problems, registry)
    builder = Builder(outline.definitions, defaults, problems, registry)
    builder.check_defaults()
    return builder


def build_all(builder: Builder, outline: Outline, registry: Registry) -> None:
    """Build all that *outline* defines, whoever uses it."""
    for family in (registry.stores, registry.journals, registry.controls):
        for name in outline.definitions[family.noun]:
            builder.defined(family, name)


def tell_conflicts(builder: Builder, problems: Problems) -> None:
    """Note what has something that is another's already."""
    for node, message in conflicts(builder):
        problems.add(node.start, node.path, message)


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
    builder = builder_of(outline, problems, registry)
    if name is None or name not in stores:
        build_all(builder, outline, registry)  # for what else is wrong
    else:
        store = builder.defined(registry.stores, name)
        tell_conflicts(builder, problems)
        if isinstance(store, Store) and not problems:
            return label(store, name)
    builder.close()
    raise ConfigError(problems.lines())
