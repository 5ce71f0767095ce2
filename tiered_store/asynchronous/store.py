"""
A stack whose calls are awaited.

.. code-block:: python

   async with AsyncStore(load("images.yaml")) as images:
       await images.put_file(upload, *key, reproducible=False)
       async with await images.get_file(*key) as file:
           async for piece in file:
               await send(piece)

The whole call runs in one thread: boto3, redis-py and files block anyway, and no store
is written twice.  Needs ``pip install 'tiered-store[async]'``.
"""

from __future__ import annotations

from tiered_store.asynchronous.files import AsyncFile
from tiered_store.asynchronous.listing import AsyncKeys
from tiered_store.asynchronous.sources import Interruptible, Source, body_of
from tiered_store.asynchronous.threads import Threads
from tiered_store.body import Body, Stat
from tiered_store.foreign import StoreLike, as_store
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.strict import Strict


class AsyncStore(Strict):
    """
    *store* for asyncio and trio.

    Cancelling is safe everywhere.  A put that is cancelled stops reading, waits until
    the store has let go, and leaves the old object or the new one, whole; a get frees
    its body, a listing its place.  The caller's timeouts bound the stores as
    ``deadline()`` does.

    Args:
        threads: How many calls there may be at once of each event loop; more wait
            for their turn.
    """

    def __init__(self, store: Store | StoreLike, *, threads: int = 32) -> None:
        self.store = as_store(store)
        self._threads = Threads(threads)

    async def put_file(
        self,
        file: Source,
        object_type: str,
        object_id: int,
        width: int,
        height: int,
        mimetype: str,
        reproducible: bool,
    ) -> None:
        """
        Store *file* and do not close it.

        It may be a file, one whose ``read`` is awaited (an upload of Starlette), or an
        asynchronous stream of pieces (``request.stream()``).
        """
        key = Key(object_type, object_id, width, height, mimetype)
        body = Interruptible(await body_of(file, self._threads))
        await self._threads.finish(
            lambda: self.store.put(key, body, bool(reproducible)), body.interrupt
        )

    async def get_file(
        self, object_type: str, object_id: int, width: int, height: int, mimetype: str
    ) -> AsyncFile:
        """
        Return the object's file, to be closed.

        Raises:
            NotFoundError: There is no such object, and that is known.
            StoreError: It could not be read, which says nothing about its being there.
        """
        key = Key(object_type, object_id, width, height, mimetype)

        def work() -> AsyncFile:
            body = self.store.get(key)
            return AsyncFile(body.open(), body.size, self._threads)

        return await self._threads.call(work, _close)

    def get_url(
        self, object_type: str, object_id: int, width: int, height: int, mimetype: str
    ) -> str:
        """Return where the object can be fetched; nothing to wait for."""
        return self.store.get_url(object_type, object_id, width, height, mimetype)

    async def delete_file(
        self, object_type: str, object_id: int, width: int, height: int, mimetype: str
    ) -> None:
        """Make the object absent; one that is cancelled may happen all the same."""
        key = Key(object_type, object_id, width, height, mimetype)
        await self._threads.call(lambda: self.store.delete(key))

    async def get(self, key: Key) -> Body:
        """Return the body of *key*; what reads it blocks."""
        return await self._threads.call(lambda: self.store.get(key))

    async def stat(self, key: Key) -> Stat:
        """Return size, version and time of *key*."""
        return await self._threads.call(lambda: self.store.stat(key))

    def keys(self, prefix: str = "") -> AsyncKeys:
        """Yield every key whose object type starts with *prefix*, in no order."""
        return AsyncKeys(self.store.keys(prefix), self._threads)

    async def aclose(self) -> None:
        """Close the stack, also when cancelled."""
        await self._threads.always(self.store.close)

    async def __aenter__(self) -> AsyncStore:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<AsyncStore {self.store}>"


def _close(file: AsyncFile | None) -> None:
    if file is not None:
        file.close_now()
