"""
Who a journal is, and since when it remembers.

A name is of the layout of a UUID of version 7 (RFC 9562): it begins with the time, so
that no journal needs a place for that.
"""

from __future__ import annotations

import hashlib
import secrets
import time


def fresh() -> str:
    """Return a name for a journal that begins now."""
    noise = secrets.randbits(74)
    high, low = noise >> 62, noise & ((1 << 62) - 1)
    return f"{int(time.time() * 1000):012x}7{high:03x}{(0b10 << 62) | low:016x}"


def born(name: str) -> float | None:
    """
    Return when the journal *name* began, in seconds since the epoch.

    None if its name does not tell: journals used to have others.
    """
    if len(name) != 32 or name[12] != "7":
        return None
    return int(name[:12], 16) / 1000


def number_of(name: str) -> int:
    """Return a number of 64 bits that stands for *name*."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
