"""
Who of several stores is asked first: what operators decided, and who has just returned.
"""

from __future__ import annotations

import functools

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence

from tiered_store.clock import Clock
from tiered_store.condition import Condition
from tiered_store.control.control import Control
from tiered_store.control.decisions import Decision
from tiered_store.control.standing import Rota, Standing
from tiered_store.events import FailedBack
from tiered_store.key import Key
from tiered_store.policies.failback import FailbackPolicy, Recovery, Stage
from tiered_store.policies.guard import Guard
from tiered_store.store import Store


_REMEMBERED = 10_000  # keys


class Order:
    """
    The order of *stores*, anew for each call and without I/O.

    Args:
        owner: Whose listeners hear of it.
        policy: How a store that was away is used again; None for at once.
        catch_up: Makes, for a name, what begins to bring that store up to date; None
            if none ever misses anything.
    """

    def __init__(
        self,
        owner: Store,
        stores: Mapping[str, Store],
        control: Control | None,
        policy: FailbackPolicy | None,
        catch_up: Callable[[str], Callable[[bool], bool]] | None,
        clock: Clock,
    ) -> None:
        self.rota = Rota(tuple(stores), control, owner)
        self._owner = owner
        self._stores = stores
        self._returns: frozenset[Decision] | None = None
        self._seen: Standing | None = None
        self._decided: Mapping[str, Decision] = {}
        self._given: OrderedDict[Key, str] = OrderedDict()
        self._recoveries = {
            name: Recovery(
                policy,
                store.reading,
                nothing_missed if catch_up is None else catch_up(name),
                functools.partial(self._tell, name),
                clock,
            )
            for name, store in stores.items()
            if isinstance(store, Guard) and policy is not None
        }

    def standing(self) -> Standing:
        """Return what operators decided, once what they sent back is on its way."""
        standing = self.rota.now()
        if standing is not self._seen:
            self._follow(standing)
        return standing

    def of_reads(self, key: Key | None = None) -> Sequence[str]:
        """Return who may be read, those first that are relied on."""
        standing = self.standing()
        if not self._given and all(
            recovery.is_settled for recovery in self._recoveries.values()
        ):
            return standing.read  # those that are drained are last
        given = None if key is None else self._given.get(key)

        def rank(name: str) -> tuple[bool, bool, bool]:
            return name != given, name in standing.spare, not self._takes(name)

        return sorted(standing.read, key=rank)

    def of_writes(self, asked: Mapping[str, Store]) -> list[str]:
        """
        Return who of *asked* may take puts, those first that get all reads.

        While somebody may be read who need not have it, the journal must know.
        """
        standing = self.standing()

        def rank(name: str) -> tuple[bool, bool]:
            return name in standing.spare, not self._is_relied_on(name)

        return sorted((name for name in standing.read if name in asked), key=rank)

    def remember(self, key: Key, name: str) -> None:
        """
        Read *key* from *name* first, which was given it and nobody else.

        That is remembered for some keys, while another store would be read.
        """
        first = self._seen is None or self._seen.read[0] == name
        if first and self._is_relied_on(name) and not self._given:
            return
        self._given[key] = name
        self._given.move_to_end(key)
        if len(self._given) > _REMEMBERED:
            self._given.popitem(last=False)

    def owe(self) -> None:
        """Bring to the stores that are relied on what they may have missed."""
        for recovery in self._recoveries.values():
            recovery.owe()

    @property
    def repairs(self) -> bool:
        """Whether what was missed is brought there without anybody asking."""
        return bool(self._recoveries)

    def fail_back(self, name: str | None = None) -> None:
        """Use *name*, or every store, again as soon as it is well."""
        for known, recovery in self._recoveries.items():
            if name in (None, known):
                recovery.fail_back()

    def conditions(self) -> Iterator[Condition]:
        """Yield who is away, or not yet what it was."""
        for name, recovery in self._recoveries.items():
            if recovery.stage != "active":
                yield Condition(
                    section="failback",
                    place=str(self._stores[name]),
                    state="attention",
                    facts={"stage": recovery.stage, "reason": recovery.reason},
                )

    def close(self) -> None:
        """Follow no more decisions."""
        self.rota.close()

    def _follow(self, standing: Standing) -> None:
        """Send traffic back where that was decided, and bring there what was not."""
        self._seen = standing
        if standing.decisions != self._decided:
            self._decided = standing.decisions
            self.owe()
        known = standing.returns if self._returns is None else self._returns
        self._returns = known | standing.returns  # a copy may take some of them away
        for decision in standing.returns - known:
            self.fail_back(decision.name)

    def _takes(self, name: str) -> bool:
        recovery = self._recoveries.get(name)
        return recovery is None or recovery.takes()

    def _is_relied_on(self, name: str) -> bool:
        recovery = self._recoveries.get(name)
        return recovery is None or recovery.is_over

    def _tell(self, name: str, stage: Stage, reason: str) -> None:
        owner = self._owner
        if owner.listeners:
            owner.emit(
                FailedBack(store=str(owner), name=name, stage=stage, reason=reason)
            )


def nothing_missed(_thorough: bool) -> bool:
    """Say that a store which is owed nothing is up to date."""
    return True
