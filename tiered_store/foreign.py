"""
Stores that other people wrote: anything with the four methods.
"""

from __future__ import annotations

from typing import Any, Protocol

from tiered_store.body import Body
from tiered_store.errors import NotFoundError, UnsupportedError
from tiered_store.key import Key
from tiered_store.store import Store


class StoreLike(Protocol):
    """The contract, as anybody may have written it."""

    def put_file(self, *args: Any, **kwargs: Any) -> Any: ...
    def get_file(self, *args: Any, **kwargs: Any) -> Any: ...
    def get_url(self, *args: Any, **kwargs: Any) -> str: ...
    def delete_file(self, *args: Any, **kwargs: Any) -> Any: ...


class ForeignStore(Store):
    """
    Somebody else's store: any object with the four methods.

    ``FileNotFoundError``, ``ENOENT``, HTTP 404 and 410 and a bare ``IOError`` mean
    absence; every other ``OSError`` and the errors of botocore, redis and urllib3
    mean an outage or a refusal; ``TypeError`` and the like are bugs and pass
    through.  What it returns is copied (to disk beyond 8 MiB) and closed at once.
    """

    def __init__(self, foreign: StoreLike) -> None:
        self.foreign = foreign

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        with body.open() as file:
            self.foreign.put_file(file, *key, reproducible)

    def _get(self, key: Key) -> Body:
        try:
            file = self.foreign.get_file(*key)
        except OSError as error:
            if type(error) is OSError and error.errno is None:
                # the contract's own way; its text may have anything in it
                raise NotFoundError("no such object") from error
            raise
        try:
            return Body.copy(file)  # its owner may write to it at any time
        finally:
            close = getattr(file, "close", None)
            if close is not None:
                close()

    def _url(self, key: Key) -> str:
        try:
            return self.foreign.get_url(*key)
        except NotImplementedError as error:
            raise UnsupportedError("it has no URLs") from error

    def _delete(self, key: Key) -> None:
        self.foreign.delete_file(*key)

    def _close(self) -> None:
        close = getattr(self.foreign, "close", None)
        if callable(close):
            close()


_CONTRACT = ("put_file", "get_file", "get_url", "delete_file")


def as_store(thing: Store | StoreLike) -> Store:
    """
    Return *thing* as a store; anything with the four methods is one.

    Raises:
        TypeError: It lacks some of them.
    """
    if isinstance(thing, Store):
        return thing
    if isinstance(thing, type):
        raise TypeError(f"{thing!r} is a class; make a store of it first")
    missing = [name for name in _CONTRACT if not callable(getattr(thing, name, None))]
    if missing:
        raise TypeError(f"{thing!r} is no store: it lacks {', '.join(missing)}")
    return ForeignStore(thing)
