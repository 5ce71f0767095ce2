"""No input makes it crash, hang, execute, or read what it should not."""

from __future__ import annotations

import itertools

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.configs import REGISTRY
from tests.thorough import TIMES
from tiered_store.config import build, examine, expand_presets, load
from tiered_store.config.document import read
from tiered_store.config.json_schema import json_schema
from tiered_store.config.preset import presets
from tiered_store.config.problems import Problems
from tiered_store.config.registry import JOURNALS, STORES, TIERS
from tiered_store.errors import ConfigError
from tiered_store.store import Store


VALIDATOR = Draft202012Validator(json_schema(REGISTRY)[0])

# what is there already; the other tables' modules may come later
EXAMPLES = 30 * TIMES
many = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.data_too_large,
    ],
)

WORDS = sorted(
    {
        *STORES,
        *JOURNALS,
        *TIERS,
        *REGISTRY.stores.words(),
        *("version", "default", "stores", "journals", "type", "child", "origin"),
        *("tiers", "journal", "retry", "timeout", "breaker", "limit", "a", "b", "c"),
        *("capacity", "path", "bucket", "size", "window", "more", "spare", "<<"),
        *("256MiB", "5m", "${env:HOME}", "${env:NO}", "${file:/etc/hostname}", "${"),
    }
)
words = st.sampled_from(WORDS)
scalars = (
    words
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(words | st.text(max_size=8), inner, max_size=5)
    ),
    max_leaves=25,
)
nodes: Any = st.recursive(
    st.sampled_from(["a", "b", "c", {"type": "memory"}]),
    lambda inner: st.fixed_dictionaries(
        {"type": words | st.sampled_from(["group", "tiered", "leaf", "readonly"])},
        optional={
            "preset": words,
            "allow": trees,
            "child": inner,
            "stores": st.dictionaries(words, inner, max_size=3) | inner,
            "tiers": st.lists(inner, max_size=3) | inner,
            "origin": inner,
            "spare": inner,
            "journal": inner,
            "retry": scalars | trees,
            "limit": scalars,
            "bucket": scalars,
            "size": scalars,
            "window": trees,
            "path": scalars,
        },
    ),
    max_leaves=8,
)
asked: Any = st.fixed_dictionaries(
    {"preset": st.sampled_from(sorted(presets())) | words},
    optional={
        name: nodes | scalars
        for preset in presets().values()
        for name in preset.options
    }
    | {"limit": scalars, "allow": trees, "nonsense": trees},
)
files = st.fixed_dictionaries(
    {
        "version": st.just(1),
        "default": st.sampled_from(["a", "b", "c"]),
        "stores": st.dictionaries(
            st.sampled_from(["a", "b", "c"]), nodes | asked | trees, min_size=1
        ),
    },
    optional={
        "journals": st.dictionaries(words, nodes | trees, max_size=2),
        "defaults": trees
        | st.fixed_dictionaries(
            {"stores": st.dictionaries(words, trees, max_size=3) | trees},
            optional={"tiers": trees, "journals": trees},
        ),
        "allow": trees | st.dictionaries(st.just("never-used"), st.text(max_size=5)),
    },
)
# text that is nearly YAML: its own marks, indented words, anchors and aliases
pieces = st.sampled_from(
    [
        *(
            "\n",
            "\n  ",
            "\n    ",
            "- ",
            ": ",
            ":",
            ", ",
            "[",
            "]",
            "{",
            "}",
            "&a ",
            "*a",
        ),
        *("<<: ", "? ", "| \n", "> \n", "'", '"', "#", "!", "!!str ", "%", "@", "\t"),
        *("---\n", "...\n", "\\", "\0", "\x85", "\ufeff", "é", "\U0001f600", "~", "0x"),
        *('"\\ud800"', '"\\U99999999"', "!!python/object:os.system "),
    ]
)
nearly_yaml = st.lists(pieces | words | st.text(max_size=5), max_size=60).map("".join)


@pytest.fixture(autouse=True)
def _in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/a secret place")


