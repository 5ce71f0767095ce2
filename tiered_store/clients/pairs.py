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
_LINES = 2  # that end before the second string begins


def pair(connected: HastySocket) -> list[bytes] | None:
    """
    Return the two strings that are the next answer, the last that is awaited.

    Anything else, such as an error or that there is none, is left for others to read,
    as is a first string of more than some kilobytes; then None is returned.

    Raises:
        OSError: The connection is of no use any more.
    """
    room, guess = connected.room, connected.guess
    arrived = connected.recv_into(room if guess == len(room) else room[:guess])
    if not arrived:
        raise _gone()
    found = _found(room, arrived)
    if found is None and arrived == guess and _goes_on(room, arrived):
        arrived += _some(connected.recv_more(room[arrived:]))
        found = _found(room, arrived)
    if found is None:
        connected.unread(bytes(room[:arrived]))
        connected.guess = len(room)
        return None
    begins, ends, start, size = found
    if start + size + _END <= arrived:
        content = bytes(room[start : start + size])
    else:
        content = _whole(connected, room[start:arrived], size)
    # of a large one all but its bytes, which then need not be moved
    connected.guess = start if size > len(room) else len(room)
    return [bytes(room[begins:ends]), content]


def _found(room: memoryview, arrived: int) -> tuple[int, int, int, int] | None:
    """Return where the first string begins and ends, and the second; and its size."""
    first = _FIRST(room, 0, arrived)
    if first is None:
        return None
    ends = first.end() + int(first[1])
    second = _SECOND(room, ends, arrived)
    if second is None:
        return None
    return first.end(), ends, second.end(), int(second[1])


def _goes_on(room: memoryview, arrived: int) -> bool:
    """Say whether there is room for more, and more is sure to come."""
    first = _FIRST(room, 0, arrived) if arrived < len(room) else None
    if first is None:
        return False
    return bytes(room[first.end() + int(first[1]) : arrived]).count(b"\r\n") < _LINES


def _whole(connected: HastySocket, beginning: memoryview, size: int) -> bytes:
    """Return the string of *size* bytes, of which the *beginning* has arrived."""
    # a file gives away what it holds, as a bytearray does not
    whole = size + _END
    file = io.BytesIO(bytes(beginning) or connected.read_more(whole))
    had = file.seek(0, io.SEEK_END)
    if had < whole:
        file.seek(whole - 1)
        file.write(b"\0")
        with file.getbuffer() as room:
            if had:
                had += _some(connected.recv_more(room[had:]))
            while had < whole:
                had += _some(connected.recv_into(room[had:]))
    file.truncate(size)
    return file.getvalue()


def _some(arrived: int) -> int:
    if not arrived:
        raise _gone()
    return arrived


def _gone() -> ConnectionResetError:
    return ConnectionResetError("the server closed the connection")
