"""A pool never queues, never has more threads than asked for, and holds nobody up."""

from __future__ import annotations

import contextvars
import gc
import os
import queue
import subprocess
import sys
import threading
import warnings
import weakref

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any

import pytest

from tiered_store import workers as module
from tiered_store.workers import Workers


@pytest.fixture
def pool() -> Iterator[Workers]:
    """A pool of two, whose threads are gone afterwards."""
    workers = Workers("pool", 2)
    yield workers
    workers.close()
    for thread in threads_of("pool"):
        thread.join(60)
        assert not thread.is_alive()


def threads_of(name: str) -> list[threading.Thread]:
    """Return the threads of the pool *name*."""
    return [thread for thread in threading.enumerate() if thread.name[:-2] == name]


def here() -> str:
    """Return the name of the thread that does the work."""
    return threading.current_thread().name


class Held:
    """Work that stands until it is let go."""

    def __init__(self) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self.let_go.wait(60)
        return here()


def holding(workers: Workers) -> tuple[Held, Future[str]]:
    """Return work that *workers* is busy with, and its future."""
    held = Held()
    future = workers.start(held)
    assert held.begun.wait(60)
    return held, future


def eventually_idle(workers: Workers, count: int) -> None:
    """Return once *count* threads wait for work; a thread is idle after its result."""
    for _ in range(10_000):
        with workers._lock:
            if workers._idle == count:
                return
        threading.Event().wait(0.001)
    raise AssertionError(f"{workers._idle} of {count} threads are idle")


def test_nothing_is_started_before_it_is_needed() -> None:
    """A constructor starts no thread; a server forks after it."""
    before = threading.active_count()
    workers = Workers("unused", 5)
    workers.close()

    assert threading.active_count() == before


def test_work_is_done_elsewhere_and_answers(pool: Workers) -> None:
    """In a daemon, which cannot keep the process from ending."""
    assert pool.start(here).result(60) == "pool-1"
    assert all(thread.daemon for thread in threads_of("pool"))


@pytest.mark.parametrize(
    "error", [ValueError("bad"), SystemExit(3), KeyboardInterrupt()]
)
@pytest.mark.parametrize("limit", [0, 1])
def test_what_the_work_raises_is_in_the_future(
    limit: int, error: BaseException
) -> None:
    """Inline too: start() itself does not raise, and the thread lives on."""
    workers = Workers("raising", limit)

    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        workers.start(fail).result(60)
    assert caught.value is error
    assert workers.start(lambda: 1).result(60) == 1
    workers.close()


def test_saturated_it_lets_the_caller_work(pool: Workers) -> None:
    """Nothing ever waits for a thread, so stacks cannot wait in a circle."""
    first, one = holding(pool)
    second, two = holding(pool)

    assert pool.start(here).result(0) == here()
    assert len(threads_of("pool")) == 2

    for held in (first, second):
        held.let_go.set()
    assert {one.result(60), two.result(60)} == {"pool-1", "pool-2"}


def test_nested_work_of_one_pool_does_not_deadlock() -> None:
    """Each level waits for the one below; there are fewer threads than levels."""
    workers = Workers("nested", 2)

    def level(depth: int) -> int:
        if depth == 0:
            return 0
        return 1 + workers.start(lambda: level(depth - 1)).result(60)

    assert level(20) == 20
    workers.close()


def test_an_idle_thread_is_used_again(pool: Workers) -> None:
    """Not one more for each work."""
    for _ in range(20):
        pool.start(here).result(60)
        eventually_idle(pool, 1)

    assert len(threads_of("pool")) == 1


