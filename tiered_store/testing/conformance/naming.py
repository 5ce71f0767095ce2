"""
Every object has a name of its own, by which it is found, listed and linked.
"""

from __future__ import annotations

import io
import uuid

from typing import Any

import pytest

from tiered_store.errors import InvalidError, NotFoundError
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.testing.conformance.rule import rule
from tiered_store.testing.conformance.steps import CONTENT, KEY, OTHER, Image, put
from tiered_store.testing.conformance.verdict import expect, holds, refused


class NamingRules:
    """Rules of keys, lists and URLs."""

    @rule("C-URL-01", "url")
    def test_a_url_may_name_what_is_missing(self, store: Store) -> None:
        """It is a string, made without looking."""
        url = store.get_url(*KEY)

        absolute = "://" in url or url.startswith("/")
        expect(absolute, True, f"{url!r} is absolute")
        expect("405x640" in url, True, f"{url!r} names {KEY}")

    @rule("C-URL-02", "url")
    def test_two_objects_have_two_urls(self, store: Store) -> None:
        """Also without what a signature adds."""
        urls = {store.get_url(*key).partition("?")[0] for key in (KEY, OTHER)}

        expect(len(urls), 2, f"URLs of {KEY} and {OTHER}, which are {sorted(urls)}")

    @rule("C-KEY-01", "put", "get", "delete")
    @pytest.mark.parametrize(
        "key",
        [
            Key("comics.cover", 5, 30, 40, "image/png"),
            Key("uuid", uuid.UUID(int=2**128 - 1).int, 1, 1, "image/gif"),
            Key("negative", -7, 1, 1, "image/png"),
            Key("zero", 0, 0, 0, "image/webp"),
            Key("ünïcode 字", 1, 1, 1, "image/png"),
            Key("nested/type", 1, 1, 1, "image/png"),
            Key("100%?#&+", 1, 1, 1, "image/svg+xml"),
            Key("plain", 1, 1, 1, "application/x-nobody-knows"),
        ],
        ids=lambda key: key.object_type,
    )
    def test_unusual_keys_are_kept_apart(self, store: Store, key: Key) -> None:
        """Any integer, any printable type, any mimetype."""
        neighbour = key._replace(object_id=key.object_id + 1)
        put(store, CONTENT, key)
        put(store, b"neighbour", neighbour)

        holds(store, CONTENT, f"after a put of {neighbour}", key)
        holds(store, b"neighbour", "after its put", neighbour)
        store.delete(key)
        what = f"get of {key}, which was deleted"
        refused(NotFoundError, lambda: store.get(key), what)

    @rule("C-KEY-02", "put")
    @pytest.mark.parametrize(
        "values",
        [
            ("../escape", 1, 1, 1, "image/png"),
            ("..", 1, 1, 1, "image/png"),
            ("/absolute", 1, 1, 1, "image/png"),
            ("a//b", 1, 1, 1, "image/png"),
            ("a/./b", 1, 1, 1, "image/png"),
            ("a\\..\\b", 1, 1, 1, "image/png"),
            ("nul\0", 1, 1, 1, "image/png"),
            ("line\nbreak", 1, 1, 1, "image/png"),
            ("", 1, 1, 1, "image/png"),
            ("type", 1, 1, 1, ""),
            ("type", 1, 1, 1, "image/png\r\nX-Evil: yes"),
        ],
    )
    def test_hostile_values_are_refused(
        self, store: Store, values: tuple[str, int, int, int, str]
    ) -> None:
        """They are wrong everywhere, so nobody tries them elsewhere either."""
        what = f"put of {values}"
        error = refused(
            InvalidError,
            lambda: store.put_file(io.BytesIO(CONTENT), *values, False),
            what,
        )

        expect(error.failover, False, f"{what}: failover")

    @rule("C-KEY-03", "put", "get")
    def test_unknown_mimetypes_do_not_share_a_name(self, store: Store) -> None:
        """Two types that no table knows are two objects."""
        first = KEY._replace(mimetype="application/x-one")
        second = KEY._replace(mimetype="application/x-two")
        put(store, b"one", first)
        put(store, b"two", second)

        holds(store, b"one", f"after a put of {second}", first)
        holds(store, b"two", "after its put", second)

    @rule("C-KEY-04", "get")
    def test_values_of_wrong_types_are_bugs(self, store: Store) -> None:
        """A TypeError passes through untouched."""
        bug: Any = None
        refused(
            TypeError,
            lambda: store.get_file("testing", bug, 1, 1, "image/png"),
            "get of object_id=None",
        )

    @rule("C-KEYS-01", "put", "delete", "keys")
    def test_keys_lists_what_is_there(self, store: Store) -> None:
        """Each once, whatever its values, without what was deleted."""
        keys = {
            KEY,
            OTHER,
            Key("testing.more", -3, 1, 2, "image/png"),
            Key("a/b", 1001, 1, 2, "application/x-nobody-knows"),
        }
        for key in keys:
            put(store, b"x", key)
        gone = Key("testing", 9, 9, 9, "image/png")
        put(store, b"x", gone)
        store.delete(gone)

        listed = list(store.keys())

        expect(
            sorted(set(listed) - keys), [], "keys(): what is not there, or not any more"
        )
        expect(sorted(keys - set(listed)), [], "keys(): what is left out")
        expect(len(listed), len(keys), f"keys(): how many, each once, of {listed}")

    @rule("C-KEYS-02", "put", "keys")
    def test_keys_can_be_narrowed_by_type(self, store: Store) -> None:
        """By the start of the object type."""
        for kind in ("comics.cover", "comics.page", "comic", "user"):
            put(store, b"x", KEY._replace(object_type=kind))

        expect(
            sorted({key.object_type for key in store.keys("comics.")}),
            ["comics.cover", "comics.page"],
            "keys('comics.'): object types",
        )

    @rule("C-IMG-01", "put", "get", "delete")
    def test_images_of_the_original_library_work(self, store: Store) -> None:
        """Anything with the attributes can be stored, opened and deleted."""
        image = Image()

        store.store(image, io.BytesIO(CONTENT))

        with store.open(image, use_seek=True) as file:
            expect(file.read(), CONTENT, "open(image) after store(image, file)")
        store.delete(image)
        what = "open(image) after delete(image)"
        error = refused(OSError, lambda: store.open(image), what)
        expect("testing/1234" in str(error), True, f"{what}: {error} names the object")

    @rule("C-IMG-02", "url")
    def test_locate_tells_when_the_image_was_made(self, store: Store) -> None:
        """Unless the URL is signed, which another parameter would break."""
        url, located = store.get_url(*KEY), store.locate(Image())

        if "Signature" in url:
            expect(located, url, "locate(image), where URLs are signed")
        else:
            mark = "&" if "?" in url else "?"
            wanted = f"{url}{mark}_ts=20261123010203000045"
            expect(located, wanted, "locate(image)")
