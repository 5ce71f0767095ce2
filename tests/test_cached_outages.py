"""A broken tier is a slow tier: reads go on, writes count, and nothing old returns."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.fleets import Fleet
from tests.servers.disk import mounted
from tests.servers.process import free_port
from tests.servers.redis import RedisServer, RedisServers, SentinelSetup
from tests.waiting import PATIENT, longer_and_longer, until
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.deadlines import deadline
from tiered_store.errors import DeadlineError, NotFoundError, StoreError
from tiered_store.events import CacheFilled, CachePoisoned, TierBypassed
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.key import Key
from tiered_store.layout import object_name
from tiered_store.policies.breaker import BreakerPolicy, CircuitOpenError
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.faults import FaultStore
from tiered_store.testing.recording import Recorder
from tiered_store.tiers.memory import MemoryTier
from tiered_store.tiers.redis import RedisTier
from tiered_store.tiers.store import StoreTier
from tiered_store.tree import observe
from tiered_store.wrappers.cached import CachedStore


KEYS = [Key("testing", number, 2, 3, "image/png") for number in range(6)]
A, B, C, D, E, F = KEYS
QUICK = BreakerPolicy(failures=1, open=0.05, open_limit=0.2, probes=1, probe_lease=1)
SOON = {"timeout": 1.0, "connect_timeout": 1.0, "heartbeat": 0.1, "breaker": QUICK}


class Crew(Fleet):
    """
    Three processes on two machines: one of them has memory, the others a directory too.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        rooms = iter([None, folder / "cache", folder / "cache"])

        def between() -> list[Any]:
            room = next(rooms)
            if room is None:
                return []
            return [StoreTier(FileSystemStore(str(room), create=True))]

        prefix = f"{folder.name}:"
        super().__init__(
            lambda: RedisTier(**{"prefix": prefix, **SOON, **options}), between
        )
        for _ in range(3):
            self.join(write_lease=2.0)  # of writes that a frozen server does late

    def all_read(self, key: Key, content: bytes | None) -> bool:
        return all(member.get(key) == content for member in self.members)

    def forget(self) -> None:
        """Let each one ask farther away next time."""
        for member in self.members:
            member.memory.clear()

    def settled(self, expected: dict[Key, bytes | None]) -> None:
        """Assert that soon, and from then on, everybody reads what is *expected*."""
        until(lambda: all(member.shared.online for member in self.members))
        for key, content in expected.items():
            until(lambda key=key, content=content: self.all_read(key, content))
        for _ in range(2):
            self.forget()
            for key, content in expected.items():
                for member in self.members:
                    assert member.get(key) == content

    def cached_again(self, key: Key) -> None:
        """Assert that soon everybody is served without the origin."""

        def served() -> bool:
            reads = self.reads
            for member in self.members:
                member.get(key)
            return self.reads == reads

        until(served)


@pytest.fixture
def own(redis_servers: RedisServers) -> RedisServer:
    """A server that a test may harm."""
    return redis_servers()


@pytest.fixture
def crew(own: RedisServer, tmp_path: Path) -> Iterator[Crew]:
    made = Crew(tmp_path, url=own.url)
    yield made
    made.close()


# -- a server that goes away and comes back ------------------------------------------


