"""Files below a directory: whole, in their place, and each trouble told apart."""

from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
import textwrap

from pathlib import Path

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.body import Body
from tiered_store.errors import (
    CorruptError,
    DeniedError,
    FullError,
    InvalidError,
    MisconfiguredError,
    NotFoundError,
    ReadOnlyError,
    StoreError,
)
from tiered_store.key import Key


KEY = Key("testing", 1234, 405, 640, "image/jpeg")


@pytest.fixture
def store(tmp_path: Path) -> FileSystemStore:
    return FileSystemStore(str(tmp_path / "root"), create=True)


def files(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(str(path.relative_to(folder)) for path in found)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (("testing", 1234, 405, 640, "image/jpeg"), "testing/234/1/1234.405x640.jpe"),
        (("comics.cover", 5, 30, 40, "image/png"), "comics.cover/5/0/5.30x40.png"),
    ],
)
def test_names_are_those_of_the_original(store, tmp_path, values, name) -> None:
    """Byte for byte, so that it can be used over data that is there."""
    store.put_file(io.BytesIO(b"x"), *values, False)

    assert (tmp_path / "root" / name).read_bytes() == b"x"
    assert files(tmp_path / "root") == [name]


@settings(deadline=None, max_examples=200)
@given(
    kind=st.text(max_size=12) | st.sampled_from(["..", "../x", "/etc", "a/../..", "~"]),
    numbers=st.tuples(*[st.integers(-(10**40), 10**40)] * 3),
    mimetype=st.text(max_size=20)
    | st.sampled_from(["../../x", "a/..", "image/png/../x"]),
)
def test_nothing_leads_out_of_the_root(
    tmp_path_factory, kind, numbers, mimetype
) -> None:
    """Whatever the five values are: it is stored below the root, or refused."""
    place = tmp_path_factory.mktemp("place")
    root = place / "root"
    root.mkdir()
    beside = sorted(os.listdir(place))
    store = FileSystemStore(str(root))
    try:
        store.put_file(io.BytesIO(b"x"), kind, *numbers, mimetype, False)
    except StoreError:
        pass
    else:
        assert [key.object_id for key in store.keys()] == [numbers[0]]

    assert sorted(os.listdir(place)) == beside


def test_a_put_that_fails_leaves_the_old_object_and_no_litter(store, tmp_path) -> None:
    """Also when the body breaks half way."""

    class Breaking(Body):
        size = 10

        def open(self, offset: int = 0) -> io.BytesIO:
            raise ConnectionResetError("gone")

    store.put(KEY, Body.of(b"old"))
    with pytest.raises(StoreError):
        store.put(KEY, Breaking())

    assert store.get(KEY).read() == b"old"
    assert len(files(tmp_path / "root")) == 1


def test_a_killed_writer_leaves_the_old_object(tmp_path) -> None:
    """Whole, whenever it was killed."""
    store = FileSystemStore(str(tmp_path), create=True)
    store.put(KEY, Body.of(b"old"))
    program = textwrap.dedent(
        f"""
        import os
        from tiered_store import *
        class Killing(Body):
            size = 6
            def open(self, offset=0): raise AssertionError
            def chunks(self, size=0):
                yield b"new"
                os.kill(os.getpid(), 9)
        FileSystemStore({str(tmp_path)!r}).put(Key{tuple(KEY)!r}, Killing())
        """
    )

    done = subprocess.run([sys.executable, "-c", program], check=False)

    assert done.returncode == -9
    assert store.get(KEY).read() == b"old"
    assert list(store.keys()) == [KEY]


def test_a_root_that_is_missing_is_not_an_empty_one(tmp_path) -> None:
    """An unmounted disk must not look like a disk without objects."""
    store = FileSystemStore(str(tmp_path / "missing"))

    for attempt in (
        lambda: store.get(KEY),
        lambda: store.stat(KEY),
        lambda: store.put(KEY, Body.of(b"x")),
        lambda: store.delete(KEY),
        lambda: list(store.keys()),
    ):
        with pytest.raises(MisconfiguredError, match="no such directory"):
            attempt()
    assert not (tmp_path / "missing").exists()


def test_a_root_that_goes_away_is_not_made_again(store, tmp_path) -> None:
    """It was there, so it is unmounted; create: true is for the first time."""
    store.put(KEY, Body.of(b"x"))
    (tmp_path / "root").rename(tmp_path / "gone")

    for attempt in (lambda: store.get(KEY), lambda: store.put(KEY, Body.of(b"y"))):
        with pytest.raises(MisconfiguredError):
            attempt()

    (tmp_path / "gone").rename(tmp_path / "root")
    assert store.get(KEY).read() == b"x"


