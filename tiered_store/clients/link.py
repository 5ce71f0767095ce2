"""
One client of Redis for all threads of a process.
"""

from __future__ import annotations

import contextlib
import threading

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tiered_store import deadlines, lifecycle
from tiered_store.errors import DeadlineError, UnavailableError
from tiered_store.translation import translate
from tiered_store.translation.translate import family


_PAGE = 1000  # names a SCAN looks at; some 200 us of the server's only thread


class Link:
    """
    A client made when first needed, and made anew in a child process.

    Args:
        connect: Returns a client of redis-py, or one that behaves like it.
        patience: Seconds to wait while another thread connects.
    """

    def __init__(self, connect: Callable[[], Any], patience: float) -> None:
        self._connect = connect
        self._patience = patience
        self._client: Any = None
        self._closed = False
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Leave the parent's connections alone, and their locks, and make others."""
        self._inherited, self._client = self._client, None
        self._lock = threading.Lock()

    def command(self, *words: Any, **options: Any) -> Any:
        """
        Return the server's answer.

        A server that turns out to be a replica is left once, so that whoever became
        master is found; it has changed nothing, so nothing is done twice.

        Raises:
            DeadlineError: The caller's time is up; ambiguous if it may be done yet.
            StoreError: In our words; a bug passes as it is.
        """
        try:
            return self._attempt(words, options)
        except Exception as error:
            if not _demoted(error):
                raise
            pool = getattr(self._client, "connection_pool", None)
            if pool is not None:
                pool.disconnect(inuse_connections=False)
        return self._attempt(words, options)

    def names(self, pattern: str) -> Iterator[bytes]:
        """
        Yield the names that match the glob *pattern*, on every master of a Cluster.

        A name may come twice while the server resizes its table.
        """
        masters = getattr(self._made(), "get_primaries", None)
        for master in masters() if masters else (None,):
            where = {} if master is None else {"target_nodes": master}
            cursor: Any = 0
            while True:
                words = ("SCAN", cursor, "MATCH", pattern, "COUNT", _PAGE)
                cursor, page = self.command(*words, **where)
                if isinstance(cursor, Mapping):  # a Cluster's, by master
                    (cursor,) = cursor.values()
                yield from page
                if int(cursor) == 0:
                    break

    def close(self) -> None:
        """Close every connection; using it afterwards is a bug."""
        with self._lock:
            self._closed = True
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _attempt(self, words: tuple[Any, ...], options: dict[str, Any]) -> Any:
        client: Any = None
        try:
            client = self._made()
            return client.execute_command(*words, **options)
        except Exception as error:
            names = family(error)
            if "SlotNotCoveredError" in names:  # which the SDK believes for ever
                _refresh(client)
            elif "RedisClusterException" in names:
                self._forget(client)
            failure = translate(error)
            if failure is None:
                raise
            if isinstance(failure, UnavailableError) and deadlines.remaining() == 0:
                ambiguous = failure.ambiguous
                raise DeadlineError(_LATE, ambiguous=ambiguous) from error
            raise failure from error

    def _made(self) -> Any:
        client = self._client
        return self._make() if client is None else client

    def _make(self) -> Any:
        patience = deadlines.bounded(self._patience)
        if not self._lock.acquire(timeout=patience):
            raise UnavailableError("still connecting")
        try:
            if self._closed:
                raise ValueError("the link to the server is closed")
            if self._client is None:
                self._client = self._connect()
            return self._client
        finally:
            self._lock.release()

    def _forget(self, client: Any) -> None:
        """Begin again with the nodes that are configured: those it found are gone."""
        with self._lock:
            if client is None or self._client is not client:
                return
            self._client = None
        with contextlib.suppress(Exception):
            client.close()


_LATE = "the caller's time is up"


def _refresh(cluster: Any) -> None:
    with contextlib.suppress(Exception):  # there is an error to raise already
        cluster.nodes_manager.initialize()


def _demoted(error: Exception) -> bool:
    """Say whether a server answered that it is a replica, as Sentinel's client may."""
    cause = error.__cause__ or error
    seen = family(cause) | family(cause.__context__ or cause)
    return "ReadOnlyError" in seen
