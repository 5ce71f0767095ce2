"""Web servers of the tests' own, in this process or in one of theirs."""

from __future__ import annotations

import contextlib
import socketserver
import sys
import threading

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref import simple_server

import uvicorn

from tests.servers.process import ServerProcess, free_port, listening


class _Quiet(simple_server.WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class _Threading(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    daemon_threads = True


@contextlib.contextmanager
def wsgi_server(app: Any) -> Iterator[str]:
    """Yield the URL at which the standard library's server shows *app*."""
    server = simple_server.make_server("127.0.0.1", 0, app, _Threading, _Quiet)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}
    )
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def asgi_server(app: Any) -> Iterator[str]:
    """Yield the URL at which uvicorn shows *app*."""
    config = uvicorn.Config(
        app, port=0, log_level="critical", timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
            assert thread.is_alive()
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join()


@contextlib.contextmanager
def served(
    folder: Path, config: str, *options: str
) -> Iterator[tuple[str, ServerProcess]]:
    """Yield URL and process of ``tiered-store serve`` with the YAML *config*."""
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(config)
    port = free_port()
    command = [sys.executable, "-m", "tiered_store", "serve", "config.yaml"]
    process = ServerProcess(
        [*command, "--port", str(port), *options], lambda: listening(port), folder
    )
    try:
        yield f"http://127.0.0.1:{port}/", process
    finally:
        process.kill()
