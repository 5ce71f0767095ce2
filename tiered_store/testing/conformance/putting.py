"""
What is put is there, whole, or the old object is.
"""

from __future__ import annotations

import io

from pathlib import Path

from tiered_store.errors import NotFoundError
from tiered_store.store import Store
from tiered_store.testing.conformance.rule import rule
from tiered_store.testing.conformance.steps import CONTENT, KEY, Dripping, put
from tiered_store.testing.conformance.verdict import expect, holds, refused


class PuttingRules:
    """Rules of what is put."""

    @rule("C-PUT-01", "put", "get")
    def test_what_is_put_can_be_got(self, store: Store) -> None:
        """The bytes come back as they were."""
        put(store, CONTENT)

        holds(store, CONTENT, "after its put")

    @rule("C-PUT-02", "put", "get")
    def test_a_put_replaces(self, store: Store) -> None:
        """The last put wins, whether longer or shorter."""
        for content in (CONTENT, b"short", CONTENT * 3):
            put(store, content)
            holds(store, content, "after a put over another object")

    @rule("C-PUT-03", "put", "get")
    def test_a_put_starts_at_the_current_position(self, store: Store) -> None:
        """What the caller has already read is not stored."""
        file = io.BytesIO(b"header" + CONTENT)
        file.seek(6)

        store.put_file(file, *KEY, False)

        holds(store, CONTENT, "after a put of a file that stood at byte 6")

    @rule("C-PUT-04", "put", "get")
    def test_a_short_read_is_not_the_end(self, store: Store) -> None:
        """A socket gives what it has; only an empty read ends a file."""
        store.put_file(Dripping(CONTENT), *KEY, False)

        holds(store, CONTENT, "after a put of a source that gives 7 bytes at a time")

    @rule("C-PUT-05", "put", "get")
    def test_the_callers_file_stays_open(self, store: Store) -> None:
        """Whoever opened a file closes it."""
        file = io.BytesIO(CONTENT)

        store.put_file(file, *KEY, False)

        expect(file.closed, False, "the caller's file is closed after its put")

    @rule("C-PUT-06", "put", "get")
    def test_a_source_that_fails_leaves_the_old_object(self, store: Store) -> None:
        """A source's own error passes through, and nothing half-written is seen."""
        put(store, b"old")

        _interrupted(store)

        holds(store, b"old", "after a put that failed half way")

    @rule("C-PUT-07", "put", "get")
    def test_a_source_that_fails_creates_nothing(self, store: Store) -> None:
        """A first put that failed leaves the object absent."""
        _interrupted(store)

        refused(
            NotFoundError,
            lambda: store.get_file(*KEY),
            f"get of {KEY}, whose only put failed half way",
        )

    @rule("C-PUT-08", "put", "get")
    def test_an_empty_object_is_an_object(self, store: Store) -> None:
        """No bytes are not absence."""
        put(store, b"")

        holds(store, b"", "after a put of no bytes")

    @rule("C-PUT-09", "put", "get")
    def test_a_large_object_comes_back(self, store: Store) -> None:
        """Five mebibytes and one byte, an odd end for every block size."""
        content = bytes(range(256)) * 4096 * 5 + b"!"

        put(store, content)

        holds(store, content, "after its put")

    @rule("C-PUT-10", "put", "get")
    def test_a_source_beyond_the_spool_limit_comes_back(self, store: Store) -> None:
        """Nine mebibytes that cannot be rewound go through a temporary file."""
        content = bytes(range(256)) * 4096 * 9

        store.put_file(Dripping(content, step=1 << 20), *KEY, False)

        holds(store, content, "after a put of a source that cannot seek")

    @rule("C-PUT-11", "put", "get")
    def test_a_file_on_disk_is_stored(self, store: Store, tmp_path: Path) -> None:
        """A real file, from where it stands, and it stays open."""
        (tmp_path / "picture").write_bytes(b"skipped" + CONTENT)
        with (tmp_path / "picture").open("rb") as file:
            file.seek(7)

            store.put_file(file, *KEY, False)

            expect(file.closed, False, "the caller's file is closed after its put")
        holds(store, CONTENT, "after a put of a file that stood at byte 7")

    @rule("C-PUT-12", "put")
    def test_text_is_refused(self, store: Store) -> None:
        """A file opened as text is a bug of the caller, told as one."""
        what = "put of a file of text"
        error = refused(
            TypeError, lambda: store.put_file(io.StringIO("text"), *KEY, False), what
        )

        expect("binary" in str(error), True, f"{what}: {error} names what is wanted")

    @rule("C-PUT-13", "put", "get")
    def test_reproducible_objects_are_kept_too(self, store: Store) -> None:
        """Cheaper, perhaps, but they are there."""
        put(store, CONTENT, reproducible=True)

        holds(store, CONTENT, "after its put with reproducible=True")


def _interrupted(store: Store) -> None:
    """Put an object whose source fails half way, with an error of its own."""
    refused(
        ConnectionResetError,
        lambda: store.put_file(Dripping(CONTENT, fail_at=40), *KEY, False),
        "put of a source that fails after 40 bytes",
    )
