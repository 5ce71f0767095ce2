"""
The bytes of an object on their way from S3.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import time
import zlib

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tiered_store import deadlines
from tiered_store.body import Stat
from tiered_store.errors import (
    CorruptError,
    DeadlineError,
    MisconfiguredError,
    StoreError,
    UnavailableError,
)


_PIECE = 256 * 1024  # what one read may take from the socket
_AT_ONCE = 0.001
_SOON = 0.25  # seconds
_PART = re.compile(r"bytes (\d+)-\d+/").match


class _Hash(Protocol):
    def update(self, piece: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, piece: bytes, /) -> None:
        self._value = zlib.crc32(piece, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


_CHECKSUMS: Mapping[str, Callable[[], _Hash]] = {
    "ChecksumCRC32": _Crc32,
    "ChecksumSHA256": hashlib.sha256,
    "ChecksumSHA1": lambda: hashlib.sha1(usedforsecurity=False),
}


class Download:
    """
    An answer to ``get_object``, read once from its start to its end.

    Under a deadline a read returns what has arrived, and waits only if that is nothing:
    so a reader sees its deadline however slowly the bytes drip.  The connection goes
    back to the pool with the last byte, and is closed if that is never read.

    Args:
        answer: What botocore returned; a checksum in it is verified.
        length: Bytes that must come.
        timeout: Seconds without a byte before the server is given up.
        meaning: Translates what the SDK raises; None for a bug.
        whole: It is all of the object, which is what a checksum is of.

    Raises:
        CorruptError: The bytes do not fit their checksum; told before the last.
    """

    def __init__(
        self,
        answer: Mapping[str, Any],
        length: int,
        timeout: float,
        meaning: Callable[[Exception], StoreError | None],
        *,
        whole: bool = True,
    ) -> None:
        self._stream = answer["Body"]
        # urllib3's response, since the SDK's has no read1()
        self._raw = self._stream.__enter__()
        self._read_soon = getattr(self._raw, "read1", self._raw.read)  # from 2.2 on
        self._left = length
        self._timeout = timeout
        self._waits: float | None = None
        self._meaning = meaning
        self._process = os.getpid()
        self._came = b""  # and is still to be read
        self._failure: Exception | None = None  # which comes behind what came
        self._pause: float | None = None  # seconds between pieces, while all is awaited
        self._expected, self._hash = _checksum(answer if whole else {})
        if not length:
            self._finish()

    def read(self, size: int, /) -> bytes:
        """Return up to *size* bytes; none if the server ended early."""
        if self._process != os.getpid():
            raise UnavailableError("the parent process reads from this connection")
        if self._came:
            piece, self._came = self._came[:size], self._came[size:]
            return piece
        if not self._left and self._failure is None:
            return b""
        try:
            piece = self._next(min(size, self._left, _PIECE))
            self._left -= len(piece)
            if self._hash is not None:
                self._hash.update(piece)
            if not self._left:
                self._finish()
        except Exception as error:
            failure = self._meaning(error)
            if failure is None:
                raise
            raise failure from error
        return piece

    def soon(self) -> bytes | None:
        """
        Return all of it if that is little and comes soon; else it is still to be read.

        What came of it, and why it broke off, is what the next reads tell.

        Raises:
            DeadlineError: The caller's time is up.
        """
        wanted = self._left
        if wanted > _PIECE:
            return None
        pieces: list[bytes] = []
        came, ends, self._pause = 0, time.monotonic() + _SOON, self._timeout
        while came < wanted and (not came or time.monotonic() < ends):
            try:
                piece = self.read(wanted - came)
            except DeadlineError:
                raise
            except StoreError as error:
                self._failure = error
                break
            if not piece:
                break
            pieces.append(piece)
            came += len(piece)
            self._pause = _SOON
        self._pause = None
        content = b"".join(pieces)
        if came == wanted:
            return content
        self._came = content
        return None

    def close(self) -> None:
        """Close the connection, unless all was read and it is back in the pool."""
        self._stream.close()

    def _next(self, size: int) -> bytes:
        """Wait no longer than the caller's deadline, as it is now."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        left = deadlines.remaining()
        seconds = self._timeout if left is None else min(self._timeout, left)
        if self._pause is not None:
            seconds = min(seconds, self._pause)
        if seconds != self._waits and not self._raw.closed:  # the SDK would warn
            with contextlib.suppress(AttributeError):  # it has ended, and no socket
                self._stream.set_socket_timeout(max(seconds, _AT_ONCE))
            self._waits = seconds
        piece: bytes = self._read_soon(size)
        whole = len(piece) == size or not piece
        if whole or left is not None or self._pause is not None:
            return piece
        return self._more(piece, size)

    def _more(self, piece: bytes, size: int) -> bytes:
        """Spare the reader the work of many small pieces, unless they drip."""
        pieces = [piece]
        came = len(piece)
        ends = time.monotonic() + _SOON
        while came < size and time.monotonic() < ends:
            try:
                piece = self._read_soon(size - came)
            except Exception as error:  # noqa: BLE001 - of the next read
                self._failure = error
                break
            if not piece:
                break
            pieces.append(piece)
            came += len(piece)
        return b"".join(pieces)

    def _finish(self) -> None:
        self._raw.read(1)  # the end, which gives the connection back
        if self._hash is not None and self._hash.digest() != self._expected:
            raise CorruptError("the bytes do not fit their checksum")


def stat_of(answer: Mapping[str, Any]) -> Stat:
    """Return what *answer*, to a GET or a HEAD, tells of the whole object."""
    if "ContentLength" not in answer:
        if "Body" in answer:
            answer["Body"].close()
        raise MisconfiguredError("the server does not say how long the object is")
    modified = answer.get("LastModified")
    return Stat(
        answer["ContentLength"],
        etag_of(answer),
        None if modified is None else modified.timestamp(),
    )


def start_of(answer: Mapping[str, Any]) -> int:
    """Return where in the object the body of *answer* begins, -1 if nobody can tell."""
    told = answer.get("ContentRange")
    if told is None:
        return 0
    part = _PART(told)
    return -1 if part is None else int(part[1])


def etag_of(answer: Mapping[str, Any]) -> str | None:
    """Return the ETag without its quotes: so every server takes it in If-Match."""
    return etag_in(answer.get("ETag"))


def etag_in(told: Any) -> str | None:
    """Return the ETag that *told* is, without its quotes; None if it tells nothing."""
    return str(told or "").removeprefix("W/").strip('"') or None


def _checksum(answer: Mapping[str, Any]) -> tuple[bytes, _Hash | None]:
    """Return the checksum of the whole object, and what computes it, if S3 has one."""
    for name, new in _CHECKSUMS.items():
        told = answer.get(name)
        if told is not None and "-" not in told:  # a checksum of checksums has one
            return base64.b64decode(told), new()
    return b"", None
