"""
A client of boto3 for all threads of a process.
"""

from __future__ import annotations

import threading

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tiered_store import deadlines, lifecycle
from tiered_store.backends.s3.address import is_arn
from tiered_store.errors import (
    ClosedError,
    DeadlineError,
    MisconfiguredError,
    StoreError,
    UnavailableError,
)
from tiered_store.joint import Joint
from tiered_store.translation import translate
from tiered_store.units import MIB, Secret


Checksums = Literal["when_supported", "when_required"]

_SLOWEST = 1 * MIB  # bytes a second that a line must carry not to be taken for dead
_BUFFERED = 4 * MIB  # what the kernel may hold back when all has been "sent"
_MODIFIED = "Last-Modified"
_REGION = "x-amz-bucket-region"
_LONGEST_LENGTH = 15  # digits of a petabyte, which no object has
_ASSEMBLY_SECONDS = 60.0  # S3 may take its time to put the parts together


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How a bucket is reached: the options of the store, where they are explained."""

    endpoint_url: str | None
    region: str | None
    access_key: str | None
    secret_key: Secret | None
    session_token: Secret | None
    connections: int
    timeout: float
    connect_timeout: float
    checksums: Checksums


class Client:
    """A client of *bucket*, made when first needed, and again in a child process."""

    def __init__(self, bucket: str, connection: Connection) -> None:
        self.bucket = bucket
        self.connection = connection
        self._made: Any = None
        self._closed = False
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Leave the parent's connections alone, and their locks, and make others."""
        self._inherited, self._made = self._made, None
        self._lock = threading.Lock()
        self._making: Joint[Any] = Joint(
            "tiered-store-s3-client", "a client is made", self._make
        )

    def call(self, operation: str, **parameters: Any) -> Any:
        """
        Return S3's answer to *operation* on the bucket, after one attempt.

        Raises:
            DeadlineError: The caller's time is up; ambiguous if it may be done yet.
            StoreError: In our words; a bug passes as it is.
        """
        try:
            method = getattr(self._client(), operation)
            return method(Bucket=self.bucket, **parameters)
        except Exception as error:
            failure = self.meaning(error) or self._unread(error)
            if failure is None:
                raise
            raise failure from error

    def said(self, answer: Mapping[str, Any], *names: str) -> Any:
        """
        Return the first of *names* that is in *answer*.

        Raises:
            UnavailableError: None is, so it is not S3's: something in between says 200
                to everything, and may have asked S3 or not.
        """
        for name in names:
            if name in answer:
                return answer[name]
        raise UnavailableError(
            f"HTTP 200 without {' or '.join(names)}: it is not S3 that answers",
            ambiguous=True,
        )

    def silent(self, answer: Mapping[str, Any]) -> None:
        """
        Check that *answer*, to a delete, says nothing.

        Raises:
            UnavailableError: It does, such as the page of something in between.
        """
        told = answer["ResponseMetadata"]
        said = told["HTTPHeaders"].get("content-length", "0")
        if told["HTTPStatusCode"] != 204 and said != "0":
            raise UnavailableError(
                f"HTTP {told['HTTPStatusCode']} with {said} bytes: it is not S3 that "
                "answers",
                ambiguous=True,
            )

    def _unread(self, error: Exception) -> StoreError | None:
        """Return what *error* means if botocore could not read an answer."""
        at = error.__traceback__
        while at is not None:
            if at.tb_frame.f_globals.get("__name__") == "botocore.parsers":
                told = f"an answer that is not S3's: {error}"
                return self.here(UnavailableError(told, ambiguous=True))
            at = at.tb_next
        return None

    def presigned(self, operation: str, seconds: int, **parameters: Any) -> str:
        """Return a URL that may be used for *seconds*; made here, not by S3."""
        url: str = self._client().generate_presigned_url(
            operation,
            Params={"Bucket": self.bucket, **parameters},
            ExpiresIn=seconds,
        )
        return url

    def meaning(self, error: Exception) -> StoreError | None:
        """Return what *error* means here and now, or None if it is a bug."""
        failure = translate(error)
        return None if failure is None else self.here(failure)

    def here(self, failure: StoreError) -> StoreError:
        """Return *failure*, or that the caller's time is up, with the bucket's name."""
        if isinstance(failure, DeadlineError):
            return failure  # which says what took so long
        if isinstance(failure, UnavailableError) and deadlines.remaining() == 0:
            return DeadlineError("the caller's time is up", ambiguous=failure.ambiguous)
        if isinstance(failure, MisconfiguredError):
            failure.message = f"bucket {self.bucket!r}: {failure.message}"
        return failure

    def credentials(self) -> Any:
        """Return what the SDK signs with, found where it looks when it is needed."""
        return _sdk.session().get_credentials()

    def region(self) -> str | None:
        """Return the region that the SDK finds in its usual places."""
        found: str | None = _sdk.session().region_name
        return found

    def close(self) -> None:
        """Close every connection that nobody is reading from."""
        with self._lock:
            self._closed = True
            client, self._made = self._made, None
        if client is not None:
            client.close()

    def _client(self) -> Any:
        client = self._made
        return self._making.result() if client is None else client

    def _make(self) -> Any:
        with self._lock:  # nobody else makes one, and close() comes before or after
            if self._closed:
                raise ClosedError("the client is closed")
            if self._made is None:
                self._made = _sdk.client(self.bucket, self.connection)
            return self._made


