"""A stack built in code, as the file that builds it."""

from __future__ import annotations

import re
import textwrap

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.configs import REGISTRY, LeafStore, Level, Window, written
from tests.test_config_presets import EXAMPLES, options
from tests.test_configurations import NAMES, SECRETS
from tests.test_documentation import SNIPPETS
from tiered_store import (
    BreakerStore,
    CachedStore,
    FallbackStore,
    MemoryStore,
    MemoryTier,
    RetryStore,
    S3Store,
    TimeoutStore,
    to_yaml,
)
from tiered_store.cli.drawing import draw
from tiered_store.config import Registry, build, examine, load
from tiered_store.config.options import value_of
from tiered_store.config.preset import presets
from tiered_store.config.registry import Family
from tiered_store.config.schema import schema_of
from tiered_store.config.written import Written
from tiered_store.errors import ConfigError
from tiered_store.store import Store
from tiered_store.tree import label
from tiered_store.wrappers.replicated import ReplicatedStore


FOLDER = Path(__file__).parent.parent / "config"


@pytest.fixture(autouse=True)
def _in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {**EXAMPLES, **SECRETS, **NAMES}.items():
        monkeypatch.setenv(name, value)


def drawn(stack: Store) -> dict[str, Any]:
    """Return how the command line draws *stack*, whatever it is called."""
    return draw(label(stack, "images")).plain()


def comes_back(
    stack: Store, monkeypatch: pytest.MonkeyPatch, registry: Registry | None = None
) -> str:
    """See that the file of *stack* builds it, and return that file."""
    registry = registry or Registry()
    with label(stack, "images"):
        made = Written(stack, registry)
        text = made.text()
        for name, value in made.secrets.items():
            monkeypatch.setenv(name, value)
            assert f" {value}\n" not in text
        with load(written(text), registry=registry) as again:
            assert drawn(again) == drawn(stack)
            assert Written(label(again, "images"), registry).text() == text
            assert Written(again, registry).secrets == {}
    return text