class Outage:
    """How a server is broken, and mended."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server

    def prepare(self) -> None: ...
    def harm(self) -> None: ...
    def mend(self) -> None: ...


class Frozen(Outage):
    def harm(self) -> None:
        self.server.process.freeze()

    def mend(self) -> None:
        self.server.process.thaw()


class Emptied(Outage):
    """Nobody listens, until it is started with nothing in it."""

    def harm(self) -> None:
        self.server.process.kill()

    def mend(self) -> None:
        self.server.process.start()


class Snapshot(Emptied):
    """It has what it had before the writes, and perhaps leases and claims."""

    def prepare(self) -> None:
        self.server.ask("SAVE")


class ReadOnly(Outage):
    """It follows a master that is not there."""

    def harm(self) -> None:
        self.server.ask("REPLICAOF", "127.0.0.1", free_port())

    def mend(self) -> None:
        self.server.ask("REPLICAOF", "NO", "ONE")


class Loading(Outage):
    """It reads a snapshot, slowly, and has everything when it is done."""

    def prepare(self) -> None:
        with self.server.client() as client, client.pipeline() as pipeline:
            for number in range(300):
                pipeline.set(f"ballast:{number}", os.urandom(20_000))
            pipeline.execute()
        self.server.ask("CONFIG", "SET", "key-load-delay", 10_000)  # microseconds

    def harm(self) -> None:
        self.threads = ThreadPoolExecutor(1)
        self.reload = self.threads.submit(
            self.server.ask, "DEBUG", "RELOAD", socket_timeout=60
        )
        until(lambda: self.server.ask("INFO", "persistence")["loading"] == 1)

    def mend(self) -> None:
        self.server.ask("CONFIG", "SET", "key-load-delay", 0)
        self.reload.result(60)
        self.threads.shutdown()


class Full(Outage):
    """It evicts nothing, so it takes nothing; what it has is served and dropped."""

    def harm(self) -> None:
        self.server.ask("CONFIG", "SET", "maxmemory", "1mb")  # it has more already

    def mend(self) -> None:
        self.server.ask("CONFIG", "SET", "maxmemory", 0)


@pytest.mark.servers
@pytest.mark.parametrize(
    "kind",
    [Frozen, Emptied, Snapshot, ReadOnly, Loading, Full],
    ids=lambda one: one.__name__,
)
def test_what_was_written_in_an_outage_is_read_after_it(
    redis_servers: RedisServers, tmp_path: Path, kind: type[Outage]
) -> None:
    """Row 54: whoever wrote it, whoever reads it, wherever there is an old copy."""
    own = redis_servers(
        *("--enable-debug-command", "yes"),
        *("--loading-process-events-interval-bytes", "1024"),
    )
    crew = Crew(tmp_path, url=own.url)
    first, second, third = crew.members
    for key in (A, B, C, D):
        first.put(b"old", key)
        assert crew.all_read(key, b"old")
    outage = kind(own)
    outage.prepare()

    outage.harm()
    first.put(b"new", A)
    assert first.get(A) == b"new"
    second.put(b"newer", B)
    assert second.get(B) == b"newer"
    third.delete(C)
    assert third.get(C) is None
    second.put(b"once", E)
    third.put(b"twice", E)
    after: dict[Key, bytes | None] = {A: b"new", B: b"newer", C: None, D: b"old"}
    after[E] = b"twice"
    for key, content in after.items():
        # memory may be behind until it is noticed that nothing is heard
        until(lambda key=key, content=content: crew.all_read(key, content))
    first.put(b"last", F)
    after[F] = b"last"

    outage.mend()
    crew.settled(after)
    crew.cached_again(A)
    third.put(b"well", A)
    crew.settled({A: b"well"})
    crew.close()


@pytest.mark.servers
def test_a_writer_never_reads_what_it_replaced(crew: Crew, own: RedisServer) -> None:
    """Not even in the moment when the server is back, and has it still."""
    writer, *others = crew.members
    for content in (b"1", b"2", b"3"):
        writer.put(b"old", A)
        until(lambda: crew.all_read(A, b"old"))
        own.process.freeze()
        writer.put(content, A)
        seen = [writer.get(A) for _ in range(20)]
        own.process.thaw()
        for other in others:
            while other.get(A) != content:
                seen.append(writer.get(A))

        assert set(seen) == {content}


@pytest.mark.servers
@pytest.mark.parametrize("change", ["put", "delete"])
def test_writes_can_be_refused_instead(
    own: RedisServer, tmp_path: Path, change: str
) -> None:
    """``on_invalidate_error: fail``: who cannot drop the copies changes nothing."""
    origin = MemoryStore()
    tiers = [MemoryTier(), RedisTier(own.url, **SOON)]
    store = CachedStore(origin, tiers, on_invalidate_error="fail")
    store.put(A, Body.of(b"old"))
    assert store.get(A).read() == b"old"
    own.process.kill()

    with pytest.raises(StoreError):
        store.put(A, Body.of(b"new")) if change == "put" else store.delete(A)

    assert origin.get(A).read() == b"old"
    until(lambda: store.get(A).read() == b"old")
    own.process.start()

    def written() -> bool:
        with contextlib.suppress(StoreError):
            store.put(A, Body.of(b"new"))
            return True
        return False

    until(written)
    assert store.get(A).read() == b"new"
    store.close()


# -- what it costs -------------------------------------------------------------------


class Alone:
    """One process over a server, whose breaker no time passes for."""

    def __init__(self, url: str, *nearer: MemoryTier, **options: Any) -> None:
        self.clock = FakeClock()
        self.origin = FaultStore(MemoryStore())
        patient = {"heartbeat": 600.0, "clock": self.clock}
        self.shared = RedisTier(url, **{**patient, **options})
        self.store = CachedStore(self.origin, [*nearer, self.shared])
        self.recorder = Recorder()
        observe(self.store, self.recorder)

    def get(self, key: Key) -> bytes:
        return self.store.get(key).read()

    def put(self, key: Key, content: bytes) -> None:
        self.store.put(key, Body.of(content))

    @property
    def waits(self) -> int:
        """How often a server that was asked did not answer."""
        failures = [
            *self.recorder.of(TierBypassed),
            *self.recorder.of(CachePoisoned),
        ]
        return sum(not isinstance(one.error, CircuitOpenError) for one in failures)


@pytest.mark.servers
@pytest.mark.parametrize("how", ["freeze", "kill"])
@pytest.mark.parametrize("nearer", [1, 0], ids=["behind memory", "alone"])
def test_an_outage_is_paid_for_once(own: RedisServer, how: str, nearer: int) -> None:
    """One caller waits for the timeout; the next ones go to the origin at once."""
    alone = Alone(own.url, *[MemoryTier() for _ in range(nearer)])
    alone.put(A, b"content")
    until(lambda: alone.shared.online)
    getattr(own.process, how)()

    for number in range(100, 150):
        key = A._replace(object_id=number)
        alone.origin.child.put(key, Body.of(b"content"))
        assert alone.get(key) == b"content"
        alone.put(key, b"changed")
        assert alone.get(key) == b"changed"
    assert alone.waits == 1

    alone.clock.advance(1.2)  # when it is time to look again, one call does
    assert [alone.get(A), alone.get(A), alone.get(A)] == [b"content"] * 3
    assert alone.waits <= 2  # or whoever wants to drop something did
    alone.store.close()


@pytest.mark.servers
def test_callers_at_once_wait_together(own: RedisServer) -> None:
    """Each waits once at most, whatever it does then."""
    alone = Alone(own.url, MemoryTier())
    for key in KEYS:
        alone.put(key, b"content")
    until(lambda: alone.shared.online)
    own.process.freeze()

    def use(key: Key) -> list[bytes]:
        found = [alone.get(key) for _ in range(20)]
        alone.put(key, b"content")
        return found

    with ThreadPoolExecutor(len(KEYS)) as threads:
        for found in threads.map(use, KEYS):
            assert set(found) == {b"content"}

    assert alone.waits <= len(KEYS)
    alone.store.close()


@pytest.mark.servers
def test_a_caller_in_a_hurry_gets_the_origins_answer(own: RedisServer) -> None:
    """Half of its time is left for who is asked instead."""
    found = None
    for seconds in longer_and_longer(1.0, 10):
        alone = Alone(own.url, timeout=30.0, heartbeat=0.5)
        alone.put(A, b"content")
        own.process.freeze()
        with contextlib.suppress(DeadlineError), deadline(seconds):
            found = alone.get(A)
        own.process.thaw()
        alone.store.close()
        if found is not None:
            break

    assert found == b"content"


def test_a_server_that_never_was() -> None:
    """A cache that has never been reached is none, and nothing worse."""
    url = f"redis://127.0.0.1:{free_port()}/0"
    tiers = [MemoryTier(), RedisTier(url, **SOON)]
    store = CachedStore(MemoryStore(), tiers)
    store.put(A, Body.of(b"old"))
    store.put(A, Body.of(b"new"))

    assert store.get(A).read() == b"new"
    store.delete(A)
    assert not list(store.keys(""))
    store.close()


# -- listening -----------------------------------------------------------------------


@pytest.mark.servers
def test_listeners_that_are_cut_off(crew: Crew, own: RedisServer) -> None:
    """Row 54: what is written meanwhile is read by all once they are back."""
    for turn in range(5):
        content = b"%d" % turn
        for key in KEYS:
            assert len({member.get(key) for member in crew.members}) == 1
        own.ask("CLIENT", "KILL", "TYPE", "pubsub")
        for number, key in enumerate(KEYS):
            crew.members[(turn + number) % 3].put(content, key)
        crew.settled(dict.fromkeys(KEYS, content))


@pytest.mark.servers
def test_nothing_is_kept_in_memory_while_nothing_is_heard(
    crew: Crew, own: RedisServer
) -> None:
    """It could not be taken back; the server's copies serve meanwhile."""
    deaf, writer, _ = crew.members
    own.ask("ACL", "SETUSER", "default", "resetchannels")  # who subscribes is cut off
    until(lambda: not deaf.shared.online)
    writer.put(b"one", A)
    deaf.watch()

    for content in (b"two", b"three"):
        assert deaf.get(A) is not None
        writer.put(content, A)
        assert deaf.get(A) == content

    assert "tiers.0" not in {event.tier for event in deaf.recorder.of(CacheFilled)}
    assert deaf.memory.get(A) is None
    own.ask("ACL", "SETUSER", "default", "allchannels")
    crew.settled({A: b"three"})


