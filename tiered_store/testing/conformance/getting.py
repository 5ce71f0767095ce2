"""
What is got is a proper file of one version, and absence is told as such.
"""

from __future__ import annotations

import errno

from tiered_store.errors import NotFoundError, StoreError
from tiered_store.store import Store
from tiered_store.testing.conformance.rule import rule
from tiered_store.testing.conformance.steps import CONTENT, KEY, OTHER, put
from tiered_store.testing.conformance.verdict import expect, holds, refused


class GettingRules:
    """Rules of what is got, deleted and asked."""

    @rule("C-GET-01", "get")
    def test_absence_is_told_as_such(self, store: Store) -> None:
        """An OSError as the contract asks, of a kind that says what it is."""
        what = f"get of {KEY}, which was never put"
        error = refused(NotFoundError, lambda: store.get_file(*KEY), what)

        expect(error.errno, errno.ENOENT, f"{what}: errno")
        expect(error.retryable, False, f"{what}: retryable")

    @rule("C-GET-02", "put", "get")
    def test_what_is_got_is_a_proper_file(self, store: Store) -> None:
        """Context manager, lines, read, readline, readlines, seek, tell."""
        put(store, b"one\ntwo\nthree")

        with store.get_file(*KEY) as file:
            expect(file.readline(), b"one\n", "readline()")
            expect(file.tell(), 4, "tell() after the first line")
            expect(file.readlines(), [b"two\n", b"three"], "readlines() after it")
            expect(file.read(), b"", "read() at the end")
            expect(file.seek(4), 4, "seek(4)")
            expect(list(file), [b"two\n", b"three"], "the lines from there on")
            expect(file.seek(-5, 2), 8, "seek(-5, 2) of 13 bytes")
            expect(file.read(2), b"th", "read(2) there")
            expect(file.seek(1, 1), 11, "seek(1, 1) after it")
            expect(file.read(), b"ee", "read() there")

    @rule("C-GET-03", "put", "get")
    def test_readers_do_not_disturb_each_other(self, store: Store) -> None:
        """Each has its own position."""
        put(store, CONTENT)

        with store.get_file(*KEY) as first, store.get_file(*KEY) as second:
            expect(first.read(5), CONTENT[:5], "five bytes of one reader")
            expect(second.read(), CONTENT, "all bytes of another reader, opened then")
            expect(first.read(), CONTENT[5:], "the rest of the first reader")

    @rule("C-GET-04", "put", "get")
    def test_a_reader_never_sees_two_versions(self, store: Store) -> None:
        """A reader that was overtaken goes on with its version, or fails loudly."""
        old, new = b"o" * 300_000, b"n" * 300_000
        put(store, old)

        with store.get_file(*KEY) as file:
            start = file.read(10)
            put(store, new)
            try:
                rest = file.read()
            except StoreError:
                return
        expect(start + rest, old, "what a reader got that was overtaken by a put")

    @rule("C-GET-05", "put", "get")
    def test_a_file_closes_once_and_for_all(self, store: Store) -> None:
        """Closing twice is fine; reading afterwards is a bug."""
        put(store, CONTENT)
        file = store.get_file(*KEY)

        file.close()
        file.close()

        refused(ValueError, file.read, "read() of a file that is closed")

    @rule("C-GET-06", "put", "get")
    def test_a_body_can_be_opened_again_and_anywhere(self, store: Store) -> None:
        """Each opening is a fresh reader, at the offset asked for."""
        put(store, CONTENT)

        body = store.get(KEY)

        expect(body.size, len(CONTENT), "the body's size")
        expect(body.read(), CONTENT, "the body")
        expect(body.read(), CONTENT, "the body, read again")
        with body.open(offset=11) as file:
            expect(file.read(), CONTENT[11:], "the body, opened at byte 11")

    @rule("C-GET-07", "put", "get", "delete")
    def test_an_abandoned_body_holds_nothing(self, store: Store) -> None:
        """A body nobody reads does not keep the store from going on."""
        put(store, CONTENT)
        for _ in range(40):
            store.get(KEY)
            store.get_file(*KEY)

        store.delete(KEY)

    @rule("C-DEL-01", "put", "get", "delete")
    def test_what_is_deleted_is_absent(self, store: Store) -> None:
        """And a put brings it back."""
        put(store, CONTENT)

        store.delete_file(*KEY)

        what = f"get of {KEY}, which was deleted"
        refused(NotFoundError, lambda: store.get_file(*KEY), what)
        put(store, b"again")
        holds(store, b"again", "after a put over its delete")

    @rule("C-DEL-02", "delete")
    def test_deleting_the_absent_is_silence(self, store: Store) -> None:
        """The contract's word."""
        store.delete_file(*KEY)
        store.delete_file(*KEY)

    @rule("C-DEL-03", "put", "get", "delete")
    def test_a_delete_touches_one_object(self, store: Store) -> None:
        """Its neighbours stay."""
        put(store, CONTENT)
        put(store, b"other", OTHER)

        store.delete_file(*KEY)

        holds(store, b"other", f"after a delete of {KEY}", OTHER)

    @rule("C-STAT-01", "put", "stat")
    def test_stat_tells_the_size(self, store: Store) -> None:
        """In bytes."""
        put(store, CONTENT)

        expect(store.stat(KEY).size, len(CONTENT), f"stat of {KEY}: size")

    @rule("C-STAT-02", "stat")
    def test_stat_of_the_absent_says_so(self, store: Store) -> None:
        """As get does."""
        what = f"stat of {KEY}, which was never put"
        refused(NotFoundError, lambda: store.stat(KEY), what)
