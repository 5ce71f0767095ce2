"""What errors of the operating system mean."""

from __future__ import annotations

import errno
import os
import socket
import ssl

import pytest

from tiered_store.errors import (
    CorruptError,
    DeniedError,
    FullError,
    InvalidError,
    MisconfiguredError,
    NotFoundError,
    ReadOnlyError,
    StoreError,
    TooLargeError,
    UnavailableError,
)
from tiered_store.translation import translate


TABLE: dict[type[StoreError], str] = {
    NotFoundError: "ENOENT",
    DeniedError: "EACCES EPERM",
    ReadOnlyError: "EROFS",
    FullError: "ENOSPC EDQUOT",
    CorruptError: "EIO EBADMSG EUCLEAN EILSEQ",
    TooLargeError: "EFBIG",
    InvalidError: "ENAMETOOLONG EINVAL",
    MisconfiguredError: "EISDIR ENOTDIR ELOOP EXDEV ENOSYS EOPNOTSUPP",
    UnavailableError: (
        "EMFILE ENFILE ENOMEM ENOBUFS EAGAIN ESTALE EBUSY ETXTBSY EDEADLK ENOTCONN "
        "ENODEV ENXIO ETIMEDOUT ECONNREFUSED ECONNRESET ECONNABORTED EPIPE "
        "EHOSTDOWN EHOSTUNREACH ENETDOWN ENETUNREACH ENETRESET"
    ),
}
ROWS = [(name, kind) for kind, names in TABLE.items() for name in names.split()]


def meaning_of(name: str) -> StoreError:
    number = getattr(errno, name)
    error = translate(OSError(number, os.strerror(number), "/secret/path"))
    assert error is not None
    return error


@pytest.mark.parametrize(("name", "kind"), ROWS)
def test_a_number_has_a_meaning(name: str, kind: type[StoreError]) -> None:
    """Exactly this kind, in the words of the system."""
    error = meaning_of(name)

    assert type(error) is kind
    assert error.message


@pytest.mark.parametrize(
    "name",
    [name for name in errno.errorcode.values() if name[:5] in {"ECONN", "EHOST"}],
)
def test_every_trouble_with_connections_is_an_outage(name: str) -> None:
    """And never absence."""
    assert type(meaning_of(name)) is UnavailableError


@pytest.mark.parametrize("name", ["EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "EAGAIN"])
def test_ones_own_shortage_says_nothing_about_the_store(name: str) -> None:
    """Worth another attempt here, no reason to go elsewhere or to blame anybody."""
    error = meaning_of(name)

    assert error.local
    assert error.retryable
    assert not error.failover


@pytest.mark.parametrize(
    ("name", "ambiguous"),
    [
        ("ECONNREFUSED", False),
        ("ECONNRESET", True),
        ("ETIMEDOUT", True),
        ("EPIPE", True),
    ],
)
def test_what_was_sent_may_have_happened(name: str, ambiguous: bool) -> None:
    """Only a refused connection has heard nothing."""
    assert meaning_of(name).ambiguous is ambiguous


def test_a_name_that_cannot_be_resolved_is_an_outage() -> None:
    """Of the resolver, or of the network to it."""
    for number in (socket.EAI_AGAIN, socket.EAI_NONAME):
        error = translate(socket.gaierror(number, "no answer"))

        assert type(error) is UnavailableError
        assert not error.ambiguous


def test_an_error_without_a_number_is_an_outage() -> None:
    """Nobody said that the object is absent."""
    assert type(translate(OSError("something broke"))) is UnavailableError
    assert type(translate(PermissionError("not you"))) is DeniedError


def test_a_number_that_no_table_knows_says_so() -> None:
    """It is an error of its own kind, neither retried nor called absence."""
    for error in (translate(OSError(errno.ECHILD, "x")), translate(OSError(9999, "x"))):
        assert type(error) is StoreError
        assert error.message.startswith("unclassified")
        assert not error.retryable


def test_the_numbers_of_tls_are_of_another_table() -> None:
    """``SSLError`` 1 is not ``EPERM``."""
    wrong = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] expired")
    broken = ssl.SSLError(1, "[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC] bad record")

    assert type(translate(wrong)) is MisconfiguredError
    assert type(translate(broken)) is UnavailableError


def test_bugs_pass_untouched() -> None:
    """They are nobody's outage."""
    assert translate(TypeError("a bug")) is None
    assert translate(KeyError("a bug")) is None


def test_what_a_store_of_ones_own_raises_shows_no_secret() -> None:
    """Its message ends up in logs, and in a mirror's journal."""
    told = "no way to https://user:SECRET@host/b?X-Amz-Signature=SECRET today"

    assert str(translate(OSError(told))) == "no way to https://****@host/b today"
