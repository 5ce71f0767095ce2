"""
What the layers of ``config/production.yaml`` add to the stores they stand on.
"""

from __future__ import annotations

import time

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.bench import Bench
from benchmarks.results import OURS, Goal, Row
from benchmarks.sampling import Sample, timed
from benchmarks.server import url_of
from benchmarks.stacks import SIZES, content_of, key_of
from tests.servers.s3 import S3Server, start_s3
from tiered_store import CachedStore, MemoryStore, build, observe
from tiered_store.body import Body
from tiered_store.store import Store
from tiered_store.tree import walk


_CONFIGURATION = Path(__file__).parents[2] / "config" / "production.yaml"
_ALONE = "the store alone"
_ADDED = Goal(kind="extra", limit=20e-6)
_READ = "with get_file(*key): pass"
_OBJECTS = 40  # of S3, each fetched for the first time
_SMALL = content_of(1000)

_Timed = Callable[[Bench, Store], Sample]


def rows(bench: Bench) -> Iterator[Row]:
    """Measure the stack above stores that cost nothing, then above S3."""
    yield _added(bench, "production stack without its cache, get", (), _again)
    yield _added(bench, "production stack, hit in memory", ("memory",), _again)
    # to keep a copy is the work of a cache, and no layer's that passes a call on
    yield _added(
        bench, "production stack, miss in memory, filled", ("memory",), _anew, goal=None
    )
    yield from _above_s3(bench)


def _added(
    bench: Bench,
    name: str,
    tiers: Sequence[str],
    of: _Timed,
    goal: Goal | None = _ADDED,
) -> Row:
    def layers(bench: Bench) -> Store:
        leaf = {"type": "memory", "capacity": "64MiB"}
        store = bench.keep(_built(bench, leaf, tiers))
        store.put(key_of(0), Body.of(_SMALL))
        store.get(key_of(0)).read()
        return store

    def watched(bench: Bench) -> Sample:
        store = layers(bench)
        observe(store, lambda event: None)
        return of(bench, store)

    def alone(bench: Bench) -> Sample:
        store = bench.keep(MemoryStore())
        store.put(key_of(0), Body.of(_SMALL))
        return _again(bench, store)

    return bench.compare(
        name,
        {
            _ALONE: alone,
            OURS: lambda bench: of(bench, layers(bench)),
            "with a listener": watched,
        },
        floor=_ALONE,
        goal=goal,
        note="1 KB, above stores in memory",
    )


def _again(bench: Bench, store: Store) -> Sample:
    return timed(_READ, bench.seconds, get_file=store.get_file, key=key_of(0))


def _anew(bench: Bench, store: Store) -> Sample:
    [cache] = (one for one in walk(store) if isinstance(one, CachedStore))
    [tier] = cache.tiers
    names = {"get_file": store.get_file, "key": key_of(0), "forget": tier.delete}
    return timed(f"{_READ}\nforget(key)", bench.seconds, **names)


def _above_s3(bench: Bench) -> Iterator[Row]:
    server = start_s3("seaweed", bench.place("seaweed"))
    try:
        bucket = server.make_bucket()
        with server.store(bucket) as store:
            for number in range(_OBJECTS):
                store.put(key_of(number), Body.of(content_of(SIZES["100 KB"])))
        for engine in ("boto3", "obstore"):
            leaf = {**_s3(server, bucket), "engine": engine}
            yield bench.compare(
                f"production stack, S3 get of 100 KB, engine {engine}",
                {
                    _ALONE: _fetching(leaf, None),
                    OURS: _fetching(leaf, ("memory",)),
                    "without its cache": _fetching(leaf, ()),
                    "with Redis": _fetching(leaf, ("memory", "redis")),
                },
                floor=_ALONE,
                goal=Goal(kind="ratio", limit=1.05, broken=3),
                note="processor time of the client; what is fetched is kept",
            )
    finally:
        server.stop()


def _s3(server: S3Server, bucket: str) -> dict[str, Any]:
    return {
        "type": "s3",
        "bucket": bucket,
        "region": "us-east-1",
        "endpoint_url": server.endpoint_url,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
        "timeout": "30s",
        "connect_timeout": "30s",
    }


def _fetching(
    leaf: dict[str, Any], tiers: Sequence[str] | None
) -> Callable[[Bench], Sample]:
    """Have every object fetched once, with every tier empty; *leaf* alone if None."""

    def candidate(bench: Bench) -> Sample:
        if tiers is None:
            store = build({"version": 1, "default": "us", "stores": {"us": leaf}})
        else:
            store = _built(bench, leaf, tiers)
        bench.keep(store)
        caches = [one for one in walk(store) if isinstance(one, CachedStore)]

        def sample() -> float:
            for tier in [tier for cache in caches for tier in cache.tiers]:
                tier.clear()
            began = time.process_time()
            for number in range(_OBJECTS):
                with store.get_file(*key_of(number)) as file:
                    file.read()
            return (time.process_time() - began) / _OBJECTS

        return sample

    return candidate


def _built(bench: Bench, leaf: dict[str, Any], tiers: Sequence[str]) -> Store:
    """Return the stack above two of *leaf*, with those of its tiers that are named."""
    made: dict[str, Any] = yaml.safe_load(_CONFIGURATION.read_text())
    stores, place = made["stores"], bench.place("stack")
    stores["us-east"], stores["eu-west"] = leaf, dict(leaf)
    images, regions = stores["images"], stores["regions"]
    images["tiers"] = [tier for tier in images["tiers"] if tier["type"] in tiers]
    for tier in images["tiers"]:
        if tier["type"] == "redis":
            tier["url"] = url_of(bench.server.port)
    images["journal"]["path"] = str(place / "purges.sqlite")
    regions["journal"]["path"] = str(place / "journal.sqlite")
    regions["control"]["path"] = str(place / "decisions.json")
    if not tiers:
        regions["retry"] = images["retry"]
        made["default"] = "regions"
        del stores["images"]
    return build(made)
