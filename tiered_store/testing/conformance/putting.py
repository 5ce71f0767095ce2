"""
What is put is there, whole, or the old object is.
"""

from __future__ import annotations

import io

from pathlib import Path

import pytest

from tiered_store.errors import NotFoundError
from tiered_store.store import Store
from tiered_store.testing.conformance.rule import rule
from tiered_store.testing.conformance.steps import (
    CONTENT,
    KEY,
    Dripping,
    get,
    put,
    same,
)


class PuttingRules:
    """Rules of what is put."""

    @rule("C-PUT-01", "put", "get")
    def test_what_is_put_can_be_got(self, store: Store) -> None:
        """The bytes come back as they were."""
        put(store, CONTENT)

        assert get(store) == CONTENT

    @rule("C-PUT-02", "put", "get")
    def test_a_put_replaces(self, store: Store) -> None:
        """The last put wins, whether longer or shorter."""
        for content in (CONTENT, b"short", CONTENT * 3):
            put(store, content)
            assert get(store) == content

    @rule("C-PUT-03", "put", "get")
    def test_a_put_starts_at_the_current_position(self, store: Store) -> None:
        """What the caller has already read is not stored."""
        file = io.BytesIO(b"header" + CONTENT)
        file.seek(6)

        store.put_file(file, *KEY, False)

        assert get(store) == CONTENT

    @rule("C-PUT-04", "put", "get")
    def test_a_short_read_is_not_the_end(self, store: Store) -> None:
        """A socket gives what it has; only an empty read ends a file."""
        store.put_file(Dripping(CONTENT), *KEY, False)

        assert get(store) == CONTENT

    @rule("C-PUT-05", "put", "get")
    def test_the_callers_file_stays_open(self, store: Store) -> None:
        """Whoever opened a file closes it."""
        file = io.BytesIO(CONTENT)

        store.put_file(file, *KEY, False)

        assert not file.closed

    @rule("C-PUT-06", "put", "get")
    def test_a_source_that_fails_leaves_the_old_object(self, store: Store) -> None:
        """A source's own error passes through, and nothing half-written is seen."""
        put(store, b"old")

        with pytest.raises(ConnectionResetError):
            store.put_file(Dripping(CONTENT, fail_at=40), *KEY, False)

        assert get(store) == b"old"

    @rule("C-PUT-07", "put", "get")
    def test_a_source_that_fails_creates_nothing(self, store: Store) -> None:
        """A first put that failed leaves the object absent."""
        with pytest.raises(ConnectionResetError):
            store.put_file(Dripping(CONTENT, fail_at=40), *KEY, False)

        with pytest.raises(NotFoundError):
            store.get_file(*KEY)

    @rule("C-PUT-08", "put", "get")
    def test_an_empty_object_is_an_object(self, store: Store) -> None:
        """No bytes are not absence."""
        put(store, b"")

        assert get(store) == b""

    @rule("C-PUT-09", "put", "get")
    def test_a_large_object_comes_back(self, store: Store) -> None:
        """Five mebibytes and one byte, an odd end for every block size."""
        content = bytes(range(256)) * 4096 * 5 + b"!"

        put(store, content)

        assert same(get(store), content)

    @rule("C-PUT-10", "put", "get")
    def test_a_source_beyond_the_spool_limit_comes_back(self, store: Store) -> None:
        """Nine mebibytes that cannot be rewound go through a temporary file."""
        content = bytes(range(256)) * 4096 * 9

        store.put_file(Dripping(content, step=1 << 20), *KEY, False)

        assert same(get(store), content)

    @rule("C-PUT-11", "put", "get")
    def test_a_file_on_disk_is_stored(self, store: Store, tmp_path: Path) -> None:
        """A real file, from where it stands, and it stays open."""
        (tmp_path / "picture").write_bytes(b"skipped" + CONTENT)
        with (tmp_path / "picture").open("rb") as file:
            file.seek(7)

            store.put_file(file, *KEY, False)

            assert not file.closed
        assert get(store) == CONTENT

    @rule("C-PUT-12", "put")
    def test_text_is_refused(self, store: Store) -> None:
        """A file opened as text is a bug of the caller, told as one."""
        with pytest.raises(TypeError, match="binary"):
            store.put_file(io.StringIO("text"), *KEY, False)

    @rule("C-PUT-13", "put", "get")
    def test_reproducible_objects_are_kept_too(self, store: Store) -> None:
        """Cheaper, perhaps, but they are there."""
        put(store, CONTENT, reproducible=True)

        assert get(store) == CONTENT
