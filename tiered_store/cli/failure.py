"""
What went wrong, as a person and a script are told.
"""

from __future__ import annotations

import os
import sys
import traceback

from collections.abc import Iterator

import typer

from tiered_store.errors import ConfigError, NotFoundError, StoreError


FAILED, WRONG, ABSENT = 1, 2, 3
INTERRUPTED = 128 + 2  # as a shell says of a process that SIGINT ended

_UsageError = typer.BadParameter.__base__  # typer names no other of its kind
_DEBUG = "TIERED_STORE_DEBUG"


class CommandError(Exception):
    """A command that cannot go on, for a reason of its own."""

    def __init__(self, message: str, status: int = FAILED) -> None:
        super().__init__(message)
        self.status = status


def explain(error: BaseException) -> int:
    """Say on standard error what *error* means, and return the exit status for it."""
    for line in _lines(error):
        complain(line)
    if os.environ.get(_DEBUG, "0") not in ("", "0"):
        traceback.print_exception(error)
    return _status(error)


def complain(line: str) -> None:
    """Print *line* on standard error, with nothing in it that moves a cursor."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    print(shown, file=sys.stderr)  # noqa: T201 - this is a command


def _lines(error: BaseException) -> Iterator[str]:
    if isinstance(error, ConfigError):
        yield from error.problems
    elif isinstance(error, CommandError):
        first, *more = str(error).splitlines() or [""]
        yield f"tiered-store: {first}"
        yield from more
    elif isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _lines(one)
    elif _UsageError is not None and isinstance(error, _UsageError):
        yield f"tiered-store: {_usage(error)}"
    elif isinstance(error, StoreError):
        yield f"tiered-store: {error}"
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        yield f"tiered-store: {where}{(error.strerror or str(error)).lower()}"
    else:
        where = "".join(f", {note}" for note in getattr(error, "__notes__", ()))
        yield (
            f"tiered-store: a bug: {type(error).__name__}: {error}{where}; "
            f"{_DEBUG}=1 shows more"
        )


def _usage(error: BaseException) -> str:
    message = str(getattr(error, "format_message", error.__str__)()).rstrip(".")
    if type(error) is typer.BadParameter and error.param is not None:
        message = f"{error.param.opts[0]}: {error.message}"
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", None) or "tiered-store"
    return f"{message[:1].lower()}{message[1:]}; see {command} --help"


def _status(error: BaseException) -> int:
    if isinstance(error, CommandError):
        return error.status
    if isinstance(error, NotFoundError):
        return ABSENT
    if isinstance(error, ConfigError):
        return WRONG
    if _UsageError is not None and isinstance(error, _UsageError):
        return WRONG
    return FAILED
