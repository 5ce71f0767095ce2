"""
One fault around one leaf, from before it to after everybody has recovered.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
import uuid

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tiered_store.drill.alike import Alike
from tiered_store.drill.leaf import Fault, Leaf
from tiered_store.drill.report import Outcome
from tiered_store.drill.seen import seen_of
from tiered_store.drill.stage import Stage, bare, is_called, leaves, stores_with
from tiered_store.drill.workload import Workload, content_of, verdict_of
from tiered_store.errors import StoreError
from tiered_store.key import Key
from tiered_store.replication.pace import RepairPolicy
from tiered_store.store import Store
from tiered_store.tree import walk
from tiered_store.wrappers.cached import CachedStore
from tiered_store.wrappers.fallback import FallbackStore
from tiered_store.wrappers.replicated import ReplicatedStore
from tiered_store.wrappers.timeout import TimeoutStore


_WARM, _AFTER = 0.4, 1.0
_SHORT, _LONG = 1.5, 3.0  # seconds that a fault lasts; to be found slow takes longer
_CONVERGED_WITHIN = 30.0
_STEP = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """
    What all scenarios of a drill have in common.

    Attributes:
        patience: Seconds that a user waits.
        alike: Leaves that somebody else keeps alike, by how their paths end.
        live: On the real stores, below a prefix of the drill's own.
        ended: Tells whether the drill is to end early.
    """

    config: Path
    name: str | None
    seed: int
    patience: float
    alike: Sequence[Sequence[str]]
    live: bool
    ended: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Scenario:
    """*fault* around the leaf that is *number* in the stack, *place* by its path."""

    number: int
    place: str
    fault: Fault

    def play(self, setting: Setting) -> Outcome:
        """
        Play it, and say what users saw; whatever happens, nothing is left behind.

        Raises:
            StoreError: The stack does not work even without a fault.
        """
        folder = Path(tempfile.mkdtemp(prefix="tiered-store-drill-"))
        live = f"drill-{uuid.uuid4().hex[:12]}." if setting.live else None
        stage = Stage(
            setting.config, setting.name, folder, live=live, seed=setting.seed
        )
        played = None
        try:
            with stage.built() as stack:
                played = _Played(self, setting, stage, stack)
                try:
                    return played.outcome()
                finally:
                    played.end(clean=live is not None)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


class _Played:
    def __init__(
        self, scenario: Scenario, setting: Setting, stage: Stage, stack: Store
    ) -> None:
        self._scenario = scenario
        self._setting = setting
        self._stage = stage
        self._stack = stack
        self._leaf: Leaf = leaves(stack)[scenario.number]
        for group in setting.alike:
            Alike([leaf for leaf in leaves(stack) if is_called(str(leaf), group)])
        self._work = Workload(stack, setting.seed, setting.patience)
        self._left: list[str] = []

    def outcome(self) -> Outcome:
        work, fault = self._work, self._scenario.fault
        work.fill()
        work.start()
        self._pass(_WARM)
        began = work.now()
        self._leaf.begin(fault)
        self._pass(self._length())
        self._leaf.heal()
        healed = work.now()
        work.stop_writing()
        converged, by_hand = self._converge(healed)
        self._pass(max(0.0, _AFTER - (work.now() - healed)))
        work.stop(self._setting.patience + 5.0)
        lost, resurrected, why = self._final()
        told = self._told(began, healed, converged, lost, resurrected, why)
        return replace(told, by_hand=by_hand)

    def end(self, *, clean: bool) -> None:
        """Let nobody wait for an answer any more, and leave nothing behind."""
        self._leaf.heal()
        self._work.stop(self._setting.patience + 5.0)
        if clean:
            keys: Sequence[Key] = [record.key for record in self._work.records]
            self._left = self._stage.clean(self._stack, keys)

    def _length(self) -> float:
        """Return how long the fault lasts: long enough for all that it costs."""
        if self._scenario.fault != "black-hole":
            return _LONG if self._scenario.fault == "slow" else _SHORT
        limit = self._setting.patience + 1.0
        known = [
            one.seconds for one in walk(self._stack) if isinstance(one, TimeoutStore)
        ]
        if self._leaf.patience is not None:
            known.append(self._leaf.patience)
        return min(limit, max(_SHORT, 2.5 * max(known, default=limit)))

    def _pass(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and not self._setting.ended():
            time.sleep(min(_STEP, max(0.0, ends - time.monotonic())))

    def _converge(self, healed: float) -> tuple[float | None, bool]:
        """
        Return the seconds from *healed* until nothing is pending, and whether by hand.

        Copies that a cache has yet to drop are pending, and it drops them by itself.  A
        repair in the background makes its passes at once, with all its limits; that
        it may have looked just before the end of the fault is added.
        """
        mirrors = list(stores_with(self._stack, "repair"))
        caches = [one for one in walk(self._stack) if isinstance(one, CachedStore)]
        waits = max((wait for mirror in mirrors if (wait := _wait(mirror))), default=0)
        by_hand = False
        while True:
            pending = sum(
                cache.owed(record.key) is not None
                for cache in caches
                for record in self._work.records
            )
            for mirror in mirrors:
                try:
                    if mirror.status().rows:
                        by_hand = _repaired(mirror) or by_hand
                        pending += mirror.status().rows
                except StoreError:
                    pending += 1
            passed = self._work.now() - healed
            if not pending:
                return passed + waits, by_hand
            if passed > _CONVERGED_WITHIN or self._setting.ended():
                return None, by_hand
            time.sleep(_STEP)

    def _final(self) -> tuple[int, int, str]:
        """Return what is lost, and what has returned, for a process that starts now."""
        lost = resurrected = 0
        why = ""
        with self._stage.built() as fresh:
            for record in self._work.records:
                content, error = content_of(fresh, record)
                verdict = "absent" if error else verdict_of(record, content)
                if error and record.possible == {None}:
                    verdict = "right"
                if verdict == "right":
                    continue
                back = record.certain and record.acknowledged is None
                resurrected += back
                lost += not back
                why = why or error or f"{record.key} is {verdict}"
        return lost, resurrected, why

    def _diverged(self) -> int:
        """Return how many objects differ between the replicas of a mirror."""
        found = 0
        for store in stores_with(self._stack, "repair"):
            if not isinstance(store, ReplicatedStore) or store.reproducible is not None:
                continue
            for record in self._work.records:
                held = [
                    content_of(bare(one), record) for one in store.replicas.values()
                ]
                known = {content for content, error in held if not error}
                found += len(known) > 1
        return found

    def _told(
        self,
        began: float,
        healed: float,
        converged: float | None,
        lost: int,
        resurrected: int,
        why: str,
    ) -> Outcome:
        seen = seen_of(self._work.calls, began, healed)
        return Outcome(
            place=self._scenario.place,
            fault=self._scenario.fault,
            **{**asdict(seen), "first_error": seen.first_error or why},
            lost=lost,
            resurrected=resurrected,
            diverged=self._diverged(),
            converged=converged,
            began=began,
            healed=healed,
            calls=tuple(sorted(self._work.calls, key=lambda call: call.at)),
        )


def _wait(mirror: Any) -> float:
    """Return the seconds until its repair in the background looks again, at most."""
    policy: RepairPolicy | None = mirror.repair_policy
    return 0.0 if policy is None else 1.5 * policy.every


def _repaired(mirror: Any) -> bool:
    """Let *mirror* repair as it does by itself; if it does not, do, and say so."""
    policy: RepairPolicy | None = mirror.repair_policy
    if policy is not None:
        mirror.repair_in_background(policy, threading.Event())
    elif not (isinstance(mirror, FallbackStore) and mirror.repairs_itself):
        mirror.repair()
        return True
    return False
