"""Any stack, awaited: on asyncio and on trio, and cancelled at every point."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import threading

from collections.abc import AsyncIterator, Callable

import anyio
import anyio.to_thread
import pytest
import trio

from tests.test_lifecycle import in_a_child
from tiered_store import AsyncStore
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body, Stat
from tiered_store.errors import DeadlineError, NotFoundError, UnavailableError
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.testing import FaultStore
from tiered_store.wrappers.timeout import TimeoutStore


pytestmark = pytest.mark.anyio
KEY = Key("comics.cover", 1234, 405, 640, "image/png")
LARGE = bytes(range(251)) * 80_000  # twenty megabytes


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request) -> str:
    return str(request.param)


@pytest.fixture
def faulty(tmp_path) -> FaultStore:
    return FaultStore(FileSystemStore(str(tmp_path / "disk"), create=True))


@pytest.fixture
def store(faulty) -> AsyncStore:
    return AsyncStore(faulty)


async def until(true: Callable[[], bool]) -> None:
    with anyio.fail_after(30):
        while not true():
            await anyio.sleep(0.005)


async def pieces(content: bytes = LARGE) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 1_000_003):
        yield content[start : start + 1_000_003]


class Upload:
    """A file as Starlette has it."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    async def read(self, size: int = -1) -> bytes:
        await anyio.sleep(0)
        return self._file.read(size)


@pytest.mark.parametrize("content", [b"small", LARGE])
@pytest.mark.parametrize("kind", [io.BytesIO, Upload, pieces])
async def test_everything_that_can_be_read_is_stored(store, kind, content) -> None:
    """Files, files that are awaited, and streams; small in memory, large on disk."""
    await store.put_file(kind(content), *KEY, reproducible=False)

    async with await store.get_file(*KEY) as file:
        assert file.size == len(content)
        assert await file.read() == content
        assert await file.seek(1) == 1
        assert file.tell() == 1
        assert b"".join([piece async for piece in file]) == content[1:]
    assert file.closed
    with pytest.raises(TypeError, match="neither a file nor a stream"):
        await store.put_file(3, *KEY, reproducible=False)  # type: ignore[arg-type]


async def test_the_other_verbs(store, faulty) -> None:
    """Stat, list, delete, and where it is."""
    for number in range(450):
        faulty.put(KEY._replace(object_id=number), Body.of(b"x"))
    assert len([key async for key in store.keys("comics.")]) == 450
    assert (await store.stat(KEY._replace(object_id=3))).size == 1
    assert (await store.get(KEY._replace(object_id=3))).read() == b"x"
    await store.delete_file(*KEY._replace(object_id=3))
    with pytest.raises(NotFoundError):
        await store.get_file(*KEY._replace(object_id=3))
    shown = AsyncStore(MemoryStore(base_url="https://x/"))
    assert shown.get_url(*KEY) == "https://x/comics.cover/1234/405x640.png"


async def test_a_call_does_not_hold_the_loop(store, faulty) -> None:
    """Others go on while a store hangs."""
    faulty.put(KEY, Body.of(b"x"))
    with faulty.hang("get") as hung:
        async with anyio.create_task_group() as group:
            group.start_soon(store.stat, KEY)
            group.start_soon(store.get, KEY)
            await anyio.to_thread.run_sync(hung.wait)
            await store.delete_file(*KEY._replace(object_id=9))
            hung.release()


async def test_errors_come_through(store, faulty) -> None:
    """As they are, with the path of the store."""
    faulty.fail("put")
    with pytest.raises(UnavailableError, match="put comics"):
        await store.put_file(io.BytesIO(b"x"), *KEY, reproducible=False)


async def test_the_caller_s_timeout_is_the_stores_deadline(faulty) -> None:
    """So a call that is given up does not go on below for long."""
    seen: list[Exception] = []

    class Watch(TimeoutStore):
        def _get(self, key: Key) -> Body:
            try:
                return super()._get(key)
            except Exception as error:
                seen.append(error)
                raise

    store = AsyncStore(Watch(faulty, 60))
    with faulty.hang("get"):
        with anyio.move_on_after(0.2) as scope:
            await store.get_file(*KEY)
        assert scope.cancelled_caught
        await until(lambda: bool(seen))
    assert isinstance(seen[0], DeadlineError)


async def test_a_cancelled_get_frees_its_body(store, faulty) -> None:
    """The store answers later, when nobody waits any more."""
    faulty.put(KEY, Body.of(LARGE))
    with faulty.pause("get", after_apply=True) as held:
        async with anyio.create_task_group() as group:
            group.start_soon(store.get_file, *KEY)
            await anyio.to_thread.run_sync(held.wait)
            group.cancel_scope.cancel()
        held.release()
    # the thread opens it, and closes it again
    await until(lambda: faulty.opened_readers == 1 and faulty.open_readers == 0)
    async with await store.get_file(*KEY) as file:
        assert faulty.open_readers == 1
        assert await file.read(3) == LARGE[:3]
    assert faulty.open_readers == 0


