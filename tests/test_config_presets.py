"""Stacks by name, and what all nodes of a type have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.configs import REGISTRY, problems, written
from tiered_store.cli import main
from tiered_store.cli.drawing import draw
from tiered_store.config import build, examine, load
from tiered_store.config.preset import presets
from tiered_store.store import Store
from tiered_store.tree import label


BUCKETS = ("BUCKET", "US_BUCKET", "EU_BUCKET", "COPY_BUCKET", "PRODUCTION_BUCKET")
EXAMPLES = {
    **{name: name.lower().replace("_", "-") for name in BUCKETS},
    **dict.fromkeys(("ACCESS_KEY", "SECRET_KEY"), "hunter2"),
    "REDIS_URL": "redis://127.0.0.1:1",
    "JOURNAL_REDIS_URL": "redis://127.0.0.1:2",
    "IMAGES_KEY": "A" * 43 + "=",
}


@pytest.fixture(autouse=True)
def _in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in EXAMPLES.items():
        monkeypatch.setenv(name, value)


def drawn(store: Store) -> dict[str, Any]:
    """Return how the command line draws *store*."""
    with store:
        return draw(label(store, "images")).plain()


def options(name: str) -> dict[str, Any]:
    """Return what the preset *name* needs, as its examples say it."""
    asked = presets()[name].options.items()
    return {key: yaml.safe_load(x.example) for key, x in asked if x.is_needed}


@pytest.mark.parametrize("name", presets())
def test_what_is_printed_can_be_pasted(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is a whole file, nothing in it hurts, and it is what the preset makes."""
    assert main(["presets", name]) == 0
    text = capsys.readouterr().out
    assert examine(written(text)) == ([], [])

    short = {"version": 1, "stores": {"images": {"preset": name, **options(name)}}}

    assert drawn(load("images.yml")) == drawn(build(short))


