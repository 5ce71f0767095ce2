"""What a change of configuration does to data."""

from __future__ import annotations

import json

from pathlib import Path
from typing import Any

import pytest
import yaml

from tiered_store.cli import main
from tiered_store.config import build
from tiered_store.difference import Change, differences


BEFORE = """
version: 1
default: images
stores:
  images:
    type: cached
    tiers:
      - {type: memory, ttl: 60s}
      - {type: redis, url: "redis://:hunter2@cache.internal/0", ttl: 1d}
    origin: regions
    retry: 3
  regions:
    type: replicated
    replicas: {us: us, eu: eu}
    journal: {type: sqlite, path: /var/lib/images.sqlite}
  us: {type: s3, bucket: us}
  eu: {type: s3, bucket: eu}
"""


def changes(before: str, after: str) -> list[Change]:
    """Return what becomes of the data of *before* under *after*."""
    with build(yaml.safe_load(before)) as old, build(yaml.safe_load(after)) as new:
        return differences(old, new)


def edited(*edits: tuple[str, str], text: str = BEFORE) -> list[tuple[str, str]]:
    """Return kind and path of what happens when *text* is edited."""
    after = text
    for old, new in edits:
        assert old in after
        after = after.replace(old, new)
    found = changes(text, after)
    assert "hunter2" not in str(found)
    return [(change.kind, change.path) for change in found]


def test_nothing_changes() -> None:
    """Nor by another order, or other names for the same stores."""
    assert edited() == []
    assert (
        edited(("us: us,", "us: american,"), ("  us: {type", "  american: {type")) == []
    )


def test_options_concern_nothing_that_is_kept() -> None:
    """They are listed, with what they were."""
    found = changes(BEFORE, BEFORE.replace("ttl: 60s", "ttl: 90s"))

    assert [(x.kind, x.path, x.message) for x in found] == [
        ("option", "images.tiers.0", "ttl: 1m, now 90s")
    ]
    assert not found[0].concerns_data


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        # a third region
        (
            [
                ("eu: eu}", "eu: eu, ap: ap}"),
                ("  eu: {", "  ap: {type: s3, bucket: ap}\n  eu: {"),
            ],
            [("fill", "images.origin.ap")],
        ),
        # a region is given up
        (
            [("us: us, eu: eu}", "us: us}"), ("  eu: {type: s3, bucket: eu}\n", "")],
            [("orphaned", "images.origin")],
        ),
        # another name for the same place
        ([("eu: eu}", "europe: eu}")], [("orphaned", "images.origin")]),
        # the same name for another place
        ([("bucket: eu", "bucket: eu-2")], [("fill", "images.origin.eu")]),
        # another journal
        ([("images.sqlite", "other.sqlite")], [("orphaned", "images.origin")]),
        # a cache somewhere else
        (
            [("ttl: 1d}", "ttl: 1d, prefix: 'new:'}")],
            [("cold", "images.tiers.1")],
        ),
        # a cache before something else
        (
            [("origin: regions", "origin: {type: s3, bucket: others}")],
            [
                ("mixed", "images.tiers.1"),
                ("orphaned", "images.origin"),
                ("new", "images.origin"),
            ],
        ),
    ],
)
def test_mirrors_and_caches(
    edit: list[tuple[str, str]], expected: list[tuple[str, str]]
) -> None:
    """What must be filled, settled first, or begins empty."""
    assert sorted(x for x in edited(*edit) if x[0] != "option") == sorted(expected)


