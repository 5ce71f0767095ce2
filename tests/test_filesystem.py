"""Objects on disk: whole or not at all, below their root, and never falsely absent."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.body import Body, BytesBody
from tiered_store.deadlines import deadline
from tiered_store.errors import (
    CorruptError,
    DeadlineError,
    DeniedError,
    FullError,
    InvalidError,
    MisconfiguredError,
    NotFoundError,
    ReadOnlyError,
    StoreError,
    UnavailableError,
    UnsupportedError,
)
from tiered_store.events import Operation
from tiered_store.key import Key
from tiered_store.testing.recording import Recorder
from tiered_store.tree import label, observe


KEY = Key("testing", 1234, 405, 640, "image/jpeg")
NAME = "testing/234/1/1234.405x640.jpe"
NOBODY = 65534


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty directory."""
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def store(root: Path) -> FileSystemStore:
    """A store of it, labelled."""
    return label(FileSystemStore(str(root), "https://x/images"), "images")


def put(store: FileSystemStore, content: bytes, key: Key = KEY) -> None:
    """Put *content*."""
    store.put(key, Body.of(content))


def files_of(folder: Path) -> set[str]:
    """Return every file below *folder*, temporary ones included."""
    found = folder.rglob("*")
    return {str(path.relative_to(folder)) for path in found if not path.is_dir()}


def held_open(folder: Path) -> set[str]:
    """Return what of *folder* this process has open."""
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # another thread's, or our own
            found.add(os.readlink(f"/proc/self/fd/{descriptor}"))
    return {name for name in found if name.startswith(str(folder))}


ALL = ("put", "get", "stat", "delete", "keys")


def failures_of(
    store: FileSystemStore, *verbs: str
) -> dict[str, type[Exception] | None]:
    """Return what each verb raises."""
    calls: dict[str, Callable[[], object]] = {
        "put": lambda: put(store, b"new"),
        "get": lambda: store.get(KEY),
        "stat": lambda: store.stat(KEY),
        "delete": lambda: store.delete(KEY),
        "keys": lambda: list(store.keys()),
    }
    failures: dict[str, type[Exception] | None] = {}
    for verb in verbs or ALL:
        failures[verb] = None
        try:
            calls[verb]()
        except StoreError as error:
            failures[verb] = type(error)
    return failures


def all_raise(kind: type[Exception]) -> dict[str, type[Exception]]:
    """Return that every verb raises *kind*."""
    return dict.fromkeys(ALL, kind)


# -- names ---------------------------------------------------------------------


def test_files_are_where_the_original_puts_them(
    store: FileSystemStore, root: Path
) -> None:
    """Byte for byte, so that people adopt the library over data they have."""
    put(store, b"jpeg")
    put(store, b"png", Key("comics.cover", 5, 30, 40, "image/png"))

    assert (root / NAME).read_bytes() == b"jpeg"
    assert (root / "comics.cover/5/0/5.30x40.png").read_bytes() == b"png"
    assert len(files_of(root)) == 2


def test_files_of_the_original_are_read(store: FileSystemStore, root: Path) -> None:
    """As they lie there."""
    (root / NAME).parent.mkdir(parents=True)
    (root / NAME).write_bytes(b"old data")

    assert store.get(KEY).read() == b"old data"
    assert store.stat(KEY).size == 8
    assert store.stat(KEY).modified == (root / NAME).stat().st_mtime
    assert list(store.keys()) == [KEY]
    store.delete(KEY)
    assert files_of(root) == set()


@pytest.mark.parametrize(
    ("base", "kind", "url"),
    [
        ("https://x", "t", "https://x/t/1/0/1.2x3.png"),
        ("https://x/", "t", "https://x/t/1/0/1.2x3.png"),
        ("/media/", "a/b", "/media/a/b/1/0/1.2x3.png"),
        ("https://x/i", "1%?#&+ é", "https://x/i/1%25%3F%23&+%20%C3%A9/1/0/1.2x3.png"),
    ],
)
def test_urls_are_quoted_names(root: Path, base: str, kind: str, url: str) -> None:
    """A web server that shows the root finds the file."""
    store = FileSystemStore(str(root), base)

    assert store.url(Key(kind, 1, 2, 3, "image/png")) == url


