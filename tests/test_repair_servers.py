"""Repair and verify over real servers: buckets, databases, and processes killed."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import textwrap

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy
from tests.servers.redis import RedisServer
from tests.servers.s3 import S3Server
from tests.waiting import until
from tiered_store import load
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.body import Body
from tiered_store.cli import main
from tiered_store.errors import NotFoundError
from tiered_store.journals.journal import Journal
from tiered_store.journals.redis import RedisJournal
from tiered_store.journals.sql import SQLJournal
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.key import Key
from tiered_store.replication.pace import RepairPolicy
from tiered_store.store import Store
from tiered_store.testing.faults import FaultStore
from tiered_store.wrappers.replicated import ReplicatedStore


pytestmark = pytest.mark.servers

MIRROR = """
    version: 1
    default: images
    stores:
      images:
        type: replicated
        replicas: {{us: bucket, eu: disk}}
        journal: {{type: sqlite, path: {folder}/journal.db, quarantine: 500ms}}
      bucket:
        type: s3
        bucket: {bucket}
        endpoint_url: {url}
        access_key: {access}
        secret_key: {secret}
      disk: {{type: filesystem, path: {folder}/disk, create: true}}
"""
_numbers = itertools.count(1)


def key(number: int) -> Key:
    return Key("comics.cover", number, 30, 40, "image/png")


def content(store: Store, number: int) -> bytes | None:
    try:
        return store.get(key(number)).read()
    except NotFoundError:
        return None


class Place:
    """A bucket of a real server behind a proxy, and a directory."""

    def __init__(self, folder: Path, server: S3Server) -> None:
        name = server.make_bucket()
        self.proxy = Proxy(server.ports[0])
        self.bucket = server.store(name)
        self.disk = FileSystemStore(str(folder / "disk"), create=True)
        self.journal = SQLiteJournal(str(folder / "journal.db"))
        self.config = folder / "stack.yaml"
        text = textwrap.dedent(MIRROR).format(
            folder=folder,
            bucket=name,
            url=f"http://127.0.0.1:{self.proxy.port}",
            access=server.access_key,
            secret=server.secret_key,
        )
        self.config.write_text(text)
        self.tools: list[subprocess.Popen[bytes]] = []

    def away(self, is_away: bool) -> None:
        """Have the server reset every connection, or be there again."""
        self.proxy.cut_request = 0 if is_away else None

    def left(self) -> int:
        return len(list(self.journal.pending()))

    def start(self, *words: str) -> None:
        self.tools.append(
            subprocess.Popen(
                [sys.executable, "-m", "tiered_store", *words],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

    def repair(self) -> None:
        """Repair until nothing is left, quarantine or not."""
        self.start("repair", "--watch", "--every", "20ms")
        until(lambda: not self.left())
        self.kill()

    def kill(self) -> None:
        """Kill every tool, at whatever it is."""
        while self.tools:
            tool = self.tools.pop()
            os.kill(tool.pid, signal.SIGKILL)
            tool.wait(30)


@pytest.fixture
def place(
    tmp_path: Path, seaweed_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    made = Place(tmp_path, seaweed_server)
    monkeypatch.setenv("TIERED_STORE_CONFIG", str(made.config))
    yield made
    made.kill()
    made.proxy.close()
    made.bucket.close()
    made.journal.close()


def test_tools_that_are_killed_beside_writers_converge_in_the_end(
    place: Place,
) -> None:
    """
    A bucket that comes and goes, a writer, and repairs and comparisons killed midway.

    In the end both places have what was acknowledged last, and nothing that was
    deleted is back.
    """
    last: dict[int, bytes | None] = {}
    with load(place.config) as store:
        for turn in range(2):
            place.away(True)
            for number in range(40):
                if (turn + number) % 4 == 3:
                    store.delete(key(number))
                    last[number] = None
                else:
                    last[number] = f"{turn}.{number}.".encode() * 500
                    store.put(key(number), Body.of(last[number] or b""))
            most = place.left()
            assert most > 0
            place.away(False)
            place.start("repair", "--watch", "--every", "20ms", "--rate", "100")
            place.start("verify", "--repair", "--rate", "100")
            until(lambda most=most: place.left() < most)
            place.kill()
            # a writer that goes on while the tools are at it, or dead
            last[turn] = b"once more"
            store.put(key(turn), Body.of(b"once more"))

    place.repair()
    assert main(["verify", "--compare", "bytes"]) == 0
    assert place.left() == 0
    for number, wanted in last.items():
        assert content(place.bucket, number) == wanted
        assert content(place.disk, number) == wanted


def test_an_outage_in_the_middle_loses_nothing(place: Place) -> None:
    """What could not be copied waits, and the next repair goes on."""
    with load(place.config) as store:
        place.away(True)
        for number in range(30):
            store.put(key(number), Body.of(b"content" * 1000))
    place.away(False)
    place.start("repair", "--rate", "30", "--parallel", "1")
    until(lambda: place.left() < 30)
    place.away(True)
    place.tools[0].wait(60)

    assert place.tools.pop().returncode == 1
    assert place.left() > 0
    place.away(False)
    place.repair()
    assert main(["verify"]) == 0


@pytest.fixture(params=["sqlite", "postgres", "redis"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    """Each journal that is meant for production; the later ones without quarantine."""
    if request.param == "sqlite":
        yield SQLiteJournal(str(tmp_path / "journal.db"))
        return
    prefix = f"repair_{os.getpid()}_{next(_numbers)}_"
    if request.param == "postgres":
        postgres: PostgresServer = request.getfixturevalue("postgres_server")
        yield SQLJournal(postgres.url, prefix=prefix, quarantine=0)
    else:
        redis: RedisServer = request.getfixturevalue("redis_servers")(
            "--appendonly", "yes"
        )
        yield RedisJournal(redis.url, quarantine=0)


def test_every_journal_repairs_and_verifies(journal: Journal, tmp_path: Path) -> None:
    """In the background, by dead letters, and by comparison."""
    us = FaultStore(FileSystemStore(str(tmp_path / "us"), create=True))
    eu = FaultStore(FileSystemStore(str(tmp_path / "eu"), create=True))
    store = ReplicatedStore(
        {"us": us, "eu": eu},
        journal=journal,
        breaker=None,
        repair=RepairPolicy(every=0.02, rate=None),
    )
    with store:
        eu.down()
        for number in range(10):
            store.put(key(number), Body.of(b"content"))
        status = store.status().replicas["eu"]
        assert (status.rows, status.size, status.dead) == (10, 70, 0)

        eu.up()
        until(lambda: not store.status().rows)
        assert store.verify().left == 0

        eu.child.delete(key(3))
        eu.child.put(key(4), Body.of(b"another"))
        born = journal.born()
        assert born is not None
        for name in ("us", "eu"):
            for path in (tmp_path / name).rglob("*.png"):
                os.utime(path, (born + 3600, born + 3600))
        report = store.verify(repair=True)
        assert (report.repaired, report.undecided) == (1, 1)
        assert content(eu.child, 3) == b"content"
        assert store.verify(repair=True, trust="us").left == 0
        assert store.status().rows == 0
