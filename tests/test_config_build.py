"""Names are shared, nodes are private, attributes become wrappers, loops are found."""

from __future__ import annotations

import subprocess
import sys

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.configs import (
    CLOSED,
    REGISTRY,
    GroupStore,
    JournaledStore,
    LeafStore,
    NotesJournal,
    TieredStore,
    problems,
    written,
)
from tiered_store.backends.memory import MemoryStore
from tiered_store.config import Registry, build, check, load
from tiered_store.errors import ConfigError
from tiered_store.store import Store
from tiered_store.tiers.memory import MemoryTier
from tiered_store.tiers.store import StoreTier
from tiered_store.tree import walk
from tiered_store.wrappers.breaker import BreakerStore
from tiered_store.wrappers.limit import LimitStore
from tiered_store.wrappers.readonly import ReadOnlyStore
from tiered_store.wrappers.replicated import ReplicatedStore
from tiered_store.wrappers.retry import RetryStore
from tiered_store.wrappers.timeout import TimeoutStore


@pytest.fixture(autouse=True)
def _in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    CLOSED.clear()


def stack(stores: Mapping[str, Any], name: str | None = None, **others: Any) -> Any:
    """Return what is built of *stores*, the first one if no *name* is given."""
    mapping = {"version": 1, "default": next(iter(stores)), "stores": stores, **others}
    return build(mapping, name, registry=REGISTRY)


def refused(stores: Mapping[str, Any], **others: Any) -> list[str]:
    """Return what is wrong with *stores*."""
    with pytest.raises(ConfigError) as caught:
        stack(stores, **others)
    return list(caught.value.problems)


MEMORY = {"type": "memory"}
LEAF = {"type": "leaf", "bucket": "b"}


# -- names ---------------------------------------------------------------------


def test_name_is_one_shared_instance() -> None:
    """A name means identity, wherever it stands and in whatever order."""
    root = stack(
        {
            "images": {
                "type": "group",
                "stores": {"a": "shared", "b": {"type": "readonly", "child": "shared"}},
                "spare": "shared",
                "more": ["shared", "other"],
            },
            "other": {"type": "group", "spare": "shared"},
            "shared": MEMORY,
        }
    )
    shared = root.spare
    assert isinstance(shared, MemoryStore)
    assert root.stores["a"] is shared
    assert root.stores["b"].child is shared
    assert root.more[0] is shared
    assert root.more[1].spare is shared


def test_inline_node_is_private() -> None:
    """A node in place is nobody else's, even if YAML copied it."""
    written(
        """\
        version: 1
        default: images
        stores:
          images:
            type: group
            stores: {a: &node {type: memory}, b: *node}
        """
    )
    root = load("images.yml", registry=REGISTRY)
    assert isinstance(root, GroupStore)
    assert root.stores is not None
    assert root.stores["a"] is not root.stores["b"]


def test_two_loads_share_nothing() -> None:
    """Each load has stores of its own."""
    written(
        """\
        version: 1
        default: images
        journals: {drift: {type: notes, path: x}}
        stores:
          images: {type: group, stores: {a: left, b: right}}
          left: {type: journaled, journal: drift}
          right: {type: tiered, child: {type: memory}, tiers: [{type: memory}]}
        """
    )
    first, second = (load("images.yml", registry=REGISTRY) for _ in range(2))
    assert not {id(store) for store in walk(first)} & {
        id(store) for store in walk(second)
    }
    one, other = (
        store.journal
        for root in (first, second)
        for store in walk(root)
        if isinstance(store, JournaledStore)
    )
    assert one is not other


def test_stores_are_labelled_with_their_path() -> None:
    """Errors speak the operator's language: the path from the root."""
    root = stack(
        {
            "images": {"type": "group", "stores": {"us": "us-east"}, "spare": LEAF},
            "us-east": {**LEAF, "retry": 3, "limit": 2},
        }
    )
    assert {str(store) for store in walk(root)} == {
        "images",
        "images.us",
        "images.spare",
    }
    assert isinstance(root.stores["us"], RetryStore)


