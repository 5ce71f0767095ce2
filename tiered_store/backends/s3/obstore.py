"""
Reading objects with obstore, whose work is done in Rust.

It takes a tenth of the processor time that boto3 takes.  What it cannot do is left to
boto3: whatever is not in :data:`VERBS`, the ARNs of access points, prefixes with empty
segments, dots or control characters, credentials or a region that nobody has, user
metadata in another encoding than UTF-8, and a process whose parent has used it (its
threads do not survive a fork).  It follows redirects, and does not say so: what has no
ETag, or is a page, is asked for again with boto3, which follows none.  It compares no
checksums, which S3 tells of whole objects.
"""

from __future__ import annotations

import datetime
import functools
import importlib.util
import os
import time

from collections.abc import Callable
from typing import Any, TypeVar

from tiered_store import deadlines, lifecycle
from tiered_store.backends.s3.address import is_arn
from tiered_store.backends.s3.client import Client
from tiered_store.backends.s3.download import etag_in
from tiered_store.backends.s3.obstore_settings import new_store, unread, unsigned
from tiered_store.backends.s3.reading import REPRODUCIBLE, Meaning, Opened, Reading
from tiered_store.errors import DeadlineError, StoreError, UnavailableError
from tiered_store.events import Verb
from tiered_store.joint import Joint
from tiered_store.translation import obstore as translation
from tiered_store.units import MIB
from tiered_store.workers import Workers


#: What is done with it; all else is boto3's.
VERBS: frozenset[Verb] = frozenset({"get"})

_Result = TypeVar("_Result")
_AT_ONCE = 8 * MIB  # of a body, put together of pieces as they arrive
_SOON = 0.25  # seconds that more of them are waited for
_PIECE = 256 * 1024  # a smaller body is read when it is asked for, in one wait
_TIDIED = frozenset(("", ".", ".."))  # segments that it refuses, or leaves out
_AGAIN = 2  # times in a row
_MARK = "reproducible"  # of user metadata
_PAGE = "text/html"
_EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)  # of what is not told


def installed() -> bool:
    """Say whether obstore is there; it is not imported for that."""
    return importlib.util.find_spec("obstore") is not None


class ObstoreReading:
    """
    Reads what *client* would, with the same credentials.

    A caller with a deadline is not kept beyond it: then a thread waits for the answer,
    one of as many as there are connections; who finds none reads with *instead*.
    Bodies of up to 256 KiB are read at once, larger ones as they arrive.

    Args:
        prefix: Of every name.
        instead: Reads what this cannot.
    """

    def __init__(self, client: Client, prefix: str, instead: Reading) -> None:
        self._client = client
        segments = prefix.split("/")[:-1]
        nameable = prefix.isprintable() and _TIDIED.isdisjoint(segments)
        self._fits = nameable and not is_arn(client.bucket)
        self._instead = instead
        self._workers = Workers("tiered-store-s3-reads", client.connection.connections)
        self._making: Joint[Any] = Joint(
            "tiered-store-s3-reader", "a client is made", self._make
        )
        self._store: Any = None
        self._get: Callable[..., Any]

    def open(
        self, name: str, meaning: Meaning, *, etag: str | None = None, offset: int = 0
    ) -> Opened:
        store = self._ready()
        if store is None:
            return self._instead.open(name, meaning, etag=etag, offset=offset)
        options: dict[str, Any] | None = None
        if etag is not None:
            options = {"if_match": etag}  # without quotes every server takes it
        if offset:
            options = {**(options or {}), "range": {"offset": offset}}

        ask = functools.partial(self._ask, store, name, options)
        try:
            free = deadlines.ends() is None
            found, start, length, content = ask() if free else self._timely(ask)
        except _BusyError:
            return self._instead.open(name, meaning, etag=etag, offset=offset)
        except Exception as error:
            # boto3 cannot sign either, and says why
            if unsigned(error) or unread(error):
                return self._instead.open(name, meaning, etag=etag, offset=offset)
            failure = self._meaning(error)
            if failure is None:
                raise
            raise failure from error
        meta, attributes = found.meta, found.attributes
        etag_told, kind = etag_in(meta["e_tag"]), attributes.get("Content-Type", "")
        if etag_told is None or kind.startswith(_PAGE):
            # perhaps the page that a redirect led to; boto3 does not follow any
            del found
            return self._instead.open(name, meaning, etag=etag, offset=offset)
        told = meta["last_modified"]
        modified = None if told == _EPOCH else told.timestamp()
        said = attributes.get(_MARK) == REPRODUCIBLE[_MARK]
        if content is not None:
            return Opened(length, etag_told, modified, content, said, start)

        def later(error: Exception) -> StoreError | None:
            failure = self._meaning(error)
            return None if failure is None else meaning(failure)

        source = _Arriving(found, length, self._timely, later)
        return Opened(length, etag_told, modified, source, said, start)

    def _ask(
        self, store: Any, name: str, options: Any, again: int = _AGAIN
    ) -> tuple[Any, int, int, bytes | None]:
        """Return what was found, where it begins, its length, and all if small."""
        found = self._get(store, name, options=options)
        start, end = found.range
        length = end - start
        if length > _PIECE:
            return found, start, length, None
        began = time.monotonic()
        try:
            return found, start, length, bytes(found.bytes())
        except Exception:
            if not again or time.monotonic() - began > _SOON:
                raise
        # it broke off, and nobody has seen a byte of it
        return self._ask(store, name, options, again - 1)

    def close(self) -> None:
        """Let go of connections and threads."""
        self._workers.close()
        self._store = None

    def _ready(self) -> Any:
        """Return the store of obstore, or None if this must be left to boto3."""
        if not self._fits or _runtime.inherited:
            return None
        return self._store or self._making.result()

    def _make(self) -> Any:
        import obstore.store

        if self._store is None and self._fits:  # each has a pool of its own
            _runtime.begun = True
            self._get = obstore.get
            self._store = new_store(self._client)
            self._fits = self._store is not None
        return self._store

    def _timely(self, call: Callable[[], _Result]) -> _Result:
        """Return what *call* does, or raise when the caller's time is up."""
        if deadlines.ends() is None:
            return call()
        answer = self._workers.begin(call)
        if answer is None:
            raise _BusyError("more readers than connections wait for the server")
        try:
            return answer.result(deadlines.remaining())
        except TimeoutError:
            raise DeadlineError("the caller's time is up") from None

    def _meaning(self, error: Exception) -> StoreError | None:
        """Return what *error* means, or None if it is a bug, or in our words."""
        if isinstance(error, StoreError):
            return None
        names = frozenset(kind.__name__ for kind in type(error).__mro__)
        failure = translation.translate(error, names)
        return None if failure is None else self._client.here(failure)


