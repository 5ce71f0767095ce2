"""
All that is wrong with a file, and what in it will hurt.
"""

from __future__ import annotations

import os

from tiered_store.config.document import read
from tiered_store.config.lint import Finding, find, rule_named
from tiered_store.config.lint.stack import Stack
from tiered_store.config.loading import build_all, builder_of, tell_conflicts
from tiered_store.config.outline import Outline
from tiered_store.config.preset import without_presets
from tiered_store.config.problems import Problem, Problems
from tiered_store.config.registry import INSTALLED, Registry
from tiered_store.config.yaml_text import dumped
from tiered_store.errors import ConfigError


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
    registry = registry or INSTALLED
    root = read(path, problems)
    if root is None:
        return problems.listed(), []
    outline = Outline(root, problems)
    builder = builder_of(outline, problems, registry)
    try:
        build_all(builder, outline, registry)
        tell_conflicts(builder, problems)
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


def _tell_allowances(outline: Outline, problems: Problems) -> None:
    for allowance in outline.allowances:
        try:
            rule_named(allowance.rule)
        except ValueError as error:
            problems.add(allowance.node.start, allowance.node.path, str(error))