def test_only_what_is_reachable_is_built() -> None:
    """What the store does not stand on cannot keep it from being built."""
    stores = {
        "images": {"type": "readonly", "child": "bucket"},
        "bucket": MEMORY,
        "elsewhere": {"type": "leaf", "bucket": "${env:NOT_SET_ANYWHERE}"},
        "typo": {"type": "memry"},
    }
    assert isinstance(stack(stores), ReadOnlyStore)
    assert isinstance(stack(stores, "bucket"), MemoryStore)
    assert str(stack(stores, "bucket")) == "bucket"


def test_check_looks_everywhere() -> None:
    """A check tells of every store and journal, reachable or not."""
    assert problems(
        """\
        version: 1
        default: images
        stores:
          images: {type: memory}
          typo: {type: memry}
        journals:
          drift: {type: sqlit, path: x}
        """
    ) == [
        "images.yml:5:16 stores.typo.type: unknown store type 'memry'; "
        "did you mean 'memory'?",
        "images.yml:7:17 journals.drift.type: unknown journal type 'sqlit'; "
        "did you mean 'sqlite'?",
    ]


def test_store_by_name() -> None:
    """One file may hold several roots."""
    written("{version: 1, default: a, stores: {a: {type: memory}, b: {type: group}}}")
    assert isinstance(load("images.yml", "b", registry=REGISTRY), GroupStore)
    with pytest.raises(ConfigError) as caught:
        load("images.yml", "c", registry=REGISTRY)
    assert str(caught.value) == "images.yml: unknown store 'c'; known are: a, b"


def test_only_store_is_the_default() -> None:
    """With one store there is nothing to choose."""
    assert isinstance(build({"version": 1, "stores": {"a": MEMORY}}), MemoryStore)


# -- the top -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "{default: a, stores: {a: {type: memory}}}",
            [": missing 'version'; begin with version: 1"],
        ),
        (
            "{version: 2, stores: 3}",
            [":1:11 version: expected 1, got 2; write version: 1"],
        ),
        (
            "{version: 1, default: 5, stores: {5: {type: memory}}}",
            [":1:23 default: expected the name of a store, got 5; put it in quotes"],
        ),
        (
            "{version: '1', stores: 3}",
            [":1:11 version: expected 1, got '1'; write version: 1"],
        ),
        (
            "{version: true, stores: 3}",
            [":1:11 version: expected 1, got true; write version: 1"],
        ),
        ("version: 1", [": missing 'stores': what there is, by name"]),
        (
            "{version: 1, stores: [a]}",
            [":1:22 stores: expected a mapping by name, got a list"],
        ),
        (
            "{version: 1, stores: }",
            [":1:21 stores: expected a mapping by name, got nothing"],
        ),
        ("{version: 1, stores: {}}", [":1:22 stores: there must be at least one"]),
        (
            "{version: 1, stores: {a: {type: memory}}, journals: x}",
            [":1:53 journals: expected a mapping by name, got 'x'"],
        ),
        (
            "{version: 1, stores: {a: {type: memory}, b: {type: memory}}}",
            [": missing 'default': one of a, b"],
        ),
        (
            "{version: 1, default: c, stores: {ab: {type: memory}}}",
            [":1:23 default: unknown store 'c'; known are: ab"],
        ),
        (
            "{version: 1, default: 3, stores: {a: {type: memory}}}",
            [":1:23 default: expected the name of a store, got 3; put it in quotes"],
        ),
        (
            "{version: 1, default: {type: memory}, stores: {a: {type: memory}}}",
            [":1:23 default: expected the name of a store, got a mapping"],
        ),
        (
            "{version: 1, default: 'x y', stores: {x y: {type: memory}}}",
            [":1:39 stores.'x y': a name is made of letters, digits, '-' and '_'"],
        ),
        (
            "{version: 1, defualt: a, stores: {a: {type: memory}}}",
            [
                ":1:14 defualt: unknown key 'defualt'; did you mean 'default'? "
                "known are: version, default, stores, journals, controls, defaults, "
                "allow"
            ],
        ),
        (
            "[version, 1]",
            [
                ":1:1: expected a mapping with version, default and stores, "
                "got a list"
            ],
        ),
        (
            "hello",
            [
                ":1:1: expected a mapping with version, default and stores, "
                "got 'hello'"
            ],
        ),
        ("", [": empty; begin with version: 1"]),
        (
            "{version: 1, stores: {a: memory}}",
            [
                ":1:26 stores.a: expected a mapping with a type, got 'memory'; "
                "write {type: memory}"
            ],
        ),
        (
            "{version: 1, stores: {a: [x]}}",
            [":1:26 stores.a: expected a mapping with a type, got a list"],
        ),
        (
            "{version: 1, stores: {a: {type: [x]}}}",
            [":1:33 stores.a.type: expected the name of a store type, got a list"],
        ),
        (
            "{version: 1, stores: {a: {type: 3}}}",
            [":1:33 stores.a.type: expected the name of a store type, got 3"],
        ),
    ],
)  # fmt: skip
def test_wrong_top(text: str, said: list[str]) -> None:
    """A file is refused with its place, and loading says what checking says."""
    expected = [f"images.yml{line}" for line in said]
    assert problems(text) == expected
    with pytest.raises(ConfigError) as caught:
        load("images.yml", registry=REGISTRY)
    assert list(caught.value.problems) == expected