def test_an_extension_that_is_spelled_out_is_quoted_twice(root: Path) -> None:
    """The file has a %2F in its name."""
    url = FileSystemStore(str(root), "/m").url(Key("t", 1, 2, 3, "a/x-b"))

    assert url == "/m/t/1/0/1.2x3.a%252Fx-b"


def test_without_a_base_there_are_no_urls(root: Path) -> None:
    """And it says so beforehand."""
    store = FileSystemStore(str(root))

    assert "url" not in store.capabilities()
    with pytest.raises(UnsupportedError, match="base_url"):
        store.url(KEY)


anything = st.text() | st.lists(
    st.sampled_from(["..", ".", "/", "\\", "a", "\0", "~", "%2e", "..%2f", "\n"])
).map("".join)


@settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(anything, st.integers(), st.integers(), st.integers(), anything)
def test_no_value_leads_out_of_the_root(
    tmp_path: Path, kind: str, number: int, width: int, height: int, mimetype: str
) -> None:
    """Whatever a visitor can make an application ask for."""
    root = tmp_path / "above" / "root"
    store = FileSystemStore(str(root), "https://x/", create=True)
    values = (kind, number, width, height, mimetype)
    try:
        store.put_file(BytesBody(b"x").open(), *values, False)
    except InvalidError:
        with contextlib.suppress(InvalidError):  # too long is refused by the disk only
            store.get_url(*values)
        with contextlib.suppress(InvalidError):
            store.delete_file(*values)
    else:
        [name] = files_of(root)
        assert (root / name).resolve().is_relative_to(root.resolve())
        [key] = store.keys()
        assert store.get(key).read() == b"x"
        store.delete_file(*values)

    assert files_of(tmp_path) == set()
    assert [path.name for path in tmp_path.iterdir()] in ([], ["above"])


# -- whole or not at all -------------------------------------------------------


def test_readers_see_whole_objects_while_writers_replace_them(
    store: FileSystemStore, root: Path
) -> None:
    """Old or new, never a mixture, never nothing; also for who opens the file."""
    contents = [bytes([65 + number]) * (50_000 + 777 * number) for number in range(5)]
    put(store, contents[0])
    stop = threading.Event()

    def read() -> int:
        reads = 0
        while not (stop.is_set() and reads):
            assert store.get(KEY).read() in contents
            assert (root / NAME).read_bytes() in contents
            assert store.stat(KEY).size in map(len, contents)
            reads += 1
        return reads

    with ThreadPoolExecutor(5) as threads:
        readers = [threads.submit(read) for _ in range(2)]
        try:
            list(threads.map(lambda content: put(store, content), contents * 30))
        finally:
            stop.set()
        assert all(reader.result() for reader in readers)
    assert files_of(root) == {NAME}


class Interrupted(BytesBody):
    """A body that does something after its first piece."""

    def __init__(self, content: bytes, then: Callable[[], object]) -> None:
        super().__init__(content)
        self.then = then

    def chunks(self, size: int = 10) -> Iterator[bytes]:
        yield self.read()[:10]
        self.then()
        yield self.read()[10:]


def raising(error: BaseException) -> Callable[[], None]:
    """Return what raises *error*."""

    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    "error",
    [UnavailableError("the source went away"), KeyboardInterrupt(), MemoryError()],
    ids=repr,
)
@pytest.mark.parametrize("old", [b"old", None])
def test_a_torn_write_leaves_what_was_there_and_nothing_else(
    store: FileSystemStore, root: Path, error: BaseException, old: bytes | None
) -> None:
    """Whatever tears it."""
    if old is not None:
        put(store, old)
    before = files_of(root)

    with pytest.raises(type(error)):
        store.put(KEY, Interrupted(b"new" * 100, raising(error)))

    assert files_of(root) == before
    if old is None:
        with pytest.raises(NotFoundError):
            store.get(KEY)
    else:
        assert store.get(KEY).read() == old


@pytest.mark.parametrize("length", [8, 32 * 1024, 32 * 1024 + 1])
def test_a_file_is_opened_as_its_body_would_be(
    store: FileSystemStore, length: int
) -> None:
    """Who asks for a file spares a body, and sees no difference, whatever its size."""
    content = b"one\ntwo\n".ljust(length, b"!")
    put(store, content)

    with store.get_file(*KEY) as file, store.get(KEY).open() as other:
        for one in (file, other):
            assert (one.readline(), one.read()) == (b"one\n", content[4:])
            assert (one.read(), one.tell()) == (b"", length)
            assert (one.seek(2), one.read(3), one.tell()) == (2, b"e\nt", 5)
            assert (one.seek(-1, os.SEEK_END), one.read()) == (length - 1, content[-1:])
            assert (one.readable(), one.seekable()) == (True, True)


