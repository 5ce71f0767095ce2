"""
The objects of a store, as a web server shows them.

.. code-block:: python

   site = Site(images, freshness=Freshness(ttl=3600), cors=True)
   response = site.answer(Request("GET", "comics.cover/1234/405x640.jpe"))

A request comes to a response and nothing else: no framework, no socket.  What is not
there is 404, and what could not be found out is 503 with ``Retry-After``, never 404.
"""

from __future__ import annotations

import logging
import math
import re
import secrets as randomness

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from tiered_store.body import Body, BytesBody
from tiered_store.clock import SYSTEM, Clock
from tiered_store.deadlines import deadline
from tiered_store.errors import (
    CorruptError,
    InvalidError,
    NotFoundError,
    StoreError,
    ThrottledError,
    UnavailableError,
    UnsupportedError,
)
from tiered_store.key import Key
from tiered_store.layout import key_of_object, key_of_path, object_name
from tiered_store.signing import Signer
from tiered_store.store import Store
from tiered_store.units import Duration
from tiered_store.web.cors import CrossOrigin
from tiered_store.web.freshness import Freshness
from tiered_store.web.message import PIECE, Joined, Request, Response, Stream
from tiered_store.web.ranges import Span, UnsatisfiableError, spans
from tiered_store.web.sparing import SparingLog
from tiered_store.web.validators import Validators


_METHODS = "GET, HEAD, OPTIONS"
_LONGEST_PATH = 4096  # characters; no name that a store keeps is longer
# types that carry no script; two at once ("image/png,text/html") are none of them
_HARMLESS = re.compile(
    r"(?!.*(xml|svg))(image|audio|video|font)/[a-z0-9.+-]+|application/pdf"
).fullmatch
_SANDBOX = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"

_log = logging.getLogger("tiered_store.web")


