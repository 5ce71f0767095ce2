"""In code the same words: what is written in YAML has its twin in Python."""

from __future__ import annotations

import os
import re
import textwrap

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import tiered_store

from tests.test_configurations import NAMES, SECRETS
from tests.test_documentation import SNIPPETS
from tiered_store import (
    BreakerPolicy,
    CachedStore,
    FallbackStore,
    FileControl,
    FileSystemStore,
    MemoryTier,
    OverlayStore,
    ReadOnlyStore,
    ReadPolicy,
    RedisTier,
    RepairPolicy,
    ReplicatedStore,
    RetryStore,
    S3Store,
    SQLiteJournal,
    TimeoutStore,
    load,
)
from tiered_store.cli.drawing import draw
from tiered_store.config import Registry, build
from tiered_store.config.attributes import ATTRIBUTES
from tiered_store.config.schema import (
    Choice,
    Group,
    Leaf,
    Listing,
    Part,
    Shape,
    Table,
    schema_of,
)
from tiered_store.store import Store
from tiered_store.tree import label


ROOT = Path(__file__).parent.parent
REGISTRY = Registry()


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**SECRETS, **NAMES}.items():
        monkeypatch.setenv(name, value)


def tree(stack: Store) -> dict[str, Any]:
    """Return the drawing of *stack*, attributes as the wrappers that they are."""
    with stack:
        return unfolded(draw(label(stack, "images")).plain())


