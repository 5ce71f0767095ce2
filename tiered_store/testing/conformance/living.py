"""
Threads, errors, events, and the end of a store.
"""

from __future__ import annotations

import pickle
import threading

from concurrent.futures import ThreadPoolExecutor

import pytest

from tiered_store.errors import ConflictError, NotFoundError
from tiered_store.events import Operation
from tiered_store.store import Store
from tiered_store.testing.conformance.rule import rule
from tiered_store.testing.conformance.steps import CONTENT, KEY, OTHER, get, put, same
from tiered_store.tree import observe


class LivingRules:
    """Rules of a store among others."""

    @rule("C-CON-01", "put", "get")
    def test_readers_see_whole_objects_during_writes(self, store: Store) -> None:
        """Writers of one key and its readers: every read is one put, whole."""
        contents = [bytes([number]) * (20_000 + number) for number in range(6)]
        put(store, contents[0])
        stop = threading.Event()

        def read_on() -> None:
            while not stop.is_set():
                try:
                    found = get(store)
                    assert any(same(found, each) for each in contents)
                except ConflictError:
                    continue  # overtaken while reading, and told so

        with ThreadPoolExecutor(4) as threads:
            readers = [threads.submit(read_on) for _ in range(2)]
            try:
                list(threads.map(lambda content: put(store, content), contents * 3))
            finally:
                stop.set()
            for reader in readers:
                reader.result()  # raises what it saw
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
