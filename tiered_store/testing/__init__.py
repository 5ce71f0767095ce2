"""
What tests of stores need: faults, a clock, a memory, and the rules to conform to.

.. code-block:: python

   class TestMine(StoreConformance):
       @pytest.fixture
       def store(self):
           return MyStore()
"""

from __future__ import annotations

import sys

from typing import TYPE_CHECKING, Any

from tiered_store.testing.clock import FakeClock
from tiered_store.testing.faults import FaultStore
from tiered_store.testing.faulty_body import Pause
from tiered_store.testing.recording import Recorder


if TYPE_CHECKING:
    from tiered_store.testing.conformance import StoreConformance


if (runner := sys.modules.get("pytest")) is not None:
    # suites that assert: without it a broken rule of theirs would show no value
    runner.register_assert_rewrite(
        "tiered_store.testing.controls", "tiered_store.testing.journals"
    )

__all__ = ["FakeClock", "FaultStore", "Pause", "Recorder", "StoreConformance"]


def __getattr__(name: str) -> Any:
    if name == "StoreConformance":  # needs pytest, which a drill does without
        from tiered_store.testing.conformance import StoreConformance

        return StoreConformance
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