def test_a_file_of_nothing_is_opened(store: FileSystemStore) -> None:
    """No bytes are no reason to say that some are missing."""
    put(store, b"")

    with store.get_file(*KEY) as file:
        assert file.read() == b""


@pytest.mark.parametrize("how", ["read", "readline"])
def test_a_file_that_is_closed_holds_nothing_open(
    store: FileSystemStore, root: Path, how: str
) -> None:
    """Although somebody keeps it, and an error of it would still have a name."""
    put(store, bytes(100_000))
    files = [store.get_file(*KEY), store.get(KEY).open()]
    for file in files:
        assert getattr(file, how)()
        assert held_open(root)
    for file in files:
        file.close()

    assert held_open(root) == set()


def test_a_small_file_that_is_open_holds_nothing_open(
    store: FileSystemStore, root: Path
) -> None:
    """It was read: whoever keeps thousands, or forgets to close one, costs no file."""
    put(store, b"content")

    with store.get_file(*KEY) as file:
        assert held_open(root) == set()
        os.truncate(root / NAME, 0)
        assert file.read() == b"content"


def test_a_large_file_is_opened_without_being_read(
    store: FileSystemStore, root: Path
) -> None:
    """Whatever its size, which no memory would hold."""
    put(store, b"content")
    os.truncate(root / NAME, 1 << 40)

    with store.get_file(*KEY) as file:
        assert file.read(7) == b"content"


def test_a_small_file_with_less_than_its_size_is_not_taken_for_whole(
    store: FileSystemStore, root: Path
) -> None:
    """As one that is cut off while it is read; the kernel's own settings are so."""
    (root / NAME).parent.mkdir(parents=True)
    (root / NAME).symlink_to("/sys/kernel/uevent_seqnum")  # says 4,096 bytes

    with store.get_file(*KEY) as file, pytest.raises(CorruptError, match="ends after"):
        file.read()


def test_nothing_is_opened_once_it_is_closed(store: FileSystemStore) -> None:
    """Not by the short way either."""
    put(store, b"content")
    store.close()

    with pytest.raises(ValueError, match="images is closed"):
        store.get_file(*KEY)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_not_held_open(
    store: FileSystemStore, root: Path, make: Callable[[Path], None]
) -> None:
    """Whoever asks for it again and again must not run out of descriptors."""
    (root / NAME).parent.mkdir(parents=True)
    make(root / NAME)

    with pytest.raises(CorruptError, match="no file"):
        store.get_file(*KEY)
    gc.collect()  # the error has the frames in which it was held

    assert held_open(root) == set()


def test_a_file_that_is_missing_says_what_its_body_would(
    store: FileSystemStore,
) -> None:
    """The error names the store, the verb and the object."""
    with pytest.raises(NotFoundError) as missing:
        store.get_file(*KEY)

    assert (missing.value.store, missing.value.verb) == ("images", "get")
    assert missing.value.key == KEY


def test_a_file_is_not_opened_past_a_deadline(store: FileSystemStore) -> None:
    """It takes microseconds, and is not begun all the same."""
    put(store, b"content")

    with deadline(0.0), pytest.raises(DeadlineError):
        store.get_file(*KEY)


def test_whoever_watches_sees_that_a_file_was_opened(store: FileSystemStore) -> None:
    """A short way is no secret one."""
    put(store, b"content")
    seen = Recorder()
    observe(store, seen)

    store.get_file(*KEY).close()

    [event] = seen.of(Operation)
    assert (event.verb, event.size) == ("get", 7)


def test_a_kind_of_it_that_reads_otherwise_is_asked(root: Path) -> None:
    """The short way to a file does not pass by what an author wrote."""

    class Shouting(FileSystemStore):
        def _get(self, key: Key) -> Body:
            return Body.of(super()._get(key).read().upper())

    store = Shouting(str(root))
    put(store, b"content")

    with store.get_file(*KEY) as file:
        assert file.read() == b"CONTENT"