@pytest.mark.servers
def test_a_writer_that_is_cut_off(own: RedisServer) -> None:
    """The others cannot know; they do as soon as it is back, without its asking."""
    origin = MemoryStore()
    own.ask("ACL", "SETUSER", "writer", "on", ">pw", "allkeys", "allchannels", "+@all")
    writer, reader = (
        CachedStore(origin, [MemoryTier(), RedisTier(url, **SOON)])
        for url in (f"redis://writer:pw@127.0.0.1:{own.port}/0", own.url)
    )
    writer.put(A, Body.of(b"old"))
    assert writer.get(A).read() == reader.get(A).read() == b"old"
    own.ask("ACL", "SETUSER", "writer", "off")
    own.ask("CLIENT", "KILL", "USER", "writer")
    writer.put(A, Body.of(b"new"))
    assert writer.get(A).read() == b"new"
    assert reader.get(A).read() == b"old"

    own.ask("ACL", "SETUSER", "writer", "on")

    until(lambda: reader.get(A).read() == b"new")
    assert writer.get(A).read() == b"new"
    writer._keeper.close()
    reader.close()


@pytest.mark.servers
@pytest.mark.parametrize("strong", [False, True])
def test_a_writer_that_is_cut_off_tells_its_host(
    own: RedisServer, tmp_path: Path, strong: bool
) -> None:
    """Others there believe no copy in Redis, nor one that Redis vouches for."""
    origin, nearest = MemoryStore(), [MemoryTier(), MemoryTier()]
    own.ask("ACL", "SETUSER", "writer", "on", ">pw", "allkeys", "allchannels", "+@all")
    writer, reader = (
        CachedStore(
            origin,
            [*([nearest.pop()] if strong else []), RedisTier(url, **SOON)],
            journal=SQLiteJournal(str(tmp_path / "purges.db")),
            strong=strong,
        )
        for url in (f"redis://writer:pw@127.0.0.1:{own.port}/0", own.url)
    )
    writer.put(A, Body.of(b"old"))
    until(lambda: reader.get(A).read() == b"old" and bool(reader.tiers[0].get(A)))
    own.ask("ACL", "SETUSER", "writer", "off")
    own.ask("CLIENT", "KILL", "USER", "writer")

    writer.put(A, Body.of(b"new"))
    assert reader.get(A).read() == b"new"
    writer.delete(A)
    with pytest.raises(NotFoundError):
        reader.get(A)

    own.ask("ACL", "SETUSER", "writer", "on")
    writer.close()
    reader.close()


