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


def test_nothing_is_said_of_a_file_that_is_wrong() -> None:
    """What is wrong comes first: half a stack hurts in ways that nobody meant."""
    problems, found = examine(
        written("{version: 1, default: a, stores: {a: {type: x}, b: {type: memory}}}"),
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
