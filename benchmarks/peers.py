"""
What people would use instead, set up on a Redis server as its documentation says.
"""

from __future__ import annotations

from typing import Any

from benchmarks.bench import Bench
from benchmarks.server import HOST, url_of
from tests.servers.s3 import S3Server


def dogpile(bench: Bench) -> Any:
    """Return a region on the server, closed with the row."""
    region = dogpile_region(bench.server.port)
    bench.finally_(region.backend.writer_client.close)
    return region


def dogpile_region(port: int) -> Any:
    """Return a region on the server at *port*, with a lock that processes share."""
    from dogpile.cache import make_region

    lock = {"distributed_lock": True, "thread_local_lock": False}
    arguments = {"host": HOST, "port": port, **lock}
    return make_region().configure("dogpile.cache.redis", arguments=arguments)


def minimalkv(client: Any, origin: Any = None) -> Any:
    """Return a cache on *client*'s server before *origin*, a dictionary by default."""
    from minimalkv.cache import CacheDecorator
    from minimalkv.memory import DictStore
    from minimalkv.memory.redisstore import RedisStore

    return CacheDecorator(RedisStore(client), DictStore() if origin is None else origin)


def obstore(server: S3Server, bucket: str, url: str | None = None) -> Any:
    """Return obstore's own store of *bucket*."""
    from obstore.store import S3Store

    return S3Store(
        bucket,
        endpoint=url or server.endpoint_url,
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
        region="us-east-1",
        client_options={"allow_http": True},
    )


def cashews(bench: Bench, place: str | None = None) -> Any:
    """Return a cache at *place*, on the server by default, closed with the row."""
    cache = cashews_cache(place or url_of(bench.server.port))
    bench.loop.run_until_complete(cache.init())
    bench.finally_(lambda: bench.loop.run_until_complete(cache.close()))
    return cache


def cashews_cache(place: str) -> Any:
    """Return a cache that does not call ``repr`` of every value it returns."""
    from cashews import Cache

    cache = Cache()
    cache.setup(place, check_repr=False)
    return cache
