"""
The store of objects in a bucket.
"""

from __future__ import annotations

import functools
import io

from collections.abc import Iterator
from typing import Any, Literal

from tiered_store.backends.s3.address import bucket_url, is_bucket, is_http
from tiered_store.backends.s3.client import Checksums, Client, Connection
from tiered_store.backends.s3.download import stat_of
from tiered_store.backends.s3.obstore import ObstoreReading, installed
from tiered_store.backends.s3.reading import REPRODUCIBLE, Boto3Reading, Reading
from tiered_store.backends.s3.sending import rereadable, summed
from tiered_store.backends.s3.upload import upload
from tiered_store.body import Body, BytesBody, Stat, StreamBody
from tiered_store.errors import (
    ConfigError,
    ConflictError,
    DeniedError,
    InconclusiveError,
    NotFoundError,
    StoreError,
)
from tiered_store.key import Key
from tiered_store.layout import key_of_object, object_name
from tiered_store.readers import Source
from tiered_store.store import Store
from tiered_store.translation.obstore import code_of as obstore_code_of
from tiered_store.translation.s3 import code_of
from tiered_store.units import MIB, Duration, Secret, Size
from tiered_store.urls import join_url
from tiered_store.workers import Workers


Engine = Literal["boto3", "obstore", "auto"]

_DAY = 86_400.0
_SMALLEST_PART = 5 * MIB  # S3's own limits
_LONGEST_URL = 7 * _DAY
_PART_WORKERS = 3  # besides the caller, who sends a part too when all are busy


