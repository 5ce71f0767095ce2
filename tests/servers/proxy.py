"""
A proxy between a store and its server that breaks what passes through it.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading


_RESET = struct.pack("ii", 1, 0)  # linger for no time: closing sends a reset


class Proxy:
    """
    Forwards connections to *port*; what is set on it holds from the next byte on.

    Attributes:
        cut_answer: Bytes of answers to let through before their connection ends.
        cut_request: The same for requests; their connection is reset.
        harsh: Answers are cut by a reset too, and what was under way is lost.
        flip_answer: Bytes of answers to let through before a bit of one is flipped.
        flip_request: The same for requests.
        hold_answer: Bytes of answers to let through before nothing more comes, for as
            long as *black_hole* is true then.
        black_hole: Nothing gets through in either direction, and nobody is told.
        reset_at_accept: Connections are reset before a byte.
        latency: Seconds before each piece of an answer.
        canned: What every request is answered with, without asking the server.
        drip: After how many bytes of an answer there is a pause, and of how many
            seconds.
        requests: The heads of requests, as far as they came in one piece.
        connections: How many there have been.
        open: How many there are.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.cut_answer: int | None = None
        self.cut_request: int | None = None
        self.harsh = False
        self.flip_answer: int | None = None
        self.flip_request: int | None = None
        self.hold_answer: int | None = None
        self.black_hole = False
        self.reset_at_accept = False
        self.latency = 0.0
        self.canned: bytes | None = None
        self.drip: tuple[int, float] | None = None
        self.requests: list[bytes] = []
        self.connections = 0
        self.open = 0
        self._target = port
        self._tls = tls
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}"

    def close(self) -> None:
        """Stop listening and drop every connection."""
        self._closing.set()
        self.refuse()
        for thread in self._threads:
            thread.join(5)

    def refuse(self) -> None:
        """Stop listening and drop every connection, until :meth:`admit`."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for one in self._sockets:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def admit(self) -> None:
        """Listen again, on the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._threads.append(threading.Thread(target=self._accept, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        listener = self._listener
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self.open += 1
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        server: socket.socket | None = None
        try:
            if self.reset_at_accept:
                _reset(client)
                raise ConnectionResetError
            if self._tls is not None:
                client = self._tls.wrap_socket(client, server_side=True)
            server = socket.create_connection(("127.0.0.1", self._target))
            with self._lock:
                self._sockets |= {client, server}
            answers = threading.Thread(
                target=self._answers, args=(server, client), daemon=True
            )
            answers.start()
            self._requests(client, server)
            answers.join()
        except OSError:  # one of them went away, which is what a proxy sees all day
            pass
        finally:
            with self._lock:
                self._sockets -= {client, server}  # type: ignore[arg-type]
                self.open -= 1
            for one in (client, server):
                if one is not None:
                    one.close()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := client.recv(65536):
                head, end, _ = piece.partition(b"\r\n\r\n")
                if end:
                    self.requests.append(head)
                while self.black_hole and not self._closing.is_set():
                    self._closing.wait(0.01)
                if self.canned is not None:
                    client.sendall(self.canned)
                    break
                if self.flip_request is not None:
                    if self.flip_request < len(piece):
                        piece = _flipped(piece, self.flip_request)
                        self.flip_request = None
                    else:
                        self.flip_request -= len(piece)
                if self.cut_request is not None:
                    if self.cut_request < len(piece):
                        self.cut_request = None
                        _reset(client)
                        break
                    self.cut_request -= len(piece)
                server.sendall(piece)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        handed = 0
        with contextlib.suppress(OSError):
            while piece := server.recv(65536):
                self._closing.wait(self.latency)
                if self.hold_answer is not None:
                    if self.hold_answer < len(piece):
                        client.sendall(piece[: self.hold_answer])
                        piece = piece[self.hold_answer :]
                        self.hold_answer, self.black_hole = None, True
                    else:
                        self.hold_answer -= len(piece)
                while self.black_hole and not self._closing.is_set():
                    self._closing.wait(0.01)
                if self.flip_answer is not None:
                    if self.flip_answer < len(piece):
                        piece = _flipped(piece, self.flip_answer)
                        self.flip_answer = None
                    else:
                        self.flip_answer -= len(piece)
                if self.cut_answer is not None:
                    if self.cut_answer < len(piece):
                        client.sendall(piece[: self.cut_answer])
                        self.cut_answer = None
                        if self.harsh:
                            _reset(client)
                            return
                        break
                    self.cut_answer -= len(piece)
                handed = self._hand_on(piece, client, handed)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def _hand_on(self, piece: bytes, client: socket.socket, handed: int) -> int:
        """Return how many bytes have been handed on since the last pause."""
        while self.drip is not None and handed + len(piece) >= self.drip[0]:
            size, pause = self.drip
            now = max(0, size - handed)
            client.sendall(piece[:now])
            piece, handed = piece[now:], 0
            self._closing.wait(pause)
        client.sendall(piece)
        return handed + len(piece)


def _flipped(piece: bytes, at: int) -> bytes:
    return piece[:at] + bytes([piece[at] ^ 1]) + piece[at + 1 :]


def _reset(one: socket.socket) -> None:
    """Drop the connection so that its other end hears of it at once."""
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    one.shutdown(socket.SHUT_RD)  # wakes whoever reads from it, who closes it