def test_a_reader_goes_on_with_what_it_opened(store: FileSystemStore) -> None:
    """Over a replacement and a deletion."""
    put(store, b"old" * 1000)
    body = store.get(KEY)
    with body.open() as file:
        assert file.read(3) == b"old"
        put(store, b"new")
        assert file.read() == b"old" * 999
        store.delete(KEY)
    assert body.read() == b"old" * 1000


def test_an_object_that_was_cut_off_names_itself(
    store: FileSystemStore, root: Path
) -> None:
    """By whoever writes into files of ours; loudly, and another place may have it."""
    put(store, b"x" * 1000)
    body = store.get(KEY)
    os.truncate(root / NAME, 10)

    with pytest.raises(CorruptError, match=r"^images: get testing/1234.*after 10 of"):
        body.read()


def test_no_descriptor_is_left_open(store: FileSystemStore) -> None:
    """Not by readers that are closed, nor by those that are dropped."""
    put(store, b"x" * 10_000)
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


KILLED = """
import sys, time
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.body import BytesBody
from tests.test_filesystem import KEY

class Slow(BytesBody):
    def chunks(self, size=0):
        yield b"n" * 70_000
        print("half", flush=True)
        time.sleep(60)

FileSystemStore(sys.argv[1]).put(KEY, Slow(b"n" * 140_000))
"""


@pytest.mark.parametrize("old", [b"old", None])
def test_killed_in_the_middle_of_a_put(
    store: FileSystemStore, root: Path, old: bytes | None
) -> None:
    """The old object is there, whole; what is left over is nobody's object."""
    if old is not None:
        put(store, old)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(root)],
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        process.send_signal(signal.SIGKILL)
        process.wait(60)

    [left_over] = files_of(root) - {NAME}
    assert Path(left_over).name.startswith(".")
    if old is None:
        assert list(store.keys()) == []
        with pytest.raises(NotFoundError):
            store.get(KEY)
    else:
        assert list(store.keys()) == [KEY]
        assert store.get(KEY).read() == old
    put(store, b"new")
    assert store.get(KEY).read() == b"new"


def test_two_writers_make_the_same_directories(root: Path) -> None:
    """Whoever comes second does not mind."""
    store = FileSystemStore(str(root))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            for number in range(30):
                start = threading.Barrier(8)

                def race(
                    width: int, number: int = number, start: threading.Barrier = start
                ) -> None:
                    start.wait()
                    put(store, b"x", Key(f"a{number}/b/c/d", 1, width, 1, "image/png"))

                list(threads.map(race, range(8)))
    finally:
        sys.setswitchinterval(interval)
    assert len(list(store.keys())) == 240


def test_a_body_is_of_the_version_that_was_opened(
    store: FileSystemStore, root: Path
) -> None:
    """Whatever becomes of the object, or of its file, until somebody asks."""
    store.put(KEY, Body.of(b"one"))
    then = store.stat(KEY)
    body = store.get(KEY)

    with (root / NAME).open("ab") as file:
        file.write(b"more")
    assert store.stat(KEY).etag != then.etag
    assert body.stat() == then
    store.put(KEY, Body.of(b"two"))
    assert (body.stat(), body.read()) == (then, b"one")


def test_every_put_is_another_version(store: FileSystemStore) -> None:
    """Of the same size, in the same place, on a number that the disk uses again."""
    versions = set()
    for turn in range(40):
        put(store, b"%04d" % turn)
        versions.add(store.get(KEY).version)

    assert len(versions) == 40
    assert store.get(KEY).version == store.get(KEY).version == store.stat(KEY).etag


def test_the_time_of_a_put_is_not_a_tick_old(
    store: FileSystemStore, root: Path
) -> None:
    """Kernels stamp files with the time of their last timer interrupt."""
    for turn in range(10):
        put(store, b"x", KEY._replace(object_id=turn))

    times = {path.stat().st_mtime_ns for path in root.rglob("*.jpe")}
    assert len(times) == 10


