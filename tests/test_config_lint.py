"""What is allowed and will hurt is told apart from what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.configs import REGISTRY, written
from tiered_store.config import examine


@pytest.fixture(autouse=True)
def _in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def warnings(text: str) -> list[str]:
    """Return what will hurt in a file of *text*, in which nothing is wrong."""
    problems, found = examine(written(text), registry=REGISTRY)
    assert problems == []
    return [str(finding) for finding in found]


def test_retry_above_retry() -> None:
    """The inner one never retries, whoever put it there."""
    assert warnings(
        """\
        version: 1
        default: images
        stores:
          images: {type: retry, child: a}
          a: {type: readonly, child: b}
          b: {type: memory, retry: {attempts: 2}}
        """
    ) == [
        "images.yml:6:21 stores.b.retry: never retries below stores.images; "
        "remove one of them [retry-above-retry]"
    ]


def test_one_retry_is_fine() -> None:
    """A retry on each of two paths is no retry above another."""
    assert (
        warnings(
            """\
            version: 1
            default: images
            stores:
              images: {type: group, stores: {a: a, b: b}}
              a: {type: memory, retry: 3}
              b: {type: memory, retry: 3}
            """
        )
        == []
    )


def test_fallback_without_timeout() -> None:
    """A store that hangs is no outage until somebody stops waiting."""
    assert warnings(
        """\
        version: 1
        default: images
        stores:
          images:
            type: fallback
            stores:
              us: {type: filesystem, path: /x}
              eu: {type: filesystem, path: /y, timeout: 5s}
              own: {type: group}
              memory: {type: memory}
        """
    ) == [
        "images.yml:4:3 stores.images: us has no timeout: while it hangs, so does "
        "every reader; say timeout: 5s there [fallback-without-timeout]"
    ]


def test_journal_in_memory() -> None:
    """What a replica missed must outlive the process."""
    assert warnings(
        """\
        version: 1
        stores:
          images:
            type: journaled
            journal: {type: memory}
        """
    ) == [
        "images.yml:5:5 stores.images.journal: what a replica missed is forgotten "
        "when this process ends, and no other process knows it; use type: sqlite "
        "[journal-in-memory]"
    ]


def cache(tiers: str, options: str = "", origin: str = "{type: memory}") -> list[str]:
    """Return what will hurt in a cache, as rules with the paths they are about."""
    found = warnings(
        f"""\
        version: 1
        stores:
          images: {{type: cached, tiers: {tiers}, origin: {origin}, {options}}}
        """
    )
    return [
        f"{finding.split(' ')[1].rstrip(':')} {finding.split('[')[-1].rstrip(']')}"
        for finding in found
    ]


REDIS = '{type: redis, url: "redis://x", ttl: 1d}'


def test_journal_in_memory_of_a_cache() -> None:
    """It has one without being told, and a durable one is what to ask for."""
    text = """\
        version: 1
        stores:
          images:
            type: cached
            tiers: [{type: memory, ttl: 60s}]
            origin: {type: memory}
            journal: JOURNAL
        """
    assert warnings(text.replace("JOURNAL", "{type: memory}")) == [
        "images.yml:7:5 stores.images.journal: a cache has one without being told; "
        "what a tier could not drop is forgotten when this process ends; use type: "
        "sqlite, or leave it out [journal-in-memory]"
    ]
    assert warnings(text.replace("JOURNAL", "{type: sqlite, path: /var/x}")) == []


def test_cached_without_ttl() -> None:
    """What another process writes is not seen, unless a tier is shared."""
    directory = "{type: filesystem, path: /x}"
    assert cache(f"[{{type: memory}}, {directory}]") == [
        "stores.images.tiers[0] cached-without-ttl",
        "stores.images.tiers[1] cached-without-ttl",
    ]
    assert cache(f"[{{type: memory}}, {REDIS}]") == []
    assert cache("[{type: memory, ttl: 60s}]") == []


def test_cluster_without_ttl() -> None:
    """Not every failover of a node is noticed, so something must end its copies."""
    assert cache('[{type: redis, mode: cluster, url: "redis://x"}]') == [
        "stores.images.tiers[0] cluster-without-ttl"
    ]
    assert cache('[{type: redis, mode: cluster, url: "redis://x", ttl: 1d}]') == []
    assert cache('[{type: redis, url: "redis://x"}]') == []


def test_redis_store_as_tier() -> None:
    """By its name it is a store, which tells nobody what is written."""
    text = """\
        version: 1
        default: images
        stores:
          images: {type: cached, tiers: TIERS, origin: {type: memory}}
          cache: {type: redis, url: "redis://x", retry: 2}
        """
    assert warnings(
        text.replace("TIERS", "[{type: store, store: cache, ttl: 1h}]")
    ) == [
        "images.yml:4:34 stores.images.tiers[0]: is a store like any other, by which "
        "no process hears of another's writes; write {type: redis, ...} in its place "
        "[redis-store-as-tier]"
    ]
    far = f"[{REDIS}, {{type: store, store: cache}}]"
    assert warnings(text.replace("TIERS", far)) == []


def test_memory_not_first() -> None:
    """Its hits ask nobody and take no lock, if nothing is before it."""
    assert cache(f"[{REDIS}, {{type: memory}}]") == [
        "stores.images.tiers[1] memory-not-first"
    ]


def test_tier_never_read() -> None:
    """A directory behind Redis is for what Redis does not take."""
    small = "{type: filesystem, path: /x, capacity: 16MiB}"
    large = "{type: filesystem, path: /x, capacity: 1GiB}"
    assert cache(f"[{REDIS}, {small}]") == ["stores.images.tiers[1] tier-never-read"]
    assert cache(f"[{REDIS}, {large}]") == []
    assert cache(f"[{small}, {REDIS}]") == []


@pytest.mark.parametrize(
    "option", ["stale_while_revalidate: 1m", "stale_if_error: 1h", "early_refresh: 1"]
)
def test_policy_without_ttl(option: str) -> None:
    """A copy that is never too old is neither refreshed nor served all the same."""
    redis = '{type: redis, url: "redis://x"}'
    assert cache(f"[{redis}]", option) == ["stores.images policy-without-ttl"]
    assert cache(f"[{{type: memory, ttl: 60s}}, {redis}]", option) == []


def test_reproducible_untold() -> None:
    """A directory does not remember what its files were put as."""
    option, redis = "cache: reproducible", f"[{REDIS}]"
    directory = "{type: filesystem, path: /x, timeout: 5s}"
    assert cache(redis, option, directory) == ["stores.images reproducible-untold"]
    assert cache(redis, "", directory) == []
    assert cache(redis, option, "{type: s3, bucket: images}") == []
    bucket = "{type: s3, bucket: images}"
    both = f"{{type: replicated, replicas: {{a: {bucket}, b: {directory}}}}}"
    assert cache(redis, option, both) == []


def test_shell_variable() -> None:
    """A text that is put together from outside is one's own affair; so is a secret."""
    text = """\
        version: 1
        stores:
          images:
            type: s3
            bucket: BUCKET
            access_key: A
            secret_key: "${env:HOME}$SECRET"
            prefix: $low/$$DOLLARS/$5
        """
    assert warnings(text.replace("BUCKET", "pictures")) == []
    assert warnings(
        """\
        version: 1
        default: images
        stores:
          images: {type: group, stores: {a: a, b: a}, more: [a]}
          a: {type: filesystem, path: &path $HOME/x, base_url: *path, timeout: 3s}
        """
    ) == [
        f"images.yml:5:{column} stores.a.{key}: $HOME is not put in; write "
        "${env:HOME} [shell-variable]"
        for column, key in ((25, "path"), (46, "base_url"))
    ]


