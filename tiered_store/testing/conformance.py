"""
What every store must do, rule by rule.

.. code-block:: python

   class TestMyStore(StoreConformance):
       @pytest.fixture
       def store(self) -> Store:
           return MyStore(...)

The fixture gives a fresh, empty store for each test.  A rule that needs a verb
which the store does not declare (``capabilities()``) is waived: then the verb must
refuse, and the summary lists the waiver.
"""

from __future__ import annotations

import errno
import functools
import io
import pickle
import threading
import uuid

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tiered_store.body import Body
from tiered_store.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    ReadOnlyError,
    StoreError,
    UnsupportedError,
)
from tiered_store.events import Operation, Verb
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.tree import observe


KEY = Key("testing", 1234, 405, 640, "image/jpeg")
OTHER = Key("testing", 1234, 405, 641, "image/jpeg")
CONTENT = b"first line\nsecond line\n" + bytes(range(256))


@dataclass
class Ledger:
    """Which rules were tried on which suite, and which were waived and why."""

    tried: dict[str, set[str]] = field(default_factory=dict)
    waived: dict[str, dict[str, str]] = field(default_factory=dict)


LEDGER = Ledger()


def rule(identifier: str, *needs: Verb) -> Callable[[Any], Any]:
    """Mark a test as the rule *identifier*, which needs a store with the verbs."""

    def mark(test: Any) -> Any:
        @functools.wraps(test)
        def checked(self: Any, store: Store, *args: Any, **kwargs: Any) -> None:
            suite = f"{type(self).__name__} {store}"
            missing = [verb for verb in needs if verb not in store.capabilities()]
            if missing:
                for verb in missing:
                    _must_refuse(store, verb)
                reason = f"no {', '.join(missing)}"
                LEDGER.waived.setdefault(suite, {})[identifier] = reason
                return
            LEDGER.tried.setdefault(suite, set()).add(identifier)
            test(self, store, *args, **kwargs)

        checked.identifier = identifier  # type: ignore[attr-defined]  # for listings
        return checked

    return mark


def _must_refuse(store: Store, verb: Verb) -> None:
    calls: dict[str, Callable[[], object]] = {
        "put": lambda: store.put(KEY, Body.of(b"")),
        "get": lambda: store.get(KEY),
        "url": lambda: store.url(KEY),
        "delete": lambda: store.delete(KEY),
        "stat": lambda: store.stat(KEY),
        "keys": lambda: list(store.keys()),
    }
    with pytest.raises((UnsupportedError, ReadOnlyError)):
        calls[verb]()


class _Dripping(io.RawIOBase):
    """A source that cannot seek and gives a few bytes at a time, as a socket does."""

    def __init__(self, content: bytes, step: int = 7, fail_at: int | None = None):
        self._rest = io.BytesIO(content)
        self._step = step
        self._fail_at = fail_at

    def read(self, size: int = -1) -> bytes:
        if self._fail_at is not None and self._rest.tell() >= self._fail_at:
            raise ConnectionResetError("the client went away")
        limit = self._step if size < 0 else min(size, self._step)
        return self._rest.read(limit)

    def seekable(self) -> bool:
        return False


@dataclass
class _Image:
    object_type: str = "testing"
    object_id: int = 1234
    width: int = 405
    height: int = 640
    mimetype: str = "image/jpeg"
    original: bool = True
    created_at: datetime | None = datetime(2026, 11, 23, 1, 2, 3, 45)  # noqa: DTZ001, RUF100


def put(
    store: Store, content: bytes, key: Key = KEY, reproducible: bool = False
) -> None:
    """Store *content* through the contract."""
    store.put_file(io.BytesIO(content), *key, reproducible)


def get(store: Store, key: Key = KEY) -> bytes:
    """Return the content of *key* through the contract."""
    with store.get_file(*key) as file:
        return file.read()


def same(found: bytes, expected: bytes) -> bool:
    """Compare what is too large for a test runner to print the difference of."""
    return found == expected