def test_files_can_be_read_by_whom_the_mask_allows(
    store: FileSystemStore, root: Path
) -> None:
    """A web server, usually."""
    before = os.umask(0o027)
    try:
        put(store, b"x")
    finally:
        os.umask(before)

    assert stat.S_IMODE((root / NAME).stat().st_mode) == 0o640
    assert stat.S_IMODE((root / "testing").stat().st_mode) == 0o750


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is synchronised with the disk, in order."""
    found: list[str] = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    return found


def test_fsync_lets_the_disk_know(root: Path, synced: list[str]) -> None:
    """The bytes, then their name, and the name of every folder that is new."""
    store = FileSystemStore(str(root), fsync=True)
    put(store, b"x")

    folders = [root, root / "testing", root / "testing/234"]
    assert synced[:3] == [str(folder) for folder in folders]
    leaf = str(root / "testing/234/1")
    assert synced[3].startswith(f"{leaf}/.")
    assert synced[4:] == [leaf]
    synced.clear()
    put(store, b"y")
    assert synced[0].startswith(f"{leaf}/.")
    assert synced[1:] == [leaf]
    synced.clear()
    store.delete(KEY)
    assert synced == [leaf]


def test_without_it_nothing_waits_for_the_disk(
    store: FileSystemStore, synced: list[str]
) -> None:
    """It is three times slower."""
    put(store, b"x")
    store.delete(KEY)

    assert synced == []


# -- never falsely absent --------------------------------------------------------


def test_a_missing_root_is_not_an_empty_one(tmp_path: Path) -> None:
    """A disk that is not mounted: every verb says so, and nothing is made."""
    store = FileSystemStore(str(tmp_path / "not" / "there"))

    assert failures_of(store) == all_raise(MisconfiguredError)
    with pytest.raises(MisconfiguredError, match="make it, or say create: true"):
        store.get(KEY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("create", [False, True])
def test_a_root_that_is_a_file_is_a_mistake(tmp_path: Path, create: bool) -> None:
    """Of this place: another one may serve."""
    (tmp_path / "root").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("root", "link"):
        store = FileSystemStore(str(tmp_path / name), create=create)
        assert failures_of(store) == all_raise(MisconfiguredError)


@pytest.mark.parametrize("verb", ALL)
def test_create_makes_the_root_at_first_use(tmp_path: Path, verb: str) -> None:
    """Not before: a constructor does nothing."""
    store = FileSystemStore(str(tmp_path / "a" / "b"), create=True)
    assert list(tmp_path.iterdir()) == []

    failure = failures_of(store, verb)[verb]

    assert failure is (NotFoundError if verb in ("get", "stat") else None)
    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize("verb", ALL)
def test_a_root_that_was_there_is_not_made_again(tmp_path: Path, verb: str) -> None:
    """It was unmounted, and an empty directory would be filled instead."""
    root = tmp_path / "root"
    store = FileSystemStore(str(root), create=True)
    put(store, b"x")
    root.rename(tmp_path / "away")

    assert failures_of(store, verb) == {verb: MisconfiguredError}
    assert not root.exists()
    (tmp_path / "away").rename(root)
    assert store.get(KEY).read() == b"x"


def test_without_its_marker_a_disk_is_not_believed(tmp_path: Path) -> None:
    """An empty mount point, or the wrong disk: nothing is written, none is absent."""
    root = tmp_path / "root"
    root.mkdir()
    (root / ".mounted").touch()
    store = FileSystemStore(str(root), marker=".mounted")
    put(store, b"x")
    (root / ".mounted").unlink()

    assert store.get(KEY).read() == b"x"
    expected = {"put": MisconfiguredError, "delete": MisconfiguredError}
    assert failures_of(store, "put", "delete") == expected
    assert (root / NAME).read_bytes() == b"x"
    (root / NAME).unlink()
    assert failures_of(store) == all_raise(MisconfiguredError)
    (root / ".mounted").touch()
    assert list(store.keys()) == []
    with pytest.raises(NotFoundError):
        store.get(KEY)


def test_a_marker_is_never_made(tmp_path: Path) -> None:
    """That would defeat it."""
    store = FileSystemStore(str(tmp_path / "root"), create=True, marker="here")

    assert failures_of(store) == all_raise(MisconfiguredError)


def test_a_folder_that_goes_away_during_a_put_is_not_absence(
    store: FileSystemStore, root: Path
) -> None:
    """A put has no "not found"; something is wrong with the place."""

    def unmount() -> None:
        (root / "testing").rename(root / "away")

    with pytest.raises(MisconfiguredError, match=r"^images: put .*nowhere to put it"):
        store.put(KEY, Interrupted(b"x" * 100, unmount))


def test_the_root_is_where_it_was_when_it_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that changes its directory keeps its objects; ~ is the home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    relative = FileSystemStore("here", create=True)
    at_home = FileSystemStore("~/pictures", create=True)
    monkeypatch.chdir("/")
    put(relative, b"x")
    put(at_home, b"y")

    assert files_of(tmp_path) == {f"here/{NAME}", f"home/pictures/{NAME}"}
    assert relative.path == "here"


# -- links and other things --------------------------------------------------------


def test_a_root_or_a_type_may_be_a_link(tmp_path: Path) -> None:
    """Operators move a type to another disk."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "testing").symlink_to(tmp_path / "other")
    store = FileSystemStore(str(tmp_path / "root"))
    put(store, b"x")

    assert files_of(tmp_path / "other") == {NAME.removeprefix("testing/")}
    assert list(store.keys()) == [KEY]
    assert store.get(KEY).read() == b"x"


