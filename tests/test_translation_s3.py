"""What botocore's errors, and S3's codes, mean."""

from __future__ import annotations

import contextlib
import errno
import inspect
import pickle
import re
import subprocess
import sys

from collections.abc import Iterator
from typing import Any

import boto3.exceptions
import botocore.eventstream
import botocore.exceptions
import botocore.parsers
import botocore.session
import pytest
import s3transfer.exceptions

from botocore.exceptions import ClientError

from tiered_store.errors import (
    ConflictError,
    CorruptError,
    DeniedError,
    FullError,
    InconclusiveError,
    InvalidError,
    MisconfiguredError,
    NotFoundError,
    StoreError,
    ThrottledError,
    TooLargeError,
    UnavailableError,
    UnsupportedError,
)
from tiered_store.translation import translate
from tiered_store.translation.s3 import code_of
from tiered_store.translation.s3_codes import BY_CODE


def answer(
    code: str = "",
    status: int = 400,
    operation: str = "GetObject",
    message: str = "no luck",
    headers: dict[str, str] | None = None,
) -> ClientError:
    """Return the error that botocore raises for an answer of S3."""
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": headers or {}}
    told = {"Code": code, "Message": message}
    return ClientError({"Error": told, "ResponseMetadata": metadata}, operation)


def meaning_of(*args: Any, **kwargs: Any) -> StoreError:
    error = translate(answer(*args, **kwargs))
    assert error is not None
    return error


CODES: dict[type[StoreError], str] = {
    NotFoundError: "NoSuchKey NoSuchVersion ObjectNotFound",
    ThrottledError: (
        "SlowDown SlowDownRead SlowDownWrite Throttling ThrottlingException "
        "ThrottledException RequestThrottled RequestThrottledException "
        "RequestLimitExceeded TooManyRequests TooManyRequestsException "
        "BandwidthLimitExceeded ProvisionedThroughputExceededException "
        "LimitExceededException TransactionInProgressException "
        "EC2ThrottledException PriorRequestNotComplete"
    ),
    UnavailableError: (
        "InternalError InternalServerError ServiceUnavailable ServiceFailure Busy "
        "XMinioServerNotInitialized XMinioReadQuorum XMinioWriteQuorum "
        "IDPCommunicationError RequestTimeout RequestTimeoutException "
        "RequestExpired ResponseInterrupted ConnectionClosedByRequester "
        "IncompleteBody MissingContentLength NoSuchUpload"
    ),
    ConflictError: (
        "PreconditionFailed ConditionalRequestConflict OperationAborted NotModified "
        "RestoreAlreadyInProgress IdempotencyParameterMismatch "
        "ObjectAlreadyInActiveTierError"
    ),
    DeniedError: (
        "AccessDenied AllAccessDisabled AccountProblem InvalidAccessKeyId "
        "SignatureDoesNotMatch InvalidSecurity InvalidToken InvalidPayer NotSignedUp "
        "UnauthorizedAccess CredentialsNotSupported UnrecognizedClientException "
        "ExpiredToken ExpiredTokenException TokenRefreshRequired"
    ),
    MisconfiguredError: (
        "NoSuchBucket InvalidBucketName InvalidBucketState PermanentRedirect "
        "TemporaryRedirect AuthorizationHeaderMalformed IllegalLocationConstraint "
        "IllegalLocationConstraintException IncorrectEndpoint EndpointNotFound "
        "NoSuchAccessPoint NoSuchMultiRegionAccessPoint KMS.DisabledException "
        "KMS.NotFoundException KMS.KMSInvalidStateException "
        "KMS.AccessDeniedException EncryptionTypeMismatch NotImplemented "
        "RequestTimeTooSkewed InvalidStorageClass"
    ),
    FullError: (
        "XMinioStorageFull QuotaExceeded XMinioAdminBucketQuotaExceeded "
        "TooManyBuckets TooManyParts"
    ),
    TooLargeError: (
        "EntityTooLarge KeyTooLongError MetadataTooLarge RequestHeaderSectionTooLarge"
    ),
    InvalidError: (
        "EntityTooSmall InvalidArgument InvalidRequest InvalidURI InvalidTag "
        "InvalidPart InvalidPartOrder InvalidRange MalformedXML "
        "MissingRequestBodyError UnsupportedMediaType InvalidObjectState "
        "ObjectNotInActiveTierError UserKeyMustBeSpecified "
        "XMinioInvalidObjectName ObjectLocked InvalidRetention"
    ),
    CorruptError: (
        "BadDigest InvalidDigest XAmzContentSHA256Mismatch "
        "XAmzContentChecksumMismatch InvalidChecksum"
    ),
    UnsupportedError: "MethodNotAllowed",
}


