"""What the documentation shows, works."""

from __future__ import annotations

import importlib
import inspect
import itertools
import pkgutil
import re
import textwrap
import tomllib

from pathlib import Path
from typing import Any

import pytest
import yaml

import tiered_store
import tiered_store.backends
import tiered_store.wrappers

from tiered_store import ReplicatedStore, SQLiteJournal, events, load
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.cli import main
from tiered_store.cli.drawing import draw
from tiered_store.config import build
from tiered_store.config.registry import STORES
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.tree import label
from tiered_store.wrappers.cached import CachedStore


ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()

SNIPPETS = {
    f"{word} {number}": snippet
    for word, target in STORES.items()
    for number, snippet in enumerate(
        re.findall(
            r"\.\. code-block:: yaml\n\n((?:   .*\n|\n)+)",
            importlib.import_module(str(target).partition(":")[0]).__doc__ or "",
        )
    )
}


def test_every_type_shows_how_it_is_built() -> None:
    """The module's documentation opens with the YAML."""
    assert {name.split()[0] for name in SNIPPETS} == set(STORES)


@pytest.mark.parametrize("name", SNIPPETS)
def test_the_yaml_of_a_module_builds_its_store(name, monkeypatch) -> None:
    """Whatever it refers to by environment is set."""
    text = textwrap.dedent(SNIPPETS[name])
    for variable in re.findall(r"\$\{env:(\w+)", text):
        monkeypatch.setenv(
            variable, "redis://localhost" if "REDIS" in variable else "x" * 16
        )
    node = yaml.safe_load(text)
    stores = node["stores"] if "stores" in node and "version" in node else {"it": node}

    with build(
        {"version": 1, "default": next(iter(stores)), "stores": stores}
    ) as store:
        assert isinstance(store, Store)


def test_every_module_of_stores_is_registered() -> None:
    """Adding one is one module and one line."""
    packages = (tiered_store.backends, tiered_store.wrappers)
    words = {
        module.name
        for package in packages
        for module in pkgutil.iter_modules(package.__path__)
        if not module.name.startswith("_")
    }

    assert words <= set(STORES)


def test_the_readme_lists_every_type() -> None:
    """None is a secret."""
    table = README.split("## The stores")[1].split("##")[0]

    assert set(re.findall(r"`(\w+)`", table)) >= set(STORES)


def test_the_readme_runs(tmp_path, monkeypatch) -> None:
    """Its YAML and its Python, one after the other, as a reader would try them."""
    monkeypatch.chdir(tmp_path)
    moved = README.replace("/tmp/", f"{tmp_path}/")
    [configuration] = re.findall(r"```yaml\n(.*?)```", moved, re.DOTALL)
    (tmp_path / "images.yaml").write_text(configuration)
    names: dict[str, object] = {}

    for listing in re.findall(r"```python\n(.*?)```", moved, re.DOTALL):
        exec(compile(listing, "README.md", "exec"), names)

    assert names["content"] == b"..."
    images = names["images"]
    assert isinstance(images, Store)
    with images.get_file("comics.cover", 1234, 405, 640, "image/jpeg") as file:
        assert file.read() == b"..."
    images.close()
    for region in ("us", "eu"):
        name = f"{region}/comics.cover/234/1/1234.405x640.jpe"
        assert (tmp_path / name).read_bytes() == b"..."


