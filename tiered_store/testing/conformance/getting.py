"""
What is got is a proper file of one version, and absence is told as such.
"""

from __future__ import annotations

import errno

import pytest

from tiered_store.errors import NotFoundError, StoreError
from tiered_store.store import Store
from tiered_store.testing.conformance.rule import rule
from tiered_store.testing.conformance.steps import CONTENT, KEY, OTHER, get, put, same


class GettingRules:
    """Rules of what is got, deleted and asked."""

    @rule("C-GET-01", "get")
    def test_absence_is_told_as_such(self, store: Store) -> None:
        """An OSError as the contract asks, of a kind that says what it is."""
        with pytest.raises(NotFoundError) as raised:
            store.get_file(*KEY)

        assert isinstance(raised.value, FileNotFoundError)
        assert raised.value.errno == errno.ENOENT
        assert not raised.value.retryable

    @rule("C-GET-02", "put", "get")
    def test_what_is_got_is_a_proper_file(self, store: Store) -> None:
        """Context manager, lines, read, readline, readlines, seek, tell."""
        put(store, b"one\ntwo\nthree")

        with store.get_file(*KEY) as file:
            assert file.readline() == b"one\n"
            assert file.tell() == 4
            assert file.readlines() == [b"two\n", b"three"]
            assert file.read() == b""
            assert file.seek(4) == 4
            assert list(file) == [b"two\n", b"three"]
            assert file.seek(-5, 2) == 8
            assert file.read(2) == b"th"
            assert file.seek(1, 1) == 11
            assert file.read() == b"ee"

    @rule("C-GET-03", "put", "get")
    def test_readers_do_not_disturb_each_other(self, store: Store) -> None:
        """Each has its own position."""
        put(store, CONTENT)

        with store.get_file(*KEY) as first, store.get_file(*KEY) as second:
            assert first.read(5) == CONTENT[:5]
            assert second.read() == CONTENT
            assert first.read() == CONTENT[5:]

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
        assert same(start + rest, old)

    @rule("C-GET-05", "put", "get")
    def test_a_file_closes_once_and_for_all(self, store: Store) -> None:
        """Closing twice is fine; reading afterwards is a bug."""
        put(store, CONTENT)
        file = store.get_file(*KEY)

        file.close()
        file.close()

        with pytest.raises(ValueError, match="closed"):
            file.read()

    @rule("C-GET-06", "put", "get")
    def test_a_body_can_be_opened_again_and_anywhere(self, store: Store) -> None:
        """Each opening is a fresh reader, at the offset asked for."""
        put(store, CONTENT)

        body = store.get(KEY)

        assert body.size == len(CONTENT)
        assert body.read() == CONTENT
        assert body.read() == CONTENT
        with body.open(offset=11) as file:
            assert file.read() == CONTENT[11:]

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

        with pytest.raises(NotFoundError):
            store.get_file(*KEY)
        put(store, b"again")
        assert get(store) == b"again"

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

        assert get(store, OTHER) == b"other"

    @rule("C-STAT-01", "put", "stat")
    def test_stat_tells_the_size(self, store: Store) -> None:
        """In bytes."""
        put(store, CONTENT)

        assert store.stat(KEY).size == len(CONTENT)

    @rule("C-STAT-02", "stat")
    def test_stat_of_the_absent_says_so(self, store: Store) -> None:
        """As get does."""
        with pytest.raises(NotFoundError):
            store.stat(KEY)