async def test_a_cancelled_read_closes_the_file(store, faulty) -> None:
    """Nobody knows how far it came."""
    faulty.put(KEY, Body.of(LARGE))
    with faulty.stall(at=300_000) as held:
        file = await store.get_file(*KEY)
        async with anyio.create_task_group() as group:
            group.start_soon(file.read)
            await anyio.to_thread.run_sync(held.wait)
            group.cancel_scope.cancel()
        held.release()
    await until(lambda: faulty.open_readers == 0)
    assert file.closed


async def test_a_file_is_closed_when_its_reader_is_cancelled(store, faulty) -> None:
    """The end of the block is reached by a cancellation, and closes all the same."""
    faulty.put(KEY, Body.of(LARGE))
    with anyio.CancelScope() as scope:
        async with await store.get_file(*KEY) as file:
            scope.cancel()
            await file.read(1)
    assert file.closed
    assert faulty.open_readers == 0


def versions(store: Store) -> bytes | None:
    try:
        return store.get(KEY).read()
    except NotFoundError:
        return None


@pytest.mark.parametrize("after_apply", [False, True])
async def test_a_cancelled_put_leaves_the_old_or_the_new(
    store, faulty, after_apply
) -> None:
    """Whole, and nothing beside it; it has ended when the caller goes on."""
    faulty.put(KEY, Body.of(b"old"))
    with faulty.pause("put", after_apply=after_apply) as held:
        async with anyio.create_task_group() as group:
            group.start_soon(put, store)
            await anyio.to_thread.run_sync(held.wait)
            group.cancel_scope.cancel()
            release_soon(held)
    # not a byte moves after this
    assert versions(faulty) == (LARGE if after_apply else b"old")
    assert len(list(faulty.keys(""))) == 1


def release_soon(held) -> None:
    """Let the store go on, a little after the cancellation has arrived."""
    threading.Timer(0.05, held.release).start()


async def put(store: AsyncStore, content: bytes = LARGE) -> None:
    await store.put_file(io.BytesIO(content), *KEY, reproducible=False)


async def test_a_stream_that_is_cancelled_stores_nothing(store, faulty) -> None:
    """An upload whose client went away is not half a picture."""

    async def slow() -> AsyncIterator[bytes]:
        yield LARGE[:9_000_000]
        group.cancel_scope.cancel()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        await store.put_file(slow(), *KEY, reproducible=False)
    assert versions(faulty) is None
    assert "put" not in faulty.calls or faulty.calls["put"] == 0


async def test_a_stream_is_closed_when_its_put_is_cancelled(store, faulty) -> None:
    """Not some time later, by the collector of garbage, which trio warns of."""
    closed: list[bool] = []

    async def upload() -> AsyncIterator[bytes]:
        try:
            yield LARGE[:1]
            group.cancel_scope.cancel()
            yield LARGE  # it goes to disk, where the cancellation arrives
        finally:
            closed.append(True)

    async with anyio.create_task_group() as group:
        await store.put_file(upload(), *KEY, reproducible=False)
    assert closed == [True]
    assert versions(faulty) is None


async def test_a_file_may_be_left_in_the_midst_of_its_pieces(store, faulty) -> None:
    """And be read on; there is no generator that must be closed for that."""
    faulty.put(KEY, Body.of(LARGE))
    async with await store.get_file(*KEY) as file:
        async for piece in file:
            first = piece
            break
        rest = b"".join([piece async for piece in file])
    gc.collect()  # trio would warn here
    assert first + rest == LARGE


async def test_a_listing_may_be_left_in_the_midst(store, faulty) -> None:
    """As a file may, and be gone on with."""
    for number in range(3):
        faulty.put(KEY._replace(object_id=number), Body.of(b"x"))
    listing = store.keys()
    async for key in listing:
        first = key
        break
    gc.collect()  # trio would warn here, of a generator
    rest = [key async for key in listing]
    assert len({first, *rest}) == 3
    assert [key async for key in listing] == []


async def test_a_listing_that_was_cancelled_is_not_at_its_end(store, faulty) -> None:
    """Whoever goes on with it all the same is told, and what was listed is let go."""
    faulty.put(KEY, Body.of(b"x"))
    listing = store.keys()
    with faulty.pause("keys") as held:
        async with anyio.create_task_group() as group:
            group.start_soon(anext, listing)
            await anyio.to_thread.run_sync(held.wait)
            group.cancel_scope.cancel()
        with pytest.raises(UnavailableError, match="begin anew"):
            await anext(listing)
        held.release()
    await until(lambda: store._threads._abandoned == 0)
    assert listing._listed.gi_frame is None  # closed