def test_missing_type() -> None:
    """A store without a type is told which ones there are."""
    assert refused({"a": {"path": "/x"}}) == [
        f"stores.a: missing 'type': one of {', '.join(REGISTRY.stores.words())}"
    ]


def test_misspelled_type() -> None:
    """The word ``type`` itself is a key like any other."""
    assert refused({"a": {"tpye": "leaf", "bucket": "b"}}) == [
        "stores.a.tpye: unknown key 'tpye'; did you mean 'type'?"
    ]


def test_unknown_names() -> None:
    """A name that nothing has is told which one may be meant."""
    assert refused(
        {
            "images": {
                "type": "group",
                "stores": {"us": "us-eest"},
                "spare": "nothing-alike",
                "more": ["US-EAST"],
            },
            "us-east": MEMORY,
        }
    ) == [
        "stores.images.stores.us: unknown store 'us-eest'; did you mean 'us-east'?",
        "stores.images.spare: unknown store 'nothing-alike'; "
        "known are: images, us-east",
        "stores.images.more[0]: unknown store 'US-EAST'; did you mean 'us-east'?",
    ]


def test_lists_of_names_are_cut() -> None:
    """A message does not repeat a whole file."""
    stores = {f"s{n}": MEMORY for n in range(200)}
    (said,) = refused({"a": {"type": "readonly", "child": "zzz"}, **stores})
    assert said.startswith("stores.a.child: unknown store 'zzz'; known are: a, s0, s1,")
    assert said.endswith(", s47, s48 and 151 more")


def test_part_that_is_neither_name_nor_node() -> None:
    """A number is no store, nor is a list."""
    assert refused({"a": {"type": "readonly", "child": 3}}) == [
        "stores.a.child: expected the name of a store, or a mapping with its type, "
        "got 3"
    ]
    assert refused({"a": {"type": "group", "spare": ["x"]}}) == [
        "stores.a.spare: expected the name of a store, or a mapping with its type, "
        "got a list"
    ]
    assert refused({"a": {"type": "group", "stores": MEMORY}}) == [
        "stores.a.stores.type: unknown store 'memory'; known are: a"
    ]


# -- loops ---------------------------------------------------------------------


def test_loop_is_told_as_a_path() -> None:
    """A store that stands on itself is said once, with the way round."""
    assert refused(
        {
            "images": {"type": "readonly", "child": "regions"},
            "regions": {"type": "group", "stores": {"us": "us", "own": "images"}},
            "us": MEMORY,
        }
    ) == ["stores.regions.stores.own: a loop: images -> regions -> images"]
    assert refused({"a": {"type": "readonly", "child": "a"}}) == [
        "stores.a.child: a loop: a -> a"
    ]


def test_loop_below() -> None:
    """The way round begins where it closes, not where the search began."""
    assert refused(
        {
            "images": {"type": "readonly", "child": "a"},
            "a": {"type": "readonly", "child": {"type": "readonly", "child": "b"}},
            "b": {"type": "readonly", "child": "a"},
        }
    ) == ["stores.b.child: a loop: a -> b -> a"]