# -- one server after another --------------------------------------------------------


@pytest.mark.servers
def test_a_failover(own_sentinel_setup: SentinelSetup, tmp_path: Path) -> None:
    """Reads and writes go on; what the new master has may be old, and is not used."""
    setup = own_sentinel_setup
    crew = Crew(
        tmp_path, mode="sentinel", sentinels=setup.addresses, service=setup.service
    )
    first, second, third = crew.members
    for key in (A, B):
        first.put(b"old", key)
        assert crew.all_read(key, b"old")
    setup.master.ask("WAIT", 1, 5000)
    setup.replica.process.freeze()  # so it lacks what is dropped now
    second.put(b"new", A)
    assert second.get(A) == b"new"
    setup.master.process.kill()
    setup.replica.process.thaw()

    third.put(b"new", B)
    assert third.get(B) == b"new"
    crew.settled({A: b"new", B: b"new"})
    crew.cached_again(A)
    first.put(b"last", A)
    crew.settled({A: b"last", B: b"new"})
    crew.close()


# -- a server that loses and garbles -------------------------------------------------


@pytest.mark.servers
@pytest.mark.parametrize("policy", ["allkeys-random", "allkeys-lru"])
def test_whatever_is_evicted_is_only_fetched_again(
    own: RedisServer, tmp_path: Path, policy: str
) -> None:
    """Copies, records of what a directory has, leases, claims, and the mark."""
    crew = Crew(tmp_path, url=own.url, max_object=30_000)
    used = own.client().info("memory")["used_memory"]
    own.ask("CONFIG", "SET", "maxmemory-policy", policy)
    own.ask("CONFIG", "SET", "maxmemory", used + 150_000)
    chance = random.Random(policy)
    expected: dict[Key, bytes | None] = {}
    for turn in range(400):
        key = chance.choice(KEYS)._replace(object_id=chance.randrange(40))
        member = chance.choice(crew.members)
        if chance.random() < 0.3:
            size = chance.choice([1_000, 20_000, 40_000])
            expected[key] = b"%d " % turn + bytes(size)
            member.put(expected[key], key)
        assert member.get(key) == expected.get(key)
        other = chance.choice(crew.members)
        until(lambda o=other, k=key: o.get(k) == expected.get(k))

    assert own.client().info("stats")["evicted_keys"]
    own.ask("CONFIG", "SET", "maxmemory", 0)
    crew.settled(expected)
    crew.close()


