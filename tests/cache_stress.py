"""
Processes that read and write the same objects through a cache, and are wronged.

.. code-block:: text

   python -m tests.cache_stress --seconds 60 --seed 7 \
       --evict --kill-feeds --kill-writers

Each process has memory and shares a Redis.  In each round a few objects are *hot*:
everybody reads and writes them, and is wronged; then they are only read, for longer
than news takes, so that whatever was left behind is seen.  Every read is judged by the
order in which the origin took the writes: it is *stale* if a later one had been
acknowledged before it began; and it is *late* if the origin had a later one,
acknowledged or not, for as long as no news may take.  When all is calm again, every
process must read what the origin has: anything else is a *wrong* object.  Late reads,
wrong objects and calls that fail end the campaign badly.

Keys are evicted from Redis at random, claims of writers included; subscribers are
disconnected; writers are killed with SIGKILL between any two of their steps.  An
object whose claim was evicted while its writer lay dead is the one thing that cannot
be known, so it is counted apart.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis, RedisError

from tests.cache_judge import judge
from tiered_store.body import Body
from tiered_store.errors import NotFoundError, StoreError, UnsupportedError
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.tiers.memory import MemoryTier
from tiered_store.tiers.redis import RedisTier
from tiered_store.tiers.shared import Claim
from tiered_store.tiers.tier import Entry
from tiered_store.wrappers.cached import CachedStore


KEYS = [Key("testing", number, 1, 1, "image/png") for number in range(24)]
PREFIX = "stress:"
CLAIM = 3.0  # seconds of a write claim; nothing here takes longer
HOT = 6  # objects of a round
BUSY, QUIET = 0.4, 1.2  # seconds of a round in which they are written, and are not
_WRITE = """
local version = redis.call('INCR', 'version')
redis.call('HSET', KEYS[1], 'version', version, 'content', ARGV[1])
local time = redis.call('TIME')
local at = time[1] .. '.' .. string.format('%06d', time[2])
redis.call('RPUSH', 'order', version .. ' ' .. KEYS[1] .. ' ' .. ARGV[2] .. ' ' .. at)
return version
"""


class OrderedOrigin(Store):
    """Objects in a Redis that nobody harms, each write with its place in the order."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self._client = Redis(port=port)
        self._write = self._client.register_script(_WRITE)
        self._chance = chance
        self.local = threading.local()

    def _nap(self) -> None:
        time.sleep(self._chance.random() ** 6 * 0.1)  # often not at all, and then long

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        content = body.read()
        self._change(key, content, token_of(content))

    def _delete(self, key: Key) -> None:
        self._change(key, b"", "-")

    def _change(self, key: Key, content: bytes, token: str) -> None:
        self._nap()
        self.local.version = int(self._write(keys=[str(key[1])], args=[content, token]))
        self._nap()

    def _get(self, key: Key) -> Body:
        self._nap()
        content = self._client.hget(str(key[1]), "content")
        self._nap()
        if not content:
            raise NotFoundError("no such object")
        return Body.of(content)

    def _url(self, key: Key) -> str:
        raise UnsupportedError("no URLs")


def token_of(content: bytes) -> str:
    """Return which write *content* is of."""
    return content.split(b" ", 1)[0].decode()


class Mortal(RedisTier):
    """A shared tier around whose steps the process dies now and then."""

    chance: random.Random
    risk = 0.0
    ends = 0.0

    def begin(self, key: Key, seconds: float) -> Claim:
        self._risk()
        claim = super().begin(key, seconds)
        self._risk()
        return claim

    def end(self, claim: Claim, entry: Entry | None) -> bool:
        self._risk(5)  # the origin has taken its bytes, and nobody was told
        done = super().end(claim, entry)
        self._risk()
        return done

    def fill(self, key: Key, token: str, entry: Entry) -> bool:
        self._risk()
        return super().fill(key, token, entry)

    def _risk(self, times: int = 1) -> None:
        if 0 < round_at(self.ends)[1] < BUSY / 4:  # when nobody may put it right
            times *= 8
        if self.chance.random() < self.risk * times:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Options:
    """What a campaign is like."""

    seconds: float
    seed: int
    processes: int
    threads: int
    evict: bool
    kill_feeds: bool
    kill_writers: bool
    memory: bool