def test_a_type_on_a_disk_that_is_away_is_not_absent(
    store: FileSystemStore, root: Path, tmp_path: Path
) -> None:
    """Its link leads nowhere: neither is an object absent nor the listing empty."""
    (root / "testing").symlink_to(tmp_path / "unmounted")

    assert failures_of(store) == all_raise(MisconfiguredError)
    assert list(store.keys("other")) == []
    (tmp_path / "unmounted").mkdir()
    with pytest.raises(NotFoundError):
        store.get(KEY)
    assert list(store.keys()) == []


def test_a_link_is_replaced_and_not_written_through(
    store: FileSystemStore, root: Path, tmp_path: Path
) -> None:
    """What it led to is somebody else's."""
    (tmp_path / "precious").write_bytes(b"precious")
    (root / NAME).parent.mkdir(parents=True)
    (root / NAME).symlink_to(tmp_path / "precious")
    assert store.get(KEY).read() == b"precious"

    put(store, b"new")
    assert store.get(KEY).read() == b"new"
    (root / NAME).unlink()
    (root / NAME).symlink_to(tmp_path / "precious")
    store.delete(KEY)

    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert files_of(root) == set()


def test_an_object_that_is_a_dead_link_is_absent(
    store: FileSystemStore, root: Path
) -> None:
    """As the web server would say; a listing does not show what a get denies."""
    (root / NAME).parent.mkdir(parents=True)
    (root / NAME).symlink_to("nowhere")

    expected = {"get": NotFoundError, "stat": NotFoundError}
    assert failures_of(store, "get", "stat") == expected
    assert list(store.keys()) == []
    put(store, b"x")
    assert store.get(KEY).read() == b"x"


@pytest.mark.parametrize("target", ["..", ".", "../..", "1"])
def test_a_listing_does_not_walk_in_circles(
    store: FileSystemStore, root: Path, target: str
) -> None:
    """A link into what it lies in is passed over, from above and from the side."""
    put(store, b"x")
    (root / "testing/234/loop").symlink_to(target)
    (root / "testing/234/1/back").symlink_to("..")

    assert set(store.keys()) == {KEY}


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_no_object(
    store: FileSystemStore, root: Path, make: Callable[[Path], None]
) -> None:
    """Nobody waits for the other end of a pipe; a size of a folder is no size."""
    (root / NAME).parent.mkdir(parents=True)
    make(root / NAME)

    expected = {"get": CorruptError, "stat": CorruptError}
    assert failures_of(store, "get", "stat") == expected
    with pytest.raises(CorruptError) as told:
        store.get_file(*KEY)
    assert (told.value.store, told.value.verb) == ("images", "get")


@pytest.mark.parametrize("device", ["null", "zero", "tty", "vcs", "vcsa", "loop0"])
def test_a_device_is_no_object(store: FileSystemStore, root: Path, device: str) -> None:
    """Whatever it says of its size: it has no end, or is not to be shown to anybody."""
    if not os.access(f"/dev/{device}", os.R_OK):
        pytest.skip("there is none here, or not for us")
    (root / NAME).parent.mkdir(parents=True)
    (root / NAME).symlink_to(f"/dev/{device}")

    for get in (store.get_file, lambda *values: store.get(Key(*values))):
        with pytest.raises(StoreError) as told:
            get(*KEY)
        assert not isinstance(told.value, NotFoundError)
        assert (told.value.store, told.value.verb) == ("images", "get")