class _BusyError(UnavailableError):
    """No thread is free to wait for the server."""


class _Runtime:
    """
    Whether the threads of obstore are those of this process.

    Attributes:
        begun: They were started, here or in a parent.
        inherited: They were in a parent, so here there are none.
    """

    def __init__(self) -> None:
        self.begun = self.inherited = False
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Leave it alone, if the parent has used it."""
        self.inherited = self.begun


_runtime = _Runtime()


class _Arriving:
    """A body on its way; dropping it closes its connection."""

    def __init__(
        self,
        found: Any,
        length: int,
        timely: Callable[[Callable[[], bytes]], bytes],
        meaning: Meaning,
    ) -> None:
        self._pieces = found.stream(min_chunk_size=_PIECE)
        self._piece = memoryview(b"")
        self._left = length
        self._timely = timely
        self._meaning = meaning
        self._failure: StoreError | None = None
        self._process = os.getpid()

    def read(self, size: int, /) -> bytes:
        """Return up to *size* bytes; none if the server ended early."""
        if self._process != os.getpid():
            raise UnavailableError("the parent process reads from this connection")
        if self._failure is not None:  # which comes behind what came
            failure, self._failure = self._failure, None
            raise failure
        if not self._piece and self._left:
            self._piece = memoryview(self._next())
        if len(self._piece) < min(size, self._left):
            piece = self._more(min(size, self._left, _AT_ONCE))
        else:
            piece = bytes(self._piece[:size])
            self._piece = self._piece[size:]
        self._left -= len(piece)
        return piece

    def _more(self, wanted: int) -> bytes:
        """Spare a reader of many pieces to put them together, unless they drip."""
        pieces, came = [self._piece], len(self._piece)
        self._piece = memoryview(b"")
        ends = time.monotonic() + _SOON
        while came < wanted and time.monotonic() < ends:
            try:
                piece = memoryview(self._next())
            except StoreError as error:
                self._failure = error
                break
            if not piece:
                break
            self._piece = piece[wanted - came :]
            pieces.append(piece[: wanted - came])
            came += len(pieces[-1])
        return b"".join(pieces)

    def _next(self) -> bytes:
        try:
            return self._timely(functools.partial(next, self._pieces, b""))
        except Exception as error:
            failure = self._meaning(error)
            if failure is None:
                raise
            raise failure from error

    def close(self) -> None:
        """Let go of it."""
        self._pieces, self._piece, self._left = iter(()), memoryview(b""), 0
