"""
Decisions in a file: the processes of one machine share it.

.. code-block:: yaml

   type: file
   path: /var/lib/images/decisions.json

It is made by the first decision, replaced in one step, and readable by a person.
Beside it lies a file of its name with ``-lock``, which is always empty.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile

from collections.abc import Iterator
from contextlib import contextmanager

from tiered_store.clock import SYSTEM, Clock
from tiered_store.control.control import Control
from tiered_store.errors import ConfigError, MisconfiguredError
from tiered_store.translation import translated
from tiered_store.units import Duration


class FileControl(Control):
    """
    Decisions in the file *path*, on a local disk.

    Args:
        path: Made when the first decision is.
        poll: Between looks of a process that follows it.
    """

    def __init__(
        self, path: str, *, poll: Duration = 0.5, clock: Clock = SYSTEM
    ) -> None:
        if poll <= 0:
            raise ConfigError(f"poll: must be more than zero, not {poll!r}")
        self.path = os.fspath(path)
        self.poll = poll
        self.clock = clock
        self._file = os.path.abspath(os.path.expanduser(self.path))

    @property
    def where(self) -> str:
        return repr(self._file)

    @property
    def place(self) -> str:
        """Where the file is."""
        return self._file

    def _load(self) -> tuple[bytes | None, str]:
        with translated():
            try:
                with open(self._file, "rb") as file:
                    content: bytes | None = file.read()
            except FileNotFoundError:
                self._check_folder()
                content = None
        return content, _token(content)

    def _swap(self, content: bytes, token: str) -> bool:
        with translated(), self._alone():
            if self._load()[1] != token:
                return False
            folder, name = os.path.split(self._file)
            descriptor, temporary = tempfile.mkstemp(prefix=f".{name}-", dir=folder)
            try:
                with open(descriptor, "wb") as file:
                    os.fchmod(descriptor, 0o644)
                    file.write(content)
                    file.flush()
                    os.fsync(descriptor)
                os.replace(temporary, self._file)
            except BaseException:
                os.unlink(temporary)
                raise
            _sync(folder)
        return True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes out; the lock ends with its holder, killed or not."""
        self._check_folder()
        descriptor = os.open(f"{self._file}-lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _check_folder(self) -> None:
        folder = os.path.dirname(self._file)
        if not os.path.isdir(folder):
            raise MisconfiguredError(
                f"the control's directory {folder!r} does not exist; make it"
            )


def _token(content: bytes | None) -> str:
    return "" if content is None else hashlib.sha256(content).hexdigest()


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
