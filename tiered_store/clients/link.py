"""
One client of Redis for all threads of a process.
"""

from __future__ import annotations

import contextlib
import threading

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tiered_store import deadlines, lifecycle
from tiered_store.errors import ClosedError, DeadlineError, StoreError, UnavailableError
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
        masters = getattr(self.client(), "get_primaries", None)
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

    def client(self) -> Any:
        """Return the client; for a Cluster, making it does I/O."""
        client = self._client
        return self._make() if client is None else client

    @property
    def made(self) -> Any:
        """The client, or None if there is none yet."""
        return self._client

    def dial(self, **options: Any) -> Any:
        """
        Return a new connection, not connected yet and no pool's.

        In a Cluster it is to any of the nodes.

        Args:
            options: Of the connection, instead of those that the pool gives.
        """
        client = self.client()
        if hasattr(client, "get_random_node"):
            client = client.get_redis_connection(client.get_random_node())
        return unpooled(client, **options)

    def close(self) -> None:
        """Close every connection; using it afterwards is a bug."""
        with self._lock:
            self._closed = True
            client, self._client = self._client, None
        if client is not None:
            _close(client)

    def forget(self, client: Any) -> None:
        """Begin again with the nodes that are configured: those it found are gone."""
        with self._lock:
            if client is None or self._client is not client:
                return
            self._client = None
        with contextlib.suppress(Exception):
            _close(client)

    def _attempt(self, words: tuple[Any, ...], options: dict[str, Any]) -> Any:
        client: Any = None
        try:
            client = self.client()
            return client.execute_command(*words, **options)
        except Exception as error:
            names = family(error)
            if "SlotNotCoveredError" in names:  # which the SDK believes for ever
                _refresh(client)
            elif "RedisClusterException" in names:
                self.forget(client)
            failure = failure_of(error)
            if failure is None or failure is error:
                raise
            raise failure from error

    def _make(self) -> Any:
        patience = deadlines.bounded(self._patience)
        if not self._lock.acquire(timeout=patience):
            raise UnavailableError("still connecting")
        try:
            if self._closed:
                raise ClosedError("the link to the server is closed")
            if self._client is None:
                self._client = self._connect()
            return self._client
        except Exception as error:
            failure = failure_of(error)
            if failure is None or failure is error:
                raise
            raise failure from error
        finally:
            self._lock.release()


def failure_of(error: Exception) -> StoreError | None:
    """Return what *error* means while a caller waits, or None if it is a bug."""
    failure = translate(error)
    if isinstance(failure, UnavailableError) and deadlines.remaining() == 0:
        late = DeadlineError("the caller's time is up", ambiguous=failure.ambiguous)
        late.__cause__ = error
        return late
    return failure


def unpooled(client: Any, **options: Any) -> Any:
    """Return a connection as those of the pool of *client*, but not of it."""
    pool = client.connection_pool
    return pool.connection_class(**{**pool.connection_kwargs, **options})


def _close(client: Any) -> None:
    if hasattr(client, "disconnect_connection_pools"):
        client.disconnect_connection_pools()  # as closing a Cluster does not
    client.close()


def _refresh(cluster: Any) -> None:
    with contextlib.suppress(Exception):  # there is an error to raise already
        cluster.nodes_manager.initialize()


def _demoted(error: Exception) -> bool:
    """Say whether a server answered that it is a replica, as Sentinel's client may."""
    cause = error.__cause__ or error
    seen = family(cause) | family(cause.__context__ or cause)
    return "ReadOnlyError" in seen
