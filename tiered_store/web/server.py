"""
``tiered-store serve``: a stack behind uvicorn, in one process or several.
"""

from __future__ import annotations

import json
import logging
import os

from collections.abc import MutableMapping
from dataclasses import asdict, dataclass
from typing import Any

from tiered_store.config import load
from tiered_store.errors import ConfigError
from tiered_store.store import Store
from tiered_store.tree import walk
from tiered_store.web.asgi import ASGIApplication, ASGIFace, Receive, Send
from tiered_store.web.freshness import Freshness
from tiered_store.web.parent import end_with_parent
from tiered_store.web.site import Site
from tiered_store.wrappers.served import ServedStore


HEALTH = "/-/health"  # no object has such a name
_VARIABLE = "TIERED_STORE_SERVE"  # how each worker learns what to serve
_GRACE = 30  # seconds for what is under way when it is asked to end
_SILENCE = 30  # seconds; one that starts on a busy machine was killed after uvicorn's 5


@dataclass(frozen=True, slots=True)
class Options:
    """What to serve, and how; passed on to each worker."""

    config: str
    store: str | None = None
    prefix: str | None = None
    cors: tuple[str, ...] = ()
    ttl: float = 300.0
    reproducible_ttl: float = 60.0
    timeout: float = 30.0
    threads: int = 64


def serve(
    options: Options, *, host: str, port: int, workers: int, access_log: bool
) -> None:
    """
    Serve until a signal says otherwise; what is under way is given 30 seconds.

    Raises:
        ConfigError: The configuration is wrong, which is told before it serves.
    """
    import uvicorn

    with load(options.config, options.store) as stack:
        _site(options, stack, _served(stack))
    os.environ[_VARIABLE] = json.dumps(asdict(options))
    uvicorn.run(
        "tiered_store.web.server:application",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        access_log=access_log,
        timeout_graceful_shutdown=_GRACE,
        timeout_worker_healthcheck=_SILENCE,
        server_header=False,
    )


def application() -> ASGIApplication:
    """
    Return the application of one worker, whose stack is closed when it ends.

    It ends as well when its supervisor is killed, with what is under way finished.
    """
    end_with_parent()
    said = json.loads(os.environ[_VARIABLE])
    options = Options(**{**said, "cors": tuple(said["cors"])})
    stack = load(options.config, options.store)
    served = _served(stack)
    logging.getLogger("uvicorn.access").addFilter(_without_query)
    prefix = options.prefix
    if prefix is None:
        prefix = "" if served is None else served.prefix
    site = _site(options, stack, served)
    face = ASGIFace(site, _Alive(stack), prefix=prefix, threads=options.threads)
    return _health_first(face)


def _site(options: Options, stack: Store, served: ServedStore | None) -> Site:
    return Site(
        stack,
        freshness=Freshness(options.ttl, options.reproducible_ttl),
        cors=options.cors or False,
        signer=None if served is None else served.signer,
        timeout=options.timeout,
    )


def _served(stack: Store) -> ServedStore | None:
    """
    Return what says where objects are and who signs, if the stack has it.

    Raises:
        ConfigError: Several say different things; whichever is followed, another's
            objects are open to everybody, or to nobody.
    """
    found = [one for one in walk(stack) if isinstance(one, ServedStore)]
    said = {(one.prefix, one.secret, *one.old_secrets) for one in found}
    if len(said) > 1:
        raise ConfigError(
            f"{' and '.join(map(str, found))}: served stores of one stack must have "
            "the same path and secrets; serve each by itself"
        )
    return found[0] if found else None


def _without_query(record: logging.LogRecord) -> bool:
    """Take the query, which has the signature, from a line of uvicorn's access log."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            one.partition("?")[0] if isinstance(one, str) else one
            for one in record.args
        )
    return True


def _health_first(app: ASGIApplication) -> ASGIApplication:
    """Return *app* with the page that says that the process is there."""

    async def first(
        scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        if scope["type"] == "http" and scope["path"] == HEALTH:
            await _plain(send, 200, b"serving\n")
        else:
            await app(scope, receive, send)

    return first


class _Alive:
    """What there is beside objects: the beginning and the end of the process."""

    def __init__(self, stack: Store) -> None:
        self._stack = stack

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        if scope["type"] == "http":
            await _plain(send, 404, b"404: no such page\n")
            return
        if scope["type"] != "lifespan":
            return
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                import anyio.to_thread

                try:
                    await anyio.to_thread.run_sync(self._stack.close)
                except Exception:
                    logging.getLogger("tiered_store.web").exception("not all closed")
                await send({"type": "lifespan.shutdown.complete"})
                return


async def _plain(send: Send, status: int, content: bytes) -> None:
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
