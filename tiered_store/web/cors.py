"""
Whose pages may read the bytes: what browsers are told of cross-origin requests.
"""

from __future__ import annotations

import re

from collections.abc import Sequence

from tiered_store.errors import ConfigError
from tiered_store.web.message import Request


_MAY_ASK = "Range, If-Range, If-Match, If-None-Match, If-Modified-Since"
_MAY_SEE = "ETag, Content-Length, Content-Range, Accept-Ranges, Retry-After"
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#\s]+|null", re.IGNORECASE).fullmatch


class CrossOrigin:
    """
    Says whose pages may read: anybody's, nobody's, or those of some origins.

    Raises:
        ConfigError: Something among them is no origin, and would never match one.
    """

    def __init__(self, allowed: bool | Sequence[str]) -> None:
        if isinstance(allowed, str):  # whose letters would be the origins
            allowed = [allowed]
        if not isinstance(allowed, bool):
            for one in allowed:
                if one != "*" and not _ORIGIN(one):
                    raise ConfigError(
                        f"cors: not an origin: {one!r}; write it as browsers do, like "
                        "https://example.com, without a path or a slash at its end"
                    )
            allowed = "*" in allowed or list(map(str.lower, allowed))
        self._allowed = allowed

    def preflight(self, request: Request) -> list[tuple[str, str]]:
        """Return what a browser is told that asks before it reads."""
        asks = "access-control-request-method" in request.headers
        if not (self._allowed and asks):
            return []
        return [
            ("Access-Control-Allow-Methods", "GET, HEAD"),
            ("Access-Control-Allow-Headers", _MAY_ASK),
            ("Access-Control-Max-Age", "86400"),
        ]

    def headers(self, request: Request) -> list[tuple[str, str]]:
        """Return what every response to *request* tells, those of errors as well."""
        if self._allowed is False:
            return []
        told = [("Access-Control-Expose-Headers", _MAY_SEE)]
        if self._allowed is True:
            return [("Access-Control-Allow-Origin", "*"), *told]
        vary = ("Vary", "Origin")
        origin = request.headers.get("origin")
        if origin not in self._allowed:
            return [vary]
        return [("Access-Control-Allow-Origin", str(origin)), vary, *told]
