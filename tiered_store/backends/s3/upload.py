"""
A large object sent to S3 in parts.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import io
import threading
import time

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, wait
from typing import Any

from tiered_store import deadlines
from tiered_store.backends.s3.client import Client
from tiered_store.backends.s3.sending import summed
from tiered_store.body import Body
from tiered_store.errors import CorruptError, StoreError
from tiered_store.workers import Workers


_MOST_PARTS = 10_000  # S3's own limit
_ABORT_SECONDS = 0.5
_ABORT_PAUSES = (0.5, 5.0)  # seconds before it is tried again
_CHECKSUMS = ("ChecksumCRC32", "ChecksumSHA256", "ChecksumSHA1")


def upload(
    client: Client,
    workers: Workers,
    body: Body,
    part_size: int,
    parameters: Mapping[str, Any],
) -> None:
    """
    Store *body*, several parts at a time; nobody sees any before all are there.

    It is read once.  At most one part for each of *workers* and two more are in
    memory, of *part_size* or whatever larger size 10,000 parts need.  After a failure
    the parts are dropped; those of a process that died, or of a server that could not
    be reached, are left to a lifecycle rule of the bucket.

    Args:
        parameters: Of ``create_multipart_upload``, the key among them.
    """
    if client.connection.checksums == "when_supported":
        parameters = {**parameters, "ChecksumAlgorithm": "CRC32"}
    with _unseen():
        begun = client.call("create_multipart_upload", **parameters)
        target = {"Key": parameters["Key"], "UploadId": client.said(begun, "UploadId")}
    try:
        with _unseen():
            parts = _send_all(client, workers, body, part_size, target)
        whole = client.call(
            "complete_multipart_upload", **target, MultipartUpload={"Parts": parts}
        )
        client.said(whole, "ETag")
    except BaseException:
        _abort(client, workers, target)
        raise


@contextlib.contextmanager
def _unseen() -> Iterator[None]:
    """Say of what fails that it had no effect: parts are no object."""
    try:
        yield
    except StoreError as error:
        error.ambiguous = False
        raise


def _send_all(
    client: Client,
    workers: Workers,
    body: Body,
    part_size: int,
    target: Mapping[str, Any],
) -> list[dict[str, Any]]:
    size = max(part_size, -(-body.size // _MOST_PARTS))
    sent: list[Future[dict[str, Any]]] = []
    failed = threading.Event()
    try:
        with body.open() as file:
            for start in range(0, body.size, size):
                if failed.is_set():
                    break
                part = file.read(size)
                if len(part) != min(size, body.size - start):
                    raise CorruptError(f"the body is not of its {body.size} bytes")
                number = len(sent) + 1
                send = functools.partial(_send, client, target, number, part, failed)
                sent.append(workers.start(send))
                del part, send  # before the next one is read
            if not failed.is_set() and file.read(1):
                raise CorruptError(f"the body is more than its {body.size} bytes")
    finally:
        wait(sent)  # so that an abort comes after the last part
    return [future.result() for future in sent]


def _send(
    client: Client,
    target: Mapping[str, Any],
    number: int,
    part: bytes,
    failed: threading.Event,
) -> dict[str, Any]:
    file = io.BytesIO(part)
    told = summed(file) if client.connection.checksums == "when_supported" else {}
    try:
        answer = client.call(
            "upload_part",
            **target,
            PartNumber=number,
            ContentLength=len(part),
            Body=file,
            **told,
        )
        tag = client.said(answer, "ETag")
    except BaseException:
        failed.set()
        raise
    checksums = {name: answer[name] for name in _CHECKSUMS if name in answer}
    return {"PartNumber": number, "ETag": tag, **checksums}


def _abort(client: Client, workers: Workers, target: Mapping[str, Any]) -> None:
    """
    Drop the parts, behind the caller if the server takes its time.

    What failed before says more than that this fails as well, so nobody is told.
    """

    def drop() -> None:
        for pause in (*_ABORT_PAUSES, None):
            try:
                client.call("abort_multipart_upload", **target)
            except StoreError as error:
                if pause is None or not error.retryable:
                    return
                time.sleep(pause)
            else:
                return

    # outside the caller's deadline, which may be what failed
    dropping = contextvars.Context().run(workers.begin, drop)
    if dropping is not None:
        wait([dropping], timeout=deadlines.bounded(_ABORT_SECONDS))
        return
    with contextlib.suppress(StoreError):  # no thread is free
        contextvars.Context().run(client.call, "abort_multipart_upload", **target)