def tried(content: bytes) -> None:
    """Check and load a file of *content*: it works, or it is a list of problems."""
    Path("x.yml").write_bytes(content)
    problems, findings = examine("x.yml", registry=REGISTRY)
    for line in map(str, (*problems, *findings)):
        assert len(line.splitlines()) == 1
        assert line.startswith("x.yml")
        assert "secret place" not in line
        line.encode()
    used(lambda: load("x.yml", registry=REGISTRY))


def used(make: Callable[[], Store]) -> None:
    """Make a store and close it, or be told in lines what is wrong."""
    said: tuple[str, ...] = ()
    try:
        make().close()
    except ConfigError as error:
        said = error.problems or ("",)
    assert all(len(line.splitlines()) == 1 for line in said)
    assert "secret place" not in "".join(said)


@many
@given(st.binary(max_size=300))
def test_any_bytes(content: bytes) -> None:
    """Bytes are a configuration or are refused."""
    tried(content)


@many
@given(st.text(max_size=300))
def test_any_text(content: str) -> None:
    """So is text."""
    tried(content.encode("utf-8", "replace"))


@many
@given(nearly_yaml)
def test_text_that_is_nearly_yaml(content: str) -> None:
    """So is text that has YAML's own marks in all the wrong places."""
    tried(content.encode())
    tried(f"version: 1\nstores:\n  a: {content}\n".encode())


@many
@given(trees | files)
def test_any_yaml(tree: object) -> None:
    """So is any YAML, nearly right or not at all."""
    try:
        content = yaml.safe_dump(tree, allow_unicode=True).encode()
    except (yaml.YAMLError, UnicodeEncodeError):
        return
    tried(content)


@many
@given(trees | files)
def test_any_mapping(tree: Any) -> None:
    """So is any mapping, and what is refused is refused without a file's name."""
    used(lambda: build(tree, registry=REGISTRY))