@pytest.mark.parametrize("name", presets())
def test_the_expansion_is_the_same_stack(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the references in it, not their values."""
    images = {"preset": name, **options(name), "allow": {"never-used": "a test"}}
    written(yaml.safe_dump({"version": 1, "stores": {"images": images}}))

    assert main(["check", "--expand", "images.yml"]) == 0

    text = capsys.readouterr().out
    assert "preset" not in text
    assert "hunter2" not in text
    before = drawn(load("images.yml"))
    assert drawn(load(written(text))) == before


def test_what_can_be_left_out_is_a_comment(capsys: pytest.CaptureFixture[str]) -> None:
    """And has a meaning when it is given."""
    main(["presets", "one-bucket"])
    assert '      # - {type: redis, url: "${env:REDIS_URL}", ttl: 1d}' in (
        capsys.readouterr().out.splitlines()
    )
    short = {"preset": "one-bucket", "bucket": "b", "redis": "redis://x", "memory": 64}

    stack = drawn(build({"version": 1, "stores": {"images": short}}))

    tiers = [child for child in stack["children"] if child["role"].startswith("tiers")]
    assert [tier["type"] for tier in tiers] == ["memory", "redis"]
    assert tiers[0]["options"]["capacity"] == "64"


def test_other_keys_are_laid_over_it() -> None:
    """Options of the store that it makes, and attributes."""
    made = {"preset": "development", "path": "x", "negative_ttl": "3s", "limit": 4}

    stack = drawn(build({"version": 1, "stores": {"images": made}}))

    assert stack["options"]["negative_ttl"] == "3s"
    assert [link["type"] for link in stack["inside"]] == ["limit"]


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (
            "{preset: one-buket}",
            ["stores.x.preset: unknown preset 'one-buket'; did you mean "
             "'one-bucket'?"],
        ),
        ("{preset: one-bucket}", ["stores.x: missing 'bucket': its name"]),
        (
            "{preset: migration, old: a, new: {type: memory, capacty: 1}}",
            ["stores.x.old: unknown store 'a'; known are: x",
             "stores.x.new.capacty: unknown key 'capacty'; did you mean "
             "'capacity'? known are: capacity, base_url, limit, timeout, retry, "
             "breaker"],
        ),
        (
            "{preset: development, path: [x]}",
            ["stores.x.path: expected a text, got a list"],
        ),
        (
            "{preset: development, path: x, negativ_ttl: 3s}",
            ["unknown key 'negativ_ttl'; did you mean 'negative_ttl'?"],
        ),
        (
            "{preset: development, path: x, type: memory}",
            ["stores.x.preset: stands beside 'type', and a node has one of them; "
             "remove the other",
             "stores.x.path: unknown key 'path'"],
        ),
    ],
)  # fmt: skip
def test_a_preset_that_is_wrong_says_where(node: str, said: list[str]) -> None:
    """In the user's file, not in ours."""
    found = problems(f"{{version: 1, stores: {{x: {node}}}}}")

    assert len(found) == len(said), found
    for line, expected in zip(found, said, strict=True):
        assert expected in line
        assert line.startswith("images.yml:1:")


def test_an_unknown_preset_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """On the command line as well."""
    assert main(["presets", "two-region"]) == 2
    assert "did you mean 'two-regions'?" in capsys.readouterr().err


def test_defaults_are_for_all_nodes_of_a_type() -> None:
    """A node's own key replaces the default's; an attribute can be taken away."""
    stack = build(
        {
            "version": 1,
            "default": "images",
            "defaults": {
                "stores": {
                    "memory": {"capacity": "1MiB", "timeout": "5s"},
                    "retry": {"cap": "9s", "attempts": 7},
                    "fallback": {"retry": 2},
                },
                "tiers": {"memory": {"ttl": "60s"}, "store": {"jitter": 0.5}},
            },
            "stores": {
                "images": {"type": "cached", "tiers": ["near"], "origin": "far"},
                "near": {"type": "memory", "timeout": False, "capacity": "2MiB"},
                "far": {"type": "fallback", "stores": {"a": {"type": "memory"}}},
            },
        }
    )

    near, far = drawn(stack)["children"]
    assert (near["type"], near["options"]) == ("memory", {"capacity": "2MiB"})
    assert near["inside"][0]["options"]["jitter"] == "0.5"
    assert [link["options"] for link in far["inside"]] == [
        {"attempts": "2", "cap": "9s"}
    ]
    (leaf,) = far["children"]
    assert leaf["options"] == {"capacity": "1MiB"}
    assert [link["type"] for link in leaf["inside"]] == ["breaker", "timeout"]


def test_what_is_no_default_hides_nothing() -> None:
    """All that is wrong beside it is told as well."""
    text = """\
        version: 1
        defaults: {stores: {s3: {origin: x, regin: y}}}
        stores: {images: {type: memory}}
        """
    problems, _ = examine(written(text))
    assert [str(problem).partition(";")[0] for problem in problems] == [
        "images.yml:2:26 defaults.stores.s3.origin: is of each node, and no default",
        "images.yml:2:37 defaults.stores.s3.regin: unknown key 'regin'",
    ]


def test_defaults_give_what_is_required() -> None:
    """So that a bucket need not be repeated, for example."""
    text = """\
        version: 1
        defaults: {stores: {leaf: {bucket: "${env:BUCKET}"}}}
        stores: {images: {type: leaf}}
        """
    with load(written(text), registry=REGISTRY) as store:
        assert store.bucket == "bucket"  # type: ignore[attr-defined] # of a leaf


@pytest.mark.parametrize(
    ("defaults", "said"),
    [
        ("[]", "expected a mapping by section, got a list"),
        ("{s3: {}}", "unknown section 's3'; known are: stores, journals, tiers"),
        ("{stores: {memry: {}}}", "unknown store type 'memry'; did you mean 'memory'?"),
        ("{stores: {s3: 5}}", "expected a mapping of options, got 5"),
        ("{stores: {leaf: {buckt: x}}}", "unknown key 'buckt'; did you mean 'bucket'?"),
        ("{stores: {leaf: {ttl: soon}}}", "expected a duration such as 250ms or 5m"),
        ("{stores: {leaf: {type: s3}}}", "is of each node, and no default"),
        ("{stores: {leaf: {bucket: '${env:NONE}'}}}", "variable NONE is not set"),
        ("{stores: {leaf: {timeout: soon}}}", "expected a duration such as 250ms"),
        ("{stores: {leaf: {limit: 0}}}", "must be at least 1, not 0"),
        ("{stores: {leaf: {retry: {atempts: 3}}}}", "did you mean 'attempts'?"),
        ("{stores: {leaf: {breaker: []}}}", "expected a whole number, got a list"),
        ("{stores: {leaf: {hedge: soon}}}", "expected a duration such as 250ms"),
        ("{stores: {leaf: {window: {cals: 3}}}}", "did you mean 'calls'?"),
        ("{stores: {group: {spare: y}}}", "unknown store 'y'; known are: x"),
        ("{stores: {journaled: {journal: y}}}", "unknown journal 'y'"),
    ],
)
def test_defaults_that_are_wrong(defaults: str, said: str) -> None:
    """They are told once, whether anything has them or not."""
    for stores in ("{x: {type: memory}}", "{x: {type: leaf, bucket: b}}"):
        found = problems(f"{{version: 1, defaults: {defaults}, stores: {stores}}}")
        assert len(found) == 1
        assert said in found[0]
        assert " defaults" in found[0]