ONE = "{version: 1, stores: {images: %s}}"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            "{type: s3, bucket: a}",
            "{type: s3, bucket: b}",
            [("gone", "images")],
        ),
        (
            "{type: s3, bucket: a}",
            "{type: compressed, child: {type: s3, bucket: a}}",
            [("unreadable", "images.child")],
        ),
        (
            f"{{type: encrypted, key: {'A' * 43}=, child: {{type: s3, bucket: a}}}}",
            f"{{type: encrypted, key: {'B' * 42}A=, child: {{type: s3, bucket: a}}}}",
            [("unreadable", "images.child")],
        ),
        (
            "{type: sharded, shards: {a: {type: s3, bucket: a}}}",
            "{type: sharded, shards: {a: {type: s3, bucket: a}, "
            "c: {type: s3, bucket: c}}}",
            [("unreadable", "images"), ("new", "images.c")],
        ),
        (
            "{type: s3, bucket: a}",
            "{type: prefixed, prefix: x., child: {type: s3, bucket: a}}",
            [("gone", "images"), ("new", "images.child")],
        ),
        # a shard more, below something that was not there
        (
            "{type: sharded, shards: {a: {type: s3, bucket: a}}}",
            "{type: readonly, child: {type: sharded, shards: "
            "{a: {type: s3, bucket: a}, c: {type: s3, bucket: c}}}}",
            [("unreadable", "images.child"), ("new", "images.child.c")],
        ),
        # two shards, or two routes, that change places
        (
            "{type: sharded, shards: {a: {type: s3, bucket: a}, "
            "b: {type: s3, bucket: b}}}",
            "{type: sharded, shards: {a: {type: s3, bucket: b}, "
            "b: {type: s3, bucket: a}}}",
            [("unreadable", "images")],
        ),
        (
            "{type: routed, routes: {a: {type: s3, bucket: a}, "
            "b: {type: s3, bucket: b}}, rules: [{to: a, min_size: 9}], default: b}",
            "{type: routed, routes: {a: {type: s3, bucket: b}, "
            "b: {type: s3, bucket: a}}, rules: [{to: a, min_size: 9}], default: b}",
            [("unreadable", "images")],
        ),
        # shards in another order, which decides nothing
        (
            "{type: sharded, shards: {a: {type: s3, bucket: a}, "
            "b: {type: s3, bucket: b}}}",
            "{type: sharded, shards: {b: {type: s3, bucket: b}, "
            "a: {type: s3, bucket: a}}}",
            [],
        ),
        # one store that becomes a shard
        (
            "{type: s3, bucket: a}",
            "{type: sharded, shards: {a: {type: s3, bucket: a}, "
            "b: {type: s3, bucket: b}}}",
            [("unreadable", "images"), ("new", "images.b")],
        ),
        # the way that is advised
        (
            "{type: sharded, shards: {a: {type: s3, bucket: a}}}",
            "{type: migrating, old: {type: sharded, shards: {a: {type: s3, bucket: a}}}"
            ", new: {type: sharded, shards: {a: {type: s3, bucket: a}, "
            "c: {type: s3, bucket: c}}}}",
            [("new", "images.new.c")],
        ),
        # a key that is rotated as it should be, and the old one forgotten
        (
            f"{{type: encrypted, key: {'A' * 43}=, child: {{type: s3, bucket: a}}}}",
            f"{{type: encrypted, key: {'B' * 42}A=, old_keys: [{'A' * 43}=], "
            "child: {type: s3, bucket: a}}",
            [],
        ),
        (
            f"{{type: encrypted, key: {'B' * 42}A=, old_keys: [{'A' * 43}=], "
            "child: {type: s3, bucket: a}}",
            f"{{type: encrypted, key: {'B' * 42}A=, child: {{type: s3, bucket: a}}}}",
            [("unreadable", "images.child")],
        ),
        # who is asked first
        (
            "{type: fallback, stores: {a: {type: s3, bucket: a}, "
            "b: {type: s3, bucket: b}}}",
            "{type: fallback, stores: {b: {type: s3, bucket: b}, "
            "a: {type: s3, bucket: a}}}",
            [("mixed", "images")],
        ),
        (
            "{type: overlay, above: {type: s3, bucket: a}, "
            "below: {type: s3, bucket: b}}",
            "{type: readonly, child: {type: overlay, above: {type: s3, bucket: b}, "
            "below: {type: s3, bucket: a}}}",
            [("mixed", "images.child")],
        ),
        # a migration back, before the objects that are new have been copied
        (
            "{type: migrating, old: {type: s3, bucket: a}, new: {type: s3, bucket: b}}",
            "{type: migrating, old: {type: s3, bucket: b}, new: {type: s3, bucket: a}}",
            [("mixed", "images")],
        ),
        # a tier that becomes a store, and the other way round
        (
            "{type: cached, tiers: [{type: filesystem, path: /a}], "
            "origin: {type: s3, bucket: b}}",
            "{type: overlay, above: {type: filesystem, path: /a}, "
            "below: {type: s3, bucket: b}}",
            [("mixed", "images.above"), ("new", "images.above")],
        ),
        (
            "{type: filesystem, path: /a}",
            "{type: cached, tiers: [{type: filesystem, path: /a}], "
            "origin: {type: s3, bucket: b}}",
            [
                ("mixed", "images"),
                ("gone", "images"),
                ("cold", "images"),
                ("new", "images.origin"),
            ],
        ),
        # copies that are read otherwise than they were written
        (
            "{type: cached, tiers: [{type: filesystem, path: /a}], "
            "origin: {type: s3, bucket: b}}",
            "{type: cached, tiers: [{type: compressed, child: "
            "{type: filesystem, path: /a}}], origin: {type: s3, bucket: b}}",
            [("cold", "images.tiers.0")],
        ),
        # who asks, which is not where the objects are
        (
            "{type: redis, url: 'redis://user:hunter2@h/0'}",
            "{type: redis, url: 'redis://other:hunter3@h/0'}",
            [],
        ),
        (
            "{type: s3, bucket: a}",
            "{type: migrating, old: {type: s3, bucket: a}, new: {type: s3, bucket: b}}",
            [("new", "images.new")],
        ),
        (
            "{type: s3, bucket: a}",
            "{type: replicated, replicas: {a: {type: s3, bucket: a}, "
            "b: {type: s3, bucket: b}}, journal: {type: memory}}",
            [("fill", "images.b")],
        ),
        (
            "{type: s3, bucket: a}",
            "{type: cached, tiers: [{type: filesystem, path: /x}], "
            "origin: {type: s3, bucket: a}}",
            [("cold", "images")],
        ),
    ],
)
def test_other_stacks(before: str, after: str, expected: list[tuple[str, str]]) -> None:
    """Objects that are not found, or not understood; ways that lose nothing."""
    found = [
        (change.kind, change.path)
        for change in changes(ONE % before, ONE % after)
        if change.kind != "option"
    ]
    assert sorted(found) == sorted(expected)


