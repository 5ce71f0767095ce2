"""
Keep objects in this process's memory.

.. code-block:: yaml

   type: memory
   capacity: 256MiB

For tests, demos and the upper half of an overlay.  It is a store and not a cache:
one that is full refuses, it never evicts what it has acknowledged.
"""

from __future__ import annotations

import itertools
import threading
import time

from collections.abc import Iterator
from typing import NamedTuple

from tiered_store import lifecycle
from tiered_store.body import Body, BytesBody, Stat
from tiered_store.errors import (
    ConfigError,
    FullError,
    NotFoundError,
    TooLargeError,
    UnsupportedError,
)
from tiered_store.events import Verb
from tiered_store.key import Key
from tiered_store.layout import object_name
from tiered_store.store import Store
from tiered_store.units import MIB, Size
from tiered_store.urls import join_url


class _Object(NamedTuple):
    content: bytes
    version: str
    modified: float
    reproducible: bool


class MemoryStore(Store):
    """
    Objects in a dictionary.

    Args:
        capacity: Bytes of all bodies together.
        base_url: Where somebody serves them; without it there are no URLs.

    Raises:
        FullError: A put that would exceed *capacity*; the old object stays.
        TooLargeError: A body that exceeds it alone.
        ConfigError: *capacity* is negative.
    """

    def __init__(
        self, *, capacity: Size = 256 * MIB, base_url: str | None = None
    ) -> None:
        if capacity < 0:
            raise ConfigError(f"capacity: must not be negative, not {capacity!r}")
        self.capacity = capacity
        self.base_url = base_url
        self._objects: dict[Key, _Object] = {}
        self._versions = itertools.count(1)
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Take a lock of one's own; the objects are the child's copies."""
        self._lock = threading.Lock()
        # another thread may have been about to write it down
        self._size = sum(len(known.content) for known in self._objects.values())

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        if body.size > self.capacity:
            raise TooLargeError(
                f"{body.size} bytes exceed the capacity {self.capacity}"
            )
        content = body.read()
        with self._lock:
            old = self._objects.get(key)
            size = self._size + len(content) - (len(old.content) if old else 0)
            if size > self.capacity:
                raise FullError(
                    f"{len(content)} bytes do not fit: {self._size} of "
                    f"{self.capacity} are in use"
                )
            version = str(next(self._versions))
            self._objects[key] = _Object(content, version, time.time(), reproducible)
            self._size = size

    def _get(self, key: Key) -> Body:
        found = self._found(key)
        body = BytesBody(found.content, found.version, found.modified)
        body.reproducible = found.reproducible
        return body

    def _stat(self, key: Key) -> Stat:
        found = self._found(key)
        return Stat(len(found.content), found.version, found.modified)

    def _found(self, key: Key) -> _Object:
        try:
            return self._objects[key]
        except KeyError:
            raise NotFoundError("no such object") from None

    def _url(self, key: Key) -> str:
        if self.base_url is None:
            raise UnsupportedError("objects in memory have no URL; give a base_url")
        return join_url(self.base_url, object_name(key))

    def _delete(self, key: Key) -> None:
        with self._lock:
            old = self._objects.pop(key, None)
            if old is not None:
                self._size -= len(old.content)

    def lingers(self) -> bool:
        """It does not: what is not done when a process dies never is."""
        return False

    def _keys(self, prefix: str) -> Iterator[Key]:
        for key in list(self._objects):
            if key.object_type.startswith(prefix):
                yield key

    def capabilities(self) -> frozenset[Verb]:
        """Everything, URLs only with a *base_url*."""
        able = super().capabilities()
        return able if self.base_url is not None else able - {"url"}
