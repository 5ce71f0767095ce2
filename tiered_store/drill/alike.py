"""
Places that somebody else keeps alike, as a bucket's own replication does.
"""

from __future__ import annotations

import threading

from collections.abc import Sequence

from tiered_store.body import Body
from tiered_store.drill.leaf import Leaf
from tiered_store.errors import NotFoundError
from tiered_store.key import Key


class Alike:
    """
    Give each of *leaves* what another one has taken.

    At once, for the drill asks what the stack makes of an outage, not how long the
    replication takes; to a leaf with a fault when that is over.
    """

    def __init__(self, leaves: Sequence[Leaf]) -> None:
        self._leaves = leaves
        self._lock = threading.Lock()
        self._missed: dict[int, dict[Key, Leaf]] = {id(leaf): {} for leaf in leaves}
        for leaf in leaves:
            leaf.changed = self._changed
            leaf.healing = self._healing

    def _changed(self, source: Leaf, key: Key) -> None:
        with self._lock:
            self._missed[id(source)].pop(key, None)  # it has something newer
            for leaf in self._leaves:
                if leaf is source:
                    continue
                if leaf.fault is None:
                    _copy(source, leaf, key)
                else:
                    self._missed[id(leaf)][key] = source

    def _healing(self, leaf: Leaf) -> None:
        with self._lock:
            missed = self._missed[id(leaf)]
            while missed:
                key, source = missed.popitem()
                _copy(source, leaf, key)


def _copy(source: Leaf, target: Leaf, key: Key) -> None:
    try:
        content = source.child.get(key).read()
    except NotFoundError:
        target.child.delete(key)
    else:
        target.child.put(key, Body.of(content))
