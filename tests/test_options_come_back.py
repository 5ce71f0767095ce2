"""Each option of each type, given alone, is in the file and in what that builds."""

from __future__ import annotations

import itertools

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.configs import written
from tiered_store.config import build, load
from tiered_store.config.leaf import Leaf
from tiered_store.config.options import value_of
from tiered_store.config.registry import INSTALLED, Family
from tiered_store.config.schema import (
    Choice,
    Group,
    Listing,
    Part,
    Schema,
    Shape,
    Table,
    schema_of,
)
from tiered_store.config.written import Written
from tiered_store.errors import ConfigError
from tiered_store.store import Store
from tiered_store.tree import label


MEMORY = {"type": "memory"}
PAIR = {"a": MEMORY, "b": MEMORY}
NEEDED: Mapping[str, Mapping[str, Any]] = {
    "cached": {"tiers": [{"type": "memory", "ttl": "60s"}], "origin": MEMORY},
    "encrypted": {"key": "A" * 43 + "="},
    "fallback": {"stores": PAIR, "journal": MEMORY},
    "file": {"path": "/decisions.json"},
    "filesystem": {"path": "/images"},
    "limit": {"maximum": 3},
    "prefixed": {"prefix": "p"},
    "redis": {"url": "redis://localhost"},
    "replicated": {"replicas": PAIR, "journal": MEMORY},
    "routed": {
        "routes": PAIR,
        "rules": [{"to": "a", "reproducible": True}],
        "default": "a",
    },
    "s3": {"bucket": "pictures", "access_key": "AKIA", "secret_key": "hunter2"},
    "served": {"base_url": "http://localhost/", "secret": "x" * 16},
    "sharded": {"shards": PAIR},
    "sql": {"url": "sqlite:///x"},
    "sqlite": {"path": "/journal.sqlite"},
    "timeout": {"seconds": 5},
}
PARTS: Mapping[str, dict[str, Any]] = {
    "store": {"type": "memory", "capacity": "2MiB"},
    "tier": {"type": "memory", "ttl": "9s"},
    "journal": {"type": "sqlite", "path": "/other.sqlite"},
    "control": {"type": "file", "path": "/other.json"},
}
AROUND: Mapping[str, Any] = {
    "tier": lambda node: {"type": "cached", "tiers": [node], "origin": MEMORY},
    "journal": lambda node: (
        {**NEEDED["replicated"], "type": "replicated"} | {"journal": node}
    ),
    "control": lambda node: {"type": "fallback", "stores": PAIR, "control": node},
}
TEXTS = (
    "a",
    "sqlite:///y",
    "http://localhost/x",
    "redis://u:hunter2@h/1",
    "B" * 43 + "=",
)


def values(shape: Shape) -> Iterator[Any]:
    """Yield values of *shape* as a file spells them, of each kind that it has."""
    if isinstance(shape, Choice):
        for each in shape.shapes:
            yield from values(each)
    elif isinstance(shape, Part):
        yield PARTS[shape.family.noun]
    elif isinstance(shape, Group):
        options = schema_of(shape.made, INSTALLED).options
        needed = {k: next(values(x.shape)) for k, x in options.items() if x.required}
        for name, option in options.items():
            yield from ({**needed, name: value} for value in values(option.shape))
    elif isinstance(shape, Table):
        yield from ({"a": value} for value in values(shape.item))
    elif isinstance(shape, Listing):
        yield from ([value] for value in values(shape.item))
    else:
        yield from _scalars(shape)


def _scalars(leaf: Leaf) -> Iterator[Any]:
    yield from leaf.choices
    if leaf.unit is not None:
        yield from ("7MiB",) if leaf.unit.name == "size" else ("7s", "0.25s", "2m")
    for words, found in (
        ("whole number", (1, 2, 7)),
        ("a number", (0.25,)),
        ("true or false", (True, False)),
        ("a text", TEXTS),
    ):
        if words in leaf.words:
            yield from found


def node_of(family: Family, word: str, schema: Schema, **given: Any) -> dict[str, Any]:
    """Return a store in which a node of *word* has what is *given*."""
    node = {"type": word, **NEEDED.get(word, {}), **given}
    if word == "s3" and family.noun == "control":
        node.setdefault("name", "decisions.json")
    for name, option in schema.options.items():
        if option.required:
            node.setdefault(name, MEMORY)
    found: dict[str, Any] = AROUND.get(family.noun, lambda node: node)(node)
    return found


def the(noun: str, stack: Any) -> Any:
    """Return what was made of the node."""
    if noun == "tier":
        return stack.tiers[0]
    return stack if noun == "store" else getattr(stack, noun)


def built(node: dict[str, Any]) -> Store | None:
    """Return the stack of *node*, or None where an option needs another one."""
    try:
        return label(build({"version": 1, "stores": {"images": node}}), "images")
    except ConfigError:
        return None


OPTIONS = [
    (family, word, name)
    for family in INSTALLED.families
    for word in family.words()
    for name in schema_of(family.find(word), INSTALLED).options
]
SENTINELS = {
    "url": "redis://",
    "mode": "sentinel",
    "sentinels": ["a:26379"],
    "service": "images",
}
OF_MODES = {
    **dict.fromkeys(("sentinels", "service"), SENTINELS),
    **dict.fromkeys(("sentinel_username", "sentinel_password"), SENTINELS),
    "nodes": {"mode": "cluster"},
}


@pytest.mark.parametrize(
    ("family", "word", "name"),
    OPTIONS,
    ids=[f"{family.noun}.{word}.{name}" for family, word, name in OPTIONS],
)
def test_an_option_comes_back(
    family: Family,
    word: str,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With every kind of value that it takes; nothing that was given is left out."""
    monkeypatch.chdir(tmp_path)
    schema = schema_of(family.find(word), INSTALLED)
    option = schema.options[name]
    beside = OF_MODES.get(name, {})
    nodes = (
        node_of(family, word, schema, **{**beside, name: value})
        for value in values(option.shape)
    )
    stacks = list(itertools.islice(filter(None, map(built, nodes)), 2))
    assert stacks
    for stack in stacks:
        file = Written(stack, INSTALLED)
        text = file.text()
        for variable, secret in file.secrets.items():
            monkeypatch.setenv(variable, secret)
        with stack, load(written(text)) as again:
            given = value_of(the(family.noun, stack), name)
            assert given == option.default or f" {name}:" in text
            assert Written(label(again, "images"), INSTALLED).text() == text
            if isinstance(option.shape, Leaf):
                assert value_of(the(family.noun, again), name) == given
