"""
What it costs to have bytes from a server with nothing around it.
"""

from __future__ import annotations

import socket


class RawClient:
    """Speaks just enough of the protocol to read one string."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(2**21)

    def get(self, name: bytes) -> bytes:
        """Return the string called *name*, of a megabyte or so at most."""
        self._socket.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(name), name))
        view = memoryview(self._buffer)
        had = self._socket.recv_into(view)
        begins = self._buffer.index(b"\r\n") + 2
        ends = begins + int(self._buffer[1 : begins - 2])
        while had < ends + 2:
            had += self._socket.recv_into(view[had:])
        return bytes(view[begins:ends])

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._socket.close()
