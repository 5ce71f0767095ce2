"""Whoever seeds what: the library neither takes part nor disturbs."""

from __future__ import annotations

import os
import random

from tiered_store.chance import CHANCE


def test_a_seeded_program_does_not_make_a_fleet_wait_alike() -> None:
    """Each of its processes begins with ``random.seed(1)``; their jitter differs."""
    random.seed(1)
    one = [CHANCE.random() for _ in range(4)]
    random.seed(1)

    assert one != [CHANCE.random() for _ in range(4)]


def test_what_a_program_draws_is_not_disturbed() -> None:
    """Nor do threads of ours take from the numbers that it counts on."""
    random.seed(1)
    expected = random.random()
    random.seed(1)
    CHANCE.random()

    assert random.random() == expected


def test_children_differ() -> None:
    """A preloading server's workers do not all do a thing at the same moment."""
    drawn = {_drawn_in_a_child() for _ in range(3)}

    assert len(drawn | {CHANCE.random().hex().encode()}) == 4


def _drawn_in_a_child() -> bytes:
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        os.write(writes, CHANCE.random().hex().encode())
        os._exit(0)
    os.close(writes)
    with open(reads, "rb") as file:
        drawn = file.read()
    os.waitpid(child, 0)
    return drawn
