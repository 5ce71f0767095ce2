"""
What redis-py's errors, and what a Redis server answers, mean for a store.

The classes of valkey-py are the same but for two names.
"""

from __future__ import annotations

import errno
import re

from collections.abc import Mapping
from typing import Any

from tiered_store.errors import (
    ConflictError,
    CorruptError,
    DeniedError,
    FullError,
    InvalidError,
    MisconfiguredError,
    ReadOnlyError,
    RefusedError,
    StoreError,
    TooLargeError,
    UnavailableError,
)


_LOCAL: Mapping[str, Any] = {"local": True, "failover": False}
_LOST: Mapping[str, Any] = {"ambiguous": True}
_PLAIN: Mapping[str, Any] = {}
_Meaning = tuple[type[StoreError], Mapping[str, Any]]

# The first class that an error belongs to decides, so the special come first.
_BY_CLASS: Mapping[str, _Meaning] = {
    "MaxConnectionsError": (UnavailableError, _LOCAL),
    "ChildDeadlockedError": (UnavailableError, _LOCAL),
    "AuthenticationError": (DeniedError, _PLAIN),  # a ConnectionError there
    "AuthorizationError": (DeniedError, _PLAIN),
    "ExternalAuthProviderError": (DeniedError, _PLAIN),
    "NoPermissionError": (DeniedError, _PLAIN),
    "AuthenticationWrongNumberOfArgsError": (DeniedError, _PLAIN),
    "BusyLoadingError": (UnavailableError, _PLAIN),
    "MasterNotFoundError": (UnavailableError, _PLAIN),
    "SlaveNotFoundError": (UnavailableError, _PLAIN),
    "ClusterDownError": (UnavailableError, _PLAIN),  # MasterDownError is one
    "TryAgainError": (UnavailableError, _PLAIN),
    "MovedError": (MisconfiguredError, _PLAIN),  # a cluster, met by a plain client
    "AskError": (UnavailableError, _PLAIN),
    "NoScriptError": (UnavailableError, _PLAIN),  # goes away when it is loaded again
    "ReadOnlyError": (ReadOnlyError, _PLAIN),
    "OutOfMemoryError": (FullError, _PLAIN),
    "DataError": (CorruptError, _PLAIN),
    "InvalidResponse": (CorruptError, _LOST),
    "WatchError": (ConflictError, _PLAIN),
    "LockError": (ConflictError, _PLAIN),
    "ExecAbortError": (RefusedError, _PLAIN),
    "ClusterCrossSlotError": (InvalidError, _PLAIN),
    "CrossSlotTransactionError": (InvalidError, _PLAIN),
    "NoSuchFieldsetError": (InvalidError, _PLAIN),
    "PubSubError": (InvalidError, _PLAIN),
    "InvalidPipelineStack": (CorruptError, _LOST),
    "ModuleError": (MisconfiguredError, _PLAIN),
    "IncorrectPolicyType": (MisconfiguredError, _PLAIN),
    "SlotNotCoveredError": (UnavailableError, _PLAIN),
    "NoValidDatabaseException": (UnavailableError, _PLAIN),
    "UnhealthyDatabaseException": (UnavailableError, _PLAIN),
    "TemporaryUnavailableException": (UnavailableError, _PLAIN),
    "InitialHealthCheckFailedError": (UnavailableError, _PLAIN),
    "ClusterError": (UnavailableError, _LOST),  # redirected until it gave up
}

# What a ResponseError begins with, where no class says it.
_BY_CODE: Mapping[str, type[StoreError]] = {
    "ERR": RefusedError,
    "BUSY": UnavailableError,  # a script is running
    "LOADING": UnavailableError,
    "MISCONF": UnavailableError,  # cannot save, so it takes no writes for now
    "NOREPLICAS": UnavailableError,
    "NOMASTERLINK": UnavailableError,
    "MASTERDOWN": UnavailableError,
    "CLUSTERDOWN": UnavailableError,
    "TRYAGAIN": UnavailableError,
    "UNBLOCKED": UnavailableError,
    "NOSCRIPT": UnavailableError,
    "READONLY": ReadOnlyError,
    "OOM": FullError,
    "WRONGTYPE": CorruptError,
    "BUSYKEY": ConflictError,
    "DENIED": DeniedError,  # protected mode
    "NOAUTH": DeniedError,
    "WRONGPASS": DeniedError,
    "NOPERM": DeniedError,
    "NOPROTO": MisconfiguredError,
    "MOVED": MisconfiguredError,
    "CROSSSLOT": InvalidError,
    "EXECABORT": RefusedError,
}

