"""
What holds of writes that fail over, under any faults, crashes and interleavings.

The machine and the world are those of the mirror, and so is what is asked of them.
Somebody else keeps the stores alike, as a bucket's own replication does: here at once,
so that everything that is wrong is our doing.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.stepped import Process, SteppedJournal, SteppedStore
from tests.test_replicated_properties import Mirrored, World
from tests.thorough import TIMES, chunks, seeds
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.journals.memory import MemoryJournal
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.wrapper import Wrapper
from tiered_store.wrappers.fallback import FallbackStore


class Bucket(Wrapper):
    """A primary whose owner copies whatever is put there to *others*."""

    def __init__(self, child: Store, others: list[Store]) -> None:
        super().__init__(child)
        self.others = others

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        for store in (self.child, *self.others):
            store.put(key, body, reproducible)


def kept_alike(backends: dict[str, MemoryStore]) -> dict[str, Store]:
    """Return *backends*, the first of which is replicated by somebody else."""
    (home, primary), *others = backends.items()
    return {home: Bucket(primary, [store for _, store in others]), **dict(others)}


class FailingOver(Mirrored):
    """One client at a time, stores that come and go, and crashes at any step."""

    @rule(
        order=st.permutations(["us", "eu", "ap"]),
        dies_at=st.none() | st.integers(0, 14),
    )
    def restart(self, order: list[str], dies_at: int | None) -> None:
        """Go on as a new process, that may be doomed."""
        self.process = Process(dies_at)

        def fate(name: str) -> str | None:
            if name in self.down:
                return "before"
            return self.fates[name].pop() if self.fates[name] else None

        self.store = FallbackStore(
            {
                name: SteppedStore(
                    backend, self.process, lambda verb, name=name: fate(name)
                )
                for name, backend in kept_alike(self.backends).items()
            },
            write="failover",
            journal=SteppedJournal(self.inner, self.process),
            breaker=None,
            workers=0,
        )


TestFailingOver = FailingOver.TestCase
TestFailingOver.settings = settings(
    max_examples=60 * TIMES, stateful_step_count=30, deadline=None, derandomize=True
)


class Failover(World):
    """Writers, readers and repairs of one object, in the order that *seed* says."""

    def open(self, process: Process) -> FallbackStore:
        return FallbackStore(
            {
                name: SteppedStore(backend, process, self.fate)
                for name, backend in kept_alike(self.backends).items()
            },
            write="failover",
            journal=SteppedJournal(self.inner, process),
            breaker=None,
            workers=0,
        )


@pytest.mark.parametrize("chunk", chunks(0, 3, each=50), ids=str)
def test_any_interleaving_is_answered_truly_and_converges(chunk: range) -> None:
    """Fifty schedules each; a failure names its seed."""
    for seed in chunk:
        try:
            Failover(seed, MemoryJournal()).run()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def test_any_interleaving_on_disk(tmp_path: Path) -> None:
    """The same with the journal that is used in earnest."""
    for seed in seeds(10_000, 10):
        journal = SQLiteJournal(str(tmp_path / f"{seed}.db"))
        try:
            Failover(seed, journal).run()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        finally:
            journal.close()