def garbage(chance: random.Random, held: Any) -> Any:
    """Return what an accident, or a stranger, may leave in place of *held*."""
    if isinstance(held, dict) and held and chance.random() < 0.7:
        field = chance.choice(sorted(held))
        content = bytearray(held[field] or b"x")
        fate = chance.random()
        if fate < 0.4:
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        elif fate < 0.7:
            del content[chance.randrange(len(content)) :]
        else:
            content += b"more"
        return {**held, field: bytes(content)}
    lasting = [b"W 1a2b@99", b"X 1a2b@99 3c4d@98", b"X"]
    return chance.choice([*lasting, b"", b"W", os.urandom(50), ["list"], {}])


@pytest.mark.servers
def test_garbage_is_a_miss_that_heals(crew: Crew, own: RedisServer) -> None:
    """Row 55: under every name of ours, of any type: no byte is wrong."""
    chance = random.Random(4)
    contents = {key: b"content of %d" % key[1] * 50 for key in KEYS}
    for key, content in contents.items():
        crew.members[0].put(content, key)
    with own.client() as client:
        for turn in range(60):
            key = chance.choice(KEYS)
            for member in crew.members:
                assert member.get(key) == contents[key]
            copies = [name for name in client.keys("*") if name.endswith(b"}")]
            for name in {*client.keys("*"), *(name + b"l" for name in copies)}:
                if chance.random() < 0.5:
                    spoil(client, name, chance)
            crew.forget()
            if turn % 3 == 0:
                contents[key] = b"%d" % turn * 50
                chance.choice(crew.members).put(contents[key], key)
                until(lambda k=key: crew.all_read(k, contents[k]))

        client.flushall()
    crew.settled(dict(contents))
    crew.cached_again(A)


@pytest.mark.servers
def test_a_lease_that_nobody_holds_is_not_waited_for_without_end(
    own: RedisServer,
) -> None:
    """It has no end, as after a repair by hand; a copy is fetched all the same."""
    origin, shared = MemoryStore(), RedisTier(own.url, **PATIENT)
    store = CachedStore(origin, [shared], fill_lease=0.1)
    origin.put(A, Body.of(b"content"))
    own.ask("SET", shared._keys(object_name(A), "")[1], "F 1a2b")

    assert store.get(A).read() == b"content"
    store.put(A, Body.of(b"new"))
    assert [store.get(A).read(), store.get(A).read()] == [b"new", b"new"]
    store.close()


def spoil(client: Any, name: bytes, chance: random.Random) -> None:
    held = client.hgetall(name) if client.type(name) == b"hash" else None
    junk = garbage(chance, held)
    client.delete(name)
    if isinstance(junk, dict) and junk:
        client.hset(name, mapping=junk)
    elif isinstance(junk, list):
        client.rpush(name, *junk)
    elif isinstance(junk, bytes):
        client.set(name, junk)


# -- directories ---------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two mebibytes."""
    with mounted(tmp_path / "disk", "size=2m") as folder:
        yield folder


