"""
A request that was given up on and made again may land later, on a newer write.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_replicated import KEY, NEW, OLD, content, leaf
from tiered_store import lingering
from tiered_store.errors import (
    DeniedError,
    StoreError,
    UnavailableError,
)
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.testing.clock import FakeClock
from tiered_store.wrappers.replicated import ReplicatedStore
from tiered_store.wrappers.retry import RetryStore


class Unsettled(SQLiteJournal):
    """One that can be made to fail when a write is over."""

    broken = False

    def settle(self, mark, outcomes):
        if self.broken:
            raise UnavailableError("the journal is away")
        super().settle(mark, outcomes)


class Retrying:
    """Two replicas, ``us`` behind a retry, and a journal with a quarantine."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.us, self.eu = leaf("us"), leaf("eu")
        path = str(folder / "journal.db")
        self.journal = Unsettled(path, quarantine=60, clock=self.clock)
        again = RetryStore(self.us, base=0.001, clock=self.clock)
        self.store = ReplicatedStore(
            {"us": again, "eu": self.eu},
            journal=self.journal,
            breaker=None,
            clock=self.clock,
        )

    def time_out(self, verb: str) -> None:
        """Have the next call time out, whose request may land at any time."""
        self.us.fail(verb, UnavailableError("timed out", ambiguous=True), times=1)

    def missed(self) -> dict[str, str]:
        return {name: row.verb for name, row in self.journal.rows(KEY).items()}


@pytest.fixture
def pair(tmp_path) -> Retrying:
    return Retrying(tmp_path)


@pytest.mark.parametrize("verb", ["put", "delete"])
def test_what_was_made_again_is_looked_at_after_the_quarantine(pair, verb) -> None:
    """However many writes have followed, none of them is lost."""
    pair.store.put(KEY, OLD)
    pair.time_out(verb)
    if verb == "put":
        pair.store.put(KEY, OLD)
    else:
        pair.store.delete(KEY)
    assert "us" in pair.missed()

    pair.store.put(KEY, NEW)
    if verb == "put":  # and now the request of the first attempt lands
        pair.us.child.put(KEY, OLD)
    else:
        pair.us.child.delete(KEY)
    assert pair.store.get(KEY).read() == b"new, and longer"
    assert pair.store.repair().quarantined == 1

    pair.clock.advance(61)
    pair.store.repair()
    assert pair.missed() == {}
    assert content(pair.us.child) == content(pair.eu.child) == b"new, and longer"


def test_a_repair_that_was_made_again_is_looked_at_again_too(pair) -> None:
    """It is a change like any other."""
    pair.us.fail("put", DeniedError("full"), times=1)
    pair.store.put(KEY, OLD)
    pair.time_out("put")
    assert pair.store.repair().quarantined == 1
    pair.store.put(KEY, NEW)
    pair.us.child.put(KEY, OLD)

    pair.store.repair()
    pair.clock.advance(61)
    pair.store.repair()
    assert pair.missed() == {}
    assert content(pair.us.child) == b"new, and longer"


def test_a_refusal_does_not_hide_what_came_before(pair) -> None:
    """The error of the last attempt says that the first may have been made."""
    pair.time_out("put")
    pair.us.fail("put", DeniedError("no"), times=1)
    with pytest.raises(DeniedError) as raised:
        RetryStore(pair.us, base=0.001, clock=pair.clock).put(KEY, NEW)

    assert raised.value.ambiguous


def test_what_an_earlier_writer_left_must_be_settled_to_be_acknowledged(pair) -> None:
    """Else its request could replace the write, and be believed."""
    pair.journal.begin(KEY, {"us": "put", "eu": "put"})  # and is killed
    pair.journal.broken = True

    with pytest.raises(StoreError, match="the journal is away") as raised:
        pair.store.put(KEY, NEW)
    assert raised.value.ambiguous


def test_what_was_made_again_ends_no_longer_quarantine(pair) -> None:
    """An earlier request, of a process that expects them for longer, is still late."""
    pair.us.fail("put", UnavailableError("timed out", ambiguous=True), times=None)
    pair.store.put(KEY, OLD)
    pair.us.heal()
    pair.journal.quarantine = 10.0
    pair.time_out("put")
    pair.store.put(KEY, NEW)
    pair.clock.advance(50)

    assert pair.store.repair().quarantined == 1
    pair.clock.advance(11)
    assert pair.store.repair().repaired == 1


def test_nobody_need_listen() -> None:
    """A retry may stand anywhere."""
    lingering.note()
    with lingering.Traces() as traces:
        lingering.note()
    assert traces.left
