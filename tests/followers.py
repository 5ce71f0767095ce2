"""
A process that reads what it is told to through a cache which it shares with others.

.. code-block:: text

   python -m tests.followers '{"folder": ..., "redis": ..., "s3": {...}}'

Reads one line a command: ``get ID``, or ``sip ID`` for a reader that stops after its
first bytes until another line comes.  Says ``began ID`` once it has these, and
``ended ID DIGEST`` once it has them all.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys

from typing import Any

from tests.waiting import PATIENT, until
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.s3 import S3Store
from tiered_store.errors import NotFoundError
from tiered_store.key import Key
from tiered_store.tiers.memory import MemoryTier
from tiered_store.tiers.redis import RedisTier
from tiered_store.tiers.store import StoreTier
from tiered_store.units import KIB
from tiered_store.wrappers.cached import CachedStore


def key_of(number: int) -> Key:
    """Return the key of object *number*."""
    return Key("testing", number, 2, 3, "image/png")


def say(line: str) -> None:
    """Tell whoever started this process."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def read(store: CachedStore, what: str, number: int) -> None:
    """Read object *number* as *what* says."""
    with store.get_file(*key_of(number)) as file:
        digest = hashlib.sha256(file.read(256 * KIB))
        say(f"began {number}")
        if what == "sip":
            sys.stdin.readline()
        for piece in iter(functools.partial(file.read, 256 * KIB), b""):
            digest.update(piece)
    say(f"ended {number} {digest.hexdigest()}")


def main(options: dict[str, Any]) -> None:
    """Do what is asked for until nobody asks any more."""
    shared = RedisTier(
        options["redis"], prefix=options["prefix"], connections=8, **PATIENT
    )
    tiers: list[Any] = [MemoryTier(), shared]
    if "folder" in options:
        tiers.append(StoreTier(FileSystemStore(options["folder"], create=True)))
    store = CachedStore(
        S3Store(**options["s3"]), tiers, fill_lease=options["fill_lease"]
    )
    try:
        store.get_file(*key_of(0)).close()
    except NotFoundError:
        until(lambda: shared.online)
    say("ready")
    for line in iter(sys.stdin.readline, ""):
        what, number = line.split()
        read(store, what, int(number))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
