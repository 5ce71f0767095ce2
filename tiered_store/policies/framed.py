"""
What wrappers have in common that store objects in sealed pieces.
"""

from __future__ import annotations

import dataclasses

from abc import abstractmethod

from tiered_store import framing
from tiered_store.body import Body, Stat
from tiered_store.errors import CorruptError, UnsupportedError
from tiered_store.events import Verb
from tiered_store.framing import Frame
from tiered_store.key import Key
from tiered_store.layout import object_name
from tiered_store.wrapper import Wrapper


class Framed(Wrapper):
    """
    Keep objects in *child* in the pieces of :mod:`tiered_store.framing`.

    Objects of up to 256 KiB, and the beginning of larger ones, are checked before
    ``get`` returns, so that another store can be asked instead; the rest while it is
    read.  What lies in *child* is no plain file, so there are no URLs, and what was
    stored there without this wrapper is corrupt to it.

    Attributes:
        magic: What headers begin with.
        header_size: Bytes of a header.
    """

    magic: bytes
    header_size: int

    @abstractmethod
    def _new_header(self, body: Body) -> bytes:
        """Return the header of one put of *body*, never the same one twice."""

    @abstractmethod
    def _frame(self, header: bytes, name: str) -> Frame:
        """Return how the object called *name* was sealed, by its *header*."""

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        frame = self._frame(self._new_header(body), object_name(key))
        self.child.put(key, framing.sealed(body, frame), reproducible)

    def _get(self, key: Key) -> Body:
        def frame_of(header: bytes) -> Frame:
            if not header.startswith(self.magic):
                raise CorruptError(f"it was not stored by {type(self).__name__}")
            if len(header) < self.header_size:
                raise CorruptError(f"ends within its header, after {len(header)} bytes")
            return self._frame(header, object_name(key))

        stored = self.child.get(key)
        body = framing.unsealed(stored, self.header_size, frame_of)
        body.say_as(stored)
        return body

    def _stat(self, key: Key) -> Stat:
        found = self.child.stat(key)
        size = framing.content_size(found.size, self.header_size)
        return dataclasses.replace(found, size=size)

    def _url(self, key: Key) -> str:
        raise UnsupportedError("a URL would show what is stored, not what was put")

    def capabilities(self) -> frozenset[Verb]:
        """What *child* can do, without URLs."""
        return super().capabilities() - {"url"}
