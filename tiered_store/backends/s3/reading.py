"""
Ways to read an object, of which a store has one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from tiered_store.backends.s3.client import Client
from tiered_store.backends.s3.download import Download, start_of, stat_of
from tiered_store.errors import StoreError
from tiered_store.readers import Source


Meaning = Callable[[Exception], StoreError | None]
REPRODUCIBLE = {"reproducible": "true"}  # x-amz-meta-reproducible


class Opened(NamedTuple):
    """
    An answer whose body is on its way, or here if it is small.

    Attributes:
        size: Bytes of what was asked for.
        etag: Of the object, None if it has none.
        modified: Seconds since the epoch, None if the server does not tell.
        reproducible: Whoever stored it said that it can be computed again.
        start: Where in the object it begins; -1 if the server does not say.
    """

    size: int
    etag: str | None
    modified: float | None
    source: Source | bytes
    reproducible: bool
    start: int


class Reading(Protocol):
    """An engine that reads."""

    def open(
        self, name: str, meaning: Meaning, *, etag: str | None = None, offset: int = 0
    ) -> Opened:
        """
        Return the object called *name* from *offset* on, if it still has *etag*.

        Args:
            meaning: Of what is raised later, when the source is read.

        Raises:
            StoreError: In our words, from one attempt.
        """


class Boto3Reading:
    """
    Reads with *client*.

    Args:
        verified: Have S3 send its checksums, and compare them.
    """

    def __init__(self, client: Client, *, verified: bool) -> None:
        self._client = client
        self._verified = {"ChecksumMode": "ENABLED"} if verified else {}

    def open(
        self, name: str, meaning: Meaning, *, etag: str | None = None, offset: int = 0
    ) -> Opened:
        # a checksum is of the whole object, so a part is not to be compared with it
        asked = {"Range": f"bytes={offset}-"} if offset else self._verified
        if etag is not None:
            asked = {**asked, "IfMatch": etag}
        answer = self._client.call("get_object", Key=name, **asked)
        found = stat_of(answer)
        timeout = self._client.connection.timeout
        source = Download(answer, found.size, timeout, meaning, whole=not offset)
        said = answer.get("Metadata", {})
        content = source.soon()
        return Opened(
            found.size,
            found.etag,
            found.modified,
            source if content is None else content,
            REPRODUCIBLE.items() <= said.items(),
            start_of(answer),
        )