def unfolded(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return *node* without its label, what is around it as nodes of their own."""
    found: dict[str, Any] = {
        "role": node["role"],
        "type": node["type"],
        "options": node["options"],
        "children": [unfolded(child) for child in node["children"]],
    }
    for link in reversed(node["inside"]):
        if link["type"] == "breaker" and not link["options"]:
            continue  # of whoever is above
        found = {**link, "role": node["role"], "children": [{**found, "role": "child"}]}
    return found


def development() -> Store:
    """Files behind the cache that production has."""
    files = FileSystemStore(
        "var/images", create=True, base_url="http://localhost:8000/images/"
    )
    return CachedStore(files, [MemoryTier(capacity=64 * 2**20, ttl=10)])


def production() -> Store:
    """Two caches before two regions."""
    regions = ReplicatedStore(
        {"us": _region("US", "us-east-1"), "eu": _region("EU", "eu-west-1")},
        read=ReadPolicy(order=["us", "eu"]),
        quorum=1,
        journal=SQLiteJournal("/var/lib/tiered-store/images.sqlite"),
        control=FileControl("/var/lib/tiered-store/decisions.json"),
        repair=RepairPolicy(every=30, rate=50, bandwidth=20 * 2**20),
    )
    images = CachedStore(
        regions,
        [
            MemoryTier(capacity=256 * 2**20, ttl=300),
            RedisTier(os.environ["REDIS_URL"], ttl=86_400, max_object=4 * 2**20),
        ],
        stale_while_revalidate=60,
        stale_if_error=86_400,
        negative_ttl=10,
        journal=SQLiteJournal("/var/lib/tiered-store/purges.sqlite"),
    )
    return RetryStore(images, attempts=3, max_elapsed=10)


def failover() -> Store:
    """Writes that go on in the next store."""
    stores = {
        "us": _region("US", "us-east-1", timeout=1),
        "eu": _region("EU", "eu-west-1", timeout=1),
    }
    images = FallbackStore(
        stores,
        write="failover",
        journal=SQLiteJournal("/var/lib/tiered-store/images.sqlite"),
        control=FileControl("/var/lib/tiered-store/decisions.json"),
        failback="auto",
    )
    return RetryStore(images, attempts=3, max_elapsed=10)


def _region(name: str, region: str, timeout: float = 2) -> Store:
    return S3Store(
        os.environ[f"{name}_BUCKET"],
        os.environ[f"{name}_ACCESS_KEY"],
        os.environ[f"{name}_SECRET_KEY"],
        region=region,
        timeout=timeout,
    )


def sandbox() -> Store:
    """Yours above, production below."""
    mine = FileSystemStore(
        "var/sandbox", create=True, base_url="http://localhost:8000/sandbox/"
    )
    production = S3Store(
        os.environ["PRODUCTION_BUCKET"],
        os.environ["PRODUCTION_ACCESS_KEY"],
        os.environ["PRODUCTION_SECRET_KEY"],
        region="us-east-1",
    )
    return OverlayStore(mine, ReadOnlyStore(production))


def demo() -> Store:
    """Two disks for two regions, and a last resort."""

    def disk(name: str) -> Store:
        return TimeoutStore(FileSystemStore(f"demo-output/{name}"), 5)

    regions = ReplicatedStore(
        {"east": disk("east"), "west": disk("west")},
        journal=SQLiteJournal("demo-output/journal.sqlite"),
    )
    anywhere = FallbackStore(
        {"regions": regions, "last-resort": disk("last-resort")},
        breaker=BreakerPolicy(open=0.1, open_limit=0.5),
    )
    pictures = CachedStore(anywhere, [MemoryTier(capacity=64 * 2**20, ttl=60)])
    return RetryStore(pictures, attempts=3)


TWINS: dict[str, Callable[[], Store]] = {
    "demo": demo,
    "development": development,
    "failover": failover,
    "production": production,
    "sandbox": sandbox,
}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "config").iterdir()), ids=lambda p: p.stem
)
def test_what_people_copy_has_its_twin(path: Path) -> None:
    """Every file in ``config/``, as a program would build it."""
    assert tree(load(path)) == tree(TWINS[path.stem]())


def test_the_readme_shows_the_twin_of_its_file(tmp_path: Path) -> None:
    """One after the other, as a reader compares them."""
    readme = (ROOT / "README.md").read_text()
    written, *_ = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    (tmp_path / "images.yaml").write_text(written)
    coded = [
        listing
        for listing in re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
        if "ReplicatedStore(" in listing
    ]
    names: dict[str, Any] = {}
    exec(coded[0], names)

    assert tree(load(tmp_path / "images.yaml")) == tree(names["images"])


class Python:
    """
    A file in YAML as Python: each type its class, each key its keyword argument.

    It knows nothing of how configuration builds, only the words.
    """

    def __init__(self, stores: Mapping[str, Any]) -> None:
        self._stores = stores
        self.names: dict[str, Any] = {
            name: getattr(tiered_store, name) for name in tiered_store.__all__
        }

    def expression(self, node: Any) -> str:
        """Return the expression that makes a store of *node*."""
        return self._part(REGISTRY.stores, node)

    def _part(self, family: Any, node: Any) -> str:
        if isinstance(node, str):
            return self._part(family, self._stores[node])
        word = node["type"]
        if word not in family:  # any store may be a tier
            around = {k: v for k, v in node.items() if k in TIER_OPTIONS}
            inside = {k: v for k, v in node.items() if k not in TIER_OPTIONS}
            return self._part(family, {"type": "store", "store": inside, **around})
        own = {k: v for k, v in node.items() if k not in ("type", "allow")}
        schema = schema_of(family.find(word), REGISTRY)
        around = {
            k: own.pop(k) for k in ATTRIBUTES if k in own and k not in schema.options
        }
        made = self._call(family.find(word), own)
        for attribute in ATTRIBUTES:
            if attribute in around:
                made = self._wrapped(attribute, around[attribute], made)
        return made

    def _wrapped(self, word: str, value: Any, child: str) -> str:
        made = REGISTRY.stores.find(word)
        names = schema_of(made, REGISTRY).options
        first = next(name for name in names if name != "child")
        alone = {} if value is True else {first: value}
        call = self._call(made, value if isinstance(value, dict) else alone)
        return call.replace("(", f"(child={child}, ", 1)

    def _call(self, made: Any, entries: Mapping[str, Any]) -> str:
        schema = schema_of(made, REGISTRY)
        self.names[made.__name__] = made
        keywords = ", ".join(
            f"{name}={self._value(schema.options[name].shape, value)}"
            for name, value in entries.items()
        )
        return f"{made.__name__}({keywords})"

    def _value(self, shape: Shape, value: Any) -> str:
        if isinstance(shape, Choice):
            shape = self._shape(shape, value)
        if value is None:
            return "None"
        if isinstance(shape, Part):
            return self._part(shape.family, value)
        if isinstance(shape, Table):
            items = (f"{k!r}: {self._value(shape.item, v)}" for k, v in value.items())
            return f"{{{', '.join(items)}}}"
        if isinstance(shape, Listing):
            return f"[{', '.join(self._value(shape.item, item) for item in value)}]"
        if isinstance(shape, Group):
            return self._call(shape.made, value)
        if isinstance(value, str):
            value = os.path.expandvars(re.sub(r"\$\{env:(\w+)[^}]*\}", r"${\1}", value))
        if shape.secret:
            return f"Secret({value!r})"
        is_word = value in shape.choices
        measured = shape.unit is not None and isinstance(value, str) and not is_word
        return repr(shape.unit.parse(value) if measured and shape.unit else value)

    def _shape(self, choice: Choice, value: Any) -> Shape:
        if isinstance(value, dict):
            kinds: tuple[type, ...] = (Part,) if "type" in value else (Group, Table)
        elif isinstance(value, list):
            kinds = (Listing,)
        else:
            named = isinstance(value, str) and value in self._stores
            kinds = (Part,) if named else (Leaf,)
        fitting = [each for each in choice.shapes if isinstance(each, kinds)]
        tiers = [x for x in fitting if isinstance(x, Part) and x.family.noun == "tier"]
        return next(iter([*tiers, *fitting]), choice.shapes[-1])


TIER_OPTIONS = {"ttl", "jitter", "capacity", "max_object", "breaker"}


def documented() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every configuration that the documentation shows, and where."""
    for name, snippet in SNIPPETS.items():
        yield name, yaml.safe_load(textwrap.dedent(snippet))
    for path in sorted(ROOT.glob("docs/*.md")):
        if path.name == "lint.md":  # where half of them are as they should not be
            continue
        page = re.sub(r"\$\{file:[^}]*\}", "${env:FILE_KEY}", path.read_text())
        listings = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
        for number, listing in enumerate(listings):
            mapping = yaml.safe_load(listing)
            if isinstance(mapping, dict) and (
                "type" in mapping or "version" in mapping
            ):
                yield f"{path.name} {number}", mapping


def elsewhere(node: dict[str, Any]) -> dict[str, Any]:
    """Return *node* as ``it``, with something for each name that it refers to."""
    named: list[Any] = ["regions", node.get("origin"), node.get("child")]
    for section in ("replicas", "stores", "shards", "routes"):
        named += (node.get(section) or {}).values()
    words = [name for name in named if isinstance(name, str)]
    return {"it": node, **{name: {"type": "memory"} for name in words}}


DOCUMENTED = dict(documented())


@pytest.mark.parametrize("name", DOCUMENTED)
def test_what_the_documentation_shows_has_its_twin(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Class for type and keyword argument for key, it is the same stack."""
    shown = DOCUMENTED[name]
    for variable in re.findall(r"\$\{env:(\w+)", str(shown)):
        address = "redis://localhost" if "URL" in variable else "x" * 16
        is_key = variable.endswith("KEY")
        monkeypatch.setenv(variable, "A" * 43 + "=" if is_key else address)
    if "defaults" in str(shown) or "preset" in str(shown):
        return  # shorthand, which test_config_presets writes out
    stores = shown["stores"] if "version" in shown else elsewhere(shown)
    first = next(iter(stores))  # the only one, where no default is named
    root = shown.get("default", first) if "version" in shown else "it"
    python = Python(stores)
    expression = python.expression(root)

    twin = eval(expression, python.names)

    whole = {**shown} if "version" in shown else {"version": 1}
    assert tree(build({**whole, "default": root, "stores": stores})) == tree(twin)
