"""
Ask once more when an answer takes longer than it usually does.

.. code-block:: yaml

   type: hedged
   after: p95
   child: {type: memory}

For a store whose slowness is one connection's or one of its servers', not all of it.
``replicated`` and ``fallback`` hedge between places: ``hedge_after``.
"""

from __future__ import annotations

from typing import Literal

from tiered_store.body import Body
from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import StoreError
from tiered_store.key import Key
from tiered_store.policies.hedging import Hedge
from tiered_store.store import Store
from tiered_store.units import Duration
from tiered_store.workers import Workers
from tiered_store.wrapper import Wrapper


_REQUESTS = ("first", "second")


class HedgedStore(Wrapper):
    """
    The quicker of up to two answers of *child* to a read.

    Only reads are hedged, and only until their body can be opened; a body that is not
    wanted is closed when it comes.  Every read changes threads, some 50 microseconds.

    Args:
        after: Seconds; or ``p95``, what 95 % of the last reads took, and 0.25 as long
            as there were few.
        budget: Second requests as a share of reads.
        workers: Threads; a read that finds none is not hedged.
    """

    def __init__(
        self,
        child: Store,
        *,
        after: Duration | Literal["p95"] = "p95",
        budget: float = 0.05,
        workers: int = 32,
        clock: Clock = SYSTEM,
    ) -> None:
        super().__init__(child)
        self.after = after
        self.budget = budget
        self.workers = workers
        self._workers = Workers("hedged", workers)
        self._hedge = Hedge(
            after, budget=budget, circuits={}, workers=self._workers, clock=clock
        )

    def _get(self, key: Key) -> Body:
        def ask(request: str) -> Body:
            return self.child.get(key)

        errors: list[StoreError] = []
        for _, answer in self._hedge.answers(_REQUESTS, ask, late=True):
            if not isinstance(answer, StoreError):
                return answer
            errors.append(answer)
        raise errors[0]

    def _close(self) -> None:
        self._workers.close()
