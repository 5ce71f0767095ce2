"""Processes of one host meet: one fills, the others follow, nobody waits in vain."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import textwrap

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.waiting import until
from tiered_store.body import Body
from tiered_store.caching.meeting import FollowedBody, Meeting, Spool
from tiered_store.deadlines import deadline
from tiered_store.errors import ConflictError, DeadlineError, UnavailableError
from tiered_store.readers import Descriptor
from tiered_store.tiers.tier import Record


CONTENT = bytes(range(256)) * 1000
HALF = len(CONTENT) // 2
LONG = 60.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files are."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"tiered-store-{os.geteuid()}"


def led(identity: int = 7) -> Spool:
    spool = Meeting().join(identity)
    assert isinstance(spool, Spool)
    return spool


def followed(identity: int = 7) -> Descriptor:
    spool = Meeting().join(identity)
    assert isinstance(spool, Descriptor)
    return spool


def nobody(stuck: bool) -> Body:
    raise UnavailableError("nobody has it")


def body_of(
    spool: Descriptor,
    again: Callable[[bool], Body] = nobody,
    *,
    version: str | None = "v1",
    patience: float = LONG,
) -> FollowedBody:
    record = Record(since=0.0, size=len(CONTENT), version=version, modified=5.0)
    return FollowedBody(record, spool, again, patience)


def test_one_leads_and_the_others_follow(folder: Path) -> None:
    """Of each copy, until it is left; then somebody else may lead."""
    spool = led()
    with spool.held():
        with spool.held():
            followed()
            led(8).leave()
        followed()
    assert not list(folder.iterdir())

    led().leave()


def test_who_follows_reads_what_has_come(folder: Path) -> None:
    """To the end, wherever it begins, and although the leader has left meanwhile."""
    spool = led()
    body = body_of(followed())
    spool.write(CONTENT[:HALF])
    with body.open() as file, ThreadPoolExecutor(1) as pool:
        assert file.read(1000) == CONTENT[:1000]
        rest = pool.submit(file.read)
        spool.write(CONTENT[HALF:])
        spool.leave()
        assert rest.result(LONG) == CONTENT[1000:]
        file.seek(-10, os.SEEK_END)
        assert file.read() == CONTENT[-10:]
    assert body.stat().modified == 5.0
    assert body.in_memory().read() == CONTENT


def test_who_follows_goes_on_elsewhere_when_the_leader_has_gone(folder: Path) -> None:
    """Where it was, if that is known to be the same version."""
    spool = led()
    spool.write(CONTENT[:HALF])
    told: list[bool] = []

    def again(stuck: bool) -> Body:
        told.append(stuck)
        return Body.of(CONTENT, "v1")

    body = body_of(followed(), again)
    spool.leave()

    assert body.read() == CONTENT
    assert told == [False]


@pytest.mark.parametrize(
    ("was", "there", "arrived", "same"),
    [
        ("v1", "v2", HALF, False),
        ("v1", "v2", 0, False),  # or old and new would go by one name
        ("v1", None, HALF, False),
        (None, None, HALF, False),  # nobody can tell
        (None, None, 0, True),  # and nobody has to
    ],
)
def test_two_versions_are_never_spliced(
    folder: Path, was: str | None, there: str | None, arrived: int, same: bool
) -> None:
    """Nor is one passed off as the other."""
    spool = led()
    spool.write(CONTENT[:arrived])
    body = body_of(followed(), lambda _: Body.of(CONTENT, there), version=was)
    spool.leave()

    if same:
        assert body.read() == CONTENT
    else:
        with pytest.raises(ConflictError):
            body.read()


def test_another_size_is_another_version(folder: Path) -> None:
    """Whatever it calls itself."""
    spool = led()
    body = body_of(followed(), lambda _: Body.of(CONTENT[1:], "v1"))
    spool.leave()

    with pytest.raises(ConflictError):
        body.read()


def test_a_leader_that_is_stuck_is_left(folder: Path) -> None:
    """Whoever followed is told that it still leads, so as not to follow it again."""
    spool = led()
    spool.write(CONTENT[:HALF])
    told: list[bool] = []

    def again(stuck: bool) -> Body:
        told.append(stuck)
        return Body.of(CONTENT, "v1")

    assert body_of(followed(), again, patience=0.0).read() == CONTENT
    assert told == [True]
    spool.leave()


def test_nobody_follows_for_longer_than_they_have_time(folder: Path) -> None:
    """However patient they are otherwise."""
    spool = led()
    with deadline(0.05), pytest.raises(DeadlineError):
        body_of(followed()).read()
    spool.leave()


def test_what_the_dead_have_left_is_not_gone_on_with(folder: Path) -> None:
    """The machine may have died with them, and left nothing but zeros."""
    spool = led()
    name = folder / f"{7:016x}"
    spool.write(b"half")
    old = followed()
    fcntl.flock(old.number, fcntl.LOCK_UN)
    assert spool.descriptor is not None
    fcntl.flock(spool.descriptor.number, fcntl.LOCK_UN)  # as death does

    new = led()

    assert name.read_bytes() == b""
    assert os.fstat(old.number).st_nlink == 0
    new.leave()


def test_what_the_dead_have_left_is_removed(folder: Path) -> None:
    """When somebody leads again; not what is led, nor what is new."""
    led(1).leave()
    dead = [folder / f"{number:016x}" for number in range(20, 40)]
    alive = [folder / f"{number:016x}" for number in (2, 3, 4)]
    new = folder / f"{5:016x}"
    living = [led(number) for number in (2, 3, 4)]
    for file in (*dead, new):
        file.write_bytes(b"left")
    for file in (*dead, *alive):
        os.utime(file, (1.0, 1.0))

    leader = led(6)

    assert not [file for file in dead if file.exists()]
    assert all(file.exists() for file in (*alive, new))
    for spool in (*living, leader):
        spool.leave()


@pytest.mark.parametrize("wrong", ["open", "link", "file"])
def test_a_folder_that_is_not_ours_alone_is_not_used(folder: Path, wrong: str) -> None:
    """Whoever could write there could say what an object is; so everybody is alone."""
    if wrong == "open":
        folder.mkdir()
        folder.chmod(0o777)
    elif wrong == "link":
        other = folder.with_name("other")
        other.mkdir(mode=0o700)
        folder.symlink_to(other)
    else:
        folder.write_bytes(b"")

    assert Meeting().join(7) is None


def test_a_name_that_leads_elsewhere_is_not_followed(folder: Path) -> None:
    """Nor is what it leads to touched."""
    led(1).leave()
    precious = folder.with_name("precious")
    precious.write_bytes(b"precious")
    (folder / f"{7:016x}").symlink_to(precious)

    assert Meeting().join(7) is None
    assert precious.read_bytes() == b"precious"


def test_a_spool_without_room_is_left(folder: Path) -> None:
    """Nobody waits for what will not come."""
    spool = led()
    spool.descriptor = Descriptor(os.open(folder / f"{7:016x}", os.O_RDONLY))

    spool.write(CONTENT)

    led().leave()


FORKED = """
import os, signal, sys, tempfile
from tiered_store.caching.meeting import Meeting
tempfile.tempdir = sys.argv[1]
spool = Meeting().join(7)
spool.write(b"half")
child = os.fork()
"""


def forked(folder: Path, program: str) -> subprocess.Popen[bytes]:
    """Return a process that leads, and has a child, once either says so."""
    process = subprocess.Popen(
        [sys.executable, "-c", FORKED + textwrap.dedent(program), str(folder.parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def test_a_lock_ends_with_its_process_although_a_child_lives(folder: Path) -> None:
    """A server that forks does not leave a lock to its workers."""
    program = """
    if child:
        os.kill(os.getpid(), signal.SIGKILL)
    print("ready", flush=True)
    sys.stdin.read()
    """
    with forked(folder, program) as process:
        process.wait(LONG)
        until(lambda: isinstance(Meeting().join(7), Spool))


def test_a_child_does_not_end_its_parents_lock(folder: Path) -> None:
    """Neither by leaving the spool nor by ending."""
    program = """
    if not child:
        spool.leave()
        os._exit(0)
    os.waitpid(child, 0)
    print("ready", flush=True)
    sys.stdin.read()
    """
    with forked(folder, program) as process:
        followed()
        process.kill()
