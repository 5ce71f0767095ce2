"""
What botocore's errors mean for a store.
"""

from __future__ import annotations

import errno

from collections.abc import Mapping
from typing import Any

from tiered_store.errors import (
    CorruptError,
    DeniedError,
    InconclusiveError,
    InvalidError,
    MisconfiguredError,
    NotFoundError,
    StoreError,
    ThrottledError,
    UnavailableError,
)
from tiered_store.translation.http import by_status, retry_after, shown, wrong_tls
from tiered_store.translation.s3_codes import BY_CODE, Meaning


_PLAIN: Mapping[str, Any] = {}
_LOST: Mapping[str, Any] = {"ambiguous": True}
_LOCAL: Mapping[str, Any] = {"local": True, "failover": False}

# The first class that an error belongs to decides, so the special come first.
_BY_CLASS: Mapping[str, Meaning] = {
    "EndpointConnectionError": (UnavailableError, _PLAIN),  # these three: never sent
    "ConnectTimeoutError": (UnavailableError, _PLAIN),
    "ProxyConnectionError": (UnavailableError, _PLAIN),
    "ResponseStreamingError": (UnavailableError, _PLAIN),  # while reading a body
    "IncompleteReadError": (UnavailableError, _PLAIN),
    "HTTPClientError": (UnavailableError, _LOST),
    "ConnectionError": (UnavailableError, _LOST),
    "EventStreamError": (UnavailableError, _LOST),
    "ResponseParserError": (UnavailableError, _LOST),  # no answer of S3's
    "ParserError": (UnavailableError, _LOST),
    "PaginationError": (UnavailableError, _PLAIN),
    "WaiterError": (UnavailableError, _PLAIN),
    "FlexibleChecksumError": (CorruptError, _PLAIN),
    "ChecksumError": (CorruptError, _PLAIN),
    "CredentialRetrievalError": (UnavailableError, _PLAIN),
    "MetadataRetrievalError": (UnavailableError, _PLAIN),
    "TokenRetrievalError": (UnavailableError, _PLAIN),
    "SSOError": (DeniedError, _PLAIN),  # somebody has to sign in again
    "LoginError": (DeniedError, _PLAIN),
    "RefreshWithMFAUnsupportedError": (DeniedError, _PLAIN),
    "CapacityNotAvailableError": (ThrottledError, _LOCAL),
    "ParamValidationError": (InvalidError, _PLAIN),
    "ValidationError": (InvalidError, _PLAIN),
    "MissingParametersError": (InvalidError, _PLAIN),
    "UnseekableStreamError": (InvalidError, _PLAIN),
    "AwsChunkedWrapperError": (InvalidError, _PLAIN),
    "BotoCoreError": (MisconfiguredError, _PLAIN),
    "Boto3Error": (MisconfiguredError, _PLAIN),
    "UndefinedModelAttributeError": (MisconfiguredError, _PLAIN),
    "CancelledError": (UnavailableError, _LOST),  # s3transfer's
    "S3ValidationError": (CorruptError, _PLAIN),
    "TransferNotDoneError": (InvalidError, _PLAIN),
    "InvalidSubscriberMethodError": (InvalidError, _PLAIN),
}
_AROUND_ANOTHER = frozenset(
    {
        "S3TransferFailedError",
        "S3UploadFailedError",
        "S3DownloadFailedError",
        "S3CopyFailedError",
        "RetriesExceededError",
    }
)
_OWN_TROUBLE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_DEPTH = 6


def translate(error: Any, family: frozenset[str]) -> StoreError:
    """Return what *error* means."""
    if family & _AROUND_ANOTHER:
        return _of_cause(error)
    if "ClientError" in family and "EventStreamError" not in family:
        return _of_answer(error)
    message = shown(str(error)) or type(error).__name__
    if "SSLError" in family and wrong_tls(message):
        return MisconfiguredError(message)
    if family & {"HTTPClientError", "ConnectionError"}:
        for cause in _causes(error):
            if isinstance(cause, StoreError):  # of the body that was being sent
                return cause.copy()
            if isinstance(cause, OSError) and cause.errno in _OWN_TROUBLE:
                return UnavailableError(message, **_LOCAL)
    if "NoCredentialsError" in family:
        message += "; say access_key, or set AWS_ACCESS_KEY_ID, and what belongs to it"
    for name, (kind, facts) in _BY_CLASS.items():
        if name in family:
            return kind(message, **facts)
    return StoreError(f"unclassified {type(error).__name__}: {message}")


def code_of(error: BaseException | None) -> str:
    """Return the code that S3 gave *error*, or an empty string."""
    response = getattr(error, "response", None)
    told = response.get("Error", {}) if isinstance(response, dict) else {}
    return str(told.get("Code", ""))


def _of_answer(error: Any) -> StoreError:
    told = error.response.get("Error", {})
    metadata = error.response.get("ResponseMetadata", {})
    code = code_of(error)
    status = metadata.get("HTTPStatusCode") or (int(code) if code.isdigit() else 0)
    message = str(told.get("Message") or "")
    headers = metadata.get("HTTPHeaders", {})
    return of_answer(error.operation_name, status, code, message, headers)


def of_answer(
    operation: str, status: int, code: str, message: str, headers: Mapping[str, str]
) -> StoreError:
    """
    Return what it means that S3 answered with *status* and *code*, or without one.

    Args:
        operation: In the words of the API, such as ``GetObject``.
    """
    text = shown(message) or "no reason given"
    named = f"{text} ({code}, HTTP {status})" if status else f"{text} ({code})"
    kind, facts = BY_CODE.get(code, (None, _PLAIN))
    if code == "MethodNotAllowed" and "x-amz-delete-marker" in headers:
        return NotFoundError(named)
    if kind is ThrottledError:
        return ThrottledError(named, retry_after=retry_after(headers))
    if kind is not None and code != "Unknown":
        return kind(named, **facts)
    if code and not code.isdigit() and code != "Unknown":
        text = f"{text} ({code})"
    if status == 404:
        return _of_codeless_absence(operation, text)
    if status == 400 and operation.startswith("Head"):
        return DeniedError(f"{text} (HTTP 400)")  # whose reason a HEAD cannot carry
    if status >= 300:
        return by_status(status, text, headers)
    if kind is not None:
        return kind(named, **facts)
    return StoreError(f"unclassified answer {named}")


def _of_codeless_absence(operation: str, text: str) -> StoreError:
    """Tell what is missing where nobody said: the object, its bucket, or S3 itself."""
    if operation in {"HeadObject", "GetObject"}:
        return InconclusiveError(f"no such object, or no such bucket: {text}")
    if operation == "HeadBucket":
        return MisconfiguredError(f"no such bucket: {text} (HTTP 404)")
    return MisconfiguredError(f"nothing there to {operation}: {text} (HTTP 404)")


def _of_cause(error: Any) -> StoreError:
    """Return what the error means that *error* was raised for."""
    from tiered_store.translation import translate as dispatch  # which imports us

    last = getattr(error, "last_exception", None)
    for cause in (last, error.__cause__, error.__context__):
        meaning = None if cause is None else dispatch(cause)
        if meaning is not None:
            return meaning.copy()
    return UnavailableError(shown(str(error)), ambiguous=True)


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    cause = error.__cause__ or error.__context__
    while cause is not None and len(found) < _DEPTH:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found
