"""
What every control must do, rule by rule.

.. code-block:: python

   class TestMyControl(ControlConformance):
       @pytest.fixture
       def make(self, clock):
           place = MyPlace()
           return lambda: MyControl(place, clock=clock)

The fixture returns what makes a control of one and the same place, which begins empty.
"""

from __future__ import annotations

import threading

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tiered_store.control.control import Control
from tiered_store.control.decisions import Decision, Decisions, Verb
from tiered_store.errors import ConflictError
from tiered_store.testing.clock import FakeClock


Make = Callable[[], Control]


def decision(
    verb: Verb = "drain", name: str = "us", *, until: float | None = None
) -> Decision:
    """Return what an operator decides about *name*."""
    return Decision(
        verb=verb, name=name, by="ana@ops", at=1000.0, why="a cable", until=until
    )


class ControlConformance:
    """The promises of a control; inherit, and give the fixture ``make``."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        """Return the clock that the control is given."""
        return FakeClock()

    @pytest.fixture
    def make(self, clock: FakeClock) -> Make:
        """Return what makes a control of the place of this test."""
        raise NotImplementedError

    def test_a_new_place_holds_no_decision(self, make: Make) -> None:
        """Nobody has to prepare it."""
        assert make().load() == Decisions()

    def test_a_decision_is_seen_by_everybody(self, make: Make) -> None:
        """With who, when, why and until when."""
        mine, theirs = make(), make()

        mine.decide(decision(until=2e9))

        (held,) = theirs.load().standing.values()
        assert (held.verb, held.name, held.by) == ("drain", "us", "ana@ops")
        assert (held.at, held.why, held.until) == (1000.0, "a cable", 2e9)

    def test_a_decision_replaces_that_about_the_same_place(self, make: Make) -> None:
        """Others stay as they are, and the past is kept."""
        control = make()
        control.decide(decision("drain", "us"))
        control.decide(decision("drain", "eu"))

        record = control.decide(decision("isolate", "us"))

        assert {name: held.verb for name, held in record.standing.items()} == {
            "us": "isolate",
            "eu": "drain",
        }
        assert [one.revision for one in record.history] == [1, 2, 3]
        assert make().load() == record

    def test_undrain_ends_it(self, make: Make) -> None:
        """As if nothing had been decided, but for the history."""
        control = make()
        control.decide(decision("drain"))

        control.decide(decision("undrain"))

        assert make().load().standing == {}

    def test_one_place_is_promoted(self, make: Make) -> None:
        """Two could not both be the first."""
        control = make()
        control.decide(decision("promote", "us"))

        record = control.decide(decision("promote", "eu"))

        assert set(record.standing) == {"eu"}

    def test_failback_ends_what_kept_traffic_away(self, make: Make) -> None:
        """The promotion of another place, and its own drain."""
        control = make()
        control.decide(decision("promote", "eu"))
        control.decide(decision("drain", "us"))

        record = control.decide(decision("failback", "us"))

        assert record.standing == {}
        assert record.history[-1].verb == "failback"

    def test_a_decision_ends_by_itself(self, make: Make, clock: FakeClock) -> None:
        """Nobody has to remember a drain that was meant for an hour."""
        control = make()
        control.decide(decision(until=clock.time() + 60))

        clock.advance(59)
        assert set(control.load().standing) == {"us"}
        clock.advance(1)
        assert control.load().standing == {}

    def test_who_decides_after_another_is_told(self, make: Make) -> None:
        """Two operators who see both regions must not each drain another one."""
        mine, theirs = make(), make()
        seen = mine.load().revision
        theirs.decide(decision("drain", "eu"), after=seen)

        with pytest.raises(ConflictError, match="ana@ops decided drain eu meanwhile"):
            mine.decide(decision("drain", "us"), after=seen)

        assert set(make().load().standing) == {"eu"}

    def test_many_who_decide_at_once_lose_nothing(self, make: Make) -> None:
        """Each decision is one step, from whichever process."""
        controls = [make() for _ in range(4)]
        ready = threading.Barrier(len(controls))

        def decide(number: int) -> None:
            ready.wait()
            for turn in range(3):
                controls[number].decide(decision("drain", f"{number}-{turn}"))

        with ThreadPoolExecutor(len(controls)) as pool:
            list(pool.map(decide, range(len(controls))))

        record = make().load()
        assert record.revision == 12
        assert len(record.standing) == 12

    def test_two_controls_of_one_place_are_one(self, make: Make) -> None:
        """Whoever checks a configuration can tell."""
        assert make().place == make().place
