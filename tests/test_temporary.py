"""
What killed writers leave is removed, and nothing else.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from collections.abc import Iterator
from pathlib import Path

import pytest

from tiered_store import temporary
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.body import Body
from tiered_store.key import Key


KEY = Key("testing", 1234, 405, 640, "image/jpeg")
WRITER = """
import sys
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.body import Body
from tiered_store.key import Key

class Slow(Body):
    size = 2
    def open(self, offset=0):
        raise NotImplementedError
    def chunks(self):
        yield b"x"
        print("half", flush=True)
        sys.stdin.readline()
        yield b"y"

key = Key("testing", 1234, 405, 640, "image/jpeg")
FileSystemStore(sys.argv[1]).put(key, Slow(), False)
"""


@pytest.fixture
def store(tmp_path: Path) -> FileSystemStore:
    store = FileSystemStore(str(tmp_path))
    store.put(KEY, Body.of(b"old"), False)
    return store


@pytest.fixture
def writer(store: FileSystemStore) -> Iterator[subprocess.Popen[str]]:
    """Return a process that has written half an object, and waits."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, store.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        yield process
        process.kill()


def parts(store: FileSystemStore) -> list[Path]:
    return sorted(Path(store.path).rglob("*.part"))


def age(path: Path, seconds: float = 3700.0) -> None:
    """Let it be that old."""
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_what_a_killed_writer_left_is_removed(store, writer) -> None:
    """By whoever lists it, an hour later."""
    writer.send_signal(signal.SIGKILL)
    writer.wait(60)
    (left,) = parts(store)
    assert list(store.keys()) == [KEY]
    assert parts(store) == [left]
    age(left)

    assert list(store.keys()) == [KEY]
    assert parts(store) == []
    assert store.get(KEY).read() == b"old"


def test_a_writer_that_is_slow_keeps_its_file(store, writer) -> None:
    """However long it waits for what it is to write."""
    (held,) = parts(store)
    age(held, 10 * 86_400)
    assert list(store.keys()) == [KEY]
    assert parts(store) == [held]

    writer.communicate("go on\n", timeout=60)
    assert writer.returncode == 0
    assert store.get(KEY).read() == b"xy"


@pytest.mark.parametrize("name", [".notes.part", "0123456789abcdef.part", ".a.part"])
def test_what_others_left_stays(store, name: str) -> None:
    """Names that are not of our making are not ours."""
    (folder,) = {path.parent for path in Path(store.path).rglob("*.jpe")}
    foreign = folder / name
    foreign.touch()
    age(foreign)

    assert list(store.keys()) == [KEY]
    assert foreign.exists()


def test_what_is_no_file_stays(store) -> None:
    """A link may lead anywhere, and a pipe would be waited for."""
    (folder,) = {path.parent for path in Path(store.path).rglob("*.jpe")}
    target = folder / "kept"
    target.touch()
    link, pipe = (folder / temporary.name() for _ in range(2))
    link.symlink_to(target)
    os.mkfifo(pipe)
    for path in (target, pipe):
        age(path)
    os.utime(link, (0, 0), follow_symlinks=False)

    assert list(store.keys()) == [KEY]
    assert link.is_symlink()
    assert pipe.exists()
    assert target.exists()
