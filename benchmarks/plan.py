"""
What is measured, how often, and how long that takes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """
    What is measured together.

    Attributes:
        title: What of.
        rounds: How often each candidate of its rows: more where rounds differ more.
        seconds: What that takes on two quiet processors, to tell what remains.
    """

    title: str
    rounds: int
    seconds: float


GROUPS = {
    "memory": Group("Hits in memory", 9, 20),
    "redis": Group("Hits in Redis", 9, 25),
    "fill": Group("Fills of Redis", 9, 10),
    "invalidation": Group("Invalidation in other processes", 5, 20),
    "directory": Group("Files", 7, 25),
    "s3": Group("S3", 7, 35),
    "mirror": Group("Mirrored writes", 5, 45),
    "hits": Group("What is found in memory", 3, 45),
    "cold": Group("Cold keys", 1, 25),
    "outage": Group("Redis gone, or silent", 3, 40),
    "regions": Group("Regions slow, or gone", 7, 60),
    "limits": Group("Bounds", 1, 40),
    "startup": Group("Start-up", 5, 30),
    "stack": Group("The production stack", 7, 30),
    "fleet": Group("What a fleet costs", 1, 20),
    "threads": Group("Many threads", 5, 35),
    "keys": Group("With more objects", 3, 60),
    "growth": Group("As work grows", 3, 60),
}
QUICK_ROUNDS = 3


def rounds_of(name: str, *, quick: bool, asked: int | None) -> int:
    """Return how often the candidates of group *name* are measured."""
    return asked or (QUICK_ROUNDS if quick else GROUPS[name].rounds)
