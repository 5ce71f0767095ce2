"""
What an HTTP status, or the failure to get one, means for a store.
"""

from __future__ import annotations

from typing import Any

from tiered_store.errors import (
    ConflictError,
    DeniedError,
    FullError,
    InvalidError,
    MisconfiguredError,
    NotFoundError,
    StoreError,
    ThrottledError,
    TooLargeError,
    UnavailableError,
)


_BY_STATUS: dict[int, type[StoreError]] = {
    301: MisconfiguredError,
    304: ConflictError,
    307: MisconfiguredError,
    308: MisconfiguredError,
    401: DeniedError,
    403: DeniedError,
    404: NotFoundError,
    408: UnavailableError,
    409: ConflictError,
    410: NotFoundError,
    412: ConflictError,
    413: TooLargeError,
    414: TooLargeError,
    421: UnavailableError,
    425: UnavailableError,
    429: ThrottledError,
    501: MisconfiguredError,
    503: ThrottledError,
    507: FullError,
    509: ThrottledError,
}
_NEVER_SENT = frozenset(
    {
        "NewConnectionError",
        "ConnectTimeoutError",
        "ConnectTimeout",
        "NameResolutionError",
    }
)


def by_status(status: int, message: str) -> StoreError:
    """Return what *status* means where no code says more."""
    kind = _BY_STATUS.get(status)
    if kind is None and status >= 500:
        kind = UnavailableError
    if kind is None and 400 <= status < 500:
        kind = InvalidError
    if kind is None:
        return StoreError(f"unclassified status {status}: {message}")
    return kind(f"{message} (HTTP {status})")


def translate(error: Any, family: frozenset[str]) -> StoreError:
    """Return what an error of urllib, urllib3, requests or httpx means."""
    message = str(error) or type(error).__name__
    status = _status(error)
    if status is not None:
        return by_status(status, message)
    return UnavailableError(message, ambiguous=not family & _NEVER_SENT)


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
