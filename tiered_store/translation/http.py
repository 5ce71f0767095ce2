"""
What an HTTP status, or the failure to get one, means for a store.
"""

from __future__ import annotations

import io
import re
import time

from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from tiered_store.errors import (
    ConflictError,
    CorruptError,
    DeniedError,
    FullError,
    InvalidError,
    MisconfiguredError,
    NotFoundError,
    StoreError,
    ThrottledError,
    TooLargeError,
    UnavailableError,
    UnsupportedError,
)


# What is not listed: 3xx leads to some other place, 4xx is invalid, 5xx unavailable.
_BY_STATUS: Mapping[int, type[StoreError]] = {
    304: ConflictError,
    401: DeniedError,
    402: DeniedError,
    403: DeniedError,
    404: NotFoundError,
    405: UnsupportedError,
    407: MisconfiguredError,  # a proxy wants to know who asks
    408: UnavailableError,
    409: ConflictError,
    410: NotFoundError,
    412: ConflictError,
    413: TooLargeError,
    414: TooLargeError,
    421: UnavailableError,
    423: ConflictError,
    425: UnavailableError,
    429: ThrottledError,
    431: TooLargeError,
    451: DeniedError,
    499: UnavailableError,
    501: MisconfiguredError,
    503: ThrottledError,
    505: MisconfiguredError,
    507: FullError,
    509: ThrottledError,
    511: MisconfiguredError,
}
_BY_HUNDRED: Mapping[int, type[StoreError]] = {
    3: MisconfiguredError,
    4: InvalidError,
    5: UnavailableError,
}

# The first class that an error, or its reason, belongs to decides.
_BY_CLASS: Mapping[str, type[StoreError]] = {
    "DecodeError": CorruptError,  # urllib3
    "ContentDecodingError": CorruptError,  # requests
    "DecodingError": CorruptError,  # httpx
    "InvalidChunkLength": UnavailableError,
    "LocationValueError": MisconfiguredError,  # no URL: urllib3
    "MissingSchema": MisconfiguredError,  # requests
    "InvalidSchema": MisconfiguredError,
    "InvalidProxyURL": MisconfiguredError,
    "InvalidURL": MisconfiguredError,  # everybody
    "UnsupportedProtocol": MisconfiguredError,  # httpx
    "TooManyRedirects": MisconfiguredError,
    "SSLCertVerificationError": MisconfiguredError,
}
_NEVER_SENT = frozenset(
    {
        "NewConnectionError",  # urllib3, and a name that cannot be resolved
        "ConnectTimeoutError",
        "ConnectTimeout",  # requests, httpx
        "ConnectError",  # httpx
        "ConnectionRefusedError",
        "gaierror",
    }
)
_OWN_POOL = frozenset({"EmptyPoolError", "PoolTimeout"})
_WRONG_TLS = ("CERTIFICATE_VERIFY_FAILED", "DOESN'T_MATCH", "WRONG_VERSION_NUMBER")
_QUERY = re.compile(r"(?<=\S)\?[^\s\"'<>)]*")
_CREDENTIALS = re.compile(r"://[^/@\s\"']*@")
_LONGEST = 300
_DEPTH = 6


def by_status(
    status: int, message: str, headers: Mapping[str, str] | None = None
) -> StoreError:
    """
    Return what *status* means where no code says more.

    Args:
        headers: Of the answer; they may say how long to wait.
    """
    kind = _BY_STATUS.get(status) or _BY_HUNDRED.get(status // 100)
    if kind is None:
        return StoreError(f"unclassified status {status}: {message}")
    error = kind(f"{message} (HTTP {status})")
    if kind is UnavailableError and status >= 499:
        error.ambiguous = True  # it failed half way, or whoever stands before it did
    if isinstance(error, ThrottledError):
        error.retry_after = retry_after(headers or {})
    return error


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a ``Retry-After`` header says, if there is one."""
    for name, value in headers.items():
        if name.lower() != "retry-after":
            continue
        try:
            return max(0.0, float(value))
        except ValueError:
            pass
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
        except ValueError:
            return None
    return None


def translate(error: Any, family: frozenset[str]) -> StoreError:
    """Return what an error of urllib, urllib3, requests or httpx means."""
    message = shown(str(error) or type(error).__name__)
    status = _status(error)
    if isinstance(getattr(error, "fp", None), io.IOBase):
        error.close()  # urllib's is also the open response, which nobody will read
    if status is not None:
        return by_status(status, message, _headers(error))
    names: frozenset[str] = family.union(*(names_of(why) for why in reasons(error)))
    if wrong_tls(message):
        return MisconfiguredError(message)
    for name, kind in _BY_CLASS.items():
        if name in names:
            return kind(message)
    if names & _OWN_POOL:
        return UnavailableError(message, local=True, failover=False)
    return UnavailableError(message, ambiguous=not names & _NEVER_SENT)


def wrong_tls(message: str) -> bool:
    """Say whether *message* tells of a TLS that will not work the next time either."""
    return any(text in message.upper().replace(" ", "_") for text in _WRONG_TLS)


def shown(text: str) -> str:
    """Return *text* as a message may show it: short, and no URL with its secrets."""
    text = _CREDENTIALS.sub("://****@", _QUERY.sub("", " ".join(text.split())))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def reasons(error: BaseException) -> Iterator[BaseException]:
    """Yield what *error* says it was caused by, the nearest first."""
    for _ in range(_DEPTH):
        first = error.args[0] if error.args else None
        for why in (getattr(error, "reason", None), error.__cause__, first):
            if isinstance(why, BaseException):
                error = why
                yield why
                break
        else:
            return


def names_of(error: BaseException) -> frozenset[str]:
    """Return the names of the class of *error* and of all its bases."""
    return frozenset(kind.__name__ for kind in type(error).__mro__)


def _status(error: Any) -> int | None:
    response = getattr(error, "response", None)
    for place, name in (
        (error, "code"),
        (response, "status_code"),
        (response, "status"),
        (error, "status"),
    ):
        status = getattr(place, name, None)
        if isinstance(status, int):
            return status
    return None


def _headers(error: Any) -> Mapping[str, str]:
    for place in (getattr(error, "response", None), error):
        headers = getattr(place, "headers", None)
        if headers is not None:
            return dict(headers.items())
    return {}