def test_towers_are_bounded() -> None:
    """A chain of names cannot exhaust the stack."""
    stores: dict[str, Any] = {
        f"s{n}": {"type": "readonly", "child": f"s{n + 1}"} for n in range(2000)
    }
    stores["s2000"] = MEMORY
    assert refused(stores) == ["stores.s33: stacked more than 32 deep"]


# -- attributes ----------------------------------------------------------------


def test_attributes_become_wrappers_from_the_inside_out() -> None:
    """Leaf, limit, timeout, retry, breaker, however they are written."""
    root = stack(
        {
            "a": {
                "breaker": {"failures": 9, "open": "2s"},
                "retry": 4,
                "type": "leaf",
                "timeout": "5s",
                "limit": {"maximum": 7},
                "bucket": "b",
            }
        }
    )
    found = list(walk(root))
    assert [type(store) for store in found] == [
        BreakerStore,
        RetryStore,
        TimeoutStore,
        LimitStore,
        LeafStore,
    ]
    breaker, retry, timeout, limit, _ = found
    assert isinstance(breaker, BreakerStore)
    assert breaker.policy.failures == 9
    assert breaker.policy.open == 2.0
    assert isinstance(retry, RetryStore)
    assert retry.attempts == 4
    assert isinstance(timeout, TimeoutStore)
    assert timeout.seconds == 5.0
    assert isinstance(limit, LimitStore)
    assert limit.maximum == 7
    assert [store.transparent for store in found] == [True, True, True, True, False]
    assert {str(store) for store in found} == {"a"}


def test_attribute_with_its_defaults_or_none() -> None:
    """``true`` is a wrapper as it comes, ``false`` is none."""
    root = stack({"a": {**LEAF, "retry": True, "breaker": False}})
    assert [type(store) for store in walk(root)] == [RetryStore, LeafStore]
    assert root.attempts == 3
    root = stack({"a": {**LEAF, "retry": {}}})
    assert isinstance(root, RetryStore)


def test_attribute_that_is_the_constructors_own() -> None:
    """An option of that name is the constructor's, and no wrapper appears."""
    root = stack({"a": {"type": "group", "timeout": "3s", "limit": 2}})
    assert [type(store) for store in walk(root)] == [LimitStore, GroupStore]
    assert root.child.timeout == 3.0


def test_explicit_wrapper_is_no_attribute() -> None:
    """Written as a node it has a path of its own."""
    root = stack({"a": {"type": "retry", "attempts": 2, "child": LEAF}})
    assert not root.transparent
    assert [str(store) for store in walk(root)] == ["a", "a.child"]


def test_wrong_attributes() -> None:
    """What is wrong with an attribute is said there, even if its store fails too."""
    assert refused(
        {
            "a": {
                "type": "leaf",
                "limit": True,
                "timeout": "soon",
                "retry": {"attempts": 0},
                "breaker": {"failurs": 3},
            }
        }
    ) == [
        "stores.a: missing 'bucket': a text",
        "stores.a.limit: missing 'maximum': a whole number",
        "stores.a.timeout: expected a duration such as 250ms or 5m, got 'soon'",
        "stores.a.retry.attempts: must be at least 1, not 0",
        "stores.a.breaker.failurs: unknown key 'failurs'; did you mean 'failures'? "
        "known are: failures, ratio, slow_ratio, calls, window, slow, open, "
        "open_limit, probes, probe_lease",
    ]
    assert refused({"a": {**LEAF, "limit": None, "retry": [1]}}) == [
        "stores.a.limit: expected a whole number, got nothing",
        "stores.a.retry: expected a whole number, got a list",
    ]
    assert refused({"a": {**LEAF, "retry": 0}}) == [
        "stores.a.retry: attempts: must be at least 1, not 0"
    ]


def test_journals_and_tiers_have_no_attributes() -> None:
    """Only stores are wrapped."""
    assert refused(
        {
            "a": {
                "type": "journaled",
                "journal": {"type": "notes", "path": "x", "retry": 3},
            }
        }
    ) == [
        "stores.a.journal.retry: unknown key 'retry'; known are: path, rows",
    ]


# -- journals ------------------------------------------------------------------


