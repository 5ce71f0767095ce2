"""
What every journal must do, rule by rule.

.. code-block:: python

   class TestMyJournal(JournalConformance):
       @pytest.fixture
       def make(self, clock):
           return lambda **options: MyJournal(clock=clock, **options)

The fixture returns what makes a journal of the *options* that it is given, of which
there is only ``capacity``: an empty one without quarantine.
"""

from __future__ import annotations

import pytest

from tiered_store.journals.journal import Journal
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.journals.late import LateRules
from tiered_store.testing.journals.leasing import LeasingRules
from tiered_store.testing.journals.listing import ListingRules
from tiered_store.testing.journals.marking import MarkingRules
from tiered_store.testing.journals.overtaking import OvertakingRules
from tiered_store.testing.journals.steps import (
    DELETE,
    DOWN,
    KEY,
    OTHER,
    PUT,
    Make,
    held,
    missed,
    write,
)


__all__ = [
    "DELETE",
    "DOWN",
    "KEY",
    "OTHER",
    "PUT",
    "JournalConformance",
    "held",
    "missed",
    "write",
]


class JournalConformance(
    MarkingRules, ListingRules, LateRules, OvertakingRules, LeasingRules
):
    """The promises of a journal; inherit, and give the fixture ``make``."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        """Return the clock that the journal is given."""
        return FakeClock()

    @pytest.fixture
    def make(self, clock: FakeClock) -> Make:
        """Return what makes a journal."""
        raise NotImplementedError

    @pytest.fixture
    def journal(self, make: Make) -> Journal:
        """Return an empty journal."""
        return make()

    @pytest.fixture
    def careful(self, journal: Journal) -> Journal:
        """Return one that expects changes which nobody waits for."""
        journal.quarantine = 60.0
        return journal
