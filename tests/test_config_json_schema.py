"""What an editor completes and explains is what the checker accepts."""

from __future__ import annotations

import json
import re
import textwrap

from pathlib import Path
from typing import Any

import pytest
import yaml

from jsonschema import Draft202012Validator

from tests.configs import REGISTRY
from tests.test_documentation import SNIPPETS
from tiered_store.cli import main
from tiered_store.config import Registry
from tiered_store.config.json_schema import json_schema


FOLDER = Path(__file__).parent.parent / "config"
SCHEMA, BROKEN = json_schema(Registry())
VALIDATOR = Draft202012Validator(SCHEMA)
OURS = Draft202012Validator(json_schema(REGISTRY)[0])


def wrong(text: str, validator: Draft202012Validator = VALIDATOR) -> list[str]:
    """Return where *text* is not as the schema says."""
    return [error.json_path for error in validator.iter_errors(yaml.safe_load(text))]


def of_node(text: str, validator: Draft202012Validator = VALIDATOR) -> bool:
    """Whether a file whose one store is *text* is as the schema says."""
    return not wrong(f"{{version: 1, stores: {{x: {text}}}}}", validator)


def test_it_is_a_schema() -> None:
    """Of the dialect that it names, and every type that we have is in it."""
    Draft202012Validator.check_schema(SCHEMA)

    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert BROKEN == []
    for family in Registry().families:
        for word in family.words():
            assert f"{family.noun}.{word}" in SCHEMA["$defs"]


def test_every_reference_leads_somewhere() -> None:
    """An editor says nothing at all when one does not."""
    named = set(re.findall(r'"#/\$defs/([^"]+)"', json.dumps(SCHEMA)))

    assert named <= set(SCHEMA["$defs"])


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda p: p.name)
def test_what_people_copy_is_right(path: Path) -> None:
    """The files in ``config/``."""
    assert wrong(path.read_text()) == []


@pytest.mark.parametrize("name", SNIPPETS)
def test_what_the_modules_show_is_right(name: str) -> None:
    """The YAML that opens each module."""
    text = textwrap.dedent(SNIPPETS[name])
    if "version:" in text:
        assert wrong(text) == []
    else:
        node = yaml.safe_load(text)
        assert of_node(json.dumps(node))


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "{version: 2, stores: {x: {type: memory}}}",
        "{version: 1}",
        "{version: 1, stores: {}}",
        "{version: 1, stores: {x: {type: memory}}, sores: {}}",
        "{version: 1, stores: {'a b': {type: memory}}}",
        "{version: 1, default: 1, stores: {x: {type: memory}}}",
        "{version: 1, stores: {x: {type: memory}}, journals: {j: {type: s3}}}",
    ],
)
def test_a_file_that_is_wrong_is_refused(text: str) -> None:
    """At the top already."""
    assert wrong(text)


@pytest.mark.parametrize(
    "text",
    [
        "memory",
        "{}",
        "{capacity: 1GiB}",
        "{type: memry}",
        "{type: sqlite, path: x}",
        "{type: memory, capcity: 1GiB}",
        "{type: memory, capacity: much}",
        "{type: memory, capacity: 1GiBs}",
        "{type: memory, capacity: -1}",
        "{type: filesystem}",
        "{type: filesystem, path: x, create: 'yes'}",
        "{type: filesystem, path: x, timeout: soon}",
        "{type: filesystem, path: x, timeout: {secnds: 5s}}",
        "{type: filesystem, path: x, retry: {attempts: many}}",
        "{type: s3, bucket: x, checksums: always}",
        "{type: cached, origin: x}",
        "{type: cached, tiers: {type: memory}, origin: x}",
        "{type: cached, tiers: [{type: memory, path: x}], origin: x}",
        "{type: cached, tiers: [{type: filesystem, path: x, tll: 5s}], origin: x}",
        "{type: replicated, replicas: [a, b]}",
        "{type: replicated, replicas: {a: {type: memry}}}",
        "{type: replicated, replicas: {a: x}, read: {oder: [a]}}",
        "{type: fallback, stores: {a: x}, read_on: [trouble]}",
        "{type: timeout, child: x, seconds: 1s, timeout: {seconds: 1s, child: y}}",
    ],
)
def test_a_store_that_is_wrong_is_refused(text: str) -> None:
    """Whatever the slip."""
    assert not of_node(text)


