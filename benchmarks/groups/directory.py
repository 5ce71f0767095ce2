"""
Hits in a directory.
"""

from __future__ import annotations

import os

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.results import OURS, Goal, Row
from benchmarks.sampling import Sample, timed
from benchmarks.stacks import SIZES, content_of, filled, key_of, name_of
from tiered_store import FileSystemStore
from tiered_store.body import Body
from tiered_store.tiers.store import StoreTier
from tiered_store.units import MIB


_FLOOR = "os.open + read"
_NAME = name_of(0)
_READ = "with get(*name) as file: file.read()"
_OPEN = "with get(*name): pass"


def rows(bench: Bench) -> Iterator[Row]:
    """Measure a store of files, then a cache before which it is the nearest tier."""
    content = content_of(SIZES["100 KB"])
    large = bytes(64 * MIB)
    yield bench.compare(
        "file of 100 KB, opened and read",
        {
            _FLOOR: lambda bench: _read(bench, content),
            OURS: lambda bench: _store(bench, content, _READ),
            "open() + read()": lambda bench: _opened(bench, content, _READ),
            "minimalkv open": lambda bench: _minimalkv(bench, content, _READ),
        },
        floor=_FLOOR,
        goal=Goal(kind="ratio", limit=1.7, broken=6),
        note="in the page cache",
    )
    yield bench.compare(
        "file of 64 MiB, opened and closed",
        {
            "os.open": lambda bench: _open(bench, large),
            OURS: lambda bench: _store(bench, large, _OPEN),
            "open()": lambda bench: _opened(bench, large, _OPEN),
            "minimalkv open": lambda bench: _minimalkv(bench, large, _OPEN),
        },
        floor="os.open",
        goal=Goal(kind="value", limit=6e-6),
    )
    yield bench.compare(
        "directory tier hit, 100 KB, read",
        {
            "fsspec simplecache": lambda bench: _fsspec(bench, content, _READ),
            OURS: lambda bench: _tier(bench, content, _READ),
            _FLOOR: lambda bench: _read(bench, content),
            "diskcache get": lambda bench: _diskcache(bench, content),
        },
        floor="fsspec simplecache",
        goal=Goal(kind="ratio", limit=0.5, broken=2),
        note="in the page cache; only ours checks what it read",
    )
    yield bench.compare(
        "directory tier hit, 64 MiB, opened and closed",
        {
            "fsspec simplecache": lambda bench: _fsspec(bench, large, _OPEN),
            OURS: lambda bench: _tier(bench, large, _OPEN),
        },
        floor="fsspec simplecache",
    )


def _written(bench: Bench, content: bytes) -> Path:
    path = bench.place("floor") / _NAME
    path.write_bytes(content)
    return path


def _read(bench: Bench, content: bytes) -> Sample:
    statement = "one = open(path, 0); read(one, size); close(one)"
    path, size = str(_written(bench, content)), len(content) + 1
    names = {"open": os.open, "read": os.read, "close": os.close}
    return timed(statement, bench.seconds, path=path, size=size, **names)


def _opened(bench: Bench, content: bytes, statement: str) -> Sample:
    path = str(_written(bench, content))
    return _timed(bench, statement, open, path, "rb")


def _open(bench: Bench, content: bytes) -> Sample:
    path = str(_written(bench, content))
    names = {"open": os.open, "close": os.close, "path": path}
    return timed("close(open(path, 0))", bench.seconds, **names)


def _tier(bench: Bench, content: bytes, statement: str) -> Sample:
    files = FileSystemStore(str(bench.place("tier")))
    tier = StoreTier(files, max_object=2 * len(content))
    store = bench.keep(filled([content], tier))
    return _timed(bench, statement, store.get_file, *key_of(0))


def _store(bench: Bench, content: bytes, statement: str) -> Sample:
    store = bench.keep(FileSystemStore(str(bench.place("store"))))
    store.put(key_of(0), Body.of(content))
    return _timed(bench, statement, store.get_file, *key_of(0))


def _minimalkv(bench: Bench, content: bytes, statement: str) -> Sample:
    from minimalkv.cache import CacheDecorator
    from minimalkv.fs import FilesystemStore
    from minimalkv.memory import DictStore

    files = FilesystemStore(str(bench.place("minimalkv")))
    files.put(_NAME, content)
    cache = CacheDecorator(files, DictStore())
    return _timed(bench, statement, cache.open, _NAME)


def _diskcache(bench: Bench, content: bytes) -> Sample:
    import diskcache

    cache = bench.keep(diskcache.Cache(str(bench.place("diskcache"))))
    cache.set(_NAME, content)
    return timed(lambda: cache.get(_NAME), bench.seconds)


def _fsspec(bench: Bench, content: bytes, statement: str) -> Sample:
    import fsspec

    files = fsspec.filesystem(
        "simplecache",
        target_protocol="file",
        cache_storage=str(bench.place("simplecache")),
    )
    path = str(_written(bench, content))
    return _timed(bench, statement, files.open, path)


def _timed(bench: Bench, statement: str, get: Any, *name: Any) -> Sample:
    return timed(statement, bench.seconds, get=get, name=name)