def test_the_worst_comes_first_and_says_what_to_do() -> None:
    """Whoever reads one line reads the right one."""
    after = BEFORE.replace("eu: eu}", "europe: eu, ap: {type: s3, bucket: ap}}")
    found = changes(BEFORE, after)

    assert found[0].kind == "orphaned"
    assert found[0].message == (
        "eu is called europe now, and rows of the journal say eu"
    )
    assert "until nothing is pending for eu" in found[0].todo
    assert "verify --repair" in found[1].todo


def test_a_secret_that_changed_is_told_and_not_shown() -> None:
    """URLs that were signed with another one end, and a password must be valid."""
    served = "{type: served, child: {type: memory}, base_url: 'https://x', secret: %s}"
    (change,) = changes(ONE % served % ("hunter2" * 8), ONE % served % ("other" * 8))

    assert (change.kind, change.message) == ("option", "secret: another one")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table, JSON, and a status for a script."""
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(BEFORE)
    new.write_text(BEFORE.replace("bucket: eu", "bucket: eu-2"))

    assert main(["diff", str(old), str(old), "--strict"]) == 0
    assert "nothing that is kept is concerned" in capsys.readouterr().out
    assert main(["diff", str(old), str(new)]) == 0
    printed = capsys.readouterr().out
    assert "moves from s3 eu to s3 eu-2" in printed
    assert "fill: a replica lacks objects" in printed
    assert main(["diff", str(old), str(new), "--strict", "--json"]) == 1
    plain: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert [change["kind"] for change in plain] == ["fill", "option"]
