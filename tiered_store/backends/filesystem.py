"""
Keep objects as files below a directory, named as the original library names them.

.. code-block:: yaml

   type: filesystem
   path: /srv/images
   base_url: https://images.example.com/

A write is a temporary file beside the object, renamed over it: readers see the old
object or the new one, whole.  What a killed writer left of one is removed when it is
met in a listing an hour later.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import time

from collections.abc import Iterator
from functools import partial
from typing import TypeAlias

from tiered_store import deadlines, temporary
from tiered_store.body import Body, FileBody, Stat, stored_failure
from tiered_store.errors import (
    CorruptError,
    MisconfiguredError,
    NotFoundError,
    StoreError,
    UnsupportedError,
)
from tiered_store.events import Verb
from tiered_store.key import Key
from tiered_store.layout import key_of_path, path_name, plain_path
from tiered_store.positioned import FileReader
from tiered_store.readers import Descriptor, Failure
from tiered_store.store import Store
from tiered_store.urls import join_url


_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe must not hold us up
_AT_ONCE = 32 * 1024  # bytes; to read them takes less than to keep a file open
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class FileSystemStore(Store):
    """
    Objects as files below *path*.

    A root that is not there is a misconfiguration, never "not found": a disk that
    was unmounted must not look like a disk that is empty.

    Args:
        path: The root, a directory.
        base_url: Where a web server shows the root; without it there are no URLs.
        fsync: Return from a write only once the disk has it (about three times
            slower); without it a crash of the machine may lose the last seconds.
        create: Make the root at the first use, if it is missing then.
        marker: A file that lies in the root when the right disk is mounted; while
            it is missing nothing is written and nothing is called absent.
    """

    def __init__(
        self,
        path: str,
        base_url: str | None = None,
        *,
        fsync: bool = False,
        create: bool = False,
        marker: str | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self.base_url = base_url
        self.fsync = fsync
        self.create = create
        self.marker = marker
        self._seen = False
        # a subclass that reads in another way is asked
        self._direct = type(self)._get is FileSystemStore._get
        self._root = os.path.abspath(os.path.expanduser(self.path))

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        if self.marker is not None:
            self._check_root()
        path = self._path(key)
        folder = os.path.dirname(path)
        name = os.path.join(folder, temporary.name())
        try:
            descriptor = self._new_file(name, key)
            try:
                temporary.hold(descriptor)
                for piece in body.chunks():
                    _write_all(descriptor, piece)
                _stamp(descriptor)
                if self.fsync:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        if self.fsync:
            _sync_folder(folder)

    def _new_file(self, path: str, key: Key) -> int:
        try:
            return os.open(path, _WRITE, 0o666)
        except FileNotFoundError:
            self._check_root(create=self.create)
            folder = self._root
            for segment in path_name(key).split("/")[:-1]:
                above, folder = folder, os.path.join(folder, segment)
                with contextlib.suppress(FileExistsError):  # another writer's
                    os.mkdir(folder)
                    if self.fsync:
                        _sync_folder(above)
            return os.open(path, _WRITE, 0o666)

    def get_file(
        self, object_type: str, object_id: int, width: int, height: int, mimetype: str
    ) -> io.BufferedIOBase:
        # who wants a file, and is watched by nobody, needs no key, body or version
        path = plain_path(self._root, object_type, object_id, width, height, mimetype)
        watched = self.listeners or self.closed or deadlines.ends()
        if path is not None and self._direct and not watched:
            try:
                number = os.open(path, _READ)
                try:
                    # to describe a file takes four times as long; no device allows
                    # this, and a directory may but cannot be read
                    size = os.lseek(number, 1, os.SEEK_END) - 1
                    if size > _AT_ONCE:
                        own, number = number, -1
                        what = self, object_type, object_id, width, height, mimetype
                        return _ObjectReader(own, size, what)
                    if size > 0:
                        content = os.pread(number, size, 0)
                        if len(content) == size:
                            return io.BytesIO(content)
                finally:
                    if number >= 0:
                        os.close(number)
            except OSError:
                pass  # which is told below
        return super().get_file(object_type, object_id, width, height, mimetype)

    def _get(self, key: Key) -> Body:
        try:
            descriptor = os.open(self._path(key), _READ)
        except (FileNotFoundError, NotADirectoryError):
            raise self._absent(key) from None
        held = Descriptor(descriptor)
        found = _checked(os.fstat(descriptor))
        return _ObjectBody(held, found, partial(_failed, (self, *key)))

    def _stat(self, key: Key) -> Stat:
        try:
            found = _checked(os.stat(self._path(key)))
        except (FileNotFoundError, NotADirectoryError):
            raise self._absent(key) from None
        return Stat(found.st_size, _version(found), found.st_mtime)

    def _url(self, key: Key) -> str:
        if self.base_url is None:
            raise UnsupportedError("it has no URLs without a base_url")
        return join_url(self.base_url, path_name(key))

    def _delete(self, key: Key) -> None:
        if self.marker is not None:
            self._check_root()
        path = self._path(key)
        try:
            os.unlink(path)
        except (FileNotFoundError, NotADirectoryError):
            raise self._absent(key) from None
        if self.fsync:
            _sync_folder(os.path.dirname(path))

    def lingers(self) -> bool:
        """It does not: what is not done when a process dies never is."""
        return False

    def _keys(self, prefix: str) -> Iterator[Key]:
        self._check_root(create=self.create)
        for name in _names(self._root, "", prefix):
            key = key_of_path(name)
            if key is not None and key.object_type.startswith(prefix):
                yield key

    def capabilities(self) -> frozenset[Verb]:
        """Everything, URLs only with a *base_url*."""
        able = super().capabilities()
        return able if self.base_url is not None else able - {"url"}

    def _path(self, key: Key) -> str:
        # a key has no segment that leads upwards, by construction
        return f"{self._root}/{path_name(key)}"

    def _absent(self, key: Key) -> NotFoundError:
        """Return that there is no such object, once that is known."""
        self._check_root(create=self.create)
        folder = self._root
        for segment in path_name(key).split("/")[:-1]:
            folder = os.path.join(folder, segment)
            if os.path.islink(folder) and not os.path.exists(folder):
                raise _leads_nowhere(folder)
        return NotFoundError("no such object")

    def _check_root(self, *, create: bool = False) -> None:
        if create and not self._seen:
            with contextlib.suppress(FileExistsError):  # perhaps no directory
                os.makedirs(self._root, exist_ok=True)
        if not os.path.isdir(self._root):
            advice = "" if self.create else "; make it, or say create: true"
            raise MisconfiguredError(f"no such directory: {self.path!r}{advice}")
        self._seen = True
        if self.marker is not None and not os.path.exists(
            os.path.join(self._root, self.marker)
        ):
            raise MisconfiguredError(
                f"{self.path!r} lacks its marker {self.marker!r}; is it mounted?"
            )


_What: TypeAlias = tuple["FileSystemStore", str, int, int, int, str]


def _failed(what: _What, why: str | OSError) -> StoreError:
    store, *values = what
    return stored_failure(why).at(str(store), "get", Key._make(values))


class _ObjectBody(FileBody):
    """An object's file, which says what it was when opened if it is asked for that."""

    __slots__ = ("_found",)

    def __init__(
        self, descriptor: Descriptor, found: os.stat_result, fail: Failure
    ) -> None:
        self._descriptor = descriptor
        self._start = 0
        self._fail = fail
        self._found = found
        self.size = found.st_size

    @property
    def version(self) -> str:  # type: ignore[override]  # nobody sets it
        return _version(self._found)

    @property
    def modified(self) -> float:  # type: ignore[override]  # the same
        return self._found.st_mtime


