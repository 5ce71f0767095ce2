"""Awaited calls that are cancelled anywhere, and what is left of them: nothing."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import io
import os
import random
import threading
import time

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import anyio
import pytest

from tests.waiting import until
from tiered_store import AsyncStore
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.body import SPOOL_LIMIT, Body, Stat
from tiered_store.errors import NotFoundError, UnavailableError
from tiered_store.key import Key
from tiered_store.testing import FaultStore
from tiered_store.wrapper import Wrapper
from tiered_store.wrappers.limit import LimitStore


WORKERS = 6  # of a store with half as many threads, and two permits
ROUNDS = 15


class Hesitant(Wrapper):
    """Takes its time before and after everything, so that there is when to cancel."""

    def __init__(self, child: FaultStore, seed: int) -> None:
        super().__init__(child)
        self._pauses = [random.Random(seed).random() ** 4 * 0.02 for _ in range(97)]
        self._turn = 0

    def _pause(self) -> None:
        self._turn = (self._turn + 1) % len(self._pauses)
        time.sleep(self._pauses[self._turn])

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        self._pause()
        self.child.put(key, body, reproducible)
        self._pause()

    def _get(self, key: Key) -> Body:
        self._pause()
        body = self.child.get(key)
        self._pause()
        return body

    def _delete(self, key: Key) -> None:
        self._pause()
        self.child.delete(key)
        self._pause()

    def _stat(self, key: Key) -> Stat:
        self._pause()
        return self.child.stat(key)

    def _keys(self, prefix: str) -> Iterator[Key]:
        for key in self.child.keys(prefix):
            self._pause()
            yield key


def content(key: Key, number: int, size: int) -> bytes:
    """Return bytes that say whether they are whole, and of which put of *key*."""
    start = f"{key} {number} ".encode()
    inner = start + bytes(max(0, size - len(start) - 16))
    return hashlib.md5(inner).digest() + inner


def is_whole(found: bytes, key: Key) -> bool:
    return found[:16] == hashlib.md5(found[16:]).digest() and found[16:].startswith(
        f"{key} ".encode()
    )


async def pieces(whole: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(whole), 3_000_000):
        await anyio.sleep(0)
        yield whole[start : start + 3_000_000]


def pipe(whole: bytes) -> io.BufferedReader:
    """Return a file that does not tell its size."""
    return io.BufferedReader(io.BytesIO(whole))  # type: ignore[type-var]


class Worker:
    """
    Puts, reads, lists and deletes objects of its own, and is cancelled all the time.

    Attributes:
        known: What each of its objects may be; None is absent.
    """

    def __init__(self, store: AsyncStore, seed: int, name: str, native: bool) -> None:
        self.store = store
        self.chance = random.Random(seed)
        self.name = name
        self.native = native
        self.known: dict[Key, set[bytes | None]] = {}
        self.cancelled = 0
        self._numbers = iter(range(10**6))
        self._next()

    def _next(self) -> None:
        self.key = Key(self.name, next(self._numbers), 1, 1, "image/png")
        self.known[self.key] = {None}

    async def work(self) -> None:
        for _ in range(ROUNDS):
            act = self.chance.choice([self.put, self.put, self.read, self.delete])
            await self.chance.choice([act, act, act, self.look])()

    async def put(self) -> None:
        size = self.chance.choice([20, 3000, 300_000])
        kind: Callable[[bytes], object] = io.BytesIO
        if self.chance.random() < 0.3:
            kind = self.chance.choice([pieces, pipe])
            size = self.chance.choice([size, size, SPOOL_LIMIT + 1_000_000])
        new = content(self.key, next(self._numbers), size)
        if await self.cut(
            lambda: self.store.put_file(
                kind(new),  # type: ignore[arg-type]
                *self.key,
                reproducible=False,
            )
        ):
            self.known[self.key] = {new}
            return
        # it has ended, and what is there now stays
        self.known[self.key].add(new)
        self.known[self.key] &= {self.there()}
        assert self.known[self.key], f"neither old nor new: {self.key}"

    async def read(self) -> None:
        async def read() -> None:
            try:
                file = await self.store.get_file(*self.key)
            except NotFoundError:
                assert None in self.known[self.key]
                return
            async with file:
                found = [piece async for piece in file]
                assert b"".join(found) in self.known[self.key]
                await file.seek(3)
                await file.read(10)

        await self.cut(read)

    async def delete(self) -> None:
        if await self.cut(lambda: self.store.delete_file(*self.key)):
            self.known[self.key] = {None}
        else:  # it may still happen
            self.known[self.key].add(None)
            self._next()

    async def look(self) -> None:
        async def look() -> None:
            async for key in self.store.keys(""):
                try:
                    assert (await self.store.stat(key)).size > 16
                except NotFoundError:
                    assert key.object_type != self.name or None in self.known[key]

        await self.cut(look)

    def there(self) -> bytes | None:
        disk = self.store.store.child.child.child
        try:
            return bytes(disk.get(self.key).read())
        except NotFoundError:
            return None

    async def cut(self, act: Callable[[], Awaitable[None]]) -> bool:
        """Have *act* done, and cancel it somewhere; tell whether it was sooner."""
        if self.chance.random() < 0.4:
            await insist(act)
            return True
        ends = [False]

        async def acting() -> None:
            await insist(act)
            ends[0] = True

        if self.native and self.chance.random() < 0.5:
            task = asyncio.create_task(acting())
            await self.wait()
            for _ in range(self.chance.choice([1, 1, 3])):
                task.cancel()
                await asyncio.sleep(0)
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()
        else:
            async with anyio.create_task_group() as group:
                group.start_soon(acting)
                await self.wait()
                group.cancel_scope.cancel()
        self.cancelled += not ends[0]
        return ends[0]

    async def wait(self) -> None:
        if self.chance.random() < 0.3:
            for _ in range(self.chance.randrange(6)):
                await anyio.sleep(0)
        else:
            await anyio.sleep(self.chance.random() ** 2 * 0.03)


async def insist(act: Callable[[], Awaitable[None]]) -> None:
    """Have *act* done, though as many calls were given up as there may be."""
    while True:
        try:
            return await act()
        except UnavailableError as error:
            if "still hang" not in str(error):
                raise
            await anyio.sleep(0.005)


def open_files() -> list[str]:
    """Return what this process has open of the store, and of uploads."""
    found = []
    for number in Path("/proc/self/fd").iterdir():
        try:
            name = os.readlink(number)
        except OSError:
            continue
        if "/disk/" in name or name.endswith("(deleted)"):
            found.append(name)
    return sorted(found)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_whatever_is_cancelled_nothing_is_left_of_it(
    tmp_path, request, loop, seed
) -> None:
    """
    No half of an object, no file, no handle, no turn; and no put that is believed lost.

    There are fewer threads than callers, and fewer permits than threads.
    """
    gc.disable()  # nothing may wait for it
    request.addfinalizer(gc.enable)
    before = open_files()
    disk = FileSystemStore(str(tmp_path / "disk"), create=True)
    faulty = FaultStore(disk)
    limited = LimitStore(Hesitant(faulty, seed), 2, wait=None)
    store = AsyncStore(limited, threads=WORKERS // 2)
    workers = [
        Worker(store, seed * 100 + number, f"worker-{number}", loop == "asyncio")
        for number in range(WORKERS)
    ]

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for one in workers:
                group.start_soon(one.work)
        with anyio.fail_after(60):
            while store._threads._abandoned or store._threads.turns().borrowed_tokens:
                await anyio.sleep(0.005)

    anyio.run(main, backend=loop)

    assert sum(one.cancelled for one in workers) > WORKERS
    until(lambda: faulty.open_readers == 0)
    until(lambda: open_files() == before)
    assert limited._permits._value == 2
    for one in workers:
        for key, known in one.known.items():
            try:
                found = disk.get(key).read()
            except NotFoundError:
                assert None in known, key
            else:
                assert found in known, key
                assert is_whole(found, key)
    objects = len(list(disk.keys("")))
    assert sum(path.is_file() for path in (tmp_path / "disk").rglob("*")) == objects
    if loop == "asyncio":  # trio keeps idle ones for a while
        until(
            lambda: not any("AnyIO" in thread.name for thread in threading.enumerate())
        )
