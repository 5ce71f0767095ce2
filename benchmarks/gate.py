"""
The way to a server, which can be closed: black hole, refused, slow, failing.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading

from typing import Literal


Mode = Literal["open", "hole", "shut", "slow", "failing"]

_RESET = struct.pack("ii", 1, 0)  # linger for no time: closing sends a reset
_LATE = 0.3
_FAILING = 0.4
_ANSWER = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_REQUESTS = (b"GET ", b"PUT ", b"DELETE ", b"HEAD ", b"POST ", b"*")


class Gate:
    """
    Forwards connections to *port* of this machine, as *mode* says of the next bytes.

    Args:
        http: Fail with status 503; otherwise by a reset.
    """

    def __init__(self, port: int, *, http: bool, seed: int = 0) -> None:
        self.mode: Mode = "open"
        self._target = port
        self._http = http
        self._chance = random.Random(seed)
        self._changed = threading.Condition()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def set(self, mode: Mode) -> None:
        """Let *mode* begin; what hung in the last one is reset."""
        with self._changed:
            was, self.mode = self.mode, mode
            self._changed.notify_all()
            held = (
                list(self._sockets) if "hole" in (was, mode) or mode == "shut" else []
            )
        for one in held if mode != "hole" else []:
            _reset(one)

    def close(self) -> None:
        """Let nobody in any more."""
        self.set("shut")
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.mode == "shut":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            client.close()
            return
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._changed:
            self._sockets |= {client, server}
        back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
        back.start()
        self._pump(client, server, asked=True)
        back.join()
        with self._changed:
            self._sockets -= {client, server}
        client.close()
        server.close()

    def _pump(
        self, source: socket.socket, target: socket.socket, *, asked: bool = False
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                if asked and piece.startswith(_REQUESTS) and self._fails(source):
                    break
                with self._changed:
                    self._changed.wait_for(lambda: self.mode != "hole")
                target.sendall(piece)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _fails(self, client: socket.socket) -> bool:
        if self.mode == "slow":
            threading.Event().wait(_LATE)
        if self.mode != "failing" or self._chance.random() >= _FAILING:
            return False
        if self._http:
            client.sendall(_ANSWER)
        else:
            _reset(client)
        return True


def _reset(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        one.shutdown(socket.SHUT_RDWR)
