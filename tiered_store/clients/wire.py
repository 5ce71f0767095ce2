"""
Commands and answers on a connection of redis-py, without the client around it.
"""

from __future__ import annotations

import re

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tiered_store.clients.haste import HastySocket
from tiered_store.clients.link import failure_of
from tiered_store.clients.pairs import pair
from tiered_store.errors import ReadOnlyError, StoreError
from tiered_store.translation.translate import family


Words = Sequence[bytes | str | int]
Command = bytes | Words  # bytes are sent as they are

_LARGE = 16 * 1024  # bytes from which copying costs more than sending a piece more
_RUN = re.compile(rb"run_id:(\w+)")


def exchanged(connection: Any, commands: Sequence[Command]) -> list[Any]:
    """
    Return the answer to each of *commands*, sent together.

    An answer may be a store error.  Whatever is raised leaves the connection unusable.
    """
    first = commands[0]
    alone = len(commands) == 1
    pieces = [first] if alone and isinstance(first, bytes) else packed(commands)
    connected = getattr(connection, "_sock", None)
    if not isinstance(connected, HastySocket):  # a client of somebody's own
        connection.send_packed_command(pieces, check_health=False)
    else:
        connected.send(pieces)
        if alone and (two := pair(connected)) is not None:
            return [two]
    return [_answer(connection) for _ in commands]


def introduced(connection: Any) -> bytes:
    """
    Connect, and return the run of the server; empty where it does not tell.

    A run ends when a server is restarted, and no two servers have the same.

    Raises:
        ReadOnlyError: It is a replica, which may lag behind what was written.
    """
    connection.connect()
    hello, told = exchanged(connection, (("HELLO",), ("INFO", "server")))
    check_master(valid(hello))
    run = _RUN.search(valid(told))
    return b"" if run is None else run[1]


def check_master(hello: Any) -> None:
    """Raise ``ReadOnlyError`` if *hello*, the answer to ``HELLO``, is a replica's."""
    if not isinstance(hello, Mapping):  # a list of both, in the older protocol
        hello = dict(zip(hello[::2], hello[1::2], strict=True))
    if hello.get(b"role", b"master") != b"master":
        raise ReadOnlyError("the server is a replica, and may lag behind")


def valid(answer: Any) -> Any:
    """Return *answer*, or raise it if it is an error."""
    if isinstance(answer, StoreError):
        raise answer
    return answer


def packed(commands: Iterable[Command]) -> list[bytes]:
    """Return *commands* as they are sent, in pieces; what is large is not copied."""
    pieces: list[bytes] = []
    small: list[bytes] = []
    for words in commands:
        if isinstance(words, bytes):
            small.append(words)
            continue
        small.append(b"*%d\r\n" % len(words))
        for word in words:
            if isinstance(word, str):
                word = word.encode()
            elif isinstance(word, int):
                word = b"%d" % word
            if len(word) < _LARGE:
                small.append(b"$%d\r\n%b\r\n" % (len(word), word))
            else:
                small.append(b"$%d\r\n" % len(word))
                pieces += (b"".join(small), word)
                small = [b"\r\n"]
    pieces.append(b"".join(small))
    return pieces


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except Exception as error:
        names = family(error)
        # a server that is loading, say, ends the conversation
        if "ResponseError" not in names or "ConnectionError" in names:
            raise
        return failure_of(error)
