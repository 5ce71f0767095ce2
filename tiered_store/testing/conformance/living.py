"""
Threads, errors, events, and the end of a store.
"""

from __future__ import annotations

import pickle
import threading

from concurrent.futures import ThreadPoolExecutor

from tiered_store.errors import ConflictError, NotFoundError
from tiered_store.events import Operation
from tiered_store.store import Store
from tiered_store.testing.conformance.rule import rule
from tiered_store.testing.conformance.steps import CONTENT, KEY, OTHER, get, put
from tiered_store.testing.conformance.verdict import alike, broken, expect, refused
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
                    _one_of(contents, found)
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
        _one_of(contents, get(store))

    @rule("C-CON-02", "put", "get")
    def test_objects_do_not_mix_across_threads(self, store: Store) -> None:
        """Twenty objects from eight threads are twenty objects."""
        keys = [KEY._replace(object_id=number) for number in range(20)]

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda key: put(store, b"%d" % key.object_id, key), keys))
            found = list(threads.map(lambda key: get(store, key), keys))

        wanted = [b"%d" % number for number in range(20)]
        expect(found, wanted, "twenty objects from eight threads, by their numbers")

    @rule("C-ERR-01", "get")
    def test_errors_name_store_and_object_and_travel(self, store: Store) -> None:
        """They say where, and survive a pickle."""
        what = f"get of {KEY}, which was never put"
        error = refused(NotFoundError, lambda: store.get_file(*KEY), what)

        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
        expect(type(copy), type(error), f"{what}: the error's type after a pickle")
        expect(str(copy), str(error), f"{what}: the error after a pickle")
        expect(str(KEY) in str(copy), True, f"{what}: {error} names the object")
        expect(bool(copy.store), True, f"{what}: the error says which store it was")

    @rule("C-OBS-01", "put", "get")
    def test_operations_are_events(self, store: Store) -> None:
        """A listener hears of success and of absence, until it stops."""
        heard: list[Operation] = []

        def listen(event: object) -> None:
            if isinstance(event, Operation) and event.store == str(store):
                heard.append(event)

        stop = observe(store, listen)
        refused(NotFoundError, lambda: store.get(OTHER), f"get of {OTHER}, never put")
        put(store, CONTENT)
        stop()
        put(store, CONTENT)

        outcomes = [(event.verb, event.outcome, event.size) for event in heard]
        heard_of = f"is told to listeners, which heard {outcomes}"
        absent, stored = ("get", "absent", None), ("put", "ok", len(CONTENT))
        expect(absent in outcomes, True, f"absence {heard_of}")
        expect(stored in outcomes, True, f"a put of {len(CONTENT)} bytes {heard_of}")
        puts = [verb for verb, _, _ in outcomes if verb == "put"]
        expect(len(puts), 1, "events of puts, one of two being after the end")

    @rule("C-LIFE-01")
    def test_a_store_closes_once(self, store: Store) -> None:
        """Closing again is fine, using it again is a bug."""
        store.close()
        store.close()

        refused(ValueError, lambda: store.get_file(*KEY), "get after close()")


def _one_of(contents: list[bytes], found: bytes) -> None:
    """Break the rule unless *found* is one of *contents*, as a whole."""
    if found not in contents:
        nearest = max(contents, key=lambda each: alike(found, each))
        broken("a read beside writes is none of what was put", found, nearest)
