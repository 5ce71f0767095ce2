"""The three faces of a store, and how it ends."""

from __future__ import annotations

import contextlib
import gc
import io
import weakref

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body, BytesBody
from tiered_store.deadlines import deadline
from tiered_store.errors import (
    ClosedError,
    DeadlineError,
    InvalidError,
    NotFoundError,
    UnsupportedError,
)
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.testing.conformance import StoreConformance
from tiered_store.wrapper import Wrapper
from tiered_store.wrappers.fallback import FallbackStore


KEY = Key("testing", 1, 2, 3, "image/png")


class Minimal(Store):
    """What an author writes at the least: four hooks."""

    def __init__(self) -> None:
        self.objects: dict[Key, bytes] = {}

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        self.objects[key] = body.read()

    def _get(self, key: Key) -> Body:
        if key not in self.objects:
            raise FileNotFoundError("not here")
        return Body.of(self.objects[key])

    def _url(self, key: Key) -> str:
        return f"https://minimal/{key.object_id}/{key.width}x{key.height}"

    def _delete(self, key: Key) -> None:
        if self.objects.pop(key, None) is None:
            raise FileNotFoundError("not here")


class TestMinimal(StoreConformance):
    @pytest.fixture
    def store(self) -> Store:
        return Minimal()


class TestWrapper(StoreConformance):
    @pytest.fixture
    def store(self) -> Store:
        return Wrapper(MemoryStore(base_url="https://memory/"))


class Counting(MemoryStore):
    """Counts how often it is closed, and may fail at it."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.closings = 0
        self.error = error

    def _close(self) -> None:
        self.closings += 1
        if self.error is not None:
            raise self.error


class Several(Wrapper):
    """Three children."""

    def __init__(self, *stores: Store) -> None:
        super().__init__(stores[0])
        self.stores = stores

    def children(self) -> Mapping[str, Store]:
        return {str(number): store for number, store in enumerate(self.stores)}


def test_a_shared_store_is_closed_once() -> None:
    """However many roles it has."""
    shared = Counting()
    root = Several(shared, Wrapper(shared), shared)

    root.close()
    root.close()

    assert shared.closings == 1


def test_every_store_is_closed_whatever_fails() -> None:
    """The failures are told together."""
    bad, worse, good = (
        Counting(OSError("bad")),
        Counting(ValueError("worse")),
        Counting(),
    )

    with pytest.raises(ExceptionGroup, match="not everything") as raised:
        Several(bad, worse, good).close()

    assert good.closings == 1
    assert len(raised.value.exceptions) == 2


def test_the_context_manager_closes() -> None:
    """What is underneath, too."""
    leaf = Counting()
    with FallbackStore({"leaf": leaf}) as store:
        store.put(KEY, Body.of(b"x"))

    assert leaf.closings == 1
    with pytest.raises(ClosedError, match="is closed"):
        leaf.get(KEY)


def test_nothing_begins_past_a_deadline() -> None:
    """Whatever store it is."""
    store = Minimal()
    with deadline(0), pytest.raises(DeadlineError):
        store.put(KEY, Body.of(b"x"))

    assert not store.objects


def test_a_store_that_cannot_list_says_so() -> None:
    """And declares it."""
    store = Minimal()

    assert "keys" not in store.capabilities()
    with pytest.raises(UnsupportedError):
        list(store.keys())


def test_an_author_may_raise_what_python_raises() -> None:
    """A FileNotFoundError is absence; a generator that fails half way is a failure."""

    class Listing(Minimal):
        def _keys(self, prefix: str) -> Iterator[Key]:
            yield KEY
            raise ConnectionResetError("gone")

    with pytest.raises(NotFoundError, match="not here"):
        Minimal().get(KEY)
    with pytest.raises(OSError, match="gone"):
        list(Listing().keys())


def test_a_failed_put_keeps_nothing_until_garbage_is_collected(tmp_path: Path) -> None:
    """Its body may be a file of gigabytes that has no name, or megabytes of memory."""

    class Broken(BytesBody):
        def open(self, offset: int = 0) -> io.BytesIO:
            raise InvalidError("it cannot be read")

        def read(self) -> bytes:
            raise InvalidError("it cannot be read")

    store = FileSystemStore(str(tmp_path / "disk"), create=True)
    body = Broken(b"content")
    kept = weakref.ref(body)
    gc.disable()
    try:
        with contextlib.suppress(InvalidError):
            store.put(KEY, body, reproducible=False)
        del body
        assert kept() is None
    finally:
        gc.enable()
