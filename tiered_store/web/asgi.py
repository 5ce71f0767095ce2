"""
A site as an ASGI application, alone or in front of another (ASGI 3).

Stores block, so each waits in a thread; the event loop, asyncio's or trio's, does not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tiered_store.asynchronous.threads import Threads
from tiered_store.errors import ConfigError
from tiered_store.web.message import Request, Response
from tiered_store.web.prefix import Prefix
from tiered_store.web.site import Site


Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApplication = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class ASGIFace:
    """
    Shows *site* below *prefix*, and leaves every other path to *app*.

    A client that goes away is noticed, takes no turn that it still waited for, and
    frees the body.  One that reads slowly costs no thread, and half a MiB: the piece
    that the server has and the next.

    Args:
        app: Another ASGI application; without it other paths are 404.
        threads: How many stores may be waited for at once; more requests queue, for
            no longer than the site's timeout, and are told 503 then.
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
        self.threads = Threads(threads)

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

        async with anyio.create_task_group() as group:
            group.start_soon(_until_gone, receive, group.cancel_scope)
            response = await self._response(request)
            try:
                await send(_start(response))
                await self._send_body(response, send)
            finally:
                if response.stream is not None:
                    await self.threads.always(response.close)
            group.cancel_scope.cancel()

    async def _response(self, request: Request) -> Response:
        """Wait for a turn, then for the store; both together for the site's timeout."""
        import anyio

        turn, turns = object(), self.threads.turns()
        with anyio.move_on_after(self.site.timeout) as waiting:
            await turns.acquire_on_behalf_of(turn)
        if waiting.cancelled_caught:
            return self.site.busy(request)
        answered: list[Response] = []
        left = max(0.0, waiting.deadline - anyio.current_time())
        try:
            with anyio.CancelScope(shield=True):
                await self.threads.finish(
                    lambda: answered.append(self.site.answer(request, left)),
                    limiter=anyio.CapacityLimiter(1),  # the turn has come
                )
        except BaseException:  # asyncio's own cancel() knows no shield
            for response in answered:
                response.close()
            raise
        finally:
            turns.release_on_behalf_of(turn)
        return answered[0]

    async def _send_body(self, response: Response, send: Send) -> None:
        if response.stream is None:
            await send({"type": "http.response.body", "body": response.content})
            return
        turns = self.threads.turns()  # to be looked up once, not for each piece
        while True:
            piece = await self.threads.finish(response.stream.next_piece, limiter=turns)
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
