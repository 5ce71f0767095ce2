"""
What every store must do, rule by rule.

.. code-block:: python

   class TestMyStore(StoreConformance):
       @pytest.fixture
       def store(self) -> Store:
           return MyStore(...)

The fixture gives a fresh, empty store for each test.  A rule that needs a verb
which the store does not declare (``capabilities()``) is waived: then the verb must
refuse, and :data:`LEDGER` keeps the waiver.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tiered_store.store import Store
from tiered_store.testing.conformance.getting import GettingRules
from tiered_store.testing.conformance.living import LivingRules
from tiered_store.testing.conformance.naming import NamingRules
from tiered_store.testing.conformance.putting import PuttingRules
from tiered_store.testing.conformance.rule import LEDGER
from tiered_store.testing.conformance.steps import KEY


__all__ = ["KEY", "LEDGER", "StoreConformance"]


class StoreConformance(PuttingRules, GettingRules, NamingRules, LivingRules):
    """The rules; inherit, and give the fixture ``store``."""

    @pytest.fixture
    def store(self) -> Iterator[Store] | Store:
        """Return a fresh, empty store."""
        raise NotImplementedError("give your suite a fixture named store")
