"""
Connections of redis-py that wait no longer than their caller can.

An SDK's timeout is fixed when a connection is made, and counts for a whole upload
but anew for each piece of a download.  Here it counts for each piece either way,
and the caller's deadline shortens it.
"""

from __future__ import annotations

import os
import socket

from collections.abc import Sequence
from typing import Any

from tiered_store import deadlines


_PIECE = 256 * 1024  # what must be sent within one timeout
_ROOM = 16 * 1024
_LEAST = 0.001  # seconds; none at all would mean not to wait, which is another thing


def hasty(kinds: Sequence[type[Any]], connect_timeout: float) -> type[Any]:
    """Return a class of connections, *kinds* on top of each other, in haste."""
    name = f"Hasty{kinds[0].__name__}"
    return type(name, (_Haste, *kinds), {"connect_patience": connect_timeout})


class _Haste:
    connect_patience: float
    socket_connect_timeout: float
    socket_timeout: float

    def _connect(self) -> HastySocket:
        self.socket_connect_timeout = _bounded(self.connect_patience)
        connected = super()._connect()  # type: ignore[misc]  # of the other base
        connected.settimeout(self.socket_timeout)
        return HastySocket(connected, self.socket_timeout)


class HastySocket:
    """
    A socket whose every wait is bounded by the caller's deadline.

    One that is patient for some time asks the system first whether it must wait; what
    most likely needs no waiting is tried without that question.
    """

    def __init__(self, connected: Any, timeout: float | None) -> None:
        self._socket = connected
        self._recv_into = connected.recv_into
        # that of TLS has to be asked
        self._plain = type(connected) is socket.socket
        self._tries = self._plain and timeout is not None
        self._timeout = timeout
        self._shortened = False
        self._unread = b""
        # for whoever reads: room, and how much of it the next answer most likely needs
        self.room = memoryview(bytearray(_ROOM))
        self.guess = _ROOM

    def recv(self, *args: Any) -> bytes:
        self._hurry()
        return bytes(self._socket.recv(*args))

    def recv_into(self, buffer: Any, *args: Any) -> int:
        if self._unread:
            return self._read_again(buffer)
        if self._shortened or deadlines.ends() is not None:
            self._hurry()
        arrived: int = self._recv_into(buffer, *args)
        return arrived

    def recv_more(self, buffer: Any) -> int:
        """Do as :meth:`recv_into` does, for what has most likely arrived already."""
        if self._tries and not self._unread:
            try:
                return os.readv(self._socket.fileno(), (buffer,))
            except BlockingIOError:
                return self.recv_into(buffer)
        return self.recv_into(buffer)

    def read_more(self, most: int) -> bytes:
        """Return what has arrived already, at most so many bytes; perhaps none."""
        if self._tries and not self._unread:
            try:
                return os.read(self._socket.fileno(), most)
            except BlockingIOError:
                return b""
        return b""

    def unread(self, content: bytes) -> None:
        """Have *content*, which was read last, be read again."""
        self._unread = content

    def send(self, pieces: Sequence[bytes]) -> None:
        """Send *pieces*, with one call of the system if they fit."""
        if not self._tries:
            for piece in pieces:
                self.sendall(piece)
            return
        try:
            sent = os.writev(self._socket.fileno(), pieces)
        except BlockingIOError:  # there is no room
            sent = 0
        for piece in pieces:
            if sent >= len(piece):
                sent -= len(piece)
            else:
                self.sendall(memoryview(piece)[sent:])
                sent = 0

    def sendall(self, content: Any) -> None:
        if len(content) <= _PIECE:
            self._hurry()
            self._socket.sendall(content)
            return
        view = memoryview(content)
        for start in range(0, len(view), _PIECE):
            self._hurry()
            self._socket.sendall(view[start : start + _PIECE])

    def _read_again(self, buffer: Any) -> int:
        view = memoryview(buffer)
        content, self._unread = self._unread[: len(view)], self._unread[len(view) :]
        view[: len(content)] = content
        return len(content)

    def settimeout(self, seconds: float | None) -> None:
        self._timeout = seconds
        self._tries = self._plain and seconds is not None
        self._socket.settimeout(seconds)

    def _hurry(self) -> None:
        left = deadlines.remaining()
        if left is None and not self._shortened:
            return
        self._shortened = left is not None
        patience = self._timeout
        if left is not None and patience != 0:
            patience = left if patience is None else min(patience, left)
            patience = max(patience, _LEAST)
        self._socket.settimeout(patience)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


def _bounded(seconds: float) -> float:
    return max(_LEAST, deadlines.bounded(seconds))