def made(options: Options, cache: int, origin: int, seed: str) -> CachedStore:
    chance = random.Random(seed)
    shared = Mortal(url=f"redis://127.0.0.1:{cache}/0", prefix=PREFIX, ttl=600)
    shared.chance = chance
    shared.risk = 0.002 if options.kill_writers else 0.0
    tiers: list[Any] = [MemoryTier(ttl=600), shared] if options.memory else [shared]
    return CachedStore(
        OrderedOrigin(origin, chance),
        tiers,
        on_put=chance.choice(["fill", "invalidate"]),
        negative_ttl=chance.choice([None, 600]),
        write_lease=CLAIM,
        fill_lease=1.0,
    )


def work(options: Options, cache: int, origin: int, name: str) -> None:
    """Read and write until it is time, and say on the standard output what happened."""
    store = made(options, cache, origin, name)
    lock = threading.Lock()

    def say(*words: object) -> None:
        with lock:
            os.write(1, (" ".join(map(str, words)) + "\n").encode())

    def serve(number: int) -> None:
        chance = random.Random(f"{name}.{number}")
        for count in itertools.count():
            if time.monotonic() >= ends:
                break
            hot, busy = round_at(ends)
            index = chance.choice(hot)
            begun = time.monotonic()
            try:
                if not busy or chance.random() < 0.75:
                    token = read(store, KEYS[index])
                    say("read", index, begun, time.monotonic(), token)
                    time.sleep(0.002 if busy else 0.01)
                    continue
                say("began", index, begun, begun, f"{name}.{number}")
                if chance.random() < 0.8:
                    token = f"{name}.{number}.{count}"
                    padding = b" " + b"x" * chance.randrange(5000)
                    store.put(KEYS[index], Body.of(token.encode() + padding))
                else:
                    store.delete(KEYS[index])
                version = store.origin.local.version
                say("wrote", index, begun, time.monotonic(), version)
            except StoreError as error:
                message = str(error).replace(" ", "_")
                say("failed", index, begun, time.monotonic(), message)

    say("ready", 0, 0, 0, 0)
    ends = store.tiers[-1].ends = float(sys.stdin.readline())
    threads = [
        threading.Thread(target=serve, args=(number,))
        for number in range(options.threads)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    say("calm", 0, 0, 0, 0)
    sys.stdin.readline()  # until all are calm, and every claim is over
    store.tiers[-1].risk = 0.0
    for index, key in enumerate(KEYS):
        say("last", index, time.monotonic(), time.monotonic(), read(store, key))
    os._exit(0)


def round_at(ends: float) -> tuple[range, float]:
    """Return which objects are hot, and for how many seconds they are still written."""
    number, left = divmod(ends - time.monotonic(), BUSY + QUIET)
    first = int(number) * HOT % len(KEYS)
    return range(first, first + HOT), max(0.0, left - QUIET)


def read(store: Store, key: Key) -> str:
    """Return which write is read, a dash for absence."""
    try:
        with store.get_file(*key) as file:
            return token_of(file.read())
    except NotFoundError:
        return "-"


class Worker:
    """A process that does :func:`work`, and is replaced when it dies."""

    def __init__(self, options: Options, ports: tuple[int, int], name: str) -> None:
        self.name = name
        self.lines: list[str] = []
        self.ready, self.calm = threading.Event(), threading.Event()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.cache_stress", "--worker", name),
                *("--cache", str(ports[0]), "--origin", str(ports[1])),
                *_arguments(options),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            for word, event in (("ready", self.ready), ("calm", self.calm)):
                if line.startswith(word):
                    event.set()

    @property
    def dead(self) -> bool:
        """Whether it ended before its time."""
        return self.process.poll() is not None and not self.calm.is_set()

    def tell(self, line: object) -> None:
        """Let it go on."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()

    def finish(self) -> None:
        self.tell("to the end")
        self.process.wait(60)
        self.thread.join()


class Chaos:
    """What happens to the cache's server meanwhile."""

    def __init__(self, options: Options, port: int, ends: float) -> None:
        self.counts: Counter[str] = Counter()
        self.claims: list[tuple[float, int]] = []  # evicted: when, of which object
        self._options = options
        self._ends = ends
        self._client = Redis(port=port)
        self._chance = random.Random(options.seed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        last = time.monotonic()
        while not self._over.wait(0.02):
            if not round_at(self._ends)[1]:
                continue  # what is wrong now must not be healed by it
            with suppress(RedisError):
                if self._options.evict:
                    self._evict()
                if self._options.kill_feeds and time.monotonic() - last > 0.1:
                    last = time.monotonic()
                    self.counts["feeds killed"] += self._client.execute_command(
                        "CLIENT", "KILL", "TYPE", "pubsub"
                    )

    def _evict(self) -> None:
        """Let a key go, every other time one that says who fills or writes."""
        names = list(self._client.scan_iter(f"{PREFIX}*", 500))
        leases = [name for name in names if name.endswith(b"l")]
        if leases and self._chance.random() < 0.5:
            names = leases
        for name in self._chance.sample(names, min(len(names), 1)):
            held = b""
            with suppress(RedisError):
                held = self._client.get(name) or b""
            if self._client.unlink(name):
                self.counts["evicted"] += 1
                if held[:1] in (b"W", b"X"):
                    self.counts["claims evicted"] += 1
                    self.claims.append((time.monotonic(), _number_in(name)))

    def end(self) -> None:
        self._over.set()
        self._thread.join()


def _number_in(name: bytes) -> int:
    """Return which object the Redis key *name* is about."""
    for index, key in enumerate(KEYS):
        if f"testing/{key[1]}/".encode() in name:
            return index
    return -1


def campaign(options: Options, folder: Path) -> dict[str, Any]:
    """Run it and return what was counted."""
    from tests.servers.redis import _starting  # which no worker needs

    with _starting(folder) as start:
        ports = (start().port, start().port)
        crew = [
            Worker(options, ports, f"{options.seed}.{n}")
            for n in range(options.processes)
        ]
        everybody, deaths = list(crew), 0
        for worker in crew:
            assert worker.ready.wait(60)
        ends = time.monotonic() + options.seconds
        chaos = Chaos(options, ports[0], ends)
        for worker in crew:
            worker.tell(ends)
        while not all(worker.calm.wait(0.02) for worker in crew):
            for number, worker in enumerate(crew):
                if worker.dead:
                    deaths += 1
                    crew[number] = Worker(options, ports, f"{worker.name}.{deaths}")
                    crew[number].tell(ends)
                    everybody.append(crew[number])
        chaos.end()
        time.sleep(CLAIM * options.kill_writers + 0.5)  # until claims of the dead end
        for worker in crew:
            worker.finish()
        with Redis(port=ports[1]) as origin:
            order = [line.decode().split() for line in origin.lrange("order", 0, -1)]
    counts = judge(
        [line.split() for w in everybody for line in w.lines], order, chaos.claims
    )
    return {"deaths": deaths, **counts, **chaos.counts}


def _arguments(options: Options) -> list[str]:
    words = []
    for name in ("seconds", "seed", "processes", "threads"):
        words += [f"--{name}", str(getattr(options, name))]
    for name in ("evict", "kill_feeds", "kill_writers"):
        if getattr(options, name):
            words.append("--" + name.replace("_", "-"))
    return words if options.memory else [*words, "--no-memory"]


def main() -> None:
    """Run a campaign, or one of its processes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--threads", type=int, default=4)
    for flag in ("--evict", "--kill-feeds", "--kill-writers", "--no-memory"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--origin", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    options = Options(
        seconds=given.seconds,
        seed=given.seed,
        processes=given.processes,
        threads=given.threads,
        evict=given.evict,
        kill_feeds=given.kill_feeds,
        kill_writers=given.kill_writers,
        memory=not given.no_memory,
    )
    if given.worker:
        work(options, given.cache, given.origin, given.worker)
        return
    with tempfile.TemporaryDirectory() as folder:
        counts = campaign(options, Path(folder))
    sys.stdout.write(json.dumps(counts) + "\n")
    for name in ("failed", "late", "wrong"):
        if counts[name]:
            sys.exit(f"there are some that are {name}")


if __name__ == "__main__":
    main()
