"""
Decisions in an object of an S3 bucket, that a fleet shares.

.. code-block:: yaml

   type: s3
   bucket: operations
   region: eu-central-1
   name: images/decisions.json

The bucket must know conditional writes (``If-Match``), which is tried before the first
decision, and should not lie in a region that is decided about.  A server that looks
first and writes then (SeaweedFS 4, moto) may lose one of two decisions of the same
moment; whoever follows sees which.  Two looks a second cost a process some two euros a
month at AWS; a longer ``poll`` costs less, and decisions are followed later.
"""

from __future__ import annotations

from collections.abc import Hashable

from tiered_store.backends.s3.client import Client, Connection
from tiered_store.backends.s3.download import etag_of
from tiered_store.clock import SYSTEM, Clock
from tiered_store.control.control import Control
from tiered_store.errors import (
    ConfigError,
    ConflictError,
    NotFoundError,
    UnsupportedError,
)
from tiered_store.units import Duration, Secret


_NONE = ""  # the version of a record of which the server tells none
_ELSEWHERE = "keep decisions in Redis, type: redis"


class S3Control(Control):
    """
    Decisions in the object *name* of *bucket*.

    Args:
        bucket: Its name.
        access_key: With *secret_key*; without them the SDK looks in its usual places.
        secret_key: Of *access_key*.
        session_token: Of temporary credentials.
        name: Of the object.
        region: Of the bucket.
        endpoint_url: A server that speaks S3, if it is not AWS.
        poll: Between looks of a process that follows it.
        timeout: Without an answer, before the server is given up.
        connect_timeout: To connect.
    """

    def __init__(
        self,
        bucket: str,
        access_key: str | None = None,
        secret_key: str | Secret | None = None,
        *,
        session_token: str | Secret | None = None,
        name: str = "tiered-store/decisions.json",
        region: str | None = None,
        endpoint_url: str | None = None,
        poll: Duration = 0.5,
        timeout: Duration = 2.0,
        connect_timeout: Duration = 0.5,
        clock: Clock = SYSTEM,
    ) -> None:
        if not bucket or not name:
            raise ConfigError("bucket and name: some text")
        if poll <= 0:
            raise ConfigError(f"poll: must be more than zero, not {poll!r}")
        if (access_key is None) != (secret_key is None):
            raise ConfigError("access_key: needs a secret_key, and the other way round")
        self.bucket = bucket
        self.access_key = access_key
        self.secret_key = None if secret_key is None else Secret(secret_key)
        self.session_token = None if session_token is None else Secret(session_token)
        self.name = name
        self.region = region
        self.endpoint_url = endpoint_url
        self.poll = poll
        self.timeout = timeout
        self.connect_timeout = connect_timeout
        self.clock = clock
        self._proven = False
        self._client = Client(
            bucket,
            Connection(
                endpoint_url=endpoint_url,
                region=region,
                access_key=access_key,
                secret_key=self.secret_key,
                session_token=self.session_token,
                connections=4,
                timeout=timeout,
                connect_timeout=connect_timeout,
                checksums="when_required",
            ),
        )

    @property
    def where(self) -> str:
        return f"s3://{self.bucket}/{self.name}"

    @property
    def place(self) -> Hashable:
        """Which object of which bucket."""
        return self.endpoint_url, self.bucket, self.name

    def _load(self) -> tuple[bytes | None, str | None]:
        try:
            answer = self._client.call("get_object", Key=self.name)
        except NotFoundError:
            return None, None
        with answer["Body"] as body:
            try:
                return body.read(), etag_of(answer) or _NONE
            except Exception as error:
                failure = self._client.meaning(error)
                if failure is None:
                    raise
                raise failure from error

    def _swap(self, content: bytes, token: str | None) -> bool:
        if token == _NONE:
            raise UnsupportedError(
                f"bucket {self.bucket!r} tells no versions (no ETag); {_ELSEWHERE}"
            )
        self._prove()
        only = {"IfNoneMatch": "*"} if token is None else {"IfMatch": token}
        return self._put(self.name, content, only)

    def _prove(self) -> None:
        """Have the server refuse to create what is there already: some do not look."""
        for _ in range(0 if self._proven else 2):
            if not self._put(f"{self.name}.probe", b"", {"IfNoneMatch": "*"}):
                self._proven = True
                return
        if not self._proven:
            raise UnsupportedError(
                f"bucket {self.bucket!r} ignores conditional writes: of two who decide "
                f"at once one would be lost; {_ELSEWHERE}"
            )

    def _put(self, name: str, content: bytes, only: dict[str, str]) -> bool:
        """Return whether *content* was written, which *only* may forbid."""
        try:
            self._client.call(
                "put_object",
                Key=name,
                Body=content,
                ContentType="application/json",
                **only,
            )
        except (ConflictError, NotFoundError):  # it was replaced, or removed
            return False
        return True

    def close(self) -> None:
        self._client.close()
