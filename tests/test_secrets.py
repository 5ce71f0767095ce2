"""What is secret is nowhere to be seen, whatever is asked."""

from __future__ import annotations

import base64
import copy
import logging
import pickle
import textwrap

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.test_config_presets import EXAMPLES
from tests.test_documentation import SNIPPETS
from tiered_store.cli import main
from tiered_store.config import Registry, build, load, to_yaml
from tiered_store.config.schema import Choice, Leaf, Listing, Schema, Shape, schema_of
from tiered_store.errors import ConfigError, StoreError
from tiered_store.key import Key
from tiered_store.tree import label


PLANTED = "hunter2-planted"
KEY = Key("comics.cover", 5, 30, 40, "image/png")
REGISTRY = Registry()


def value(family: str, word: str, name: str) -> str:
    """Return a secret as this option takes it, with what was planted in it."""
    if word == "encrypted":
        return base64.b64encode(PLANTED.ljust(32).encode()).decode()
    if name == "url":
        scheme = "postgresql+pg8000" if word == "sql" else "redis"
        return f"{scheme}://user:{PLANTED}@127.0.0.1:1/0"
    return PLANTED.ljust(16, "-")


def is_secret(shape: Shape) -> bool:
    """Whether *shape* takes something secret."""
    if isinstance(shape, Choice):
        return any(is_secret(each) for each in shape.shapes)
    if isinstance(shape, Listing):
        return is_secret(shape.item)
    return isinstance(shape, Leaf) and shape.secret


def secrets(schema: Schema) -> Iterator[str]:
    """Yield the names of the options that take a secret."""
    for name, option in schema.options.items():
        if is_secret(option.shape):
            yield name


def nodes() -> Iterator[tuple[str, dict[str, Any], str, str]]:
    """Yield every type that takes secrets, in a stack, with an option that does."""
    for family in REGISTRY.families:
        for word in family.words():
            for name in secrets(schema_of(family.find(word), REGISTRY)):
                yield family.noun, _node(family.noun, word, name), word, name


def _node(noun: str, word: str, name: str) -> dict[str, Any]:
    given = value(noun, word, name)
    node: dict[str, Any] = {"type": word}
    shown = SNIPPETS.get(f"{word} 0")
    if noun == "store" and shown is not None:
        node = yaml.safe_load(textwrap.dedent(shown))
    if word in ("redis", "sql") and name != "url":
        node["url"] = value(noun, word, "url")
    if word == "redis" and name == "sentinel_password":
        node |= {"mode": "sentinel", "service": "x", "sentinels": ["127.0.0.1:1"]}
        node["url"] = f"redis://user:{PLANTED}@"
    if word == "s3":
        node = {
            "type": "s3",
            "bucket": "pictures",
            "endpoint_url": "http://127.0.0.1:1",
        }
        node |= {"access_key": "AKIA", "secret_key": PLANTED}
    node[name] = [given] if name.startswith("old_") else given
    if noun == "tier":
        return {"type": "cached", "tiers": [node], "origin": {"type": "memory"}}
    if noun == "journal":
        replicas = {"a": {"type": "memory"}, "b": {"type": "memory"}}
        return {"type": "replicated", "replicas": replicas, "journal": node}
    if noun == "control":
        return {
            "type": "fallback",
            "stores": {"a": {"type": "memory"}},
            "control": node,
        }
    return node


PLACES = list(nodes())


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {**EXAMPLES, "URL_SECRET": "x" * 16}.items():
        monkeypatch.setenv(name, text)


def said(*words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return all that a command prints, whatever comes of it."""
    main(words)
    seen = capsys.readouterr()
    return seen.out + seen.err


def test_they_are_planted_everywhere() -> None:
    """In each option of each family that takes one."""
    planted = {(family, word, name) for family, _, word, name in PLACES}

    assert planted >= {
        ("store", "s3", "secret_key"),
        ("store", "s3", "session_token"),
        ("store", "redis", "url"),
        ("store", "redis", "sentinel_password"),
        ("store", "encrypted", "key"),
        ("store", "encrypted", "old_keys"),
        ("tier", "redis", "url"),
        ("journal", "redis", "url"),
        ("journal", "sql", "url"),
    }


@pytest.mark.parametrize(
    "place", PLACES, ids=lambda place: ".".join((place[0], place[2], place[3]))
)
def test_a_secret_is_never_shown(
    place: tuple[str, dict[str, Any], str, str],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not in a drawing, a file, a difference, an error, a log, or a representation."""
    _, node, _, _ = place
    caplog.set_level(logging.DEBUG, "tiered_store")  # botocore's own tells all
    encoded = base64.b64encode(PLANTED.ljust(32).encode()).decode()
    mapping = {"version": 1, "stores": {"images": node}}
    Path("a.yaml").write_text(yaml.safe_dump(mapping))
    other = copy.deepcopy(mapping)
    other["stores"]["images"]["retry"] = 7  # type: ignore[index] # a mapping
    Path("b.yaml").write_text(yaml.safe_dump(other))
    other["stores"]["images"]["nosuch"] = 7  # type: ignore[index] # a mapping
    Path("c.yaml").write_text(yaml.safe_dump(other).replace("type: ", "type: x"))

    shown = [
        said(*words, capsys=capsys)
        for words in (
            ("check", "a.yaml"),
            ("check", "a.yaml", "--json"),
            ("check", "c.yaml"),
            ("tree", "a.yaml"),
            ("tree", "a.yaml", "--json"),
            ("tree", "a.yaml", "--dot"),
            ("tree", "a.yaml", "--mermaid"),
            ("diff", "a.yaml", "b.yaml"),
            ("diff", "a.yaml", "b.yaml", "--json"),
            ("check", "a.yaml", "--connect", "--timeout", "200ms"),
        )
    ]
    store = label(load("a.yaml"), "images")
    with store:
        shown += [repr(store), str(store), repr(vars(store)), to_yaml(store)]
        for part in vars(store).values():
            shown += [repr(part), repr(getattr(part, "__dict__", ""))]
        try:
            store.get(KEY)
        except StoreError as error:
            shown += [str(error), repr(error), repr(pickle.loads(pickle.dumps(error)))]
    wrong = copy.deepcopy(mapping)
    wrong["stores"]["images"]["nosuch"] = 1  # type: ignore[index] # a mapping
    try:
        build(wrong)
    except ConfigError as error:
        shown += [str(error), repr(error)]

    everything = "\n".join([*shown, caplog.text])
    assert PLANTED not in everything
    assert encoded not in everything
    assert "nosuch" in everything, "what was wrong has been told"


def test_a_value_that_is_refused_is_not_repeated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of the wrong shape, or refused by the constructor in its own words."""
    for node in (
        f"{{type: encrypted, key: {PLANTED}, child: {{type: memory}}}}",
        f"{{type: encrypted, key: [{PLANTED}], child: {{type: memory}}}}",
        f"{{type: redis, url: 'http://user:{PLANTED}@x'}}",
        f"{{type: redis, url: {{x: {PLANTED}}}}}",
        f"{{type: s3, bucket: b, access_key: x, secret_key: {{x: {PLANTED}}}}}",
    ):
        Path("x.yaml").write_text(f"{{version: 1, stores: {{images: {node}}}}}")
        assert main(["check", "x.yaml"]) == 2
        seen = capsys.readouterr()
        assert PLANTED not in seen.out + seen.err


def test_the_schema_has_no_secret(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor anything of the environment."""
    for name in EXAMPLES:
        monkeypatch.setenv(name, PLANTED)
    assert PLANTED not in said("schema", capsys=capsys)
    assert PLANTED not in said("types", "--json", capsys=capsys)
