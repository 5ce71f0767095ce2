"""
Reading from S3: what it costs the client.
"""

from __future__ import annotations

import time

from collections.abc import Iterator
from typing import Any

from benchmarks import peers
from benchmarks.bench import Bench
from benchmarks.results import OURS, Goal, Row
from benchmarks.sampling import Sample, timed
from benchmarks.stacks import SIZES, content_of, key_of
from tests.servers.s3 import S3Server, start_s3
from tiered_store.body import Body


_KEY = key_of(0)
_NAME = "comics.cover/0/405x640.jpe"
_BY = "ours, by "  # an engine
_NOTE = "processor time of all threads of the client, bytes in hand; SeaweedFS"


def rows(bench: Bench) -> Iterator[Row]:
    """Measure either engine beside the SDK it stands on."""
    folder = bench.place("seaweed")
    server = start_s3("seaweed", folder)
    try:
        bucket = server.make_bucket()
        for size in ("100 KB", "1 MB"):
            with server.store(bucket) as store:
                store.put(_KEY, Body.of(content_of(SIZES[size])))
            yield from _gets(bench, server, bucket, size)
    finally:
        server.stop()


def _gets(bench: Bench, server: S3Server, bucket: str, size: str) -> Iterator[Row]:
    values, failed = bench.measure(
        {
            "boto3": lambda bench: _boto3(bench, server, bucket),
            "obstore": lambda bench: _obstore(bench, server, bucket),
            **{
                engine: lambda bench, engine=engine: _ours(
                    bench, server, bucket, engine.removeprefix(_BY)
                )
                for engine in (f"{_BY}obstore", f"{_BY}boto3")
            },
        }
    )
    goals = {"obstore": Goal(kind="ratio", limit=0.12, broken=0.6)}
    goals["boto3"] = Goal(kind="ratio", limit=1.1, broken=2.5)
    for engine, goal in goals.items():
        names = {"boto3": "boto3", f"{_BY}{engine}": OURS, engine: engine}
        yield bench.row(
            f"S3 get, {size}, engine {engine}",
            {names[name]: own for name, own in values.items() if name in names},
            floor="boto3",
            goal=goal if size == "100 KB" else None,
            failed={names[name]: why for name, why in failed.items() if name in names},
            note=_NOTE,
        )


def _ours(bench: Bench, server: S3Server, bucket: str, engine: str) -> Sample:
    store = bench.keep(server.store(bucket, engine=engine))
    return _timed(
        bench,
        "with get_file(*key) as file: file.read()",
        get_file=store.get_file,
        key=_KEY,
    )


def _boto3(bench: Bench, server: S3Server, bucket: str) -> Sample:
    client = bench.keep(server.client())
    return _timed(
        bench,
        "get(Bucket=bucket, Key=name)['Body'].read()",
        get=client.get_object,
        bucket=bucket,
        name=_NAME,
    )


def _obstore(bench: Bench, server: S3Server, bucket: str) -> Sample:
    import obstore

    store = peers.obstore(server, bucket)
    return _timed(
        bench,
        "bytes(get(store, name).bytes())",
        get=obstore.get,
        store=store,
        name=_NAME,
    )


def _timed(bench: Bench, statement: str, **names: Any) -> Sample:
    seconds = 4 * bench.seconds
    return timed(statement, seconds, clock=time.process_time, **names)
