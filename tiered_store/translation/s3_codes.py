"""
What every code of S3 means for a store.

The codes are those of AWS, and of the servers that speak its protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiered_store.errors import (
    ConflictError,
    CorruptError,
    DeniedError,
    FullError,
    InvalidError,
    MisconfiguredError,
    NotFoundError,
    StoreError,
    ThrottledError,
    TooLargeError,
    UnavailableError,
    UnsupportedError,
)


_PLAIN: Mapping[str, Any] = {}
_LOST: Mapping[str, Any] = {"ambiguous": True}
_AGAIN: Mapping[str, Any] = {"retryable": True}
Meaning = tuple[type[StoreError], Mapping[str, Any]]

_CODES: tuple[tuple[type[StoreError], Mapping[str, Any], str], ...] = (
    (NotFoundError, _PLAIN, "NoSuchKey NoSuchVersion ObjectNotFound"),
    (
        ThrottledError,
        _PLAIN,
        """
        SlowDown SlowDownRead SlowDownWrite Throttling ThrottlingException
        ThrottledException RequestThrottled RequestThrottledException
        RequestLimitExceeded TooManyRequests TooManyRequestsException
        BandwidthLimitExceeded ProvisionedThroughputExceededException
        LimitExceededException TransactionInProgressException EC2ThrottledException
        PriorRequestNotComplete ExceedAccountQPSLimit ExceedAccountRateLimit
        ExceedBucketQPSLimit ExceedBucketRateLimit
        """,
    ),
    (
        UnavailableError,  # it failed half way, so the effect may be there
        _LOST,
        """
        InternalError InternalServerError InternalFailure ServiceFailure
        XMinioWriteQuorum RequestExpired ResponseInterrupted
        ConnectionClosedByRequester NoSuchUpload Unknown
        """,
    ),
    (
        UnavailableError,
        _PLAIN,
        """
        ServiceUnavailable Busy XMinioServerNotInitialized XMinioReadQuorum
        IDPCommunicationError RequestTimeout RequestTimeoutException IncompleteBody
        MissingContentLength
        """,
    ),
    (
        DeniedError,  # the next attempt signs with a fresh token, if there is one
        _AGAIN,
        "ExpiredToken ExpiredTokenException TokenRefreshRequired",
    ),
    (
        DeniedError,
        _PLAIN,
        """
        AccessDenied AccessDeniedException AllAccessDisabled AccountProblem
        InvalidAccessKeyId InvalidClientTokenId SignatureDoesNotMatch
        AuthFailure InvalidSecurity InvalidToken InvalidPayer NotSignedUp
        UnauthorizedAccess CredentialsNotSupported UnrecognizedClientException
        MissingSecurityHeader MissingAuthenticationToken IDPRejectedClaim
        InvalidIdentityToken OptInRequired CrossLocationLoggingProhibited
        """,
    ),
    (
        MisconfiguredError,
        _PLAIN,
        """
        NoSuchBucket InvalidBucketName InvalidBucketState PermanentRedirect Redirect
        TemporaryRedirect AuthorizationHeaderMalformed RequestTimeTooSkewed
        IllegalLocationConstraint IllegalLocationConstraintException
        InvalidLocationConstraint IncorrectEndpoint EndpointNotFound
        NoSuchAccessPoint NoSuchMultiRegionAccessPoint KMS.DisabledException
        KMS.NotFoundException KMS.KMSInvalidStateException
        KMS.AccessDeniedException EncryptionTypeMismatch
        InvalidEncryptionAlgorithmError NotImplemented InvalidStorageClass
        InvalidAddressingHeader AccessControlListNotSupported RegionDisabledException
        NoSuchBucketPolicy NoSuchLifecycleConfiguration
        """,
    ),
    (
        FullError,
        _PLAIN,
        """
        XMinioStorageFull QuotaExceeded XMinioAdminBucketQuotaExceeded TooManyBuckets
        TooManyParts TooManyConfigurations AnnotationLimitExceeded
        """,
    ),
    (UnsupportedError, _PLAIN, "MethodNotAllowed"),
    (
        TooLargeError,
        _PLAIN,
        """
        EntityTooLarge KeyTooLongError MetadataTooLarge RequestHeaderSectionTooLarge
        MaxMessageLengthExceeded MaxPostPreDataLengthExceededError InlineDataTooLarge
        AnnotationNameTooLong
        """,
    ),
    (
        InvalidError,
        _PLAIN,
        """
        EntityTooSmall InvalidArgument InvalidRequest InvalidURI InvalidTag InvalidPart
        InvalidPartOrder InvalidRange MalformedXML MissingRequestBodyError
        UnsupportedMediaType UserKeyMustBeSpecified XMinioInvalidObjectName ObjectLocked
        InvalidRetention AmbiguousGrantByEmailAddress
        IllegalVersioningConfigurationException IncorrectNumberOfFilesInPostRequest
        InvalidPolicyDocument InvalidTargetBucketForLogging MalformedACLError
        MalformedPOSTRequest MalformedPolicyDocument NoLoggingStatusForKey
        RequestIsNotMultiPartContent RequestTorrentOfBucketError UnexpectedContent
        UnresolvableGrantByEmailAddress InvalidAnnotationName NoSuchAnnotation
        InvalidPrefix InvalidWriteOffset
        """,
    ),
    (
        InvalidError,  # archived, which a copy elsewhere need not be
        {"failover": True},
        "InvalidObjectState ObjectNotInActiveTierError",
    ),
    (ConflictError, _AGAIN, "ConditionalRequestConflict OperationAborted"),
    (
        ConflictError,
        _PLAIN,
        """
        PreconditionFailed NotModified RestoreAlreadyInProgress
        IdempotencyParameterMismatch ObjectAlreadyInActiveTierError
        BucketAlreadyExists BucketAlreadyOwnedByYou BucketNotEmpty
        """,
    ),
    (
        CorruptError,  # on the way there: what we hold is good, so send it again
        _AGAIN,
        """
        BadDigest InvalidDigest XAmzContentSHA256Mismatch
        XAmzContentChecksumMismatch InvalidChecksum
        """,
    ),
)
BY_CODE: Mapping[str, Meaning] = {
    code: (kind, facts) for kind, facts, codes in _CODES for code in codes.split()
}