def test_never_used() -> None:
    """What nobody refers to is a mistake, or loaded by name."""
    assert warnings(
        """\
        version: 1
        default: images
        stores:
          images: {type: readonly, child: a}
          a: {type: memory}
          b: {type: memory}
        journals:
          drift: {type: notes, path: x}
        """
    ) == [
        "images.yml:6:3 stores.b: never used by any store; remove it or load it by "
        "name [never-used]",
        "images.yml:8:3 journals.drift: never used by any store; remove it "
        "[never-used]",
    ]


def unused(text: str) -> list[str]:
    """Return what is told as never used in a file of *text*, which is wrong."""
    problems, found = examine(written(text), registry=REGISTRY)
    assert problems
    return [finding.path for finding in found if finding.rule == "never-used"]


def test_what_is_never_used_is_told_with_what_is_wrong() -> None:
    """A file is mended once: nothing that is known waits for the next look."""
    assert unused(
        """\
        version: 1
        default: images
        stores:
          images: {type: readonly, child: a, nosuch: 1}
          a: {type: filesystem, path: "${env:NO_SUCH_VARIABLE}"}
          b: {type: memory}
        journals:
          drift: {type: notes, path: x}
        """
    ) == ["stores.b", "journals.drift"]


@pytest.mark.parametrize(
    "images",
    [
        "{type: readonli, child: other}",
        "{type: readonly, chld: other}",
        "{type: readonly, child: othr}",
        '{type: readonli, child: "${env:NO_SUCH_VARIABLE:-other}"}',
        '{type: readonly, child: "${env:NO_SUCH_VARIABLE}"}',
        "{preset: nosuch, origin: other}",
    ],
)
def test_what_may_be_used_is_not_told_as_unused(images: str) -> None:
    """Who follows the advice would remove what a misspelled line refers to."""
    stores = f"{{images: {images}, other: {{type: memory}}}}"
    assert unused(f"{{version: 1, default: images, stores: {stores}}}") == []
    assert unused(f"{{version: 1, default: imags, stores: {stores}}}") == []