async def test_closing_does_not_wait_for_calls_that_hang(faulty) -> None:
    """Those that were given up keep their turn in trio, and closing knows no cancel."""
    store = AsyncStore(faulty, threads=1)
    faulty.put(KEY, Body.of(LARGE))
    file = await store.get_file(*KEY)
    async with anyio.create_task_group() as group:
        with faulty.hang("stat"):
            while not store._threads._abandoned:
                with anyio.move_on_after(0.05):
                    await store.stat(KEY)
            group.start_soon(file.aclose)
            await until(lambda: file.closed)
    assert faulty.open_readers == 0


async def test_no_files_are_left_behind(tmp_path) -> None:
    """A put that is cut short removes its temporary file."""
    root = tmp_path / "root"
    reached, go_on = threading.Event(), threading.Event()

    class Slow(FileSystemStore):
        def _put(self, key: Key, body: Body, reproducible: bool) -> None:
            reached.set()
            go_on.wait(30)
            super()._put(key, body, reproducible)

    store = AsyncStore(Slow(str(root), create=True))
    async with anyio.create_task_group() as group:
        group.start_soon(put, store)
        await anyio.to_thread.run_sync(reached.wait)
        group.cancel_scope.cancel()
        go_on.set()
    assert [path for path in root.rglob("*") if path.is_file()] == []


async def test_calls_that_were_given_up_are_bounded(faulty) -> None:
    """A region that hangs cannot make threads without end."""
    store = AsyncStore(faulty, threads=2)
    with faulty.hang("stat"):
        while store._threads._abandoned < 2:  # one that has not begun is just dropped
            with anyio.move_on_after(0.05):
                await store.stat(KEY)
        with pytest.raises(UnavailableError, match="still hang"):
            await store.stat(KEY)
    await until(lambda: store._threads._abandoned == 0)
    with pytest.raises(NotFoundError):
        await store.stat(KEY)


def test_what_was_given_up_before_a_fork_hangs_in_the_parent_alone(faulty) -> None:
    """Else a child would refuse all calls for ever."""
    store = AsyncStore(faulty, threads=1)

    async def give_up() -> None:
        while not store._threads._abandoned:
            with anyio.move_on_after(0.05):
                await store.stat(KEY)

    async def look() -> None:
        with pytest.raises(NotFoundError):
            await store.get_file(*KEY)

    with faulty.hang("stat"):
        asyncio.run(give_up())
        in_a_child(lambda: asyncio.run(look()))


async def test_closing_closes_the_stack(faulty) -> None:
    """Also when it is cancelled."""
    with anyio.CancelScope() as scope:
        async with AsyncStore(faulty):
            scope.cancel()
            await anyio.sleep(0)
    assert faulty.closed
    assert faulty.child.closed


def test_asyncio_s_own_cancel_is_survived_too(faulty) -> None:
    """``task.cancel()`` and ``asyncio.timeout()`` know nothing of shields."""
    store = AsyncStore(faulty)
    faulty.put(KEY, Body.of(b"old"))

    async def main() -> None:
        with faulty.pause("put") as held:
            task = asyncio.create_task(put(store))
            await asyncio.to_thread(held.wait)
            task.cancel()
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.sleep(0.05)
            assert not task.done()  # the store still has it
            held.release()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert versions(faulty) == b"old"
        with faulty.hang("get"), pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await store.get_file(*KEY)
        await until(lambda: faulty.open_readers == 0)

    asyncio.run(main())


def test_it_works_without_anyio_s_runner(faulty) -> None:
    """As trio runs its programs."""
    store = AsyncStore(faulty)

    async def main() -> bytes:
        await put(store, b"trio")
        async with await store.get_file(*KEY) as file:
            return await file.read()

    assert trio.run(main) == b"trio"


def test_event_loops_share_a_store() -> None:
    """One in each thread, as Django's ``async_to_sync`` has them, then trio's."""

    class Slow(MemoryStore):
        def _stat(self, key: Key) -> Stat:
            threading.Event().wait(0.005)
            return super()._stat(key)

    store = AsyncStore(Slow(), threads=1)
    done: list[None] = []

    async def one() -> None:
        with contextlib.suppress(NotFoundError):
            await store.stat(KEY)

    async def many() -> None:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                for _ in range(10):
                    group.start_soon(one)
        done.append(None)

    threads = [threading.Thread(target=asyncio.run, args=[many()]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trio.run(many)

    assert len(done) == 5