def test_journal_in_place_and_by_name() -> None:
    """A journal is shared by its name, or private where it stands."""
    root = stack(
        {
            "a": {"type": "group", "stores": {"b": "b", "c": "c", "d": "d"}},
            "b": {"type": "journaled", "journal": "drift"},
            "c": {"type": "journaled", "journal": "drift"},
            "d": {"type": "journaled", "journal": {"type": "notes", "path": "y"}},
        },
        journals={"drift": {"type": "notes", "path": "x", "rows": 3}},
    )
    journals = [root.stores[name].journal for name in "bcd"]
    assert journals[0] is journals[1]
    assert journals[2] is not journals[0]
    assert [journal.path for journal in journals] == ["x", "x", "y"]
    assert journals[0].rows == 3


def test_checking_a_journal_makes_no_file() -> None:
    """Neither a check nor a load touches what it describes."""
    written(
        """\
        version: 1
        default: images
        journals: {drift: {type: sqlite, path: drift.db}}
        stores:
          images:
            type: replicated
            replicas: {us: {type: memory}, eu: {type: filesystem, path: eu}}
            quorum: 1
            journal: drift
        """
    )
    assert check("images.yml") == []
    root = load("images.yml")
    assert isinstance(root, ReplicatedStore)
    assert [path.name for path in Path().iterdir()] == ["images.yml"]
    root.close()


def test_quorum_without_a_journal() -> None:
    """What a constructor knows of its options together is said at the one it names."""
    (said,) = refused(
        {"a": {"type": "replicated", "quorum": 1, "replicas": {"x": LEAF, "y": LEAF}}}
    )
    assert said.startswith("stores.a.quorum: ")


def test_wrong_journals() -> None:
    """Journals are told like stores."""
    assert refused(
        {
            "a": {"type": "group", "stores": {"b": "b", "c": "c"}},
            "b": {"type": "journaled", "journal": "drfit"},
            "c": {"type": "journaled", "journal": {"type": "notes", "rows": "x"}},
        },
        journals={"drift": {"type": "notes", "path": "x"}},
    ) == [
        "stores.b.journal: unknown journal 'drfit'; did you mean 'drift'?",
        "stores.c.journal.rows: expected a whole number, got 'x'",
        "stores.c.journal: missing 'path': a text",
    ]
    assert refused({"a": {"type": "journaled", "journal": "x"}}) == [
        "stores.a.journal: unknown journal 'x'; none is known here"
    ]


# -- tiers ---------------------------------------------------------------------


def test_tiers() -> None:
    """A tier is memory, the name of a store, or any store with a tier's options."""
    root = stack(
        {
            "images": {
                "type": "tiered",
                "child": MEMORY,
                "tiers": [
                    {"type": "memory", "capacity": "1MiB", "ttl": "60s"},
                    "disk",
                    {"type": "leaf", "bucket": "b", "ttl": "1h", "capacity": "2MiB"},
                    {"type": "store", "store": "disk", "jitter": 0.5},
                    {"type": "group", "timeout": 3, "limit": 9, "breaker": None},
                ],
            },
            "disk": MEMORY,
        }
    )
    assert isinstance(root, TieredStore)
    memory, disk, leaf, again, group = root.tiers
    assert isinstance(memory, MemoryTier)
    assert (memory.capacity, memory.ttl) == (1024**2, 60.0)
    assert isinstance(disk, StoreTier)
    assert isinstance(again, StoreTier)
    assert again.jitter == 0.5
    assert inside(disk) is inside(again)
    assert isinstance(leaf, StoreTier)
    assert (leaf.ttl, leaf.capacity) == (3600.0, 2 * 1024**2)
    store = inside(leaf)
    assert isinstance(store, LeafStore)
    assert store.ttl is None  # both have it, so it is the tier's
    assert isinstance(group, StoreTier)
    assert group.breaker is None
    limit = inside(group)
    assert isinstance(limit, LimitStore)
    assert isinstance(limit.child, GroupStore)
    assert limit.child.timeout == 3.0


def inside(tier: StoreTier) -> Store:
    """Return the store that *tier* was given."""
    found = [store for store in walk(tier.store) if type(store).__name__ != "Guard"]
    return found[0]


