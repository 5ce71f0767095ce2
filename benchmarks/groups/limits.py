"""
What is bounded however bad it gets: requests of an outage, memory of a large object.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.results import OURS, Goal, Row
from benchmarks.stacks import key_of
from tiered_store import FallbackStore, MemoryStore, RetryStore, UnavailableError
from tiered_store.body import Body
from tiered_store.key import Key
from tiered_store.testing import FakeClock


_CALLS = 500  # one after the other, while both regions fail
_BURST = 10  # retries that a budget has at once


def rows(bench: Bench) -> Iterator[Row]:
    """Count requests, then see what a process takes."""
    yield bench.row(
        "requests of one call, two regions that fail, three attempts",
        {"regions": [2.0], OURS: [_requests(1)]},
        floor="regions",
        unit="",
        goal=Goal(kind="value", limit=6.0),
        note="a retry around both regions, and one around each",
    )
    sustained = (_requests(_CALLS) - 2 * 2 * _BURST) / _CALLS
    yield bench.row(
        "the same, a call in a long outage",
        {"regions": [2.0], OURS: [sustained]},
        floor="regions",
        unit="",
        goal=Goal(kind="value", limit=2.2),
        note=f"of {_CALLS} calls, less the {_BURST} retries that each may have at once",
    )
    if not bench.quick:
        yield _large(bench)


def _requests(calls: int) -> float:
    """Return how often a region was asked, of *calls*."""
    clock = FakeClock()
    regions = {name: _Away() for name in ("us", "eu")}
    inner = {name: RetryStore(region, clock=clock) for name, region in regions.items()}
    store = RetryStore(FallbackStore(inner, breaker=None, clock=clock), clock=clock)
    for _ in range(calls):
        with contextlib.suppress(UnavailableError):
            store.get(key_of(0))
    return float(sum(region.asked for region in regions.values()))


class _Away(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def _get(self, key: Key) -> Body:
        self.asked += 1
        raise UnavailableError("away")


def _large(bench: Bench) -> Row:
    command = (sys.executable, "-m", "tests.large", str(bench.place("large") / "it"))
    done = subprocess.run(
        [*command, "--size", "1GiB"], capture_output=True, text=True, check=False
    )
    found = json.loads(done.stdout)
    return bench.row(
        "object of 1 GiB through cache, mirror, S3 and files, most MiB above idle",
        {
            "what is allowed": [64.0],
            OURS: [max(found["put_peak_mib"], *found["get_peak_mib"])],
        },
        floor="what is allowed",
        unit="",
        goal=Goal(kind="value", limit=64.0),
        note=f"its first byte after {found['first_byte_seconds']} s",
    )
