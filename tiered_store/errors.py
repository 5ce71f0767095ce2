"""
Errors that answer what a caller must decide.

.. code-block:: text

   StoreError(OSError)
   ├── NotFoundError(FileNotFoundError)   the answer: there is none
   ├── UnavailableError                   outage, timeout, 5xx: retry, fail over
   │   ├── ThrottledError                 asked to slow down: .retry_after
   │   ├── DeadlineError                  the caller's time is up: final
   │   └── InconclusiveError              some said absent, some could not say
   ├── RefusedError                       this store will not: fail over, do not retry
   │   ├── DeniedError(PermissionError)
   │   ├── MisconfiguredError             no such bucket, wrong region, unmounted root
   │   ├── ReadOnlyError
   │   └── FullError                      no space, over quota
   ├── InvalidError                       the request is wrong everywhere: neither
   │   └── TooLargeError
   ├── ConflictError                      somebody else wrote: read again
   ├── CorruptError                       bytes that are not what was stored
   ├── PartialWriteError                  some replicas have it: .outcomes
   └── UnsupportedError                   this store has no such verb: try another
   ConfigError(ValueError)                .problems, all of them at once
   ClosedError(ValueError)                used after it was closed, as a file can be

A plain :class:`StoreError` is one that no translation table knows: not worth
another attempt here, perhaps worth one elsewhere.
"""

from __future__ import annotations

import errno

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar


_Self = TypeVar("_Self", bound="StoreError")


class StoreError(OSError):
    """
    Whatever a store could not do.

    Attributes:
        retryable: Another attempt at the same place may succeed.  Whoever gives up
            retrying clears it, so that stacked retries never multiply.
        failover: Another place may succeed.
        ambiguous: The effect may have happened all the same.
        local: The trouble is this process's own (descriptors, memory), so it says
            nothing about the health of the store.
        store: The path of the store that failed, such as ``images.origin.us``.
        verb: What it was asked to do.
        key: For which object.
    """

    retryable: bool = False
    failover: bool = True
    ambiguous: bool = False
    local: bool = False
    store: str | None = None
    verb: str | None = None
    key: object = None
    _errno: int | None = None

    def __init__(self, message: str = "", **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        if self._errno is not None:
            self.errno = self._errno
        for name, value in facts.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        parts = []
        if self.store is not None:
            parts.append(self.store)
        if self.verb is not None:
            parts.append(f"{self.verb} {self.key}" if self.key else self.verb)
        parts.append(self.message or type(self).__name__)
        return ": ".join(parts)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.message, self._facts())

    def _facts(self) -> dict[str, Any]:
        return {**self.__dict__, "errno": self.errno}  # which is kept elsewhere

    def at(self: _Self, store: str, verb: str, key: object = None) -> _Self:
        """Say where it happened, unless somebody nearer already has."""
        if self.store is None:
            self.store, self.verb, self.key = store, verb, key
        return self

    def final(self: _Self) -> _Self:
        """Say that nobody above need try again."""
        self.retryable = False
        return self

    def copy(self: _Self) -> _Self:
        """Return one of one's own to raise, for errors that several callers share."""
        twin = _restore(type(self), self.message, self._facts())
        twin.__cause__ = self.__cause__
        return twin


def _restore(kind: type[_Self], message: str, facts: dict[str, Any]) -> _Self:
    error = kind.__new__(kind, message)
    OSError.__init__(error, message)
    for name, value in facts.items():
        setattr(error, name, value)
    return error


class NotFoundError(StoreError, FileNotFoundError):
    """There is no such object: an answer, not a failure."""

    failover = False
    _errno = errno.ENOENT


class UnavailableError(StoreError):
    """An outage, a timeout or a failure of the server: try again, or elsewhere."""

    retryable = True


class ThrottledError(UnavailableError):
    """
    The store asks to slow down.

    Attributes:
        retry_after: Seconds to wait before another attempt, if it said so.
    """

    retry_after: float | None = None


class DeadlineError(UnavailableError):
    """The caller's time is up: neither another attempt nor another place helps."""

    retryable = False
    failover = False
    _errno = errno.ETIMEDOUT


class _SeveralError(StoreError):
    """
    An error made of the answers of several stores.

    Attributes:
        outcomes: By name, the error of each store, or None for one that succeeded.
            Another attempt is worth it if it is for one of them.
    """

    outcomes: Mapping[str, StoreError | None]

    def __init__(
        self,
        message: str = "",
        outcomes: Mapping[str, StoreError | None] | None = None,
        **facts: Any,
    ) -> None:
        self.outcomes = dict(outcomes or {})
        self.retryable = any(
            error is not None and error.retryable for error in self.outcomes.values()
        )
        super().__init__(message, **facts)

    def __str__(self) -> str:
        listed = "; ".join(
            f"{name}: {'done' if error is None else _brief(error)}"
            for name, error in self.outcomes.items()
        )
        return f"{super().__str__()} ({listed})" if listed else super().__str__()


def _brief(error: StoreError) -> str:
    return "absent" if isinstance(error, NotFoundError) else error.message or str(error)


class InconclusiveError(_SeveralError, UnavailableError):
    """Some stores said absent or nothing could be learned from the others."""


class RefusedError(StoreError):
    """This store will not do it, however often it is asked; another one may."""


class DeniedError(RefusedError, PermissionError):
    """Credentials or permissions do not allow it."""

    _errno = errno.EACCES


class MisconfiguredError(RefusedError):
    """The place does not exist: no such bucket, wrong region, unmounted directory."""


class ReadOnlyError(RefusedError):
    """Nothing can be changed here."""

    _errno = errno.EROFS


class FullError(RefusedError):
    """No space is left, or a quota is used up."""

    _errno = errno.ENOSPC


class InvalidError(StoreError):
    """The request is wrong, here and everywhere."""

    failover = False
    _errno = errno.EINVAL


class TooLargeError(InvalidError):
    """The object or its name is larger than can be kept."""

    _errno = errno.EFBIG


class ConflictError(StoreError):
    """Somebody else wrote in between: read again."""

    failover = False


class CorruptError(StoreError):
    """The bytes are not what was stored."""


class PartialWriteError(_SeveralError):
    """
    Fewer stores than asked for have acknowledged a write.

    What was written stays and is completed later; nothing is rolled back.
    """

    ambiguous = True


class UnsupportedError(StoreError):
    """This store cannot do that at all."""

    _errno = errno.ENOTSUP


class ConfigError(ValueError):
    """
    A configuration is wrong.

    Attributes:
        problems: All that was found, each a line with its place and advice.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems,)


class ClosedError(ValueError):
    """
    It was used after it was closed, as by a thread that did not know.

    Where nobody waits for the effect any more, that is no more than an end.
    """
