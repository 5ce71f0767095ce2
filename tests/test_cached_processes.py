"""What is too large for Redis is fetched once by all processes of a host."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import random
import signal
import subprocess
import sys
import threading

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.followers import key_of
from tests.servers.proxy import Proxy
from tests.servers.redis import RedisServer
from tests.servers.s3 import S3Server
from tests.waiting import until
from tiered_store.body import Body
from tiered_store.layout import object_name
from tiered_store.units import MIB


pytestmark = pytest.mark.servers

LARGE = random.Random(1).randbytes(20 * MIB)
MIDDLE = random.Random(2).randbytes(6 * MIB)  # more than Redis takes, less than 8 MiB
_LONG = 120.0  # seconds, for what is not to end by itself


class Follower:
    """One process, which does what it is told to."""

    def __init__(self, options: dict[str, Any], folder: Path) -> None:
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.followers", json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(folder / "tmp")},
        )
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._listening = threading.Thread(target=self._listen)
        self._listening.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.put(line.strip())
        self._said.put("over")

    def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def hear(self, line: str) -> None:
        """Return once it says *line*, and nothing else before."""
        assert self._said.get(timeout=_LONG) == line

    def began(self, number: int) -> None:
        self.hear(f"began {number}")

    def ended(self, number: int, content: bytes) -> None:
        """Return once it has read *content*."""
        self.hear(f"ended {number} {hashlib.sha256(content).hexdigest()}")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._listening.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


class Setting:
    """A bucket behind a proxy that counts, a Redis, and processes."""

    def __init__(self, s3: S3Server, redis: RedisServer, folder: Path) -> None:
        self.folder = folder
        self.redis = redis
        self.prefix = f"{folder.name}:"
        self.proxy = Proxy(s3.ports[0])
        bucket = s3.make_bucket()
        self.store = s3.store(bucket)
        self._s3 = {
            "bucket": bucket,
            "access_key": s3.access_key,
            "secret_key": s3.secret_key,
            "endpoint_url": self.proxy.url,
            "timeout": _LONG,
        }
        self.followers: list[Follower] = []

    def join(self, count: int = 4, room: str | None = "room", **more: Any) -> list[Any]:
        """Return *count* more processes that have the directory *room* together."""
        options = {"redis": self.redis.url, "prefix": self.prefix, "s3": self._s3}
        options |= {"fill_lease": _LONG, **more}
        if room is not None:
            options["folder"] = str(self.folder / room)
        joined = [Follower(options, self.folder) for _ in range(count)]
        self.followers += joined
        for follower in joined:
            follower.hear("ready")
        return joined

    def put(self, number: int, content: bytes) -> None:
        """Store an object, not through the proxy."""
        self.store.put(key_of(number), Body.of(content))

    def reads(self, number: int) -> int:
        """Return how often the origin was asked for object *number*."""
        name = f"/{object_name(key_of(number))} HTTP".encode()
        return sum(
            head.startswith(b"GET ") and name in head.partition(b"\r\n")[0]
            for head in list(self.proxy.requests)
        )

    def release(self) -> None:
        """Let through what is held."""
        self.proxy.hold_answer, self.proxy.black_hole = None, False

    def waited_for(self, number: int) -> bool:
        """Say whether one process waits for another's fetch, by what Redis has."""
        leased = f"{self.prefix}{{:{object_name(key_of(number))}}}l"
        return str(self.redis.client().get(leased)).endswith("!'")

    def spools(self) -> list[Path]:
        """Return the files that processes follow."""
        return list((self.folder / "tmp").glob("tiered-store-*/*"))

    def close(self) -> None:
        self.release()
        for follower in self.followers:
            follower.end()
        self.proxy.close()
        self.store.close()


@pytest.fixture
def setting(
    moto_server: S3Server, redis_server: RedisServer, tmp_path: Path
) -> Iterator[Setting]:
    setting = Setting(moto_server, redis_server, tmp_path)
    yield setting
    setting.close()