@pytest.mark.parametrize(
    ("code", "kind"),
    [(code, kind) for kind, codes in CODES.items() for code in codes.split()],
)
def test_a_code_has_a_meaning(code: str, kind: type[StoreError]) -> None:
    """Exactly this kind, whatever the status says, and code and status are told."""
    error = meaning_of(code, 418)

    assert type(error) is kind
    assert error.message == f"no luck ({code}, HTTP 418)"


def codes_of_the_model() -> set[str]:
    """Return every code that botocore's own description of S3 names."""
    model = botocore.session.get_session().get_service_model("s3")
    told = model.shape_for("Error").members["Code"].documentation
    documented = set(re.findall(r"<i>Code:</i> *([A-Z][A-Za-z]{2,})", told))
    return documented | {shape.error_code for shape in model.error_shapes}


def test_every_code_of_botocores_model_is_classified() -> None:
    """A code that no table knows is a gap, and there is none."""
    codes = codes_of_the_model()

    assert len(codes) > 80
    assert codes - BY_CODE.keys() == set()


def test_every_code_that_botocore_retries_is_retryable() -> None:
    """What the SDK would have tried again, we try again: its own retries are off."""
    from botocore.retries.standard import ThrottledRetryableChecker

    for code in ThrottledRetryableChecker._THROTTLED_ERROR_CODES:
        assert isinstance(meaning_of(code), ThrottledError), code
    for code in ("RequestTimeout", "RequestTimeoutException", "InternalError"):
        assert meaning_of(code).retryable


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (500, UnavailableError),
        (503, ThrottledError),
        (429, ThrottledError),
        (408, UnavailableError),
        (401, DeniedError),
        (403, DeniedError),
        (409, ConflictError),
        (412, ConflictError),
        (418, InvalidError),
        (301, MisconfiguredError),
    ],
)
def test_an_unknown_code_is_told_by_its_status(
    status: int, kind: type[StoreError]
) -> None:
    """A server of tomorrow says new words with old numbers."""
    for code in ("NeverHeardOf", "", str(status), "Unknown"):
        error = meaning_of(code, status, "PutObject")
        assert type(error) is kind
        assert f"HTTP {status}" in error.message
    assert "NeverHeardOf" in meaning_of("NeverHeardOf", status).message


def test_what_nobody_knows_is_unclassified() -> None:
    """No code, no status: an error of its own kind, not retried."""
    error = meaning_of("NeverHeardOf", 0)

    assert type(error) is StoreError
    assert error.message.startswith("unclassified")


@pytest.mark.parametrize("operation", ["HeadObject", "GetObject"])
@pytest.mark.parametrize("code", ["404", "", "Unknown"])
def test_a_404_without_a_code_is_not_absence(operation: str, code: str) -> None:
    """A HEAD has no body to say whether the object or the bucket is missing."""
    error = meaning_of(code, 404, operation)

    assert type(error) is InconclusiveError
    assert not isinstance(error, NotFoundError)


def test_a_404_of_anything_else_is_a_misconfiguration() -> None:
    """A bucket that a HEAD does not find, or a place that is no S3 at all."""
    for operation in ("HeadBucket", "PutObject", "DeleteObject", "ListObjectsV2"):
        assert type(meaning_of("404", 404, operation)) is MisconfiguredError


def test_a_head_that_cannot_say_why_is_a_refusal() -> None:
    """400 and 403 on HEAD have no code: a bad token, a wrong region, no right."""
    for status in (400, 403):
        assert type(meaning_of(str(status), status, "HeadObject")) is DeniedError


def test_a_delete_marker_is_absence() -> None:
    """A versioned bucket answers 405 for a version that says "deleted"."""
    marked = {"x-amz-delete-marker": "true"}

    assert type(meaning_of("MethodNotAllowed", 405, headers=marked)) is NotFoundError


