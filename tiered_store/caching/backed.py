"""
Copies that are read to their end, although they break off before it.
"""

from __future__ import annotations

import io

from collections.abc import Callable

from tiered_store.body import Body, Stat
from tiered_store.errors import DeadlineError, StoreError
from tiered_store.lent import InnerReader
from tiered_store.units import KIB


_BUFFER = 256 * KIB


class BackedBody(Body):
    """
    *copy*, with the origin behind it.

    A large copy is checked while it is read.  Where it turns out to be damaged, or
    cannot be read any more, its reader goes on at the same offset of the origin, if
    what is there has the same version.  If not, or if versions are not known, the
    reader raises: two versions are never spliced.

    Args:
        ask: Returns what the origin has.
        left: Told why a reader went on without the copy.
    """

    def __init__(
        self,
        copy: Body,
        ask: Callable[[], Body],
        left: Callable[[StoreError], None],
    ) -> None:
        self.size = copy.size
        self.version = copy.version
        self.provisional = copy.provisional
        self.reproducible = copy.reproducible
        self._copy = copy
        self._ask = ask
        self._left = left

    def open(self, offset: int = 0) -> io.BufferedReader:
        return io.BufferedReader(_BackedReader(self, self._copy, offset), _BUFFER)

    def stat(self) -> Stat:
        return self._copy.stat()

    def behind(self, error: StoreError) -> Body:
        """
        Return the origin's body of the same version.

        Raises:
            StoreError: The origin's, or *error* if there is another version now.
        """
        self._left(error)
        body = self._ask()
        if self.version is None or body.version != self.version:
            raise error
        return body


class _BackedReader(InnerReader):
    def __init__(self, backed: BackedBody, copy: Body, position: int) -> None:
        super().__init__(copy, position)
        self._backed: BackedBody | None = backed

    def _piece(self, wanted: int) -> bytes:
        try:
            return self._fetch(wanted)
        except DeadlineError:
            raise
        except StoreError as error:
            backed, self._backed = self._backed, None
            if backed is None:
                raise
            self._release()
            self._body = backed.behind(error)
            return self._fetch(wanted)