class _SDK:
    """
    One session of boto3 for all clients: what it has read, and found out, is shared.

    A first client takes a third of a second, mostly to import; each other 15 ms.
    """

    def __init__(self) -> None:
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Begin again: a lock may have been held, by the session's own too."""
        self._session: Any = None
        self._lock = threading.Lock()

    def session(self) -> Any:
        """Return the session."""
        import boto3.session
        import botocore.session

        from tiered_store.backends.s3.credentials import share

        with self._lock:
            if self._session is None:
                session = botocore.session.get_session()
                share(session)
                self._session = boto3.session.Session(botocore_session=session)
            return self._session

    def client(self, bucket: str, connection: Connection) -> Any:
        """Return a new client; its making is nothing to be done by two at once."""
        from botocore.config import Config

        from tiered_store.backends.s3.connections import in_time

        def prepare(model: Any, params: Any, context: Any, **_: Any) -> None:
            _prepare(model.name, params["headers"], context, connection.timeout)

        config = Config(
            signature_version="s3v4",  # also of presigned URLs
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=connection.connect_timeout,
            read_timeout=connection.timeout,
            max_pool_connections=connection.connections,
            tcp_keepalive=True,
            request_checksum_calculation=connection.checksums,
            # asked for where a whole object is read: some servers answer with the
            # checksum of the whole to a request for a part
            response_checksum_validation="when_required",
            s3={"addressing_style": _addressing(bucket, connection.endpoint_url)},
        )
        secret, token = connection.secret_key, connection.session_token
        session = self.session()
        with self._lock:
            client = session.client(
                "s3",
                endpoint_url=connection.endpoint_url,
                region_name=connection.region,
                aws_access_key_id=connection.access_key,
                aws_secret_access_key=None if secret is None else secret.reveal(),
                aws_session_token=None if token is None else token.reveal(),
                config=config,
            )
        client.meta.events.register_last("before-call.s3", prepare)
        client.meta.events.register("before-parse.s3", _leave_out)
        client.meta.events.register_first("needs-retry.s3", _stay)
        in_time(client)
        return client


_sdk = _SDK()


def _addressing(bucket: str, endpoint_url: str | None) -> str:
    if endpoint_url is not None:
        return "path"
    if "." in bucket or is_arn(bucket):
        return "auto"
    return "virtual"  # which alone makes signed URLs name the host of the region


def _leave_out(response_dict: Any, **_: Any) -> None:
    """Drop headers that nobody can read; botocore would leave the connection open."""
    headers = response_dict["headers"]
    length, modified = (headers.get(name) for name in ("Content-Length", _MODIFIED))
    if length is not None and not (length.isdigit() and len(length) <= _LONGEST_LENGTH):
        del headers["Content-Length"]
    if modified is not None and not modified.endswith("GMT"):
        del headers[_MODIFIED]


def _stay(request_dict: Any, response: Any, **_: Any) -> None:
    """
    Have botocore follow a redirect only to the region that the answer names.

    Where none is named it would ask for the bucket, and be redirected, without end.
    """
    if response is None:
        return
    told = response[1]
    headers = told.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if _REGION not in headers and "Region" not in told.get("Error", {}):
        redirect = request_dict["context"].setdefault("s3_redirect", {})
        redirect["redirected"] = True


def _prepare(operation: str, headers: Any, context: Any, timeout: float) -> None:
    """
    Wait longer for the answer to what takes longer to send, and for no other.

    botocore reads ``read_timeout`` from 1.43.72 on; an older one waits *timeout*.  The
    caller's deadline bounds it in any case, see ``connections``.
    """
    length = int(headers.get("Content-Length", 0))
    seconds = timeout + min(length, _BUFFERED) / _SLOWEST
    if operation == "CompleteMultipartUpload":
        seconds = max(seconds, _ASSEMBLY_SECONDS)
    context["read_timeout"] = seconds
    # Asking whether a body is welcome costs a round trip, and a second if the server
    # hangs, whatever the deadline: worth it for large bodies that may be refused.
    if length < _SLOWEST or deadlines.remaining() is not None:
        headers.pop("Expect", None)
