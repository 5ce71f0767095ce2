"""
Files that a command reads and writes.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import stat
import sys

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Literal

from tiered_store.body import Body
from tiered_store.cli.failure import FAILED, WRONG, CommandError


_SHOWN = 1024 * 1024  # bytes that anybody would read on a terminal
_PLAIN = frozenset("\n\r\t")


@contextmanager
def source(name: str) -> Iterator[BinaryIO]:
    """
    Open the file *name* for reading, standard input for ``-``.

    Raises:
        CommandError: It cannot be opened.
    """
    if name == "-":
        yield _standard_input()
        return
    try:
        file = open(name, "rb")  # noqa: SIM115 - what fails within is not ours
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise CommandError(f"cannot read {name!r}: {why}", WRONG) from None
    with file:
        yield file


def _standard_input() -> BinaryIO:
    """
    Return standard input, of a pipe or a terminal without its buffer.

    Its buffer reads on until it is full, and an interrupt that comes while it does is
    not heard before it is: for ever, if whoever writes pauses.
    """
    buffered = sys.stdin.buffer
    raw = getattr(buffered, "raw", None)
    if raw is None or stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
        return buffered
    found: BinaryIO = raw
    return found


@contextmanager
def destination(path: Path) -> Iterator[Callable[[bytes], None]]:
    """
    Lend what writes to *path*; a regular file is replaced whole or not at all.

    Raises:
        CommandError: It cannot be opened, or later not be written to.
    """
    target = path.resolve()  # what a link leads to, not the link
    if target.exists() and not target.is_file():
        with _opened(target, "wb", path) as file:  # a device, no file to replace
            yield functools.partial(_write, file, path)
        return
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with _opened(temporary, "xb", path) as file:
            if target.exists():
                os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
            yield functools.partial(_write, file, path)
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _opened(path: Path, mode: Literal["wb", "xb"], asked: Path) -> FileIO:
    try:
        return path.open(mode, buffering=0)  # what cannot be written is told where
    except OSError as error:
        raise _unwritable(asked, error, WRONG) from None


def _write(file: FileIO, asked: Path, piece: bytes) -> None:
    left = memoryview(piece)
    try:
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        raise _unwritable(asked, error, FAILED) from None


def _unwritable(asked: Path, error: OSError, status: int) -> CommandError:
    why = (error.strerror or str(error)).lower()
    return CommandError(f"cannot write {str(asked)!r}: {why}", status)


def check_printable(body: Body) -> None:
    """
    Refuse to print on a terminal what would upset it.

    Raises:
        CommandError: It is not text, or very long.
    """
    advice = "name a file with -o, or send it through a pipe"
    if body.size > _SHOWN:
        raise CommandError(
            f"{body.size} bytes are too many for a terminal; {advice}", WRONG
        )
    try:
        text = body.read().decode()
    except UnicodeDecodeError:
        text = "\0"
    if not all(character.isprintable() or character in _PLAIN for character in text):
        raise CommandError(f"this is no text to print on a terminal; {advice}", WRONG)