def test_a_throttled_answer_says_how_long_to_wait() -> None:
    """In seconds, if the server said so."""
    asked = meaning_of("SlowDown", 503, headers={"retry-after": "4"})
    silent = meaning_of("SlowDown", 503)
    codeless = meaning_of("503", 503, headers={"retry-after": "4"})

    assert isinstance(asked, ThrottledError)
    assert isinstance(codeless, ThrottledError)
    assert isinstance(silent, ThrottledError)
    assert (asked.retry_after, codeless.retry_after) == (4, 4)
    assert silent.retry_after is None


@pytest.mark.parametrize(
    ("code", "facts"),
    [
        ("BadDigest", {"retryable": True}),
        ("ExpiredToken", {"retryable": True}),
        ("OperationAborted", {"retryable": True}),
        ("PreconditionFailed", {"retryable": False, "failover": False}),
        ("AccessDenied", {"retryable": False, "failover": True}),
        ("EntityTooLarge", {"retryable": False, "failover": False}),
        ("InvalidObjectState", {"retryable": False, "failover": True}),
        ("InternalError", {"retryable": True, "ambiguous": True}),
        ("XMinioWriteQuorum", {"retryable": True, "ambiguous": True}),
        ("SlowDown", {"retryable": True, "ambiguous": False}),
        ("ServiceUnavailable", {"retryable": True, "ambiguous": False}),
    ],
)
def test_a_code_says_what_to_do(code: str, facts: dict[str, bool]) -> None:
    """Again here, elsewhere, or neither; and whether it may have happened."""
    error = meaning_of(code)

    assert {name: getattr(error, name) for name in facts} == facts


# -- exceptions ---------------------------------------------------------------


def classes() -> Iterator[type[Exception]]:
    """Yield every exception that the SDK may raise."""
    for module in (
        botocore.exceptions,
        botocore.parsers,
        botocore.eventstream,
        boto3.exceptions,
        s3transfer.exceptions,
    ):
        for _, found in inspect.getmembers(module, inspect.isclass):
            if found.__module__ != module.__name__ or issubclass(found, Warning):
                continue
            if issubclass(found, Exception):
                yield found


def one_of(kind: type[Exception]) -> Exception:
    """Return an error of *kind*, made as far as its constructor allows."""
    error = kind.__new__(kind)
    for args, kwargs in (
        ((), {}),
        (("told",), {}),
        (({"Error": {"Code": "SlowDown"}}, "GetObject"), {}),
        ((), {"msg": "told"}),
        ((), dict.fromkeys(re.findall(r"{(\w+)", getattr(kind, "fmt", "")), "told")),
    ):
        with contextlib.suppress(KeyError, TypeError, AttributeError, IndexError):
            return kind(*args, **kwargs)
    return error


@pytest.mark.parametrize("kind", sorted(set(classes()), key=lambda kind: kind.__name__))
def test_every_exception_of_the_sdk_is_classified(kind: type[Exception]) -> None:
    """None passes as a bug, and none is unknown."""
    error = translate(one_of(kind))

    assert error is not None
    assert type(error) is not StoreError, error
    assert not isinstance(error, NotFoundError)


ENDPOINT = {"endpoint_url": "http://user:pass@s3/b/k?X-Amz-Signature=secret"}
LOST = OSError(errno.ECONNRESET, "reset")


