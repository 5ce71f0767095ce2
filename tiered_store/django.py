"""
Django's files in any stack.

.. code-block:: python

   STORAGES = {
       "default": {
           "BACKEND": "tiered_store.django.TieredStorage",
           "OPTIONS": {"config": BASE_DIR / "images.yaml", "store": "images"},
       },
       "staticfiles": {...},
   }

Then every ``FileField`` and ``ImageField`` reads and writes through the stack.  Needs
``pip install 'tiered-store[django]'``.
"""

from __future__ import annotations

import io
import os
import threading

from datetime import UTC, datetime
from pathlib import PurePosixPath

from tiered_store import lifecycle
from tiered_store.body import Stat
from tiered_store.config import load
from tiered_store.errors import InvalidError, UnsupportedError
from tiered_store.key import Key
from tiered_store.layout import mimetype_of
from tiered_store.store import Store


try:
    from django.core.exceptions import SuspiciousFileOperation
    from django.core.files.base import File
    from django.core.files.storage import Storage
    from django.utils import timezone
    from django.utils.deconstruct import deconstructible
except ImportError as error:
    raise ImportError(
        "Django's files need a package: pip install 'tiered-store[django]'",
        name="django",
    ) from error


# Frozen, as the names below are made of it: what people call files whose type has
# another extension in ours.
_MORE = {
    ".gz": "application/gzip",
    ".htm": "text/html",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".md": "text/markdown",
    ".tif": "image/tiff",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}


@deconstructible(path="tiered_store.django.TieredStorage")
class TieredStorage(Storage):  # type: ignore[misc]  # Django has no types
    """
    A storage of Django over the stack *store* of the file *config*.

    ``covers/2026/a.png`` is the object ``covers/2026/a.png/0/0x0.png`` for
    ``tiered-store``: the name is its type, so that directories can be listed where a
    stack lists its objects.  The mimetype is what the end of the name says, by a table
    that never changes.

    An outage is never absence: :meth:`exists` raises an error, as everything does, if
    nobody can tell.  Two processes that save the same new name at the same time may
    both be told that it is free, and the later one's bytes stay, as on any object
    store; ``upload_to`` with something random in it is the remedy.

    The stack is built at first use, once in a process and every process that is forked
    from it, and closed when the process ends.

    Args:
        config: The path of a configuration, or a stack built in code.
        store: Which store of it; the default one if there is none.
        reproducible: Whether what is saved here can be computed again.
    """

    def __init__(
        self,
        config: str | os.PathLike[str] | Store,
        store: str | None = None,
        *,
        reproducible: bool = False,
    ) -> None:
        self._config = config
        self._name = store
        self._reproducible = reproducible
        self._stack: Store | None = config if isinstance(config, Store) else None
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Take a lock of one's own."""
        self._lock = threading.Lock()

    @property
    def stack(self) -> Store:
        """The stack itself, for whatever Django has no words for."""
        with self._lock:
            if self._stack is None:
                assert not isinstance(self._config, Store)
                self._stack = load(self._config, self._name)
            return self._stack

    def _open(self, name: str, mode: str = "rb") -> File:
        if "w" in mode or "a" in mode or "+" in mode:
            raise ValueError(f"{name!r} can be read or saved, not opened for {mode!r}")
        return StoredFile(self.stack.get_file(*key_of(name)), name, self)

    def _save(self, name: str, content: File) -> str:
        if content.seekable():
            content.seek(0)
        self.stack.put_file(content, *key_of(name), reproducible=self._reproducible)
        return name

    def delete(self, name: str) -> None:
        """Delete *name*; silence if it is not there."""
        self.stack.delete_file(*key_of(name))

    def exists(self, name: str) -> bool:
        """
        Return whether there is an object of that name.

        Raises:
            StoreError: Nobody can tell.
        """
        try:
            self._stat(name)
        except FileNotFoundError:
            return False
        return True

    def size(self, name: str) -> int:
        """Return its bytes."""
        return self._stat(name).size

    def url(self, name: str | None) -> str:
        """Return where a browser gets it, without asking whether it is there."""
        return self.stack.get_url(*key_of(name or ""))

    def get_modified_time(self, name: str) -> datetime:
        """Return when it was saved, aware if ``USE_TZ`` is set."""
        modified = self._stat(name).modified
        if modified is None:
            raise NotImplementedError(f"{self.stack} does not know when it was saved")
        told = datetime.fromtimestamp(modified, UTC)
        return told if _aware() else timezone.make_naive(told)

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """Return the names of the directories and of the files right in *path*."""
        inside = f"{path.strip('/')}/" if path.strip("/") else ""
        directories: set[str] = set()
        files: set[str] = set()
        try:
            for key in self.stack.keys(inside):
                if key != key_of(key.object_type):
                    continue  # somebody else's, in the same store
                first, slash, _ = key.object_type.removeprefix(inside).partition("/")
                (directories if slash else files).add(first)
        except UnsupportedError as error:
            raise NotImplementedError(str(error)) from error
        return sorted(directories), sorted(files)

    def _stat(self, name: str) -> Stat:
        return self.stack.stat(key_of(name))


class StoredFile(File):  # type: ignore[misc]  # Django has no types
    """A file of Django that can be opened again after it was closed, as now stored."""

    def __init__(
        self, file: io.BufferedIOBase, name: str, storage: TieredStorage
    ) -> None:
        super().__init__(file, name)
        self._storage = storage

    def open(self, mode: str | None = None) -> File:
        """Return this, at its beginning."""
        if self.closed:
            self.file = self._storage.open(self.name, mode or "rb").file
        else:
            self.seek(0)
        return self


def key_of(name: str) -> Key:
    """
    Return the key of what Django calls *name*.

    Raises:
        SuspiciousFileOperation: It would leave its place.
    """
    name = name.replace("\\", "/")
    suffix = PurePosixPath(name).suffix.lower()
    mimetype = _MORE.get(suffix) or mimetype_of(suffix) or "application/octet-stream"
    try:
        return Key(name, 0, 0, 0, mimetype)
    except InvalidError as error:
        raise SuspiciousFileOperation(str(error)) from error


def _aware() -> bool:
    from django.conf import settings

    return bool(settings.USE_TZ)