class Machine:
    """Two processes that share a directory, and what else there is."""

    def __init__(self, cache: Path, shared: Callable[[], list[Any]]) -> None:
        self.cache = cache
        self.origin = FaultStore(MemoryStore())
        self.stores = [
            CachedStore(
                self.origin,
                [StoreTier(FileSystemStore(str(cache)), breaker=QUICK), *shared()],
            )
            for _ in range(2)
        ]

    def put(self, content: bytes, key: Key = A, who: int = 0) -> None:
        self.stores[who].put(key, Body.of(content))

    def get(self, key: Key = A, who: int = 0) -> bytes:
        return self.stores[who].get(key).read()

    def has(self, key: Key, who: int = 0) -> bool:
        try:
            self.get(key, who)
        except NotFoundError:
            return False
        return True

    @property
    def copies(self) -> list[Path]:
        return [path for path in self.cache.rglob("*.png") if path.is_file()]

    def cached_again(self, content: bytes, key: Key = A) -> None:
        def served() -> bool:
            reads = self.origin.calls["get"]
            assert [self.get(key, who) for who in (0, 1)] == [content] * 2
            return self.origin.calls["get"] == reads

        until(served)


@pytest.fixture(params=["alone", pytest.param("shared", marks=pytest.mark.servers)])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    made: list[Machine] = []

    def make(cache: Path) -> Machine:
        def shared() -> list[Any]:
            if request.param == "alone":
                return []
            url = request.getfixturevalue("redis_server").url
            # it knows whose copy is current, and has room for no bytes
            return [RedisTier(url, prefix=f"{tmp_path.name}:", max_object=1, **PATIENT)]

        cache.mkdir(exist_ok=True)
        made.append(Machine(cache, shared))
        return made[-1]

    yield make
    for one in made:
        one.stores[0]._keeper.close()
        one.stores[1].close()


@pytest.mark.root
def test_a_disk_without_room(machine: Any, disk: Path) -> None:
    """What does not fit is not kept; what it replaces is not served."""
    here = machine(disk)
    here.put(b"old")
    assert here.get() == b"old"
    ballast = disk / "ballast"
    with contextlib.suppress(OSError):
        ballast.write_bytes(bytes(4_000_000))

    here.put(bytes(100_000))
    for who in (0, 1, 0, 1):
        assert here.get(who=who) == bytes(100_000)

    ballast.unlink()
    here.cached_again(bytes(100_000))


@pytest.mark.root
def test_a_disk_that_became_read_only(machine: Any, disk: Path) -> None:
    """It still has what a write should have dropped."""
    here = machine(disk)
    for key in (A, B):
        here.put(b"old", key)
        assert [here.get(key), here.get(key)] == [b"old"] * 2
    remount(disk, "ro")

    here.put(b"new")
    here.stores[0].delete(B)
    assert here.copies
    for _ in range(3):
        assert here.get() == b"new"
        assert not here.has(B)
    remount(disk, "rw")
    assert here.get() == b"new"

    until(lambda: here.get(who=1) == b"new")  # which was not told
    until(lambda: not here.has(B, who=1))
    here.cached_again(b"new")
    assert not here.has(B)


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


def test_a_directory_that_goes_and_comes_back(machine: Any, tmp_path: Path) -> None:
    """As a disk that was not mounted does, with all that it had."""
    here = machine(tmp_path / "cache")
    here.put(b"old")
    assert [here.get(), here.get(who=1)] == [b"old"] * 2
    here.cache.rename(tmp_path / "away")

    here.put(b"new")
    assert [here.get(), here.get()] == [b"new"] * 2
    (tmp_path / "away").rename(here.cache)
    assert here.copies
    assert [here.get(), here.get()] == [b"new"] * 2

    until(lambda: here.get(who=1) == b"new")
    here.cached_again(b"new")


def test_a_directory_that_is_deleted(machine: Any, tmp_path: Path) -> None:
    """Nothing is lost but time; somebody has to make it again."""
    here = machine(tmp_path / "cache")
    here.put(b"old")
    assert here.get() == b"old"
    shutil.rmtree(here.cache)

    assert here.get() == b"old"
    here.put(b"new")
    assert [here.get(), here.get(who=1)] == [b"new"] * 2

    here.cache.mkdir()
    here.cached_again(b"new")


@pytest.mark.parametrize("size", [1_000, 9_000_000])
def test_copies_that_are_truncated_under_us(
    machine: Any, tmp_path: Path, size: int
) -> None:
    """A miss, that heals; the large one is noticed by its length."""
    here = machine(tmp_path / "cache")
    content = random.Random(size).randbytes(size)
    here.put(content)
    here.cached_again(content)

    for length in (0, 50, size // 2, size):
        until(lambda: here.copies)
        for path in here.copies:
            os.truncate(path, min(length, path.stat().st_size - 1))
        assert [here.get(), here.get(who=1)] == [content] * 2
        here.cached_again(content)
