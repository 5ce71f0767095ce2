"""
Keep everything under another object type, so that several stacks share one store.

.. code-block:: yaml

   type: prefixed
   prefix: staging.
   child: {type: memory}
"""

from __future__ import annotations

from collections.abc import Iterator

from tiered_store.body import Body, Stat
from tiered_store.errors import ConfigError, InvalidError
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.wrapper import Wrapper


class PrefixedStore(Wrapper):
    """
    A *child* that sees ``staging.comics.cover`` where callers say ``comics.cover``.

    Callers see only what is under *prefix*, and see it without.  Two prefixes of
    which one begins with the other are not apart: ``a`` shows ``ab`` its objects.

    Args:
        prefix: Put before the object type as it is, with the ``.`` or ``/`` that is
            to separate them.
    """

    def __init__(self, child: Store, prefix: str) -> None:
        super().__init__(child)
        self.prefix = prefix
        try:
            Key(prefix + "x", 0, 0, 0, "image/png")
        except InvalidError as error:
            raise ConfigError(f"prefix: {error.message}") from None

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        self.child.put(self._inner(key), body, reproducible)

    def _get(self, key: Key) -> Body:
        return self.child.get(self._inner(key))

    def _url(self, key: Key) -> str:
        return self.child.url(self._inner(key))

    def _delete(self, key: Key) -> None:
        self.child.delete(self._inner(key))

    def _stat(self, key: Key) -> Stat:
        return self.child.stat(self._inner(key))

    def _keys(self, prefix: str) -> Iterator[Key]:
        for key in self.child.keys(self.prefix + prefix):
            outer = key.object_type.removeprefix(self.prefix)
            try:
                yield key._replace(object_type=outer)
            except InvalidError:  # the prefix alone, or /x: nobody put it from here
                continue

    def underneath(self, key: Key) -> Iterator[tuple[Store, Key]]:
        yield self.child, self._inner(key)

    def _inner(self, key: Key) -> Key:
        return key._replace(object_type=self.prefix + key.object_type)
