"""
How long browsers and proxies may keep what they were sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiered_store.body import Body
from tiered_store.units import Duration


@dataclass(frozen=True, slots=True)
class Freshness:
    """
    The ``Cache-Control`` of objects.

    Attributes:
        ttl: For how long an object is shown without asking; 0 asks each time, which
            costs a request and no body.
        reproducible_ttl: The same for one that is known to be computed; what made it
            may change.  Never more than *ttl*.
        stale_if_error: For how long after that a proxy may show it if we fail.
    """

    ttl: Duration = 300.0
    reproducible_ttl: Duration = 60.0
    stale_if_error: Duration = 0.0

    def header(self, body: Body, left: float | None) -> str:
        """
        Return the value for *body*.

        Args:
            left: Seconds that the signature holds, if it was shown by one: then it is
                for who asked, and for no longer.
        """
        seconds = self.ttl
        if body.reproducible:
            seconds = min(seconds, self.reproducible_ttl)
        if body.provisional:  # from a store that is asked only in an outage
            seconds = 0.0
        if left is not None:
            seconds = min(seconds, left)
        if seconds < 1:
            return "private, no-cache" if left is not None else "no-cache"
        whose = "public" if left is None else "private"
        value = f"{whose}, max-age={int(seconds)}"
        if self.stale_if_error >= 1 and left is None:
            value += f", stale-if-error={int(self.stale_if_error)}"
        return value
