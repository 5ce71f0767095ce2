"""
What obstore's errors mean for a store.

They carry S3's whole answer in their text, so its codes are those of
:mod:`tiered_store.translation.s3_codes`.  What is missing are its headers: how long a
throttled caller should wait is not known here.
"""

from __future__ import annotations

import re

from tiered_store.errors import (
    ConflictError,
    InvalidError,
    MisconfiguredError,
    StoreError,
    UnavailableError,
)
from tiered_store.translation.http import shown
from tiered_store.translation.s3 import of_answer


_ANSWER = re.compile(
    r"Server returned non-2xx status code: (\d{3})[^:]*: (.*?)(?:\n\nDebug source|\Z)",
    re.DOTALL,
).search
_CODE = re.compile(r"<Code>([^<]*)</Code>").search
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>").search
_DEBUG = "\n\nDebug source"
_NOT_S3 = re.compile(
    r"Invalid last modified|Invalid content length|non-ASCII data", re.IGNORECASE
).search
_NOT_THAT_PART = re.compile(
    r"NotPartial|CONTENT_RANGE|Content-Range|Requested \d+\.\.\d+, got"
).search
_MISCONFIGURED = re.compile(
    r"invalid peer certificate|InvalidCertificate|InvalidContentType|UnknownIssuer"
    r"|without LOCATION|error following redirect|Invalid URL|URL scheme is not allowed",
    re.IGNORECASE,
).search
_OWN_TROUBLE = re.compile(r"Too many open files|Cannot allocate memory").search
_OF_THE_LINE = re.compile(r"HttpError|HTTP error|error sending request").search


def translate(
    error: BaseException, family: frozenset[str] = frozenset()
) -> StoreError | None:
    """Return what *error*, raised when an object was read, means; None for a bug."""
    told = str(error)
    answer = _ANSWER(told)
    if answer is not None:
        code, message = _CODE(answer[2]), _MESSAGE(answer[2])
        return of_answer(
            "GetObject",
            int(answer[1]),
            "" if code is None else code[1],
            "" if message is None else message[1],
            {},
        )
    text = shown(told.partition(_DEBUG)[0]) or type(error).__name__
    if _NOT_THAT_PART(told):
        return ConflictError("the server answered with something else")
    if _OWN_TROUBLE(told):
        return UnavailableError(text, local=True, failover=False)
    if _NOT_S3(told):
        return UnavailableError(f"an answer that is not S3's: {text}")
    if "Content-Length Header missing" in told:
        return MisconfiguredError("the server does not say how long the object is")
    if _MISCONFIGURED(told):
        return MisconfiguredError(text)
    if _OF_THE_LINE(told):
        return UnavailableError(text)
    if "InvalidPathError" in family:
        return InvalidError(text)
    if type(error).__module__.partition(".")[0] == "obstore":
        return StoreError(f"unclassified {type(error).__name__}: {text}")
    return None


def code_of(error: BaseException | None) -> str:
    """Return the code that S3 gave *error*, or an empty string."""
    answer = _ANSWER(str(error))
    code = None if answer is None else _CODE(answer[2])
    return "" if code is None else code[1]
