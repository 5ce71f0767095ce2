"""
What a repair did.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairReport:
    """
    What one pass did; two of them can be added.

    Attributes:
        objects: Looked at.
        repaired: Rows that are done with.
        failed: Rows that stay, with the error noted.
        dead: How many of those have become dead letters.
        busy: Objects passed over, because somebody else was at them.
        quarantined: Rows that wait, for a request may still take effect that nobody
            waits for any more.
        down: Rows passed over, because their replica is known to be down.
        copied: Bytes.
    """

    objects: int = 0
    repaired: int = 0
    failed: int = 0
    dead: int = 0
    busy: int = 0
    quarantined: int = 0
    down: int = 0
    copied: int = 0

    def __add__(self, other: RepairReport) -> RepairReport:
        names = [field.name for field in fields(self)]
        both = {name: getattr(self, name) + getattr(other, name) for name in names}
        return RepairReport(**both)
