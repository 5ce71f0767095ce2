"""Errors of redis-py, in our words."""

from __future__ import annotations

import inspect

from types import ModuleType
from typing import Any

import pytest
import redis.exceptions
import redis.multidb.exception
import redis.sentinel
import valkey.exceptions
import valkey.sentinel

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    BusyLoadingError,
    ChildDeadlockedError,
    ClusterCrossSlotError,
    ClusterDownError,
    ClusterError,
    DataError,
    ExternalAuthProviderError,
    InvalidResponse,
    LockError,
    LockNotOwnedError,
    MasterDownError,
    MaxConnectionsError,
    ModuleError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    SlotNotCoveredError,
    TryAgainError,
    WatchError,
)
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import TimeoutError as LateError
from redis.sentinel import MasterNotFoundError, SlaveNotFoundError

from tiered_store import errors
from tiered_store.errors import (
    ConflictError,
    CorruptError,
    DeniedError,
    FullError,
    InvalidError,
    MisconfiguredError,
    RefusedError,
    StoreError,
    TooLargeError,
    UnavailableError,
)
from tiered_store.translation import translate


def _classes(*modules: ModuleType) -> list[type[Exception]]:
    return [
        kind
        for module in modules
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__ == module.__name__
    ]


def _made(kind: type[Exception]) -> Exception:
    return kind.__new__(kind, "it happened")  # whatever else it wants to know


def _translated(error: Exception) -> StoreError:
    ours = translate(error)
    assert ours is not None
    return ours


@pytest.mark.parametrize(
    "kind",
    _classes(
        redis.exceptions,
        redis.sentinel,
        redis.multidb.exception,
        valkey.exceptions,
        valkey.sentinel,
    ),
    ids=lambda kind: f"{kind.__module__}.{kind.__name__}",
)
def test_no_class_is_unclassified(kind: type[Exception]) -> None:
    """A class that a new version brings must be given a meaning."""
    ours = _translated(_made(kind))

    assert type(ours) is not StoreError
    assert not str(ours).startswith("unclassified")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (LostError("Connection closed by server."), UnavailableError),
        (LostError("max number of clients reached"), UnavailableError),
        (LateError("Timeout reading from socket"), UnavailableError),
        (MaxConnectionsError("Too many connections"), UnavailableError),
        (LostError("No connection available."), UnavailableError),
        (ChildDeadlockedError(), UnavailableError),
        (BusyLoadingError("Redis is loading the dataset in memory"), UnavailableError),
        (ResponseError("BUSY Redis is busy running a script."), UnavailableError),
        (ResponseError("MISCONF Redis is configured to save RDB"), UnavailableError),
        (ResponseError("NOREPLICAS Not enough good replicas"), UnavailableError),
        (ClusterDownError("The cluster is down"), UnavailableError),
        (MasterDownError("Link with MASTER is down"), UnavailableError),
        (TryAgainError("Multiple keys request during rehashing"), UnavailableError),
        (AskError("1 10.0.0.1:6379"), UnavailableError),
        (ClusterError("TTL exhausted."), UnavailableError),
        (SlotNotCoveredError("Slot 7 is not covered"), UnavailableError),
        (MasterNotFoundError("No master found for 'images'"), UnavailableError),
        (SlaveNotFoundError("No slave found for 'images'"), UnavailableError),
        (NoScriptError("No matching script."), UnavailableError),
        (AuthenticationError("invalid username-password pair"), DeniedError),
        (AuthorizationError("no"), DeniedError),
        (NoPermissionError("this user has no permissions"), DeniedError),
        (ExternalAuthProviderError("problem with LDAP service"), DeniedError),
        (AuthenticationWrongNumberOfArgsError("for auth"), DeniedError),
        (ResponseError("DENIED Redis is running in protected mode"), DeniedError),
        (LostError("Error 13 connecting to unix:/s. Denied."), DeniedError),
        (ReadOnlyError("You can't write against a replica"), errors.ReadOnlyError),
        (OutOfMemoryError("command not allowed"), FullError),
        (ResponseError("WRONGTYPE Operation against a key"), CorruptError),
        (DataError("Invalid input of type"), CorruptError),
        (InvalidResponse("Protocol Error"), CorruptError),
        (WatchError("Watched variable changed"), ConflictError),
        (LockError("not locked"), ConflictError),
        (LockNotOwnedError("not owned"), ConflictError),
        (RedisClusterException("db is not possible"), MisconfiguredError),
        (MovedError("1 10.0.0.1:6379"), MisconfiguredError),
        (ModuleError("Error loading the extension"), MisconfiguredError),
        (RedisError("Hiredis is not installed"), MisconfiguredError),
        (ResponseError("unknown command 'UNLINK'"), MisconfiguredError),
        (ResponseError("DB index is out of range"), MisconfiguredError),
        (LostError("Error 1 connecting to h:1. [SSL: CERTIFICATE_VERIFY_FAILED]"),
         MisconfiguredError),
        (ClusterCrossSlotError("Keys don't hash to the same slot"), InvalidError),
        (ResponseError("string exceeds maximum allowed size"), TooLargeError),
        (ResponseError("some refusal that nobody lists"), RefusedError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else str(value)[:30],
)  # fmt: skip
def test_every_row_of_the_table(error: Exception, kind: type[StoreError]) -> None:
    """What redis-py and the server say, each as one class of ours, exactly."""
    assert type(_translated(error)) is kind


