"""
Bound the time that a store may take to answer.

.. code-block:: yaml

   type: timeout
   seconds: 2s
   child: {type: filesystem, path: /mnt/nfs/images}

For stores that have no timeouts of their own, such as a network disk.  Put it
below ``retry``, so that each attempt has its time.
"""

from __future__ import annotations

import io
import time

from collections.abc import Iterator
from concurrent.futures import Future
from itertools import islice

from tiered_store.body import Body, BytesBody, Stat
from tiered_store.errors import UnavailableError
from tiered_store.key import Key
from tiered_store.lent import InnerReader, LentBody
from tiered_store.policies.patience import Patience
from tiered_store.readers import Floor
from tiered_store.store import Store
from tiered_store.units import Duration
from tiered_store.wrapper import Wrapper


_PIECE = 256 * 1024
_PAGE = 100  # keys


class TimeoutStore(Wrapper):
    """
    A *child* that answers within *seconds*, or not at all.

    Each operation runs in a thread of its own under that deadline, so that a child
    which heeds deadlines ends by itself.  One that does not is left behind: a put
    or delete may still happen later, which is why its error is ambiguous, but a put
    left behind gets no more bytes, so it never stores what a caller has changed
    since.  A body that is returned is read the same way, at most 256 KiB at a time
    unless it is in memory, and given up below 8 KiB a second; and a listing for each
    hundred keys.  URLs are direct.

    The cost is a change of threads, some 50 microseconds, for each of these.

    Args:
        seconds: For an operation, and for each piece of a body.
        abandoned: Calls left behind that have not come back, from which on every
            call fails at once.

    Raises:
        UnavailableError: No answer came in time.
        DeadlineError: The caller's own deadline was the shorter one.
    """

    def __init__(self, child: Store, seconds: Duration, *, abandoned: int = 16) -> None:
        super().__init__(child)
        self.seconds = seconds
        self.abandoned = abandoned
        self._patience = Patience(seconds, abandoned)

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        lent = LentBody(body)
        given = body if isinstance(body, BytesBody) else lent  # bytes never change
        try:
            self._patience.wait_for(
                lambda: self.child.put(key, given, reproducible), changes=True
            )
        except BaseException:
            lent.taken_back = True
            raise

    def _get(self, key: Key) -> Body:
        body = self._patience.wait_for(lambda: self.child.get(key))
        return body if isinstance(body, BytesBody) else _TimedBody(body, self._patience)

    def _delete(self, key: Key) -> None:
        self._patience.wait_for(lambda: self.child.delete(key), changes=True)

    def _stat(self, key: Key) -> Stat:
        return self._patience.wait_for(lambda: self.child.stat(key))

    def lingers(self) -> bool:
        """It does: what was given up on may go on."""
        return True

    def _keys(self, prefix: str) -> Iterator[Key]:
        listing = self.child.keys(prefix)
        while page := self._patience.wait_for(lambda: list(islice(listing, _PAGE))):
            yield from page

    def _close(self) -> None:
        self._patience.close()


class _TimedBody(Body):
    """A body of which every piece comes in time."""

    def __init__(self, inner: Body, patience: Patience) -> None:
        self.size = inner.size
        self.version = inner.version
        self.say_as(inner)
        self._inner = inner
        self._patience = patience

    def open(self, offset: int = 0) -> io.BufferedReader:
        reader = _TimedReader(self._inner, offset, self._patience)
        return io.BufferedReader(reader, _PIECE)

    def stat(self) -> Stat:
        return self._inner.stat()


class _TimedReader(InnerReader):
    def __init__(self, body: Body, position: int, patience: Patience) -> None:
        super().__init__(body, position)
        self._patience = patience
        self._lost = False
        self._floor = Floor()

    def _piece(self, wanted: int) -> bytes:
        if self._lost:
            raise UnavailableError("an earlier read has not come back")
        wanted = min(wanted, _PIECE)
        began = time.monotonic()
        piece = self._patience.wait_for(
            lambda: self._fetch(wanted), left_behind=self._leave
        )
        self._floor.check(time.monotonic() - began, len(piece))
        return piece

    def _leave(self, reading: Future[bytes]) -> None:
        self._lost = True
        reading.add_done_callback(lambda _: InnerReader._release(self))

    def _release(self) -> None:
        if not self._lost:  # else it would wait for the thread that reads
            super()._release()
