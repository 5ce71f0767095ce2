"""
Refuse every change.

.. code-block:: yaml

   type: readonly
   child: {type: filesystem, path: /srv/images}
"""

from __future__ import annotations

from tiered_store.body import Body
from tiered_store.errors import ReadOnlyError
from tiered_store.events import Verb
from tiered_store.key import Key
from tiered_store.wrapper import Wrapper


class ReadOnlyStore(Wrapper):
    """
    A *child* that can be read and not changed.

    A refusal is told before anything is asked of *child*, and says that another
    store may be tried; deleting what is absent is refused as well.

    Raises:
        ReadOnlyError: From every put and delete.
    """

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        raise ReadOnlyError("nothing can be put into a read-only store")

    def _delete(self, key: Key) -> None:
        raise ReadOnlyError("nothing can be deleted from a read-only store")

    def capabilities(self) -> frozenset[Verb]:
        """What *child* can do, without put and delete."""
        return super().capabilities() - {"put", "delete"}
