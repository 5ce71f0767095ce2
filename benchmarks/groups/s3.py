"""
Reading from S3: what it costs the client.
"""

from __future__ import annotations

import time

from collections.abc import Iterator
from typing import Any

from benchmarks.bench import Bench
from benchmarks.results import OURS, Goal, Row
from benchmarks.sampling import Sample, timed
from benchmarks.stacks import SIZES, content_of, key_of
from tests.servers.s3 import S3Server, start_s3
from tiered_store.body import Body


_KEY = key_of(0)
_NAME = "comics.cover/0/405x640.jpe"
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
    first = size == "100 KB"
    yield bench.compare(
        f"S3 get, {size}, engine obstore",
        {
            "boto3": lambda bench: _boto3(bench, server, bucket),
            OURS: lambda bench: _ours(bench, server, bucket, "obstore"),
            "obstore": lambda bench: _obstore(bench, server, bucket),
        },
        floor="boto3",
        goal=Goal(kind="ratio", limit=0.12, broken=0.6) if first else None,
        note=_NOTE,
    )
    yield bench.compare(
        f"S3 get, {size}, engine boto3",
        {
            "boto3": lambda bench: _boto3(bench, server, bucket),
            OURS: lambda bench: _ours(bench, server, bucket, "boto3"),
        },
        floor="boto3",
        goal=Goal(kind="ratio", limit=1.1, broken=2.5) if first else None,
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

    from obstore.store import S3Store

    store = S3Store(
        bucket,
        endpoint=server.endpoint_url,
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
        region="us-east-1",
        client_options={"allow_http": True},
    )
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
