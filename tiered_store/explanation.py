"""
What every place in a stack knows of one object, all of them asked at once.
"""

from __future__ import annotations

import math

from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial

from tiered_store.deadlines import deadline, remaining
from tiered_store.errors import StoreError, UnavailableError
from tiered_store.findings import Answer, Explanation, Finding
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.workers import Workers


_THREADS = 32


def explain(root: Store, key: Key, *, seconds: float = math.inf) -> Explanation:
    """
    Return what every place in *root* knows of *key*; nothing is changed.

    Each is asked directly, also one that a breaker keeps readers from, and one that
    fails says so.  Only what is a copy of the stack's own, or somebody's word that
    there is none, is an answer.

    Args:
        seconds: After which a place that has not answered has failed.
    """
    workers = Workers("explain", _THREADS)
    try:
        with deadline(seconds):
            top = _Stage(root, key)
            top.begin(workers, {})
            told: dict[str, Finding] = {}
            answer = top.told(told, doubted=False)
    finally:
        workers.close()
    return Explanation(key, answer or "unknown", list(told.values()))


@dataclass(slots=True)
class _Stage:
    """A store on the way down, and what the object is called there."""

    store: Store
    key: Key
    below: list[_Stage] = field(default_factory=list)
    asked: Future[list[Finding]] | None = None

    def begin(self, workers: Workers, seen: dict[tuple[int, Key], _Stage]) -> None:
        """Ask this store and those below, and wait for nobody."""
        seen[id(self.store), self.key] = self
        self.asked = workers.start(partial(_findings, self.store, self.key))
        for store, key in self.store.underneath(self.key):
            stage = seen.get((id(store), key))
            if stage is None:
                stage = _Stage(store, key)
                stage.begin(workers, seen)
            self.below.append(stage)

    def told(self, told: dict[str, Finding], *, doubted: bool) -> Answer | None:
        """
        Wait for what was asked, add it to *told*, and return the answer.

        None if this store does not count, as somebody above has said of it.

        Args:
            doubted: Somebody above has said that it does not count.
        """
        place = str(self.store)
        found = self._found(place)
        for finding in found:
            known = told.get(finding.place)
            if known is not None:
                finding = known.joined(finding)
            elif doubted and finding.state == "held":
                finding = replace(finding, state="unbelieved")
            told[finding.place] = finding
        state = told[place].state if place in told else None
        gone = state == "absent" and bool(self.below)
        behind = state == "behind"
        doubted = doubted or gone or behind
        answers = [stage.told(told, doubted=doubted) for stage in self.below]
        if behind:
            return None
        if state == "absent":
            return "absent"
        if "held" in answers or any(one.state == "held" for one in found):
            return "held"
        counted = {answer for answer in answers if answer is not None}
        return "absent" if counted == {"absent"} else "unknown"

    def _found(self, place: str) -> list[Finding]:
        assert self.asked is not None
        try:
            return self.asked.result(remaining())
        except TimeoutError:
            return [Finding.of(place, UnavailableError("no answer in time"))]


def _findings(store: Store, key: Key) -> list[Finding]:
    try:
        return list(store.findings(key))
    except StoreError as error:
        return [Finding.of(str(store), error)]
