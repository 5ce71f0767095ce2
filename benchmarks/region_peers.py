"""
Stores over two regions, as people write them without this library.
"""

from __future__ import annotations

import contextlib
import io

from collections.abc import Callable, Iterator
from typing import Any

from tiered_store.body import Body, BytesBody
from tiered_store.errors import NotFoundError, StoreError, UnavailableError
from tiered_store.key import Key
from tiered_store.layout import object_name
from tiered_store.store import Store


class Peer(Store):
    """A store of *regions*, each a client of its own, in the order of preference."""

    def __init__(self, *regions: Region) -> None:
        self.regions = regions

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        content = body.read()
        self._everywhere(lambda region: region.put(object_name(key), content))

    def _delete(self, key: Key) -> None:
        self._everywhere(lambda region: region.delete(object_name(key)))

    def _get(self, key: Key) -> Body:
        failure: StoreError | None = None
        for region in self.regions:
            try:
                with translated():
                    content = region.get(object_name(key))
            except StoreError as error:
                failure = error
                continue
            if content is None:
                raise NotFoundError("none")
            return BytesBody(content)
        assert failure is not None
        raise failure

    def _url(self, key: Key) -> str:
        raise UnavailableError("none")

    def _everywhere(self, change: Callable[[Region], None]) -> None:
        """Try each, as a loop of try and except does; one success is one."""
        failures: list[StoreError] = []
        for region in self.regions:
            try:
                with translated():
                    change(region)
            except StoreError as error:
                failures.append(error)
        if len(failures) == len(self.regions):
            raise failures[0]

    def _close(self) -> None:
        for region in self.regions:
            region.close()


class Region:
    """One place, by the names of objects."""

    def put(self, name: str, content: bytes) -> None:
        raise NotImplementedError

    def get(self, name: str) -> bytes | None:
        raise NotImplementedError

    def delete(self, name: str) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class Boto3Region(Region):
    """A bucket, by a client of boto3 with its defaults."""

    def __init__(self, port: int, bucket: str, access: str, secret: str) -> None:
        import boto3.session

        self._bucket = bucket
        self._client: Any = boto3.session.Session().client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            region_name="us-east-1",
        )

    def put(self, name: str, content: bytes) -> None:
        self._client.put_object(Bucket=self._bucket, Key=name, Body=io.BytesIO(content))

    def get(self, name: str) -> bytes | None:
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=name)
            return bytes(answer["Body"].read())
        except self._client.exceptions.NoSuchKey:
            return None

    def delete(self, name: str) -> None:
        self._client.delete_object(Bucket=self._bucket, Key=name)

    def close(self) -> None:
        self._client.close()


class RedisRegion(Region):
    """Names in whatever behaves like a client of redis-py."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def put(self, name: str, content: bytes) -> None:
        self._client.set(name, content)

    def get(self, name: str) -> bytes | None:
        found: bytes | None = self._client.get(name)
        return found

    def delete(self, name: str) -> None:
        self._client.delete(name)

    def close(self) -> None:
        self._client.close()


def multidb(ports: tuple[int, int], *, tuned: bool) -> Any:
    """Return redis-py's client of several databases, as it comes or as it may be."""
    from redis.backoff import NoBackoff
    from redis.multidb.client import MultiDBClient
    from redis.multidb.config import DatabaseConfig, InitialHealthCheck, MultiDbConfig
    from redis.retry import Retry

    timeouts = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5} if tuned else {}
    databases = [
        DatabaseConfig(
            client_kwargs={"host": "127.0.0.1", "port": port, **timeouts},
            weight=1.0 - number / 2,
        )
        for number, port in enumerate(ports)
    ]
    if not tuned:
        return MultiDBClient(MultiDbConfig(databases_config=databases))
    return MultiDBClient(
        MultiDbConfig(
            databases_config=databases,
            command_retry=Retry(NoBackoff(), 3),
            min_num_failures=5,
            health_check_interval=1.0,
            health_check_timeout=1.0,
            health_check_probes=1,
            auto_fallback_interval=1.0,
            initial_health_check_policy=InitialHealthCheck.ONE_AVAILABLE,
        )
    )


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise a store's error for whatever a peer's client raises."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:  # of any kind, which is one of the findings
        raise UnavailableError(f"{type(error).__name__}: {error}") from error
