"""
When to stop asking a store that keeps failing, and when to ask again: the rules.

:class:`~tiered_store.policies.circuit.Circuit` follows them.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiered_store.errors import ConfigError, UnavailableError
from tiered_store.policies.evidence import Limits
from tiered_store.strict import strict
from tiered_store.units import Duration


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy(Limits):
    """
    When a circuit opens and closes.

    Attributes:
        failures: In a row that open it.
        ratio: Of the calls in the window, failed, that opens it.
        slow_ratio: Of the last *calls* in the window, slow, that opens it.
        calls: In the window before either ratio counts.
        window: Seconds that are looked back on.
        slow: Seconds from which a call is slow; by default, for reads, four times the
            median of the last ones and at least 0.15, 0.25 before that is known.  For
            writes, four times the median of those of its size, within a factor of two,
            and at least 0.5, once twenty such are known; and none where nobody else
            takes them instead, which is anywhere but with ``write: failover``.
        open: Seconds it stays open the first time; doubled at each further opening.
        open_limit: Seconds it stays open at most.
        probes: Successes in a row that close it.
        probe_lease: Seconds after which a probe that never reported is replaced.
    """

    open: Duration = 1.0
    open_limit: Duration = 60.0
    probes: int = 3
    probe_lease: Duration = 10.0

    def __post_init__(self) -> None:
        for name in ("failures", "calls", "window", "open", "probes", "probe_lease"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name}: must be positive")
        for name in ("ratio", "slow_ratio"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name}: must be above 0 and at most 1")
        if self.open_limit < self.open:
            raise ConfigError("open_limit: must be at least open")


class CircuitOpenError(UnavailableError):
    """
    The store was not asked, because it kept failing.

    Attributes:
        asked: Only a part of the store was not; another part may have done something.
        slow: It does not fail, but takes long: better than nobody.
    """

    retryable = False
    asked: bool = False
    slow: bool = False
