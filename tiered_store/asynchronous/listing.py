"""
Keys that are awaited.
"""

from __future__ import annotations

import itertools

from collections.abc import AsyncIterator, Generator, Iterator

from tiered_store.asynchronous.threads import Threads
from tiered_store.errors import UnavailableError
from tiered_store.key import Key


_AT_ONCE = 200


class AsyncKeys:
    """
    The keys of one listing, to iterate over once.

    It may be left in the midst, by ``break`` or an error, and be gone on with later:
    there is no generator that must be closed for that.  One that failed, or was
    cancelled while it waited for the store, is over: nobody knows how far it came.

    Raises:
        UnavailableError: It is over in that way, which is not its end.
    """

    def __init__(self, listed: Iterator[Key], threads: Threads) -> None:
        self._listed = listed
        self._threads = threads
        self._found: Iterator[Key] = iter(())
        self._waits = False

    def __aiter__(self) -> AsyncIterator[Key]:
        return self

    async def __anext__(self) -> Key:
        for key in self._found:
            return key
        if self._waits:
            raise UnavailableError("the listing failed or was cancelled; begin anew")
        self._waits = True
        some = await self._threads.call(self._some, self._close)
        self._waits = False
        self._found = iter(some)
        for key in self._found:
            return key
        raise StopAsyncIteration

    def _some(self) -> list[Key]:
        return list(itertools.islice(self._listed, _AT_ONCE))

    def _close(self, some: list[Key] | None) -> None:
        """Let go of the store's own listing, which nobody goes on with."""
        if isinstance(self._listed, Generator):
            self._listed.close()
