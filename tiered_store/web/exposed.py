"""
A store whose objects an application shows, as ``HttpExposedFileSystemStore`` does.

.. code-block:: python

   images = ExposedStore(load("images.yaml"), prefix="images", cors=True)
   app.wsgi_app = images.wsgi_middleware(app.wsgi_app)  # or asgi_middleware(app)
"""

from __future__ import annotations

import re

from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from contextvars import ContextVar
from typing import Any

from tiered_store.errors import UnsupportedError
from tiered_store.events import Verb
from tiered_store.key import Key
from tiered_store.layout import object_name
from tiered_store.signing import Signer
from tiered_store.store import Store
from tiered_store.units import Duration
from tiered_store.urls import join_url
from tiered_store.web.asgi import ASGIApplication, ASGIFace, Receive, Send
from tiered_store.web.freshness import Freshness
from tiered_store.web.site import Site
from tiered_store.web.wsgi import Environ, StartResponse, WSGIApplication, WSGIFace
from tiered_store.wrapper import Wrapper


_HOST = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d+)?", re.ASCII)
_host_url: ContextVar[str | None] = ContextVar("tiered_store_host_url", default=None)


class ExposedStore(Wrapper):
    """
    A *child* whose URLs lead to the application that it is part of.

    During a request its host is that of the request; elsewhere (Celery, a shell) say
    it with *host_url_getter*.  The original remembered the host of the first request
    for ever, and so whatever that client had put there.

    Args:
        prefix: The path below which objects are shown.
        host_url_getter: Returns the host's URL, such as ``https://example.com/``.
        cors: As :class:`~tiered_store.web.site.Site` takes it, and so *freshness*,
            *signer* and *timeout*.
        url_expires: For how long a URL holds, if there is a *signer*.
        hosts: Whose names a request may say it is for, such as ``example.com``, or
            ``.example.com`` with all below it; another one gets into no URL.  A client
            says what it likes: without *hosts* and *host_url_getter*, a page that is
            cached for others must not be one that names pictures.
    """

    def __init__(
        self,
        child: Store,
        prefix: str = "__images__",
        host_url_getter: Callable[[], str] | None = None,
        cors: bool | Sequence[str] = False,
        *,
        freshness: Freshness | None = None,
        signer: Signer | None = None,
        url_expires: Duration = 3600.0,
        timeout: Duration | None = 30.0,
        hosts: Sequence[str] | None = None,
    ) -> None:
        if isinstance(hosts, str):
            hosts = [hosts]
        if host_url_getter is not None and not callable(host_url_getter):
            raise TypeError("host_url_getter must be callable")
        super().__init__(child)
        self.prefix = prefix.strip("/")
        self.host_url_getter = host_url_getter
        self.signer = signer
        self.url_expires = url_expires
        self.hosts = None if hosts is None else tuple(map(str.lower, hosts))
        self.site = Site(
            self.child, freshness=freshness, cors=cors, signer=signer, timeout=timeout
        )

    @property
    def base_url(self) -> str:
        """
        Return where objects are shown.

        Raises:
            UnsupportedError: No request is being answered, and nobody says the host.
        """
        host = self.host_url_getter() if self.host_url_getter else _host_url.get()
        if host is None:
            raise UnsupportedError(
                "the host of its URLs is not known outside a request, nor in one for "
                "a host that is not allowed; give a host_url_getter, or wrap the "
                "application in wsgi_middleware() or asgi_middleware()"
            )
        return join_url(host, f"{self.prefix}/" if self.prefix else "")

    def wsgi_middleware(self, app: WSGIApplication) -> WSGIApplication:
        """Return *app* with the objects in front of it."""
        return _WSGIHost(WSGIFace(self.site, app, prefix=self.prefix), self._checked)

    def asgi_middleware(self, app: ASGIApplication) -> ASGIApplication:
        """Return *app* with the objects in front of it; needs the extra ``web``."""
        face = ASGIFace(self.site, app, prefix=self.prefix)

        async def with_host(
            scope: MutableMapping[str, Any], receive: Receive, send: Send
        ) -> None:
            headers = dict(scope.get("headers", ()))
            host = headers.get(b"host", b"").decode("latin-1")
            token = _host_url.set(self._checked(scope.get("scheme", "http"), host))
            try:
                await face(scope, receive, send)
            finally:
                _host_url.reset(token)

        return with_host

    def _checked(self, scheme: str, host: str) -> str | None:
        match = _HOST.fullmatch(host)
        if match is None:
            return None  # whatever it is, it goes into no page
        name = match[1].lower()
        if self.hosts is not None and not any(
            name == one.removeprefix(".") or (one[:1] == "." and name.endswith(one))
            for one in self.hosts
        ):
            return None
        return f"{scheme}://{host}/"

    def _url(self, key: Key) -> str:
        name = object_name(key)
        url = join_url(self.base_url, name)
        if self.signer is None:
            return url
        return f"{url}?{self.signer.query(name, self.url_expires)}"

    def capabilities(self) -> frozenset[Verb]:
        """What *child* can do, and URLs."""
        return super().capabilities() | {"url"}


class _WSGIHost:
    """Says whose request it is while *app* answers, its content included."""

    def __init__(
        self, app: WSGIApplication, checked: Callable[[str, str], str | None]
    ) -> None:
        self._app = app
        self._checked = checked

    def __call__(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        scheme = environ.get("wsgi.url_scheme", "http")
        host = self._checked(scheme, environ.get("HTTP_HOST", ""))
        token = _host_url.set(host)
        try:
            content = self._app(environ, start)
        finally:
            _host_url.reset(token)
        if isinstance(content, list | tuple):
            return content
        return _Told(content, host)


class _Told:
    def __init__(self, content: Iterable[bytes], host: str | None) -> None:
        self._content = content
        self._host = host
        self._pieces: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        token = _host_url.set(self._host)
        try:
            if self._pieces is None:
                self._pieces = iter(self._content)
            return next(self._pieces)
        finally:
            _host_url.reset(token)

    def close(self) -> None:
        close = getattr(self._content, "close", None)
        if close is not None:
            close()