@pytest.mark.parametrize("name", SNIPPETS)
def test_every_type_comes_back(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the module's documentation shows, and no option that it leaves out."""
    text = textwrap.dedent(SNIPPETS[name])
    for variable in re.findall(r"\$\{env:(\w+)", text):
        in_redis = "REDIS" in variable
        monkeypatch.setenv(variable, "redis://localhost" if in_redis else "x" * 16)
    node = yaml.safe_load(text)
    if "version" not in node:
        node = {"version": 1, "stores": {"it": node}}
    said = yaml.safe_load(comes_back(build(node), monkeypatch))

    assert set(words(said["stores"])) <= {*words(node["stores"]), "images", "store"}


def words(node: object) -> Iterator[str]:
    """Yield every key of *node* and of what is below it."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from words(value)
    elif isinstance(node, list):
        for item in node:
            yield from words(item)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda p: p.name)
def test_what_people_copy_comes_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named stores, attributes, journals; and no secret is in it."""
    text = comes_back(load(path), monkeypatch)

    assert "hunter2" not in text


@pytest.mark.parametrize("name", presets())
def test_presets_come_back(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any preset."""
    short = {"version": 1, "stores": {"x": {"preset": name, **options(name)}}}

    assert "preset" not in comes_back(build(short), monkeypatch)


def test_it_reads_as_a_person_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units, names for what is shared, nothing that is as by default."""
    bucket = S3Store("pictures", "AKIA", "hunter2", region="us-east-1")
    mirror = ReplicatedStore(
        {"us": bucket, "spare": TimeoutStore(MemoryStore(capacity=2**20), 5)}
    )
    stack = CachedStore(
        FallbackStore({"mirror": mirror, "us": bucket}),
        [MemoryTier(capacity=64 * 2**20, ttl=60)],
    )

    assert comes_back(RetryStore(stack, attempts=5), monkeypatch) == textwrap.dedent(
        """\
        version: 1
        default: images
        stores:
          images:
            type: retry
            child:
              type: cached
              origin:
                type: fallback
                stores:
                  mirror:
                    type: replicated
                    replicas:
                      us: images-child-origin-stores-mirror-replicas-us
                      spare:
                        type: timeout
                        child:
                          type: memory
                          capacity: 1MiB
                        seconds: 5s
                  us: images-child-origin-stores-mirror-replicas-us
              tiers:
              - type: memory
                capacity: 64MiB
                ttl: 1m
            attempts: 5
          images-child-origin-stores-mirror-replicas-us:
            type: s3
            bucket: pictures
            access_key: AKIA
            secret_key: ${env:IMAGES_CHILD_ORIGIN_STORES_MIRROR_REPLICAS_US_SECRET_KEY}
            region: us-east-1
        """
    )


def test_what_a_constructor_works_out_is_not_said(tmp_path: Path) -> None:
    """Neither in the file nor in the tree: one would think that somebody chose it."""
    node = {
        "type": "cached",
        "tiers": [
            {"type": "memory", "capacity": "64MiB"},
            {"type": "filesystem", "path": str(tmp_path), "capacity": "1GiB"},
        ],
        "origin": {
            "type": "replicated",
            "replicas": {
                name: {"type": "s3", "bucket": name, "region": "us-east-1"}
                for name in ("us", "eu")
            },
            "journal": {"type": "sqlite", "path": str(tmp_path / "journal.sqlite")},
        },
    }
    with build({"version": 1, "stores": {"images": node}}) as stack:
        said = f"{to_yaml(stack)} {drawn(stack)}"

    assert "capacity" in said
    for name in ("max_object", "quarantine", "quorum"):
        assert name not in said


NEEDED = {
    "path": "x",
    "bucket": "b",
    "key": "A" * 43 + "=",
    "prefix": "x",
    "base_url": "http://localhost/",
    "seconds": 3,
    "maximum": 3,
    "replicas": {"a": MemoryStore(), "b": MemoryStore()},
    "stores": {"a": MemoryStore()},
    "shards": {"a": MemoryStore()},
    "routes": {"a": MemoryStore()},
    "default": "a",
    "rules": [],
    "tiers": [MemoryTier()],
}


@pytest.mark.parametrize(
    ("family", "word"),
    [(family, word) for family in Registry().families for word in family.words()],
    ids=lambda each: each if isinstance(each, str) else each.noun,
)
def test_what_nobody_gave_is_nowhere_said(family: Family, word: str) -> None:
    """Of no type: what an option is worked out to be is no choice of its author."""
    schema = schema_of(family.find(word), Registry())
    names = [name for name, option in schema.options.items() if option.required]
    given = {name: NEEDED.get(name, MemoryStore()) for name in names}
    if word in ("redis", "sql"):
        given["url"] = "redis://localhost" if word == "redis" else "sqlite:///x"
    thing = schema.constructor(**given)

    for name, option in schema.options.items():
        assert name in given or value_of(thing, name) == option.default, name


def test_what_is_there_with_its_defaults_is_drawn() -> None:
    """One that repairs is told from one that does not, in the tree and in the file."""
    node = {
        "type": "replicated",
        "replicas": {"a": {"type": "memory"}},
        "journal": {"type": "memory"},
        "repair": {},
    }
    with build({"version": 1, "stores": {"images": node}}) as stack:
        assert drawn(stack)["options"] == {
            "repair": "{every: 30s, rate: 50, bandwidth: 20MiB, parallel: 4, "
            "attempts: 20}"
        }
        assert "repair: {}" in to_yaml(stack)


def test_options_of_every_kind_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts that look like numbers or references stay what they are."""
    stack = LeafStore(
        "0o17",
        size=3 * 2**20,
        ttl=0.25,
        hedge="p95",
        secret_key="hunter2",
        names=["1e3", "no", "${env:HOME}", ""],
        weights={"a": 0.5},
        window=Window(calls=3),
        pair=(1, "x"),
        path=Path("/x"),
        level=Level.HIGH,
    )
    text = comes_back(stack, monkeypatch, REGISTRY)

    with load(written(text), registry=REGISTRY) as again:
        for name in ("bucket", "size", "ttl", "hedge", "window", "pair", "level"):
            assert getattr(again, name) == getattr(stack, name)
        assert list(again.names) == list(stack.names)  # type: ignore[attr-defined] # of a leaf


def test_wrappers_of_any_order_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attributes as attributes, others as nodes."""
    mapping = {"type": "memory", "limit": 3, "breaker": {"failures": 2}, "retry": True}
    text = comes_back(build({"version": 1, "stores": {"x": mapping}}), monkeypatch)
    assert "limit:\n      maximum: 3" in text
    assert "retry: true" in text

    stack = TimeoutStore(BreakerStore(MemoryStore(), failures=2), 3)
    assert "failures: 2" in comes_back(stack, monkeypatch)


def test_what_no_file_can_make_is_told() -> None:
    """By its path, and what would help."""

    class Foreign:
        def put_file(self, *_: object) -> None: ...
        def get_file(self, *_: object) -> None: ...
        def get_url(self, *_: object) -> None: ...
        def delete_file(self, *_: object) -> None: ...

    stack = label(RetryStore(Foreign()), "images")  # type: ignore[arg-type] # any object

    with pytest.raises(ConfigError, match=r"images\.child: no file can say what makes"):
        to_yaml(stack)


def test_what_was_written_has_nothing_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a whole file."""
    text = to_yaml(label(RetryStore(MemoryStore()), "images"))

    assert examine(written(text)) == ([], [])
