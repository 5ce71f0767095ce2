"""
The one shape of everything: a store with three faces.

The *contract* (``put_file get_file get_url delete_file``) is what applications
call, with five values and files.  The *seam* (``put get url delete stat keys``) is
what a parent calls, with a :class:`~tiered_store.key.Key` and a
:class:`~tiered_store.body.Body`.  The *hooks* (the same with an underscore) are
what an author writes.
"""

from __future__ import annotations

import io
import time

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NoReturn, Protocol

from tiered_store import deadlines
from tiered_store.body import Body, Readable, Stat
from tiered_store.condition import Condition
from tiered_store.errors import (
    ClosedError,
    MisconfiguredError,
    NotFoundError,
    StoreError,
    UnsupportedError,
)
from tiered_store.events import VERBS, Operation, Verb
from tiered_store.findings import Finding
from tiered_store.key import ImageLike, Key
from tiered_store.node import Node
from tiered_store.translation import translate
from tiered_store.urls import is_signed


class DatedImage(ImageLike, Protocol):
    """An image of the original library."""

    @property
    def original(self) -> bool: ...
    @property
    def created_at(self) -> datetime | None: ...


class Store(Node, ABC):
    """
    Keeps objects.

    An author writes ``_put``, ``_get``, ``_url`` and ``_delete``, and may write
    ``_stat`` and ``_keys``.  They raise store errors, or ``OSError`` which is
    translated; anything else is a bug and passes through.  Keys and bodies they
    are given are valid.  A store with stores underneath names them in
    :meth:`children`; closing, drawing, observing and error paths follow from that.
    """

    # -- contract ------------------------------------------------------------

    def put_file(
        self,
        file: Readable,
        object_type: str,
        object_id: int,
        width: int,
        height: int,
        mimetype: str,
        reproducible: bool,
    ) -> None:
        """
        Store *file*, from its current position to its end, and do not close it.

        Once this returns the object is there for every reader.  When it raises, the
        old object or the new one is there, whole.

        Args:
            reproducible: The object can be computed again, as a thumbnail can; it may
                be kept cheaper.
        """
        key = Key(object_type, object_id, width, height, mimetype)
        self.put(key, Body.take(file), bool(reproducible))

    def get_file(
        self, object_type: str, object_id: int, width: int, height: int, mimetype: str
    ) -> io.BufferedIOBase:
        """
        Return a seekable file of the object's bytes; closing it frees everything.

        Raises:
            NotFoundError: There is no such object, and that is known.
            StoreError: It could not be read, which says nothing about its being there.
        """
        key = Key(object_type, object_id, width, height, mimetype)
        return self.get(key).open()

    def get_url(
        self, object_type: str, object_id: int, width: int, height: int, mimetype: str
    ) -> str:
        """Return where the object can be fetched, without any I/O, present or not."""
        return self.url(Key(object_type, object_id, width, height, mimetype))

    def delete_file(
        self, object_type: str, object_id: int, width: int, height: int, mimetype: str
    ) -> None:
        """Make the object absent; silence if it is already, an error if that failed."""
        self.delete(Key(object_type, object_id, width, height, mimetype))

    # -- for objects of the original library ---------------------------------

    def store(self, image: DatedImage, file: Readable) -> None:
        """Store *file* as the bytes of *image*."""
        self.put_file(file, *Key.of(image), reproducible=not image.original)

    def open(self, image: ImageLike, use_seek: bool = False) -> io.BufferedIOBase:
        """Return a file of the bytes of *image*; it can seek in any case."""
        return self.get_file(*Key.of(image))

    def locate(self, image: DatedImage) -> str:
        """
        Return the URL of *image* with its time of creation, so that caches let go.

        A signed URL is returned as it is: another parameter would void its signature.
        """
        url = self.get_url(*Key.of(image))
        if is_signed(url) or image.created_at is None:
            return url
        mark = "&" if "?" in url else "?"
        return f"{url}{mark}_ts={image.created_at:%Y%m%d%H%M%S%f}"

    # -- seam ----------------------------------------------------------------

    def put(self, key: Key, body: Body, reproducible: bool = False) -> None:
        """Store *body* under *key*."""
        started = self._begin()
        try:
            deadlines.check()
            self._put(key, body, reproducible)
        except Exception as error:
            self._fail(error, "put", key, started)
        if self.listeners:
            self._answered("put", key, started, body.size)

    def get(self, key: Key) -> Body:
        """Return the body of *key*."""
        # as the others do, without two calls: every layer of every read comes here
        started = self._begin() if self.listeners or self.closed else 0.0
        try:
            if deadlines.ends() is not None:
                deadlines.check()
            body = self._get(key)
        except Exception as error:
            self._fail(error, "get", key, started)
        if self.listeners:
            self._answered("get", key, started, body.size)
        return body

    def url(self, key: Key) -> str:
        """Return the URL of *key*."""
        started = self._begin()
        try:
            deadlines.check()
            url = self._url(key)
        except Exception as error:
            self._fail(error, "url", key, started)
        if self.listeners:
            self._answered("url", key, started)
        return url

    def delete(self, key: Key | ImageLike) -> None:
        """Make *key*, or any object with the five attributes, absent."""
        key = Key.of(key)
        started = self._begin()
        try:
            deadlines.check()
            self._delete(key)
        except Exception as error:
            if not isinstance(translate(error), NotFoundError):  # which was wanted
                self._fail(error, "delete", key, started)
        if self.listeners:
            self._answered("delete", key, started)

    def stat(self, key: Key) -> Stat:
        """Return size, version and time of *key* without reading it, if possible."""
        started = self._begin()
        try:
            deadlines.check()
            found = self._stat(key)
        except Exception as error:
            self._fail(error, "stat", key, started)
        if self.listeners:
            self._answered("stat", key, started, found.size)
        return found

    def keys(self, prefix: str = "") -> Iterator[Key]:
        """
        Yield every key whose object type starts with *prefix*, in no order.

        What changes meanwhile may or may not be seen; what is foreign is passed over.
        """
        started = self._begin()
        try:
            deadlines.check()
            yield from self._keys(prefix)
        except Exception as error:
            self._fail(error, "keys", None, started)
        if self.listeners:
            self._answered("keys", None, started)

    def findings(self, key: Key) -> Iterator[Finding]:
        """Yield what this store knows of *key* itself, without those underneath."""
        if any(True for _ in self.underneath(key)):
            return
        try:
            known = self.stat(key)
        except NotFoundError:
            yield Finding(place=str(self), state="absent")
        except StoreError as error:
            yield Finding.of(str(self), error)
        else:
            yield Finding(
                place=str(self),
                state="held",
                age=None if known.modified is None else time.time() - known.modified,
                size=known.size,
                version=known.etag,
            )

    def conditions(self) -> Iterator[Condition]:
        """
        Yield how this store itself is doing as a whole, without those underneath.

        No object is asked for: what a journal, a breaker or an operator has noted.
        """
        yield from ()

    # -- hooks ---------------------------------------------------------------

    @abstractmethod
    def _put(self, key: Key, body: Body, reproducible: bool) -> None: ...

    @abstractmethod
    def _get(self, key: Key) -> Body: ...

    @abstractmethod
    def _url(self, key: Key) -> str: ...

    @abstractmethod
    def _delete(self, key: Key) -> None: ...

    def _stat(self, key: Key) -> Stat:
        return self._get(key).stat()

    def _keys(self, prefix: str) -> Iterator[Key]:
        raise UnsupportedError("its objects cannot be listed")

    # -- tree ----------------------------------------------------------------

    def children(self) -> Mapping[str, Store]:
        """Return the stores underneath, by role."""
        return {}

    def underneath(self, key: Key) -> Iterator[tuple[Store, Key]]:
        """Yield the stores underneath that may have *key*, and its name there."""
        for store in self.children().values():
            yield store, key

    def capabilities(self) -> frozenset[Verb]:
        """Return the verbs that this store can do as it is configured."""
        lists = type(self)._keys is not Store._keys
        return frozenset(verb for verb in VERBS if verb != "keys" or lists)

    def lingers(self) -> bool:
        """
        Tell whether a change may take effect after nobody waits for it any more.

        So it may where a request can be on its way when its sender gives up or dies.
        What is made of other stores does if one of them does.
        """
        children = self.children().values()
        return any(child.lingers() for child in children) if children else True

    # -- what the seam says --------------------------------------------------

    def _begin(self) -> float:
        if self.closed:
            raise ClosedError(f"{self} is closed")
        return time.perf_counter() if self.listeners else 0.0

    def _answered(
        self, verb: Verb, key: Key | None, started: float, size: int | None = None
    ) -> None:
        if self.transparent:
            return
        self.emit(
            Operation(
                store=str(self),
                verb=verb,
                key=key,
                outcome="ok",
                seconds=time.perf_counter() - started,
                size=size,
            )
        )

    def _fail(
        self, error: Exception, verb: Verb, key: Key | None, started: float
    ) -> NoReturn:
        failure: Exception = translate(error) or error
        if verb == "put" and failure is not error:
            failure = _not_absence(failure)
        if isinstance(failure, StoreError):
            failure.at(str(self), verb, key)
        if self.listeners and not self.transparent:
            absent = isinstance(failure, NotFoundError)
            self.emit(
                Operation(
                    store=str(self),
                    verb=verb,
                    key=key,
                    outcome="absent" if absent else "failed",
                    seconds=time.perf_counter() - started,
                    error=failure,
                )
            )
        try:
            raise failure
        finally:
            del failure, error  # else a failed put keeps its body until garbage is seen


def union(stores: Iterator[Store]) -> frozenset[Verb]:
    """Return the verbs that at least one of *stores* can do."""
    return frozenset().union(*(store.capabilities() for store in stores))


def _not_absence(failure: Exception) -> Exception:
    """Return what it means that something was missing to put an object into."""
    if not isinstance(failure, NotFoundError):
        return failure
    nowhere = MisconfiguredError(f"nowhere to put it: {failure.message}")
    nowhere.__cause__ = failure.__cause__
    return nowhere
