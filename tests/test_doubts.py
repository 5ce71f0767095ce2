"""After a write that may have failed, its object is not kept for a while."""

from __future__ import annotations

import pytest

from tiered_store.key import Key
from tiered_store.policies import doubts as module
from tiered_store.policies.doubts import Doubts
from tiered_store.testing.clock import FakeClock


KEYS = [Key("testing", number, 2, 3, "image/png") for number in range(5)]


def test_a_doubt_ends() -> None:
    """And a later one of the same object prolongs it."""
    clock = FakeClock()
    doubts = Doubts(10.0, clock)
    assert KEYS[0] not in doubts

    doubts.add(KEYS[0])
    clock.advance(6)
    doubts.add(KEYS[0])
    clock.advance(6)
    assert KEYS[0] in doubts
    assert KEYS[1] not in doubts
    clock.advance(5)
    assert KEYS[0] not in doubts


def test_of_more_than_can_be_remembered_all_are_doubted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rather than that one is believed which was forgotten, and only as long as it."""
    monkeypatch.setattr(module, "_MOST", 3)
    clock = FakeClock()
    doubts = Doubts(10.0, clock)
    for key in KEYS[:4]:
        doubts.add(key)
        clock.advance(1)

    assert all(key in doubts for key in KEYS)
    clock.advance(6)  # the first is over
    assert [key in doubts for key in KEYS] == [False, True, True, True, False]


def test_without_any_time_nothing_is_doubted() -> None:
    """Where no write can take effect later."""
    doubts = Doubts(0.0, FakeClock())

    doubts.add(KEYS[0])

    assert KEYS[0] not in doubts