class _ObjectReader(FileReader):
    __slots__ = ()
    _failure = staticmethod(_failed)


def _version(found: os.stat_result) -> str:
    return f"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}"


def _checked(found: os.stat_result) -> os.stat_result:
    if not stat.S_ISREG(found.st_mode):
        raise CorruptError("something that is no file has the object's name")
    return found


def _stamp(descriptor: int) -> None:
    """
    Set the time of the last change, of which the version is made.

    The kernel's own may be 4 ms old, and a file may get the number of one that was
    replaced meanwhile: two objects of one size would have one version.
    """
    now = time.time_ns()
    os.utime(descriptor, ns=(now, now))


def _write_all(descriptor: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, _READ)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _names(root: str, below: str, prefix: str) -> Iterator[str]:
    """Yield the names of files under *below* whose path may start with *prefix*."""
    try:
        with os.scandir(os.path.join(root, below)) as found:
            entries = list(found)
    except FileNotFoundError:
        if not below:
            raise
        return  # a folder that went away meanwhile
    for entry in entries:
        name = f"{below}/{entry.name}" if below else entry.name
        if not (name.startswith(prefix) or prefix.startswith(name)):
            continue
        if entry.is_dir():
            if not (entry.is_symlink() and _leads_back(root, name)):
                yield from _names(root, name, prefix)
        elif entry.is_symlink() and not os.path.exists(entry.path):
            if key_of_path(name) is None and not entry.name.startswith("."):
                raise _leads_nowhere(entry.path)
        elif below:
            if entry.name.endswith(".part"):
                temporary.sweep(entry.path)
            yield name


def _leads_nowhere(folder: str) -> MisconfiguredError:
    return MisconfiguredError(f"{folder!r} leads nowhere; is what it links to mounted?")


def _leads_back(root: str, link: str) -> bool:
    """Tell whether *link* is a folder that it lies in itself."""
    target = os.stat(os.path.join(root, link))
    above = link
    while above:
        above = os.path.dirname(above)
        if os.path.samestat(os.stat(os.path.join(root, above)), target):
            return True
    return False