def test_never_more_threads_than_the_limit() -> None:
    """Whoever brings work at once."""
    workers = Workers("many", 3)
    most = 0
    lock = threading.Lock()

    def bring() -> None:
        nonlocal most
        for _ in range(200):
            future = workers.start(here)
            with lock:
                most = max(most, len(threads_of("many")))
            future.result(60)

    callers = [threading.Thread(target=bring) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert most <= 3
    eventually_idle(workers, workers._threads)
    workers.close()


def test_the_context_is_the_callers_and_is_not_changed(pool: Workers) -> None:
    """Each work has a copy, in a thread or inline."""
    variable = contextvars.ContextVar("variable", default="nothing")

    def look_and_leave() -> str:
        seen = variable.get()
        variable.set("left behind")
        return seen

    variable.set("caller")
    inline = Workers("inline", 0)
    for workers in (pool, pool, inline):
        assert workers.start(look_and_leave).result(60) == "caller"
    assert variable.get() == "caller"


def test_a_thread_that_waits_holds_nothing(pool: Workers) -> None:
    """Least of all the body of the last object, with its file."""

    class Body:
        pass

    body = Body()
    gone = weakref.ref(body)

    def work(held: Body = body) -> None:
        assert held

    pool.start(work).result(60)
    del body, work
    eventually_idle(pool, 1)
    gc.collect()
    assert gone() is None


def test_what_has_begun_cannot_be_cancelled(pool: Workers) -> None:
    """A cancelled future has no place for its result, which would kill the thread."""
    held, future = holding(pool)

    assert not future.cancel()
    held.let_go.set()
    assert future.result(60)
    eventually_idle(pool, 1)


class Cancelling(Workers):
    """Cancels each work while it is handed over; no caller is quick enough for that."""

    def _hand_over(self, work: Callable[[], None]) -> bool:
        [[future]] = [
            cell.cell_contents
            for cell in work.__closure__ or ()
            if isinstance(cell.cell_contents, list)
        ]
        assert future.cancel()
        return super()._hand_over(work)


@pytest.mark.parametrize("limit", [0, 1])
def test_what_was_cancelled_in_time_is_not_done(limit: int) -> None:
    """And the thread is ready for the next work."""
    workers = Cancelling("cancelling", limit)
    done: list[int] = []

    for _ in range(3):
        with pytest.raises(CancelledError):
            workers.start(lambda: done.append(1)).result(60)
        eventually_idle(workers, limit)
    assert done == []
    workers.close()


def test_closed_it_does_what_comes_inline(pool: Workers) -> None:
    """What runs finishes, idle threads go, and nothing is lost."""
    held, future = holding(pool)
    pool.start(here).result(60)
    eventually_idle(pool, 1)

    pool.close()

    assert pool.start(here).result(0) == here()
    held.let_go.set()
    assert future.result(60).startswith("pool")
    for thread in threads_of("pool"):
        thread.join(60)
    assert threads_of("pool") == []
    pool.close()


class Hesitant(queue.SimpleQueue[Any]):
    """Gives a closing pool its chance to be quicker than what is handed over."""

    def __init__(self, closed: threading.Event) -> None:
        self.about_to_put, self.closed = threading.Event(), closed

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if item is not None:
            self.about_to_put.set()
            self.closed.wait(0.1)  # in vain, as closing has to wait for us
        super().put(item)


def test_what_is_brought_while_it_closes_is_done() -> None:
    """An idle thread that was claimed must not be told to go before it is told what."""
    workers, closed = Workers("closing", 1), threading.Event()
    hesitant = workers._work = Hesitant(closed)
    workers.start(here).result(60)
    eventually_idle(workers, 1)

    def close() -> None:
        assert hesitant.about_to_put.wait(60)
        workers.close()
        closed.set()

    closing = threading.Thread(target=close)
    closing.start()
    assert workers.start(here).result(60) == "closing-1"
    closing.join()


def test_idle_threads_go_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """And come back when they are needed."""
    monkeypatch.setattr(module, "_IDLE_SECONDS", 0.01)
    workers = Workers("idle", 2)
    for _ in range(3):
        held, future = holding(workers)
        [thread] = threads_of("idle")
        held.let_go.set()
        assert future.result(60) == "idle-1"
        thread.join(60)
        assert (workers._threads, workers._idle) == (0, 0)


def test_without_another_thread_the_caller_works() -> None:
    """The machine has no more, or the interpreter is about to end."""
    workers = Workers("none", 3)
    before = threading.stack_size(1 << 46)  # more than there is address space
    try:
        assert workers.start(here).result(0) == here()
        assert workers._threads == 0
    finally:
        threading.stack_size(before)

    assert workers.start(here).result(60) == "none-1"
    workers.close()


def test_a_child_process_starts_anew(pool: Workers) -> None:
    """It has none of its parent's threads, and perhaps a lock that nobody will free."""
    held, _ = holding(pool)
    pool.start(here).result(60)
    eventually_idle(pool, 1)
    with pool._lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads
        child = os.fork()
    if child == 0:
        status = 1
        try:
            done = [pool.start(here).result(60) for _ in range(3)]
            status = 0 if all(name.startswith("pool") for name in done) else 2
        finally:
            os._exit(status)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    held.let_go.set()


def test_a_hung_server_does_not_keep_the_process() -> None:
    """Work that never ends ends with the process."""
    program = (
        "import threading\n"
        "from tiered_store.workers import Workers\n"
        "begun = threading.Event()\n"
        "def hang():\n"
        "    begun.set()\n"
        "    threading.Event().wait()\n"
        "Workers('hung', 1).start(hang)\n"
        "begun.wait()\n"
        "print('end')\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30
    )

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "end\n", "")


def test_work_at_the_very_end_is_done_inline_or_in_a_thread() -> None:
    """Newer interpreters start no threads then; who drains must not fail for that."""
    program = (
        "import atexit\n"
        "from tiered_store.workers import Workers\n"
        "workers = Workers('late', 1)\n"
        "atexit.register(lambda: print(workers.start(lambda: 'done').result(60)))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30
    )

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")
