"""
What a read may return, by the order in which the origin took the writes.

Processes say what they did in lines of five words: what (``read``, ``last``, ``began``,
``wrote``, ``failed``), of which object, when it began and ended, and a fifth: of a read
the write whose bytes it returned, a dash for absence; of a write its version.
"""

from __future__ import annotations

import itertools
import math
import time

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


LATE = 0.8  # seconds that no news takes
Lines = list[list[str]]


@dataclass(frozen=True)
class Write:
    """
    A write that took effect.

    Attributes:
        token: What reads of it return; a dash for a delete.
        at: When it took effect; times are those of the monotonic clock.
        acknowledged: When whoever wrote was told so; never, if it died before.
    """

    version: int
    token: str
    at: float
    acknowledged: float = math.inf


class History:
    """The writes of one object."""

    def __init__(self, writes: Iterable[Write]) -> None:
        never = Write(0, "-", -math.inf)
        self.writes = [never, *sorted(writes, key=lambda write: write.version)]
        self._places = {write.token: at for at, write in enumerate(self.writes)}
        acknowledged = [write.acknowledged for write in reversed(self.writes)]
        # from each write on, when the first of them was acknowledged
        self._known = list(itertools.accumulate(acknowledged, min))[::-1]

    @property
    def current(self) -> str:
        """Return what is to be read when nobody writes any more."""
        return self.writes[-1].token

    def replaced(self, token: str, begun: float, ended: float) -> float:
        """Return for how long *token* had not been what the origin has, at *begun*."""
        later = self._place(token, ended) + 1
        if later == len(self.writes):
            return 0.0
        return max(0.0, begun - self.writes[later].at)

    def stale(self, token: str, begun: float, ended: float) -> float:
        """Return for how long somebody had been told of a later one, at *begun*."""
        later = self._place(token, ended) + 1
        if later == len(self.writes):
            return 0.0
        return max(0.0, begun - self._known[later])

    def _place(self, token: str, ended: float) -> int:
        """Return which write was read; of several deletes, the last that can be."""
        if token != "-":
            return self._places[token]
        return max(
            at
            for at, write in enumerate(self.writes)
            if write.token == "-" and write.at <= ended
        )


class Doubts:
    """
    When an object is in doubt: its claim was evicted, and who held it is dead.

    The next write that is acknowledged ends it.
    """

    def __init__(self, lines: Lines, claims: Iterable[tuple[float, int]]) -> None:
        ended = {(line[1], line[2]) for line in lines if line[0] in ("wrote", "failed")}
        wrote = [line for line in lines if line[0] == "wrote"]
        self._spans: list[tuple[int, float, float]] = []
        for _, key, begun, *_ in (line for line in lines if line[0] == "began"):
            if (key, begun) in ended:
                continue
            for when, index in claims:
                if index == int(key) and when > float(begun):
                    later = (
                        float(line[3])
                        for line in wrote
                        if line[1] == key and float(line[2]) > when
                    )
                    self._spans.append((index, when, min(later, default=math.inf)))

    def covers(self, index: int, when: float) -> bool:
        """Say whether object *index* was in doubt at *when*."""
        return any(
            index == one and since < when < until for one, since, until in self._spans
        )


def judge(
    lines: Lines, order: Lines, claims: Iterable[tuple[float, int]]
) -> dict[str, Any]:
    """
    Hold what was read against what the origin took.

    Args:
        order: Of each write its version, object, token and time of day.
        claims: When which object's was evicted.
    """
    histories = histories_of(lines, order)
    found: dict[str, list[Any]] = {name: [] for name in ("stale", "late", "wrong")}
    excused: dict[str, list[Any]] = {"late": [], "wrong": []}
    doubts = Doubts(lines, list(claims))
    for kind, key, begun, ended, token in lines:
        if kind not in ("read", "last"):
            continue
        index, history, read = int(key), histories[int(key)], float(begun)
        facts = token, read, float(ended)
        fitting = excused if doubts.covers(index, read) else found
        if kind == "last" and token != history.current:
            fitting["wrong"].append((index, token))
        if kind == "read" and (seconds := history.stale(*facts)):
            found["stale"].append(seconds)
        if kind == "read" and (seconds := history.replaced(*facts)) > LATE:
            fitting["late"].append((index, token, round(seconds, 3)))
    counts = Counter(line[0] for line in lines)
    return {
        **{name: counts[name] for name in ("read", "wrote", "failed", "last")},
        "stale": len(found["stale"]),
        "worst_stale_ms": round(1000 * max(found["stale"], default=0.0), 1),
        "late": found["late"],
        "wrong": found["wrong"],
        **{f"{name}_by_double_fault": cases for name, cases in excused.items()},
    }


def histories_of(lines: Lines, order: Lines) -> dict[int, History]:
    """Return the history of each object, by its number."""
    clock = time.time() - time.monotonic()  # one machine, so they agree
    acknowledged = {
        int(line[4]): float(line[3]) for line in lines if line[0] == "wrote"
    }
    writes: dict[int, list[Write]] = defaultdict(list)
    for version, key, token, at in order:
        told = acknowledged.get(int(version), math.inf)
        writes[int(key)].append(Write(int(version), token, float(at) - clock, told))
    return defaultdict(
        lambda: History([]), {key: History(found) for key, found in writes.items()}
    )