def test_a_marker_tells_a_mount_from_its_mount_point(tmp_path) -> None:
    """The empty directory below a disk is there when the disk is not."""
    store = FileSystemStore(str(tmp_path), marker=".mounted")
    for attempt in (lambda: store.get(KEY), lambda: store.put(KEY, Body.of(b"x"))):
        with pytest.raises(MisconfiguredError, match="mounted"):
            attempt()
    (tmp_path / ".mounted").touch()

    store.put(KEY, Body.of(b"x"))
    assert store.get(KEY).read() == b"x"


def test_a_link_that_leads_nowhere_is_not_absence(store, tmp_path) -> None:
    """Part of the tree may lie on a disk of its own."""
    store.put(KEY, Body.of(b"x"))
    kind = tmp_path / "root" / "testing"
    kind.rename(tmp_path / "disk")
    kind.symlink_to(tmp_path / "disk")
    assert store.get(KEY).read() == b"x"
    (tmp_path / "disk").rename(tmp_path / "unplugged")

    with pytest.raises(MisconfiguredError):
        store.get(KEY)
    with pytest.raises(MisconfiguredError):
        store.delete(KEY)


def test_something_else_in_the_objects_place_is_corrupt(store, tmp_path) -> None:
    """Another replica may have the object, and a pipe must not hold us up."""
    store.put(KEY, Body.of(b"x"))
    [name] = files(tmp_path / "root")
    place = tmp_path / "root" / name
    place.unlink()
    os.mkfifo(place)

    with pytest.raises(CorruptError) as raised:
        store.get(KEY)
    assert raised.value.failover


def test_a_name_that_is_too_long_is_invalid(store) -> None:
    """It would be too long in any directory."""
    with pytest.raises(InvalidError):
        store.put(KEY._replace(object_type="x" * 300), Body.of(b"x"))


def mounted(tmp_path: Path, *options: str) -> Path:
    """Return a file system of a test's own; it fails where that needs root."""
    place = tmp_path / "mount"
    place.mkdir()
    subprocess.run(["mount", *options, "tmpfs", str(place)], check=True)
    return place


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
class TestDisk:
    """A real disk, full or read-only."""

    def test_a_full_disk_keeps_the_old_object(self, tmp_path) -> None:
        """And says that it is full."""
        place = mounted(tmp_path, "-t", "tmpfs", "-o", "size=256k")
        try:
            store = FileSystemStore(str(place))
            store.put(KEY, Body.of(b"old"))
            with pytest.raises(FullError) as raised:
                store.put(KEY, Body.of(b"x" * 1_000_000))
            assert raised.value.failover
            assert store.get(KEY).read() == b"old"
            assert len(files(place)) == 1
        finally:
            subprocess.run(["umount", str(place)], check=True)

    def test_a_read_only_disk_can_be_read(self, tmp_path) -> None:
        """And refuses to be written."""
        place = mounted(tmp_path, "-t", "tmpfs", "-o", "size=256k")
        try:
            store = FileSystemStore(str(place))
            store.put(KEY, Body.of(b"old"))
            subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
            for attempt in (
                lambda: store.put(KEY, Body.of(b"new")),
                lambda: store.delete(KEY),
            ):
                with pytest.raises(ReadOnlyError):
                    attempt()
            assert store.get(KEY).read() == b"old"
        finally:
            subprocess.run(["umount", str(place)], check=True)

    def test_a_directory_that_may_not_be_entered_is_denied(self, tmp_path) -> None:
        """A failed delete is no silence: the object would go on being served."""
        store = FileSystemStore(str(tmp_path / "root"), create=True)
        store.put(KEY, Body.of(b"x"))
        (tmp_path / "root" / "testing").chmod(0)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setresuid(65534, 65534, 65534)
                for attempt in (lambda: store.get(KEY), lambda: store.delete(KEY)):
                    with pytest.raises((DeniedError, MisconfiguredError)):
                        attempt()
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0


def test_urls_are_escaped_and_need_a_base(tmp_path) -> None:
    """What needs no escaping is not escaped."""
    store = FileSystemStore(str(tmp_path), "https://images.example.com/base")

    assert store.url(KEY) == (
        "https://images.example.com/base/testing/234/1/1234.405x640.jpe"
    )
    odd = store.url(KEY._replace(object_type="50%?#"))
    assert odd.startswith("https://images.example.com/base/50%25%3F%23/")


def test_a_version_changes_with_every_put(store) -> None:
    """Though size and name stay."""
    versions = set()
    for _ in range(20):
        store.put(KEY, Body.of(b"same"))
        versions.add(store.stat(KEY).etag)

    assert len(versions) == 20


def test_no_descriptor_is_left_open(store) -> None:
    """Not by readers that are closed, nor by those that are dropped."""
    store.put(KEY, Body.of(b"x" * 10_000))
    gc.collect()  # what other tests have left behind is not ours
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        store.get(KEY)
        store.get_file(*KEY).read(10)
        with store.get_file(*KEY) as file:
            file.read()
        with pytest.raises(NotFoundError):
            store.get(KEY._replace(object_id=1))

    assert len(os.listdir("/proc/self/fd")) <= before
