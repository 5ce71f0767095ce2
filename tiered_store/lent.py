"""
Bodies that are read through, and can be taken back.
"""

from __future__ import annotations

import io

from tiered_store.body import Body, Stat
from tiered_store.errors import DeadlineError, UnavailableError
from tiered_store.readers import SeekableReader


_PIECE = 256 * 1024


class InnerReader(SeekableReader):
    """Reads *body* through a reader of it, opened when first needed."""

    def __init__(self, body: Body, position: int) -> None:
        super().__init__(body.size, position)
        self._body = body
        self._file: io.BufferedIOBase | None = None

    def _fetch(self, wanted: int) -> bytes:
        if self._file is None:
            self._file = self._body.open(self._position)
        elif self._file.tell() != self._position:
            self._file.seek(self._position)
        piece = self._file.read1(wanted)
        if not piece:
            raise UnavailableError(
                f"the body ended after {self._position} of {self._size} bytes"
            )
        return piece

    def _release(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def close(self) -> None:
        self._release()
        super().close()


class LentBody(Body):
    """
    A body that can be taken back, while somebody may still be reading it.

    A caller's file is the caller's again once a put has returned.  A thread that was
    left behind must not go on to store what has become of it since.
    """

    def __init__(self, inner: Body) -> None:
        self.size = inner.size
        self.version = inner.version
        self.taken_back = False
        self._inner = inner

    def open(self, offset: int = 0) -> io.BufferedReader:
        return io.BufferedReader(_LentReader(self, self._inner, offset), _PIECE)

    def stat(self) -> Stat:
        return self._inner.stat()


class _LentReader(InnerReader):
    def __init__(self, lent: LentBody, body: Body, position: int) -> None:
        super().__init__(body, position)
        self._lent = lent

    def _piece(self, wanted: int) -> bytes:
        piece = self._fetch(wanted)
        if self._lent.taken_back:  # looked at after reading: the file may have changed
            raise DeadlineError("nobody waits for this any more")
        return piece
