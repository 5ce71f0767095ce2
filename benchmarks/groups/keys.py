"""
What an operation costs with more objects than it is about.
"""

from __future__ import annotations

import itertools

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.bench import Bench
from benchmarks.results import Row
from benchmarks.sampling import Sample, calibrated, timed
from benchmarks.stacks import content_of, entry_of, key_of
from benchmarks.steady import spent
from tiered_store import (
    CachedStore,
    FileSystemStore,
    MemoryStore,
    MemoryTier,
    SQLiteJournal,
)
from tiered_store.body import Body
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.units import GIB


_NUMBERS = (10, 1000, 100_000)
_SMALL = content_of(1000)
_ASKED = 10  # objects, spread over all of them


def rows(bench: Bench) -> Iterator[Row]:
    """Measure each against the least of it."""
    numbers = _NUMBERS[:-1] if bench.quick else _NUMBERS
    of: Callable[[Bench, int], Sample]
    for name, of in (
        ("memory hit", _hit),
        ("memory tier, a copy for which another goes", _put_anew),
        ("file of 1 KB, opened and read", _file),
        ("file in a listing", _listed),
        ("journal mark, by rows of others", _mark),
    ):
        candidates = {
            f"{number:,}": lambda bench, of=of, number=number: of(bench, number)
            for number in numbers
        }
        values, failed = bench.measure(candidates)
        least, *_, most = candidates
        yield bench.row(name, values, floor=least, own=most, failed=failed)


def _hit(bench: Bench, number: int) -> Sample:
    origin = MemoryStore(capacity=GIB)
    store = bench.keep(CachedStore(origin, [MemoryTier(capacity=GIB)]))
    for index in range(number):
        origin.put(key_of(index), Body.of(b"x"))
        store.get(key_of(index)).read()
    return _asked(bench, "get_file(*key)", number, get_file=store.get_file)


def _put_anew(bench: Bench, number: int) -> Sample:
    size = 2 * len(_SMALL)
    tier = MemoryTier(capacity=number * size, max_object=size)
    keys = [key_of(index) for index in range(2 * number)]
    copy = entry_of(_SMALL)
    for key in keys:
        tier.put(key, copy)
    turns = itertools.cycle(keys)

    def run(times: int) -> float:
        began = spent()
        for key in itertools.islice(turns, times):
            tier.put(key, copy)
        return spent() - began

    return calibrated(run, bench.seconds)


def _file(bench: Bench, number: int) -> Sample:
    store = _files(bench, number)
    read = "with get_file(*key) as file: file.read()"
    return _asked(bench, read, number, get_file=store.get_file)


def _listed(bench: Bench, number: int) -> Sample:
    store = _files(bench, number)

    def sample() -> float:
        began = spent()
        assert sum(1 for _ in store.keys()) == number
        return (spent() - began) / number

    return sample


def _mark(bench: Bench, number: int) -> Sample:
    journal = SQLiteJournal(str(bench.place("journal") / "journal.sqlite"))
    bench.finally_(journal.close)
    for index in range(number):
        journal.begin(key_of(index), {"eu": "put"})
    turns = itertools.cycle([key_of(number + index) for index in range(_ASKED)])

    def run(times: int) -> float:
        took = 0.0
        for key in itertools.islice(turns, times):
            began = spent()
            mark = journal.begin(key, {"us": "put", "eu": "put"})
            took += spent() - began
            journal.settle(mark, {"us": None, "eu": None})
        return took

    return calibrated(run, bench.seconds)


def _files(bench: Bench, number: int) -> Store:
    """Return a directory of so many objects, written once for all rows and rounds."""
    place = bench.folder / f"files-{number}"
    store = bench.keep(FileSystemStore(str(place), create=True))
    if not place.exists():
        for index in range(number):
            store.put(key_of(index), Body.of(_SMALL))
    return store


def _asked(bench: Bench, statement: str, number: int, **names: Any) -> Sample:
    """Time *statement* for some keys, one after the other."""
    keys: list[Key] = [
        key_of(index) for index in range(0, number, max(1, number // _ASKED))
    ]
    each = f"for key in keys:\n {statement}"
    return timed(each, bench.seconds, len(keys), keys=keys, **names)
