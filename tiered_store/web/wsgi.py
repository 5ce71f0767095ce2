"""
A site as a WSGI application, alone or in front of another (PEP 3333).
"""

from __future__ import annotations

import http

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tiered_store.web.message import Joined, Request, Response, Stream
from tiered_store.web.prefix import Prefix
from tiered_store.web.site import Site


Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WSGIApplication = Callable[[Environ, StartResponse], Iterable[bytes]]


class WSGIFace:
    """
    Shows *site* below *prefix*, and leaves every other path to *app*.

    The server closes what it is given, so a client that goes away frees the body.

    Args:
        app: Another WSGI application; without it other paths are 404.
    """

    def __init__(
        self, site: Site, app: WSGIApplication | None = None, *, prefix: str = ""
    ) -> None:
        self.site = site
        self._app = app
        self._prefix = Prefix(prefix)

    def __call__(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        raw = environ.get("PATH_INFO", "").encode("latin-1")
        inside = self._prefix.strip(raw.decode("utf-8", "surrogateescape"))
        if inside is None and self._app is not None:
            return self._app(environ, start)
        response = self.site.answer(_request(environ, inside))
        phrase = http.HTTPStatus(response.status).phrase
        try:
            start(f"{response.status} {phrase}", response.headers)
        except BaseException:
            response.close()
            raise
        return _content(response)


def _request(environ: Environ, inside: str | None) -> Request:
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    return Request(
        method=environ.get("REQUEST_METHOD", "GET"),
        path="" if inside is None else _valid(inside),
        query=environ.get("QUERY_STRING", ""),
        headers=headers,
    )


def _valid(path: str) -> str | None:
    try:
        path.encode()
    except UnicodeEncodeError:  # it was no UTF-8
        return None
    return path


def _content(response: Response) -> Iterable[bytes]:
    if response.stream is not None:
        return _Pieces(response.stream)
    return [response.content] if response.content else []


class _Pieces:
    """A stream as a server wants it; closed by the server, or at the end."""

    def __init__(self, stream: Stream | Joined) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = self._stream.next_piece()
        if not piece:
            self._stream.close()
            raise StopIteration
        return piece

    def close(self) -> None:
        self._stream.close()
