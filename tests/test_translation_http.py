"""What HTTP statuses and clients' errors mean."""

from __future__ import annotations

import email.utils
import http.client
import io
import socket
import ssl
import time
import urllib.error

from email.message import Message

import pytest
import urllib3.exceptions

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
from tiered_store.translation import translate
from tiered_store.translation.http import by_status, retry_after, shown


POOL = urllib3.connectionpool.HTTPConnectionPool("example.com")
SIGNED = "http://example.com/pre/key.png?X-Amz-Credential=AKIA&X-Amz-Signature=secret"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, MisconfiguredError),
        (302, MisconfiguredError),
        (304, ConflictError),
        (307, MisconfiguredError),
        (400, InvalidError),
        (401, DeniedError),
        (403, DeniedError),
        (404, NotFoundError),
        (405, UnsupportedError),
        (408, UnavailableError),
        (409, ConflictError),
        (410, NotFoundError),
        (411, InvalidError),
        (412, ConflictError),
        (413, TooLargeError),
        (416, InvalidError),
        (423, ConflictError),
        (429, ThrottledError),
        (451, DeniedError),
        (500, UnavailableError),
        (501, MisconfiguredError),
        (502, UnavailableError),
        (503, ThrottledError),
        (504, UnavailableError),
        (507, FullError),
        (509, ThrottledError),
        (599, UnavailableError),
    ],
)
def test_a_status_has_a_meaning(status: int, kind: type[StoreError]) -> None:
    """Exactly this kind, and the message carries the number."""
    error = by_status(status, "no reason")

    assert type(error) is kind
    assert f"HTTP {status}" in str(error)


@pytest.mark.parametrize("status", range(300, 600))
def test_every_status_of_a_failure_is_classified(status: int) -> None:
    """No answer of a server leaves the caller without advice."""
    assert type(by_status(status, "no reason")) is not StoreError


@pytest.mark.parametrize("status", [100, 200, 206, 600])
def test_a_status_that_is_no_failure_is_unclassified(status: int) -> None:
    """Whoever fails with a success has not said what happened."""
    assert str(by_status(status, "odd")).startswith("unclassified")


@pytest.mark.parametrize(
    ("status", "ambiguous"),
    [(500, True), (502, True), (504, True), (408, False), (429, False), (503, False)],
)
def test_a_server_that_failed_half_way_may_have_done_it(
    status: int, ambiguous: bool
) -> None:
    """A refusal before the work leaves nothing; a failure during it may."""
    assert by_status(status, "no reason").ambiguous is ambiguous


def test_retry_after_is_understood_as_seconds_and_as_a_date() -> None:
    """RFC 9110, 10.2.3; what cannot be read is no advice."""
    soon = email.utils.formatdate(time.time() + 60, usegmt=True)

    assert retry_after({"Retry-After": "7"}) == 7
    assert 50 < (retry_after({"retry-after": soon}) or 0) <= 60
    assert retry_after({"retry-after": "Mon, 01 Jan 1990 00:00:00 GMT"}) == 0
    assert retry_after({"retry-after": "-1"}) == 0
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({}) is None


def test_a_throttled_answer_says_how_long_to_wait() -> None:
    """The header travels with the error."""
    headers = Message()
    headers["Retry-After"] = "3"
    told = urllib.error.HTTPError(SIGNED, 429, "Too Many", headers, io.BytesIO())

    error = translate(told)
    told.close()

    assert isinstance(error, ThrottledError)
    assert error.retry_after == 3


@pytest.mark.parametrize(
    "error",
    [
        urllib3.exceptions.MaxRetryError(
            POOL, SIGNED, urllib3.exceptions.NewConnectionError(POOL, "refused")
        ),
        urllib3.exceptions.NameResolutionError(
            "example.com", POOL, socket.gaierror(-2, "unknown")
        ),
        urllib3.exceptions.ConnectTimeoutError(POOL, "timed out"),
        urllib.error.URLError(ConnectionRefusedError(111, "refused")),
        urllib.error.URLError(socket.gaierror(-2, "unknown")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_was_never_sent_is_not_ambiguous(error: Exception) -> None:
    """Nobody heard the request, so nothing came of it."""
    meaning = translate(error)

    assert type(meaning) is UnavailableError
    assert meaning.retryable
    assert not meaning.ambiguous


@pytest.mark.parametrize(
    "error",
    [
        urllib3.exceptions.ReadTimeoutError(POOL, SIGNED, "timed out"),
        urllib3.exceptions.ProtocolError("aborted", ConnectionResetError(104, "reset")),
        urllib3.exceptions.IncompleteRead(3, 5),
        http.client.RemoteDisconnected("closed without an answer"),
        http.client.IncompleteRead(b"abc", 2),
        urllib.error.URLError(TimeoutError("timed out")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_was_lost_on_the_way_is_ambiguous(error: Exception) -> None:
    """The server may have done it and only the answer is missing."""
    meaning = translate(error)

    assert type(meaning) is UnavailableError
    assert meaning.retryable
    assert meaning.ambiguous


def test_a_certificate_that_does_not_fit_is_a_misconfiguration() -> None:
    """Another attempt meets the same certificate."""
    why = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] expired")

    for error in (
        why,
        urllib.error.URLError(why),
        urllib3.exceptions.SSLError(why),
        urllib3.exceptions.MaxRetryError(
            POOL, SIGNED, urllib3.exceptions.SSLError(why)
        ),
    ):
        assert type(translate(error)) is MisconfiguredError


def test_what_is_no_url_is_a_misconfiguration() -> None:
    """It comes from an option, and stays wrong."""
    for error in (
        urllib3.exceptions.LocationParseError("http:///"),
        http.client.InvalidURL("control characters"),
    ):
        assert type(translate(error)) is MisconfiguredError


def test_ones_own_full_pool_says_nothing_about_the_server() -> None:
    """It must not open anybody's breaker."""
    error = translate(urllib3.exceptions.EmptyPoolError(POOL, "pool is full"))

    assert isinstance(error, UnavailableError)
    assert error.local
    assert not error.failover


def test_bytes_that_cannot_be_decoded_are_corrupt() -> None:
    """What came is not what was stored."""
    error = translate(urllib3.exceptions.DecodeError("not gzip"))

    assert type(error) is CorruptError


def test_messages_show_no_secrets() -> None:
    """Neither a signature nor the credentials of an address."""
    error = translate(
        urllib3.exceptions.MaxRetryError(
            POOL, SIGNED, urllib3.exceptions.ProtocolError("gone")
        )
    )

    assert "Signature" not in str(error)
    assert "pre/key.png" in str(error)
    assert shown("at http://user:pass@host/a?b=c  now") == "at http://****@host/a now"
    assert len(shown("x" * 10_000)) < 400


def test_errors_that_explain_each_other_in_a_circle_are_read_once() -> None:
    """A strange chain of causes costs no endless loop."""
    first = urllib3.exceptions.ProtocolError("one")
    second = urllib3.exceptions.ProtocolError("two")
    first.__cause__, second.__cause__ = second, first

    assert isinstance(translate(first), UnavailableError)