@many
@given(st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_file_with_a_slip(at: int, slip: bytes) -> None:
    """A good file that somebody's cat walked over is refused or still good."""
    content = (
        b"version: 1\ndefault: images\nstores:\n"
        b"  images: {type: cached, tiers: [{type: memory, ttl: 60s}], origin: pair}\n"
        b"  pair:\n    type: fallback\n    stores:\n      us: bucket\n"
        b"      eu: {type: leaf, bucket: '${env:HOME}', retry: {attempts: 3}}\n"
        b"    breaker: {failures: 3, open: 2s}\n"
        b"  bucket: {type: memory, capacity: 1GiB, limit: 8, breaker: true}\n"
    )
    tried(content[:at] + slip + content[at:])
    tried(content[:at] + slip + content[at + len(slip) :])


# mostly right: words, units and references where they belong
sizes = st.sampled_from(["64KiB", "1.5 GB", 4096, "1_000", "${env:SIZE:-1MiB}"])
durations = st.sampled_from(["250ms", "1h30m", 5, 0.5, "${env:WAIT:-2s}", "1 d 2 h"])
numbers = st.sampled_from([1, 3, "${env:COUNT:-2}"])
attributes = {
    "timeout": durations | st.fixed_dictionaries({"seconds": durations}),
    "retry": numbers | st.booleans() | st.fixed_dictionaries({"base": durations}),
    "limit": numbers,
    "breaker": st.booleans() | st.fixed_dictionaries({"failures": numbers}),
    "allow": st.just({"never-used": "to be fuzzed"}),
}


def _without_attributes(node: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if key not in attributes}


def typed(word: str, required: Any = None, **optional: Any) -> Any:
    """Return nodes of a type, with attributes."""
    return st.fixed_dictionaries(
        {"type": st.just(word), **(required or {})}, optional={**attributes, **optional}
    )


plain_nodes = (
    typed("memory", capacity=sizes)
    | typed("filesystem", {"path": st.just("/x")}, create=st.booleans())
    | typed(
        "leaf",
        {"bucket": st.just("b") | st.just("${env:HOME}")},
        ttl=durations | st.none(),
        hedge=durations | st.just("p95"),
        window=st.just("none") | st.fixed_dictionaries({"length": durations}),
        weights=st.dictionaries(st.sampled_from("ab"), st.integers(0, 9), max_size=2),
        level=st.sampled_from(["low", "high"]),
        secret_key=st.just("${env:HOME}"),
    )
    | st.just({"preset": "development", "path": "/y"})
    | st.just("b")
)
right_nodes: Any = st.recursive(
    plain_nodes,
    lambda inner: (
        typed("readonly", {"child": inner})
        | typed("group", {}, stores=st.dictionaries(st.sampled_from("uv"), inner))
        | typed(
            "cached",
            {
                "origin": inner,
                "tiers": st.lists(
                    typed("memory", ttl=durations).map(_without_attributes) | inner,
                    min_size=1,
                    max_size=2,
                ),
            },
        )
        | st.fixed_dictionaries(
            {"preset": st.just("migration"), "old": inner, "new": inner}
        )
    ),
    max_leaves=5,
)
right_files = st.fixed_dictionaries(
    {
        "version": st.just(1),
        "default": st.just("a"),
        "stores": st.fixed_dictionaries(
            {"a": right_nodes, "b": typed("memory", capacity=sizes)}
        ),
    },
    optional={
        "defaults": st.fixed_dictionaries(
            {}, optional={"stores": st.just({"memory": {"timeout": "5s"}})}
        )
    },
)


@settings(
    max_examples=EXAMPLES,
    deadline=None,  # and no check is left out that would tell of too few right files
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(right_files)
def test_an_editor_accepts_what_the_checker_does(tree: Any) -> None:
    """Whatever is right is right by the schema, and expanded it is still right."""
    Path("x.yml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    problems, _ = examine("x.yml", registry=REGISTRY)
    assume(not problems)
    root = read("x.yml", Problems())
    assert root is not None
    assert [error.message for error in VALIDATOR.iter_errors(root.plain())] == []
    Path("y.yml").write_text(expand_presets("x.yml"), encoding="utf-8")
    assert examine("y.yml", registry=REGISTRY)[0] == []
    load("x.yml", registry=REGISTRY).close()


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n"
    for before, name in itertools.pairwise("abcdefghij")
)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (BOMB, "more than 10000 values, what aliases copy included"),
        ("x: " + "[" * 100_000, "nested more than 32 deep"),
        ("x: " + "{a: " * 100_000, "nested more than 32 deep"),
        ("- " * 100_000, "nested more than 32 deep"),
        ("a: &a [*a]\n", "no such anchor"),
        ("a: x\n" * 300_000, "larger than 1024 KiB"),
        ("a: " + "x" * 900_000 + "\nversion: 2", "expected 1, got 2"),
        ("\x89PNG\r\n\x1a\n", "a character that is no text"),
        ("version: 1\n\tstores:", "use spaces"),
        ("version: 1\nversion: 1\n", "duplicate key 'version'; the first is on line 1"),
        ("!!python/object/apply:os.system ['x']", "tags are not supported"),
        ("version: 1\nstores: !!set {a}", "tags are not supported"),
        ("%YAML 9.9\n---\nversion: 1", "YAML"),
    ],
)
def test_what_is_made_to_hurt(content: str, said: str) -> None:
    """It is refused at once, in a line."""
    tried(content.encode())
    found = examine("x.yml", registry=REGISTRY)[0]
    assert any(said in str(problem) for problem in found), found


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/dev/zero", "larger than"),
        ("/proc/self/mem", "cannot be read"),
        (".", "is a directory"),
        ("nowhere.yml", "no such file"),
        ("x\0y", "null"),
    ],
)
def test_a_file_that_is_none(path: str, said: str) -> None:
    """Devices and directories are no configurations."""
    (problem,) = examine(path, registry=REGISTRY)[0]
    assert said in str(problem)


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("/dev/zero", "is no regular file"),
        ("/nowhere/at/all", "no such file or directory"),
        ("/", "is no regular file"),
        ("/proc/self/environ", "the kernel makes it up"),
        ("/etc/hosts", "localhost"),
    ],
)
def test_a_secret_file_that_is_none(secret: str, said: str) -> None:
    """Nor are they secrets; what a readable one holds is not repeated."""
    node = f"{{type: leaf, bucket: b, size: '${{file:{secret}}}'}}"
    Path("x.yml").write_text(f"{{version: 1, stores: {{a: {node}}}}}")
    (problem,) = examine("x.yml", registry=REGISTRY)[0]
    assert "secret place" not in str(problem)
    assert (said in str(problem)) == (said != "localhost")