@pytest.mark.parametrize(
    ("error", "kind", "ambiguous"),
    [
        (
            botocore.exceptions.EndpointConnectionError(**ENDPOINT),
            UnavailableError,
            False,
        ),
        (botocore.exceptions.ConnectTimeoutError(**ENDPOINT), UnavailableError, False),
        (
            botocore.exceptions.ProxyConnectionError(proxy_url="http://p"),
            UnavailableError,
            False,
        ),
        (botocore.exceptions.ReadTimeoutError(**ENDPOINT), UnavailableError, True),
        (
            botocore.exceptions.ConnectionClosedError(**ENDPOINT),
            UnavailableError,
            True,
        ),
        (botocore.exceptions.HTTPClientError(error=LOST), UnavailableError, True),
        (
            botocore.exceptions.ResponseStreamingError(error=LOST),
            UnavailableError,
            False,
        ),
        (
            botocore.exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2),
            UnavailableError,
            False,
        ),
        (
            botocore.exceptions.FlexibleChecksumError(error_msg="wrong"),
            CorruptError,
            False,
        ),
        (
            botocore.exceptions.SSLError(
                **ENDPOINT, error="[SSL: CERTIFICATE_VERIFY_FAILED] expired"
            ),
            MisconfiguredError,
            False,
        ),
        (
            botocore.exceptions.SSLError(**ENDPOINT, error="EOF occurred"),
            UnavailableError,
            True,
        ),
        (
            botocore.exceptions.CredentialRetrievalError(
                provider="iam", error_msg="timed out"
            ),
            UnavailableError,
            False,
        ),
        (botocore.exceptions.NoCredentialsError(), MisconfiguredError, False),
        (botocore.exceptions.NoRegionError(), MisconfiguredError, False),
        (
            botocore.exceptions.ParamValidationError(report="no key"),
            InvalidError,
            False,
        ),
        (
            botocore.parsers.ResponseParserError("Unable to parse"),
            UnavailableError,
            True,
        ),
        (botocore.exceptions.CapacityNotAvailableError(), ThrottledError, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_an_exception_has_a_meaning(
    error: Exception, kind: type[StoreError], ambiguous: bool
) -> None:
    """What was never sent, and what came back broken, is not ambiguous."""
    meaning = translate(error)

    assert meaning is not None
    assert type(meaning) is kind
    assert meaning.ambiguous is ambiguous
    assert meaning.__cause__ is error
    assert "secret" not in str(meaning)
    assert "pass" not in str(meaning)


def test_ones_own_shortage_says_nothing_about_s3() -> None:
    """No descriptor for a socket is this process's trouble."""
    try:
        try:
            raise OSError(errno.EMFILE, "too many open files")
        except OSError as shortage:
            raise botocore.exceptions.EndpointConnectionError(**ENDPOINT) from shortage
    except botocore.exceptions.EndpointConnectionError as error:
        meaning = translate(error)

    assert isinstance(meaning, UnavailableError)
    assert meaning.local
    assert not meaning.failover


def test_an_error_of_the_body_that_was_sent_stays_what_it_was() -> None:
    """S3 is not to blame for a file that shrank."""
    try:
        try:
            raise InvalidError("ends after 3 of 5 bytes")
        except InvalidError as why:
            raise botocore.exceptions.HTTPClientError(error=why)  # noqa: B904 - as the SDK does
    except botocore.exceptions.HTTPClientError as error:
        meaning = translate(error)

    assert type(meaning) is InvalidError
    assert meaning.message == "ends after 3 of 5 bytes"


@pytest.mark.parametrize(
    "kind",
    [
        boto3.exceptions.S3UploadFailedError,
        boto3.exceptions.S3TransferFailedError,
        s3transfer.exceptions.S3DownloadFailedError,
    ],
)
def test_a_wrapped_error_means_what_it_was_raised_for(kind: type[Exception]) -> None:
    """Whether it was chained or only raised meanwhile."""
    for chained in (True, False):
        try:
            try:
                raise answer("SlowDown", 503)
            except ClientError as why:
                if chained:
                    raise kind("failed to upload") from why
                raise kind("failed to upload")  # noqa: B904 - as the SDK does
        except kind as error:
            meaning = translate(error)
        assert type(meaning) is ThrottledError


def test_exhausted_retries_mean_what_the_last_attempt_met() -> None:
    """s3transfer keeps it aside; boto3 raises its own kind around it."""
    last = ConnectionRefusedError(errno.ECONNREFUSED, "refused")

    for kind in (
        s3transfer.exceptions.RetriesExceededError,
        boto3.exceptions.RetriesExceededError,
    ):
        meaning = translate(kind(last))
        assert type(meaning) is UnavailableError
        assert not meaning.ambiguous


def test_a_wrapper_around_nothing_is_an_outage() -> None:
    """And since nothing is known, it may have happened."""
    meaning = translate(boto3.exceptions.S3UploadFailedError("failed"))

    assert type(meaning) is UnavailableError
    assert meaning.ambiguous


def test_messages_are_short_and_travel() -> None:
    """A server may answer with a book."""
    error = meaning_of("InternalError", 500, message="long " * 1000)
    copy = pickle.loads(pickle.dumps(error))

    assert len(error.message) < 400
    assert str(copy) == str(error)
    assert code_of(error.__cause__) == "InternalError"
    assert code_of(ValueError()) == ""


def test_no_sdk_is_imported_to_tell() -> None:
    """Whoever has no S3 pays nothing for it."""
    code = (
        "import sys, tiered_store.translation, tiered_store.store; "
        "sys.exit(bool({'boto3', 'botocore', 's3transfer'} & sys.modules.keys()))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