def test_wrong_tiers() -> None:
    """Tiers are told where they stand, whichever half an option belongs to."""
    assert refused(
        {
            "images": {
                "type": "tiered",
                "child": MEMORY,
                "tiers": [
                    {"type": "memory", "capacity": 0},
                    "dsk",
                    {"type": "leaf", "ttl": "x", "bucket": 1},
                    {"type": "memry"},
                    {"type": ["memory"]},
                    {"type": "store"},
                    {"type": "readonly", "child": "disk", "jitter": 2},
                    {"type": "readonly", "child": "disk", "mode": 2},
                    3,
                ],
            },
            "disk": MEMORY,
        }
    ) == [
        "stores.images.tiers[0].capacity: must be positive, not 0",
        "stores.images.tiers[1]: unknown store 'dsk'; did you mean 'disk'?",
        "stores.images.tiers[2].bucket: expected a text, got 1; put it in quotes",
        "stores.images.tiers[2].ttl: expected a duration such as 250ms or 5m, got 'x'",
        "stores.images.tiers[3].type: unknown store type 'memry'; "
        "did you mean 'memory'?",
        "stores.images.tiers[4].type: expected the name of a store type, got a list",
        "stores.images.tiers[5]: missing 'store': "
        "the name of a store, or a mapping with its type",
        "stores.images.tiers[6].jitter: must be between 0 and 1, not 2.0",
        "stores.images.tiers[7].mode: unknown key 'mode'; known are: child, limit, "
        "timeout, retry, breaker, ttl, jitter, capacity, max_object",
        "stores.images.tiers[8]: expected the name of a tier, or a mapping with its "
        "type, got 3",
    ]


# -- what is left behind -------------------------------------------------------


def test_what_was_built_is_closed_when_something_is_wrong() -> None:
    """A failed load leaves nothing open."""
    refused(
        {
            "a": {"type": "group", "stores": {"b": "b"}, "spare": "nowhere"},
            "b": {"type": "closing", "name": "b", "child": MEMORY},
        }
    )
    assert CLOSED == ["b"]


def test_check_closes_what_it_built() -> None:
    """A check leaves nothing open, journals included."""
    made: list[NotesJournal] = []

    def noted(path: str) -> NotesJournal:
        made.append(NotesJournal(path))
        return made[-1]

    written(
        """\
        version: 1
        default: a
        stores:
          a: {type: closing, name: a, child: {type: closing, name: b, child: c}}
          c: {type: memory}
        journals:
          drift: {type: noted, path: x}
        """
    )
    registry = Registry(
        stores={"closing": "tests.configs:ClosingStore"}, journals={"noted": noted}
    )
    assert check("images.yml", registry=registry) == []
    assert sorted(CLOSED) == ["a", "b"]
    assert [journal.closed for journal in made] == [True]


def test_closing_the_root_closes_shared_stores_once() -> None:
    """Two names for one store close it once."""
    root = stack(
        {
            "a": {"type": "group", "stores": {"b": "b"}, "more": ["b", "c"]},
            "b": {"type": "closing", "name": "b", "child": MEMORY},
            "c": {"type": "readonly", "child": "b"},
        }
    )
    root.close()
    assert CLOSED == ["b"]


