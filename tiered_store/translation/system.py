"""
What an ``OSError`` means for a store.
"""

from __future__ import annotations

import errno
import os
import socket

from collections.abc import Mapping
from typing import Any

from tiered_store.errors import (
    CorruptError,
    DeniedError,
    FullError,
    InvalidError,
    MisconfiguredError,
    NotFoundError,
    ReadOnlyError,
    StoreError,
    TooLargeError,
    UnavailableError,
)
from tiered_store.translation.http import shown, wrong_tls


_KINDS: Mapping[type[StoreError], tuple[str, ...]] = {
    NotFoundError: ("ENOENT",),
    DeniedError: ("EACCES", "EPERM"),
    ReadOnlyError: ("EROFS",),
    FullError: ("ENOSPC", "EDQUOT"),
    TooLargeError: ("EFBIG",),
    InvalidError: ("ENAMETOOLONG", "EINVAL"),
    MisconfiguredError: (
        *(
            "EISDIR",
            "ENOTDIR",
            "ELOOP",
        ),  # of this place
        *("EXDEV", "ENOSYS", "EOPNOTSUPP", "ENOTSUP"),
    ),
    CorruptError: ("EIO", "EBADMSG", "EUCLEAN", "EILSEQ"),
    UnavailableError: (
        *("EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "EAGAIN"),
        *("ESTALE", "EBUSY", "ETXTBSY", "EDEADLK", "ENOTCONN", "ENODEV", "ENXIO"),
        *("ETIMEDOUT", "ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "EPIPE"),
        *("EHOSTUNREACH", "EHOSTDOWN", "ENETUNREACH", "ENETDOWN", "ENETRESET"),
        *("EINTR", "ESHUTDOWN", "EINPROGRESS", "EALREADY", "EADDRNOTAVAIL"),
    ),
}
_LOCAL = frozenset({"EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "EAGAIN"})
_BY_NUMBER = {
    getattr(errno, name): kind
    for kind, names in _KINDS.items()
    for name in names
    if hasattr(errno, name)
}


def translate(error: OSError, family: frozenset[str] = frozenset()) -> StoreError:
    """Return what *error* means; without a number it is an outage, never absence."""
    message = shown(error.strerror or str(error)) or type(error).__name__
    if type(error).__module__ == "ssl":  # whose numbers are of another table
        if wrong_tls(message):
            return MisconfiguredError(message)
        return UnavailableError(message, ambiguous=True)
    if isinstance(error, TimeoutError | socket.gaierror | ConnectionError):
        return UnavailableError(message, ambiguous=not isinstance(error, _NEVER_SENT))
    if isinstance(error, FileNotFoundError):
        return NotFoundError(message)
    number = error.errno
    if number is None:
        denied = isinstance(error, PermissionError)
        return DeniedError(message) if denied else UnavailableError(message)
    kind = _BY_NUMBER.get(number)
    if kind is None:
        name = errno.errorcode.get(number, str(number))
        return StoreError(f"unclassified error {name}: {message}")
    local: dict[str, Any] = {}
    if errno.errorcode[number] in _LOCAL:
        local = {"local": True, "failover": False}
    return kind(message or os.strerror(number), **local)


_NEVER_SENT = (ConnectionRefusedError, socket.gaierror)