@pytest.mark.parametrize(
    "text",
    [
        "{type: memory, capacity: 4096}",
        "{type: memory, capacity: 1.5GiB, limit: 8, retry: true, breaker: false}",
        "{type: memory, capacity: '${env:CAPACITY}'}",
        "{type: filesystem, path: x, timeout: {seconds: 1h30m}, retry: {base: 50ms}}",
        "{type: filesystem, path: x, create: '${env:CREATE:-false}'}",
        "{type: cached, tiers: [n, {type: filesystem, path: x, ttl: 5s}], origin: x}",
        "{type: cached, tiers: [{type: redis, breaker: {open: 1s}}], origin: x}",
        "{type: replicated, replicas: {a: x}, journal: j, read: {order: [a]}}",
        "{type: fallback, stores: {a: x, b: {type: memory}}, breaker: null}",
    ],
)
def test_every_way_to_write_it_is_known(text: str) -> None:
    """Units, attributes, references, names in place of mappings."""
    assert of_node(text)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("{type: leaf, bucket: x, hedge: p95, window: none, level: high}", True),
        ("{type: leaf, bucket: x, pair: [1, x], names: [a], weights: {a: 1}}", True),
        ("{type: leaf, bucket: x, level: middle}", False),
        ("{type: leaf, bucket: x, attempts: 0}", False),
        ("{type: leaf, bucket: x, window: {call: 1}}", False),
        ("{type: leaf, bucket: x, clock: now}", False),
    ],
)
def test_an_option_of_any_kind(text: str, right: bool) -> None:
    """Groups, pairs, enumerations, bounds; what no file can spell is not offered."""
    assert of_node(text, OURS) == right


def options(schema: Any) -> dict[str, Any]:
    """Return every option of every type by its path."""
    found: dict[str, Any] = {}
    for kind, definition in schema["$defs"].items():
        for name, option in definition.get("properties", {}).items():
            found[f"{kind}.{name}"] = option
    return found


def test_every_option_is_explained() -> None:
    """In the words of its constructor; the shape alone tells little."""
    silent = re.compile("A (text|whole number|number|size|duration|list|mapping)|True")
    unexplained = [
        path
        for path, option in options(SCHEMA).items()
        if not path.endswith(".type")
        and "$ref" not in option
        and silent.match(option.get("description", "A text"))
    ]

    assert unexplained == []


def test_the_words_are_those_of_the_docstring() -> None:
    """Without its markup, which no editor knows."""
    found = options(SCHEMA)

    assert found["store.s3.region"]["description"] == (
        "Of the bucket; a URL signed for another one does not work."
    )
    assert (
        "UnavailableError while *child*"
        in SCHEMA["$defs"]["store.breaker"]["description"]
    )
    assert "``" not in json.dumps(SCHEMA)
    assert ":class:" not in json.dumps(SCHEMA)


def test_defaults_are_as_a_file_spells_them() -> None:
    """And none is of something secret."""
    found = options(SCHEMA)

    assert found["store.memory.capacity"]["default"] == "256MiB"
    assert found["store.s3.connect_timeout"]["default"] == "500ms"
    assert found["store.fallback.read_on"]["default"] == ["unavailable"]
    for path in ("store.s3.secret_key", "store.redis.url", "store.encrypted.key"):
        assert "default" not in found[path]


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    """To be written to a file beside the configurations."""
    assert main(["schema"]) == 0

    assert json.loads(capsys.readouterr().out) == SCHEMA


def test_a_type_that_cannot_be_loaded_is_left_out() -> None:
    """And named; the others are offered all the same."""
    schema, broken = json_schema(REGISTRY)

    assert "store.broken" not in schema["$defs"]
    assert "store.object" not in schema["$defs"], "no file can make one"
    assert "store.leaf" in schema["$defs"]
    assert [line for line in broken if "'broken'" in line]