def test_checking_imports_no_sdk() -> None:
    """Neither an SDK nor a connection is needed to see what is wrong."""
    written(
        """\
        version: 1
        default: a
        stores:
          a: {type: cached, tiers: [{type: redis, url: "redis://x"}], origin: b}
          b: {type: s3, bucket: images, retry: {attempts: x}}
        """
    )
    code = (
        "import sys; from tiered_store.config import check\n"
        "print(len(check('images.yml')))\n"
        "print({'boto3', 'botocore', 'redis'} & sys.modules.keys())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split("\n")[:2] == ["1", "set()"]


def test_two_mirrors_do_not_share_a_journal(tmp_path) -> None:
    """Rows know replicas by name, so each would repair the other's objects."""
    journal = {"type": "sqlite", "path": str(tmp_path / "journal.db")}
    replicas = {"us": {"type": "memory"}, "eu": {"type": "memory"}}
    mirror = {"type": "replicated", "replicas": replicas, "journal": journal}
    top = {"type": "fallback", "stores": {"a": "a", "b": "b"}}
    stores = {"top": top, "a": mirror, "b": mirror}

    with pytest.raises(ConfigError) as raised:
        build({"version": 1, "default": "top", "stores": stores})

    [problem] = raised.value.problems
    assert problem == (
        "stores.b: its journal is that of stores.a already; give it its own"
    )


def told(stores: dict[str, Any]) -> list[str]:
    """Return what is wrong with *stores*, all of them in one stack."""
    top = {"type": "fallback", "stores": {name: name for name in stores}}
    try:
        build(
            {"version": 1, "default": "top", "stores": {"top": top, **stores}}
        ).close()
    except ConfigError as error:
        return list(error.problems)
    return []


def cached(origin: Any, *tiers: Any, **options: Any) -> dict[str, Any]:
    """Return a cache as a file describes it."""
    return {"type": "cached", "origin": origin, "tiers": list(tiers), **options}


MEMORY = {"type": "memory"}


def test_a_cache_shares_its_journal_with_nobody(tmp_path) -> None:
    """It would purge what a mirror is to repair, and another cache's objects."""
    journal = {"type": "sqlite", "path": str(tmp_path / "journal.db")}
    other = {"type": "sqlite", "path": str(tmp_path / "other.db")}
    mirror = {"type": "replicated", "replicas": {"us": MEMORY}, "journal": journal}
    cache = cached(MEMORY, MEMORY, journal=journal)

    problem = "stores.b: its journal is that of stores.a already; give it its own"
    assert told({"a": mirror, "b": cache}) == [problem]
    assert told({"a": cache, "b": cache}) == [problem]
    assert told({"a": mirror, "b": {**cache, "journal": other}}) == []


def test_two_origins_do_not_share_their_copies(tmp_path) -> None:
    """Copies have the names of the objects, so each would serve the other's."""
    us = {"type": "filesystem", "path": str(tmp_path / "us")}
    eu = {"type": "filesystem", "path": str(tmp_path / "eu")}
    redis = {"type": "redis", "url": "redis://x"}
    folder = {"type": "filesystem", "path": f"{tmp_path}/cache"}
    same = {"type": "filesystem", "path": f"{tmp_path}/x/../cache", "ttl": 60}
    problem = (
        "stores.b.tiers[0]: stores.a.tiers[0] keeps copies of another origin there, "
        "under the same names; give it a place or a prefix of its own"
    )
    inside = {"type": "prefixed", "prefix": "eu.", "child": eu}

    for tier, twin in ((redis, redis), (folder, same)):
        assert told({"a": cached(us, tier), "b": cached(eu, twin)}) == [problem]
        assert told({"a": cached(us, tier), "b": cached(us, twin)}) == []
        assert told({"a": cached(eu, tier), "b": cached(inside, twin)}) == [problem]
    apart = {**redis, "prefix": "eu:"}
    assert told({"a": cached(us, redis), "b": cached(eu, apart)}) == []
    assert told({"a": cached(us, MEMORY), "b": cached(eu, MEMORY)}) == []


def test_a_tier_does_not_lie_where_objects_are_kept(tmp_path) -> None:
    """It overwrites and drops whatever it finds there."""
    files = {"type": "filesystem", "path": str(tmp_path / "files")}
    problem = "objects are kept there, and it drops what it finds"

    assert told({"a": cached(files, {**files, "ttl": 60})}) == [
        f"stores.a.tiers[0]: {problem}"
    ]
    assert told({"a": cached("files", "files"), "files": files}) == [
        f"stores.a.tiers[0]: {problem}"
    ]
    mirror = {"type": "replicated", "replicas": {"us": files, "eu": MEMORY}}
    assert told({"a": cached(MEMORY, files), "b": mirror}) == [
        f"stores.a.tiers[0]: {problem}"
    ]
    apart = {"type": "prefixed", "prefix": "copies.", "child": files}
    assert told({"a": cached(files, apart)}) == []
    elsewhere = {"type": "filesystem", "path": str(tmp_path / "cache")}
    assert told({"a": cached(files, elsewhere)}) == []
