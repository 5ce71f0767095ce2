"""
A server that answers as it was told to.
"""

from __future__ import annotations

import threading
import time

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """A status, a body and headers, those that are None left out, after *seconds*."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str | None] = field(default_factory=dict)
    seconds: float = 0.0


Made = Callable[[Mapping[str, str]], Answer]  # from headers, named in lower case


class StubServer:
    """
    Gives *answers*, by method or to everything under ``"*"``, the last one for ever.

    Attributes:
        requests: Method and path of each, query and all, and its headers.
        answered: The methods of those that were answered, in that order.
    """

    def __init__(self, answers: Mapping[str, Sequence[Answer | Made]]) -> None:
        self.requests: list[tuple[str, str, Mapping[str, str]]] = []
        waiting = {method: list(given) for method, given in answers.items()}
        requests = self.requests
        answered: list[str] = []
        self.answered = answered

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                requests.append((self.command, self.path, dict(self.headers.items())))
                given = waiting.get(self.command) or waiting["*"]
                next_one = given.pop(0) if len(given) > 1 else given[0]
                asked = {name.lower(): told for name, told in self.headers.items()}
                answer = next_one(asked) if callable(next_one) else next_one
                time.sleep(answer.seconds)
                answered.append(self.command)
                self.send_response(answer.status)
                headers = {"Content-Length": str(len(answer.body)), **answer.headers}
                for name, value in headers.items():
                    if value is not None:
                        self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)

            def log_message(self, *args: Any) -> None:
                pass

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
