"""Fixtures that every test may use, and the conformance table at the end."""

from __future__ import annotations

import gc

from hypothesis import HealthCheck, settings

from tests.thorough import TIMES


# how long an example takes on a busy machine says nothing
settings.register_profile(
    "patient",
    max_examples=50 * TIMES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("patient")

pytest_plugins = [
    "tests.closing",
    "tests.conformance_table",
    "tests.servers.disk",
    "tests.servers.postgres",
    "tests.servers.redis",
    "tests.servers.s3",
]


def pytest_collection_finish() -> None:
    """
    Keep what was collected out of the collector's sight.

    It is there until the end: half a gigabyte, which every ``gc.collect()`` of a test
    would go through, and every fork of one would copy.
    """
    gc.collect()
    gc.freeze()
