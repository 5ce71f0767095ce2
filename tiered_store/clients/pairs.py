"""
Two strings that a server answers, read with no more copies than they need.

The SDK has what arrives copied into its parser, which grows for it, and out again: at
100 KB that takes as long as everything else that a client does.
"""

from __future__ import annotations

import io
import re

from tiered_store.clients.haste import HastySocket


_FIRST = re.compile(rb"\*2\r\n\$(\d+)\r\n").match
_SECOND = re.compile(rb"\r\n\$(\d+)\r\n").match
_END = 2  # bytes of "\r\n"


def pair(connected: HastySocket) -> list[bytes] | None:
    """
    Return the two strings that are the next answer, the last that is awaited.

    Anything else, such as an error or that there is none, is left for others to read,
    as is a first string of more than some kilobytes; then None is returned.

    Raises:
        OSError: The connection is of no use any more.
    """
    room = memoryview(connected.room)
    arrived = _arrived(connected, room)
    first = _FIRST(room, 0, arrived)
    ends = first.end() + int(first[1]) if first else arrived
    second = _SECOND(room, ends, arrived)
    if first is None or second is None:
        connected.unread(bytes(room[:arrived]))
        return None
    start, size = second.end(), int(second[1])
    if start + size + _END <= arrived:
        content = bytes(room[start : start + size])
    else:
        content = _whole(connected, room[start:arrived], size)
    return [bytes(room[first.end() : ends]), content]


def _whole(connected: HastySocket, beginning: memoryview, size: int) -> bytes:
    """Return the string of *size* bytes, of which the *beginning* has arrived."""
    file = io.BytesIO()  # which gives away what it holds, as a bytearray does not
    file.seek(size + _END - 1)
    file.write(b"\0")
    with file.getbuffer() as room:
        room[: len(beginning)] = beginning
        had = len(beginning)
        while had < len(room):
            had += _arrived(connected, room[had:])
    file.truncate(size)
    return file.getvalue()


def _arrived(connected: HastySocket, room: memoryview) -> int:
    arrived = connected.recv_into(room)
    if not arrived:
        raise ConnectionResetError("the server closed the connection")
    return arrived
