"""What comes in the middle of a write, a repair, or a comparison of replicas."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.test_control import Regions
from tests.test_replicated import KEY, NEW


KEYS = [KEY._replace(width=width) for width in range(4)]


# -- operators decide, in the middle of a repair -------------------------------


@pytest.fixture
def regions() -> Iterator[Regions]:
    """A mirror whose first replica has missed four objects."""
    made = Regions("replicated")
    made.decide("isolate us")
    for key in KEYS:
        made.store.put(key, NEW)
    made.decide("undrain us")
    yield made
    made.store.close()


def test_an_isolation_in_the_middle_of_a_repair_ends_it_there(regions: Regions) -> None:
    """Not only the next pass: one may take hours."""
    with regions.us.pause("put") as pause, ThreadPoolExecutor(1) as thread:
        repair = thread.submit(regions.store.repair, parallel=1)
        pause.wait()
        regions.decide("isolate us")
        pause.release()
        report = repair.result()

    assert (report.repaired, report.down) == (1, 3)
    assert regions.us.calls == {}


def test_an_isolation_in_the_middle_of_a_comparison_ends_it_there(
    regions: Regions,
) -> None:
    """As a repair, and as a reader of what may be damaged there."""
    report = regions.store.verify(
        repair=True, parallel=1, listed=lambda _: regions.decide("isolate us")
    )

    assert (report.objects, report.repaired) == (4, 0)
    assert regions.us.calls == {}


def test_a_drain_in_the_middle_of_two_repairs_stops_neither(regions: Regions) -> None:
    """What a drained replica missed is brought there meanwhile, once."""
    with regions.us.pause("put") as pause, ThreadPoolExecutor(1) as thread:
        first = thread.submit(regions.store.repair, due=True, parallel=1)
        pause.wait()
        regions.decide("drain us")
        second = regions.store.repair(due=True)
        regions.decide("isolate us", "undrain us")
        pause.release()
        total = second + first.result()

    assert (total.repaired, total.busy) == (4, 1)
    assert list(regions.store.pending()) == []
    assert all(regions.us.child.get(key).read() == NEW.read() for key in KEYS)
