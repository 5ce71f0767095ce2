"""
What must have held, by looking at the regions' files and not at what stores say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from tiered_store.demo.application import Application
from tiered_store.demo.place import Place
from tiered_store.demo.report import Check, Phase
from tiered_store.errors import StoreError
from tiered_store.layout import path_name
from tiered_store.wrappers.replicated import ReplicatedStore


class Proof:
    """
    Digests of every file in both regions of *place*, compared.

    Attributes:
        hits: How many reads the cache answered when it could.
    """

    def __init__(self, place: Place) -> None:
        self.hits = 0
        self._place = place
        self._differing: set[str] = set()
        self._unknown: set[str] = set()

    def compare(self, replicated: ReplicatedStore) -> int:
        """Return how many files the regions do not agree on, after an outage."""
        back, other = (region.digests() for region in self._place.regions)
        self._differing = _differences(back, other)
        assert replicated.journal is not None
        known: set[str] = set()
        with suppress(StoreError):  # a journal that cannot be read knows nothing
            known.update(path_name(row.key) for row in replicated.journal.pending())
        self._unknown = self._differing - known
        return len(self._differing)

    def checks(
        self, app: Application, phases: Sequence[Phase], left: int | None
    ) -> list[Check]:
        """
        Return everything that must have held.

        Args:
            left: Rows that are still in the journal, None if it cannot be read.
        """
        one, other = (region.digests() for region in self._place.regions)
        expected = {path_name(key): digest for key, digest in app.expected.items()}
        gone = {path_name(key) for key in app.deleted} - set(expected)
        returned = gone & {*one, *other}
        lost = self._place.regions[0].name
        calls = sum(phase.reads + phase.writes for phase in phases)
        failures = sum(len(phase.failures) for phase in phases)
        return [
            Check(
                "Every read and write succeeded",
                not failures,
                f"{calls} made, {failures} failed",
            ),
            Check(
                "The cache answered what was read twice",
                self.hits > 0,
                f"{self.hits} reads from memory",
            ),
            Check(
                f"The journal knew all that {lost} missed",
                not self._unknown,
                f"{len(self._differing)} files differed, {len(self._unknown)} unknown",
            ),
            Check(
                "Nothing is left to repair",
                left == 0,
                "the journal cannot be read" if left is None else f"{left} rows",
            ),
            Check(
                "Both regions hold the same bytes",
                one == other,
                _compared(one, other),
            ),
            Check(
                "It is what was stored last, nothing else",
                one == expected == other,
                _compared(expected, one if one != expected else other),
            ),
            Check(
                "No deleted picture returned",
                not returned,
                f"{len(gone)} files deleted, {len(returned)} found",
            ),
        ]


def _differences(one: Mapping[str, str], other: Mapping[str, str]) -> set[str]:
    return {name for name in {*one, *other} if one.get(name) != other.get(name)}


def _compared(one: Mapping[str, str], other: Mapping[str, str]) -> str:
    different = len(_differences(one, other))
    return f"SHA-256 of {len({*one, *other})} files, {different} differ"
