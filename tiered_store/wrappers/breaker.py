"""
Stop asking a store that keeps failing, and fail at once instead.

.. code-block:: yaml

   type: breaker
   failures: 5
   open: 1s
   child: {type: memory}

It belongs directly around the store whose health it watches, outside its retries.
``fallback`` and ``replicated`` put one around each of their stores by themselves.
"""

from __future__ import annotations

from tiered_store.clock import SYSTEM, Clock
from tiered_store.policies.breaker import BreakerPolicy
from tiered_store.policies.guard import Guard
from tiered_store.store import Store
from tiered_store.units import Duration


class BreakerStore(Guard):
    """
    Raise :class:`~tiered_store.errors.UnavailableError` while *child* is not well.

    The options are those of :class:`~tiered_store.policies.breaker.BreakerPolicy`.
    """

    def __init__(
        self,
        child: Store,
        *,
        failures: int = 5,
        ratio: float = 0.4,
        slow_ratio: float = 0.6,
        calls: int = 20,
        window: Duration = 10.0,
        slow: Duration | None = None,
        open: Duration = 1.0,
        open_limit: Duration = 60.0,
        probes: int = 3,
        probe_lease: Duration = 10.0,
        clock: Clock = SYSTEM,
    ) -> None:
        policy = BreakerPolicy(
            failures=failures,
            ratio=ratio,
            slow_ratio=slow_ratio,
            calls=calls,
            window=window,
            slow=slow,
            open=open,
            open_limit=open_limit,
            probes=probes,
            probe_lease=probe_lease,
        )
        super().__init__(child, policy, clock=clock)
