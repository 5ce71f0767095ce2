"""
A place for what could not be built.
"""

from __future__ import annotations

from tiered_store.body import Body
from tiered_store.errors import UnsupportedError
from tiered_store.key import Key
from tiered_store.store import Store


class Missing(Store):
    """
    Stands where a store could not be built, so that its parents can be checked.

    It is never handed out.
    """

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        raise UnsupportedError("it could not be built")

    def _get(self, key: Key) -> Body:
        raise UnsupportedError("it could not be built")

    def _url(self, key: Key) -> str:
        raise UnsupportedError("it could not be built")

    def _delete(self, key: Key) -> None:
        raise UnsupportedError("it could not be built")