class StoreConformance:
    """The rules; inherit, and give the fixture ``store``."""

    @pytest.fixture
    def store(self) -> Iterator[Store] | Store:
        """Return a fresh, empty store."""
        raise NotImplementedError("give your suite a fixture named store")

    # -- putting -------------------------------------------------------------

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
        store.put_file(_Dripping(CONTENT), *KEY, False)

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
            store.put_file(_Dripping(CONTENT, fail_at=40), *KEY, False)

        assert get(store) == b"old"

    @rule("C-PUT-07", "put", "get")
    def test_a_source_that_fails_creates_nothing(self, store: Store) -> None:
        """A first put that failed leaves the object absent."""
        with pytest.raises(ConnectionResetError):
            store.put_file(_Dripping(CONTENT, fail_at=40), *KEY, False)

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

        store.put_file(_Dripping(content, step=1 << 20), *KEY, False)

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

    # -- getting -------------------------------------------------------------

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

    # -- deleting ------------------------------------------------------------

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

    # -- URLs ----------------------------------------------------------------

    @rule("C-URL-01", "url")
    def test_a_url_may_name_what_is_missing(self, store: Store) -> None:
        """It is a string, made without looking."""
        url = store.get_url(*KEY)

        assert "://" in url or url.startswith("/")
        assert "405x640" in url

    @rule("C-URL-02", "url")
    def test_two_objects_have_two_urls(self, store: Store) -> None:
        """Also without what a signature adds."""
        urls = {store.get_url(*key).partition("?")[0] for key in (KEY, OTHER)}

        assert len(urls) == 2

    # -- keys ----------------------------------------------------------------

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

        assert get(store, key) == CONTENT
        assert get(store, neighbour) == b"neighbour"
        store.delete(key)
        with pytest.raises(NotFoundError):
            store.get(key)

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
        with pytest.raises(InvalidError) as raised:
            store.put_file(io.BytesIO(CONTENT), *values, False)

        assert not raised.value.failover

    @rule("C-KEY-03", "put", "get")
    def test_unknown_mimetypes_do_not_share_a_name(self, store: Store) -> None:
        """Two types that no table knows are two objects."""
        first = KEY._replace(mimetype="application/x-one")
        second = KEY._replace(mimetype="application/x-two")
        put(store, b"one", first)
        put(store, b"two", second)

        assert (get(store, first), get(store, second)) == (b"one", b"two")

    @rule("C-KEY-04", "get")
    def test_values_of_wrong_types_are_bugs(self, store: Store) -> None:
        """A TypeError passes through untouched."""
        with pytest.raises(TypeError):
            store.get_file("testing", None, 1, 1, "image/png")  # type: ignore[arg-type]

    # -- stat and keys -------------------------------------------------------

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

        assert set(listed) == keys
        assert len(listed) == len(keys)

    @rule("C-KEYS-02", "put", "keys")
    def test_keys_can_be_narrowed_by_type(self, store: Store) -> None:
        """By the start of the object type."""
        for kind in ("comics.cover", "comics.page", "comic", "user"):
            put(store, b"x", KEY._replace(object_type=kind))

        assert {key.object_type for key in store.keys("comics.")} == {
            "comics.cover",
            "comics.page",
        }

    # -- objects of the original library -------------------------------------

    @rule("C-IMG-01", "put", "get", "delete")
    def test_images_of_the_original_library_work(self, store: Store) -> None:
        """Anything with the attributes can be stored, opened and deleted."""
        image = _Image()

        store.store(image, io.BytesIO(CONTENT))

        with store.open(image, use_seek=True) as file:
            assert file.read() == CONTENT
        store.delete(image)
        with pytest.raises(OSError, match="testing/1234"):
            store.open(image)

    @rule("C-IMG-02", "url")
    def test_locate_tells_when_the_image_was_made(self, store: Store) -> None:
        """Unless the URL is signed, which another parameter would break."""
        url, located = store.get_url(*KEY), store.locate(_Image())

        if "Signature" in url:
            assert "_ts=" not in located
        else:
            mark = "&" if "?" in url else "?"
            assert located == f"{url}{mark}_ts=20261123010203000045"

    # -- threads -------------------------------------------------------------

    @rule("C-CON-01", "put", "get")
    def test_readers_see_whole_objects_during_writes(self, store: Store) -> None:
        """Writers of one key and its readers: every read is one put, whole."""
        contents = [bytes([number]) * (20_000 + number) for number in range(6)]
        put(store, contents[0])
        stop = threading.Event()

        def read_on() -> int:
            reads = 0
            while not stop.is_set():
                try:
                    found = get(store)
                    assert any(same(found, each) for each in contents)
                except ConflictError:
                    continue  # overtaken while reading, and told so
                reads += 1
            return reads

        with ThreadPoolExecutor(4) as threads:
            readers = [threads.submit(read_on) for _ in range(2)]
            try:
                list(threads.map(lambda content: put(store, content), contents * 3))
            finally:
                stop.set()
            assert all(reader.result() >= 0 for reader in readers)
        found = get(store)
        assert any(same(found, each) for each in contents)

    @rule("C-CON-02", "put", "get")
    def test_objects_do_not_mix_across_threads(self, store: Store) -> None:
        """Twenty objects from eight threads are twenty objects."""
        keys = [KEY._replace(object_id=number) for number in range(20)]

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda key: put(store, b"%d" % key.object_id, key), keys))
            found = list(threads.map(lambda key: get(store, key), keys))

        assert found == [b"%d" % number for number in range(20)]

    # -- errors, events, life ------------------------------------------------

    @rule("C-ERR-01", "get")
    def test_errors_name_store_and_object_and_travel(self, store: Store) -> None:
        """They say where, and survive a pickle."""
        with pytest.raises(NotFoundError) as raised:
            store.get_file(*KEY)

        copy = pickle.loads(pickle.dumps(raised.value))  # noqa: S301 - our own
        assert type(copy) is type(raised.value)
        assert str(copy) == str(raised.value)
        assert str(KEY) in str(copy)
        assert copy.store

    @rule("C-OBS-01", "put", "get")
    def test_operations_are_events(self, store: Store) -> None:
        """A listener hears of success and of absence, until it stops."""
        heard: list[Operation] = []

        def listen(event: object) -> None:
            if isinstance(event, Operation) and event.store == str(store):
                heard.append(event)

        stop = observe(store, listen)
        with pytest.raises(NotFoundError):
            store.get(OTHER)
        put(store, CONTENT)
        stop()
        put(store, CONTENT)

        outcomes = [(event.verb, event.outcome, event.size) for event in heard]
        assert ("get", "absent", None) in outcomes
        assert ("put", "ok", len(CONTENT)) in outcomes
        assert len([verb for verb, _, _ in outcomes if verb == "put"]) == 1

    @rule("C-LIFE-01")
    def test_a_store_closes_once(self, store: Store) -> None:
        """Closing again is fine, using it again is a bug."""
        store.close()
        store.close()

        with pytest.raises(ValueError, match="closed"):
            store.get_file(*KEY)
