"""
Connections to the nodes of a Cluster, each asked for what it serves.
"""

from __future__ import annotations

import threading

from collections.abc import Callable, Sequence
from typing import Any

from tiered_store import lifecycle
from tiered_store.clients.lines import Lines
from tiered_store.clients.link import Link, failure_of, unpooled
from tiered_store.clients.shield import Shield
from tiered_store.clients.wire import Command
from tiered_store.errors import StoreError, UnavailableError
from tiered_store.policies.breaker import CircuitOpenError
from tiered_store.policies.circuit import Circuit
from tiered_store.translation.translate import family


class Routed:
    """
    The nodes of a Cluster, each behind a breaker of its own.

    Args:
        link: Knows which node serves what.
        lines: Makes what is used for one node, of what makes a connection to it.
        circuit: Around asking who the nodes are.
    """

    def __init__(
        self,
        link: Link,
        lines: Callable[[Callable[[], Any]], Lines],
        circuit: Circuit | None = None,
    ) -> None:
        self._link = link
        self._lines = lines
        self._shield = Shield(circuit)
        self._nodes: dict[str, Lines] = {}
        self._doubtful = False
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Take a lock of one's own; the lines look after themselves."""
        self._lock = threading.Lock()

    def ask(
        self, name: str, commands: Sequence[Command], run: bytes | None = None
    ) -> tuple[list[Any], bytes]:
        """
        Return the answer to each of *commands*, all about what *name* is placed by.

        While *name* moves from one node to another the answers are errors.
        """
        try:
            answers, told = self._serving(name).ask(name, commands, run)
            if any(map(_moved, answers)):
                self._doubtful = True
                self.tend()
                answers, told = self._serving(name).ask(name, commands, run)
        except UnavailableError as error:
            if not isinstance(error, CircuitOpenError):
                self._doubtful = True
            raise
        return answers, told

    def tend(self) -> None:
        """Ask who serves what now, if that has come into doubt; takes its time."""
        cluster = self._link.made
        if not self._doubtful or cluster is None:
            return
        self._doubtful = False
        try:
            cluster.nodes_manager.initialize()
        except Exception as error:  # noqa: BLE001 - the next call will tell
            if "RedisClusterException" in family(error):
                self._link.forget(cluster)

    def close(self) -> None:
        """Close every connection."""
        for lines in list(self._nodes.values()):
            lines.close()

    def _serving(self, name: str) -> Lines:
        cluster = self._link.made
        if cluster is None:
            cluster = self._shield.call(self._link.client)
        try:
            node = cluster.get_node_from_key(name)
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
            raise failure from error
        lines = self._nodes.get(node.name)
        if lines is None:
            with self._lock:
                lines = self._nodes.get(node.name)
                if lines is None:
                    lines = self._lines(
                        lambda: unpooled(cluster.get_redis_connection(node))
                    )
                    self._nodes[node.name] = lines
        return lines


def _moved(answer: Any) -> bool:
    return isinstance(answer, StoreError) and (
        "MovedError" in family(answer.__cause__ or answer)
    )
