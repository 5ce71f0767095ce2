"""A thread that looks now and then: the first callers wait for it, and nobody else."""

from __future__ import annotations

import threading

from collections.abc import Callable

import pytest

from tiered_store import deadline
from tiered_store import lookout as module
from tiered_store.lookout import Lookout


class Scene:
    """Something to look at, which says what happens meanwhile."""

    def __init__(self) -> None:
        self.looks = 0
        self.meanwhile: Callable[[], object] = lambda: None

    def refresh(self) -> None:
        self.meanwhile()
        self.looks += 1


class Waited(threading.Event):
    """Counts those who wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = threading.Semaphore(0)

    def wait(self, timeout: float | None = None) -> bool:
        self.waiting.release()
        return super().wait(timeout)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def lookout(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    """One that waits longer at first than this machine can be slow."""
    monkeypatch.setattr(module, "_FIRST_SECONDS", 60.0)
    made = Lookout(scene, "looks", 60.0)
    yield made
    made.end()


def test_all_who_come_before_the_first_look_wait_for_it(
    scene: Scene, lookout: Lookout
) -> None:
    """Else the second request of a process reads from a region that was drained."""
    looked = lookout._looked = Waited()
    looking, seen = threading.Event(), []

    def until_two_wait() -> None:
        looking.set()
        for _ in range(2):
            looked.waiting.acquire(timeout=60)

    def ask() -> None:
        lookout.begin()
        seen.append(scene.looks)

    scene.meanwhile = until_two_wait
    first = threading.Thread(target=ask)
    first.start()
    assert looking.wait(60)
    ask()
    if len(seen) == 1 and not seen[0]:
        looked.waiting.release()  # let the other go, for this has failed
    first.join(60)

    assert seen == [1, 1]
    assert lookout.seen


def test_who_hears_of_the_first_look_does_not_wait_for_it(
    scene: Scene, lookout: Lookout
) -> None:
    """A listener that reads from the store it listens to would wait for itself."""
    scene.meanwhile = lookout.begin

    lookout.begin()

    assert scene.looks == 1
    assert lookout.seen


def test_a_deadline_ends_waiting_for_one_caller_alone(
    scene: Scene, lookout: Lookout
) -> None:
    """The next one may have more time."""
    go = threading.Event()
    scene.meanwhile = lambda: go.wait(60)

    with deadline(0.01):
        lookout.begin()
    assert not lookout.seen

    go.set()
    lookout.begin()
    assert (scene.looks, lookout.seen) == (1, True)


def test_whoever_has_ended_it_waits_for_nothing(lookout: Lookout) -> None:
    """A store that is closed still answers."""
    lookout.end()

    lookout.begin()

    assert lookout.thread is None


def test_where_no_thread_can_be_had_the_next_call_tries_again(
    scene: Scene, lookout: Lookout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine out of threads, or a process that ends."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        lookout.begin()
    assert (lookout.begun, lookout.seen) == (False, False)

    lookout.begin()

    assert (scene.looks, lookout.seen) == (1, True)
