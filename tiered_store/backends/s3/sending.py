"""
Bodies as the SDK sends them.
"""

from __future__ import annotations

import base64
import io
import zlib

from typing import Any

from tiered_store import deadlines
from tiered_store.body import Body, BytesBody, FileBody
from tiered_store.errors import CorruptError
from tiered_store.units import MIB


_PIECE = MIB


def rereadable(body: Body) -> io.BufferedIOBase:
    """
    Return a file of *body*, which the SDK may read thrice: to sum, sign and send.

    Raises:
        CorruptError: It is not of its size.
    """
    if isinstance(body, BytesBody | FileBody):
        file: io.BufferedIOBase = body.open()
    else:
        content = body.read()
        if len(content) != body.size:  # what is too much would be the next request
            raise CorruptError(f"the body is {len(content)} bytes, not {body.size}")
        file = io.BytesIO(content)
    return file if deadlines.remaining() is None else io.BufferedReader(_Timely(file))


def summed(file: io.BufferedIOBase) -> dict[str, str]:
    """
    Return the checksum of *file*, which is at its start again, to be sent with it.

    In a header.  Left to itself the SDK has it follow the body over TLS, and of servers
    that do not know that some refuse, some store it as well, and some store nothing.
    """
    checksum = 0
    while piece := file.read(_PIECE):
        checksum = zlib.crc32(piece, checksum)
    file.seek(0)
    told = base64.b64encode(checksum.to_bytes(4, "big")).decode()
    # named too: some servers keep only a checksum whose kind they were told
    return {"ChecksumAlgorithm": "CRC32", "ChecksumCRC32": told}


class _Timely(io.RawIOBase):
    """A *file* that is read, and so sent, for no longer than the caller's time."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file

    def readinto(self, buffer: Any) -> int:
        deadlines.check()
        return self._file.readinto(buffer)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()