def test_a_default_that_is_misspelled_hides_nothing() -> None:
    """Nor one that is missing, of what can be no default."""
    text = """\
        version: 1
        default: DEFAULT
        stores:
          images: {type: readonly, child: a}
          a: {type: memory}
          b: {type: memory}
        journals:
          drift: {type: notes, path: x}
        """
    assert unused(text.replace("DEFAULT", "imges")) == ["stores.b", "journals.drift"]
    assert unused(text.replace("DEFAULT", "xyz")) == ["journals.drift"]
    assert unused(text.replace("default: DEFAULT", "")) == ["journals.drift"]


def test_a_secret_among_defaults_is_told_once() -> None:
    """However many nodes have it, none included."""
    for stores in ("a: {type: memory}", "a: {type: s3, bucket: b, retry: 3}"):
        (line,) = warnings(
            f"""\
            version: 1
            defaults: {{stores: {{s3: {{access_key: A, secret_key: hunter2}}}}}}
            stores: {{{stores}}}
            """
        )
        assert line.startswith("images.yml:2:41 defaults.stores.s3.secret_key")


def test_half_a_stack_is_not_said_to_hurt() -> None:
    """It does so in ways that nobody meant, and allows what is not there."""
    problems, found = examine(
        written(
            """\
            version: 1
            default: images
            stores:
              images: {type: cached, tiers: [{type: memory}], origin: a}
              a: {type: nosuch, allow: {plain-http: a test}}
            """
        ),
        registry=REGISTRY,
    )
    assert len(problems) == 1
    assert found == []


def test_finding_is_data() -> None:
    """Who silences one needs its rule, and an editor its place."""
    _, (finding,) = examine(
        written(
            "{version: 1, default: a, stores: {a: {type: memory}, b: {type: memory}}}"
        )
    )
    assert finding.rule == "never-used"
    assert finding.path == "stores.b"
    assert (finding.place.line, finding.place.column) == (1, 54)  # type: ignore[union-attr] # of a file
