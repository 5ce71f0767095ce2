"""
A site as an ASGI application, alone or in front of another (ASGI 3).

Stores block, so each waits in a thread; the event loop, asyncio's or trio's, does not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tiered_store.errors import ConfigError
from tiered_store.web.message import Joined, Request, Response, Stream
from tiered_store.web.prefix import Prefix
from tiered_store.web.site import Site


Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApplication = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class ASGIFace:
    """
    Shows *site* below *prefix*, and leaves every other path to *app*.

    A client that goes away is noticed while its bytes are on their way, and frees the
    body.  One that reads slowly costs 256 KiB and no thread.

    Args:
        app: Another ASGI application; without it other paths are 404.
        threads: How many stores may be waited for at once; more requests queue.
    """

    def __init__(
        self,
        site: Site,
        app: ASGIApplication | None = None,
        *,
        prefix: str = "",
        threads: int = 64,
    ) -> None:
        try:
            import anyio  # noqa: F401 - to say at once that it is missing
        except ImportError:
            raise ConfigError(
                "an ASGI application needs packages: pip install 'tiered-store[web]'"
            ) from None
        self.site = site
        self._app = app
        self._prefix = Prefix(prefix)
        self._threads = threads
        self._limiter: Any = None

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        if scope["type"] == "lifespan" and self._app is None:
            await _live(receive, send)
            return
        inside = None
        if scope["type"] == "http":
            inside = self._prefix.strip(_path(scope))
        if self._app is not None and inside is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(_request(scope, inside or ""), receive, send)

    async def _answer(self, request: Request, receive: Receive, send: Send) -> None:
        import anyio
        import anyio.to_thread

        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._threads)
        with anyio.CancelScope(shield=True):  # or nobody would close the response
            response = await anyio.to_thread.run_sync(
                self.site.answer, request, limiter=self._limiter
            )
        if response.stream is None:
            await send(_start(response))
            await send({"type": "http.response.body", "body": response.content})
            return
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_until_gone, receive, group.cancel_scope)
                await send(_start(response))
                await self._stream(response.stream, send)
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(response.close, limiter=self._limiter)

    async def _stream(self, stream: Stream | Joined, send: Send) -> None:
        import anyio.to_thread

        while True:
            piece = await anyio.to_thread.run_sync(
                stream.next_piece, limiter=self._limiter
            )
            more = bool(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": more})
            if not more:
                return


async def _until_gone(receive: Receive, scope: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            scope.cancel()
            return


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return


def _path(scope: MutableMapping[str, Any]) -> str:
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if root else path


def _request(scope: MutableMapping[str, Any], inside: str) -> Request:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        known, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[known] = f"{headers[known]}, {text}" if known in headers else text
    return Request(
        method=scope["method"],
        path=None if "\N{REPLACEMENT CHARACTER}" in inside else inside,
        query=scope.get("query_string", b"").decode("latin-1"),
        headers=headers,
    )


def _start(response: Response) -> Message:
    return {
        "type": "http.response.start",
        "status": response.status,
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in response.headers
        ],
    }