Held = Callable[[int], list[Follower]]


@pytest.fixture
def held(setting: Setting) -> Held:
    """
    Have four processes read object 1, of which only the start has come.

    The first one fetches, and has all the time it wants; the others have *patience*.
    """

    def held(patience: float) -> list[Follower]:
        setting.put(1, LARGE)
        leader, *others = setting.join(1) + setting.join(3, fill_lease=patience)
        setting.proxy.hold_answer = 2 * MIB
        leader.tell("get 1")
        leader.began(1)
        for other in others:
            other.tell("get 1")
            other.began(1)  # the first bytes do not wait for the last ones
        return [leader, *others]

    return held


def test_four_processes_fetch_a_large_object_once(setting: Setting, held: Held) -> None:
    """The others follow what the first one fetches; nothing of that is left."""
    followers = held(_LONG)

    setting.release()

    for follower in followers:
        follower.ended(1, LARGE)
    assert setting.reads(1) == 1
    until(lambda: not setting.spools())
    for follower in setting.join(1):  # it is in the directory now
        follower.tell("get 1")
        follower.began(1)
        follower.ended(1, LARGE)
    assert setting.reads(1) == 1


def test_a_slow_reader_stalls_nobody(setting: Setting) -> None:
    """Not even if it is the one who fetches."""
    setting.put(1, LARGE)
    slow, *others = setting.join(3)
    slow.tell("sip 1")
    slow.began(1)

    for other in others:
        other.tell("get 1")
        other.began(1)
        other.ended(1, LARGE)

    slow.tell("")
    slow.ended(1, LARGE)
    assert setting.reads(1) == 1


def test_a_leader_that_is_killed_is_replaced(setting: Setting, held: Held) -> None:
    """At once, and by one of those who follow; they go on where they were."""
    leader, *others = held(_LONG)

    leader.process.send_signal(signal.SIGKILL)
    leader.process.wait()
    setting.release()

    for other in others:
        other.ended(1, LARGE)
    assert setting.reads(1) == 2
    until(lambda: not setting.spools())


def test_a_leader_that_is_stopped_is_not_waited_for(
    setting: Setting, held: Held
) -> None:
    """Longer than a fetch may take: then everybody goes on alone."""
    leader, *others = held(1.0)

    leader.process.send_signal(signal.SIGSTOP)
    setting.release()

    for other in others:
        other.ended(1, LARGE)
    leader.process.send_signal(signal.SIGCONT)
    leader.ended(1, LARGE)


def test_what_is_in_between_is_fetched_once_too(setting: Setting) -> None:
    """Too large for Redis, small enough for memory: the others wait for the whole."""
    setting.put(1, MIDDLE)
    leader, *others = setting.join()
    setting.proxy.hold_answer = MIB
    leader.tell("get 1")
    until(lambda: setting.reads(1) == 1)
    for other in others:
        other.tell("get 1")
    until(lambda: setting.waited_for(1))

    setting.release()

    for follower in (leader, *others):
        follower.began(1)
        follower.ended(1, MIDDLE)
    assert setting.reads(1) == 1


@pytest.mark.parametrize("content", [MIDDLE, LARGE], ids=["middle", "large"])
def test_each_host_fetches_what_another_has(setting: Setting, content: bytes) -> None:
    """Once, although all know at once which copy is current, and nobody has a lease."""
    setting.put(1, content)
    (first,) = setting.join(1, room="elsewhere")
    first.tell("get 1")
    first.began(1)
    first.ended(1, content)
    until(lambda: not setting.spools())
    followers = setting.join()
    setting.proxy.hold_answer = MIB
    for follower in followers:
        follower.tell("get 1")
    until(lambda: setting.reads(1) == 2)

    setting.release()

    for follower in followers:
        follower.began(1)
        follower.ended(1, content)
    assert setting.reads(1) == 2
