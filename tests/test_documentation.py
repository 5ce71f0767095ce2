"""What the documentation shows, works."""

from __future__ import annotations

import importlib
import pkgutil
import re
import textwrap

from pathlib import Path

import pytest
import yaml

import tiered_store
import tiered_store.backends
import tiered_store.wrappers

from tiered_store.config import build
from tiered_store.config.registry import STORES
from tiered_store.store import Store


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
            variable, "redis://localhost" if "REDIS" in variable else "x"
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


def test_the_changelog_and_decisions_are_there() -> None:
    """The README leads to them."""
    for target in re.findall(r"\]\(([\w/.-]+)\)", README):
        assert (ROOT / target).exists(), target
