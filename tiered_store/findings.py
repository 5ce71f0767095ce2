"""
What one place knows of one object, for a person who asks why they see what they see.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


State = Literal["held", "absent", "missing", "stale", "unbelieved", "behind", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """
    What is found in *place*, the path of a store or a tier.

    Attributes:
        state: ``held``, or ``absent`` if that is known; ``missing``: a tier has no
            copy, which says nothing; ``stale``: it has one past its freshness;
            ``unbelieved``: it is not asked, as a write may not have reached it;
            ``behind``: something is pending; ``failed``: it could not say.
        age: Seconds since it was fetched or stored.
        size: Bytes.
        version: Its name there.
        facts: Whatever else there is to say, by what it is called.
    """

    place: str
    state: State
    age: float | None = None
    size: int | None = None
    version: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