def test_the_readme_lists_every_extra() -> None:
    """But those of the project's own work, and of its demo, which ``make`` installs."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = set(tomllib.load(file)["project"]["optional-dependencies"])
    told = README.split("other extras are")[1].split("\n")[0]

    listed = {"web", *re.findall(r"`(\w+)`", told)}
    assert listed == extras - {"demo", "test", "lint", "docs"}


def test_the_changelog_and_decisions_are_there() -> None:
    """The README leads to them."""
    for target in re.findall(r"\]\(([\w/.-]+)\)", README):
        assert (ROOT / target).exists(), target


CACHING = (ROOT / "docs" / "caching.md").read_text()
LISTINGS = re.findall(r"```(yaml|python)\n(.*?)```", CACHING, re.DOTALL)
PAIRS = [
    (one[1], other[1])
    for one, other in itertools.pairwise(LISTINGS)
    if (one[0], other[0]) == ("yaml", "python")
]


def drawn(stack: Store) -> dict[str, Any]:
    """Return how the command line draws *stack*, whichever way it was made."""
    return draw(label(stack, "images")).plain()


def without_redis() -> dict[str, Any]:
    """Return the names that the listings of the cache take for granted."""
    names = {name: getattr(tiered_store, name) for name in tiered_store.__all__}
    return {**names, "url": "redis://127.0.0.1:1/0", "regions": MemoryStore()}


@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_the_cache_is_the_same_in_yaml_and_in_code(number, monkeypatch) -> None:
    """Each YAML of the page builds what the Python after it does, option by option."""
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    written, coded = PAIRS[number]
    stores = {"images": yaml.safe_load(written), "regions": {"type": "memory"}}
    names = without_redis()

    exec(compile(coded, "caching.md", "exec"), names)

    with build({"version": 1, "default": "images", "stores": stores}) as built:
        assert drawn(built) == drawn(names["images"])
    names["images"].close()


def test_every_listing_of_the_cache_has_its_twin() -> None:
    """None is left out because a line between them was moved."""
    yamls = [text for language, text in LISTINGS if language == "yaml"]

    assert yamls == [written for written, _ in PAIRS]
    assert len(yamls) >= 10


def test_the_listings_of_the_cache_run(capsys) -> None:
    """Those that stand alone, after any that makes a cache, with Redis away."""
    names = without_redis()
    alone = [
        text
        for language, text in LISTINGS
        if language == "python" and "CachedStore(" not in text
    ]
    exec(PAIRS[1][1], names)

    for listing in alone:
        exec(compile(listing, "caching.md", "exec"), names)

    assert capsys.readouterr().out.startswith("absent\nFinding(place=")
    assert len(alone) == 2
    names["images"].close()


def test_every_option_of_the_cache_is_explained() -> None:
    """With when to use it and when not."""
    options = set(inspect.signature(CachedStore).parameters) - {"clock"}

    assert {option for option in options if f"**`{option}" not in CACHING} == {
        "origin",
        "tiers",
    }


def test_every_event_of_the_cache_is_explained() -> None:
    """Somebody has to know which of them to alert on."""
    known = {name for name in vars(events) if re.match("Cache|Fill|Tier|Stale", name)}

    assert {name for name in known if f"`{name}`" not in CACHING} == set()


MIRRORING = (ROOT / "docs" / "mirroring.md").read_text()


def test_the_listings_of_mirroring_are_built(monkeypatch) -> None:
    """As an operator would copy them."""
    monkeypatch.setenv("JOURNAL_URL", "redis://127.0.0.1:1/0")
    listings = re.findall(r"```yaml\n(.*?)```", MIRRORING, re.DOTALL)

    for listing in listings:
        stores = {name: {"type": "memory"} for name in ("us-east", "eu-west")}
        stores["images"] = yaml.safe_load(listing)
        with build({"version": 1, "default": "images", "stores": stores}) as store:
            assert isinstance(store, Store)
    assert len(listings) >= 4


def test_every_option_of_the_mirror_is_explained() -> None:
    """With when to use it and when not."""
    options = set(inspect.signature(ReplicatedStore).parameters)
    journals = set(inspect.signature(SQLiteJournal).parameters) - {"path", "busy"}

    told = set(re.findall(r"^\*\*`(\w+)", MIRRORING, re.MULTILINE))
    told |= set(re.findall(r"and \*\*`(\w+)", MIRRORING))
    assert options - told == {"clock", "journal"}
    assert {one for one in journals if f"`{one}" not in MIRRORING} == {"clock"}


REPAIRING = (ROOT / "docs" / "repairing.md").read_text()


def test_the_listings_of_repairing_are_built() -> None:
    """As an operator would copy them."""
    listings = re.findall(r"```yaml\n(.*?)```", REPAIRING, re.DOTALL)

    for listing in listings:
        stores = {name: {"type": "memory"} for name in ("us-east", "eu-west")}
        stores["images"] = yaml.safe_load(listing)
        with build({"version": 1, "default": "images", "stores": stores}) as store:
            assert isinstance(store, Store)
    assert listings


def test_the_commands_of_repairing_exist(tmp_path, monkeypatch, capsys) -> None:
    """Each with its options, on a mirror that was used and is well."""
    config = tmp_path / "stack.yaml"
    names = ("us", "eu", "ap")
    stores: dict[str, Any] = {name: {"type": "memory"} for name in names}
    stores["images"] = {
        "type": "replicated",
        "replicas": {name: name for name in names},
        "journal": {"type": "sqlite", "path": str(tmp_path / "journal.db")},
    }
    config.write_text(
        yaml.safe_dump({"version": 1, "default": "images", "stores": stores})
    )
    with load(config) as images:
        images.put(Key("comics.page", 1, 30, 40, "image/png"), Body.of(b"a page"))
    monkeypatch.setenv("TIERED_STORE_CONFIG", str(config))
    commands = re.findall(r"^\$ tiered-store (.*?)(?: +#.*)?$", REPAIRING, re.MULTILINE)

    for command in commands:
        if "--watch" not in command:
            assert main(command.split()) == 0, command
    assert len(commands) >= 12


def test_every_test_that_the_documentation_names_is_there() -> None:
    """A row of the table of faults that nothing shows would be a claim."""
    named = re.findall(
        r"`(tests/\w+\.py)::(\w+)`", (ROOT / "docs/faults.md").read_text()
    )

    assert len(named) > 11
    for path, name in named:
        assert f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"


DECISIONS = (ROOT / "docs" / "decisions.md").read_text()
_LISTS = ("Dependencies",)  # a table of choices, and no choice


def test_decisions_are_found_by_area() -> None:
    """The contents name every area there is, in its order."""
    listed = re.findall(r"^- \[(.+)\]\(#", DECISIONS, re.MULTILINE)

    assert listed == re.findall(r"^## (.+)$", DECISIONS, re.MULTILINE)


def test_a_decision_says_what_was_asked_and_what_would_change_it() -> None:
    """Question, decision, what was rejected, what would change our mind."""
    incomplete = []
    for entry in re.split(r"^### ", DECISIONS, flags=re.MULTILINE)[1:]:
        title, _, rest = entry.partition("\n")
        text = re.split(r"^## ", rest, flags=re.MULTILINE)[0]
        parts = re.findall(r"^\*(Question|Decision|Rejected|Would)", text, re.MULTILINE)
        if title not in _LISTS and len(set(parts)) < 4:
            incomplete.append(title)

    assert not incomplete