def test_a_link_to_a_file_is_an_object(
    store: FileSystemStore, root: Path, tmp_path: Path
) -> None:
    """As where large ones were moved to another disk; small or large."""
    for content in (b"content", b"x" * 100_000):
        (tmp_path / "elsewhere").write_bytes(content)
        (root / NAME).parent.mkdir(parents=True, exist_ok=True)
        (root / NAME).unlink(missing_ok=True)
        (root / NAME).symlink_to(tmp_path / "elsewhere")

        with store.get_file(*KEY) as file:
            assert file.read() == content


def test_a_folder_in_the_way_is_trouble_of_this_place(
    store: FileSystemStore, root: Path
) -> None:
    """So another one may be tried, and nothing is left behind."""
    (root / NAME / "deeper").mkdir(parents=True)

    expected = {"put": MisconfiguredError, "delete": MisconfiguredError}
    assert failures_of(store, "put", "delete") == expected
    assert files_of(root) == set()


def test_a_file_in_the_way_of_a_folder(store: FileSystemStore, root: Path) -> None:
    """Below a file there is nothing, which is known; but nothing can be put there."""
    put(store, b"x")
    below = Key(NAME, 1, 1, 1, "image/png")

    with pytest.raises(NotFoundError):
        store.get(below)
    with pytest.raises(NotFoundError):
        store.stat(below)
    store.delete(below)
    with pytest.raises(MisconfiguredError):
        put(store, b"y", below)
    assert files_of(root) == {NAME}


def test_foreign_files_are_passed_over(store: FileSystemStore, root: Path) -> None:
    """Also those whose names are no text."""
    put(store, b"x")
    for name in (
        *("README", "testing/README", "testing/234/1/.1234.part", "testing/234/1/x"),
        *("testing/234/1/1234.405x640.jpg", "testing/235/1/1234.405x640.jpe"),
        os.fsdecode(b"testing/234/1/1235.1x1.\xff"),
        os.fsdecode(b"\xff/1/0/1.1x1.png"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "testing/234/1/.#lock").symlink_to("user@host.1234")  # as editors do

    assert list(store.keys()) == [KEY]


def test_a_listing_is_narrowed_before_it_walks(
    store: FileSystemStore, root: Path
) -> None:
    """Types that cannot match are not even opened."""
    put(store, b"x")
    put(store, b"x", Key("a/b", 1, 1, 1, "image/png"))
    (root / "other").symlink_to("other")  # opening it would fail

    assert list(store.keys("test")) == [KEY]
    assert [key.object_type for key in store.keys("a/")] == ["a/b"]
    assert [key.object_type for key in store.keys("a/b")] == ["a/b"]
    assert list(store.keys("a/bc")) == list(store.keys("tests")) == []


def test_a_listing_bears_changes(store: FileSystemStore, root: Path) -> None:
    """Folders may come and go meanwhile."""
    for kind in "abcdef":
        put(store, b"x", Key(kind, 1, 1, 1, "image/png"))
    listing = store.keys()
    first = next(listing)
    for kind in "abcdef":
        if kind != first.object_type:
            (root / kind).rename(root / f"{kind}-away")

    assert [key for key in listing if not key.object_type.endswith("-away")] == []


# -- errors told apart ---------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"object_type": "x" * 300},
        {"object_type": "/".join(["x" * 200] * 30)},
        {"object_id": 10**300},
        {"mimetype": "a/" + "x" * 300},
    ],
    ids=["segment", "path", "number", "extension"],
)
def test_a_name_that_is_too_long_is_invalid(
    store: FileSystemStore, root: Path, change: dict[str, Any]
) -> None:
    """The request is wrong, whoever is asked again; nothing is left behind."""
    key = KEY._replace(**change)
    calls: list[Callable[[], object]] = [
        lambda: put(store, b"x", key),
        lambda: store.get(key),
        lambda: store.stat(key),
        lambda: store.delete(key),
    ]

    for call in calls:
        with pytest.raises(InvalidError, match="File name too long") as caught:
            call()
        assert not caught.value.retryable
    assert files_of(root) == set()


def test_too_many_open_files_are_our_own_trouble(
    store: FileSystemStore, root: Path
) -> None:
    """The disk is well: nobody fails over, and nothing is absent."""
    put(store, b"x")
    calls: list[Callable[[], object]] = [
        lambda: store.get(KEY),
        lambda: put(store, b"y"),
        lambda: list(store.keys()),
    ]
    with open("/dev/null") as last:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (last.fileno(), hard))
        try:
            for call in calls:
                with pytest.raises(UnavailableError, match="Too many open") as caught:
                    call()
                assert (caught.value.local, caught.value.failover) == (True, False)
            assert store.stat(KEY).size == 1
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert store.get(KEY).read() == b"x"
    assert files_of(root) == {NAME}


