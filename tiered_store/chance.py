"""
Chance that is the library's own, so that waits of a fleet differ whoever seeds what.

A program that calls ``random.seed(1)`` in each of its processes would otherwise make
all of them wait, refresh and try again at the same moments; and threads of ours would
take from the numbers it counts on.
"""

from __future__ import annotations

import os
import random


CHANCE = random.Random()

os.register_at_fork(after_in_child=CHANCE.seed)