@pytest.mark.parametrize(
    ("error", "ambiguous"),
    [
        (LateError("Timeout reading from 127.0.0.1:6379"), True),
        (LateError("Timeout writing to socket"), True),
        (LostError("Connection closed by server."), True),
        (LostError("Error while reading from h:1 : (104, 'reset')"), True),
        (LostError("Error 32 while writing to socket. Broken pipe."), True),
        (InvalidResponse("Protocol Error"), True),
        (LateError("Timeout connecting to server"), False),
        (
            LostError("Error 111 connecting to h:1. Connection refused."),
            False,
        ),
        (LostError("Error -2 connecting to h:1. Name not known."), False),
        (LostError("max number of clients reached"), False),
        (LostError("The previous master is now a slave"), False),
        (BusyLoadingError("Redis is loading the dataset"), False),
        (ResponseError("BUSY Redis is busy running a script."), False),
        (AuthenticationError("Authentication required."), False),
    ],
    ids=lambda value: str(value)[:40],
)
def test_ambiguous_means_that_it_was_sent(error: Exception, ambiguous: bool) -> None:
    """A command that never left cannot have had an effect."""
    assert _translated(error).ambiguous is ambiguous


@pytest.mark.parametrize(
    "error",
    [
        MaxConnectionsError("Too many connections"),
        LostError("No connection available."),
        LostError("Too many connections"),
        LostError("Error 24 connecting to h:1. Too many open files."),
        ChildDeadlockedError(),
    ],
    ids=lambda error: str(error)[:30] or type(error).__name__,
)
def test_own_trouble_is_not_the_servers(error: Exception) -> None:
    """An exhausted pool says nothing about the server, and no other would help."""
    ours = _translated(error)

    assert ours.local
    assert not ours.failover
    assert ours.retryable


def test_a_missing_socket_is_an_outage() -> None:
    """ENOENT of a Unix socket must not look like an absent object."""
    error = LostError("Error 2 connecting to unix:/s. No such file or directory.")

    assert type(_translated(error)) is UnavailableError


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (
            LostError("Error 111 connecting to h:1. Refused."),
            UnavailableError,
        ),
        (AuthenticationError("Authentication required."), DeniedError),
        (
            RedisClusterException("Cluster mode is not enabled on this node"),
            MisconfiguredError,
        ),
        (None, UnavailableError),
    ],
    ids=["outage", "refused", "no cluster", "no reason"],
)
def test_a_cluster_out_of_reach_is_told_by_its_cause(
    cause: Exception | None, kind: type[StoreError]
) -> None:
    """One class of redis-py's stands for an outage and for a wrong configuration."""
    error = RedisClusterException(
        f"Redis Cluster cannot be connected. Please provide at least one reachable "
        f"node: {cause}"
    )
    error.__cause__ = cause

    assert type(_translated(error)) is kind


def test_what_was_sent_before_a_cluster_was_lost_stays_ambiguous() -> None:
    """The search for the nodes fails plainly; the command before it may have worked."""

    def lose() -> None:
        try:
            raise LateError("Timeout reading from socket")
        except LateError:
            refused = LostError("Error 111 connecting to h:1. Connection refused.")
            raise RedisClusterException("cannot be connected") from refused

    with pytest.raises(RedisClusterException) as raised:
        lose()

    assert type(_translated(raised.value)) is UnavailableError
    assert _translated(raised.value).ambiguous


def test_what_nobody_knows_is_said_to_be_unclassified() -> None:
    """It is neither retried here nor hidden, and may be tried elsewhere."""

    class NovelError(RedisError):
        pass

    for error in (NovelError("huh"), ResponseError("NOVEL thing")):
        ours = _translated(error)
        assert type(ours) is StoreError
        assert str(ours).startswith("unclassified")
        assert not ours.retryable
        assert ours.failover


@pytest.mark.parametrize(
    "message",
    [
        "No master found : <Redis(redis://app:hunter2@10.0.0.1:6379/0)>",
        "cannot use redis://:hun@ter2@10.0.0.1/0",
        "cannot use unix:///s?db=0&password=hunter2",
        "<Connection(host=h,password=hunter2,db=0)>",
        "unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'a' 'hunter2' ",
        "unknown command `AUTH`, with args beginning with: `hunter2`, \r\n`hunter2`, ",
    ],
)
def test_messages_show_no_password(message: str) -> None:
    """Neither ours nor that of the cause, which a traceback prints."""
    ours = _translated(ResponseError(message))

    for shown in (str(ours), repr(ours), str(ours.__cause__)):
        assert "hunter2" not in shown
        assert "ter2" not in shown
    assert isinstance(ours.__cause__, ResponseError)


def test_messages_are_short() -> None:
    """A command that is quoted must not bring the object's bytes along."""
    ours: Any = _translated(RedisClusterException(f"No targets: {'x' * 100_000}"))

    assert len(ours.message) < 400