class S3Store(Store):
    """
    Objects in *bucket*.

    An object that S3 denies or cannot find the bucket of is not "not found".  What is
    read is one version: a body that breaks off goes on where it stopped, pinned to its
    ETag, and raises ``ConflictError`` if somebody has stored another one meanwhile.
    What can be computed again carries ``reproducible: true`` in its user metadata.

    Args:
        bucket: Its name, or the ARN of an access point.
        access_key: With *secret_key*; without them the SDK looks in its usual places
            (environment, files, the machine's role), which may ask the network, for
            the first URL too.
        secret_key: Of *access_key*.
        session_token: Of temporary credentials.
        prefix: Of every object's name, a slash between them.
        public_base_url: Where the bucket is shown to the public; without it URLs
            are signed, unless the objects are *public*.
        region: Of the bucket; a URL signed for another one does not work.
        max_age: How long browsers and CDNs may keep an object.
        endpoint_url: A server that speaks S3, if it is not AWS; the bucket is then
            part of the path.
        public: Let everybody read what is stored, by an ACL, which the bucket must
            allow.
        url_expires: How long a signed URL works, 7 days at most.
        storage_class: Of originals; the bucket's default if None.
        reproducible_storage_class: Of what can be computed again; the bucket's
            default if None, whatever *storage_class* says.
        multipart_threshold: Larger objects are sent in parts.
        part_size: Of those, 5 MiB at least; about five are in memory at a time.
        connections: Kept open for the next request; more threads open more.
        timeout: Without an answer, or a byte of it, before the server is given up.
        connect_timeout: To connect, the name resolved and all addresses tried; to shake
            hands; and for every 16 KiB of a body to leave.  A line slower than 1 MiB a
            second needs more of both.
        checksums: ``when_required`` for servers that do not know AWS's newer ones;
            then nothing that is read is verified.
        absent_when_denied: Take "access denied" for "not found", as a bucket answers
            whose objects one may read but not list.
        engine: What reads objects: ``obstore`` (an extra of that name) takes a tenth
            of the processor time of ``boto3``, and does not compare the checksums that
            S3 keeps of them; ``auto`` is obstore where it is installed.  All else is
            done by boto3.
    """

    def __init__(
        self,
        bucket: str,
        access_key: str | None = None,
        secret_key: str | Secret | None = None,
        *,
        session_token: str | Secret | None = None,
        prefix: str = "",
        public_base_url: str | None = None,
        region: str | None = None,
        max_age: Duration = 365 * _DAY,
        endpoint_url: str | None = None,
        public: bool = False,
        url_expires: Duration = 3600.0,
        storage_class: str | None = None,
        reproducible_storage_class: str | None = None,
        multipart_threshold: Size = 16 * MIB,
        part_size: Size = 8 * MIB,
        connections: int = 64,
        timeout: Duration = 2.0,
        connect_timeout: Duration = 0.5,
        checksums: Checksums = "when_supported",
        absent_when_denied: bool = False,
        engine: Engine = "boto3",
    ) -> None:
        self.bucket = bucket
        self.access_key = access_key
        self.secret_key = None if secret_key is None else Secret(secret_key)
        self.session_token = None if session_token is None else Secret(session_token)
        self.prefix = prefix
        self.public_base_url = public_base_url
        self.region = region
        self.max_age = max_age
        self.endpoint_url = endpoint_url
        self.public = public
        self.url_expires = url_expires
        self.storage_class = storage_class
        self.reproducible_storage_class = reproducible_storage_class
        self.multipart_threshold = multipart_threshold
        self.part_size = part_size
        self.connections = connections
        self.timeout = timeout
        self.connect_timeout = connect_timeout
        self.checksums: Checksums = checksums
        self.absent_when_denied = absent_when_denied
        self.engine = engine
        if problems := list(self._problems()):
            raise ConfigError(problems)
        self._folder = prefix if prefix.endswith("/") or not prefix else f"{prefix}/"
        self._workers = Workers("tiered-store-s3", _PART_WORKERS)
        self._client = Client(
            bucket,
            Connection(
                endpoint_url=endpoint_url,
                region=region,
                access_key=access_key,
                secret_key=self.secret_key,
                session_token=self.session_token,
                connections=connections,
                timeout=timeout,
                connect_timeout=connect_timeout,
                checksums=checksums,
            ),
        )
        self._reading: Reading = Boto3Reading(
            self._client, verified=checksums == "when_supported"
        )
        self._obstore: ObstoreReading | None = None
        if engine != "boto3" and installed():
            self._reading = self._obstore = ObstoreReading(
                self._client, self._folder, self._reading
            )

    def _problems(self) -> Iterator[str]:
        if not is_bucket(self.bucket):
            yield f"bucket: not the name of one: {self.bucket!r}"
        if (self.access_key is None) != (self.secret_key is None):
            yield "access_key: needs a secret_key, and the other way round"
        if self.session_token is not None and self.access_key is None:
            yield "session_token: needs an access_key"
        if self.endpoint_url is not None and not is_http(self.endpoint_url):
            yield f"endpoint_url: not an http(s) URL: {self.endpoint_url!r}"
        if not 1 <= self.url_expires <= _LONGEST_URL:
            yield f"url_expires: must be 1s to 7d, not {self.url_expires:g}s"
        if self.part_size < _SMALLEST_PART:
            yield f"part_size: must be at least 5MiB, not {self.part_size} bytes"
        if self.engine == "obstore" and not installed():
            yield "engine: obstore is missing; pip install 'tiered-store[obstore]'"
        for name in ("timeout", "connect_timeout", "connections"):
            if getattr(self, name) <= 0:
                yield f"{name}: must be more than 0"

    # -- writing -------------------------------------------------------------

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        parameters = self._parameters(key, reproducible)
        if body.size > self.multipart_threshold:
            upload(self._client, self._workers, body, self.part_size, parameters)
            return
        with rereadable(body) as file:
            if self.checksums == "when_supported":
                parameters |= summed(file)
            answer = self._client.call(
                "put_object", Body=file, ContentLength=body.size, **parameters
            )
        self._client.said(answer, "ETag")

    def _parameters(self, key: Key, reproducible: bool) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "Key": self._name(key),
            "ContentType": key.mimetype,
            "CacheControl": f"max-age={int(self.max_age)}",
        }
        storage_class = (
            self.reproducible_storage_class if reproducible else self.storage_class
        )
        if storage_class is not None:
            parameters["StorageClass"] = storage_class
        if self.public:
            parameters["ACL"] = "public-read"
        if reproducible:
            parameters["Metadata"] = REPRODUCIBLE
        return parameters

    def _delete(self, key: Key) -> None:
        self._client.silent(self._client.call("delete_object", Key=self._name(key)))

    # -- reading -------------------------------------------------------------

    def _get(self, key: Key) -> Body:
        meaning = functools.partial(self._meaning, key)
        try:
            opened = self._reading.open(self._name(key), meaning)
        except StoreError as error:
            self._tell_apart(error)
            raise
        size, etag, modified, source, reproducible, _ = opened
        body: BytesBody | StreamBody
        if isinstance(source, bytes):
            body = BytesBody(source, etag, modified)
        else:
            body = StreamBody(
                functools.partial(self._ask, key, Stat(size, etag, modified)),
                size,
                version=etag,
                modified=modified,
                first=source,
            )
        if reproducible:
            body.reproducible = True
        return body

    def _ask(self, key: Key, expected: Stat, offset: int) -> Source:
        try:
            return self._rest(key, expected, offset)
        except StoreError as error:
            error.at(str(self), "get", key)
            raise

    def _rest(self, key: Key, expected: Stat, offset: int) -> Source:
        """Return the bytes of the *expected* version from *offset* on, of no other."""
        if expected.etag is None:
            raise ConflictError("the server tells no versions apart")
        meaning = functools.partial(self._meaning, key)
        try:
            opened = self._reading.open(
                self._name(key), meaning, etag=expected.etag, offset=offset
            )
        except (ConflictError, NotFoundError) as error:
            raise ConflictError("changed or deleted while it was read") from error
        source = opened.source
        if isinstance(source, bytes):
            source = io.BytesIO(source)
        told = (opened.start, opened.size, opened.etag)
        if told != (offset, expected.size - offset, expected.etag):
            source.close()
            raise ConflictError("the server answered with something else")
        return source

    def _meaning(self, key: Key, error: Exception) -> StoreError | None:
        failure = self._client.meaning(error)
        return None if failure is None else failure.at(str(self), "get", key)

    def _stat(self, key: Key) -> Stat:
        if self.absent_when_denied:  # a HEAD does not say why it was denied
            return super()._stat(key)
        try:
            return stat_of(self._client.call("head_object", Key=self._name(key)))
        except StoreError as error:
            self._tell_apart(error)
            raise

    def _tell_apart(self, error: StoreError) -> None:
        """Raise what *error* means, if it is that something is missing or denied."""
        if isinstance(error, InconclusiveError):
            self._client.call("head_bucket")  # raises if that is what is missing
            raise NotFoundError("no such object") from None
        denied = self.absent_when_denied and isinstance(error, DeniedError)
        if denied and _code(error) == "AccessDenied":
            raise NotFoundError("no such object, or none to be read") from error

    def _keys(self, prefix: str) -> Iterator[Key]:
        page: dict[str, Any] = {"Prefix": self._folder + prefix}
        while True:
            answer = self._client.call("list_objects_v2", **page)
            self._client.said(answer, "IsTruncated", "Name", "Contents")
            for entry in answer.get("Contents", ()):
                name: str = self._client.said(entry, "Key")
                key = key_of_object(name.removeprefix(self._folder))
                if key is not None and key.object_type.startswith(prefix):
                    yield key
            if not answer.get("IsTruncated"):
                return
            token = self._client.said(answer, "NextContinuationToken")
            page["ContinuationToken"] = token

    # -- naming --------------------------------------------------------------

    def _url(self, key: Key) -> str:
        name = self._name(key)
        if self.public_base_url is not None:
            return join_url(self.public_base_url, name)
        if self.public:
            base = bucket_url(self.bucket, self.endpoint_url, self.region)
            return join_url(base, name)
        return self._client.presigned("get_object", int(self.url_expires), Key=name)

    def _name(self, key: Key) -> str:
        return self._folder + object_name(key)

    def _close(self) -> None:
        self._workers.close()
        if self._obstore is not None:
            self._obstore.close()
        self._client.close()


def _code(error: StoreError) -> str:
    """Return the code that S3 denied something with, whoever asked for it."""
    return code_of(error.__cause__) or obstore_code_of(error.__cause__)
