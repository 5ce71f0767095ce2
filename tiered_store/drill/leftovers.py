"""
What a drill on real stores has left there, if it was killed.
"""

from __future__ import annotations

import contextlib
import re

from tiered_store.body import Stat
from tiered_store.clock import SYSTEM, Clock
from tiered_store.drill.stage import leaves
from tiered_store.errors import StoreError
from tiered_store.store import Store


_OURS = re.compile(r"drill-[0-9a-f]{12}\.drill\.picture")
_HOUR = 3600.0  # no drill takes that long, so none is under way whose objects are older


def sweep(stack: Store, *, clock: Clock = SYSTEM) -> int:
    """
    Delete it from the real stores below *stack*, and return how many objects it was.

    Nobody else's objects have such names.  What was stored within the last hour may be
    that of a drill under way, so it stays, as does what a store cannot list or date.
    """
    swept = 0
    for leaf in leaves(stack):
        with contextlib.suppress(StoreError):  # what is wrong with it the drill says
            for key in list(leaf.real.keys("drill-")):
                if _OURS.fullmatch(key.object_type) and _is_old(
                    leaf.real.stat(key), clock
                ):
                    leaf.real.delete(key)
                    swept += 1
    return swept


def _is_old(stat: Stat, clock: Clock) -> bool:
    return stat.modified is not None and stat.modified < clock.time() - _HOUR