# What an error says, where neither class nor code tells enough.
_BY_TEXT: Mapping[str, _Meaning] = {
    "CERTIFICATE_VERIFY_FAILED": (MisconfiguredError, _PLAIN),
    "WRONG_VERSION_NUMBER": (MisconfiguredError, _PLAIN),  # TLS to a port without it
    "Invalid Database": (MisconfiguredError, _PLAIN),
    "DB index is out of range": (MisconfiguredError, _PLAIN),
    "SELECT is not allowed in cluster mode": (MisconfiguredError, _PLAIN),
    "Invalid RESP version": (MisconfiguredError, _PLAIN),
    "unknown command": (MisconfiguredError, _PLAIN),
    "exceeds maximum allowed size": (TooLargeError, _PLAIN),
    "invalid expire": (InvalidError, _PLAIN),
    "No connection available": (UnavailableError, _LOCAL),
    "Too many connections": (UnavailableError, _LOCAL),  # redis-py 6 has no class
    **{
        f"Error {number} connecting to": (UnavailableError, _LOCAL)
        for number in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
    },
    f"Error {errno.EACCES} connecting to": (DeniedError, _PLAIN),  # a Unix socket
}
_CLUSTER_TEXT: Mapping[str, _Meaning] = {
    "Cluster mode is not enabled": (MisconfiguredError, _PLAIN),
    "cannot be connected": (UnavailableError, _PLAIN),
    "not covered": (UnavailableError, _PLAIN),
    "could not agree": (UnavailableError, _PLAIN),
    "No targets were found": (UnavailableError, _PLAIN),
}
_ADVICE = {"MovedError": "a node of a Cluster, which needs mode cluster: moved to "}
_NEVER_SENT = re.compile(
    r"connecting to|max number of clients|Connection (has data|not ready)"
    r"|now a slave|setting client name"
)
_CODE = re.compile(r"([A-Z]{2,})(?: |$)").match
_SECRET = (
    (re.compile(r"://\S*@"), "://****@"),
    (re.compile(r"(password=)[^\s,&)>]+"), r"\1****"),
    # a server that does not know AUTH repeats what it was given
    (re.compile(r",? with args beginning with:.*", re.DOTALL), ""),
)
_REPRESENTED = re.compile(r" : <redis.*", re.DOTALL)  # objects, which tell nobody much
_LONGEST = 300  # a refused command may be quoted with the bytes it carried


def translate(error: Any, family: frozenset[str]) -> StoreError:
    """
    Return what *error* means.

    Secrets are taken out of the message, and out of *error*, which a traceback shows.
    """
    message = _ADVICE.get(type(error).__name__, "") + _without_secrets(error)
    if family & {"RedisClusterException", "ValkeyClusterException"}:
        return _of_cluster(error, family, message)
    for name, (kind, facts) in _BY_CLASS.items():
        if name in family:
            return kind(message, **facts)
    for text, (kind, facts) in _BY_TEXT.items():
        if text in message:
            return kind(message, **facts)
    if family & {"ConnectionError", "TimeoutError"}:
        return UnavailableError(message, ambiguous=not _NEVER_SENT.search(message))
    if "ResponseError" in family:
        return _by_code(error, message)
    if type(error).__name__ in {"RedisError", "ValkeyError"}:
        return MisconfiguredError(message)  # the client refuses how it is used
    return StoreError(f"unclassified {type(error).__name__}: {message}")


def _of_cluster(error: Any, family: frozenset[str], message: str) -> StoreError:
    """Tell a cluster that cannot be reached from one that is not there."""
    for name in family & _BY_CLASS.keys():
        kind, facts = _BY_CLASS[name]
        return kind(message, **facts)
    why = _translated(error.__cause__)
    if why is not None:  # no node could be asked
        before = _translated(error.__context__)
        why.ambiguous |= before is not None and before.ambiguous
        return why
    for text, (kind, facts) in _CLUSTER_TEXT.items():
        if text in message:
            return kind(message, **facts)
    return MisconfiguredError(message)


def _translated(error: BaseException | None) -> StoreError | None:
    names = frozenset(kind.__name__ for kind in type(error).__mro__)
    return translate(error, names) if names & {"RedisError", "ValkeyError"} else None


def _by_code(error: Any, message: str) -> StoreError:
    code = getattr(error, "status_code", None)
    if code is None:
        found = _CODE(message)
        code = found[1] if found else "ERR"  # which redis-py takes off
    kind = _BY_CODE.get(code)
    if kind is None:
        return StoreError(f"unclassified answer {code}: {message}")
    return kind(message)


def _without_secrets(error: Any) -> str:
    told = str(error)
    message = told
    for pattern, shown in _SECRET:
        message = pattern.sub(shown, message)
    if message != told:
        error.args = (message,)
    message = _REPRESENTED.sub("", message).strip() or type(error).__name__
    return message if len(message) <= _LONGEST else f"{message[:_LONGEST]}..."