def as_nobody(work: Callable[[], Any]) -> Any:
    """Return what *work* returns in a child process without privileges."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads
        child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            os.write(write, pickle.dumps(work()))
        except BaseException:
            os.write(write, pickle.dumps(traceback.format_exc()))
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as answer:
        found = answer.read()
    os.waitpid(child, 0)
    return pickle.loads(found)


@pytest.fixture
def shared() -> Iterator[Path]:
    """An empty directory that everybody may reach."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def ours(shared: Path) -> FileSystemStore:
    """A store of it."""
    return FileSystemStore(str(shared))


def test_permission_denied_is_neither_absence_nor_silence(
    ours: FileSystemStore, shared: Path
) -> None:
    """A delete that was refused leaves the object served, so it is told."""
    put(ours, b"x")
    (shared / "testing").chmod(0)
    try:
        found = as_nobody(lambda: failures_of(ours))
    finally:
        (shared / "testing").chmod(0o755)

    assert found == all_raise(DeniedError)
    assert ours.get(KEY).read() == b"x"


def test_what_may_be_read_may_be_read(ours: FileSystemStore, shared: Path) -> None:
    """A directory without write permission refuses changes alone."""
    put(ours, b"x")
    folder = (shared / NAME).parent
    folder.chmod(0o555)
    try:
        found = as_nobody(lambda: failures_of(ours))
        content = as_nobody(lambda: ours.get(KEY).read())
    finally:
        folder.chmod(0o755)

    refused = {"put": DeniedError, "delete": DeniedError}
    assert found == {**dict.fromkeys(ALL), **refused}
    assert content == b"x"
    assert files_of(shared) == {NAME}


def test_an_object_that_may_not_be_read_is_denied(
    ours: FileSystemStore, shared: Path
) -> None:
    """It is there."""
    put(ours, b"x")
    (shared / NAME).chmod(0)

    found = as_nobody(lambda: failures_of(ours, "get", "stat"))
    assert found == {"get": DeniedError, "stat": None}


@pytest.mark.root
def test_a_full_disk_keeps_what_it_has(small_disk: Path) -> None:
    """The old object stays, nothing half-written is left, and there is room again."""
    store = label(FileSystemStore(str(small_disk)), "images")
    put(store, b"old")

    with pytest.raises(FullError, match=r"^images: put .*No space left") as caught:
        put(store, b"x" * (2 << 20))

    assert (caught.value.failover, caught.value.retryable) == (True, False)
    assert store.get(KEY).read() == b"old"
    assert files_of(small_disk) == {NAME}
    put(store, b"y" * 500_000)
    store.delete(KEY)


@pytest.mark.root
def test_a_disk_without_room_for_names_is_full_too(small_disk: Path) -> None:
    """Folders cannot be made any more."""
    store = FileSystemStore(str(small_disk))
    keys = [KEY._replace(object_id=number * 1001) for number in range(50)]
    with pytest.raises(FullError):
        [put(store, b"x", key) for key in keys]

    kept = set(store.keys())
    assert kept
    assert kept == set(keys[: len(kept)])
    for key in keys:
        store.delete(key)


@pytest.mark.root
def test_a_disk_that_became_read_only_is_told_apart(small_disk: Path) -> None:
    """As after an error of the file system: reads go on."""
    store = FileSystemStore(str(small_disk))
    put(store, b"x")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    refused = {"put": ReadOnlyError, "delete": ReadOnlyError}
    assert failures_of(store) == {**dict.fromkeys(ALL), **refused}
    assert store.get(KEY).read() == b"x"
    assert files_of(small_disk) == {NAME}


@pytest.mark.root
def test_an_unmounted_disk_is_not_an_empty_one(small_disk: Path) -> None:
    """Its mount point is an empty directory, which only a marker tells apart."""
    (small_disk / ".here").touch()
    store = FileSystemStore(str(small_disk), marker=".here", create=True)
    put(store, b"x")
    body = store.get(KEY)
    subprocess.run(["umount", "--lazy", str(small_disk)], check=True)

    assert failures_of(store) == all_raise(MisconfiguredError)
    assert list(small_disk.iterdir()) == []
    assert body.read() == b"x"
