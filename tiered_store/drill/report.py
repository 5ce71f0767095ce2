"""
What a drill found, and whether that is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tiered_store.drill.workload import Call
from tiered_store.units import parse_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """
    What users saw of one fault, from its beginning to after the recovery.

    Attributes:
        place: The leaf, by its path.
        reads_failed: Those that did not give the right answer, in time.
        wrong: Reads of bytes that nobody ever stored.
        stale: Reads of bytes that had been replaced or deleted.
        untrue: Reads that said "not there" of what was there.
        unsure: Reads of what was not there that said nobody knows; no failures.
        lost: Acknowledged objects that a process cannot read afterwards.
        resurrected: Deleted objects that it can.
        diverged: Objects that differ between replicas at the end.
        paid: Calls that took a tenth of a second, and ten times the usual.
        slowest: Seconds of the slowest call.
        failover: Seconds until no call failed any more, and for 0.3 s none paid
            either; None if that never came while it lasted.
        converged: Seconds from the end of the fault until nothing was pending, the time
            until the stack's own repair looks again included; None if something still
            was.
        by_hand: Nothing in the stack repairs by itself, so the drill did, as
            ``tiered-store repair`` does.
        first_error: What went wrong first, in words.
        began: Of the fault, in seconds since the workload began; *healed* its end.
        calls: All of them, for a plot.
    """

    place: str
    fault: str
    reads: int
    reads_failed: int
    writes: int
    writes_failed: int
    wrong: int
    stale: int
    untrue: int
    unsure: int
    lost: int
    resurrected: int
    diverged: int
    paid: int
    slowest: float
    failover: float | None
    converged: float | None
    first_error: str
    began: float
    healed: float
    calls: Sequence[Call] = ()
    by_hand: bool = False

    @property
    def reads_right(self) -> float:
        """The share of reads that were right."""
        return 1.0 - self.reads_failed / self.reads if self.reads else 1.0

    @property
    def writes_right(self) -> float:
        """The share of writes that were acknowledged."""
        return 1.0 - self.writes_failed / self.writes if self.writes else 1.0

    def plain(self) -> dict[str, Any]:
        """Return it for JSON, without the calls."""
        found = asdict(self)
        del found["calls"], found["began"], found["healed"]
        return {
            **found,
            "reads_right": self.reads_right,
            "writes_right": self.writes_right,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """
    A whole drill.

    Attributes:
        failures: In words, what was required and did not hold.
        seconds: How long it took.
    """

    config: str
    seed: int
    live: bool
    outcomes: Sequence[Outcome]
    failures: Sequence[str]
    seconds: float

    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "config": self.config,
            "seed": self.seed,
            "live": self.live,
            "seconds": round(self.seconds, 2),
            "passed": not self.failures,
            "failures": list(self.failures),
            "outcomes": [outcome.plain() for outcome in self.outcomes],
        }


@dataclass(frozen=True, slots=True)
class Requirement:
    """
    What must hold in every scenario: ``reads=100%``, ``lost=0``, ``failover=3s``.

    Attributes:
        limit: A share that must be reached, or a count or seconds not to be exceeded.
    """

    name: str
    limit: float
    text: str

    def missed(self, outcome: Outcome) -> str | None:
        """Return how *outcome* fails it, in words, or None if it does not."""
        if self.name in _SHARES:
            total, failed = _SHARES[self.name](outcome)
            share = 1.0 - failed / total if total else 1.0
            if share >= self.limit:
                return None
            return f"{failed} of {total} {self.name} failed"
        if self.name in _SECONDS:
            seconds = _SECONDS[self.name](outcome)
            if seconds is not None and seconds <= self.limit:
                return None
            took = "never" if seconds is None else f"{seconds:.2f} s"
            return f"{self.name}: {took}"
        count = _COUNTS[self.name](outcome)
        return None if count <= self.limit else f"{self.name}: {count}"


def requirement(text: str) -> Requirement:
    """
    Return what *text* requires.

    Raises:
        ValueError: It says nothing that a drill measures.
    """
    name, sign, value = (part.strip() for part in text.partition("="))
    known = (*_SHARES, *_COUNTS, *_SECONDS)
    if not sign or name not in known:
        raise ValueError(f"{text!r} is none of {', '.join(known)}, as in reads=100%")
    try:
        if name in _SHARES:
            if not value.endswith("%") or not 0 <= float(value[:-1]) <= 100:
                raise ValueError
            return Requirement(name, float(value[:-1]) / 100, text)
        if name in _SECONDS:
            return Requirement(name, parse_duration(value), text)
        if int(value) < 0:
            raise ValueError
        return Requirement(name, float(int(value)), text)
    except ValueError:
        kind = "a share, as in 99.9%" if name in _SHARES else "a number"
        kind = "a duration, as in 2s" if name in _SECONDS else kind
        raise ValueError(f"{text!r}: {name} needs {kind}") from None


_SHARES: Mapping[str, Callable[[Outcome], tuple[int, int]]] = {
    "reads": lambda outcome: (outcome.reads, outcome.reads_failed),
    "writes": lambda outcome: (outcome.writes, outcome.writes_failed),
}
_COUNTS: Mapping[str, Callable[[Outcome], int]] = {
    "wrong": lambda outcome: outcome.wrong,
    "stale": lambda outcome: outcome.stale,
    "untrue": lambda outcome: outcome.untrue,
    "lost": lambda outcome: outcome.lost,
    "resurrected": lambda outcome: outcome.resurrected,
    "diverged": lambda outcome: outcome.diverged,
    "paid": lambda outcome: outcome.paid,
}
_SECONDS: Mapping[str, Callable[[Outcome], float | None]] = {
    "slowest": lambda outcome: outcome.slowest,
    "failover": lambda outcome: outcome.failover,
    "converge": lambda outcome: outcome.converged,
}


def failures(
    outcomes: Sequence[Outcome], requirements: Sequence[Requirement]
) -> Iterator[str]:
    """Yield each requirement that an outcome misses, with the reason in words."""
    for outcome in outcomes:
        for wanted in requirements:
            missed = wanted.missed(outcome)
            if missed is not None:
                where = f"{outcome.place} {outcome.fault}"
                reason = reason_of(outcome, wanted.name)
                yield f"{where}: {missed}, and {wanted.text} is required; {reason}"


def reason_of(outcome: Outcome, name: str) -> str:
    """Return what to look at, if *name* is not as good as it should be."""
    advice = _ADVICE.get((outcome.fault, name)) or _ADVICE.get(("", name), "")
    error = f"first: {outcome.first_error}" if outcome.first_error else ""
    return "; ".join(part for part in (error, advice) if part)


_MIRROR = "nothing else has what this place has: put it into a replicated store"
_TIMEOUT = "give it a timeout, and something to go on to"
_ADVICE: Mapping[tuple[str, str], str] = {
    ("down", "reads"): _MIRROR,
    ("down", "writes"): "nothing else takes its writes: replicated with a journal does",
    ("black-hole", "reads"): _TIMEOUT,
    ("black-hole", "writes"): _TIMEOUT,
    ("black-hole", "slowest"): "no timeout bounds it; give it one",
    ("slow", "slowest"): "a breaker passes over a slow place after 20 calls",
    ("slow", "failover"): "a mirror's puts wait for a slow place, unless ack: quorum",
    ("erroring", "reads"): "retry, or something to go on to, answers instead",
    ("erroring", "writes"): "retry, or replicated with a journal, takes them",
    ("losing", "lost"): _MIRROR,
    ("corrupting", "wrong"): "nothing checks its bytes: type: verified does",
    ("corrupting", "reads"): "what is damaged is told, and nothing else was asked",
    ("", "lost"): _MIRROR,
    ("", "resurrected"): "a journal remembers deletes that a place has missed",
    ("", "diverged"): "no journal knows what to repair",
    ("", "converge"): "something is still pending: see tiered-store status",
}
