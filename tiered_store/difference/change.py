"""
One thing that a change of configuration does.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, get_args


# from what loses data to what only changes behaviour
Kind = Literal[
    "unreadable", "mixed", "orphaned", "gone", "fill", "cold", "new", "option"
]
ORDER = get_args(Kind)
MEANINGS: dict[Kind, str] = {
    "unreadable": "objects that are there cannot be read, or are not found",
    "mixed": "another object may be served under a name, or a copy taken for one",
    "orphaned": "what a journal remembers is read by nobody",
    "gone": "objects stay where nobody looks any more",
    "fill": "a replica lacks objects until somebody copies them",
    "cold": "a cache begins empty",
    "new": "a place that was in no use",
    "option": "nothing that is kept is concerned",
}


@dataclass(frozen=True, slots=True)
class Change:
    """
    What happens at *path*.

    Attributes:
        todo: What to do about it, and when; empty if nothing.
    """

    kind: Kind
    path: str
    message: str
    todo: str = ""

    @property
    def concerns_data(self) -> bool:
        """Whether anything that is kept is concerned."""
        return self.kind not in ("option", "new", "cold")

    def plain(self) -> dict[str, str]:
        """Return it as values that JSON knows."""
        return asdict(self)