class Site:
    """
    Answers requests for the objects of *store*.

    An object is asked for by its name in a bucket (``comics.cover/1234/405x640.jpe``)
    or in a directory (``comics.cover/234/1/1234.405x640.jpe``, the original's URLs).
    A name that no key has leads nowhere: paths are never joined to anything.

    Args:
        freshness: What browsers and proxies are told to keep.
        cors: Whether pages from anywhere may read the bytes; or from which origins,
            such as ``https://example.com``, of which ``*`` is any.
        signer: Only who has a signed URL is shown anything.
        timeout: Seconds until the bytes begin to come; None waits as long as the store.
        retry_after: Seconds to ask for patience in an outage, unless the store says.

    Raises:
        ConfigError: Of *cors*, something is no origin, and would never be one.

    Attributes:
        store: Where the objects are; whoever made it closes it.
        timeout: As it was given.
    """

    def __init__(
        self,
        store: Store,
        *,
        freshness: Freshness | None = None,
        cors: bool | Sequence[str] = False,
        signer: Signer | None = None,
        timeout: Duration | None = 30.0,
        retry_after: Duration = 5.0,
        clock: Clock = SYSTEM,
    ) -> None:
        self.store = store
        self._freshness = freshness or Freshness()
        self._cors = CrossOrigin(cors)
        self._signer = signer
        self.timeout = timeout
        self._retry_after = retry_after
        self._clock = clock
        self._failures = SparingLog(_log, clock)

    def answer(self, request: Request, left: float = math.inf) -> Response:
        """
        Return the response to *request*, whatever happens; close it.

        Args:
            left: Seconds until the bytes are to come, if that is less than *timeout*.
        """
        try:
            with self._in_time(left):
                response = self._answer(request)
        except StoreError as error:
            response = self._failure(error)
        except Exception:  # noqa: BLE001 - the client is told, and the log
            _log.exception("a bug: %s %r", request.method, request.path)
            response = _say(500, "a bug")
        return self._finished(request, response)

    def busy(self, request: Request) -> Response:
        """Return the response to a *request* that nobody had time for."""
        error = UnavailableError("every thread waits for a store")
        return self._finished(request, self._failure(error))

    def _finished(self, request: Request, response: Response) -> Response:
        response.headers += self._cors.headers(request)
        if request.method == "HEAD":
            response.close()
            response.content, response.stream = b"", None
        return response

    def _answer(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return self._options(request)
        if request.method not in ("GET", "HEAD"):
            refusal = _say(405, f"only {_METHODS}")
            refusal.headers.append(("Allow", _METHODS))
            return refusal
        if request.path is None or "\0" in request.path:
            return _say(400, "the path is not UTF-8")
        key = _key(request.path)
        if key is None:
            return _absent()
        left = None
        if self._signer is not None:
            left = self._signer.lifetime(object_name(key), request.query)
            if left is None:
                return _say(403, "the URL is not signed, or its time is over")
        return self._show(request, key, self.store.get(key), left)

    def _in_time(self, left: float) -> AbstractContextManager[None]:
        seconds = left if self.timeout is None else min(left, self.timeout)
        return nullcontext() if math.isinf(seconds) else deadline(seconds)

    def _show(
        self, request: Request, key: Key, body: Body, left: float | None
    ) -> Response:
        if body.size <= PIECE:
            body = body.in_memory()
        validators = Validators.of(body, self._clock.time())
        headers = [
            *validators.headers(),
            ("Cache-Control", self._freshness.header(body, left)),
        ]
        verdict = validators.judge(request.headers)
        if verdict == "unchanged":
            return Response(304, headers)
        if verdict == "failed":
            return _say(412, "it is another version")
        headers += [("Accept-Ranges", "bytes"), *_kind(key.mimetype)]
        wanted = request.headers.get("range")
        if (
            wanted is None
            or request.method != "GET"
            or not validators.allow_range(request.headers.get("if-range"))
        ):
            return _whole(body, headers, key.mimetype, head=request.method == "HEAD")
        try:
            found = spans(wanted, body.size)
        except UnsatisfiableError:
            refusal = _say(416, f"it has {body.size} bytes")
            refusal.headers.append(("Content-Range", f"bytes */{body.size}"))
            return refusal
        if found is None:
            return _whole(body, headers, key.mimetype)
        if len(found) == 1:
            return _part(body, found[0], headers, key.mimetype)
        return _parts(body, found, headers, key.mimetype)

    def _failure(self, error: StoreError) -> Response:
        if isinstance(error, NotFoundError):
            return _absent()
        if isinstance(error, InvalidError):
            return _say(400, "no store could keep such an object")
        self._failures.warn(error)
        if isinstance(error, CorruptError):
            return _say(500, "the object is damaged")
        if isinstance(error, UnsupportedError):
            return _say(501, "the store cannot show objects")
        seconds = self._retry_after
        if isinstance(error, ThrottledError) and error.retry_after is not None:
            seconds = error.retry_after
        response = _say(503, "it could not be found out; try again")
        response.headers.append(("Retry-After", str(max(1, math.ceil(seconds)))))
        return response

    def _options(self, request: Request) -> Response:
        return Response(204, [("Allow", _METHODS), *self._cors.preflight(request)])


def _key(path: str) -> Key | None:
    if len(path) > _LONGEST_PATH:
        return None
    return key_of_object(path) or key_of_path(path)


def _kind(mimetype: str) -> list[tuple[str, str]]:
    """Return headers that keep what users have uploaded from being a page of ours."""
    told = [("X-Content-Type-Options", "nosniff")]
    if not _HARMLESS(mimetype):
        told.append(("Content-Security-Policy", _SANDBOX))
    return told


def _whole(
    body: Body, headers: list[tuple[str, str]], mimetype: str, *, head: bool = False
) -> Response:
    headers = [("Content-Type", mimetype), ("Content-Length", str(body.size)), *headers]
    if head:
        return Response(200, headers)
    if isinstance(body, BytesBody):
        return Response(200, headers, body.read())
    return Response(200, headers, stream=Stream(body, 0, body.size))


def _part(
    body: Body, span: Span, headers: list[tuple[str, str]], mimetype: str
) -> Response:
    headers = [
        ("Content-Type", mimetype),
        ("Content-Length", str(span.length)),
        ("Content-Range", span.header(body.size)),
        *headers,
    ]
    return Response(206, headers, stream=Stream(body, span.start, span.length))


def _parts(
    body: Body, found: list[Span], headers: list[tuple[str, str]], mimetype: str
) -> Response:
    boundary = randomness.token_hex(16)
    parts: list[bytes | tuple[int, int]] = []
    for span in found:
        between = "\r\n" if parts else ""
        parts.append(
            (
                f"{between}--{boundary}\r\nContent-Type: {mimetype}\r\n"
                f"Content-Range: {span.header(body.size)}\r\n\r\n"
            ).encode()
        )
        parts.append((span.start, span.length))
    parts.append(f"\r\n--{boundary}--\r\n".encode())
    length = sum(len(part) if isinstance(part, bytes) else part[1] for part in parts)
    headers = [
        ("Content-Type", f"multipart/byteranges; boundary={boundary}"),
        ("Content-Length", str(length)),
        *headers,
    ]
    return Response(206, headers, stream=Joined(body, parts))


def _say(status: int, why: str) -> Response:
    content = f"{status}: {why}\n".encode()
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(content))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    return Response(status, headers, content)


def _absent() -> Response:
    return _say(404, "no such object")
