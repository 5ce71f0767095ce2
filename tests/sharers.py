"""
Put, get and drop copies in a directory that other processes use as well.

.. code-block:: text

   python -m tests.sharers FOLDER --seed 7 --turns 1500

Every byte that is read is compared with what was put under that identity.  Prints
what happened as JSON; several of these at once are the test.
"""

from __future__ import annotations

import argparse
import json
import random

from collections import Counter

from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.body import Body
from tiered_store.key import Key
from tiered_store.tiers import copies
from tiered_store.tiers.store import StoreTier
from tiered_store.tiers.tier import Entry, Record, new_identity


CAPACITY = 2_000_000
LARGEST = 600_000
KEYS = [Key("testing", number, 1, 1, "image/png") for number in range(60)]


def made_of(key: Key, identity: int, size: int) -> bytes:
    """Return the only bytes that are right."""
    return random.Random(f"{key}/{identity}").randbytes(size)


def new_entry(key: Key, chance: random.Random) -> Entry:
    """Return what nobody has put yet; one in ten is an absence."""
    if chance.random() < 0.1:
        return Entry(Record(since=0.0, size=None), None)
    size = int(LARGEST * chance.random() ** 4)
    identity = new_identity()
    content = made_of(key, identity, size)
    return Entry(Record(since=0.0, size=size, identity=identity), Body.of(content))


def check(key: Key, entry: Entry) -> None:
    """Compare what was read with what was put."""
    if entry.record.absent:
        assert entry.body is None
        return
    assert entry.body is not None
    assert entry.record.size == entry.body.size
    content = made_of(key, entry.record.identity, entry.body.size)
    assert entry.body.read() == content, f"wrong bytes of {key}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--turns", type=int, default=1_500)
    options = parser.parse_args()
    copies.WHOLE = 100_000  # so that most bytes are checked while they are read
    chance, seen = random.Random(options.seed), Counter[str]()
    store = FileSystemStore(options.folder, create=True)
    tier = StoreTier(store, capacity=CAPACITY, max_object=LARGEST, breaker=None)
    print("ready", flush=True)  # noqa: T201 - whoever started it waits for it
    for _ in range(options.turns):
        key = chance.choice(KEYS)
        fate = chance.random()
        if fate < 0.05:
            tier.delete(key)
        elif fate < 0.5:
            seen["kept"] += tier.put(key, new_entry(key, chance))
        elif (entry := tier.get(key)) is None:
            seen["misses"] += 1
        else:
            check(key, entry)
            seen["hits"] += 1
    assert tier._bound is not None
    assert tier._bound.settle(30)
    print(json.dumps(seen))  # noqa: T201


if __name__ == "__main__":
    main()
