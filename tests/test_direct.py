"""The direct way of a read: one store is asked, and nobody is asked twice."""

from __future__ import annotations

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.errors import UnavailableError
from tiered_store.events import FellBack
from tiered_store.journals.memory import MemoryJournal
from tiered_store.key import Key
from tiered_store.policies.breaker import BreakerPolicy, CircuitOpenError
from tiered_store.store import Store
from tiered_store.testing.faults import FaultStore
from tiered_store.testing.recording import Recorder
from tiered_store.tree import label, observe
from tiered_store.wrappers.fallback import FallbackStore
from tiered_store.wrappers.replicated import ReplicatedStore


KEY = Key("testing", 1, 2, 3, "image/png")
LASTING = BreakerPolicy(failures=2, open=3600.0, open_limit=3600.0)


class Regions:
    """Three with the same object."""

    def __init__(self, kind: type[Store]) -> None:
        self.us, self.eu, self.asia = (FaultStore(MemoryStore()) for _ in range(3))
        self.all = {"us": self.us, "eu": self.eu, "asia": self.asia}
        for region in self.all.values():
            region.child.put(KEY, Body.of(b"x"))
        options = {"journal": MemoryJournal()} if kind is ReplicatedStore else {}
        self.store = kind(self.all, breaker=LASTING, **options)
        label(self.store, "images")
        self.recorder = Recorder()
        observe(self.store, self.recorder)

    def lose(self, name: str) -> None:
        """Have it known that it is down."""
        self.all[name].down()
        while self.store.children()[name].reading.state == "closed":
            self.store.get(KEY)

    def asked(self) -> list[int]:
        return [region.calls["get"] for region in self.all.values()]


@pytest.fixture(params=[ReplicatedStore, FallbackStore])
def regions(request) -> Regions:
    return Regions(request.param)


def test_an_error_is_the_answer_of_whoever_gave_it(regions: Regions) -> None:
    """The next one is asked, and not the same one again."""
    regions.us.fail("get")

    assert regions.store.get(KEY).read() == b"x"

    assert regions.asked() == [1, 1, 0]


def test_all_answers_are_told_once_each(regions: Regions) -> None:
    """What the first said on the direct way is among them."""
    for region in regions.all.values():
        region.down()

    with pytest.raises(UnavailableError) as raised:
        regions.store.get(KEY)

    assert regions.asked() == [1, 1, 1]
    assert set(raised.value.outcomes) == {"us", "eu", "asia"}


def test_who_is_down_is_passed_over_and_told_of(regions: Regions) -> None:
    """Whoever listens hears of each read, as of one that was asked and failed."""
    regions.lose("us")
    before = regions.us.calls["get"]
    regions.recorder.events.clear()

    assert regions.store.get(KEY).read() == b"x"

    assert regions.us.calls["get"] == before
    (event,) = [one for one in regions.recorder.events if isinstance(one, FellBack)]
    assert (event.store, event.failed) == ("images", "us")
    assert isinstance(event.error, CircuitOpenError)
    assert event.error.store == "images.us"


def test_beside_one_that_is_down_another_one_fails(regions: Regions) -> None:
    """The third is asked; the first is still not."""
    regions.lose("us")
    before = regions.asked()
    regions.eu.fail("get")

    assert regions.store.get(KEY).read() == b"x"

    assert [now - then for now, then in zip(regions.asked(), before, strict=True)] == [
        0,
        1,
        1,
    ]


def test_all_are_known_to_be_down_and_one_is_asked(regions: Regions) -> None:
    """Our own statistics must not be why everything fails."""
    for name in regions.all:
        regions.all[name].down()
    for _ in range(4):
        with pytest.raises(UnavailableError):
            regions.store.get(KEY)
    for region in regions.all.values():
        region.up()
    before = sum(regions.asked())

    assert regions.store.get(KEY).read() == b"x"

    assert sum(regions.asked()) == before + 1


def test_beside_one_that_is_just_slow_nobody_looks_at_those_that_are_down(
    regions: Regions,
) -> None:
    """It has the answer, and a look at a black hole takes a timeout."""
    regions.lose("us")
    regions.lose("eu")
    regions.store.children()["asia"].reading.find_slow(0.1)
    before = regions.asked()

    assert regions.store.get(KEY).read() == b"x"

    assert [now - then for now, then in zip(regions.asked(), before, strict=True)] == [
        0,
        0,
        1,
    ]
