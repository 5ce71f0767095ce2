"""
Moto's server, one request at a time: it is not made for several.

Run as ``python -m tests.servers.moto PORT``.
"""

from __future__ import annotations

import io
import sys
import threading

from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    create_backend_app,
)
from werkzeug.serving import run_simple


def main(port: int) -> None:
    """Serve on *port* of the loopback interface until killed."""
    inner = DomainDispatcherApplication(create_backend_app)
    lock = threading.Lock()

    def serial(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
        with lock:
            return [b"".join(inner(environ, start))]

    run_simple("127.0.0.1", port, serial, threaded=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
